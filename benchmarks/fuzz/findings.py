"""What a check finds, in a word and a reason."""

from __future__ import annotations

import re
import traceback
from dataclasses import dataclass

EQUAL = "equal"
REFUSED = "refused, as it should be"
NEEDLESS = "refused, though there is a map"
UNDECIDED = "not decided"
WRONG = "WRONG"
RAW = "raw error"

RESULTS = (EQUAL, REFUSED, NEEDLESS, UNDECIDED, WRONG, RAW)
BAD = (WRONG, RAW)


@dataclass(frozen=True)
class Finding:
    """What became of one map, or of one other check.

    Attributes:
        result: one of the words above.
        about: what was asked for: a method and a layer, or the check.
        why: what is wrong, or the message of an error; behind ` | ` come numbers.
    """

    result: str
    about: str
    why: str = ""

    @property
    def kind(self) -> str:
        """The same without names and numbers, by which findings are counted and a smaller network is told alike."""
        return re.sub(r"'[^' ]*'|\d[\d.e×-]*", "·", self.why.partition(" | ")[0])[:110]


def short(error: Exception) -> str:
    """An error in a line, and where camscope raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = ([frame for frame in frames if "camscope" in frame.filename] or frames)[-1]
    first = (str(error).splitlines() or [""])[0][:150]
    return f"{type(error).__name__}: {first} ({place.filename[-40:]}:{place.lineno})"
