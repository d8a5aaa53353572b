import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camscope.render.fitting import fit, width_of


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.text("abcfiWM,-é", min_size=1, max_size=30), max_size=8).map(" ".join),
    st.floats(0.4, 4),
    st.integers(1, 3),
)
def test_lines_fit_and_lose_nothing_unless_shortened(text, width, lines):
    broken = fit(text, width, 9, lines=lines)
    assert len(broken) <= lines
    assert all(width_of(line, 9) <= width for line in broken)
    if not (broken and broken[-1].endswith("…")):
        assert "".join(broken).replace(" ", "") == text.replace(" ", "")


def test_breaks_stand_between_words():
    assert fit("Egyptian cat", width_of("Egyptian", 9) * 1.2, 9) == ["Egyptian", "cat"]


def test_what_does_not_fit_ends_in_an_ellipsis_without_a_comma_before_it():
    width = width_of("Egyptian cat, …", 9)
    assert fit("Egyptian cat, a very long list of synonyms", width, 9, lines=1) == ["Egyptian cat…"]


def test_line_breaks_are_kept_and_other_space_collapses():
    assert fit("one  two\n\nthree", 5, 9, lines=4) == ["one two", "three"]


@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_no_text_no_line(empty):
    assert fit(empty, 1, 9) == []
