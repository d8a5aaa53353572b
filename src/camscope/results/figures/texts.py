"""Figures of texts: which words stand in each row. `camscope.render` draws them."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from camscope import render
from camscope.arrays import Scale, scaled
from camscope.render import WordRow
from camscope.results.figures.labels import beside_title, caption_of, colours_of, keys_of
from camscope.results.figures.registry import figure_kind
from camscope.results.maps import Maps

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.text import Text as RichText

_MOST_ROWS = 19


def rows(
    e: Maps,
    image: int = 0,
    *,
    method: str | None = None,
    layer: str | None = None,
    target: int | None = None,
    scale: Scale | None = None,
) -> tuple[list[WordRow], bool]:
    """The words of one text with their values, a row for each map.

    Args:
        e: the explanation.
        image: the number of the text in the batch.
        method: show only this method; None shows all.
        layer: show only this layer; None shows all.
        target: show only the target with this number; None shows all.
        scale: see `camscope.arrays.normalise.Scale`. None takes `signed` if negative values mean evidence against in
            every method that is shown, else `map`. Values are scaled word by word, so special tokens have no
            influence on the scale.

    Returns:
        The rows, and whether their values are signed.

    Raises:
        InputError: if the input is no text, or a name is not among those explained.
    """
    keys = keys_of(e, method, layer)
    targets = range(len(e.targets[image])) if target is None else [target]
    signed = scale == "signed" or (scale is None and all(e.facts[key[0]].rectified for key in keys))
    text = e.text(image)
    made = []
    for key in keys:
        words = text.of_words(e.token_evidence(image, *key))
        shown = _scaled(words, "signed" if signed else scale or "map", e.facts[key[0]].rectified)
        for t in targets:
            made.append(
                WordRow(
                    words=[word.text for word in text.words],
                    glued=[word.glued for word in text.words],
                    values=shown[t],
                    title=e.titles[image][t],
                    subtitle=beside_title(e, image, t, key, keys),
                    note=e.status[key][image][t].words,
                )
            )
    return made, signed


def usual_kind(e: Maps) -> str:
    """What a figure is arranged by if the user does not say: it has a row for every map."""
    return "words"


@figure_kind("words", of="text")
def words_figure(
    e: Maps,
    image: int = 0,
    *,
    method: str | None = None,
    layer: str | None = None,
    target: int | None = None,
    scale: Scale | None = None,
    opacity: float | None = None,
    **style: Any,
) -> Figure:
    """The words of one text on the colours of their evidence, a row for each target, method and layer.

    Args:
        e: the explanation.
        image: the number of the text in the batch.
        method: see `rows`.
        layer: see `rows`.
        target: see `rows`.
        scale: see `rows`.
        opacity: has no effect on words; it is here so that figures of photos and of texts take the same options.
        style: options of `camscope.render.words_figure`: colormap, width, font_size, title …

    Raises:
        InputError: if the input is no text, or a name is not among those explained.
    """
    made, signed = rows(e, image, method=method, layer=layer, target=target, scale=scale)
    methods = e.methods if len(e.methods) == 1 else ()
    layers = e.layers if len(e.layers) == 1 else ()
    caption = caption_of(e, methods, layers)
    return render.words_figure(made, **{"caption": caption, **colours_of(scale, signed=signed), **style})


@figure_kind("targets", of="text")
def words_by_target(
    e: Maps, image: int = 0, *, method: str | None = None, layer: str | None = None, **options: Any
) -> Figure:
    """A row for each target, of one method at one layer.

    Args:
        e: the explanation.
        image: the number of the text in the batch.
        method: may be left out if there is one.
        layer: may be left out if there is one.
        options: options of `words_figure`.
    """
    method, layer = e.key(method, layer)
    return words_figure(e, image, method=method, layer=layer, **options)


@figure_kind("methods", of="text")
def words_by_method(e: Maps, image: int = 0, *, target: int | None = None, **options: Any) -> Figure:
    """A row for each method and layer, of one target or of all.

    Args:
        e: the explanation.
        image: the number of the text in the batch.
        target: show only the target with this number; None shows all.
        options: options of `words_figure`.
    """
    return words_figure(e, image, target=target, **options)


def html(e: Maps, image: int = 0, **chosen: Any) -> str:
    """The words of one text as HTML.

    Args:
        e: the explanation.
        image: the number of the text in the batch.
        chosen: what is shown, and how it is scaled; see `rows`.
    """
    made, signed = rows(e, image, **chosen)
    more = len(made) - _MOST_ROWS
    low, high = ("evidence against", "for") if signed else ("none", "most evidence")
    body = render.words_html(made[:_MOST_ROWS], signed=signed, low=low, high=high)
    return body + (f"<div>… and {more} more</div>" if more > 0 else "")


def page(e: Maps, image: int = 0) -> str:
    """The words of one text as an HTML file."""
    title = escape(e.text(image).readable[:80])
    head = f'<!doctype html><html><head><meta charset="utf-8"><title>{title}</title></head>'
    mark = "<div>untrained</div>" if e.untrained else ""
    return f"{head}<body>{html(e, image)}{mark}</body></html>\n"


def terminal(e: Maps, image: int = 0, **chosen: Any) -> list[tuple[WordRow, RichText]]:
    """The words of one text for the terminal, row by row.

    Args:
        e: the explanation.
        image: the number of the text in the batch.
        chosen: what is shown, and how it is scaled; see `rows`.
    """
    made, signed = rows(e, image, **chosen)
    return [(row, render.words_text(row, signed=signed)) for row in made]


def _scaled(
    words: Float[np.ndarray, "target word"], scale: Scale, rectify: bool
) -> Float[np.ndarray, "target word"]:
    """The words' values in [0, 1]; NaN and infinity count as zero."""
    if not words.shape[-1]:
        return words
    finite = np.where(np.isfinite(words), words, 0)
    return np.asarray(scaled(finite[None], scale, rectify=rectify)[0])
