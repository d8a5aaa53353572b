"""Lists that show themselves as a table: as text in a terminal, as HTML in a notebook."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

_TABLE = "border-collapse:collapse;font-size:.85em"
_CELL = "text-align:left;vertical-align:top;padding:.15em 1em .15em 0"
_HEAD = f"{_CELL};font-weight:600;opacity:.7"


@dataclass(frozen=True)
class TextTable:
    """A table of texts.

    Attributes:
        columns: the headings.
        rows: the cells.
        bold: the numbers of the rows that stand out.
        caption: a sentence under it; empty for none.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    bold: frozenset[int] = frozenset()
    caption: str = ""

    def text(self, width: int | None = None) -> str:
        """As plain text.

        Args:
            width: in characters; None takes the terminal's.
        """
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        for column in self.columns:
            table.add_column(Text(column), overflow="fold")
        for row in self.rows:
            table.add_row(*map(Text, row))
        page = io.StringIO()
        width = shutil.get_terminal_size((100, 24)).columns if width is None else width
        console = Console(file=page, width=width, color_system=None, legacy_windows=False)
        console.print(table)
        if self.caption:
            console.print(Text(self.caption))
        return "\n".join(line.rstrip() for line in page.getvalue().rstrip().splitlines())

    def html(self) -> str:
        """As self-contained HTML without colours of its own, readable in light and dark notebooks."""
        head = "".join(f'<th style="{_HEAD}">{escape(column)}</th>' for column in self.columns)
        body = "".join(
            f"<tr>{''.join(_cells(row, bold=i in self.bold))}</tr>" for i, row in enumerate(self.rows)
        )
        under = (
            f'<div style="opacity:.7;font-size:.85em">{escape(self.caption)}</div>' if self.caption else ""
        )
        return f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{under}'


class Tabular:
    """Something that shows itself as a table."""

    def table(self) -> TextTable:
        """What is shown."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()


def _cells(row: Sequence[str], *, bold: bool) -> Iterable[str]:
    weight = ";font-weight:600" if bold else ""
    return (f'<td style="{_CELL}{weight}">{escape(cell)}</td>' for cell in row)
