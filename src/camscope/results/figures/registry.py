"""The register of figures: what a figure can be arranged by, for pictures, texts and signals."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from camscope.errors import InputError
from camscope.plugins import same_definition

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from camscope.results.figures.drawing import Drawing

Noun = Literal["image", "text", "signal"]
FigureFunction: TypeAlias = "Callable[..., Figure | Drawing]"
"""Makes a figure, or what is drawn as one, of an explanation, the number of an image (text, signal), and options."""

F = TypeVar("F", bound=FigureFunction)

FIGURES: dict[Noun, dict[str, FigureFunction]] = {"image": {}, "text": {}, "signal": {}}
"""The kinds of figures, by what the inputs are, then by what the figure is arranged by."""


def figure_kind(by: str, *, of: Noun = "image") -> Callable[[F], F]:
    """Register a kind of figure, `Explanation.figure(by=…)`.

        @figure_kind("layers")
        def layers_figure(e, image=0, **style): ...

    Another package names the module as an entry point of the group `camscope.figures`; see `camscope.plugins`.

    Args:
        by: what it is arranged by.
        of: what the inputs are: pictures (or other tensors), texts, or signals.

    Raises:
        InputError: if another figure is arranged by that already.
    """

    def register(function: F) -> F:
        taken = FIGURES[of].get(by)
        if taken is not None and not same_definition(taken, function):
            raise InputError(f"There is already a figure by {by!r} ({of}); choose another word.")
        FIGURES[of][by] = function
        return function

    return register
