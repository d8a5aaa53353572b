"""Errors that teach: what was given, what was expected, the nearest valid name, the next step."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class CamscopeError(Exception):
    """Base of every error camscope raises on purpose. Its message is meant for the person who called."""


class CamscopeWarning(UserWarning):
    """Something about an explanation that its reader should know before trusting it."""


class InputError(CamscopeError, ValueError):
    """An input (tensor, photo, option) is not what the call needs."""


class KeywordError(InputError, TypeError):
    """A function does not take a keyword. The message names the one that was meant, or the function that takes it."""


class ImageError(InputError):
    """A photo cannot be read. The message names the file."""


class ModelError(CamscopeError, ValueError):
    """A model or its weights cannot be loaded, called or explained."""


class LayerError(CamscopeError, ValueError):
    """A target layer does not exist, has no spatial grid, or does not reach the score."""


class MethodError(CamscopeError, ValueError):
    """A method does not exist, or needs evidence this model or layer cannot give."""


class TargetError(CamscopeError, ValueError):
    """A target does not exist or does not fit the model's output or the batch."""


class MissingExtraError(CamscopeError, ImportError):
    """An optional dependency is not installed. The message says what to install."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an extra that is not installed: pip install 'camscope[{extra}]'")


class MissingPackageError(CamscopeError, ImportError):
    """A package that no extra brings is not installed. The message says what to install."""

    def __init__(self, what: str, install: str) -> None:
        super().__init__(f"{what} is in a package that is not installed: pip install {install}")


def nearest(name: str, valid: Iterable[str], *, count: int = 3) -> str:
    """Give the hint `` Did you mean 'x' or 'y'?`` for a misspelt name, or an empty string.

    Starts with a space, so that it can be appended to a sentence.

    Args:
        name: what was given.
        valid: the names that exist.
        count: how many to suggest at most.
    """
    names = list(valid)
    by_lower = {candidate.lower(): candidate for candidate in reversed(names)}
    found = difflib.get_close_matches(name.lower(), by_lower, n=count, cutoff=0.5)
    contained = [low for low in by_lower if name and name.lower() in low and low not in found]
    hits = [by_lower[low] for low in [*found, *contained][:count]]
    return f" Did you mean {' or '.join(repr(hit) for hit in hits)}?" if hits else ""


def check_folder(path: Path) -> None:
    """Refuse to write a file where there is no folder for it.

    Args:
        path: the file.

    Raises:
        InputError: saying how to make the folder, or which part of the path is none; if the path is a folder itself.
    """
    if not path.name:
        raise InputError(f"{str(path)!r} is no file name.")
    if path.is_dir():
        example = str(path / f"name{path.suffix}")
        raise InputError(f"{str(path)!r} is a folder, and no file. Say which file in it: {example!r}.")
    if not path.parent.exists():
        raise InputError(
            f"There is no folder {str(path.parent)!r} for {path.name}. Make it first: "
            f"Path({str(path.parent)!r}).mkdir(parents=True)."
        )
    if not path.parent.is_dir():
        raise InputError(f"{str(path.parent)!r} is no folder, so {path.name} cannot be written into it.")
