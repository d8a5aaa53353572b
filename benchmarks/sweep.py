"""Does every model get its map? The registries of timm and torchvision, with no argument but the model.

    python -m benchmarks.sweep                                  # one small variant of every timm family
    python -m benchmarks.sweep --torchvision                    # torchvision's classifiers
    python -m benchmarks.sweep --all 'vit_*' '*convnext*'       # every registered model with such a name
    python -m benchmarks.sweep --markdown docs/sweep.md         # the table of all rows that --out holds

runs `camscope.Explainer(model)(x)` on models with random weights, each in a process of its own with a limit of time
and memory, and appends one JSON line per model to `--out`. What has a line there is skipped, so a sweep that was
stopped goes on where it was. A model ends in one of four ways: it gets a **map** (finite, not constant), camscope
**refuses** it with a reason, it **fails** (anything else), or it is **no classifier** and is not counted.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import multiprocessing
import re
import resource
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from timm.data import resolve_model_data_config
from timm.models import model_entrypoint
from torch import nn

import camscope

MAP, REFUSED, FAILED, NO_CLASSIFIER = "map", "refused", "failed", "no classifier"
CLASSES = 1000
SEED = 0
SPREAD = 0.02
"""Standard deviation of what a parameter that starts at zero is drawn from."""


@dataclass(frozen=True)
class Candidate:
    """A registered model. `family` is the module of the registry it is defined in."""

    library: str
    family: str
    name: str


@dataclass
class Row:
    """What became of one model.

    Attributes:
        result: `map`, `refused`, `failed` or `no classifier`.
        reason: why, if there is no map.
        head_added: whether it is registered without a classifier and got one, as `num_classes=1000` gives.
        layer, kind, grid, channels: the layer chosen; its runners-up.
        status: of the map, as camscope says.
    """

    library: str
    family: str
    name: str
    result: str = FAILED
    reason: str = ""
    parameters: int = 0
    input: tuple[int, ...] = ()
    head_added: bool = False
    layer: str = ""
    kind: str = ""
    grid: str = ""
    channels: int = 0
    runners_up: list[str] = field(default_factory=list)
    status: str = ""
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)


# ---------------------------------------------------------------------- what is registered


def timm_models() -> list[Candidate]:
    """Every model in timm's registry."""
    return [
        Candidate("timm", model_entrypoint(name).__module__.rsplit(".", 1)[-1], name)
        for name in timm.list_models()
    ]


def torchvision_models() -> list[Candidate]:
    """Every classifier in torchvision's registry."""
    names = torchvision.models.list_models(module=torchvision.models)
    return [
        Candidate(
            "torchvision", torchvision.models.get_model_builder(name).__module__.rsplit(".", 1)[-1], name
        )
        for name in names
    ]


def build(candidate: Candidate, classes: int | None = None) -> tuple[nn.Module, tuple[int, ...]]:
    """The model without weights of any training, and the shape of one image as its library feeds it."""
    if candidate.library == "torchvision":
        model = torchvision.models.get_model(candidate.name, weights=None)
        transforms = torchvision.models.get_model_weights(candidate.name).DEFAULT.transforms()
        side = getattr(model, "image_size", transforms.crop_size[0])  # some weights are of a larger ViT
        return model, (3, side, side)
    model = timm.create_model(candidate.name, **({} if classes is None else {"num_classes": classes}))
    return model, tuple(resolve_model_data_config(model)["input_size"])


def cost(candidate: Candidate) -> float:
    """About how much a forward takes: parameters times pixels. No memory is taken, nothing is initialised.

    A variant that is registered without a classifier comes after all that have one.
    """
    try:
        with torch.device("meta"):
            model, shape = build(candidate)
    except Exception:  # it needs numbers while it is built; another variant may not
        return math.inf
    size = sum(p.numel() for p in model.parameters()) * math.prod(shape)
    return float(size) if getattr(model, "num_classes", CLASSES) else size * 1e9


def smallest(candidates: Iterable[Candidate], done: Iterable[str] = ()) -> Iterator[Candidate]:
    """Of each family the variant that costs least; families that are done are passed over.

    Not timm's own models for tests, which are nobody's.
    """
    families: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        if not candidate.name.startswith("test_"):
            families.setdefault(candidate.family, []).append(candidate)
    for family in sorted(families.keys() - set(done)):
        yield min(families[family], key=cost)


# ---------------------------------------------------------------------- one model


