"""The register of figures: what a figure can be arranged by, for pictures and for texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Noun = Literal["image", "text"]
FigureFunction: TypeAlias = "Callable[..., Figure]"
"""Makes a figure from an explanation, the number of an image (or text) in the batch, and options."""

FIGURES: dict[Noun, dict[str, FigureFunction]] = {"image": {}, "text": {}}
"""The kinds of figures, by what the inputs are, then by what the figure is arranged by."""


def figure_kind(by: str, *, of: Noun = "image") -> Callable[[FigureFunction], FigureFunction]:
    """Register a kind of figure, `Explanation.figure(by=…)`.

        @figure_kind("layers")
        def layers_figure(e, image=0, **style): ...

    Args:
        by: what it is arranged by.
        of: what the inputs are: pictures (or other tensors), or texts.
    """

    def register(function: FigureFunction) -> FigureFunction:
        FIGURES[of][by] = function
        return function

    return register
