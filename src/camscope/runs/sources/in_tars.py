"""WebDataset shards: tar files in which what belongs to one image has one name, and lies together."""

from __future__ import annotations

import itertools
import json
import re
import tarfile
from collections.abc import Iterator
from typing import Any

from camscope.errors import InputError
from camscope.images import is_image_name
from camscope.runs.sources.one_input import INSIDE, Input
from camscope.runs.sources.remote_files import opened

PACKED = (".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz")
"""Endings of packed tar files."""


def images_of_tar(file: str) -> Iterator[Input]:
    """The images in a tar file, with the labels beside them: `KEY.cls`, or `label` in `KEY.json`.

    Args:
        file: its path or URL.

    Raises:
        InputError: if it is packed, or no tar file.
    """
    if file.endswith(PACKED):
        raise InputError(
            f"'{file}' is packed, so no image in it can be read by itself. Unpack it once: "
            f"gunzip for .gz; images gain nothing from packing."
        )
    try:
        with opened(file) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for _, members in itertools.groupby(_files(tar), key=lambda one: _key(one.name)):
                yield from _of_one_key(file, tar, list(members))
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(f"'{file}' is no whole tar file: {error}.") from error


def spelled_out(pattern: str) -> list[str]:
    """The names that `shards-{000..127}.tar` stands for, in order."""
    found = re.search(r"\{(\d+)\.\.(\d+)\}", pattern)
    if found is None:
        return [pattern]
    low, high = found.groups()
    numbers = (str(number).zfill(len(low)) for number in range(int(low), int(high) + 1))
    return [
        one for n in numbers for one in spelled_out(pattern[: found.start()] + n + pattern[found.end() :])
    ]


def _files(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        if member.isfile():
            yield member
        setattr(tar, "members", [])  # noqa: B010 – it would hold all there are; the type has no such attribute


def _key(name: str) -> str:
    folder, _, own = name.rpartition("/")
    return f"{folder}/{own.partition('.')[0]}"


def _of_one_key(file: str, tar: tarfile.TarFile, members: list[tarfile.TarInfo]) -> Iterator[Input]:
    label = next((said for one in members if (said := _label(tar, one)) is not None), None)
    for one in members:
        if is_image_name(one.name):
            yield Input(f"{file}{INSIDE}{one.name}", label, "bytes", one.offset_data, one.size)


def _label(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str | None:
    if not member.name.endswith((".cls", ".json")):
        return None
    stream = tar.extractfile(member)
    said = b"" if stream is None else stream.read()
    if member.name.endswith(".cls"):
        return said.decode(errors="replace").strip() or None
    try:
        known: Any = json.loads(said)
    except ValueError:
        return None  # of something else
    label = known.get("label") if isinstance(known, dict) else None
    return None if label is None else str(label)
