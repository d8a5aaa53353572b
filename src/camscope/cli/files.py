"""The files the command reads and writes besides photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from camscope.errors import InputError
from camscope.libraries.listed_names import listed_names, read_text


def prepare_folder(out: Path) -> None:
    """Make the folder that results go into.

    Raises:
        InputError: if it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out} cannot be made a folder: {error.strerror or error}") from error


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
    names = listed_names(read_text(text))
    if not names or text.lstrip()[:1] not in "[{":
        raise InputError(
            f'--classes {path} holds no class names: expected a list, ["cat", "dog"], names by number, {{"0": "cat", '
            '"1": "dog"}, or numbers by name, {"cat": 0, "dog": 1}.'
        )
    return names


def file_names(sources: Sequence[str], otherwise: str = "photo") -> dict[str, str]:
    """A file name for each photo: its stem, made unique where photos of several folders share one.

    Args:
        sources: paths, samples, or texts.
        otherwise: the name where nothing of a source can be one.
    """
    taken: set[str] = set()
    names = {}
    for source in sources:
        stem = (
            safe(Path(source).stem if not source.startswith("sample:") else source.partition(":")[2])
            or otherwise
        )
        name, count = stem, 1
        while name.lower() in taken:
            count += 1
            name = f"{stem}-{count}"
        taken.add(name.lower())
        names[source] = name
    return names


def safe(text: str) -> str:
    """The text as part of a file name."""
    return "".join(c if c.isalnum() or c in "._+" else "_" for c in text)[:60]
