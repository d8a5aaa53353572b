"""A choice in words: what is recommended, on what evidence, and what it cannot be told from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from camscope.trust.method_candidates import ENOUGH, Candidate, ChoiceFacts
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
    best, count = choice.best, len(choice.candidates)
    first, second = _halves(choice)
    if not choice.enough:
        noun = "groups" if choice.groups else "photos"
        yield (
            f"Too few: {sum(choice.groups or choice.photos)} {noun}, and at least {ENOUGH} are needed, half of them to "
            f"choose on and half to test on. Nothing is claimed. Of {_count(count, 'candidate')} {best.name} ranked "
            f"first by {choice.ranking} ({number_words(best.ranked)}), on {first}."
        )
        return
    use = "Use" if best.beaten else "None is to be recommended, not even"
    yield (
        f"{use} {best.name}: of {_count(count, 'candidate')} it ranked first by {choice.ranking} "
        f"({number_words(best.ranked)}), on {first}."
    )
    if choice.mosaics[1]:
        yield (
            f"Of {second} that it was not chosen on, in {_count(choice.mosaics[1], 'mosaic')}, "
            f"{interval_words(best.located)} of its positive map is on the right photo (chance {1 / choice.parts:.2g})."
        )
    leads = {name: one.difference for name, one in best.over.items()}
    won = [
        f"{name} by {number_words(lead.value)} (at least {number_words(lead.low)})"
        for name, lead in leads.items()
        if lead.low > 0
    ]
    lost = [name for name, lead in leads.items() if not lead.low > 0]
    on = f"In {choice.measure} on {second}, {interval_words(best.score)}, it"
    if choice.beats_all:
        yield f"{on} beats all baselines: {', '.join(won)}."
    elif won:
        yield f"{on} beats {', '.join(won)}, but cannot be told from {_listed(lost)}."
    else:
        yield f"{on} cannot be told from any baseline ({', '.join(lost)}): its maps say nothing there."
    yield from _beside_others(choice)


def _beside_others(choice: ChoiceFacts) -> Iterator[str]:
    """Whether the recommended one is better than the other candidates, and which of them are the same."""
    others = [one for one in choice.candidates[1:] if not one.same]
    same = [one.name for one in choice.candidates[1:] if one.same]
    alike = [one.name for one in others if not one.lead.low > 0]
    if others and not alike:
        yield f"It is better there than {'the other one' if len(others) == 1 else f'each of the other {len(others)}'}."
    elif len(alike) == len(others) > _MOST_NAMES:
        yield f"Whether it is better there than any of the other {len(others)} cannot be told."
    elif others:
        yield f"Whether it is better there than {_listed(alike)} cannot be told."
    if same:
        yield f"{_listed(same, 'and')} {'gives' if len(same) == 1 else 'give'} the same maps."


def _halves(choice: ChoiceFacts) -> tuple[str, str]:
    """Each half in words: `30 photos`, `30 photos of 12 groups`."""
    first, second = (
        f"{_count(photos, 'photo')}{'' if choice.groups is None else f' of {choice.groups[half]} groups'}"
        for half, photos in enumerate(choice.photos)
    )
    return first, second


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _listed(names: Sequence[str], word: str = "or") -> str:
    shown = list(names[:_MOST_NAMES])
    if more := len(names) - len(shown):
        return f"{', '.join(shown)} {word} {more} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {word} {shown[-1]}"
