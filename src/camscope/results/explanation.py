"""The result of `explain`: maps that show themselves, and can be kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camscope import render
from camscope.keywords import belonging, keywords
from camscope.results import figures, saving
from camscope.results.maps import Maps

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image


@dataclass(frozen=True, eq=False, repr=False)
class Explanation(Maps):
    """What `explain` returns: the maps (see `camscope.results.maps.Maps`), with ways to show and to keep them.

    Example:
        >>> e = camscope.explain(model, x, methods=["gradcam", "eigencam"])
        >>> e.methods, e.layers
        (('gradcam', 'eigencam'), ('layer4',))
        >>> e["eigencam"].figure(image=1).savefig("second.png")
    """

    @keywords("e.overlay({})")
    def overlay(
        self,
        image: int = 0,
        target: int = 0,
        method: str | None = None,
        layer: str | None = None,
        **style: Any,
    ) -> Image.Image:
        """One heatmap on the photo, or on the signal: the picture in a figure, without texts.

        Args:
            image: the number of the image in the batch.
            target: the number of the target.
            method: may be left out if there is one.
            layer: may be left out if there is one.
            style: options of `camscope.results.figures.overlay`: colormap, opacity, scale, colorbar; of a signal those
                of `camscope.results.figures.signal_overlay`.

        Raises:
            InputError: if the input is neither picture nor signal, or a name is not among those explained.
        """
        draw = figures.signal_overlay if self.of_signals else figures.overlay
        with figures.naming_unknown_options(style, draw):
            return draw(self, self.number(image), target, *self.key(method, layer), **style)

    def figure(self, image: int = 0, *, by: str | None = None, **options: Any) -> Figure:
        """A figure of one image, good enough for a paper.

        Args:
            image: the number of the image, text or signal in the batch.
            by: what the figure is arranged by. For a picture `targets` (the photo and the heatmap of each target),
                `methods` (methods × layers, for every target or for `target=N`) or `channels` (the feature maps that
                contribute most); by default `targets` for one method and layer, else `methods`. For a text `targets`
                or `methods`; by default it has a row of words for every map. For a
                signal likewise: `signals`, a row for every map, `targets` or `methods`.
            options: the options of that figure: see `targets_figure`, `methods_figure` and `channels_figure` in
                `camscope.results.figures.photos`, `words_figure` in `camscope.results.figures.texts`, and
                `signal_figure` in `camscope.results.figures.signals`.

        Raises:
            InputError: if there is no such figure; the message names those there are.
        """
        return figures.figure(self, self.number(image), by=by, **options)

    def gallery(self, **options: Any) -> Figure:
        """All images of the batch in one figure: each photo with its heatmap, or with those of all its targets.

        Of signals it has a row for each, or for each of its targets.

        Args:
            options: see `camscope.results.figures.galleries.gallery`: images, target, method, layer, photos, columns,
                scale, and the options of `camscope.render.figure`; of signals `signal_gallery` in
                `camscope.results.figures.signals`.

        Raises:
            InputError: if the inputs are neither pictures nor signals, or an option is not valid.
        """
        return figures.gallery(self, **options)

    def show(self, **options: Any) -> None:
        """Show it in a notebook as a page to click in: classes, methods, scales and thresholds are chosen there.

        Where anywidget is not installed, or these are no photos, the figure is shown. See `camscope.app.show`.

        Args:
            options: title, spec (how the model is named in a command) and height, in pixels.

        Raises:
            InputError: if this is no notebook; the message says what shows it elsewhere.
        """
        import camscope  # the house's door knows the room of the page, which lies above this one

        camscope.app.show(self, **options)

    def save(self, path: str | Path) -> Path:
        """Write arrays and JSON into one `.npz` that opens without camscope. See `camscope.results.saving`."""
        return saving.save(self, path)

    def summary(self, image: int = 0) -> dict[str, Any]:
        """The facts of one image as plain values that JSON can store: classes, targets, scores, status."""
        return saving.summary(self, image)

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        """What `rich.print` shows: the coloured words of texts; for other inputs the same line as `print`."""
        if not self.of_texts:
            yield repr(self)
            return
        for image in range(len(self)):
            for row, words in figures.terminal(self, image):
                yield f"{row.title} {row.subtitle}"
                yield words

    def _repr_html_(self) -> str:
        return figures.html(self)


belonging("e.figure({})", ["by", *figures.options_of(render.figure, render.signal_figure)])
belonging("e.overlay({})", figures.options_of(figures.overlay, figures.signal_overlay))
