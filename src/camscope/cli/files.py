"""The files the command reads besides photos."""

from __future__ import annotations

import json
from pathlib import Path

from camscope.errors import InputError
from camscope.libraries.listed_names import listed_names


def read_class_names(path: Path) -> list[str]:
    """The class names in a file: one a line, or JSON: a list, names by number, or numbers by name.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise InputError(f"--classes {path} cannot be read: {reason}") from error
    if path.suffix != ".json":
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        names = listed_names(json.loads(text))
    except ValueError as error:
        raise InputError(f"--classes {path} is no JSON: {error}.") from error
    if not names:
        raise InputError(
            f'--classes {path} holds no class names: expected a list, ["cat", "dog"], names by number, {{"0": "cat"}}, '
            'or numbers by name, {"cat": 0, "dog": 1}.'
        )
    return names
