"""One text as the page is given it: its words, and what each is for every target."""

from __future__ import annotations

from typing import Any

from camscope.app.target_facts import label_of, target_of, top_of
from camscope.results import Explanation
from camscope.results.saving import finite

_LONGEST = 60
"""Letters of a text that is called by its own words."""


def text_facts(
    e: Explanation, number: int, *, top: int, name: str | None = None, written: str | None = None
) -> dict[str, Any]:
    """A text of an explanation, as plain values.

    Args:
        e: of texts.
        number: which.
        top: how many of the top classes are told.
        name: what it is called; None takes its first words.
        written: the text as it was given; None joins its words.
    """
    text = e.text(number)
    whole = text.readable if written is None else written
    best = top_of(e, number, top)
    facts: dict[str, Any] = {
        "name": name or _begin(whole),
        "text": whole,
        **label_of(e, number, best),
        "words": [{"text": word.text, "glued": word.glued} for word in text.words],
        "top": best,
        "targets": [target_of(e, number, target) for target in range(len(e.targets[number]))],
        "maps": [
            {
                "method": method,
                "layer": layer,
                "target": target,
                "evidence": [value for _, value in e.words(number, method, layer, target=target)],
                "note": e.status[method, layer][number][target].words,
            }
            for method, layer in e.raw
            for target in range(len(e.targets[number]))
        ],
        "notes": [],
    }
    plain: dict[str, Any] = finite(facts)
    return plain


def _begin(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST].rstrip()} …"
