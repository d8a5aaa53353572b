"""Writing a file beside its place first, so that in its place it is whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from camscope.errors import InputError


@contextmanager
def written_aside(out: Path) -> Iterator[Path]:
    """A path of the same name in a new folder beside. What lies in that folder takes its place when the block ends.

    If the block ends otherwise, also by an interrupt, nothing of it remains, and what was there before still is.

    Args:
        out: the file. Files that it needs lie in the same folder; it comes last.

    Raises:
        InputError: if nothing can be written there.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}.") from error
    try:
        yield folder / out.name
        for file in sorted(folder.iterdir(), key=lambda file: file.name == out.name):
            file.replace(out.with_name(file.name))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
