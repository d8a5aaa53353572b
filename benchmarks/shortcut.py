"""A planted shortcut: seen in the map, taken away by a loss on the map. And a digit whose place is known.

    python -m benchmarks.shortcut             # three seeds, about ten minutes on one core
    python -m benchmarks.shortcut --seeds 1   # one

prints two tables. Scikit-learn's digits stand somewhere on a noisy canvas of 48² (`camscope.training.planted`); in the
training set every "3" has a bright mark in the corner. `tests/training/test_shortcut.py` holds the bounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from camscope.arrays import resize
from camscope.libraries.gapnet import GapNet
from camscope.training import (
    Planted,
    StepMaps,
    cam,
    energy_loss,
    gain_extended_loss,
    gain_loss,
    outside_loss,
    planted,
    rrr_loss,
)

MARKED = 3
TRAINED_ON = 1347
"""Three quarters of the 1,797 digits; the others are held out."""

BATCH = 64
TIMES = 2
"""How often each digit is pasted, at another place each time."""

Penalty = Callable[[StepMaps, torch.Tensor, torch.Tensor], torch.Tensor]
"""What is added to the cross-entropy, from the step's maps, its inputs and the masks of the digits."""


@dataclass(frozen=True)
class Loss:
    """A loss on maps.

    Attributes:
        words: what is printed.
        penalty: itself; None for cross-entropy alone.
        method: whose maps it is of.
        targets: of all classes, or None for the true one.
    """

    words: str
    penalty: Penalty | None = None
    method: str = "cam"
    targets: str | None = None


LOSSES = (
    Loss("cross-entropy"),
    Loss("+ 1 · outside", lambda seen, x, masks: outside_loss(seen.maps, masks)),
    Loss("+ 0.1 · outside", lambda seen, x, masks: 0.1 * outside_loss(seen.maps, masks)),
    Loss("+ 1 · outside, all classes", lambda seen, x, masks: outside_loss(seen.maps, masks), targets="all"),
    Loss("+ 1 · energy", lambda seen, x, masks: energy_loss(seen.maps, masks)),
    Loss("+ 0.01 · RRR", lambda seen, x, masks: 0.01 * rrr_loss(seen.outputs, x, masks)),
    Loss(
        "+ 1 · GAIN + 10 · its extension",
        lambda seen, x, masks: gain_loss(seen, x) + 10 * gain_extended_loss(seen.maps, masks),
        method="gradcam",
    ),
)


def network(strides: Sequence[int] = (2, 1), channels: Sequence[int] = (16, 32)) -> GapNet:
    """A GapNet for grey images of ten digits."""
    return GapNet(10, channels=1, widths=channels, strides=strides)


def digits(seed: int, part: slice, *, marks: Callable[[np.ndarray], np.ndarray] | None) -> Planted:
    """Some of scikit-learn's digits at 16² on canvases of 48².

    Args:
        seed: of which digits are trained on, of noise and places.
        part: which, of all in the order of the seed.
        marks: from labels to which of them are marked; None for none.
    """
    pictures, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))[part]
    if part.start is None:
        order = np.tile(order, TIMES)
    large = pictures[order].reshape(-1, 8, 8).repeat(2, 1).repeat(2, 2)
    labels = labels[order]
    return planted(
        large, labels, marked=None if marks is None else marks(labels), seed=seed * 2 + (part.start or 0)
    )


