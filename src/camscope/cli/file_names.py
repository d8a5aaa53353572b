"""What the files of each photo or text are called: as the person called it, in the folders that it was in."""

from __future__ import annotations

import glob
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from camscope.images.find import SAMPLE_PREFIX

_LONGEST = 120
"""Of the part of a name that was a photo's or text's, in bytes; a name has 255."""


def stems_of_photos(given: Sequence[str], found: Sequence[str]) -> dict[str, Path]:
    """What the name of every file of a photo begins with, by the photo: its own name, below the folders it was in.

    Of a folder that was given the folders in it are kept: of `photos` the files of `photos/a/x.jpg` are `a/x-…`. Of
    several folders the folders themselves are kept as well. Where that is one name for several photos, the folder that
    they were in comes before it, or their suffix behind it, or a number.

    Args:
        given: files, folders, globs and samples, as they were typed.
        found: the photos that these stand for.
    """
    folders = _folders(given)
    placed = {}
    for photo in found:
        start = start_of(photo, given)
        own = Path(photo.removeprefix(SAMPLE_PREFIX)) if start is None else Path(photo).relative_to(start)
        placed[photo] = _called(start, folders) / own if start in folders else own
    stems = {photo: path.with_name(_cut(path.stem)) if path.name else path for photo, path in placed.items()}
    for photos in _alike(stems):
        parents = {Path(photo).absolute().parent for photo in photos}
        for photo in photos:
            if len(parents) == len(photos):
                stems[photo] = Path(Path(photo).absolute().parent.name) / stems[photo]
            else:
                stems[photo] = stems[photo].with_name(_cut(placed[photo].name))
    return _numbered(stems)


def stems_of_texts(texts: Sequence[str]) -> dict[str, Path]:
    """What the name of every file of a text begins with, by what the text is called.

    Args:
        texts: what they are called.
    """
    return _numbered({text: Path(safe(Path(text).stem) or "text") for text in texts})


def safe(text: str) -> str:
    """The text as part of a file name."""
    return "".join(c if c.isalnum() or c in "._+" else "_" for c in text)[:60]


def ending_of(*parts: str) -> str:
    """What stands in a file's name behind that of its photo or sound: what the file is of, such as method and class."""
    return "".join(f"-{safe(part)}" for part in parts)


def start_of(photo: str, given: Sequence[str]) -> Path | None:
    """The folder from which on the person looked for a photo: one that was given, or that its glob begins with.

    Args:
        photo: a photo that was found; of one that was given by itself it is the folder that it is in.
        given: files, folders, globs and samples, as they were typed.

    Returns:
        The folder; None for a sample.
    """
    if photo.startswith(SAMPLE_PREFIX):
        return None
    path = Path(photo)
    if photo not in given:
        globs = [_fixed(one) for one in given if glob.has_magic(one)]
        for starts in (_folders(given), globs):
            if inside := [start for start in starts if path.is_relative_to(start)]:
                return max(inside, key=lambda start: len(start.parts))
    return path.parent


def _folders(given: Sequence[str]) -> list[Path]:
    return [Path(one) for one in given if one and Path(one).is_dir()]


def _called(folder: Path, folders: Sequence[Path]) -> Path:
    """What a folder is called among those that were given; nothing if it is the only one."""
    absolute = {Path(os.path.normpath(one.absolute())) for one in folders}
    own = Path(os.path.normpath(folder.absolute()))
    if len(absolute) == 1:
        return Path()
    if len({one.name for one in absolute}) == len(absolute):
        return Path(own.name)
    return own.relative_to(os.path.commonpath(absolute))


def _fixed(pattern: str) -> Path:
    """The folders of a glob before the first of which the name is open."""
    parts = Path(pattern).parts[:-1]
    first = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return Path(*parts[:first])


def _alike(stems: Mapping[str, Path]) -> list[list[str]]:
    """The photos that share a stem, by letters of any case: some file systems tell none apart."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for photo, stem in stems.items():
        groups[str(stem).lower()].append(photo)
    return [photos for photos in groups.values() if len(photos) > 1]


def _numbered(stems: Mapping[str, Path]) -> dict[str, Path]:
    """The stems with a number behind those that came before."""
    taken: set[str] = set()
    names = {}
    for source, stem in stems.items():
        name, count = stem, 1
        while str(name).lower() in taken:
            count += 1
            name = stem.with_name(f"{stem.name}-{count}")
        taken.add(str(name).lower())
        names[source] = name
    return names


def _cut(name: str) -> str:
    """The name, at most as long as leaves room for what is written behind it."""
    return name.encode()[:_LONGEST].decode(errors="ignore")
