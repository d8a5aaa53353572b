"""What a model's layers offer: shape, grid, and whether their positions reach the score. Framework-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from camscope.errors import LayerError
from camscope.models.grid import Grid

AFTER_RELU = "+relu"
"""Ends the name of a layer that stands for the ReLU of another one's output, where the model applies it as a function
and has no module for it (torchvision's DenseNet: `features+relu` is what it pools)."""


OF_INPUT = ":input"
"""Behind the name of a layer, as the user writes it: what goes into it is meant, which is another layer's output."""


@dataclass(frozen=True)
class Layer:
    """A layer that could be a target layer.

    Attributes:
        name: its qualified name; the outermost of several modules that put out the very same tensor.
        kind: the class of the module.
        shape: of its output for one image.
        grid: where the positions are in that output.
        calls: how often one forward calls it.
        outline: whether it is a stage or a block, what people mean by "a layer", and not a part of one.
        eligible: whether it may be chosen automatically. Pooling, and what is inside of an attention, may not.
        in_place: how well its positions answer where a patch of the input is altered, from 0 to 1 (a correlation).
        reaches: whether its positions reach the score; None as long as that was not tried. The layer is the same one
            before and after.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    grid: Grid
    calls: int
    outline: bool
    eligible: bool
    in_place: float = 0.0
    reaches: bool | None = field(default=None, compare=False)

    def describe(self) -> str:
        """Its kind, channels and grid in words."""
        return f"{self.kind}, {self.grid.channels} channels, {self.grid.describe()}"

    def to_dict(self) -> dict[str, Any]:
        """What is known of it, as plain values for programs."""
        return {
            "name": self.name,
            "kind": self.kind,
            "shape": list(self.shape),
            "grid": list(self.grid.space),
            "channels": self.grid.channels,
            "layout": self.grid.layout,
            "prefix_tokens": self.grid.prefix,
            "calls": self.calls,
            "reaches_score": self.reaches,
        }

    @property
    def batch_axis(self) -> int:
        """The axis of its output along which the images of a batch stand."""
        return int(self.grid.batch_second)

    @property
    def of_one(self) -> tuple[int, ...]:
        """The shape of its output for one image, without the axis of the batch."""
        return self.shape[: self.batch_axis] + self.shape[self.batch_axis + 1 :]

    @property
    def module(self) -> str:
        """The name of the module whose output this is, or is the ReLU of."""
        return self.name.removesuffix(AFTER_RELU)

    @property
    def after_relu(self) -> bool:
        """Whether the layer is the ReLU of its module's output."""
        return self.name.endswith(AFTER_RELU)


def without_grid(
    name: str, shape: tuple[int, ...], layers: Sequence[Layer], *, unchanged: bool, more: str = ""
) -> LayerError:
    """What to say of a layer that has no grid.

    Args:
        name: of the layer.
        shape: of its output for one image.
        layers: those with a grid, in the order they run.
        unchanged: whether its output was the same for every altered input.
        more: what else is known of it, as a sentence.
    """
    good = next((layer for layer in reversed(layers) if layer.eligible), None)
    hint = f" {good.name!r} has one: {good.grid.describe()}." if good else ""
    why = (
        "it is the same where a patch of the input is altered"
        if unchanged
        else "in no order of its numbers does it answer in place to an altered patch of the input"
    )
    return LayerError(
        f"The layer {name!r} has no spatial grid: its output has shape {shape} for one image, and {why}.{more}{hint} "
        "If you know its positions, say them: Explainer(model, grid=…)."
    )


def with_batch_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of an output for one image, with its batch in front if it stands second."""
    return (1, shape[0], shape[2]) if has_batch_second(shape) else shape


def has_batch_second(shape: Sequence[int], rows: int = 1) -> bool:
    """Whether an output has its batch behind its positions, (n, rows, c).

    Args:
        shape: of the output.
        rows: how many images it is of.
    """
    return len(shape) == 3 and shape[0] != rows and shape[1] == rows


def as_batch_second(grid: Grid) -> Grid | None:
    """The grid of an output that has its batch second, of the one that was found with its batch in front.

    None where the positions would stand along its features: what answers there has its rows elsewhere.
    """
    return replace(grid, batch_second=True) if grid.layout in ("tokens", "channels-last") else None
