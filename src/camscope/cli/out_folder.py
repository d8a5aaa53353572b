"""The folder that a run writes into: nothing that is there already is written over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from camscope.errors import InputError


def free_folder(out: Path, stems: Iterable[Path], sources: Iterable[str] = ()) -> Path:
    """The folder, or one beside it with a number behind its name, that holds no file of these names.

    Args:
        out: the folder that was asked for.
        stems: what the names of the files to be written begin with, below the folder.
        sources: the photos, which may lie in the folder themselves.

    Raises:
        InputError: if the folder holds such files and has no name that a number could stand behind.
    """
    wanted, photos = set(stems), {Path(source).absolute() for source in sources}
    if not _holds(out, wanted, photos):
        return out
    if out.name in ("", ".."):
        raise InputError(
            f"--out {out} holds files of these names already. Say another folder, or --overwrite to write over them."
        )
    beside = (out.with_name(f"{out.name}-{number}") for number in count(2))
    return next(folder for folder in beside if not _holds(folder, wanted, photos))


@contextmanager
def prepared_folder(out: Path) -> Iterator[None]:
    """Have the folder that results go into. At the end it is taken away again if nothing was put into it.

    Raises:
        InputError: if it cannot be made.
    """
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(
            f"--out {out} is a file, or lies below one, and files go into a folder. Say another."
        ) from error
    except OSError as error:
        raise InputError(
            f"--out {out} cannot be made a folder: {error.strerror or error}. Say another, where you may write."
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):  # it holds something
            for folder in made:
                folder.rmdir()


_PICTURES = (".png", ".webp", ".jpg", ".html")
_OTHERS = (".npz", ".json", ".csv")
"""What a run writes: pictures with words behind the name, and files of numbers without."""


def _holds(folder: Path, stems: set[Path], photos: set[Path]) -> bool:
    """Whether a folder holds a file that a run would write under one of these names, and which is no photo."""
    for parent in {stem.parent for stem in stems}:
        if not (folder / parent).is_dir():
            continue
        for file in (folder / parent).iterdir():
            if file.absolute() in photos:
                continue
            if file.suffix in _OTHERS and parent / file.stem in stems:
                return True
            dashes = (i for i, letter in enumerate(file.stem) if letter == "-")
            if file.suffix in _PICTURES and any(parent / file.name[:end] in stems for end in dashes if end):
                return True
    return False
