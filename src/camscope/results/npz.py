"""Reads arrays out of a `.npz` whose contents may claim anything: what they claim is checked before it is believed."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

_DEFLATED = 1100
"""No byte of a compressed file gives more bytes than about this many (the limit of zlib is 1,032)."""

_LARGEST_HEADER = 10_000
"""The most bytes in the header of an array of numbers or text."""


class Archive:
    """The arrays in a `.npz`, each read when it is asked for.

    Args:
        path: the file.

    Raises:
        OSError, zipfile.BadZipFile: if it cannot be opened.
        ValueError: if an array claims a size that the file cannot hold.
    """

    def __init__(self, path: str | Path) -> None:
        self._zip = zipfile.ZipFile(path)
        size = Path(path).stat().st_size
        self._members = {one.filename.removesuffix(".npy"): one for one in self._zip.infolist()}
        if sum(one.file_size for one in self._zip.infolist()) > _DEFLATED * size:
            self._zip.close()
            raise ValueError(f"it claims to hold more than a file of {size} bytes can")

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *error: object) -> None:
        self._zip.close()

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def __getitem__(self, name: str) -> np.ndarray:
        """One array.

        Raises:
            KeyError: if there is none of this name.
            ValueError: if it is no array of numbers or text, or its header claims another size than it has.
        """
        if name not in self._members:
            raise KeyError(f"it holds no {name!r}")
        member = self._members[name]
        with self._zip.open(member) as file:
            _check_header(file, member.file_size, name)
        with self._zip.open(member) as file:
            return np.asarray(npy.read_array(file, allow_pickle=False, max_header_size=_LARGEST_HEADER))


def _check_header(file: IO[bytes], size: int, name: str) -> None:
    """Refuse an array whose header claims another size than the file has, before anything of that size is made."""
    version = npy.read_magic(file)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"the format {version} of {name!r} is not known")
    shape, _, kind = readers[version](file, max_header_size=_LARGEST_HEADER)
    if kind.kind not in "biufcU":
        raise ValueError(f"{name!r} holds {kind}, not numbers or text")
    if any(n < 0 for n in shape):
        raise ValueError(f"{name!r} claims the shape {shape}")
    if math.prod(shape) * kind.itemsize != size - file.tell():
        raise ValueError(f"{name!r} claims the shape {shape}, which is not what it holds")
