"""Before a training: everything that it is made of is chosen and checked, and nothing is written yet.

The plan's document is what `run.json` holds. With the data it says all of a run: going on with a run makes the same
plan from the document again.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camscope.errors import InputError, ModelError, first_line, keyword
from camscope.images import Preprocessing
from camscope.libraries import recognise
from camscope.libraries.factories import digest_of, is_factory
from camscope.libraries.gapnet import shape_for
from camscope.libraries.heads import head_of
from camscope.libraries.trainable import Trainable, build_trainable, check_torch
from camscope.libraries.training_runs import BEST, RunModel, is_run, read_document, read_run
from camscope.libraries.weights import RANDOM
from camscope.training.augmenting import Augmentation
from camscope.training.choosing_input import Looks, fresh_preprocessing, known_preprocessing, look_at
from camscope.training.inspecting import Inspection, inspect
from camscope.training.labelled import LIMIT, LabelledImages
from camscope.training.reading_labels import read_labelled
from camscope.training.run_folder import RunFolder, digest_of_data, now, versions
from camscope.training.run_options import RunOptions
from camscope.training.settings import Settings, usual_settings
from camscope.training.splits import Split, split
from camscope.training.statistics import measured
from camscope.training.summary import Summary, summarise

_MOST_LISTED = 100
_MAY_CHANGE = ("epochs", "patience")


@dataclass(frozen=True)
class Plan:
    """A training that can begin, or go on.

    Attributes:
        folder: of the run; there is none yet unless it goes on.
        document: what `run.json` says.
        labelled: the images.
        parts: which of them are trained on, which are held out.
        summary: what a person should know of them.
        built: the model.
        preprocessing: of the images that are held out, and of photos later.
        augmentation: of those that are trained on, or None.
        settings: in numbers.
        resumed: whether it goes on with a run.
        notes: what a careful reader should be told.
    """

    folder: RunFolder
    document: Mapping[str, Any]
    labelled: LabelledImages
    parts: Split
    summary: Summary
    built: Trainable
    preprocessing: Preprocessing
    augmentation: Augmentation | None
    settings: Settings
    resumed: bool
    notes: tuple[str, ...]

    @property
    def tuning(self) -> bool:
        """Whether the body has learnt before, so that its layer groups learn at rates of their own."""
        return self.built.head is not None and (self.built.pretrained or self.settings.frozen_epochs > 0)

    @property
    def score(self) -> str:
        """By which score epochs are compared."""
        return "mean_average_precision" if self.labelled.multilabel else "accuracy"


def plan_training(data: Any, options: RunOptions) -> Plan:
    """Choose everything for a new run.

    Args:
        data: what `read_labelled` takes.
        options: what was asked for.

    Raises:
        InputError: if something of the data or of the options makes no sense, or the run exists.
        ModelError: if the model is unknown, cannot be trained, or does not give a number per class.
        MissingExtraError: if something is not installed.
    """
    limit = LIMIT if options.unreadable is None else options.unreadable
    labelled, inspection = _read(data, options.reading, limit)
    how: dict[str, Any] = {
        "holdout": 0.2 if options.holdout is None else options.holdout,
        "folds": options.folds,
        "fold": options.fold or 0,
        "seed": options.seed or 0,
    }
    parts = split(labelled, **how)
    if options.size is not None and options.size < 1:
        raise InputError(f"size is {options.size}; expected the side of the input in pixels.")
    model = "gapnet" if options.model is None else options.model
    base = read_run(model) if _is_name(model) and is_run(model) else None
    recipe = _recipe(model, options.weights, base)
    folder = RunFolder.new(options.out, options.name, f"{_short_name(data)}-{_short_name(recipe['spec'])}")
    looks = look_at(labelled, parts.train)
    if recipe["spec"] == "gapnet" and base is None:
        recipe["shape"] = _gapnet_shape(options, looks)
    built = _build(recipe, model, len(labelled.classes), how["seed"], options.trust_pickle)
    own = built.info.preprocessing if base is None else base.preprocessing
    preprocessing = options.preprocessing
    if preprocessing is None and built.pretrained and own is not None:
        preprocessing = known_preprocessing(own, options.size)
    elif preprocessing is None:
        fresh = fresh_preprocessing(looks, options.size, own)
        if recipe["shape"].get("channels") == 1:
            fresh = dataclasses.replace(fresh, mean=(0.0,), std=(1.0,))
        preprocessing = measured(fresh, labelled, parts.train)
    settings = usual_settings(
        len(parts.train),
        pretrained=built.head is not None and (built.pretrained or bool(options.frozen_epochs)),
        given={field.name: getattr(options, field.name) for field in dataclasses.fields(Settings)},
    )
    if settings.frozen_epochs and built.head is None:
        raise InputError(
            f"frozen_epochs is {settings.frozen_epochs}, but no last layer of the model puts out "
            f"{len(labelled.classes)} numbers, so there is nothing to leave unfrozen. Say "
            f"{keyword('frozen_epochs', 0)}."
        )
    check_outputs(built.model, preprocessing, len(labelled.classes), recipe["spec"])
    augmentation = None
    if options.augment:
        augmentation = Augmentation.usual(
            preprocessing, tiny=looks.tiny, flip=options.flips, vertical=options.vertical_flips
        )
    document = {
        "begun": now(),
        "model": {**recipe, "head": built.head, "pretrained": built.pretrained},
        "classes": list(labelled.classes),
        "task": "multilabel" if labelled.multilabel else "multiclass",
        "preprocessing": preprocessing.to_dict(),
        "augmentation": None if augmentation is None else augmentation.to_dict(),
        "settings": settings.to_dict(),
        "data": {
            "given": _again(data),
            "reading": _plain(options.reading),
            "unreadable": limit,
            "images": len(labelled),
            "counts": labelled.counts,
            "digest": digest_of_data(labelled, parts),
            "skipped": [list(one) for one in labelled.skipped[:_MOST_LISTED]],
        },
        "split": {
            **how,
            "how": parts.how,
            "train": len(parts.train),
            "val": len(parts.val),
        },
        "versions": versions(),
    }
    return Plan(
        folder=folder,
        document=document,
        labelled=labelled,
        parts=parts,
        summary=summarise(labelled, parts, inspection),
        built=built,
        preprocessing=preprocessing,
        augmentation=augmentation,
        settings=settings,
        resumed=False,
        notes=built.notes,
    )


def plan_resuming(data: Any, options: RunOptions) -> Plan:
    """Make the plan of a run that was begun once more.

    Args:
        data: None takes what the run was begun with.
        options: where the run lies, the model if it is an object, and `epochs` and `patience` if they are to be others
            from now on. All else is as it was.

    Raises:
        InputError: if there is no such run, its data is no longer there or has changed, or it has more epochs already.
        ModelError: if its model is no longer there.
    """
    folder = RunFolder.existing(options.out, options.name)
    document = read_document(folder.path)
    run = read_run(folder.path)
    given = document["data"]["given"] if data is None else data
    if given is None:
        raise InputError(f"{folder.path} was trained on a data set in memory: give it again.")
    labelled, inspection = _read(given, document["data"]["reading"], document["data"]["unreadable"])
    parts = split(
        labelled, **{name: document["split"][name] for name in ("holdout", "folds", "fold", "seed")}
    )
    if digest_of_data(labelled, parts) != document["data"]["digest"]:
        raise InputError(
            f"{folder.path} was begun with other data: then {document['data']['images']} images of "
            f"{len(run.classes)} classes, now {len(labelled)} of {len(labelled.classes)}, or other names, labels or "
            "order. Put the data back, or begin a run of another --name."
        )
    _check_unchanged(document, options, folder.path)
    changed = {name: getattr(options, name) for name in _MAY_CHANGE if getattr(options, name) is not None}
    settings = Settings(**{**document["settings"], **changed})
    recipe = dict(document["model"])
    if folder.checkpoint.is_file() and recipe["spec"]:
        recipe["weights"] = RANDOM  # the checkpoint has all of them
    built = _build(recipe, options.model, len(run.classes), settings.seed, options.trust_pickle)
    augmentation = document["augmentation"]
    return Plan(
        folder=folder,
        document={**document, "settings": settings.to_dict()},
        labelled=labelled,
        parts=parts,
        summary=summarise(labelled, parts, inspection),
        built=dataclasses.replace(built, head=recipe["head"], pretrained=recipe["pretrained"]),
        preprocessing=run.preprocessing,
        augmentation=None if augmentation is None else Augmentation.from_dict(augmentation),
        settings=settings,
        resumed=True,
        notes=tuple(run.notes()),
    )


def _check_unchanged(document: Mapping[str, Any], options: RunOptions, path: Path) -> None:
    """Refuse what is asked for and is not what a run was begun with.

    Raises:
        InputError: naming the first.
    """
    reading = {f"{name} (of the data)": value for name, value in document["data"]["reading"].items()}
    height, width = document["preprocessing"]["input_size"]
    augmentation = document["augmentation"]
    was = {
        **document["settings"],
        **document["split"],
        **reading,
        "model": document["model"]["spec"],
        "weights": document["model"]["weights"],
        "size": height if height == width else (height, width),
        "unreadable": document["data"]["unreadable"],
        "augment": augmentation is not None,
        "flips": augmentation is not None and augmentation["flip"],
        "vertical_flips": augmentation is not None and augmentation["vertical"],
    }
    asked = {
        **{name: getattr(options, name) for name in was if hasattr(options, name)},
        **{f"{name} (of the data)": value for name, value in _plain(options.reading).items()},
    }
    model = options.model
    recipe = _recipe(model, options.weights, read_run(model) if _is_name(model) and is_run(model) else None)
    asked["model"] = recipe["spec"] if _is_name(model) else None
    asked["weights"] = recipe["weights"]
    asked["augment"] = None if options.augment else False
    asked["vertical_flips"] = options.vertical_flips or None
    for name, value in asked.items():
        if name not in _MAY_CHANGE and value is not None and value != was.get(name):
            raise InputError(
                f"{path} was begun with {name} {was.get(name)}, and is not the same run with {value}. Leave it out, or "
                f"begin a run of another name. What may change: {' and '.join(_MAY_CHANGE)}."
            )


def check_outputs(model: Any, preprocessing: Preprocessing, classes: int, spec: str) -> None:
    """Refuse a model that does not give one number per class.

    Args:
        model: a `torch.nn.Module`.
        preprocessing: tells the size of its input.
        classes: how many there are.
        spec: the model's name, for the message.

    Raises:
        ModelError: saying what it gives.
    """
    import torch

    shape = (2, len(preprocessing.mean), *preprocessing.input_size)
    mode = model.training
    try:
        with torch.no_grad():
            logits = model.eval()(torch.zeros(shape, device=next(model.parameters()).device))
    except RuntimeError as error:
        reason = first_line(error)
        raise ModelError(
            f"{spec or type(model).__name__} does not take inputs of shape {shape}: {reason}"
        ) from error
    finally:
        model.train(mode)
    if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != (2, classes):
        gave = f"shape {tuple(logits.shape)}" if isinstance(logits, torch.Tensor) else type(logits).__name__
        how = " Let its factory take num_classes." if is_factory(spec) else ""
        raise ModelError(
            f"{spec or type(model).__name__} gives {gave} for two images; expected (2, {classes}), a number for each "
            f"class.{how}"
        )


def _read(data: Any, reading: Mapping[str, Any], limit: float) -> tuple[LabelledImages, Inspection]:
    """The images that can be read, and what was seen of them."""
    if not 0 <= limit <= 1:
        raise InputError(f"unreadable is the share of images that may be, 0 to 1; got {limit:g}.")
    return inspect(read_labelled(data, unreadable=limit, **reading), unreadable=limit)


def _recipe(model: Any, weights: str | Path | None, base: RunModel | None) -> dict[str, Any]:
    """What the model is built from, as JSON has it: its name, or that of the run that it begins with."""
    if base is not None:
        spec, shape = base.spec, dict(base.shape)
        weights = base.folder / BEST if weights is None else weights
    else:
        spec, shape = str(model) if _is_name(model) else "", {}
    digest = ""
    if is_factory(spec):
        file, _, factory = spec.rpartition(":")
        spec = f"{Path(file).resolve()}:{factory}" if factory else spec
        digest = digest_of(spec)
    if weights is not None and str(weights) != RANDOM:
        weights = Path(weights).resolve()
    return {
        "spec": spec,
        "shape": shape,
        "weights": None if weights is None else str(weights),
        "file_sha256": digest,
    }


def _is_name(model: Any) -> bool:
    return isinstance(model, (str, os.PathLike))


def _gapnet_shape(options: RunOptions, looks: Looks) -> dict[str, Any]:
    """Channels, widths and strides for images that look like these."""
    if options.preprocessing is not None:
        channels, size = len(options.preprocessing.mean), options.preprocessing.input_size
    else:
        channels, size = 1 if looks.grey else 3, fresh_preprocessing(looks, options.size, None).input_size
    return {"channels": channels, **shape_for(size)}


def _build(recipe: Mapping[str, Any], given: Any, classes: int, seed: int, trust_pickle: bool) -> Trainable:
    """The model, its new head drawn by the seed."""
    import torch

    if not recipe["spec"]:
        if _is_name(given):
            raise InputError("This run's model was an object, and no name: give it again (model=…).")
        model, info = recognise(given)
        check_torch(model, type(given).__name__)
        info = dataclasses.replace(info, class_names=None)
        return Trainable(model, info, head_of(model, classes), pretrained=False)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_trainable(
            recipe["spec"],
            classes=classes,
            weights=recipe["weights"],
            trust_pickle=trust_pickle,
            shape=recipe["shape"],
        )


def _short_name(given: Any) -> str:
    """A word for a folder's name: `digits` for `sample:digits`, `net` for `a/net.py:make`."""
    if not _is_name(given):
        return type(given).__name__.lower() if not isinstance(given, LabelledImages) else "images"
    text = str(given)
    text = text.rpartition(":")[0] if is_factory(text) else text.rpartition(":")[2]
    name = Path(text).resolve().stem if text else "model"
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name) or "run"


def _again(data: Any) -> str | None:
    """What the data can be read from again, by another process in another folder; None if it is in memory."""
    if not _is_name(data):
        return None
    return str(Path(data).resolve()) if Path(data).exists() else str(data)


def _plain(reading: Mapping[str, Any]) -> dict[str, Any]:
    """How the data was read, as JSON has it; folders by their full path."""
    return {
        name: str(Path(value).resolve()) if name == "images" and value is not None else value
        for name, value in reading.items()
    }
