"""A choice in words: what is recommended, on what evidence, and what it cannot be told from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from camscope.trust.candidates import ENOUGH, Candidate, ChoiceFacts
from camscope.trust.verdict import Interval

_MOST_NAMES = 3


def number_words(number: float) -> str:
    """A number for a table; a dash where there is none."""
    return "–" if not math.isfinite(number) else f"{number:.2f}".replace("-", "−")


def interval_words(interval: Interval) -> str:
    """A number with its interval: `0.52 [0.45, 0.58]`."""
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return number_words(interval.value)
    return f"{number_words(interval.value)} [{number_words(interval.low)}, {number_words(interval.high)}]"


def beaten_words(one: Candidate) -> str:
    """Which baselines a candidate beats: `all`, their names, or `none`."""
    if not one.over:
        return ""
    return "all" if len(one.beaten) == len(one.over) else ", ".join(one.beaten) or "none"


def sentences(choice: ChoiceFacts) -> Iterator[str]:
    """What is said of a choice."""
    best, tested = choice.best, _tested(choice)
    others = [one for one in choice.candidates[1:] if not one.same]
    count = len(choice.candidates)
    if not choice.enough:
        noun = "groups" if choice.groups else "photos"
        have = sum(choice.groups or choice.photos)
        yield (
            f"Too few: {have} {noun}, and at least {ENOUGH} are needed, half of them to choose on and half to test on. "
            f"Nothing is claimed. Of {_count(count, 'candidate')}, {best.name} ranked first by {choice.ranking} "
            f"({number_words(best.ranked)}), on {_halves(choice)[0]}."
        )
        return
    yield f"Use {best.name}: of {_count(count, 'candidate')} it ranked first by {choice.ranking} on "
    yield f"{_halves(choice)[0]}."
    if choice.beats_all:
        leads = ", ".join(
            f"{name} by {number_words(one.difference.value)} (at least {number_words(one.difference.low)})"
            for name, one in best.over.items()
        )
        yield (
            f"On {tested} that it was not chosen on it beats all baselines in {choice.measure} "
            f"({interval_words(best.score)}): {leads}."
        )
    else:
        lost = [name for name in best.over if name not in best.beaten]
        yield (
            f"But on {tested} that it was not chosen on it cannot be told from {_listed(lost)} in {choice.measure} "
            f"({interval_words(best.score)}): do not trust its maps on these images."
        )
    alike = [one.name for one in others if not one.lead.low > 0]
    same = [one.name for one in choice.candidates[1:] if one.same]
    if others and not alike:
        yield f"It is better there than each of the {len(others)} others."
    elif others:
        yield (
            f"Whether it is better than {_listed(alike)} cannot be told."
            if len(alike) < len(others)
            else (f"Whether it is better than any of the {_count(len(others), 'other')} cannot be told.")
        )
    if same:
        yield f"{_listed(same)} {'gives' if len(same) == 1 else 'give'} the same maps."


def _tested(choice: ChoiceFacts) -> str:
    return _halves(choice)[1]


def _halves(choice: ChoiceFacts) -> tuple[str, str]:
    """Each half in words: `30 photos`, `30 photos of 12 groups`."""
    first, second = (
        f"{_count(photos, 'photo')}{'' if choice.groups is None else f' of {choice.groups[half]} groups'}"
        for half, photos in enumerate(choice.photos)
    )
    return first, second


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    shown = list(names[:_MOST_NAMES])
    more = len(names) - len(shown)
    if more:
        return f"{', '.join(shown)} and {more} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"
