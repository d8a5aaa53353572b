"""Lists of class names as people write them: names in order, names by number, or numbers by name."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any


def listed_names(value: Any) -> list[str]:
    """A list of names, from a list, names by number, or numbers by name, from 0 on; empty if it is none of these.

    Args:
        value: as it was found.
    """
    if isinstance(value, Mapping):
        value = _by_number(value)
    whole = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if not whole or not all(isinstance(one, (str, int)) for one in value):
        return []
    numbers = [one for one in value if isinstance(one, int)]
    if len(set(numbers)) < len(numbers):  # the labels of images
        return []
    return [str(one) for one in value]


def _by_number(value: Mapping[Any, Any]) -> list[Any]:
    """The names in the order of their numbers, which are the keys (also as text) or the values."""
    numbered = {str(key): name for key, name in value.items()}
    if any(isinstance(name, int) for name in value.values()):
        numbered = {str(number): key for key, number in value.items()}
    return [numbered.get(str(number)) for number in range(len(numbered))]


def read_text(text: str) -> Any:
    """JSON, or a list or dictionary as Python writes it; else its lines."""
    for reader in (json.loads, ast.literal_eval):
        try:
            return reader(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return text.split("\n")
