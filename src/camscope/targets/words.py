"""Targets as the command line writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast, get_args

from camscope.errors import TargetError
from camscope.outputs import Of
from camscope.plugins import load_plugins
from camscope.targets.classes import Class, index_or_name
from camscope.targets.target import WRITTEN, Target


def parse_target(text: str, class_names: Sequence[str] | None = None) -> Target:
    """Read a target as the command line writes it.

    A target is `281`, `tabby`, `top3`, `all`, `281 vs 282` or `tabby vs similar`, each optionally with `-` or `not:`
    before it (evidence against) and with `probability:`, `log-probability:` or `rest:` before that. For segmenters
    there are `region` (the largest class) and `region:cat`, both where the class is predicted; for detectors
    `instance` (the most likely one), `instance:1` (the next), `instance:dog` (the most likely one of a class),
    `instance:dog:1` (the next one of it) and `instance:10,20,60,80` (a box, x0, y0, x1, y1 in pixels of the photo).

    Args:
        text: the target.
        class_names: the class names, if they are known already. A number that is among them means that name, not an
            index.

    Raises:
        TargetError: if it names no class.
    """
    load_plugins("camscope.targets")
    word = text.strip()
    names = frozenset(class_names or ())
    sign, of = 1, "logit"
    while True:
        head, colon, rest = word.partition(":")
        if colon and head.strip() == "not":
            sign, word = -sign, rest.strip()
        elif colon and head.strip() in get_args(Of):
            of, word = head.strip(), rest.strip()
        elif word.startswith("-"):
            sign, word = -sign, word[1:].strip()
        else:
            break
    if not word:
        raise TargetError(
            f"The target {text!r} names no class. Write for instance 281, tabby, top3, all or -281."
        )
    score = cast(Of, of)
    for kind in reversed(WRITTEN):  # what was added last comes first
        found = kind.read(word, score, sign, names)
        if found is not None:
            return found
    return Class(index_or_name(word, names), score, sign)


def read_words(text: str, keyword: str) -> str | None:
    """What stands behind `keyword:`; an empty text for the keyword alone, None for any other word."""
    head, _, rest = (part.strip() for part in text.partition(":"))
    return rest if head.lower() == keyword else None
