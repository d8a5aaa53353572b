"""What a planted bug is: where, what stands there, what in its place, and who should notice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bug:
    """One planted bug.

    Attributes:
        file: in which file, under `src/camscope`.
        old: what stands there, exactly once.
        new: what is put in its place.
        breaks: in one line, what is wrong then.
        tests: the files that should notice, the quickest first.
    """

    file: str
    old: str
    new: str
    breaks: str
    tests: tuple[str, ...]


def bugs_in(room: str, tests: tuple[str, ...], *bugs: tuple[str, str, str]) -> list[Bug]:
    """Bugs of one file with the same tests.

    Args:
        room: the file.
        tests: that should notice.
        bugs: of each what is wrong then, what stands there, and what is put in its place.
    """
    return [Bug(f"src/camscope/{room}", old, new, breaks, tests) for breaks, old, new in bugs]
