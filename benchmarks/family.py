"""Methods that run parts of the model again, or much arithmetic, beside the peers that have them.

    python benchmarks/family.py                      # one image, 224²; some ten minutes
    python benchmarks/family.py --sections eigencam --sections fullgrad
    python benchmarks/family.py --markdown --json-file family.json

Every line is one library doing the same for the same image in this process: seconds, how many times longer than
camscope, peak memory beyond what was there before (PyTorch's; NumPy's arrays are not in it), and how far the map is
from camscope's where both compute the same formula.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

os.environ.setdefault("KINETO_LOG_LEVEL", "99")

import cyclopts
import numpy as np
import pytorch_grad_cam
import torch
import torchcam.methods
import torchvision
from pytorch_grad_cam.ablation_layer import AblationLayerVit
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget, ClassifierOutputTarget
from rich.console import Console
from rich.table import Table
from torch import nn

import camscope
from measure import peak_memory
from speed import describe
from subjects import to_grid

_LONG = 25
"""Seconds from which on a work runs once, and its memory is not measured."""


@dataclass(frozen=True)
class Line:
    """One measurement.

    Attributes:
        task: what was asked.
        who: the library.
        seconds: median.
        times: multiple of camscope's time; of camscope's own line 1, or what `note` says.
        extra: peak bytes beyond what was there before.
        difference: largest difference of the map, scaled to [0, 1], from camscope's; None if not comparable.
        aim: what camscope wants of this line.
        note: whatever must be known of it.
    """

    task: str
    who: str
    seconds: float
    times: float
    extra: int | None = None
    difference: float | None = None
    aim: str = ""
    note: str = ""


@dataclass(frozen=True)
class Work:
    """What one library does: returns a map of the single image and target, any resolution."""

    who: str
    run: Callable[[], np.ndarray]
    aim: str = ""
    note: str = ""
    comparable: bool = True


def measured(task: str, works: Sequence[Work], repeats: int) -> Iterator[Line]:
    """The first work is camscope's, which the others are compared with. What takes long runs once."""
    first: Line | None = None
    ours: np.ndarray | None = None
    for work in works:
        start = time.perf_counter()
        maps = work.run()
        times = [time.perf_counter() - start]
        if times[0] < _LONG:  # else there is nothing to warm up
            times = []
            for _ in range(repeats):
                start = time.perf_counter()
                work.run()
                times.append(time.perf_counter() - start)
        seconds = median(times)
        extra = peak_memory(work.run, torch.device("cpu")) if seconds < _LONG else None
        if first is None or ours is None:
            first, ours = Line(task, work.who, seconds, 1.0, extra, aim=work.aim, note=work.note), maps
            yield first
            continue
        difference = float(np.abs(maps - ours).max()) if work.comparable else None
        yield Line(task, work.who, seconds, seconds / first.seconds, extra, difference, work.aim, work.note)


# ---------------------------------------------------------------------- the models and the libraries


def model_of(name: str) -> tuple[nn.Module, torch.Tensor, int]:
    """A torchvision model with random weights, one image, and its top class."""
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None).eval()
    if name.startswith("vit"):
        nn.init.normal_(model.heads.head.weight, std=0.02)
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        return model, x, int(model(x).argmax())


def scaled(maps: np.ndarray) -> np.ndarray:
    return (maps - maps.min()) / max(maps.max() - maps.min(), 1e-30)


def ours(model: nn.Module, x: torch.Tensor, method: str, target: int, layer: str | None, **options) -> Work:
    """camscope, the explainer made beforehand; its first call gets to know the model."""
    explainer = camscope.Explainer(model, **options)
    how = ", optimised copy" if options else ""

    def run() -> np.ndarray:
        e = explainer(x, methods=method, targets=target, layers=layer)
        return scaled(e.heatmaps()[0, 0].float().numpy())

    return Work(f"camscope{how}", run)


def pgc(
    kind: type, model: nn.Module, x: torch.Tensor, target: int, layer: str, *, probability=False, **options
) -> Work:
    wanted = ClassifierOutputSoftmaxTarget(target) if probability else ClassifierOutputTarget(target)

    def run() -> np.ndarray:
        with kind(model=model, target_layers=[model.get_submodule(layer)], **options) as cam:
            found = cam(input_tensor=x, targets=[wanted])
        model.zero_grad(set_to_none=True)
        return scaled(np.asarray(found[0], dtype=np.float32))

    return Work("pytorch-grad-cam", run)


# ---------------------------------------------------------------------- the sections


def ablation(repeats: int) -> Iterator[Line]:
    """Ablation-CAM: in closed form, and by running the part after the layer."""
    for name, layer, aim in (
        ("resnet50", "layer4", "≥ 300 ×"),
        ("vgg16", "features.29", "≥ 50 ×"),
        ("vit_b_16", "encoder.layers.encoder_layer_11.ln_1", "≥ 5 ×"),
    ):
        model, x, top = model_of(name)
        options: dict = {}
        if name.startswith("vit"):
            options = {"reshape_transform": to_grid, "ablation_layer": AblationLayerVit()}
        peer = pgc(pytorch_grad_cam.AblationCAM, model, x, top, layer, **options)
        peer = dataclasses.replace(peer, aim=aim)
        if name.startswith("vit"):
            peer = dataclasses.replace(
                peer, comparable=False, note="also takes the class token's channel away"
            )
        yield from measured(
            f"Ablation-CAM, {name} {layer}", [ours(model, x, "ablationcam", top, layer), peer], repeats
        )


