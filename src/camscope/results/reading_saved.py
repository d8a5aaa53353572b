"""What is read from a file that was saved here: nothing that it says is believed before it was checked."""

from __future__ import annotations

import json
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from camscope.errors import InputError
from camscope.results.npz import Archive

_BROKEN = (
    OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RecursionError, OverflowError, RuntimeError,
    zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip
"""What reading a broken file raises, the zip itself included (RuntimeError: it is encrypted or packed otherwise)."""


@contextmanager
def reading(path: str | Path, what: str) -> Iterator[Archive]:
    """Read a file in this context; what goes wrong in it is said to be the file's fault.

    Args:
        path: the file.
        what: what it is to be, such as `an explanation`.

    Raises:
        InputError: if the file is missing or is not what it is to be.
    """
    try:
        with Archive(path) as file:
            yield file
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.") from None
    except _BROKEN as error:
        reason = error.args[0] if isinstance(error, KeyError) else error
        raise InputError(f"{path} is not {what} that camscope saved ({reason}).") from error


def document_in(file: Archive, name: str, version: int) -> Mapping[str, Any]:
    """The JSON in a file.

    Args:
        file: the file.
        name: of the array that holds it.
        version: the format that is read.

    Raises:
        ValueError: if it is no JSON, or of another format.
    """

    def refuse(number: str) -> Any:
        raise ValueError(f"{number} is no number of JSON")

    document: Mapping[str, Any] = json.loads(str(file[name]), parse_constant=refuse)
    require(isinstance(document, dict), "its JSON is no object")
    require(
        document["format"] == version, f"its format is {document['format']}, this version reads {version}"
    )
    return document


def numbers_in(file: Archive, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """An array of numbers of this shape.

    Args:
        file: the file.
        name: of the array.
        shape: an axis of None may have any length but zero.

    Raises:
        ValueError: if it has another shape, or holds no floating-point numbers.
    """
    array = file[name]
    fits = array.ndim == len(shape) and all(
        n > 0 if wanted is None else n == wanted for n, wanted in zip(array.shape, shape, strict=True)
    )
    wanted = ", ".join("any" if n is None else str(n) for n in shape)
    require(fits, f"{name!r} has shape {array.shape}, where the rest needs ({wanted})")
    require(array.dtype.kind == "f", f"{name!r} holds {array.dtype}, not floating-point numbers")
    return array


def require(holds: bool, otherwise: str) -> None:
    """Raise a ValueError with these words unless something holds."""
    if not holds:
        raise ValueError(otherwise)


def list_in(value: Any, what: str) -> list[Any]:
    """A list with at least one entry, called `what` where it is none (ValueError)."""
    require(isinstance(value, list) and bool(value), f"{what!r} is no list of at least one")
    return list(value)


def strings_in(values: Any) -> list[str]:
    """A list of strings; ValueError if it is none."""
    require(isinstance(values, list) and all(isinstance(v, str) for v in values), f"{values!r} are no words")
    return list(values)


def whole_number(value: Any, what: str, least: int = 0) -> int:
    """A whole number.

    Args:
        value: of JSON.
        what: it is called.
        least: it may be.

    Raises:
        ValueError: if it is none.
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    require(whole and value >= least, f"{what} is {value!r}, not a whole number of at least {least}")
    return int(value)


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
