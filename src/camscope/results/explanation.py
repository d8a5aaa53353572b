"""The result of `explain`: maps that show themselves, and can be kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camscope.results import figures, saving
from camscope.results.maps import Maps

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image


@dataclass(frozen=True, eq=False, repr=False)
class Explanation(Maps):
    """What `explain` returns: the maps (see `camscope.results.maps.Maps`), as pictures and as files."""

    def overlay(
        self,
        image: int = 0,
        target: int = 0,
        method: str | None = None,
        layer: str | None = None,
        **style: Any,
    ) -> Image.Image:
        """One heatmap on the photo.

        Args:
            image: which of the batch.
            target: which of its targets.
            method: may be left out if there is one.
            layer: may be left out if there is one.
            style: of `camscope.results.figures.overlay`: colormap, opacity, scale, colorbar.
        """
        return figures.overlay(self, image, target, *self.key(method, layer), **style)

    def figure(self, image: int = 0, *, by: str | None = None, **options: Any) -> Figure:
        """A figure of one image, good enough for a paper.

        Args:
            image: which of the batch.
            by: `targets` (the photo and the heatmap of each target), `methods` (methods × layers for one target)
                or `channels` (the feature maps that contribute most). By default `targets` for one method and
                layer, else `methods`. Of a text `targets`, `methods`, or by default all rows of words there are.
            options: of that figure: see `targets_figure`, `methods_figure` and `channels_figure` in
                `camscope.results.figures.photos`, and `words_figure` in `camscope.results.figures.texts`.
        """
        return figures.figure(self, image, by=by, **options)

    def save(self, path: str | Path) -> Path:
        """Write arrays and JSON into one `.npz` that opens without camscope. See `camscope.results.saving`."""
        return saving.save(self, path)

    def summary(self, image: int = 0) -> dict[str, Any]:
        """What is known of one image, as plain JSON-able values: classes, targets, scores, status, boxes."""
        return saving.summary(self, image)

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        """What `rich.print` shows: of texts the coloured words, of anything else the line that `print` does."""
        if not self.of_texts:
            yield repr(self)
            return
        for image in range(len(self)):
            for row, words in figures.terminal(self, image):
                yield f"{row.title} {row.subtitle}"
                yield words

    def _repr_html_(self) -> str:
        return figures.html(self)
