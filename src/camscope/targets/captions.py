"""Captions: what CLIP-like models score a photo by. They are classes whose names are sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from camscope.targets.structure import StructuredTarget
from camscope.targets.wanted import Class, Contrast, PerImage, TargetsLike, parse_target


@dataclass(frozen=True)
class Caption(Class):
    """How well a caption fits, among all captions of the call: `Caption("a photo of a cat")`.

    Its logit is the scaled cosine similarity of the photo and the caption; its probability is among the captions of
    the call (CLIP), or by itself (SigLIP).
    """

    which: str


def captions_of(targets: TargetsLike, among: tuple[str, ...] = ()) -> list[str]:
    """Every caption that some targets speak of, each once, in order.

    Args:
        targets: what was asked for.
        among: captions that are known already.
    """
    return list(dict.fromkeys([*among, *_named(targets, among)]))


def asks_for_classes(targets: TargetsLike) -> bool:
    """Whether any target is about classes: captions, for a model that has no others."""
    if isinstance(targets, PerImage):
        targets = targets.targets  # type: ignore[assignment]
    if isinstance(targets, (list, tuple)):
        return any(asks_for_classes(target) for target in targets)
    return not isinstance(targets, StructuredTarget)


def _named(targets: Any, among: tuple[str, ...]) -> Iterator[str]:
    if isinstance(targets, PerImage):
        targets = targets.targets
    if isinstance(targets, (list, tuple)):
        for target in targets:
            yield from _named(target, among)
        return
    if isinstance(targets, str) and targets not in among:
        targets = parse_target(targets)
    if isinstance(targets, Class):
        yield from _strings(targets.which)
    elif isinstance(targets, Contrast):
        yield from _strings(targets.which)
        if targets.against != "similar":
            yield from _strings(targets.against)


def _strings(found: Any) -> Iterator[str]:
    if isinstance(found, str):
        yield found
    elif isinstance(found, (list, tuple)):
        yield from (one for one in found if isinstance(one, str))
