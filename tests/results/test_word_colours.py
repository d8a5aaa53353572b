"""Texts by their colours: every word stands on the colour of its own value, in figures, in HTML, in the terminal."""

from __future__ import annotations

import html
import itertools
import re
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from camscope.arrays import resize
from camscope.render import colours
from camscope.render.word_rows import WORDS, WORDS_DIVERGING
from camscope.results.figures import page, terminal
from tests.results.made import NUMBERS, SHORT, SPANS, TEXTS, made_of_texts, to_unit, values_of

METHODS, LAYERS = ("gradcam", "layercam"), tuple(SPANS)
KEYS = list(itertools.product(METHODS, LAYERS))
SCALES: list[Any] = [None, "map", "image", "signed", (-0.5, 1.5)]


@pytest.fixture(scope="module")
def e():
    return made_of_texts()


def expected(e, text: int, keys, targets=range(3), scale: Any = None) -> list[list[tuple[str, str]]]:
    """Row by row each word and the colour it should stand on: by method and layer, then by target."""
    signed = scale in (None, "signed")
    rows = []
    for key, target in itertools.product(keys, targets):
        values = values_of(e, *key, text, target, "signed" if signed else scale)
        grounds = colours(values[None], WORDS_DIVERGING if signed else WORDS)[0]
        rows.append(
            [
                (w.text, "#{:02x}{:02x}{:02x}".format(*c))
                for w, c in zip(TEXTS[text].words, grounds, strict=True)
            ]
        )
    return rows


def drawn(figure: Figure) -> list[tuple[str, str]]:
    """Each word and the colour that it is written on, from top left to bottom right."""
    canvas: Any = figure.canvas
    renderer = canvas.get_renderer()
    grounds = figure.findobj(FancyBboxPatch)
    words = [t for t in figure.texts if t.get_fontsize() == 10]
    assert len(words) == len(grounds)
    found = []
    for text in words:
        x, y = text.get_window_extent(renderer).get_points().mean(0)
        own = [
            patch
            for patch in grounds
            if (box := patch.get_window_extent(renderer)).x0 <= x <= box.x1 and box.y0 <= y <= box.y1
        ]
        assert len(own) == 1, text.get_text()
        level = -round(own[0].get_window_extent(renderer).y0)
        found.append((level, x, text.get_text(), to_hex(own[0].get_facecolor())))
    return [(word, ground) for _, _, word, ground in sorted(found)]


def headings(figure: Figure) -> list[tuple[str, str]]:
    """Each row's title, and what stands beside it, from top to bottom."""
    titles = [t for t in figure.texts if t.get_fontweight() == "bold" and t.get_fontsize() == 9]
    beside = [
        t for t in figure.texts if t.get_fontsize() == 8 and t.get_ha() == "left" and not t.get_rotation()
    ]

    def next_to(title: Any) -> str:
        level = title.get_position()[1]
        return min(beside, key=lambda t: abs(t.get_position()[1] - level)).get_text()

    return [(t.get_text(), next_to(t)) for t in sorted(titles, key=lambda t: -t.get_position()[1])]


def flat(rows: list[list[tuple[str, str]]]) -> list[tuple[str, str]]:
    return [word for row in rows for word in row]


def test_no_two_rows_are_alike(e):
    """Or a row with another's values would go unseen."""
    for scale, text in itertools.product(SCALES, range(2)):
        rows = [tuple(row) for row in expected(e, text, KEYS, scale=scale)]
        assert len({*rows}) == len(rows)


@pytest.mark.parametrize("scale", SCALES, ids=str)
@pytest.mark.parametrize("text", [0, 1])
def test_by_targets_every_word_is_on_its_own_colour(e, text, scale):
    for key in KEYS if scale is None else KEYS[1:2]:
        figure = e.figure(text, by="targets", method=key[0], layer=key[1], scale=scale)
        assert drawn(figure) == flat(expected(e, text, [key], scale=scale))
        assert headings(figure) == list(zip(SHORT[text], NUMBERS[text], strict=True))


@pytest.mark.parametrize("text", [0, 1])
def test_by_methods_every_word_is_on_its_own_colour(e, text):
    for target in range(3):
        figure = e.figure(text, by="methods", target=target)
        assert drawn(figure) == flat(expected(e, text, KEYS, [target]))
        beside = [f"{NUMBERS[text][target]} · {method} · {layer}" for method, layer in KEYS]
        assert headings(figure) == [(SHORT[text][target], words) for words in beside]


