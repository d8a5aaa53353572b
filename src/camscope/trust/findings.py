"""Maps with what was found about them: the data of a judgement, what is looked up in it, and what it says."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from camscope.render import Tabular, TextTable
from camscope.results import Explanation
from camscope.results.figures.labels import image_name, keys_of, targets_shown
from camscope.trust import sentences
from camscope.trust.probed import Probed
from camscope.trust.verdict import Judged, Verdict

_MOST_NAMES = 8
"""Maps that are named one by one where something is said of some."""


@dataclass(frozen=True, eq=False, repr=False)
class Findings(Tabular):
    """What is known of some maps.

    Attributes:
        explanation: the maps that were judged.
        rows: what is said of each, image by image, target by target.
        probes: what the model said of each image with cells removed, by image and grid.
        score: what of each target was probed, in words.
        seed: of the probes, the shifts and the bootstrap.
    """

    explanation: Explanation
    rows: tuple[Judged, ...]
    probes: Mapping[tuple[int, tuple[int, ...]], Probed]
    score: str
    seed: int

    # ------------------------------------------------------------------ what belongs to a row

    def target_of(self, row: Judged) -> int:
        """The number of a row's target among those of its image."""
        return self.explanation.titles[row.image].index(row.target)

    def probed(self, row: Judged) -> Probed | None:
        """The probes that a row's map was tried on; None if there are none."""
        return self.probes.get((row.image, row.cells.shape))

    def probes_of(self, row: Judged) -> int:
        """How many altered inputs a row's map was tried on."""
        probed = self.probed(row)
        return 0 if probed is None else len(probed.imputers)

    def evidence(self, row: Judged) -> str:
        """What a row's map is of, such as `the evidence for tabby`."""
        info = self.explanation.targets[row.image][self.target_of(row)]
        return sentences.evidence_of(info, row.target)

    def sentence(self, row: Judged) -> str:
        """What is said of a row's map, with its numbers."""
        return sentences.sentence(row, self.evidence(row), self.probes_of(row))

    def name(self, row: Judged) -> str:
        """What a row's map is called beside the others of its image and target."""
        several = len({one.layer for one in self.rows}) > 1
        return f"{row.method} at {row.layer}" if several else row.method

    def trials(self, rows: Sequence[Judged]) -> list[str]:
        """On what some rows' maps were tried: how often, without which cells, how these were filled; score and seed."""
        said = dict.fromkeys(_in_words(probed) for row in rows if (probed := self.probed(row)))
        return [*said, f"score: {self.score}", f"seed {self.seed}"] if said else []

    def chosen(
        self,
        image: int,
        target: int | None = None,
        method: str | None = None,
        layer: str | None = None,
    ) -> list[Judged]:
        """The rows of an image: of one target or all, of one method or all, at one layer or all.

        Args:
            image: the number of the image.
            target: the number of the target.
            method: as the explanation names it.
            layer: likewise.

        Raises:
            InputError: if there is no such target, method or layer.
            IndexError: if there is no such image.
        """
        e = self.explanation
        image, targets, keys = e.number(image), targets_shown(e, target), keys_of(e, method, layer)
        found = [row for row in self.rows if row.image == image and (row.method, row.layer) in keys]
        return [row for row in found if self.target_of(row) in targets]

    # ------------------------------------------------------------------ what it says

    @property
    def verdict(self) -> str:
        """What is said of the maps, in a sentence or two."""
        rows = self.rows
        if len(rows) == 1:
            return self.sentence(rows[0])
        if len(self.explanation) > 1:
            noun, wrong = self.explanation.noun, len({row.image for row in rows if row.mistake})
            told = sentences.told_of_images(rows, noun, len(self.explanation))
            return " ".join(filter(None, [told, sentences.of_mistakes(wrong, noun)]))
        said = []
        for _, group in groupby(rows, key=lambda row: row.target):
            some = list(group)
            names = [self.name(row) for row in some]
            if len(some) == 1:
                said.append(sentences.told(some[0], self.evidence(some[0]), self.probes_of(some[0])))
                continue
            probes = map(self.probes_of, some)
            said.append(sentences.sentence_of_maps(some, names, self.evidence(some[0]), probes))
        return " ".join(filter(None, [*said, sentences.of_mistake(rows)]))

    def table(self) -> TextTable:
        """A row for each map, with the columns in which they differ and the numbers of the verdict."""
        e, rows = self.explanation, self.rows
        leading = {
            e.noun: [image_name(e, row.image) for row in rows],
            "target": [row.target for row in rows],
            "method": [row.method for row in rows],
            "layer": [row.layer for row in rows],
        }
        shown = {name: cells for name, cells in leading.items() if name == "method" or len(set(cells)) > 1}
        baselines = list(dict.fromkeys(name for row in rows for name in row.baselines))
        checks = list(dict.fromkeys(check.name for row in rows for check in row.checks)) if len(e) > 1 else []
        numbers = {
            "of ceiling": [sentences.share_of_ceiling(row) for row in rows],
            "fidelity": [sentences.interval_in_short(row.fidelity) for row in rows],
            **{sentences.plain(name): [sentences.beside(row, name) for row in rows] for name in baselines},
            "p": [sentences.p_value(row.p) for row in rows],
            **{name: [sentences.of_check(row.check(name)) for row in rows] for name in checks},
        }
        columns = {**shown, "verdict": [str(row.verdict) for row in rows], **numbers}
        names = list(columns)
        return TextTable(
            names,
            list(zip(*columns.values(), strict=True)),
            bold=frozenset(i for i, row in enumerate(rows) if row.verdict is Verdict.BEATS),
            caption=self._facts(),
            whole=frozenset(i for i, name in enumerate(names) if name not in leading and name != "verdict"),
        )

    def _facts(self) -> str:
        """Under a table: on what the maps were tried, what further tests say, and what a reader must know."""
        tried = "; ".join(self.trials(self.rows))
        lines: list[tuple[int, str, str]] = []
        for number, row in enumerate(self.rows):
            if row.why and len(self.rows) > 1:
                lines.append((number, "", row.why))
            if len(self.explanation) == 1:
                lines += [
                    (number, f"{check.name}: ", f"{sentences.of_check(check)}: {check.says}")
                    for check in row.checks
                ]
            lines += [(number, "", note) for note in row.notes]
        mistakes = dict.fromkeys((row.image, row.mistake) for row in self.rows if row.mistake)
        wrong = [f"{image_name(self.explanation, image)}: {mistake}." for image, mistake in mistakes]
        intervals = [f"{tried}. Intervals: 95 %."] if tried else []
        return "\n".join([*intervals, *self._said(lines), *(wrong if len(self.explanation) > 1 else [])])

    def _said(self, lines: Sequence[tuple[int, str, str]]) -> list[str]:
        """Lines, each once: what it is about, the maps that it is said of, unless it is of all, and what is said."""
        of: dict[tuple[str, str], set[int]] = {}
        for number, about, text in lines:
            of.setdefault((about, text), set()).add(number)
        said = []
        for (about, text), some in sorted(of.items(), key=lambda one: one[0][0] == ""):
            names = list(dict.fromkeys(self._name_among(number, some) for number in sorted(some)))
            shown = [
                *names[:_MOST_NAMES],
                *([f"{len(names) - _MOST_NAMES} more"] if names[_MOST_NAMES:] else []),
            ]
            who = "" if len(some) == len(self.rows) else f"{sentences.listed(shown)}: "
            said.append(f"{about}{who}{text}")
        return said

    def _name_among(self, number: int, some: Collection[int]) -> str:
        """What a row's map is called where something is said of some rows: with its target, unless that is of all."""
        row, name = self.rows[number], self.name(self.rows[number])
        alike = (i for i, one in enumerate(self.rows) if self.name(one) == name and one.image == row.image)
        own = name if all(i in some for i in alike) else f"{name} of {row.target}"
        return f"{own} in {image_name(self.explanation, row.image)}" if len(self.explanation) > 1 else own


def _in_words(probed: Probed) -> str:
    """How often a map was tried, without which cells, and how these were filled."""
    grid = "×".join(map(str, probed.removed.shape[1:]))
    filled = sentences.listed(
        f"{sentences.plain(name)} ({probed.imputers.count(name)})" for name in dict.fromkeys(probed.imputers)
    )
    return (
        f"{len(probed.imputers)} probes, each without {sentences.share(probed.share)} of {grid} cells, "
        f"filled by {filled}"
    )
