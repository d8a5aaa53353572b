"""The table of a run: a line for each photo or text as soon as it is done, so that a run can be gone on with."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from camscope.errors import InputError

_COLUMNS = ("source", "class", "name", "probability", "logit", "untrained", "files", "error", "options")


class RunTable:
    """A CSV file that grows; it begins with the first line.

    Args:
        path: of the file. What is there is written over, unless it is gone on with.
        options: of the run, as they are typed; see `Request.told`.
    """

    def __init__(self, path: Path, options: str = "") -> None:
        self.path, self._options = path, options
        self._begun = False

    def go_on(self) -> set[str]:
        """Keep the lines of an earlier run, but those of what it could not explain.

        Returns:
            The sources that it has explained.

        Raises:
            InputError: if there is no such table, or it is of a run with other options.
        """
        try:
            with self.path.open(encoding="utf-8", newline="") as file:
                kept = [row for row in csv.DictReader(file) if not row["error"]]
            sources = {row["source"] for row in kept}
            lines = [[row[column] for column in _COLUMNS] for row in kept]
        except FileNotFoundError as error:
            raise InputError(
                f"--resume goes on with a run of several photos that was stopped, and there is no {self.path}. Say the "
                "folder of that run with --out, or leave --resume out."
            ) from error
        except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(
                f"{self.path} is no table of a run of camscope explain ({error!r}), so --resume cannot go on with it."
            ) from error
        others = next((row["options"] for row in kept if row["options"] != self._options), None)
        if others is not None:
            raise InputError(
                f"The run in {self.path.parent} was made with {others or 'no options'}, and is to go on with "
                f"{self._options or 'no options'}. Say the same options, or leave --resume out."
            )
        self._write(lines)
        return sources

    def add(self, result: Mapping[str, Any]) -> None:
        """Note what is known of a source that was explained.

        Args:
            result: as `explain --json` says it.

        Raises:
            InputError: if the file cannot be written.
        """
        best = result["top"][0]
        probability = "" if best["probability"] is None else f"{best['probability']:.6g}"
        untrained = "yes" if result.get("untrained") else ""
        folder = self.path.parent
        files = "; ".join(Path(file).relative_to(folder).as_posix() for file in result["files"])
        numbers = (best["index"], best["name"], probability, f"{best['logit']:.6g}")
        self._write([(result["source"], *numbers, untrained, files, "", self._options)])

    def add_failure(self, source: str, reason: str) -> None:
        """Note why a source was not explained.

        Args:
            source: what it is called.
            reason: why.

        Raises:
            InputError: if the file cannot be written.
        """
        self._write([(source, *[""] * (len(_COLUMNS) - 3), reason, self._options)])

    def _write(self, lines: Iterable[Iterable[Any]]) -> None:
        try:
            with self.path.open("a" if self._begun else "w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows(lines if self._begun else [_COLUMNS, *lines])
        except OSError as error:
            raise InputError(f"{self.path} cannot be written: {error.strerror or error}") from error
        self._begun = True