def examine(candidate: Candidate) -> Row:
    """Build the model, explain one image of noise, and say what came of it."""
    row = Row(candidate.library, candidate.family, candidate.name, versions=versions())
    torch.manual_seed(SEED)
    model, shape = build(candidate)
    if candidate.library == "timm" and not getattr(model, "num_classes", CLASSES):
        with suppress(TypeError):
            model, shape = build(candidate, CLASSES)
            row.head_added = True
    row.parameters, row.input = sum(p.numel() for p in model.parameters()), shape
    model.eval()
    wake(model)
    x = torch.randn(1, *shape, generator=torch.Generator().manual_seed(SEED))
    with torch.no_grad():
        output = model(x)
    reason = no_classifier(model, output)
    if reason:
        row.result, row.reason = NO_CLASSIFIER, reason
        return row
    start = time.perf_counter()
    try:
        with warnings.catch_warnings(record=True):
            explainer = camscope.Explainer(model)
            explanation = explainer(x)
    except camscope.CamscopeError as error:
        row.result, row.reason = REFUSED, f"{type(error).__name__}: {error}"
        return row
    row.seconds = round(time.perf_counter() - start, 2)
    (row.layer,) = explanation.layers
    described = explanation.provenance["layers"]
    row.runners_up = list(described["runners_up"])
    row.kind, row.channels, row.grid = facts(described["layers"][row.layer])
    row.status = explanation.status["gradcam", row.layer][0][0]
    maps = explanation.maps()
    if not bool(maps.isfinite().all()):
        row.reason = "the map is not finite"
    elif row.status not in ("ok", "all-negative") or not bool(maps.max() > maps.min()):
        row.reason = f"the map is constant: {row.status}"
    else:
        row.result = MAP
    return row


def wake(model: nn.Module) -> None:
    """Draw anew every parameter that starts at zero, biases aside: no trained network has these at zero.

    A classifier or a branch's gain of zeros sends back gradients of zero, which says nothing about the layers.
    """
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.endswith("bias") and parameter.is_floating_point() and not bool(parameter.any()):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * SPREAD)


def no_classifier(model: nn.Module, output: Any) -> str:
    """Why this is no classifier of one image, or nothing: it has no classes, by its own word or by its output."""
    if getattr(model, "num_classes", CLASSES) == 0:
        return "registered without classes, and takes none"
    if isinstance(output, torch.Tensor) and output.ndim != 2:
        return f"puts out features of shape {tuple(output.shape)}"
    return ""


def facts(described: str) -> tuple[str, int, str]:
    """Kind, channels and grid of a layer from its line in an explanation's provenance."""
    found = re.match(r"(?P<kind>.*?)[,:] (?P<channels>\d+) channels, (?P<grid>.*)", described)
    return (found["kind"], int(found["channels"]), found["grid"]) if found else (described, 0, "")


def versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in ("camscope", "torch", "torchvision", "timm")}


# ---------------------------------------------------------------------- in a process of its own


def isolated(candidate: Candidate, seconds: float, gigabytes: float) -> Row:
    """`examine` in a fresh process; a process that takes too long or dies is a failed row."""
    row = Row(candidate.library, candidate.family, candidate.name, versions=versions())
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # what is imported is shared; no model is
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(candidate, gigabytes, sender), daemon=True)
    process.start()
    sender.close()
    try:
        if receiver.poll(seconds):
            row = receiver.recv()
        else:
            row.reason = f"not done after {seconds:.0f} s"
    except EOFError:
        process.join()
        row.reason = f"the process ended by {process.exitcode}"
    finally:
        process.kill()
        process.join()
        receiver.close()
    return row


def _work(candidate: Candidate, gigabytes: float, sender: Connection) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (int(gigabytes * 2**30), most))
    torch.set_num_threads(1)
    try:
        row = examine(candidate)
    except BaseException as error:
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))  # saying what happened takes memory too
        row = Row(candidate.library, candidate.family, candidate.name, versions=versions())
        row.reason = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    sender.send(row)


# ---------------------------------------------------------------------- lines


def read(path: Path) -> list[Row]:
    """The rows so far. A line that was cut short by an interruption is left out."""
    rows = []
    if path.exists():
        for line in path.read_text("utf-8").splitlines():
            with suppress(json.JSONDecodeError):
                rows.append(Row(**json.loads(line)))
    return rows


def append(path: Path, row: Row) -> None:
    """Add a row as one line."""
    text = json.dumps(asdict(row), ensure_ascii=False)
    cut = path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write(("\n" if cut else "") + text + "\n")


def left(candidates: Sequence[Candidate], rows: Sequence[Row], *, every: bool) -> Iterator[Candidate]:
    """What is still to run: models without a row; or, one per family, families without one."""
    if every:
        done = {(row.library, row.name) for row in rows}
        yield from (c for c in candidates if (c.library, c.name) not in done)
    else:
        yield from smallest(candidates, {row.family for row in rows if row.library == candidates[0].library})


# ---------------------------------------------------------------------- the table


