"""A model to try, how it is tried, and the row that says what came of it; rows are lines of JSON."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd as _Conv

MAP, REFUSED, FAILED = "map", "refused", "failed"
WRONG_PLACE, BLURRED = "wrong place", "blurred"
NO_CLASSIFIER, NOT_BUILT = "no classifier", "not built"
COUNTED = (MAP, BLURRED, REFUSED, FAILED, WRONG_PLACE)
SEED = 0

KEPT = Path(__file__).with_name("rows.jsonl")
"""The rows that `docs/sweep.md` is made of. A sweep adds to them, and goes on where the last one was stopped."""

PACKAGES = {
    "timm": ("timm",),
    "torchvision": ("torchvision",),
    "transformers": ("transformers",),
    "open_clip": ("open_clip_torch",),
    "smp": ("segmentation_models_pytorch",),
    "monai": ("monai",),
    "peft": ("peft", "transformers"),
}
"""Of each library that can be swept, the packages that make its models."""


class NotBuiltError(Exception):
    """The model cannot be built and run here, whatever explains it; the message says why."""


@dataclass(frozen=True)
class Candidate:
    """A model of a library. `family` is the part of the library, or the task, that it belongs to."""

    library: str
    family: str
    name: str


@dataclass
class Case:
    """How a user would have a model explained.

    Attributes:
        model: with random weights, in eval mode.
        inputs: what the explainer is called with: a tensor, or a dictionary by keyword.
        explained: the name of the input that is explained, where `inputs` is a dictionary.
        options, call: keyword arguments of `Explainer` and of its call.
        forward: runs the part of the model that sees the image.
        head_added: whether the model is registered without a classifier and got one.
    """

    model: nn.Module
    inputs: Any
    explained: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    call: dict[str, Any] = field(default_factory=dict)
    forward: Callable[[nn.Module, Any], Any] | None = None
    head_added: bool = False

    @property
    def x(self) -> Tensor:
        """The input that is explained."""
        x: Tensor = self.inputs[self.explained] if self.explained else self.inputs
        return x

    def run(self, x: Tensor | None = None) -> Any:
        """The model's output, with `x` in place of the input that is explained."""
        inputs = self.inputs
        if x is not None:
            inputs = {**inputs, self.explained: x} if self.explained else x
        with torch.no_grad():
            if self.forward is not None:
                return self.forward(self.model, inputs)
            return self.model(**inputs) if self.explained else self.model(inputs)


@dataclass
class Row:
    """What became of one model.

    Attributes:
        result: `map`, `blurred`, `refused`, `failed`, `wrong place`, `no classifier` or `not built`.
        reason: why, if there is no map.
        head_added: whether it is registered without a classifier and got one, as `num_classes=1000` gives.
        layer, kind, grid, channels: the layer chosen; its runners-up.
        status: of the map, as camscope says.
        place: how well the layer's positions answer in place, from -1 to 1; see `benchmarks.sweep.place`.
        made: on which day, as `2026-11-30`; empty of rows that are older than this note.
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
    place: float | None = None
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    made: str = ""

    @classmethod
    def of(cls, candidate: Candidate) -> Row:
        """A row of which nothing is known yet."""
        library, today = candidate.library, date.today().isoformat()
        return cls(library, candidate.family, candidate.name, versions=versions(library), made=today)


def versions(library: str) -> dict[str, str]:
    """What makes a row of this library: camscope, torch and its own packages."""
    names = ("camscope", "torch", *PACKAGES[library])
    return {name: importlib.metadata.version(name) for name in names}


def noise(*shape: int) -> Tensor:
    """An input of noise, the same each time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(SEED))


def enliven(model: nn.Module) -> None:
    """Draw the weights of a small model so that its layers keep the size of a signal: of variance one by fan-in.

    What is drawn for hundreds of channels vanishes in tens: maps of it would be flat, and say nothing of the layers.
    """
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for module in model.modules():
            plain = isinstance(module, nn.Linear | _Conv) and not hasattr(module, "parametrizations")
            if plain and module.weight.numel():
                fan_in = module.weight[0].numel()
                module.weight.copy_(torch.randn(module.weight.shape, generator=generator) / fan_in**0.5)


def settle(case: Case) -> None:
    """Give the batch norms the statistics of noise, as training gives them those of photos."""
    norms = [m for m in case.model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms or not case.x.is_floating_point():
        return
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train().momentum = 1.0
    shape = list(case.x.shape) if case.explained else [4, *case.x.shape[1:]]
    case.run(noise(*shape))
    for norm, momentum in zip(norms, kept, strict=True):
        norm.eval().momentum = momentum


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


def without_row(candidates: Sequence[Candidate], rows: Sequence[Row]) -> list[Candidate]:
    """What is still to run."""
    done = {(row.library, row.family, row.name) for row in rows}
    return [c for c in candidates if (c.library, c.family, c.name) not in done]
