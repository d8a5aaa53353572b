"""One input of a run: what it is called, how it is labelled, and where its bytes lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["file", "bytes", "parquet", "arrow"]
"""Where the bytes lie: in a file of their own; in a part of a file; in a row of a Parquet or Arrow file."""

INSIDE = "::"
"""Stands in a source between the file and what is inside of it."""


class Input(NamedTuple):
    """One input.

    Attributes:
        source: a path, a URL or `sample:NAME`; of what is inside of a file `FILE::NAME`, of a table's row
            `FILE::COLUMN/ROW`.
        label: what it is labelled as; None if that is not known.
        kind: where the bytes lie.
        first: of `bytes` where they begin, of `parquet` the row group.
        second: of `bytes` how many there are, of `parquet` the row in the group, of `arrow` the row in the file.
    """

    source: str
    label: str | None = None
    kind: Kind = "file"
    first: int = 0
    second: int = 0

    @property
    def file(self) -> str:
        """The path or URL of the file that is read."""
        return self.source if self.kind == "file" else self.source.rpartition(INSIDE)[0]

    @property
    def column(self) -> str:
        """The column of images, of a row."""
        return self.source.rpartition(INSIDE)[2].rpartition("/")[0]


@dataclass(frozen=True)
class DataOptions:
    """How a table or a data set is to be understood.

    Attributes:
        images: the folder or URL that the paths of a table are relative to; None is the table's own.
        path: the path of an image, made of columns: `{ID}.jpg`.
        column: the column of paths or images; None is the one that has them.
        labels: the column of labels; None is the one that is called so, if there is one.
    """

    images: str | None = None
    path: str | None = None
    column: str | None = None
    labels: str | None = None
