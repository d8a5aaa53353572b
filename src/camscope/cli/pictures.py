"""How the pictures that a command writes look, and how large they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from camscope.cli.showing import FEW
from camscope.results.explanation import Explanation

OverlaySize: TypeAlias = int | Literal["full"]
Kind: TypeAlias = Literal["png", "webp", "jpg"]

USUAL_OPACITY = 0.5
USUAL_SIZE = 1600

_IN_A_FIGURE = 1000
"""Twice the pixels that a photo in a figure has along its longer side."""


@dataclass(frozen=True)
class Pictures:
    """How pictures look.

    Attributes:
        style: keywords for the figures of an explanation: `colormap` and `opacity`.
        kind: of their files; None for PNG, which is exact, or JPEG where they are many: that takes a tenth of the time,
            and of the room a twentieth.
        overlay_size: the most pixels along the longer side of an overlay; `full` stands for the photo's own.
    """

    style: Mapping[str, Any]
    kind: Kind | None = None
    overlay_size: OverlaySize = USUAL_SIZE

    @property
    def suffix(self) -> str:
        """Of their files."""
        return f".{self.kind or 'png'}"

    def of_so_many(self, inputs: int) -> Pictures:
        """The same, of a kind that suits the number of inputs if none was asked for.

        Args:
            inputs: how many are drawn.
        """
        return replace(self, kind=self.kind or ("png" if inputs <= FEW else "jpg"))

    def for_figure(self, e: Explanation) -> Explanation:
        """The explanation on photos as large as a figure needs them: the time goes with the pixels."""
        return replace(e, input_images=e.input_images.shrunk(_IN_A_FIGURE))

    def for_overlay(self, e: Explanation) -> Explanation:
        """The explanation on photos as large as overlays are to be."""
        if self.overlay_size == "full":
            return e
        return replace(e, input_images=e.input_images.shrunk(self.overlay_size))

    def options(self) -> dict[str, Any]:
        """The options on the command line that ask for the same; None for what is the default."""
        opacity = self.style.get("opacity")
        return {
            "--colormap": self.style.get("colormap"),
            "--opacity": None if opacity == USUAL_OPACITY else opacity,
            "--format": self.kind,
            "--overlay-size": None if self.overlay_size == USUAL_SIZE else self.overlay_size,
        }
