"""`camscope explain`: photos or texts in; a table, figures and files out."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from camscope.cli.app import say_error
from camscope.cli.files import file_names, prepare_folder, read_class_names, safe
from camscope.cli.output import console, print_json
from camscope.cli.texts import find_texts, show_words
from camscope.composition import parse, split
from camscope.engine.explainer import Explainer
from camscope.errors import CamscopeWarning, ImageError, InputError, nearest
from camscope.images import Photo, find_photos, read_photo
from camscope.outputs import Task
from camscope.results.explanation import Explanation
from camscope.targets import TargetLike, TopK, parse_target

Save = Literal["figure", "overlay", "channels", "npz", "json"]
_CHANNELS = 15
_MOST_PICTURES = 100
_MOST_LINES = 20


def explain(
    *photos: str,
    model: str = "demo",
    method: Annotated[list[str] | None, Parameter(negative="")] = None,
    target: Annotated[list[str] | None, Parameter(negative="", allow_leading_hyphen=True)] = None,
    layer: Annotated[list[str] | None, Parameter(negative="")] = None,
    top: int | None = None,
    out: Path = Path("camscope-out"),
    save: str = "figure,overlay",
    colormap: str | None = None,
    opacity: float = 0.5,
    weights: str | None = None,
    task: Task | None = None,
    classes: Path | None = None,
    device: str | None = None,
    batch: int = 8,
    seed: int = 0,
    trust_pickle: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter("--json", negative="")] = False,
) -> int:
    """Explain photos, or texts: which parts of each drove the model's scores.

    Parameters
    ----------
    photos
        Files, folders, globs, or sample:NAME (cat, coffee, astronaut, camera, rocket …). For a model that reads texts:
        "a text", several, or a .txt file with one text a line.
    model
        demo (EfficientNet-Lite0 with ImageNet weights), timm:NAME, torchvision:NAME, hf:NAME-OR-FOLDER (Hugging
        Face), or FILE.py:FACTORY
        (a function that returns the model; its attributes `preprocessing`, `tokenizer` and `class_names` are used).
    method
        One, or several separated by commas; `camscope methods` lists them. Default: gradcam (of a detector: hirescam).
        With parameters and compositions if you like: "scorecam(top=64)", "smooth(layercam, n=16)",
        "fuse(layercam, max)".
    target
        What to explain: a class index or name, top3, all; `not:tabby` or `-281` for evidence against;
        `probability:281` for its probability; `281 vs 282` or `281 vs similar` for what tells it apart. Say it
        again for several. Default: the --top classes of each photo.
    layer
        One, or several separated by commas; `camscope layers` lists them. Default: chosen automatically.
    top
        How many of each photo's top classes to explain, if no target is given. Default: 3.
    out
        Where the files go.
    save
        What to write, separated by commas: figure, overlay (of a text its coloured words as HTML), channels, npz, json.
    colormap
        Any name of the cmap catalogue, such as inferno (the default), magma, viridis, jet.
    opacity
        Of the heatmap on the photo, 0 to 1.
    weights
        A weights file (safetensors, or a PyTorch checkpoint, read without running code), or `random`.
    task
        What the outputs mean. Found from the model; say `multilabel` for one that returns logits.
    classes
        A text file with one class name per line, if the model does not know its own.
    device
        cpu, cuda, cuda:1, mps …
    batch
        How many photos to run at a time.
    seed
        For methods that draw at random.
    trust_pickle
        Read a checkpoint that can run code. Only for files you would run as a program.
    as_json
        Print machine-readable output on stdout, and nothing else there.
    """
    wanted = _saves(save)
    if not photos:
        raise InputError(
            "Which photo? Give files, folders, globs, or a sample: camscope explain sample:cat. For a model that reads "
            "texts: a text, or a .txt file."
        )
    if batch < 1 or (top is not None and top < 1):
        raise InputError("--batch and --top must be at least 1.")
    if not 0 <= opacity <= 1:
        raise InputError(f"--opacity {opacity}: expected 0 (only the photo) to 1 (only the colours).")
    style: dict[str, Any] = {"opacity": opacity}
    if colormap is not None:
        import numpy as np

        from camscope.render import colours  # refuses an unknown name before any work is done

        colours(np.zeros((1, 1), dtype=np.float32), colormap)
        style["colormap"] = colormap
    methods = [parse(text) for text in _listed(method)]
    for text in target or ():
        parse_target(text)  # refuses what is no target before any work is done
    targets: list[TargetLike] = (
        [*target] if target else [TopK(3, or_fewer=True) if top is None else TopK(top)]
    )
    prepare_folder(out)

    people = console(stderr=as_json)
    with people.status("loading the model …") if people.is_terminal else nullcontext():
        explainer = Explainer(
            model,
            weights=weights,
            trust_pickle=trust_pickle,
            device=device,
            task=task,
            class_names=read_class_names(classes) if classes else None,
        )
    texts = find_texts(photos) if explainer.reads_texts else {}
    found = list(texts) or find_photos(photos)
    if texts and "channels" in wanted:
        raise InputError(
            "--save channels lays feature maps over photos; these are texts. Leave channels out."
        )
    options = {
        "methods": methods or None,
        "targets": targets,
        "layers": _words(layer) or None,
        "channels": _CHANNELS if "channels" in wanted else 0,
        "seed": seed,
    }
    names = file_names(found, "text" if texts else "photo")
    results: list[dict[str, Any]] = []
    failed: list[tuple[str, str]] = []
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console(stderr=True), disable=len(found) < 3, transient=True,
    ) as progress:  # fmt: skip
        running = progress.add_task("explaining", total=len(found))
        for some in _chunks(found, 1 if explainer.keeps_sizes else batch):
            for e, source in _explained(explainer, some, options, failed, texts):
                try:
                    written = _write(e, out / names[source], wanted, style)
                except OSError as error:
                    raise InputError(f"Cannot write to {out}: {error.strerror or error}") from error
                known = e.summary()
                results.append(
                    {**known, "source": source, "notes": [*known["notes"], *e.notes], "files": written}
                )
                if len(found) <= 3 and not as_json:
                    _show(people, e, source, written)
            progress.update(running, advance=len(some))
    for source, reason in failed:
        say_error(reason if source in reason else f"{source}: {reason}")
    if as_json:
        print_json({"explained": results, "failed": [{"source": s, "error": r} for s, r in failed]})
    else:
        _close(people, found, results, failed, out)
        if len(found) == 1 and results and not target:
            given = {
                "--model": model if model != "demo" else None,
                "--weights": weights,
                "--classes": classes,
            }
            _suggest(people, found[0], results[0]["top"], given, of_text=bool(texts))
    return 1 if failed else 0


def _explained(
    explainer: Explainer,
    sources: Sequence[str],
    options: dict[str, Any],
    failed: list[tuple[str, str]],
    texts: Mapping[str, str],
) -> Iterator[tuple[Explanation, str]]:
    """Explanations of the photos that can be read, one by one, from one run of the batch; or of texts."""
    if texts:
        yield from _explained_texts(explainer, sources, options, failed, texts)
        return
    readable: list[tuple[str, Photo]] = []
    for source in sources:
        try:
            photo = read_photo(source)
            if explainer.preprocessing is not None:
                explainer.preprocessing.geometry(photo.size)
            readable.append((source, photo))
        except (ImageError, InputError) as error:
            failed.append((source, str(error)))
    if not readable:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CamscopeWarning)  # shown as notes
        e = explainer([photo for _, photo in readable], **options)
    for i, (source, _) in enumerate(readable):
        yield e[i], source


def _explained_texts(
    explainer: Explainer,
    sources: Sequence[str],
    options: dict[str, Any],
    failed: list[tuple[str, str]],
    texts: Mapping[str, str],
) -> Iterator[tuple[Explanation, str]]:
    """Explanations of the texts that the model takes, from one run; if it refuses one, each by itself."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CamscopeWarning)  # shown as notes
            e = explainer([texts[source] for source in sources], **options)
    except InputError as error:
        if len(sources) == 1:
            failed.append((sources[0], str(error)))
            return
        for source in sources:
            yield from _explained_texts(explainer, [source], options, failed, texts)
        return
    for i, source in enumerate(sources):
        yield e[i], source


