"""How wide a text is in the fonts it is drawn in."""

from __future__ import annotations

import pytest

from camscope.render import word_fonts


@pytest.fixture
def one_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words are drawn in a font all of whose letters are as wide."""
    monkeypatch.setattr(word_fonts, "families", lambda: ("DejaVu Sans Mono",))
    monkeypatch.setattr(word_fonts, "word_width", word_fonts.word_width.__wrapped__)


@pytest.mark.usefixtures("one_width")
def test_words_are_measured_in_the_fonts_they_are_drawn_in():
    assert word_fonts.word_width("iii", 9) == pytest.approx(word_fonts.word_width("WWW", 9), rel=0.05)


def test_letters_of_the_usual_font_are_of_several_widths():
    assert word_fonts.word_width("WWW", 9) > 2 * word_fonts.word_width("iii", 9)
