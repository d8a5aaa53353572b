"""The arguments by which a model is told that it is not in training."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

_SAYS_SO = {
    "train": False,
    "training": False,
    "is_training": False,
    "deterministic": True,
    "inference": True,
    "use_running_average": True,
}
"""Arguments that are called so everywhere, and what they are in evaluation."""


def in_evaluation(call: Callable[..., Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by keyword, with those that say that the model is not in training, where it takes such.

    Args:
        call: how the model is called.
        kwargs: what the user says, which is left as it is.
    """
    try:
        takes = inspect.signature(call).parameters
    except ValueError:  # a function of C, none of which takes such an argument
        return dict(kwargs)
    return {**{name: value for name, value in _SAYS_SO.items() if name in takes}, **kwargs}
