"""What a model's layers offer: shape, grid, and whether their positions reach the score. Framework-free."""

from __future__ import annotations

from dataclasses import dataclass

from camscope.models.grid import Grid


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
        eligible: whether it may be chosen automatically: pooling and the inside of attention may not.
        reaches: whether its positions reach the score; None as long as that was not tried.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    grid: Grid
    calls: int
    outline: bool
    eligible: bool
    reaches: bool | None = None
