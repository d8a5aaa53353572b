"""The class names that a file of weights says: in the words of trainers, one per output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from camscope.errors import keyword
from camscope.libraries.checkpoints.reading import Checkpoint
from camscope.libraries.checkpoints.stand_ins import parts_of
from camscope.libraries.listed_names import listed_names, read_text

KEYS = (
    "class_names",
    "classes",
    "class_to_idx",
    "idx_to_class",
    "id2label",
    "label2id",
    "categories",
    "labels",
    "label_names",
    "names",
    "vocab",
    "CLASSES",
)
"""Where they are, the likeliest first."""

_SURE = 6
"""So many of these are for class names only."""

_DEEPEST = 3
"""How many dictionaries in one another are looked through: `hyper_parameters`, `args`, `meta` …"""


def class_names_in(checkpoint: Checkpoint, count: int) -> list[str] | None:
    """The class names in a file, if there are as many as the model has outputs.

    Args:
        checkpoint: what was read.
        count: how many outputs there are.
    """
    for names in (*_said(checkpoint.said), *_found(checkpoint.content, _DEEPEST)):
        if len(names) == count:
            return names
    return None


def unused_names(checkpoint: Checkpoint, count: int) -> str:
    """What to say of names in a file that are none for the model's outputs; empty if there are no such.

    Args:
        checkpoint: what was read, in which `class_names_in` found none.
        count: how many outputs there are.
    """
    found = next((one for one in _lists(checkpoint.content, _DEEPEST) if len(one[1]) > 1), None)
    if found is None:
        return ""
    key, names = found
    return (
        f"The file has {len(names)} entries under {key!r}, which do not name the model's {count} outputs one by one, "
        f"from 0 to {count - 1}, so they are not used. Give the names by {keyword('class_names')}."
    )


def _lists(content: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """What stands where class names would, whether or not it can be read as such."""
    for key, inner in parts_of(content).items():
        if key in KEYS[:_SURE]:
            if isinstance(inner, (Mapping, list, tuple)):
                yield key, parts_of(inner) if isinstance(inner, Mapping) else inner
        elif depth:
            yield from _lists(inner, depth - 1)


def _said(said: Mapping[str, str]) -> Iterator[list[str]]:
    """Those in the metadata of a safetensors file, which are text."""
    for key in KEYS:
        if key in said:
            yield listed_names(read_text(said[key]))


def _found(content: Any, depth: int) -> Iterator[list[str]]:
    parts = parts_of(content)
    for key in KEYS:
        if key in parts:
            yield listed_names(_plain(parts[key]))
    for name, inner in parts.items():
        if depth and name not in KEYS:
            yield from _found(inner, depth - 1)


def _plain(value: Any) -> Any:
    """A stand-in for a list or a dictionary of some library as what it holds."""
    return parts_of(value) if isinstance(value, Mapping) else value
