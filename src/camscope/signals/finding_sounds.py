"""Lists the sounds that a user's words stand for: files, folders, globs."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from camscope.errors import InputError
from camscope.images import natural_key

SOUNDS = (".wav", ".wave")
"""The suffixes of the files that are read."""

OTHER_SOUNDS = (
    ".mp3",
    ".flac",
    ".ogg",
    ".oga",
    ".opus",
    ".m4a",
    ".aac",
    ".aiff",
    ".aif",
    ".wma",
    ".au",
    ".mp4",
)
"""The suffixes of other recordings, to say what to do with them."""


def names_sound(name: str | os.PathLike[str]) -> bool:
    """Whether a name ends as that of a recording does, of one that is read or of another."""
    return Path(name).suffix.lower() in (*SOUNDS, *OTHER_SOUNDS)


def refuse_sound(name: object) -> None:
    """Refuse the name of a recording where a photo is expected.

    Raises:
        InputError: if it is one; the message says which models take sounds.
    """
    if isinstance(name, (str, os.PathLike)) and names_sound(name):
        raise InputError(
            f"{os.fspath(name)} is a sound, and this model takes photos. Models that take sounds are those of Hugging "
            "Face with a feature extractor: hf:FOLDER, or hf:NAME."
        )


def find_sounds(given: Sequence[str]) -> list[str]:
    """List the sounds that files, folders and globs stand for, in natural order, each once.

    A file that does not exist, or is no .wav, stays in the list, so that reading it raises its own error.

    Args:
        given: files, folders or globs.

    Raises:
        InputError: if a folder holds no .wav file, or a glob matches none.
    """
    found: dict[str, str] = {}
    for pattern in given:
        for one in _expanded(pattern):
            found.setdefault(os.path.normcase(os.path.abspath(one)), one)  # noqa: PTH100
    return list(found.values())


def _expanded(pattern: str) -> list[str]:
    path = Path(pattern)
    if pattern and path.is_dir():
        every = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
        inside = [str(one) for one in every if not one.name.startswith(".")]
    elif glob.has_magic(pattern) and not os.path.lexists(pattern):
        inside = glob.glob(pattern, recursive=True)  # noqa: PTH207
    else:
        return [pattern]
    sounds = sorted((one for one in inside if Path(one).suffix.lower() in SOUNDS), key=natural_key)
    if not sounds:
        others = sum(names_sound(one) for one in inside)
        more = (
            f" {others} other recordings are there: convert them (ffmpeg -i FILE FILE.wav)." if others else ""
        )
        raise InputError(f"There is no .wav file in {pattern!r}; this model takes sounds.{more}")
    return sounds
