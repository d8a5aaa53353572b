"""Figures of an explanation: which panels or words stand where. `camscope.render` draws them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from camscope import render
from camscope.errors import InputError, nearest
from camscope.keywords import in_number
from camscope.plugins import load_plugins
from camscope.results.figures import photos, signals, texts
from camscope.results.figures.drawing import Drawing
from camscope.results.figures.galleries import gallery as draw_gallery
from camscope.results.figures.notebook import html
from camscope.results.figures.options import naming_unknown_options, options_of
from camscope.results.figures.photos import overlay, overlays
from camscope.results.figures.registry import FIGURES, Noun, figure_kind
from camscope.results.figures.signals import signal_overlay
from camscope.results.figures.texts import page, terminal
from camscope.results.maps import Maps

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

__all__ = [
    "FIGURES",
    "figure",
    "figure_kind",
    "gallery",
    "html",
    "naming_unknown_options",
    "options_of",
    "overlay",
    "overlays",
    "page",
    "picture",
    "signal_overlay",
    "terminal",
]


_USUAL: Mapping[Noun, Callable[[Maps], str]] = {
    "image": photos.usual_kind,
    "text": texts.usual_kind,
    "signal": signals.usual_kind,
}
_DRAWN: Mapping[Noun, Callable[..., Figure]] = {
    "image": render.figure,
    "text": render.words_figure,
    "signal": render.signal_figure,
}


def figure(e: Maps, image: int = 0, *, by: str | None = None, **options: Any) -> Figure:
    """A figure of one image, text or signal.

    Args:
        e: the explanation.
        image: the number of the image, text or signal in the batch.
        by: what the figure is arranged by; see `Explanation.figure`.
        options: the options of that kind of figure.

    Raises:
        InputError: if there is no such kind or option; the message names those there are.
    """
    with _made(e, image, by, options) as made:
        return made.figure() if isinstance(made, Drawing) else made


def picture(
    e: Maps, image: int = 0, *, by: str | None = None, dpi: float = 150, **options: Any
) -> Image.Image:
    """The same as `figure` as a picture, where that is all one wants: a photo's takes a tenth of the time.

    Args:
        e: the explanation.
        image: the number of the image or text in the batch.
        by: what the figure is arranged by; see `Explanation.figure`.
        dpi: pixels per inch.
        options: the options of that kind of figure, but `ax`.

    Raises:
        InputError: see `figure`.
    """
    with _made(e, image, by, options) as made:
        return made.picture(dpi) if isinstance(made, Drawing) else render.as_picture(made, dpi)


@contextmanager
def _made(e: Maps, image: int, by: str | None, options: Mapping[str, Any]) -> Iterator[Figure | Drawing]:
    """What a kind of figure makes, drawn in a context in which an unknown option is refused, naming those there are."""
    load_plugins("camscope.figures")
    of: Noun = "text" if e.of_texts else "signal" if e.of_signals else "image"
    kinds = FIGURES[of]
    if by is None:
        by = _USUAL[of](e)
    if by not in kinds:
        raise InputError(
            f"by={by!r}: the figure of {'an' if of == 'image' else 'a'} {of} is by {', '.join(kinds)}."
            f"{nearest(by, kinds)}"
        )
    draw = _DRAWN[of]
    options = in_number(options, options_of(kinds[by], draw), "e.figure({})")
    with naming_unknown_options(options, kinds[by], draw):
        yield kinds[by](e, image, **options)


def gallery(e: Maps, **options: Any) -> Figure:
    """A whole batch in one figure; see `camscope.results.figures.galleries.gallery`, or of signals `signal_gallery`.

    Args:
        e: the explanation.
        options: of the gallery.

    Raises:
        InputError: if there is no such option; the message names those there are.
    """
    drawing: tuple[Callable[..., Any], ...] = (draw_gallery, render.figure)
    if e.of_signals:
        drawing = (signals.signal_gallery, signals.signal_figure, render.signal_figure)
    options = in_number(options, options_of(*drawing), "e.gallery({})")
    with naming_unknown_options(options, *drawing):
        return drawing[0](e, **options)  # type: ignore[no-any-return]
