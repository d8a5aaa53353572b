"""`docs/leaderboard.md`: what a person wrote around it stays; the part between two marks is made of the rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.photos import photos
from benchmarks.real_models import REAL_MODELS
from benchmarks.trust.drawn import draw
from benchmarks.trust.kept_rows import Row
from benchmarks.trust.ranking import Standing, agreement, standings, together
from benchmarks.trust.tests_of_maps import BASELINES
from camscope.trust import Interval, Verdict
from camscope.trust.method_candidates import ENOUGH

START, END = (
    "<!-- made by python -m benchmarks.trust --page docs/leaderboard.md -->",
    "<!-- made until here -->",
)
FIGURE = "_static/leaderboard.svg"
MACHINE = "two shared cores of an AMD EPYC"
"""Where the kept rows were made; no number on the page depends on its speed."""

ROOT = Path(__file__).parents[2]

LEAST = 10
"""On fewer photos a test is not shown."""

DIRECTIONS = {
    "srg": True,
    "average_drop": False,
    "average_gain": True,
    "average_increase": True,
    "complexity": None,
    "gini": None,
    "insertion": True,
    "deletion": False,
    "road": True,
    "in_mosaic": True,
    "other_class": None,
    "other_weights": False,
    "follows_weights": True,
    "stability": None,
}
"""Whether more is better; None where neither end is."""


def write(page: Path, rows: Sequence[Row]) -> None:
    """Write the made part into the page, and its figure beside it."""
    text = page.read_text("utf-8") if page.is_file() else ""
    before, _, rest = text.partition(START)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(
            f"{page} is not there, or lacks the lines '{START}' and '{END}', between which the tables go."
        )
    page.write_text(f"{before}{made(rows)}{after}", "utf-8")
    draw(page.parent / FIGURE, {name: standings(own) for name, own in _by_model(rows, "verdict").items()})


def made(rows: Sequence[Row]) -> str:
    """The part that is made of the rows, its marks included."""
    verdicts = {name: standings(own) for name, own in _by_model(rows, "verdict").items()}
    parts = [START, "", *_about(rows), "", _picture(verdicts), ""]
    for name, found in verdicts.items():
        parts += [f"### {REAL_MODELS[name].what}", "", _of_photos(_by_model(rows, "verdict")[name]), ""]
        parts += [*_verdict_table(found, _mosaics() if name == "demo" else {}), ""]
    for name, own in _by_model(rows, "verdict").items():
        if len({row.kind for row in own}) > 1:
            parts += [f"### By the kind of photo: {REAL_MODELS[name].what}", "", *_kinds(own), ""]
    for test, title in (
        ("verdict, finer", "Maps of finer grids"),
        ("verdict, slow", "Methods of many forwards"),
    ):
        for name, own in _by_model(rows, test).items():
            parts += [f"### {title}: {REAL_MODELS[name].what}", "", _of_photos(own), ""]
            parts += [*_verdict_table(standings(own), _mosaics() if name == "demo" else {}), ""]
    for test, title in (
        ("mosaics", "In mosaics"),
        ("checks", "Other classes, other weights, nearly the same photo"),
        ("seen", "SRG, confidence, and what the maps are like"),
        ("curves", "Curves"),
    ):
        for name, own in _by_model(rows, test).items():
            parts += [f"### {title}: {REAL_MODELS[name].what}", "", _of_photos(own), "", *_numbers(own), ""]
    parts += [*_agreement(rows), "", *_too_few(rows), END]
    return "\n".join(parts)


def localisation(page: str) -> dict[str, float]:
    """The means of the table of mosaics, by method."""
    table = page.partition("benchmarks.localisation --markdown")[2]
    return {m[1]: float(m[2]) for m in re.finditer(r"^\| `([^`]+)`[^|]*\| ([0-9.]+) \|", table, re.MULTILINE)}


# ---------------------------------------------------------------------- the parts


def _about(rows: Sequence[Row]) -> list[str]:
    known = {photo.name: photo for photo in photos()}
    of = sorted({row.photo for row in rows})
    packages = {
        package: sum(known[n].package == package for n in of)
        for package in dict.fromkeys(known[n].package for n in of)
    }
    return [
        f"{len(of)} photos in {len({row.series for row in rows})} series, out of the packages "
        + ", ".join(f"{package} ({count})" for package, count in packages.items())
        + ". "
        + f"Made by {'; '.join(sorted({row.versions for row in rows}))}, {_days(rows)}, on {MACHINE}. Intervals hold "
        "the mean in 95 % of cases, by a BCa bootstrap over series of photos; those of shares are Wilson's."
    ]


def _picture(verdicts: Mapping[str, Sequence[Standing]]) -> str:
    said = "; ".join(
        f"{REAL_MODELS[name].what}: {found[0].method} {found[0].means['fidelity'].value:.2f}"
        for name, found in verdicts.items()
    )
    return f"![Fidelity of each method with its interval, the baselines as lines ({said})]({FIGURE})"


def _of_photos(rows: Sequence[Row]) -> str:
    grids = sorted({key.partition(" ")[2] for row in rows for key in row.facts if key.startswith("changed")})
    changed = [value for row in rows for key, value in row.facts.items() if key.startswith("changed")]
    probes = (
        f" Grids of {' and '.join(grids)} cells; {np.mean(changed):.0%} of the probes change the top class."
        if changed
        else ""
    )
    return (
        f"{len({row.photo for row in rows})} photos in {len({row.series for row in rows})} series, "
        f"{np.median([row.seconds for row in rows]):.0f} seconds of the processor for each (median).{probes}"
    )


def _verdict_table(found: Sequence[Standing], mosaics: Mapping[str, float]) -> list[str]:
    lines = [
        "| method | fidelity | of the ceiling | on the set | beats all, single photos | over the centre | "
        f"over mean activation | over a random map |{' in mosaics |' if mosaics else ''}",
        f"|---|---|---:|---|---|---|---|---|{'---:|' if mosaics else ''}",
    ]
    for names, s in together(found):
        fidelity, ceiling = s.means["fidelity"], s.means["ceiling"]
        judged = sum(s.verdicts.values()) - s.verdicts[Verdict.UNJUDGED]
        cells = [
            _names(names),
            _plain(fidelity),
            _minus(f"{fidelity.value / ceiling.value:.0%}"),
            "a baseline" if s.method in BASELINES else s.verdict,
            f"{s.verdicts[Verdict.BEATS]} of {judged} ({s.beats.low:.0%} to {s.beats.high:.0%})",
            *(_ends(s.above[baseline]) if baseline in s.above else "" for baseline in BASELINES),
            *([_mosaic(names, mosaics)] if mosaics else []),
        ]
        lines.append(f"| {' | '.join(_unbroken(cell) for cell in cells)} |")
    return [*lines, "", _in_short(found)]


def _in_short(found: Sequence[Standing]) -> str:
    """What the table says, in sentences."""
    methods = [(names, s) for names, s in together(found) if s.method not in BASELINES]
    judged = {s.method: sum(s.verdicts.values()) - s.verdicts[Verdict.UNJUDGED] for s in found}
    often = max(methods, key=lambda pair: pair[1].beats.value)
    chance = next(s for s in found if s.method == "random")
    sentences = [
        f"Most often better than all baselines on single photos: {_names(often[0])}, on "
        f"{often[1].verdicts[Verdict.BEATS]} of {judged[often[1].method]}; a random map on "
        f"{chance.verdicts[Verdict.BEATS]} of {judged['random']}."
    ]
    if found[0].photos < ENOUGH:
        sentences.append(f"On fewer than {ENOUGH} photos nothing is said of the set.")
    else:
        good = [name for names, s in methods if s.verdict == Verdict.BEATS for name in names]
        sentences.append(f"On the set {len(good)} of {len(found) - len(BASELINES)} methods beat all three.")
    if unjudged := max(s.verdicts[Verdict.UNJUDGED] for s in found):
        sentences.append(f"Up to {unjudged} photos cannot be judged.")
    return " ".join(sentences)


def _mosaic(methods: Sequence[str], mosaics: Mapping[str, float]) -> str:
    found = [mosaics[method] for method in methods if method in mosaics]
    return f"{found[0]:.2f}" if found else ""


def _mosaics() -> dict[str, float]:
    return localisation((ROOT / "docs" / "facts" / "localisation.md").read_text("utf-8"))


def _kinds(rows: Sequence[Row]) -> list[str]:
    kinds = sorted({row.kind for row in rows})
    by_kind = {kind: {s.method: s for s in standings([r for r in rows if r.kind == kind])} for kind in kinds}
    methods = [names for names, _ in together(standings(rows))]
    counts = [len({r.photo for r in rows if r.kind == kind}) for kind in kinds]
    lines = [
        "| method | "
        + " | ".join(f"{kind} ({n} photos)" for kind, n in zip(kinds, counts, strict=True))
        + " |",
        "|---|" + "---|" * len(kinds),
    ]
    for names in methods:
        cells = [_unbroken(_plain(by_kind[kind][names[0]].means["fidelity"])) for kind in kinds]
        lines.append(f"| {_names(names)} | {' | '.join(cells)} |")
    return lines


def _numbers(rows: Sequence[Row]) -> list[str]:
    found = standings(rows)
    numbers = list(found[0].means)
    arrows = {True: " ↑", False: " ↓", None: ""}
    lines = [
        "| method | " + " | ".join(n.replace("_", " ") + arrows[DIRECTIONS[n]] for n in numbers) + " |",
        "|---|" + "---|" * len(numbers),
    ]
    for names, s in together(found):
        cells = [_unbroken(_plain(s.means[n])) if n in s.means else "" for n in numbers]
        lines.append(f"| {_names(names)} | {' | '.join(cells)} |")
    return lines


def _agreement(rows: Sequence[Row]) -> list[str]:
    """How alike the tests rank the methods, of the demo model."""
    of_methods: dict[str, dict[str, float]] = {}
    for test in ("verdict", "seen", "curves"):
        own = _by_model(rows, test).get("demo", [])
        for s in standings(own) if own else ():
            for number, mean in s.means.items():
                better = True if number == "fidelity" else DIRECTIONS.get(number)
                if better is not None:
                    name = number.replace("_", " ")
                    of_methods.setdefault(name, {})[s.method] = mean.value if better else -mean.value
    of_methods["mosaics"] = _mosaics()
    names, table = agreement(of_methods)
    lines = [
        "### Do the tests agree?",
        "",
        "Spearman's correlation of the means of the methods that both tests have (baselines too), each test turned so "
        "that more is better; EfficientNet-Lite0. *Mosaics* is the [localisation table](facts/localisation.md).",
        "",
        f"| | {' | '.join(names)} |",
        "|---|" + "---:|" * len(names),
    ]
    for i, name in enumerate(names):
        cells = ["" if i == j or np.isnan(v) else _minus(f"{v:.2f}") for j, v in enumerate(table[i])]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _too_few(rows: Sequence[Row]) -> list[str]:
    """What has been begun, and is not shown yet."""
    tests = dict.fromkeys((row.model, row.test) for row in rows)
    counts = {key: sum((row.model, row.test) == key for row in rows) for key in tests}
    begun = [f"{test} of {REAL_MODELS[model].what} ({n})" for (model, test), n in counts.items() if n < LEAST]
    return (
        [f"Not shown, since there are fewer than {LEAST} photos yet: {', '.join(begun)}.", ""]
        if begun
        else []
    )


# ---------------------------------------------------------------------- words


def _by_model(rows: Iterable[Row], test: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for name in REAL_MODELS:
        own = [row for row in rows if row.model == name and row.test == test]
        if len(own) >= LEAST:
            found[name] = own
    return found


def _names(methods: Sequence[str]) -> str:
    return ", ".join(f"`{method}`" for method in methods)


def _plain(one: Interval) -> str:
    return _minus(f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f})")


def _ends(one: Interval) -> str:
    return _minus(f"{one.low:+.2f} to {one.high:+.2f}")


def _unbroken(cell: str) -> str:
    """A cell of numbers stays on one line; methods and words may be broken."""
    return cell.replace(" ", "\u00a0") if any(c.isdigit() for c in cell) and "`" not in cell else cell


def _minus(number: str) -> str:
    return number.replace("-", "−")


def _days(rows: Sequence[Row]) -> str:
    days = sorted({row.made for row in rows})
    return f"on {days[0]}" if len(days) == 1 else f"from {days[0]} to {days[-1]}"
