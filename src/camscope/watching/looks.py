"""One look at a model in training: the maps of all samples, what the model said, and what is known of the training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from camscope.arrays import halved, to_numpy
from camscope.errors import InputError
from camscope.results import Explanation


@dataclass(frozen=True)
class Moment:
    """When a look was taken, and what is known of the training then.

    Attributes:
        step: how many optimiser steps were done.
        epoch: how many epochs were finished.
        epoch_end: whether it is the end of that epoch.
        numbers: what was given by name: `loss`, `metric`, `learning_rate` (a list where groups have their own) …
    """

    step: int
    epoch: int
    epoch_end: bool
    numbers: Mapping[str, float | list[float]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Look:
    """One look.

    Attributes:
        moment: when it was taken.
        maps: the raw signed maps, each divided by its own largest absolute value, so that half precision holds it.
        scales: these values; a raw map is `maps · scales`.
        scores: the explained scores.
        probabilities: of the explained classes; NaN where a target has none.
        classes: the explained classes; −1 where a target is of none.
        top: each sample's top class.
        top_probabilities: its probability; NaN for a regression.
        titles: what each target is called, by sample and target.
        statuses: what is to be said of each map, in words; empty if all is well.
        weights: a digest of the model's weights.
        notes: what a careful reader should be told.
    """

    moment: Moment
    maps: Float[np.ndarray, "sample target *space"]
    scales: Float[np.ndarray, "sample target"]
    scores: Float[np.ndarray, "sample target"]
    probabilities: Float[np.ndarray, "sample target"]
    classes: Int[np.ndarray, "sample target"]
    top: Int[np.ndarray, " sample"]
    top_probabilities: Float[np.ndarray, " sample"]
    titles: tuple[tuple[str, ...], ...]
    statuses: tuple[tuple[str, ...], ...]
    weights: str
    notes: tuple[str, ...] = ()


def look_of(e: Explanation, moment: Moment) -> Look:
    """What is kept of an explanation of all samples.

    Args:
        e: the explanation, of one method at one layer.
        moment: when it was made.
    """
    key = e.key()
    maps, scales = halved(to_numpy(e.raw[key]))
    classes = np.array([[-1 if t.index is None else t.index for t in row] for row in e.targets])
    top = to_numpy(e.logits).argmax(axis=1)
    if e.probabilities is None:
        of_classes, of_top = np.full(classes.shape, np.nan), np.full(top.shape, np.nan)
    else:
        probabilities, rows = to_numpy(e.probabilities), np.arange(len(e))
        of_classes = np.where(classes < 0, np.nan, probabilities[rows[:, None], classes])
        of_top = probabilities[rows, top]
    return Look(
        moment=moment,
        maps=maps,
        scales=scales,
        scores=to_numpy(e.scores).astype(np.float32),
        probabilities=of_classes.astype(np.float32),
        classes=classes,
        top=top,
        top_probabilities=of_top.astype(np.float32),
        titles=e.titles,
        statuses=tuple(tuple(status.words for status in row) for row in e.status[key]),
        weights=str(e.provenance.get("weights_sha256", "")),
        notes=e.notes,
    )


def only_samples(look: Look, rows: Sequence[int]) -> Look:
    """A look at some of the samples.

    Args:
        look: at all.
        rows: the numbers of those that are kept.
    """
    arrays = ("maps", "scales", "scores", "probabilities", "classes", "top", "top_probabilities")
    kept: dict[str, Any] = {name: getattr(look, name)[list(rows)] for name in arrays}
    for name in ("titles", "statuses"):
        kept[name] = tuple(getattr(look, name)[row] for row in rows)
    return dataclasses.replace(look, **kept)


def plain_numbers(given: Mapping[str, Any]) -> dict[str, float | list[float]]:
    """Numbers by name as plain values, those that are None left out.

    Args:
        given: numbers, arrays or tensors of one number, lists of numbers, or mappings of these by name.

    Raises:
        InputError: if one is no number.
    """
    found: dict[str, float | list[float]] = {}
    for name, value in given.items():
        if isinstance(value, Mapping):
            found.update(plain_numbers(value))
        elif isinstance(value, (list, tuple)):
            found[name] = [_number(name, one) for one in value]
        elif value is not None:
            found[name] = _number(name, value)
    return found


def _number(name: str, value: Any) -> float:
    try:
        return float(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name}={value!r} is no number. Give one, such as {name}={name}.item().") from error
