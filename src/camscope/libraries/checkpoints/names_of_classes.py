"""The class names that a file of weights says: in the words of trainers, one per output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

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
