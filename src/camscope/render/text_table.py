"""Lists that show themselves as a table: as text in a terminal, as HTML in a notebook."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

_WORDS = (16, 12, 8)
"""Words of so many letters are not broken; of fewer where there is no room."""

_TABLE = "border-collapse:collapse;font-size:.85em"
_GAP = 2
"""Characters between columns."""

_CAPTION = "opacity:.7;font-size:.85em;white-space:pre-line"
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
        whole: the numbers of the columns whose cells are not broken into lines, where others can be.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    bold: frozenset[int] = frozenset()
    caption: str = ""
    whole: frozenset[int] = frozenset()

    def rich(self, width: int, styles: Mapping[int, str] | None = None) -> Table:
        """For rich's consoles, without the caption.

        Args:
            width: of the console, in characters.
            styles: of rows, by their number, such as `green`.
        """
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        for column, size in zip(self.columns, self._widths(width), strict=True):
            table.add_column(Text(column), overflow="fold", width=size)
        for number, row in enumerate(self.rows):
            table.add_row(*map(Text, row), style=(styles or {}).get(number))
        return table

    def _widths(self, width: int) -> list[int]:
        """How wide the columns are: as wide as their texts, and where that is too much the widest ones less so.

        Cells of columns that are whole are not broken, and words of the others only where there is no room.
        """
        texts = [[column, *(row[i] for row in self.rows)] for i, column in enumerate(self.columns)]
        wide = [max(map(len, cells)) for cells in texts]
        over = sum(wide) + _GAP * (len(wide) - 1) - width
        for longest in _WORDS:
            least = [self._least(number, cells, longest) for number, cells in enumerate(texts)]
            while over > 0 and (open_ := [i for i, size in enumerate(wide) if size > least[i]]):
                wide[max(open_, key=wide.__getitem__)] -= 1
                over -= 1
        return wide

    def _least(self, number: int, texts: Sequence[str], longest: int) -> int:
        """How narrow a column may be, if words up to a length are not broken."""
        words = [min(longest, len(word)) for text in texts for word in text.split()]
        cells = [len(text) for text in texts[1:]] if number in self.whole else []
        return max([1, *words, *cells])

    def text(self, width: int | None = None) -> str:
        """As plain text.

        Args:
            width: in characters; None takes the terminal's.
        """
        from rich.console import Console
        from rich.text import Text

        page = io.StringIO()
        width = shutil.get_terminal_size((100, 24)).columns if width is None else width
        console = Console(file=page, width=width, color_system=None, legacy_windows=False)
        console.print(self.rich(width))
        if self.caption:
            console.print(Text(self.caption))
        return "\n".join(line.rstrip() for line in page.getvalue().rstrip().splitlines())

    def html(self) -> str:
        """As self-contained HTML without colours of its own, readable in light and dark notebooks."""
        head = "".join(f'<th style="{_HEAD}">{escape(column)}</th>' for column in self.columns)
        body = "".join(
            f"<tr>{''.join(_cells(row, bold=i in self.bold))}</tr>" for i, row in enumerate(self.rows)
        )
        under = f'<div style="{_CAPTION}">{escape(self.caption)}</div>' if self.caption else ""
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
