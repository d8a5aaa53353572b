"""What the page is told of an input besides its maps: what the model says, what is explained, and its label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from camscope.results import Explanation
from camscope.targets import TargetInfo


def top_of(e: Explanation, number: int, count: int) -> list[dict[str, Any]]:
    """What the model says, the most likely first.

    Args:
        e: the explanation.
        number: of the input.
        count: how many classes.
    """
    return [
        {"index": index, "name": name, "logit": logit, "probability": probability}
        for index, name, logit, probability in e.top(count, image=number)
    ]


def label_of(e: Explanation, number: int, top: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What an input is labelled as, and whether the model says something else; both None where there is no label.

    Args:
        e: the explanation.
        number: of the input.
        top: see `top_of`.
    """
    label = None if e.labels is None else str(e.labels[number])
    return {"label": label, "wrong": None if label is None or not top else top[0]["name"] != label}


def target_of(e: Explanation, number: int, target: int) -> dict[str, Any]:
    """A target of an input.

    Args:
        e: the explanation.
        number: of the input.
        target: of the target among the input's.
    """
    info = e.targets[number][target]
    return {
        "title": e.titles[number][target],
        "index": info.index,
        "spec": _written(info),
        "score": float(e.scores[number, target]),
        "probability": e.probability(number, target),
    }


def _written(info: TargetInfo) -> str | None:
    """The target as it is typed; None for one that takes more than a class to say."""
    if info.index is None or info.against or info.of not in ("logit", "probability", "log-probability"):
        return None
    words = str(info.index) if info.of == "logit" else f"{info.of}:{info.index}"
    return f"not:{words}" if info.sign < 0 else words