def eigencam(repeats: int) -> Iterator[Line]:
    """Eigen-CAM at a large layer."""
    model, x, top = model_of("resnet50")
    peer = pgc(pytorch_grad_cam.EigenCAM, model, x, top, "layer1")
    works = [
        ours(model, x, "eigencam", top, "layer1"),
        dataclasses.replace(
            peer, aim="≥ 50 ×", comparable=False, note="centres the features; arbitrary sign"
        ),
    ]
    yield from measured("Eigen-CAM, resnet50 layer1", works, repeats)


def fullgrad(repeats: int) -> Iterator[Line]:
    """FullGrad."""
    model, x, top = model_of("resnet50")
    peer = pgc(pytorch_grad_cam.FullGrad, model, x, top, "layer4")
    works = [
        ours(model, x, "fullgrad", top, None),
        dataclasses.replace(peer, aim="≥ 5 ×", comparable=False, note="scales every channel by itself"),
    ]
    yield from measured("FullGrad, resnet50", works, repeats)


def scorecam(repeats: int) -> Iterator[Line]:
    """Score-CAM, all channels of ResNet-18's last layer: 512 masked forwards."""
    model, x, top = model_of("resnet18")
    inputs = x.expand(16, -1, -1, -1).contiguous()
    with torch.no_grad():
        A = (
            camscope.explain(model, x, channels=512, layers="layer4", targets=top)
            .channels["layer4"]
            .activations
        )
    live = int((A.amax((0, 1, 3, 4)) > A.amin((0, 1, 3, 4))).sum())

    def forwards() -> np.ndarray:
        with torch.no_grad():
            for _ in range(live // 16):
                model(inputs)
        return np.zeros(1)

    def torch_cam() -> np.ndarray:
        with torchcam.methods.ScoreCAM(model, "layer4", batch_size=16) as extractor:
            found = extractor(top, model(x))
        return found[0][0].numpy()

    peer = pgc(pytorch_grad_cam.ScoreCAM, model, x, top, "layer4")
    yield from measured(
        "Score-CAM, resnet18 layer4",
        [
            ours(model, x, "scorecam", top, "layer4"),
            Work(f"{live} bare forwards, 16 at a time", forwards, "camscope ≤ 1.05 ×", comparable=False),
            dataclasses.replace(ours(model, x, "scorecam", top, "layer4", optimised=True), comparable=True),
            dataclasses.replace(peer, comparable=False, note="softmax of logits over channels"),
            Work("torch-cam", torch_cam, note="softmax of logits over channels", comparable=False),
        ],
        repeats,
    )


SECTIONS = (ablation, eigencam, fullgrad, scorecam)


def main(
    *,
    sections: Sequence[str] = (),
    repeats: int = 3,
    json_file: Path | None = None,
    markdown: bool = False,
) -> None:
    """Measure, and print the table.

    Args:
        sections: ablation, eigencam, fullgrad, scorecam; all if left out.
        repeats: runs that are counted, of what takes less than 20 s.
        json_file: also write the lines there.
        markdown: print a table for the site.
    """
    console, progress = Console(), Console(stderr=True)
    if not console.is_terminal:
        console = Console(width=180)
    warnings.filterwarnings("ignore")
    lines: list[Line] = []
    machine = describe(torch.device("cpu"), 1, repeats)
    for section in SECTIONS:
        if not sections or section.__name__ in sections:
            for line in section(repeats):
                progress.print(f"{line.task}: {line.who} {line.seconds:.2f} s", highlight=False)
                lines.append(line)
                if (
                    json_file is not None
                ):  # one by one, so that a run that is stopped has not measured in vain
                    found = {"machine": machine, "lines": [dataclasses.asdict(one) for one in lines]}
                    json_file.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    if markdown:
        console.print(as_markdown(lines, machine), markup=False, highlight=False, soft_wrap=True)
    else:
        console.print(as_table(lines, machine))


HEADERS = ("", "", "time", "× camscope", "aim", "extra memory at peak", "map differs by", "")


def _cells(line: Line) -> tuple[str, ...]:
    return (
        line.task,
        line.who,
        f"{line.seconds:.3g} s",
        f"{line.times:,.2f}" if line.times < 10 else f"{line.times:,.0f}",
        line.aim,
        "" if line.extra is None else f"{line.extra / 2**20:,.0f} MiB",
        "" if line.difference is None else f"{line.difference:.0e}",
        line.note,
    )


def as_table(lines: Sequence[Line], machine: str) -> Table:
    table = Table(*HEADERS, title=machine, title_justify="left")
    for line in lines:
        table.add_row(*_cells(line))
    return table


def as_markdown(lines: Sequence[Line], machine: str) -> str:
    rows = [f"| {' | '.join(_cells(line))} |" for line in lines]
    return "\n".join(
        [
            f"Measured on {machine}.",
            "",
            f"| {' | '.join(HEADERS)} |",
            "|---|---|---:|---:|---|---:|---:|---|",
            *rows,
        ]
    )


if __name__ == "__main__":
    cyclopts.run(main)