def _write(e: Explanation, stem: Path, wanted: Sequence[Save], style: dict[str, Any]) -> list[str]:
    """Write what was asked for beside each other; returns the paths."""
    from camscope import render

    count = len(e.targets[0])
    if count > _MOST_PICTURES and {"figure", "overlay", "channels"} & set(wanted):
        raise InputError(
            f"{count} targets would be too many pictures (at most {_MOST_PICTURES}): add --save json or npz."
        )
    written: list[str] = []

    def keep(path: Path) -> Path:
        """Two targets may share a name: ImageNet has a crane that flies and one that lifts."""
        stem, number = path.stem, 1
        while str(path) in written:
            number += 1
            path = path.with_name(f"{stem}-{number}{path.suffix}")
        written.append(str(path))
        return path

    if "figure" in wanted:
        if len(e.raw) == 1:
            render.save(e.figure(**style), keep(stem.with_name(f"{stem.name}-figure.png")))
        else:
            for t in range(count):
                suffix = f"-{t + 1}" if count > 1 else ""
                render.save(
                    e.figure(target=t, **style), keep(stem.with_name(f"{stem.name}-figure{suffix}.png"))
                )
    if "overlay" in wanted and e.input_images.texts:
        from camscope.results.figures import page

        path = keep(stem.with_name(f"{stem.name}-words.html"))
        path.write_text(page(e), encoding="utf-8")
    for method, layer in e.raw if "overlay" in wanted and not e.input_images.texts else ():
        for t, target in enumerate(e.targets[0]):
            what = [safe(part) for part in (method, layer, target.short)]
            path = keep(stem.with_name("-".join([stem.name, *what]) + ".png"))
            e.overlay(0, t, method, layer, **style).save(path)
    for layer in e.channels if "channels" in wanted else ():
        for t, target in enumerate(e.targets[0]):
            what = [safe(layer), safe(target.short)]
            path = keep(stem.with_name("-".join([stem.name, "channels", *what]) + ".png"))
            render.save(e.figure(by="channels", target=t, layer=layer, **style), path)
    if "npz" in wanted:
        e.save(keep(stem.with_name(f"{stem.name}.npz")))
    if "json" in wanted:
        import json

        path = keep(stem.with_name(f"{stem.name}.json"))
        document = {**e.summary(), "explanation_notes": list(e.notes), "provenance": dict(e.provenance)}
        path.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return written


