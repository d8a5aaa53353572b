"""The files that are written of an explanation, by the words that `--save` takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeAlias

from PIL import Image

from camscope import render
from camscope.cli.file_names import ending_of
from camscope.cli.pictures import Pictures
from camscope.cli.sources import File, Sources
from camscope.errors import InputError
from camscope.results import figures
from camscope.results.explanation import Explanation
from camscope.results.saving import finite

_MOST_PICTURES = 100
Kind: TypeAlias = Callable[[Explanation, Sources, Pictures], Iterator[File]]
"""The files of one kind: of one input's explanation, among its sources, and how pictures look."""


def _figures(e: Explanation, sources: Sources, pictures: Pictures) -> Iterator[File]:
    """One figure of all targets; of several methods or layers, one for each target."""
    e = pictures.for_figure(e)
    if len(e.raw) == 1:
        yield File("-figure", figures.picture(e, **pictures.style))
        return
    count = len(e.targets[0])
    for t in range(count):
        number = f"-{t + 1}" if count > 1 else ""
        yield File(f"-figure{number}", figures.picture(e, target=t, **pictures.style))


def _overlays(e: Explanation, sources: Sources, pictures: Pictures) -> Iterator[File]:
    return sources.overlays(pictures.for_overlay(e), pictures.style)


def _channels(e: Explanation, sources: Sources, pictures: Pictures) -> Iterator[File]:
    """The feature maps that contribute most, one figure for each layer and target."""
    e = pictures.for_figure(e)
    for layer in e.channels:
        for t, title in enumerate(e.titles[0]):
            drawn = figures.picture(e, by="channels", target=t, layer=layer, **pictures.style)
            yield File(ending_of("channels", layer, title), drawn)


def _npz(e: Explanation, sources: Sources, pictures: Pictures) -> Iterator[File]:
    yield File(".npz", e.save)


def _json(e: Explanation, sources: Sources, pictures: Pictures) -> Iterator[File]:
    document = {**e.summary(), "explanation_notes": list(e.notes), "provenance": dict(e.provenance)}
    text = json.dumps(finite(document), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    yield File(".json", lambda path: path.write_text(text, encoding="utf-8"))


_PICTURES: Mapping[str, Kind] = {"figure": _figures, "overlay": _overlays, "channels": _channels}
_NUMBERS: Mapping[str, Kind] = {"npz": _npz, "json": _json}

KINDS: Mapping[str, Kind] = {**_PICTURES, **_NUMBERS}
"""By the words that `--save` takes, in the order in which they are written."""


def write(
    e: Explanation,
    stem: Path,
    kinds: Sequence[str],
    *,
    sources: Sources,
    pictures: Pictures,
) -> list[str]:
    """Write files of these kinds beside each other.

    Args:
        e: the explanation of one input.
        stem: the folder, and what the name of every file begins with.
        kinds: some of `KINDS`.
        sources: what the input is one of.
        pictures: how they look.

    Returns:
        The paths.

    Raises:
        InputError: if that would be too many pictures, or files cannot be written.
    """
    count = len(e.targets[0])
    if count > _MOST_PICTURES and any(kind in _PICTURES for kind in kinds):
        raise InputError(
            f"{count} targets would be too many pictures (at most {_MOST_PICTURES}): say --save json instead, or "
            "--save npz."
        )
    written: list[str] = []
    for kind in kinds:
        for file in KINDS[kind](e, sources, pictures):
            content, ending = file.content, file.ending
            if isinstance(content, Image.Image):
                content, ending = partial(render.save_picture, content), ending + pictures.suffix
            path = _unused(stem.with_name(stem.name + ending), written)
            _write(path, content)
            written.append(str(path))
    return written


def _write(path: Path, writes: Callable[[Path], object]) -> None:
    """Write a file beside its place first, under one name for each, so that in its place it is whole or not at all."""
    if path.is_dir():
        raise InputError(
            f"'{path}' is a folder, and no file. Take it away, or say another folder with --out."
        )
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writes(part)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise InputError(f"Cannot write to {path.parent}: {error.strerror or error}") from error


def _unused(path: Path, written: Sequence[str]) -> Path:
    """Two titles may have the same letters and digits: those of a + b and of a - b, or very long ones, or Tit and tit.

    Some file systems tell no capitals apart: there the second would take the place of the first.
    """
    stem, number, taken = path.stem, 1, {one.lower() for one in written}
    while str(path).lower() in taken:
        number += 1
        path = path.with_name(f"{stem}-{number}{path.suffix}")
    return path
