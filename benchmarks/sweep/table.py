"""`docs/sweep.md`: the counts, one table per library, and every model without a map with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.sweep.rows import (
    BLURRED,
    COUNTED,
    FAILED,
    MAP,
    NO_CLASSIFIER,
    NOT_BUILT,
    PACKAGES,
    REFUSED,
    WRONG_PLACE,
    Row,
)

HEAD = """\
# Every model of several libraries

Made by `python -m benchmarks.sweep --markdown docs/sweep.md`; each section says which versions made \
its rows.

Each model is built with random weights (no trained ones are needed to find a layer), given one \
input of noise, and explained by `camscope.Explainer(model)(x)`: no layer, no grid, no other \
argument, but for the captions and their tokenizer where a model reads captions. A **map** is one \
that is finite, not constant (all-negative: nowhere above zero, so that nothing is left to show \
after the ReLU; untrained weights do that), and in place. Parameters that start at exactly zero \
(some classifiers and the gains of some branches; biases aside) are drawn from N(0, 0.02²) first: no \
trained network has them at zero, and a classifier of zeros sends back a gradient of zero whatever \
the layer.

**Place** is checked without any of camscope's own checks: the input is cut in two along each axis \
(in four, if there is one), one part after the other is drawn anew three times, and each position of \
the layer answers by how much its channels change, relative to how much it changes on average. Read \
in the order that camscope says, each part of the layer must answer most where that part of the \
input was altered, and no other part more. The column gives the correlation with a layer in which \
only the altered part answers: 1 is that, 0 is a layer that knows no places. At a correlation below \
0.5 each part is drawn anew sixteen times. If another part then answers more than the altered one, by \
more than five standard errors of the draws, and the parts answer in another order (correlation 0.8 once \
what each part answers and causes on average is taken away), the map is of the **wrong place**. If not, it is \
**blurred**: the grid is not refuted, but each of its few positions sees nearly all of the input, as \
in untrained networks that are deep or weigh channels by their mean over the image; it is not \
counted among the maps.

timm and torchvision: images of the size a model is registered with. A model that is registered \
without a classifier (`num_classes` 0: an encoder) gets one of 1000 classes where it takes \
`num_classes`, and is marked \\*; one that does not, or still puts out features instead of one score \
per class, is no classifier and is not counted. The other libraries: small configurations; a model \
that cannot be built or run small says why and is not counted.
"""
COLUMNS = "family | model | input | layer | kind | channels | grid | place | result | seconds"


def table(rows: Iterable[Row]) -> str:
    """The whole document."""
    rows = list(rows)
    lines = [HEAD, *_overview(rows), ""]
    for library in PACKAGES:
        own = [row for row in rows if row.library == library]
        if own:
            made = sorted({", ".join(f"{name} {v}" for name, v in row.versions.items()) for row in own})
            days = ", ".join(sorted({row.made or "an earlier day" for row in own}))
            lines += [f"## {library}", "", summary(own), "", f"Made by {'; '.join(made)} (on {days}).", ""]
            lines += [*_table(own), "", *_without(own)]
    return "\n".join(lines).rstrip() + "\n"


def summary(rows: Sequence[Row]) -> str:
    """How many models and families have a map; a family has one if every one of its models here has."""
    counted = [row for row in rows if row.result in COUNTED]
    families = {row.family for row in counted}
    good = families - {row.family for row in counted if row.result != MAP}
    maps = sum(row.result == MAP for row in counted)
    one_each = len({row.family for row in rows}) == len(rows)
    return (
        f"{maps} of {len(counted)} models have a map; {len(good)} of {len(families)} families "
        f"({len(good) / max(1, len(families)):.1%})."
        + "".join(
            f" {words}: {count}."
            for words, result in (("No classifiers", NO_CLASSIFIER), ("Not built", NOT_BUILT))
            if (count := sum(row.result == result for row in rows))
        )
        + (" A family's variant of least parameters times pixels stands for it." if one_each else "")
    )


def _overview(rows: Sequence[Row]) -> list[str]:
    results = (*COUNTED, NO_CLASSIFIER, NOT_BUILT)
    lines = [f"| library | {' | '.join(results)} | with a map |", "|---" * (len(results) + 2) + "|"]
    for library in PACKAGES:
        own = [row.result for row in rows if row.library == library]
        counted = sum(result in COUNTED for result in own)
        if own:
            counts = " | ".join(str(own.count(result)) for result in results)
            lines.append(f"| {library} | {counts} | {own.count(MAP) / max(1, counted):.1%} |")
    return lines


def _table(rows: Iterable[Row]) -> list[str]:
    lines = [f"| {COLUMNS} |", "|---" * (COLUMNS.count("|") + 1) + "|"]
    for row in sorted(rows, key=lambda row: (row.family, row.name)):
        cells = (
            row.family,
            f"`{row.name}`" + (" \\*" if row.head_added else ""),
            _size(row),
            f"`{row.layer}`" if row.layer else "",
            row.kind,
            str(row.channels or ""),
            row.grid,
            "" if row.place is None else f"{row.place:.2f}",
            f"{row.result} ({row.status})" if row.status == "all-negative" else row.result,
            f"{row.seconds:.1f}" if row.seconds else "",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _size(row: Row) -> str:
    """Of a picture its height and width; of anything else all axes."""
    picture = len(row.input) == 3 and row.input[0] < min(row.input[1:])
    return "×".join(map(str, row.input[1:] if picture else row.input))


def _without(rows: Iterable[Row]) -> list[str]:
    lines = []
    for result in (REFUSED, WRONG_PLACE, BLURRED, FAILED, NO_CLASSIFIER, NOT_BUILT):
        some = sorted((row for row in rows if row.result == result), key=lambda row: row.name)
        if some:
            lines += [f"### {result[0].upper()}{result[1:]}", ""]
            lines += [f"- `{row.name}` ({row.family}): {row.reason}" for row in some]
            lines.append("")
    return lines
