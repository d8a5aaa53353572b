"""The files the command reads besides photos."""

from __future__ import annotations

from pathlib import Path

from camscope.errors import InputError


def read_class_names(path: Path) -> list[str]:
    """The class names in a text file, one a line.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise InputError(f"--classes {path} cannot be read: {reason}") from error
