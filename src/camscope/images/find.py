"""Lists the photos that a user's words stand for: files, folders, globs, samples."""

from __future__ import annotations

import glob
import importlib.util
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType

from PIL import Image

from camscope.errors import InputError, MissingExtraError, nearest

SAMPLE_PREFIX = "sample:"

SAMPLES: Mapping[str, str] = MappingProxyType(
    {
        "astronaut": "astronaut.png",
        "camera": "camera.png",
        "cat": "chelsea.png",
        "coffee": "coffee.png",
        "coins": "coins.png",
        "moon": "moon.png",
        "motorcycle": "motorcycle_left.png",
        "retina": "retina.jpg",
        "rocket": "rocket.jpg",
    }
)
"""The file of each sample photo, by name. All are inside the scikit-image wheel, so nothing is downloaded."""

# Pillow lists these formats, but they are not photos: programs, video, and formats that need other software.
_NO_PHOTOS = {"EPS", "MPEG", "WMF", "BUFR", "GRIB", "HDF5"}


def find_photos(patterns: Sequence[str | os.PathLike[str]] | str | os.PathLike[str]) -> list[str]:
    """List the photos that files, folders, globs and sample names stand for.

    A folder gives every file below it with an image's suffix, in natural order (``2.png`` before ``10.png``),
    without hidden files. A glob understands ``*``, ``?``, ``[...]`` and ``**``; it gives image files only,
    unless it names a suffix itself (``*.dat``). A path that does not exist stays in the list, so that reading it
    raises its own error and the other photos can still be read.

    Args:
        patterns: one or several files, folders, globs or sample names (``sample:NAME``, see `SAMPLES`).

    Returns:
        Paths and sample names, in the order of the patterns; each photo once.

    Raises:
        InputError: a folder holds no image, a glob matches none, or there is no sample of that name.
        MissingExtraError: a sample is asked for and scikit-image is not installed.
    """
    given = [patterns] if isinstance(patterns, (str, os.PathLike)) else patterns
    found: dict[str, str] = {}
    for pattern in given:
        for photo in _expand(os.fspath(pattern)):
            found.setdefault(_identity(photo), photo)
    return list(found.values())


def sample_path(name: str) -> Path:
    """Find the file of a sample photo.

    Args:
        name: one of `SAMPLES`, without the prefix ``sample:``.

    Raises:
        InputError: there is no sample of that name, or the installation of scikit-image lacks the file.
        MissingExtraError: scikit-image is not installed.
    """
    if name not in SAMPLES:
        valid = ", ".join(SAMPLES)
        raise InputError(f"There is no sample photo {name!r}.{nearest(name, SAMPLES)} Samples: {valid}.")
    # The package is found but not imported, since importing it takes a second.
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("sample photos", "demo")
    file = Path(spec.submodule_search_locations[0]) / "data" / SAMPLES[name]
    if not file.is_file():
        raise InputError(f"The installed scikit-image lacks the sample photo '{file}'. Reinstall it.")
    return file


def _expand(pattern: str) -> list[str]:
    if pattern.startswith(SAMPLE_PREFIX):
        sample_path(pattern.removeprefix(SAMPLE_PREFIX))
        return [pattern]
    if pattern and Path(pattern).is_dir():  # '' would be the current folder
        return _in_folder(pattern)
    # A file's name may have brackets, so the path of an existing file is never taken as a glob.
    if glob.has_magic(pattern) and not os.path.lexists(pattern):
        return _matching(pattern)
    return [pattern]


def _in_folder(folder: str) -> list[str]:
    found = sorted((path for path in _walk(folder) if is_image_name(path)), key=natural_key)
    if not found:
        raise InputError(f"The folder '{folder}' and its subfolders hold no file with an image's suffix.")
    return found


def _walk(folder: str) -> Iterator[str]:
    for parent, folders, files in os.walk(folder, onerror=_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.join(parent, name) for name in files if not name.startswith("."))  # noqa: PTH118


def _unreadable(error: OSError) -> None:
    raise InputError(f"The folder '{error.filename}' cannot be listed: {error.strerror}.") from error


def _matching(pattern: str) -> list[str]:
    named = bool(Path(pattern).suffix) and not glob.has_magic(Path(pattern).suffix)
    files = [path for path in glob.glob(pattern, recursive=True) if Path(path).is_file()]  # noqa: PTH207
    found = sorted((path for path in files if named or is_image_name(path)), key=natural_key)
    if not found:
        other = f" It matches {len(files)} other file(s)." if files else ""
        raise InputError(f"No image matches '{pattern}'.{other}")
    return found


def is_image_name(path: str) -> bool:
    """Whether a file is called like a photo that can be read."""
    return Path(path).suffix.lower() in _image_suffixes()


@cache
def _image_suffixes() -> frozenset[str]:
    suffixes = Image.registered_extensions().items()
    return frozenset(suffix for suffix, kind in suffixes if kind in Image.OPEN and kind not in _NO_PHOTOS)


def natural_key(path: str) -> list[list[str | int]]:
    """The place of a path, or of any name, in natural order: ``2`` before ``10``, without regard to case."""
    # re.split with a group gives text and digits in turn, so text is never compared with a number.
    return [
        [int(piece) if at % 2 else piece.casefold() for at, piece in enumerate(re.split(r"([0-9]+)", part))]
        for part in Path(path).parts
    ]


def _identity(photo: str) -> str:
    # 'a.png' and './a.png' are the same photo.
    return photo if photo.startswith(SAMPLE_PREFIX) else os.path.normcase(os.path.abspath(photo))  # noqa: PTH100
