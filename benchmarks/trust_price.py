"""What `trust` costs beyond the model's own work on the altered inputs.

    python benchmarks/trust_price.py              # ResNet-50 and the demo model; some minutes on one core

Ten methods at three layers for three classes are judged by the same answers, so all of it should cost little more than
the forwards of the altered inputs alone: 1.15 times at most, and ROAD's imputation 5 % of it at most. Everything is
processor time of one thread within one run, where a machine that others use as well slows all parts alike: what the
model takes for altered inputs is timed inside its forward, what the imputers take inside them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any
from unittest import mock

import cyclopts
import timm
import torch
from rich.console import Console
from rich.table import Table
from skimage import data
from torch import Tensor, nn

import camscope
from camscope.engine import probing
from speed import processor
from subjects import TEN_METHODS

LAYERS = {
    "resnet50": ("layer2", "layer3", "layer4"),
    "tf_efficientnet_lite0": ("blocks.2", "blocks.4", "bn2"),
}
CLASSES = (281, 282, 285)


@dataclass
class Spent:
    """Processor seconds by what they were spent on."""

    seconds: dict[str, float] = field(default_factory=dict)
    inputs: int = 0

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Add what the block takes."""
        start = time.process_time()
        try:
            yield
        finally:
            self.seconds[what] = self.seconds.get(what, 0.0) + time.process_time() - start


class Timed(nn.Module):
    """A model that times its forwards of more than one input: those are the altered ones."""

    def __init__(self, model: nn.Module, spent: Spent) -> None:
        super().__init__()
        self.model, self.spent = model, spent

    def forward(self, x: Tensor) -> Tensor:
        if len(x) == 1:
            return self.model(x)
        self.spent.inputs += len(x)
        with self.spent.on("forwards of altered inputs"):
            return self.model(x)


def timed(call: Callable[..., Any], spent: Spent, what: str) -> Callable[..., Any]:
    """An imputer's call that is timed."""

    def calling(*args: Any) -> Any:
        with spent.on(what):
            return call(*args)

    return calling


def run(name: str) -> tuple[Spent, float, int]:
    """Judge the cat. Gives what was spent on what, on all of it, and how many rows came out."""
    torch.manual_seed(0)
    spent, model = Spent(), timm.create_model(name, pretrained=False).eval()
    explainer = camscope.Explainer(Timed(model, spent), preprocessing="imagenet")
    layers, cat = [f"model.{layer}" for layer in LAYERS[name]], data.chelsea()
    wanted = {"methods": TEN_METHODS, "layers": layers, "targets": list(CLASSES)}
    explainer(cat, **wanted)  # a model is looked at once
    spent.seconds.clear()
    spent.inputs = 0
    names = {"blur": "the blurred copies", "road": "ROAD's imputation"}
    fills = {name: timed(fill, spent, names[name]) for name, fill in probing.IMPUTERS.items()}
    with mock.patch.object(probing, "IMPUTERS", fills):
        start = time.process_time()
        judgement = explainer.trust(cat, **wanted, checks="fidelity")
        total = time.process_time() - start
    return spent, total, len(judgement.rows)


def main(*, repeats: int = 3) -> None:
    """Measure, and print the shares."""
    torch.set_num_threads(1)
    people = Console(width=110)
    people.print(f"{processor()}, one thread; torch {torch.__version__}; medians of {repeats}")
    table = Table(
        "model",
        "maps",
        "altered inputs",
        "forwards alone",
        "trust, of that",
        "ROAD's imputation",
        "blur",
        "the rest",
    )
    for name in LAYERS:
        runs = [run(name) for _ in range(repeats)]
        ratios, roads, blurs, rests = [], [], [], []
        for spent, total, _ in runs:
            bare, road, blur = (
                spent.seconds[what]
                for what in ("forwards of altered inputs", "ROAD's imputation", "the blurred copies")
            )
            ratios.append(total / bare)
            roads.append(road / total)
            blurs.append(blur / total)
            rests.append((total - bare - road - blur) / total)
        bare = median(spent.seconds["forwards of altered inputs"] for spent, *_ in runs)
        table.add_row(
            name,
            str(runs[0][-1]),
            str(runs[0][0].inputs),
            f"{bare:.1f} s",
            f"{median(ratios):.2f}×",
            *(f"{median(shares):.1%}" for shares in (roads, blurs, rests)),
        )
    people.print(table)


if __name__ == "__main__":
    cyclopts.run(main)
