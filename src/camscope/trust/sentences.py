"""What is said of maps: the one place that makes the sentences of a verdict from its numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from camscope.targets import TargetInfo
from camscope.trust.verdict import Check, Interval, Judged, Verdict

ENOUGH = 50
"""So many images are needed to say which of several maps is better."""

_MOST_NAMES = 3
"""Of so many maps that say where the numbers are told one by one; of more only their names."""


def evidence_of(target: TargetInfo, title: str) -> str:
    """What a map is of, in words: `the evidence for tabby`, `the evidence against tabby`.

    Args:
        target: what is explained.
        title: what it is called in figures.
    """
    if target.sign < 0:
        return f"the evidence against {title.removeprefix('not ')}"
    return f"the evidence for {title}"


def headline(row: Judged, evidence: str) -> str:
    """What is said of one map, without its numbers.

    Args:
        row: the map.
        evidence: what it is of; see `evidence_of`.
    """
    return {
        Verdict.BEATS: f"This map says where {evidence} is",
        Verdict.NO_BETTER_THAN_CENTRE: f"This map finds {evidence} no better than the centre of the image",
        Verdict.NO_BETTER_THAN_MEAN: f"This map finds {evidence} no better than mean activation",
        Verdict.CHANCE: f"This map of {evidence} cannot be told from chance",
        Verdict.UNJUDGED: f"This map of {evidence} cannot be judged",
    }[row.verdict]


def reasons(row: Judged, probes: int) -> str:
    """The numbers that a verdict on one map rests on, as the second half of its sentence.

    Args:
        row: the map.
        probes: how many altered inputs it was tried on; 0 where it was not tried.
    """
    if row.verdict is Verdict.UNJUDGED:
        return f"{row.why[:1].lower()}{row.why[1:]}".rstrip(".")
    tried = f"fidelity {interval(row.fidelity)}; {probes} probes"
    if row.verdict is Verdict.CHANCE:
        return f"the same map at other places explains as much (p = {p_value(row.p)}; {tried})"
    if row.verdict is Verdict.BEATS:
        others = listed(f"than the {plain(name)}" for name in row.baselines)
        return f"{of_ceiling(row)} ({tried}); better {others}"
    blob = "a blob in the middle, which knows nothing of the image,"
    mean = "the layer's mean activation, which knows no class,"
    return f"{blob if row.verdict is Verdict.NO_BETTER_THAN_CENTRE else mean} {_lead(row, tried)}"


def _lead(row: Judged, tried: str) -> str:
    """What the baseline that a verdict names has, and how little of the map's lead is sure."""
    compared = next(one for name, one in row.baselines.items() if plain(name) in row.verdict)
    lead = compared.difference
    has = f"has {number(compared.fidelity.value)}, and the map no more ({tried})"
    if lead.value > 0:
        sure = f"its lead of {number(lead.value)} may be as little as {number(lead.low)}"
        has = f"has {number(compared.fidelity.value)}, and the map little more ({tried}): {sure}"
    return has


def told(row: Judged, evidence: str, probes: int) -> str:
    """What is said of one map, with its numbers.

    Args:
        row: the map.
        evidence: what it is of; see `evidence_of`.
        probes: how many altered inputs it was tried on.
    """
    return f"{headline(row, evidence)}: {reasons(row, probes)}."


def sentence(row: Judged, evidence: str, probes: int) -> str:
    """The same, and what is to be said of the image where the model gets it wrong.

    Args:
        row: the map.
        evidence: what it is of; see `evidence_of`.
        probes: how many altered inputs it was tried on.
    """
    return " ".join(filter(None, [told(row, evidence, probes), of_mistake([row])]))


def of_mistake(rows: Sequence[Judged]) -> str:
    """What is said of maps of one image that the model gets wrong; "" of others.

    Args:
        rows: the maps.
    """
    if not rows[0].mistake:
        return ""
    what = "map is that" if len(rows) == 1 else "maps are those"
    return f"But {rows[0].mistake}: the {what} of {listed(dict.fromkeys(row.target for row in rows))}."


def of_mistakes(wrong: int, noun: str) -> str:
    """How many of several images the model gets wrong, by their labels; "" if it gets none wrong.

    Args:
        wrong: how many.
        noun: what an image is called.
    """
    if not wrong:
        return ""
    images = f"1 {noun} is" if wrong == 1 else f"{wrong} {noun}s are"
    return f"By the labels {images} of another class than the model says: the maps are those of what was explained."