@pytest.mark.parametrize("text", [0, 1])
def test_all_rows_every_word_is_on_its_own_colour(e, text):
    figure = e.figure(text)
    assert drawn(figure) == flat(expected(e, text, KEYS))
    assert [title for title, _ in headings(figure)] == [*SHORT[text]] * len(KEYS)


def test_what_is_not_evidence_for_or_against_is_not_signed():
    e = made_of_texts(methods=("eigencam",))
    for key in (("eigencam", layer) for layer in LAYERS):
        figure = e.figure(1, method=key[0], layer=key[1])
        assert drawn(figure) == flat(expected(e, 1, [key], scale="map"))


# ------------------------------------------------------------------ HTML and the terminal


def in_html(markup: str) -> list[tuple[str, str]]:
    spans = re.findall(r'<span dir="auto" style="[^"]*background:(#\w{6})[^"]*">([^<]*)</span>', markup)
    return [(html.unescape(word), ground) for ground, word in spans]


@pytest.mark.parametrize("text", [0, 1])
def test_the_page_has_every_word_on_its_own_colour(e, text):
    markup = page(e, text)
    assert in_html(markup) == flat(expected(e, text, KEYS))
    titles = re.findall(r"font-weight:600\">([^<]+) <span style='[^']*'>([^<]*)</span>", markup)
    assert titles == [
        (SHORT[text][t], f"{NUMBERS[text][t]} · {method} · {layer}")
        for (method, layer), t in itertools.product(KEYS, range(3))
    ]


def test_a_notebook_shows_the_first_text(e):
    assert in_html(e._repr_html_()) == flat(expected(e, 0, KEYS))
    assert in_html(e[1]._repr_html_()) == flat(expected(e, 1, KEYS))


@pytest.mark.parametrize("text", [0, 1])
def test_the_terminal_has_every_word_on_its_own_colour(e, text):
    rows = terminal(e, text)
    found = [
        [(line.plain[span.start : span.end], str(span.style).partition(" on ")[2]) for span in line.spans]
        for _, line in rows
    ]
    assert found == expected(e, text, KEYS)
    assert [row.title for row, _ in rows] == [*SHORT[text]] * len(KEYS)


# ------------------------------------------------------------------ numbers


def test_words_and_tokens_are_the_sums_of_their_own_map(e):
    for (method, layer), text, target in itertools.product(KEYS, range(2), range(3)):
        start, stop = SPANS[layer][text]
        tokens = e.raw[method, layer][text, target, start:stop]
        assert e.tokens(text, method, layer, target=target) == list(
            zip(TEXTS[text].tokens, tokens.tolist(), strict=True)
        )
        sums = [float(tokens[w.start : w.stop].sum()) for w in TEXTS[text].words]
        found = e.words(text, method, layer, target=target)
        assert [word for word, _ in found] == [w.text for w in TEXTS[text].words]
        assert [value for _, value in found] == pytest.approx(sums, rel=1e-6)


@pytest.mark.parametrize("scale", ["map", "image", "batch", "signed", (-0.5, 1.5)], ids=str)
def test_heatmaps_of_texts_lie_where_their_tokens_do(e, scale):
    """Each text's own part, at the place of its first token; nothing (or the middle) where there is none."""
    for key in KEYS:
        whole = np.full((2, 3, 7), np.nan, dtype=np.float32)
        for text, (start, stop) in enumerate(SPANS[key[1]]):
            own = e.raw[key][text : text + 1, :, start:stop]
            own = own if scale == "signed" else np.maximum(own, 0)
            length, first = len(TEXTS[text]), TEXTS[text].first
            whole[text, :, first : first + length] = resize(own, (length,))[0]
        for text, target in itertools.product(range(2), range(3)):
            own = whole[text, target]
            heat = to_unit(own, {"image": whole[text], "batch": whole}.get(str(scale), own), scale)
            heat = np.nan_to_num(heat, nan=0.5 if scale == "signed" else 0)
            found = e.heatmaps(*key, scale=scale)[text, target]
            np.testing.assert_allclose(found, heat, rtol=0, atol=1e-6)
