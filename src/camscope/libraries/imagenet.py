"""The names of ImageNet's 1,000 classes, which come with camscope: no library is asked, and no network."""

from __future__ import annotations

import functools
from importlib import resources


@functools.cache
def imagenet_names() -> tuple[str, ...]:
    """The synonyms of each class, with commas between them, in the order of the WordNet numbers."""
    text = resources.files("camscope.libraries").joinpath("imagenet_classes.txt").read_text("utf-8")
    return tuple(text.splitlines())
