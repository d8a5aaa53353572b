"""The figure of a choice: candidates and baselines as bars with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from camscope.render import Bar, BarPanel, BarRow, interval_figure
from camscope.trust.choice_words import sentences
from camscope.trust.method_candidates import Candidate, ChoiceFacts
from camscope.trust.verdict import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def choice_figure(choice: ChoiceFacts, *, most: int, width: float) -> Figure:
    """Draw a choice.

    Args:
        choice: what is drawn.
        most: candidates at most, the best ones.
        width: of the figure, in inches.
    """
    panels = [BarPanel(f"{choice.measure}")]
    if choice.mosaics[1]:
        chance = 1 / choice.parts
        panels.insert(0, BarPanel("positive map on the right photo", chance, f"chance {chance:.2g}"))
    shown = choice.candidates[: max(1, most)]

    def row(one: Candidate, *, first: bool = False, baseline: bool = False) -> BarRow:
        intervals = [one.located, one.score] if len(panels) > 1 else [one.score]
        return BarRow(one.name, [_bar(each) for each in intervals], stands_out=first, quiet=baseline)

    rows = [row(one, first=not number) for number, one in enumerate(shown)]
    rows += [row(one, baseline=True) for one in choice.baselines]
    more = len(choice.candidates) - len(shown)
    caption = " ".join(sentences(choice)) + (f" {more} more candidates are not shown." if more else "")
    caption += " Lines are 95 % intervals (BCa bootstrap)."
    return interval_figure(panels, rows, caption=caption, width=width)


def _bar(interval: Interval) -> Bar:
    return Bar(interval.value, interval.low, interval.high)
