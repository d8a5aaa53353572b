"""`camscope.runs.run`: explanations of as many images as there are, which a kill, a full disk or Ctrl-C cannot lose."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from camscope.composition import parse, split
from camscope.engine.explainer import Explainer
from camscope.engine.over_batches import LABELS
from camscope.errors import CamscopeError, InputError, TargetError, keyword
from camscope.results import Explanation
from camscope.runs.batch_size import fitting
from camscope.runs.engines import LOCAL, engine_named
from camscope.runs.faster_copy import check_wanted, choose, explainer_on
from camscope.runs.faster_reading import DONE, choose_reading
from camscope.runs.finishing import finish
from camscope.runs.input_list import InputList, Share
from camscope.runs.labels_of_run import LabelReader, check_some_known
from camscope.runs.model_of_run import explainer_of, facts_of
from camscope.runs.needed_packages import check_installed
from camscope.runs.reader_processes import Readers
from camscope.runs.reading_one import Reading, ReadPhoto, Unread
from camscope.runs.run_bar import bar
from camscope.runs.run_plan import Asked, Plan, check_unchanged
from camscope.runs.run_store import RunStore, Unfinished
from camscope.runs.shard_engine import Job, Progress, Told
from camscope.runs.shard_loop import having_failures
from camscope.runs.shard_work import Pair, explained, given_of
from camscope.runs.short_test import trust_numbers
from camscope.runs.sources.finding_inputs import DataLike, find_inputs
from camscope.runs.sources.in_tables import is_table
from camscope.runs.sources.one_input import DataOptions, Input
from camscope.runs.sources.remote_files import folder_of
from camscope.runs.store_paths import StorePath, store_path
from camscope.targets import parse_target
from camscope.training.run_folder import now

SHARD_SIZE, TOP = 256, 5
"""What is taken where nothing is said: images in a shard, and top classes of a row."""

_TRIED = 256
"""So many of the first inputs are tried until a batch of them can be read, before the plan is made."""


_IN_FIRST = 4
"""So many are explained then."""


@dataclass(frozen=True)
class Done:
    """What a run has done.

    Attributes:
        path: its folder, or its URL.
        progress: how far it got.
        torn: shards that were torn and were made anew.
        complete: whether all shards of the run, or of its share, are there.
        changed: in what it differs, in words, from the run that was taken away for it, or beside which it is.
        said: what a careful reader should be told of how it was done.
    """

    path: StorePath
    progress: Progress
    torn: tuple[int, ...]
    complete: bool
    changed: tuple[str, ...] = ()
    said: str = ""


def run(
    data: DataLike,
    *,
    model: Any = "demo",
    out: str | os.PathLike[str],
    methods: str | Sequence[str] | None = None,
    layers: str | Sequence[str] | None = None,
    targets: Any = None,
    top: int = TOP,
    column: str | None = None,
    labels: str | None = None,
    path: str | None = None,
    images: str | None = None,
    batch: int | None = None,
    optimised: bool | str | None = None,
    shard_size: int = SHARD_SIZE,
    workers: int | None = None,
    share: str | None = None,
    seed: int = 0,
    trust: bool = False,
    into: str | os.PathLike[str] | None = None,
    restart: bool = False,
    retry_failed: bool = False,
    engine: str = LOCAL,
    address: str | None = None,
    actors: int | None = None,
    progress: bool | Told = True,
    **model_options: Any,
) -> Done:
    """Explain all images of some data, and keep a row for each image, target, method and layer.

        camscope.runs.run("photos/", model="timm:resnet50", out="run")
        camscope.runs.run("labels.csv", model="runs/first", targets="labels", out="run")     # what it should be
        camscope.runs.open("run").where("label != top1").sort("ring_share", descending=True)

    Call it again, also after a kill, and it goes on: only shards that are not there are made. Ctrl-C finishes the
    shard.

    Args:
        data: images: files, folders, globs, tables, lists, tar files, data sets, by paths or URLs; see
            `camscope.runs.sources.find_inputs`.
        model: a name or an object, see `camscope.Explainer`; or an `Explainer`.
        out: the folder of the run, or its URL: `s3://bucket/run`.
        methods: one or several, as text; None for the model's default.
        layers: names; None chooses automatically, on the first images, for all.
        targets: words as `--target` takes them, or class indices; `"labels"` for what each image is labelled as; None
            for each image's top class.
        top: how many of the top classes a row has.
        column: of a table or data set: the column of paths or images.
        labels: likewise the column of labels.
        path: of a table: the path of an image, made of columns: `{ID}.jpg`.
        images: of a table: the folder that paths are relative to.
        batch: how many images run at a time; None for what fits the memory, at most 16 on a processor and 256 on a
            GPU, or what the run was begun with. Where a batch is too large all the same, it is halved.
        optimised: whether an optimised copy of the model is explained on (PyTorch: batch norm folded, channels last),
            or `"bfloat16"` for one in half precision; and whether photos are read the quick way, see
            `camscope.images.read_quickly`. None does both for runs of 128 images or more. The copy is taken if its maps
            and scores of the first images are those of the model itself up to a thousandth of the largest, the quick
            way if they are up to a twentieth (a hundredth where no file is decoded smaller).
        shard_size: how many images make a shard, which is one file, and what a kill costs at most.
        workers: how many processes read images; None for one for each core.
        share: `2/8` does every eighth shard from the second on, into a folder of its own; `camscope.runs.merge` joins
            them.
        seed: of methods that draw at random.
        trust: whether a column of that name says how much to trust each map, from 2 further forwards of each; see
            `camscope.runs.short_test.trust_numbers`.
        into: another folder, for a run whose plan or data have changed: the one in `out` stays as it is, and what has
            changed is said.
        restart: take away the run that is in the folder.
        retry_failed: make those shards anew that have images which could not be explained.
        engine: `local`, or `ray`: the same shards by workers of a Ray cluster, each of which writes those that it made.
        address: of the cluster, `HOST:6379`; None for the one that this machine is in, or else a new one on it.
        actors: how many workers there are; None for one for each GPU, or for each four cores where there is none.
        progress: whether a bar is shown in a terminal; or a function that is told how far the run is.
        model_options: of `camscope.Explainer`.

    Raises:
        InputError: if there are no images, they or the plan have changed since the run began, another process runs in
            the folder, or it cannot be written.
        ModelError, LayerError, MethodError, TargetError: if what is asked for does not suit the model.
        MissingExtraError: if pyarrow, filelock or fsspec is not installed.
    """
    check_installed()
    carried_by = engine_named(engine, address, actors)
    carried_by.check(model, model_options)
    part = Share.read(share)
    check_wanted(optimised)
    given = {"top": top, "shard_size": shard_size, "batch": batch, "workers": workers, "actors": actors}
    _check({name: number for name, number in given.items() if number is not None})
    words = _targets(targets)
    expressions = tuple(parse(one).name for text in _listed(methods) or () for one in split(text))
    options = DataOptions(images, path, column, labels)
    before = RunStore(store_path(os.fspath(out)))
    store = before if into is None else RunStore(store_path(os.fspath(into)))
    if not _is_stream(data):
        find_inputs(data, options)  # refuses what is nothing, before a model is loaded
    with store.held():
        here = {name: value for name, value in model_options.items() if engine == LOCAL or name != "device"}
        explainer = explainer_of(model, here)  # workers elsewhere may have a device that this machine has not
        asked = _asked(
            explainer,
            model,
            model_options if optimised is None else {**model_options, "optimised": optimised},
            expressions,
            _listed(layers),
            words,
            top,
            seed,
            shard_size,
            part,
            trust=trust,
        )
        inputs = store.inputs(shard_size, part)
        changed: tuple[str, ...] = ()
        if into is not None:
            changed = _changed(before, asked, data, options)
        if restart:
            changed = changed or _changed_plan(store, asked)
            store.clear()
        if store.is_begun:
            plan = Plan.read(store.path)
            check_unchanged(plan.asked, asked, store.path)
            inputs.check(find_inputs(data, options), plan.count)
        else:
            plan = _begun(explainer, asked, inputs, data, options, batch, optimised)
            plan.write(store.path)
        done, torn = store.finished(plan)
        for shard in torn:
            store.shard(shard).unlink()
        if retry_failed:
            store.index.unlink(missing_ok=True)  # it is of the rows that are made anew
            done &= ~having_failures(store, done)
        todo = Unfinished(part.shards(plan.shards), done)
        job = Job(explainer, model, model_options, plan, store, batch or plan.batch, workers, retry_failed)
        with bar(progress) as told:
            found = carried_by.carry_out(job, todo, told)
        complete = found.done == found.total
        if complete and part.count == 1:
            finish(store, plan)
    return Done(store.path, found, tuple(torn), complete, changed, plan.optimised_said)


def _changed(before: RunStore, asked: Asked, data: DataLike, options: DataOptions) -> tuple[str, ...]:
    """What has changed since a run was begun.

    Raises:
        InputError: if there is no such run, or nothing has changed.
    """
    plan = Plan.read(before.path)
    changed = plan.asked.changes(asked)
    if not changed:
        try:
            inputs = before.inputs(plan.asked.shard_size, Share.read(plan.asked.share))
            inputs.check(find_inputs(data, options), plan.count)
        except InputError as error:
            changed = [str(error)]
    if not changed:
        raise InputError(
            f"Nothing has changed since '{before.path}' was begun: leave {keyword('into')} out, and it goes on there."
        )
    return tuple(changed)


def _changed_plan(store: RunStore, asked: Asked) -> tuple[str, ...]:
    """What is another in the plan of a run that is taken away; nothing if it cannot be read."""
    if not store.is_begun:
        return ()
    try:
        return tuple(Plan.read(store.path).asked.changes(asked))
    except (InputError, TypeError):
        return ()


def _begun(
    explainer: Explainer,
    asked: Asked,
    inputs: InputList,
    data: DataLike,
    options: DataOptions,
    batch: int | None,
    optimised: bool | str | None,
) -> Plan:
    """The plan of a new run: the list of inputs is written, and the first batch is explained."""
    written = inputs.write(find_inputs(data, options), _TRIED)
    e, again = _first(explainer, asked, written.head, batch or _IN_FIRST, data, options)
    if asked.targets == (LABELS,):
        shards = Share.read(asked.share).shards(-(-written.count // asked.shard_size))
        labels = (one.label for shard in shards for one in inputs.of_shard(shard))
        check_some_known(labels, LabelReader(e.logits.shape[1], e.class_names))
    layers = e.provenance["layers"]
    at = None
    if asked.layers is None and list(layers.get("layers", {})) == [layers.get("choice")]:
        at = (layers["choice"],)
    own_layers = at or asked.layers  # chosen once, by the model itself
    chosen = choose(explainer, e, lambda own: again(own, own_layers), wanted=optimised, images=written.count)
    own = explainer_on(explainer, chosen.precision)

    def tried(by: Explainer, sources: Sequence[Input], photos: Sequence[ReadPhoto]) -> Explanation:
        given = given_of(sources, photos)
        return explained(by, given, asked.methods, own_layers, _tried_targets(asked), asked.seed)

    reading = choose_reading(own, written.head, tried, wanted=optimised, images=written.count)
    if batch is None:
        batch = fitting(
            lambda: again(own, own_layers), len(e.targets), str(e.provenance.get("device", "cpu"))
        )
    return Plan(
        asked=asked,
        data=tuple(os.fspath(one) for one in _all_of(data)),
        count=written.count,
        inputs_sha256=written.sha256,
        at=at,
        batch=batch,
        classes=e.logits.shape[1],
        class_names=None if e.class_names is None else tuple(e.class_names),
        facts={name: vars(facts) for name, facts in e.facts.items()},
        provenance={k: v for k, v in chosen.provenance.items() if k != "labels"}
        | {"layers": layers}
        | ({"reading": DONE[reading.quick]} if reading.quick else {}),
        created=now(),
        optimised=chosen.precision,
        reading=reading.quick,
        optimised_said=" ".join(filter(None, (chosen.said, reading.said))),
    )


def _first(
    explainer: Explainer,
    asked: Asked,
    head: Sequence[Input],
    batch: int,
    data: DataLike,
    options: DataOptions,
) -> tuple[Explanation, Callable[[Explainer, tuple[str, ...] | None], Explanation]]:
    """The explanation of the first batch that can be read, and what explains it again.

    It says what suits the model before anything is written.
    """
    size = 1 if explainer.keeps_sizes else min(batch, _IN_FIRST)
    wrong: list[str] = []
    refused: CamscopeError | None = None
    targets = _tried_targets(asked)
    with Readers(1, Reading(explainer.preprocessing), size) as readers:
        readable = _readable(readers.read(head), wrong)
        while some := list(itertools.islice(readable, size)):
            tried: list[list[tuple[Input, ReadPhoto]]] = [some, *([one] for one in some if size > 1)]
            for these in tried:
                given = given_of([one for one, _ in these], [read for _, read in these])

                def again(own: Explainer, layers: tuple[str, ...] | None, given: Any = given) -> Explanation:
                    return explained(own, given, asked.methods, layers, targets, asked.seed)

                try:
                    e = again(explainer, asked.layers)
                    if asked.trust:
                        trust_numbers(explainer, given, e, targets, asked.seed)
                    return e, again
                except (InputError, TargetError) as error:  # of one image, perhaps
                    refused = refused or error
    if refused is not None:
        raise refused
    raise InputError(
        f"None of the first {len(head)} images can be read, so the run was not begun. The first: {wrong[0]}"
        f"{_where(data, options)}"
    )


def _tried_targets(asked: Asked) -> Any:
    """What is explained of the first images: of what they are labelled as their top classes, if that is asked for."""
    return None if asked.targets == (LABELS,) else list(asked.targets) or None


def _where(data: DataLike, options: DataOptions) -> str:
    """Where the images of a table are looked for, for a message; nothing if the data are no table."""
    table = next((os.fspath(one) for one in _all_of(data) if is_table(os.fspath(one))), None)
    if table is None:
        return ""
    base = options.images if options.images is not None else folder_of(table)
    return (
        f" The paths in '{table}' are relative to the folder '{base or '.'}': if the images are in another, say "
        f"{keyword('images', like='FOLDER')}."
    )


def _all_of(data: DataLike) -> list[str | os.PathLike[str]]:
    return [data] if isinstance(data, (str, os.PathLike)) else list(data)


def _readable(pairs: Iterable[Pair], wrong: list[str]) -> Iterator[tuple[Input, ReadPhoto]]:
    """Those that could be read; why others could not is noted."""
    for one, read in pairs:
        if isinstance(read, Unread):
            wrong.append(read.reason)
        else:
            yield one, read


def _asked(
    explainer: Explainer,
    model: Any,
    model_options: Mapping[str, Any],
    methods: tuple[str, ...],
    layers: tuple[str, ...] | None,
    targets: tuple[str, ...],
    top: int,
    seed: int,
    shard_size: int,
    share: Share,
    *,
    trust: bool,
) -> Asked:
    return Asked(
        model=str(model) if isinstance(model, (str, os.PathLike)) else str(explainer.about["model"]),
        model_options={name: _said(value) for name, value in model_options.items() if name != "device"},
        methods=methods or (explainer.default_method,),
        layers=layers,
        targets=targets,
        top=top,
        seed=seed,
        shard_size=shard_size,
        share=str(share),
        trust=trust,
        **facts_of(explainer),
    )


def _said(value: Any) -> Any:
    """An option of the model as JSON has it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, (list, tuple)):
        return [_said(one) for one in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _targets(given: Any) -> tuple[str, ...]:
    """Targets as words, which the plan can hold.

    Raises:
        TargetError: if one is none.
    """
    words = [] if given is None else list(given) if isinstance(given, (list, tuple)) else [given]
    for one in words:
        if isinstance(one, bool) or not isinstance(one, (str, int)):
            raise TargetError(
                f"{one!r}: targets of a run are words, which its plan can hold: '281', 'tabby', 'top3', 'not:tabby' "
                "or 'labels'."
            )
        if one != LABELS:
            parse_target(str(one))
    if LABELS in words and len(words) > 1:
        raise TargetError(f"{LABELS!r} stands alone: it explains what each image is labelled as.")
    return tuple(map(str, words))


def _check(numbers: Mapping[str, Any]) -> None:
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise InputError(f"{keyword(name, number)}: expected a whole number of at least 1.")


def _listed(given: str | Sequence[str] | None) -> tuple[str, ...] | None:
    return None if given is None else (given,) if isinstance(given, str) else tuple(given)


def _is_stream(data: DataLike) -> bool:
    return data == "-" or (not isinstance(data, (str, os.PathLike)) and "-" in data)
