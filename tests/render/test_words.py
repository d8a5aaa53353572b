"""Coloured words: what is readable, what is escaped, and that nothing leaves the page."""

from __future__ import annotations

import io
import warnings
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from camscope import render
from camscope.errors import InputError
from camscope.render.word_rows import WORDS, WORDS_DIVERGING, WordRow, painted, right_to_left, words_colormap

WORDS_OF = [
    "A", "gorgeous", ",", "witty", "film", ":", "the", "cast", "is", "wonderful", ",", "even", "where", "the", "plot",
    "gets", "dull", ".",
]  # fmt: skip


def row(words=WORDS_OF, **options) -> WordRow:
    glued = [word in ",.:" for word in words]
    return WordRow(words, glued, np.linspace(0, 1, len(words)), **options)


def luminance(colour) -> float:
    c = np.asarray(colour) / 255
    return float(np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


def contrast(a, b) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colormap", [WORDS, WORDS_DIVERGING, "viridis", "inferno", "gray"])
def test_ink_is_readable_on_every_colour(colormap):
    """WCAG's 4.5 : 1, the least for small text; black or white reaches it on any ground."""
    for ground, ink in painted(np.linspace(0, 1, 256), colormap):
        assert contrast(ground, ink) >= 4.5


def test_the_default_colours_are_pale_where_there_is_nothing():
    signed, plain = words_colormap("inferno", True), words_colormap("inferno", False)
    assert min(painted(np.array([0.5]), signed)[0][0]) > 200
    assert min(painted(np.array([0.0]), plain)[0][0]) > 200
    for colormap, ends in ((signed, [0.0, 1.0]), (plain, [1.0])):
        assert all(max(ground) < 120 for ground, _ in painted(np.array(ends), colormap))
    assert words_colormap("magma", True) == "magma"


def test_a_row_needs_a_value_for_each_word():
    with pytest.raises(InputError, match="2 words, 3 values"):
        WordRow(["a", "b"], [False, False], np.zeros(3))


# ------------------------------------------------------------------ HTML


class Reader(HTMLParser):
    """Which tags were opened, and all text outside of them; fails where tags do not close in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.said: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.said.append(data)


def test_html_escapes_whatever_a_text_says():
    evil = ["<script>alert(1)</script>", '"><img', "a&b", "'"]
    made = Reader(
        render.words_html(
            [row(evil, title="<b>t</b>", subtitle="<i>", note="<u>")], low="<low>", high="<high>"
        )
    )
    assert set(made.tags) <= {"div", "span"}
    for text in (*evil, "<b>t</b>", "<i>", "<u>", "<low>", "<high>"):
        assert any(text in said for said in made.said)


def test_html_has_every_word_once_and_its_direction_is_the_browsers():
    html = render.words_html([row()], signed=True)
    said = "".join(Reader(html).said).replace("\u2060", "")
    assert "A gorgeous, witty film: the cast" in said
    assert html.count('dir="auto"') == len(WORDS_OF) + 1


# ------------------------------------------------------------------ terminal


def printed(text, **options) -> str:
    console = Console(file=io.StringIO(), width=60, emoji=False, highlight=False, **options)
    console.print(text)
    return console.file.getvalue()


def test_the_terminal_shows_words_on_their_colours():
    seen = printed(render.words_text(row(), signed=True), force_terminal=True, color_system="truecolor")
    (low, _), *_, (high, _) = painted(np.array([0.0, 1.0]), WORDS_DIVERGING)
    assert "48;2;{};{};{}mA".format(*low) in seen
    assert "48;2;{};{};{}m.".format(*high) in seen
    plain = " ".join(printed(render.words_text(row())).split())
    assert plain == "A gorgeous, witty film: the cast is wonderful, even where the plot gets dull."


def test_a_word_cannot_command_the_terminal():
    seen = printed(render.words_text(row(["[red]", "\x1b[2J", "a\rb"])))
    assert "[red]" in seen
    assert "\x1b" not in seen
    assert "\r" not in seen


# ------------------------------------------------------------------ figure


def drawn(figure) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a glyph that no font has is a warning
        return np.asarray(Image.open(io.BytesIO(render.png(figure, dpi=100))).convert("RGB"))


def words_in(figure) -> list[tuple[str, float, float]]:
    """Each piece of a word with where its colour begins and ends, in inches from the left."""
    boxes = [(p.get_x(), p.get_x() + p.get_width()) for p in figure.artists]
    texts = [
        text.get_text() for text in figure.texts if text.get_ha() == "center" and text.get_va() == "baseline"
    ]
    return [(text, *box) for text, box in zip(texts, boxes, strict=False)]


LONG = "Supercalifragilistic" * 12


@pytest.mark.parametrize(
    "words",
    [
        WORDS_OF,
        ["a", LONG, "b"],
        ["😀", "日本語", "café", "e\u0301", "👩\u200d💻", "✈\ufe0f"],
        ["סרט", "נפלא", ",", "ומרגש"],
        ["$x^2$", "\\frac", "100%"],
        ["word"] * 300,
        ["x"],
    ],
    ids=["plain", "very long", "emoji", "right to left", "no mathematics", "many", "one"],
)
def test_nothing_leaves_the_page(words):
    figure = render.words_figure(
        [row(words, title="class", subtitle="93.1%")], signed=True, caption="model · layer"
    )
    page = drawn(figure)
    width, height = figure.get_size_inches()
    assert (
        page.shape[:2] == (round(height * 100), round(width * 100)) or abs(page.shape[0] - height * 100) <= 1
    )
    assert (page[:, :3] == 255).all()
    assert (page[:, -3:] == 255).all()
    assert (page[:3] == 255).all()
    assert (page[-3:] == 255).all()
    assert figure.artists
    for patch in figure.artists:
        assert patch.get_x() > 0.05
        assert patch.get_x() + patch.get_width() < width - 0.3, "over the colour bar"


def test_a_long_word_is_broken_and_keeps_its_colour():
    figure = render.words_figure([row(["a", LONG, "b"])])
    pieces = words_in(figure)
    assert "".join(text for text, _, _ in pieces) == f"a{LONG}b"
    colours = [artist.get_facecolor() for artist in figure.artists]
    assert len(set(colours[1:-1])) == 1
    assert len(pieces) > 4


def test_lines_run_from_the_right_where_the_script_does():
    hebrew = ["סרט", "נפלא", "ומרגש"]
    assert right_to_left(hebrew)
    assert not right_to_left(["42", "film"])
    lefts = [artist.get_x() for artist in render.words_figure([row(hebrew)]).artists]
    assert lefts == sorted(lefts, reverse=True)
    lefts = [artist.get_x() for artist in render.words_figure([row(["a", "b", "c"])]).artists]
    assert lefts == sorted(lefts)


def test_glued_words_stand_together_and_others_apart():
    figure = render.words_figure([row(["film", ",", "witty"])])
    (_, _, film), (_, comma, after), (_, witty, _) = words_in(figure)
    assert comma - film < 0.05
    assert witty - after > comma - film


def test_more_lines_than_wanted_end_in_an_ellipsis():
    figure = render.words_figure([row(["word"] * 500)], most_lines=3)
    assert words_in(figure)
    assert any(text.get_text() == "…" for text in figure.texts)
    assert figure.get_size_inches()[1] < 2


def test_rows_stand_under_each_other_with_one_colour_bar():
    one = render.words_figure([row(title="positive")])
    three = render.words_figure([row(title=name) for name in ("positive", "negative", "neutral")])
    assert three.get_size_inches()[1] > 1.5 * one.get_size_inches()[1]
    assert [axes.get_label() for axes in three.axes] == ["colorbar"]
    said = [text.get_text() for text in three.texts]
    assert all(name in said for name in ("positive", "negative", "neutral"))
    assert len(three.artists) == 3 * len(WORDS_OF)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(InputError, match="at least one row"):
        render.words_figure([])
    with pytest.raises(InputError, match=r"at least 1\.5 inches"):
        render.words_figure([row()], width=1)
    render.words_figure([WordRow([], [], np.zeros(0))])
