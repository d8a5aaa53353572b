"""The table of a run: a line for each photo or text as soon as it is done, so that a run can be gone on with."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from camscope.errors import InputError
from camscope.surviving import written_aside

_COLUMNS = ("source", "class", "name", "probability", "logit", "untrained", "files", "error", "options")
_BETWEEN = "; "
"""Between the names of files."""


class RunTable:
    """A CSV file that grows; it begins before the first file of a run is written, so that a kill leaves it.

    Args:
        path: of the file.
        options: of the run, as they are typed; see `Request.told`.

    Attributes:
        begun: whether the file is there.
    """

    def __init__(self, path: Path, options: str = "") -> None:
        self.path, self._options = path, options
        self.begun = False

    def begin(self, *, over: bool) -> None:
        """Begin a table.

        Args:
            over: whether one that is there is written over.

        Raises:
            InputError: if the file cannot be written, or another run has begun it.
        """
        try:
            with self.path.open("w" if over else "x", encoding="utf-8", newline="") as file:
                csv.writer(file).writerow(_COLUMNS)
        except FileExistsError as error:
            raise InputError(
                f"{self.path} is of another run, which began while this one did. Say another folder with --out; or, "
                "when that one has ended, --resume to go on with it."
            ) from error
        except OSError as error:
            raise self._cannot_be_written(error) from error
        self.begun = True

    def go_on(self) -> set[str]:
        """Keep the lines of an earlier run, but those of what it could not explain, and of which files are gone.

        Returns:
            The sources that it has explained.

        Raises:
            InputError: if there is no such table, or it is of a run with other options.
        """
        try:
            rows = self._earlier()
        except FileNotFoundError as error:
            raise InputError(
                f"--resume goes on with a run of several photos that was stopped, and there is no {self.path}. Say the "
                "folder of that run with --out, or leave --resume out."
            ) from error
        if rows is None:
            raise InputError(
                f"{self.path} is no table of a run of camscope explain, so --resume cannot go on with it. Say the "
                "folder of that run with --out, or leave --resume out."
            )
        others = next((row["options"] for row in rows if row["options"] != self._options), None)
        if others is not None:
            raise InputError(
                f"The run in {self.path.parent} was made with {others or 'no options'}, and is to go on with "
                f"{self._options or 'no options'}. Say the same options, or leave --resume out."
            )
        kept = {row["source"]: row for row in rows if not row["error"] and self._has_files(row)}
        with written_aside(self.path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(
                [_COLUMNS, *([row[column] for column in _COLUMNS] for row in kept.values())]
            )
        self.begun = True
        return set(kept)

    def could_go_on(self, sources: Iterable[str]) -> bool:
        """Whether the table is of a run with the same options that has not explained all of these.

        Args:
            sources: what they are called.
        """
        try:
            rows = self._earlier()
        except FileNotFoundError:
            return False
        if rows is None or any(row["options"] != self._options for row in rows):
            return False
        return not {row["source"] for row in rows if not row["error"]}.issuperset(sources)

    def _earlier(self) -> list[dict[str, str]] | None:
        """The whole lines of a table; None if it is no such table.

        Raises:
            FileNotFoundError: if there is none.
            InputError: if it cannot be read.
        """
        try:
            with self.path.open(encoding="utf-8", newline="") as file:
                text = file.read()
            whole = text[: text.rfind("\n") + 1]  # a crash may have torn the last line
            read = csv.DictReader(io.StringIO(whole, newline=""), strict=True)
            rows = list(read)
        except FileNotFoundError:
            raise
        except (UnicodeDecodeError, csv.Error):
            return None
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}.") from error
        columns = tuple(read.fieldnames or ())
        return rows if columns == _COLUMNS and all(None not in row.values() for row in rows) else None

    def _has_files(self, row: Mapping[str, str]) -> bool:
        return all((self.path.parent / name).exists() for name in row["files"].split(_BETWEEN))

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
        files = _BETWEEN.join(Path(file).relative_to(folder).as_posix() for file in result["files"])
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
            with self.path.open("a", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows(lines)
        except OSError as error:
            raise self._cannot_be_written(error) from error

    def _cannot_be_written(self, error: OSError) -> InputError:
        return InputError(f"{self.path} cannot be written: {error.strerror or error}")
