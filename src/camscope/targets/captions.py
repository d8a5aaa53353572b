"""Captions: what CLIP-like models score a photo by. They are classes whose names are sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from camscope.targets.classes import Class
from camscope.targets.per_image import PerImage, TargetsLike
from camscope.targets.target import Target
from camscope.targets.words import parse_target


@dataclass(frozen=True)
class Caption(Class):
    """How well a caption fits, among all captions of the call: `Caption("a photo of a cat")`.

    Its logit is the scaled cosine similarity of the photo and the caption; its probability is among the captions of
    the call (CLIP), or by itself (SigLIP).

    Example:
        >>> against = -camscope.Caption("a dog")  # explain(clip, "photo.jpg", targets=["a cat", against])
        >>> against.which, against.sign
        ('a dog', -1)
    """

    which: str


def captions_of(targets: TargetsLike, among: tuple[str, ...] = ()) -> list[str]:
    """Every caption that the targets name, each once, in order.

    Args:
        targets: what was asked for.
        among: captions that come first whatever the targets are; a target that is one of them names no other.
    """
    named = (name for one in _each(targets) for name in _names(one, among))
    return list(dict.fromkeys([*among, *named]))


def asks_for_classes(targets: TargetsLike) -> bool:
    """Whether any target is about classes: captions, for a model that has no others."""
    return any(not isinstance(one, Target) or one.about_classes for one in _each(targets))


def _each(targets: Any) -> Iterator[Any]:
    """Every single target, out of lists and `PerImage` as well."""
    if isinstance(targets, PerImage):
        targets = targets.targets
    if isinstance(targets, (list, tuple)):
        for target in targets:
            yield from _each(target)
    else:
        yield targets


def _names(target: Any, among: tuple[str, ...]) -> Iterator[str]:
    if isinstance(target, str):
        if target in among:
            return
        target = parse_target(target)
    if isinstance(target, Target):
        yield from target.class_names
