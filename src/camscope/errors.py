"""Errors that teach: what was given, what was expected, the nearest valid name, the next step."""

from __future__ import annotations

import difflib
import re
import shlex
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
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


_options: ContextVar[Mapping[str, str] | None] = ContextVar("camscope_options", default=None)
"""In the command the options whose name is not that of their keyword; None in Python."""


@contextmanager
def read_as_options(options: Mapping[str, str]) -> Iterator[None]:
    """Within this context messages are for who writes a command line: they name options, and no Python.

    Args:
        options: of the keywords whose option has another name, that option.
    """
    token = _options.set(options)
    try:
        yield
    finally:
        _options.reset(token)


@contextmanager
def without_warnings() -> Iterator[None]:
    """Leave out Python's warnings of what is shown as notes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CamscopeWarning)
        yield


def either(in_python: str, in_the_command: str) -> str:
    """Give the words of a message that fit where it is read."""
    return in_python if _options.get() is None else in_the_command


def keyword(name: str, value: object = ..., *, like: str = "") -> str:
    """Give a keyword argument as who reads a message writes it: `labels='a'`, or `--label a` in the command.

    Args:
        name: of the keyword.
        value: that it has or should have; True is an option without a value.
        like: what stands for a value instead, such as `FOLDER`.
    """
    options = _options.get()
    if options is None:
        return f"{name}={like or ('' if value is ... else repr(value))}"
    option = options.get(name, "--" + name.replace("_", "-"))
    if like or value is ... or value is True:
        return f"{option} {like}".rstrip()
    return f"{option} {shlex.quote(str(value))}"


def first_line(error: BaseException) -> str:
    """What an error says first, to be quoted in a sentence; its kind, if it says nothing.

    Args:
        error: somebody else's.
    """
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def nearest(name: str, valid: Iterable[str], *, count: int = 3) -> str:
    """Give the hint `` Did you mean 'x' or 'y'?`` for a misspelt name, or an empty string.

    Names that hold what was given as a word of theirs come first (who says `cat` means `tiger cat` rather than `cab`),
    then those that look like it, then those that hold it somewhere. Starts with a space, so that it can be appended to
    a sentence.

    Args:
        name: what was given.
        valid: the names that exist.
        count: how many to suggest at most.
    """
    hits = near(name, valid, count=count)
    return f" Did you mean {' or '.join(repr(hit) for hit in hits)}?" if hits else ""


def near(name: str, valid: Iterable[str], *, count: int = 3) -> list[str]:
    """Give the names that a misspelt one may have been meant to be; see `nearest`.

    Args:
        name: what was given.
        valid: the names that exist.
        count: how many to give at most.
    """
    given = name.strip().lower()
    by_lower: dict[str, str] = {}
    for candidate in valid:
        by_lower.setdefault(candidate.lower(), candidate)
    word = re.compile(rf"(?<![^\W_]){re.escape(given)}(?![^\W_])") if given else None
    words = [low for low in by_lower if word and word.search(low)]
    words.sort(key=lambda low: not low.endswith(given))  # a tiger cat is a cat, a cat bear is none
    alike = difflib.get_close_matches(given, by_lower, n=count, cutoff=0.5)
    inside = [low for low in by_lower if given and given in low]
    return [by_lower[low] for low in [*dict.fromkeys([*words, *alike, *inside])][:count]]


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
        how = either(
            f"Path({str(path.parent)!r}).mkdir(parents=True)", f"mkdir -p {shlex.quote(str(path.parent))}"
        )
        raise InputError(f"There is no folder {str(path.parent)!r} for {path.name}. Make it first: {how}.")
    if not path.parent.is_dir():
        raise InputError(f"{str(path.parent)!r} is no folder, so {path.name} cannot be written into it.")
