"""What `explainer.choose` gives: one recommendation for a model on some images, how sure it is, and the evidence."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camscope.errors import InputError, check_folder
from camscope.render import Tabular, TextTable
from camscope.results.saving import finite
from camscope.trust.choice_figure import choice_figure
from camscope.trust.choice_words import beaten_words, interval_words, sentences
from camscope.trust.method_candidates import ChoiceFacts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KIND = "camscope choice"
FORMAT = 1
_MOST_ROWS = 12


@dataclass(frozen=True, eq=False, repr=False)
class Choice(ChoiceFacts, Tabular):
    """Which method and layer serve a model on some images. See `ChoiceFacts` for all that it holds.

    choice = explainer.choose(photos)
    choice                                          # the recommendation in words, and a table
    explainer(x, **choice.options)                  # explain with it
    choice.save("choice.json")                      # camscope explain PHOTO --as choice.json
    """

    @property
    def says(self) -> str:
        """The recommendation in words, with how sure it is."""
        return " ".join(sentences(self))

    def table(self) -> TextTable:
        """A row for each candidate and baseline, the recommended one first, and the words under it."""
        shown = self.candidates[:_MOST_ROWS]
        found = f"in mosaics (chance {1 / self.parts:.2g})"
        columns = ["", "method", "layer", *([found] if self.mosaics[1] else []), self.measure, "beats"]
        rows = []
        for number, one in enumerate((*shown, *self.baselines)):
            rows.append(
                (
                    "→" if not number else "",
                    one.method,
                    one.at,
                    *([interval_words(one.located)] if self.mosaics[1] else []),
                    interval_words(one.score),
                    beaten_words(one) if number < len(shown) and self.enough else "",
                )
            )
        more = len(self.candidates) - len(shown)
        caption = f"{self.says} Only the first row was chosen before it was tested."
        caption += f" {more} more candidates are in `candidates`." if more else ""
        return TextTable(columns, rows, frozenset({0}), caption)

    def __repr__(self) -> str:
        return self.table().text()

    def figure(self, *, most: int = 10, width: float = 6.3) -> Figure:
        """Horizontal bars with intervals: what was found in mosaics, and the score, of candidates and baselines.

        Args:
            most: how many candidates are shown, the best ones.
            width: of the figure, in inches.

        Raises:
            MissingExtraError: if matplotlib is not installed.
        """
        return choice_figure(self, most=most, width=width)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values that JSON can store, and the words."""
        fields = asdict(self)
        return {
            "kind": KIND,
            "format": FORMAT,
            "method": self.best.method,
            "layers": None if self.best.layers is None else list(self.best.layers),
            "says": self.says,
            "enough": self.enough,
            "beats_all_baselines": self.beats_all,
            "best_of_all": self.is_best_of_all,
            **fields,
        }

    def save(self, path: str | Path) -> Path:
        """Write it as JSON, which `camscope explain --as FILE` takes.

        Args:
            path: where to; `.json` is added if it has no suffix.

        Raises:
            InputError: if the suffix is another one, or there is no such folder.
        """
        path = Path(path)
        if path.suffix not in ("", ".json"):
            raise InputError(f"{path}: a choice is saved as .json, not {path.suffix}.")
        check_folder(path)
        path = path.with_suffix(".json")
        text = json.dumps(finite(self.to_dict()), ensure_ascii=False, indent=2, allow_nan=False)
        path.write_text(text + "\n", "utf-8")
        return path
