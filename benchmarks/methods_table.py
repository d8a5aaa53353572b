"""The README's table of methods, made of what the methods say of themselves.

python -m benchmarks.methods_table            # prints it
python -m benchmarks.methods_table README.md  # puts it between the README's marks
"""

from __future__ import annotations

import sys
from pathlib import Path

import camscope
from camscope.evidence import in_words

BEGIN, END = "<!-- methods: made by benchmarks/methods_table.py -->", "<!-- end of methods -->"


def table() -> str:
    """One row a method, in the order `camscope methods` lists them."""
    lines = [
        "| method | what to use it for | paper | needs: cost | class | signed |",
        "|---|---|---|---|---|---|",
    ]
    for m in camscope.list_methods():
        needs = in_words(m.needs, m.instead)
        cells = (
            f"`{m.name}`",
            m.advice,
            m.paper or "baseline",
            f"{needs}: {m.cost}",
            "yes" if m.class_specific else "no",
            "yes" if m.rectified else "no",
        )
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


def marked() -> str:
    """The table between its marks."""
    return f"{BEGIN}\n{table()}\n{END}"


def main() -> None:
    """Print the table, or put it into a file between its marks."""
    if len(sys.argv) < 2:
        sys.stdout.write(table() + "\n")
        return
    path = Path(sys.argv[1])
    text = path.read_text("utf-8")
    start, end = text.index(BEGIN), text.index(END) + len(END)
    path.write_text(text[:start] + marked() + text[end:], "utf-8")


if __name__ == "__main__":
    main()
