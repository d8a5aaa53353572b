"""A row: what one test says of all its methods' maps of one photo by one model. Rows are lines of JSON."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

KEPT = Path(__file__).with_name("rows.jsonl")
"""The rows that `docs/leaderboard.md` is made of."""

_PACKAGES = ("camscope", "torch", "timm")


def versions() -> str:
    """What makes the rows."""
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)


@dataclass(frozen=True)
class Row:
    """What one test says.

    Attributes:
        model: see `benchmarks.real_models.REAL_MODELS`.
        photo: the name of the photo.
        test: see `benchmarks.trust.tests_of_maps.TESTS`.
        series: of the photo.
        kind: of the photo.
        target: the class that is explained, the model's top one.
        probability: of that class.
        values: of each method's map, by the name of the number.
        facts: of the photo as a whole.
        seconds: of the processor.
        versions: of the packages that made it.
        made: on which day.
    """

    model: str
    photo: str
    test: str
    series: str
    kind: str
    target: str
    probability: float
    values: Mapping[str, Mapping[str, float | str | None]]
    facts: Mapping[str, float]
    seconds: float
    versions: str = field(default_factory=versions)
    made: str = field(default_factory=lambda: date.today().isoformat())

    @property
    def key(self) -> tuple[str, str, str]:
        """What is measured once."""
        return self.model, self.photo, self.test


def read(path: Path = KEPT) -> list[Row]:
    """The rows so far. A line that was cut short by an interruption is left out."""
    rows = []
    if path.exists():
        for line in path.read_text("utf-8").splitlines():
            with suppress(json.JSONDecodeError):
                rows.append(Row(**json.loads(line)))
    return rows


def append(path: Path, row: Row) -> None:
    """Add a row as one line."""
    text = json.dumps(asdict(row), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    cut = path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write(("\n" if cut else "") + text + "\n")