def table(rows: Iterable[Row]) -> str:
    """`docs/sweep.md`: the counts, one table per library, and every refusal and failure with its reason."""
    rows = list(rows)
    used = ", ".join(f"{name} {version}" for name, version in (rows[-1].versions if rows else {}).items())
    lines = [
        "# Every model of timm and torchvision",
        "",
        f"Made by `python -m benchmarks.sweep --markdown docs/sweep.md` ({used}).",
        "",
        "Each model is built with random weights (no trained ones are needed to find a layer), given one image of "
        "noise of the size it is registered with, and explained by `camscope.Explainer(model)(x)`: no layer, no "
        "grid, no other argument. A **map** is a Grad-CAM that is finite and not constant (all-negative: nowhere above "
        "zero, so that nothing is left to show after the ReLU; untrained weights do that). Parameters that start at "
        "exactly zero (some classifiers and the gains of some branches; biases aside) are drawn from N(0, 0.02²) "
        "first: no trained network has them at zero, and a classifier of zeros sends back a gradient of zero whatever "
        "the layer. A model that is registered without a classifier (`num_classes` 0: an encoder) gets one of 1000 "
        "classes where it takes `num_classes`, and is marked \\*; one that does not, or still puts out features "
        "instead of one score per class, is no classifier and is not counted.",
        "",
    ]
    for library in ("timm", "torchvision"):
        own = [row for row in rows if row.library == library]
        if own:
            lines += [f"## {library}", "", summary(own), "", *_table(own), "", *_without(own)]
    return "\n".join(lines).rstrip() + "\n"


def summary(rows: Sequence[Row]) -> str:
    """How many models and families have a map; a family has one if every one of its models here has."""
    counted = [row for row in rows if row.result != NO_CLASSIFIER]
    families = {row.family for row in counted}
    good = families - {row.family for row in counted if row.result != MAP}
    maps = sum(row.result == MAP for row in counted)
    one_each = len({row.family for row in rows}) == len(rows)
    return (
        f"{maps} of {len(counted)} classifiers have a map; {len(good)} of {len(families)} families "
        f"({len(good) / max(1, len(families)):.1%})."
        + (f" No classifiers: {len(rows) - len(counted)}." if len(counted) < len(rows) else "")
        + " A family is a module of the registry"
        + ("; its variant of least parameters times pixels stands for it." if one_each else ".")
    )


def _table(rows: Iterable[Row]) -> list[str]:
    lines = [
        "| family | model | input | layer | kind | channels | grid | result | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: (row.family, row.name)):
        size = "×".join(map(str, row.input[1:]))
        layer = f"`{row.layer}`" if row.layer else ""
        result = f"{row.result} ({row.status})" if row.status == "all-negative" else row.result
        cells = (
            row.family,
            f"`{row.name}`" + (" \\*" if row.head_added else ""),
            size,
            layer,
            row.kind,
            str(row.channels or ""),
            row.grid,
            result,
            f"{row.seconds:.1f}" if row.seconds else "",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _without(rows: Iterable[Row]) -> list[str]:
    lines = []
    for result in (REFUSED, FAILED, NO_CLASSIFIER):
        some = sorted((row for row in rows if row.result == result), key=lambda row: row.name)
        if some:
            lines += [f"### {result[0].upper()}{result[1:]}", ""]
            lines += [f"- `{row.name}` ({row.family}): {row.reason}" for row in some]
            lines.append("")
    return lines


# ---------------------------------------------------------------------- the command


def main(arguments: Sequence[str] | None = None) -> None:
    """Sweep, or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "names", nargs="*", help="only models whose name (or family) matches one of these patterns"
    )
    parser.add_argument("--torchvision", action="store_true", help="torchvision's classifiers, all of them")
    parser.add_argument("--all", action="store_true", help="every registered model, not one per family")
    parser.add_argument(
        "--out", type=Path, default=Path("sweep.jsonl"), help="the rows (default: %(default)s)"
    )
    parser.add_argument("--limit", type=float, default=600, help="seconds per model (default: %(default)s)")
    parser.add_argument("--memory", type=float, default=16, help="GiB per model (default: %(default)s)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="only write the table of --out's rows")
    options = parser.parse_args(arguments)
    if options.markdown:
        options.markdown.write_text(table(read(options.out)), "utf-8")
        return
    candidates = [
        c
        for c in (torchvision_models() if options.torchvision else timm_models())
        if not options.names or any(fnmatch(c.name, n) or fnmatch(c.family, n) for n in options.names)
    ]
    if not candidates:
        parser.error(f"no registered model matches {' '.join(options.names)}")
    every = options.all or options.torchvision
    rows = read(options.out)
    for candidate in left(candidates, rows, every=every):
        row = isolated(candidate, options.limit, options.memory)
        append(options.out, row)
        rows.append(row)
        what = f"{row.layer} {row.grid}" if row.result == MAP else row.reason.splitlines()[0][:100]
        sys.stdout.write(f"{row.result:>8}  {row.family}/{row.name}: {what} ({row.seconds} s)\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