def train(
    data: Planted,
    loss: Loss,
    *,
    seed: int,
    epochs: int = 12,
    strides: Sequence[int] = (2, 1),
    channels: Sequence[int] = (16, 32),
) -> nn.Module:
    """A network trained on the data: AdamW 0.01, one-cycle to 1e-2, batches of 64.

    Args:
        data: the images.
        loss: see `Loss`.
        seed: of weights and order.
        epochs: how often each image is seen.
        strides: of the network's stages.
        channels: of the same.
    """
    torch.manual_seed(seed)
    model = network(strides, channels)
    x, y, masks = torch.from_numpy(data.images), torch.from_numpy(data.labels), torch.from_numpy(data.digit)
    batches = -(-len(y) // BATCH)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, epochs * batches, pct_start=0.25)
    for _ in range(epochs):
        for rows in torch.randperm(len(y)).split(BATCH):
            step(model, loss, x[rows], y[rows], masks[rows]).backward()
            optimiser.step()
            optimiser.zero_grad()
            schedule.step()
    return model.eval()


def step(model: nn.Module, loss: Loss, x: torch.Tensor, y: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """The loss of one batch."""
    if loss.penalty is None:
        return functional.cross_entropy(model(x), y)
    x = x.requires_grad_("RRR" in loss.words)
    seen = cam(model, x, loss.targets or y, method=loss.method)
    return functional.cross_entropy(seen.outputs, y) + loss.penalty(seen, x, masks)


def heatmaps(model: nn.Module, data: Planted) -> Float[torch.Tensor, "image height width"]:
    """The positive part of each true class's CAM, at the input's size."""
    x = torch.from_numpy(data.images)
    with torch.no_grad():
        maps = torch.cat(
            [
                cam(model, x[i : i + 256], torch.from_numpy(data.labels[i : i + 256])).maps
                for i in range(0, len(x), 256)
            ]
        )
    return resize(maps.clamp(min=0), x.shape[2:])[:, 0]


def mass(heat: torch.Tensor, where: np.ndarray) -> float:
    """The share of the heatmaps' mass that is there, mean over images that have any."""
    total = heat.sum((1, 2))
    inside = (heat * torch.from_numpy(where)).sum((1, 2))
    return float((inside / total)[total > 0].mean())


def right(model: nn.Module, data: Planted) -> np.ndarray:
    """Which images the model is right about."""
    with torch.no_grad():
        said = model(torch.from_numpy(data.images)).argmax(1).numpy()
    return said == data.labels


@dataclass(frozen=True)
class Seen:
    """What a model does about the mark, on digits it was not trained on.

    Attributes:
        accuracy: with the marks as in training.
        in_mark: mass of the marked 3s' map in the mark.
        in_digit: the same in the box of the digit.
        without: share of the 3s it is right about when the mark is taken away.
        others: share of the other digits it is right about when they get the mark.
        seconds: the training took.
    """

    accuracy: float
    in_mark: float
    in_digit: float
    without: float
    others: float
    seconds: float


def shortcut(loss: Loss, seed: int, *, epochs: int = 12, count: int = TRAINED_ON) -> Seen:
    """Train where every 3 has a mark, and see what becomes of it.

    Args:
        loss: what is trained with.
        seed: of everything.
        epochs: how long.
        count: how many digits are trained on.
    """
    start = time.process_time()
    model = train(
        digits(seed, slice(count), marks=lambda labels: labels == MARKED), loss, seed=seed, epochs=epochs
    )
    seconds = time.process_time() - start
    held_out = slice(TRAINED_ON, None)
    like_training = digits(seed, held_out, marks=lambda labels: labels == MARKED)
    plain, all_marked = (
        digits(seed, held_out, marks=None),
        digits(seed, held_out, marks=lambda labels: labels >= 0),
    )
    marked = like_training.labels == MARKED
    heat = heatmaps(model, like_training)[marked]
    return Seen(
        accuracy=float(right(model, like_training).mean()),
        in_mark=mass(heat, like_training.mark),
        in_digit=mass(heat, like_training.digit[marked]),
        without=float(right(model, plain)[marked].mean()),
        others=float(right(model, all_marked)[~marked].mean()),
        seconds=seconds,
    )


@dataclass(frozen=True)
class Placed:
    """How well maps find a digit whose place is known.

    Attributes:
        accuracy: on digits it was not trained on.
        untrained: mass in the digit's box before training, and `peak_untrained` how often the peak is in it.
        peak_untrained: see there.
        in_box: mass in the box.
        peak: how often the peak is in it.
    """

    accuracy: float
    untrained: float
    peak_untrained: float
    in_box: float
    peak: float


def placed(
    strides: Sequence[int], channels: Sequence[int], seed: int, *, epochs: int = 15, count: int = TRAINED_ON
) -> Placed:
    """Train on digits without any mark, and see where the maps point.

    Args:
        strides: of the network's stages.
        channels: of the same.
        seed: of everything.
        epochs: how long.
        count: how many digits are trained on.
    """
    data = digits(seed, slice(TRAINED_ON, None), marks=None)
    torch.manual_seed(seed)
    before = heatmaps(network(strides, channels).eval(), data)
    model = train(
        digits(seed, slice(count), marks=None),
        LOSSES[0],
        seed=seed,
        epochs=epochs,
        strides=strides,
        channels=channels,
    )
    after = heatmaps(model, data)
    return Placed(
        accuracy=float(right(model, data).mean()),
        untrained=mass(before, data.digit),
        peak_untrained=peaks(before, data.digit),
        in_box=mass(after, data.digit),
        peak=peaks(after, data.digit),
    )


def peaks(heat: torch.Tensor, boxes: np.ndarray) -> float:
    """How often a heatmap's highest position is in its box."""
    highest = heat.flatten(1).argmax(1)
    return float(torch.from_numpy(boxes).flatten(1).gather(1, highest[:, None]).float().mean())


NETWORKS = {
    "stride 2, 4 convolutions (24²)": ((2, 1), (16, 32)),
    "stride 4, 6 convolutions (12²)": ((1, 2, 2), (16, 32, 64)),
}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(parser.parse_args().seeds)
    print(
        f"camscope, PyTorch {torch.__version__}, {torch.get_num_threads()} thread(s), {len(seeds)} seed(s)\n"
    )
    print(
        "| loss | accuracy | mass in mark | in digit | 3s right without the mark | others right with it | s |"
    )
    print("|---|---|---|---|---|---|---|")
    for loss in LOSSES:
        found = [shortcut(loss, seed) for seed in seeds]
        columns = (
            ", ".join(f"{getattr(one, name):.2f}" for one in found)
            for name in Seen.__annotations__
            if name != "seconds"
        )
        print(
            f"| {loss.words} | {' | '.join(columns)} | {np.mean([one.seconds for one in found]):.0f} |",
            flush=True,
        )
    print("\n| network | accuracy | mass in box, untrained | trained | peak in box, untrained | trained |")
    print("|---|---|---|---|---|---|")
    for name, (strides, channels) in NETWORKS.items():
        there = [placed(strides, channels, seed) for seed in seeds]
        columns = (
            ", ".join(f"{getattr(one, key):.2f}" for one in there)
            for key in ("accuracy", "untrained", "in_box", "peak_untrained", "peak")
        )
        print(f"| {name} | {' | '.join(columns)} |", flush=True)


if __name__ == "__main__":
    main()