def sentence_of_maps(
    rows: Sequence[Judged], names: Sequence[str], evidence: str, probes: Iterable[int]
) -> str:
    """What is said of several maps of one target of one image.

    Args:
        rows: the maps.
        names: what each is called beside the others.
        evidence: what they are of; see `evidence_of`.
        probes: how many altered inputs each was tried on.
    """
    found = [(row, name) for row, name in zip(rows, names, strict=True) if row.verdict is Verdict.BEATS]
    say = count_of_maps(rows, evidence)
    if 0 < len(found) <= _MOST_NAMES:
        said = [
            f"{name} ({share_of_ceiling(row)} of its ceiling, fidelity {interval(row.fidelity)})"
            for row, name in found
        ]
        say += f": {listed(said)}"
    elif found:
        say += f": {listed([name for _, name in found])}"
    counts = sorted({count for count in probes if count})
    parts = [f"{say} ({' or '.join(map(str, counts))} probes)." if counts else f"{say}."]
    for verdict in Verdict:
        others = [name for row, name in zip(rows, names, strict=True) if row.verdict is verdict]
        if others and verdict is not Verdict.BEATS:
            parts.append(f"{verdict.capitalize()}: {listed(others)}.")
    return " ".join(parts)


def count_of_maps(rows: Sequence[Judged], evidence: str) -> str:
    """How many of several maps say where.

    Args:
        rows: the maps.
        evidence: what they are of; see `evidence_of`.
    """
    found = sum(row.verdict is Verdict.BEATS for row in rows)
    count = f"{found} of {len(rows)} maps {'says' if found == 1 else 'say'}"
    return f"{count if found else f'None of {len(rows)} maps says'} where {evidence} is"


def told_of_images(rows: Sequence[Judged], noun: str, images: int) -> str:
    """What is said of maps of several images: how often each method, at each layer, says where the evidence is.

    Args:
        rows: the maps of all images.
        noun: what an image is called.
        images: how many there are.
    """
    layers = {row.layer for row in rows}
    names = [f"{row.method} at {row.layer}" if len(layers) > 1 else row.method for row in rows]
    total = Counter(names)
    says, lost = (
        Counter(name for row, name in zip(rows, names, strict=True) if row.verdict is verdict)
        for verdict in (Verdict.BEATS, Verdict.UNJUDGED)
    )
    maps = f"{noun}s" if set(total.values()) == {images} else f"maps of {images} {noun}s"
    told = [
        f"{name} in {says[name]} of {total[name]} {maps}"
        + (f" ({lost[name]} cannot be judged)" if lost[name] else "")
        for name in total
    ]
    say = f"Says where the evidence is: {'; '.join(told)}."
    if len(told) > 1 and images < ENOUGH:
        say += f" Fewer than {ENOUGH} {noun}s are too few to say which is better."
    return say


def of_ceiling(row: Judged) -> str:
    """How much a map explains, beside what any map of its grid could."""
    return f"{share_of_ceiling(row)} of what a heatmap of this grid could explain"


def share_of_ceiling(row: Judged) -> str:
    """The same as a number: 0 % of a map that is worse than nothing, a dash without a ceiling."""
    return share(row.of_ceiling if math.isnan(row.of_ceiling) else max(row.of_ceiling, 0.0))


def share(value: float) -> str:
    """A share in percent; a dash where there is none."""
    return f"{round(100 * value) + 0:d} %".replace("-", "−") if math.isfinite(value) else "–"


def number(value: float) -> str:
    """A correlation, with a minus that is one; a dash where there is none."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−") if math.isfinite(value) else "–"


def interval(given: Interval) -> str:
    """A number with its interval, as far as that has ends."""
    if not (math.isfinite(given.low) and math.isfinite(given.high)):
        return number(given.value)
    return f"{number(given.value)}, {number(given.low)} to {number(given.high)}"


def interval_in_short(given: Interval) -> str:
    """The same where there is little room."""
    if not (math.isfinite(given.low) and math.isfinite(given.high)):
        return number(given.value)
    return f"{number(given.value)} ({number(given.low)}, {number(given.high)})"


def p_value(p: float) -> str:
    """A p-value with what can be believed of it."""
    return f"{p:.2g}" if math.isfinite(p) else "–"


def listed(words: Iterable[str]) -> str:
    """Words with commas between, and an `and` before the last."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def plain(name: str) -> str:
    """The name of a baseline or an imputer, as people say it."""
    return "ROAD" if name == "road" else name.replace("-", " ")


def beside(row: Judged, baseline: str) -> str:
    """The fidelity of a map's baseline; a dash where it was not compared with it."""
    return number(row.baselines[baseline].fidelity.value) if baseline in row.baselines else "–"


def of_check(check: Check | None) -> str:
    """The number of a further test, and whether it was passed; a dash where a map was not put to it."""
    if check is None:
        return "–"
    return number(check.number.value) + {True: " ✓", False: " ✗", None: ""}[check.passed]