def _show(console: Console, e: Explanation, source: str, written: Sequence[str]) -> None:
    """One photo for people: its top classes, the layer, what to know, and the files."""
    console.print(f"[bold]{escape(source)}[/]", soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    table.add_column("class", justify="right", header_style="dim")
    table.add_column("name", header_style="dim")
    table.add_column("probability", justify="right", header_style="dim")
    table.add_column("score", justify="right", header_style="dim")
    for index, name, logit, probability in e.top(5):
        table.add_row(
            str(index), escape(name), "–" if probability is None else f"{probability:.1%}", f"{logit:.2f}"
        )
    console.print(table)
    layers = e.provenance["layers"]
    for name, about in layers["layers"].items():
        why = ", fused" if name in layers.get("fused", ()) else ""
        if name == layers.get("choice"):
            why = f", chosen automatically (next: {', '.join(layers['runners_up'])})"
        console.print(f"layer [bold]{escape(name)}[/] ({escape(about)}){escape(why)}")
    if e.input_images.texts:
        show_words(console, e)
    for note in (*(e.input_image(0).notes if e.input_images.has(0) else ()), *e.notes):
        console.print(f"note: {escape(note)}", style="yellow")
    for (method, layer), status in e.status.items() if not e.input_images.texts else ():
        for target, one in zip(e.targets[0], status[0], strict=True):
            if one != "ok":
                words = f"{method} at {layer}, {target.label}: {one.words}"
                console.print(words, style="yellow", markup=False)
    for path in written:
        console.print(f"wrote {path}", markup=False, soft_wrap=True)
    console.print()


def _close(
    console: Console,
    found: Sequence[str],
    results: Sequence[dict[str, Any]],
    failed: Sequence[tuple[str, str]],
    out: Path,
) -> None:
    """What was done."""
    if len(found) > 3:
        table = Table(box=None, pad_edge=False, show_header=False)
        for result in results[:_MOST_LINES]:
            best = result["top"][0]
            probability = "" if best["probability"] is None else f"{best['probability']:.1%}"
            table.add_row(escape(result["source"]), probability, escape(best["name"]))
        console.print(table)
        if len(results) > _MOST_LINES:
            console.print(f"… and {len(results) - _MOST_LINES} more")
    if len(found) > 3 or failed:
        wrote = f"; the files are in {out}" if results else ""
        what = "texts" if any("text" in result for result in results) else "photos"
        console.print(f"{len(results)} of {len(found)} {what} explained{wrote}.", markup=False)


def _suggest(
    console: Console,
    photo: str,
    top: Sequence[dict[str, Any]],
    given: dict[str, Any],
    *,
    of_text: bool = False,
) -> None:
    """What to try next, ready to be pasted."""
    model = [word for option, value in given.items() if value for word in (option, str(value))]
    again = shlex.join(["camscope", "explain", f"./{photo}" if photo.startswith("-") else photo, *model])
    second = top[min(1, len(top) - 1)]["index"]
    console.print("Try next:", style="bold")
    for line in (
        f"{again} --target {second} --target not:{second}   # for and against one class",
        f"{again} --method gradcam,layercam --save figure,npz",
        *([] if of_text else [f"{again} --save channels   # the feature maps the score is made of"]),
        "camscope layers; camscope methods   # what there is to choose from",
        *([] if of_text else ["camscope explain YOUR-FOLDER --model timm:resnet50 --out maps"]),
    ):
        console.print(f"  {line}", markup=False, soft_wrap=True)


def _listed(given: Sequence[str] | None) -> list[str]:
    """Several separated by commas, in one word or many; commas inside brackets stay."""
    return [part for text in given or () for part in split(text)]


def _words(given: Sequence[str] | None) -> list[str]:
    return [word.strip() for text in given or () for word in text.split(",") if word.strip()]


def _saves(text: str) -> list[Save]:
    words = _words([text])
    valid = get_args(Save)
    for word in words:
        if word not in valid:
            raise InputError(
                f"--save {word}: expected {', '.join(valid)}, separated by commas.{nearest(word, valid)}"
            )
    return [word for word in valid if word in words]


def _chunks(sources: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(sources), size):
        yield sources[start : start + size]
