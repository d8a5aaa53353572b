"""Is the map stable? Maps of inputs that are nearly the same."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from camscope.arrays import Array, from_numpy, to_numpy
from camscope.errors import InputError, TargetError
from camscope.inputs import Inputs
from camscope.metrics.explains import Explains
from camscope.metrics.made_again import Again, OfMaps, again, instance_at, joined
from camscope.metrics.measured_maps import Maps, can_be_judged
from camscope.metrics.metric import Found, metric
from camscope.metrics.randomisation import checked_draws
from camscope.metrics.similar_maps import rank_correlation
from camscope.results import Explanation
from camscope.targets import PerImage, Region, TargetsLike

STAYED = "share of copies whose top class stays"
"""What stands beside a mean over altered copies."""

COPIES = 8
"""Inputs that are nearly the same, for each."""

_SHIFT = 4
_NOISE = 0.02

_Pixels: TypeAlias = "Float[np.ndarray, 'batch channel *size']"

_Back: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""Moves a map of an altered input back to where it was; NaN where nothing comes from."""


@metric(
    higher_is_better=True,
    low=-1.0,
    paper="camscope's own; cf. Alvarez-Melis & Jaakkola 2018, arXiv:1806.08049",
    cost="that of the map, 8 times",
)
def stability(
    explainer: Explains,
    inputs: Any,
    maps: Maps,
    *,
    targets: TargetsLike = None,
    baselines: Iterable[str] = (),
    seed: int = 0,
) -> Found:
    """Mean over 8 nearly equal copies of the rank correlation of their map, moved back, with the map as it is.

    The copies: shifted by 4 pixels to both sides of each axis (edges are continued), mirrored along the last axis
    where there are two at least, and the rest with noise of 2 % of the input's range; of a region that is said by its
    place noise alone. Only those count whose top class stays, or whose instance is found again where it must be;
    `beside` tells their share. NaN where none stays. What comes in at an edge by a shift is not compared.

    Args:
        explainer: of the model.
        inputs: see `camscope.Explainer.__call__`; no texts.
        maps: an explanation of them, since the maps are made again.
        targets: see `camscope.Explainer.__call__`: those that the maps are of, where they are no single classes.
        baselines: names of baselines, such as ("centre", "mean-activation").
        seed: of the noise.

    Raises:
        InputError: if maps and inputs do not fit, or the inputs are texts, or too small for a shift.
    """
    make = again(explainer, inputs, maps, targets, baselines)
    check_copies(make.inputs, targets)
    found = [_stability(part, explainer, seed, placed=_is_placed(targets)) for part in make.parts]
    share = joined(shares for _, shares in found)
    return joined(values for values, _ in found), make.baselines, {STAYED: share}


@metric(
    higher_is_better=False,
    high=np.inf,
    paper="Yeh et al., NeurIPS 2019, arXiv:1901.09392; as in captum",
    cost="that of the map, per copy (10)",
)
def max_sensitivity(
    explainer: Explains,
    inputs: Any,
    maps: Maps,
    *,
    targets: TargetsLike = None,
    radius: float = 0.02,
    copies: int = 10,
    baselines: Iterable[str] = (),
    seed: int = 0,
) -> Found:
    """Max over d of ‖M(x + d) − M(x)‖ / ‖M(x)‖, d uniform in [−radius, radius] at each number of the input.

    Maps are raw, at their own resolution. The scale of a map does not count, its sign and its floor do.

    Args:
        explainer: of the model.
        inputs: see `camscope.Explainer.__call__`; no texts.
        maps: an explanation of them, since the maps are made again.
        targets: see `camscope.Explainer.__call__`: those that the maps are of, where they are no single classes.
        radius: in units of the model's input, after its preprocessing.
        copies: how many d are drawn.
        baselines: names of baselines, such as ("centre", "mean-activation").
        seed: of the draws.

    Raises:
        InputError: if maps and inputs do not fit, or the inputs are texts, or the radius is none.
    """
    if not radius > 0:
        raise InputError(f"radius={radius!r}: expected how far a number of the input may move, such as 0.02.")
    make = again(explainer, inputs, maps, targets, baselines)
    parts = []
    for part in make.parts:
        moved = within(_numbers(part.inputs), radius, checked_draws(copies, "copies"), seed)
        found = [part.compared(explainer, _distance, inputs=_with(part.inputs, x)) for x in moved]
        parts.append({name: np.fmax.reduce([values[name] for values in found]) for name in make.maps})
    return joined(parts), make.baselines


def within(x: _Pixels, radius: float, copies: int, seed: int) -> Iterator[_Pixels]:
    """Copies of inputs, each number moved by up to a radius.

    Args:
        x: the inputs.
        radius: how far at most.
        copies: how many.
        seed: of the draws.
    """
    random = np.random.default_rng(seed)
    for _ in range(copies):
        yield x + random.uniform(-radius, radius, x.shape)


def _distance(own: np.ndarray, other: np.ndarray) -> float:
    if not can_be_judged(own):
        return np.nan
    return float(np.linalg.norm(other - own) / np.linalg.norm(own))


# ------------------------------------------------------------------ altered inputs


def _refuse_texts(given: Inputs) -> None:
    if given.batch.of_tokens:
        raise InputError(
            "These inputs are texts: nothing lies between two tokens, so there is no text that is nearly the same. "
            "metrics.srg, deletion and insertion leave words out."
        )


def _numbers(given: Inputs) -> _Pixels:
    _refuse_texts(given)
    return np.asarray(to_numpy(given.batch.x), np.float64)


def _with(given: Inputs, x: _Pixels) -> Inputs:
    like = given.batch.x
    low, high = _range_of(like)
    return dataclasses.replace(given, batch=given.batch.with_x(from_numpy(np.clip(x, low, high), like=like)))


def _range_of(like: Array) -> tuple[float, float]:
    """What the numbers of an input may be: bytes stay bytes."""
    return (0, 255) if "uint8" in str(like.dtype) else (-np.inf, np.inf)


def _top(e: Explanation) -> np.ndarray:
    """The top class of each image; the same for all where there are no classes."""
    scores = to_numpy(e.logits)
    if scores.ndim != 2 or e.provenance.get("task") == "regression":
        return np.zeros(len(e), int)
    top: np.ndarray = scores.argmax(1)
    return top


@dataclass(frozen=True, eq=False)
class _Copy:
    """An input that is nearly the same.

    Attributes:
        x: the batch of them.
        back: moves their maps back.
        box: moves a box, in shares of the input, to where it is in the copy.
    """

    x: _Pixels
    back: _Back = lambda one: one
    box: Callable[[Sequence[float]], Sequence[float]] = lambda box: box


def _stability(
    make: Again, explainer: Explains, seed: int, *, placed: bool
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The mean likeness over the copies whose top class stays, and the share of these."""
    x, clean, size = _numbers(make.inputs), _top(make.explained), make.explained.input_size
    found, stays = [], []
    for copy in _copies(x, seed, moving=not placed):
        targets = None
        if make.of_instances:  # they lie elsewhere in a copy that is moved
            targets = PerImage(
                [
                    [instance_at(copy.box(i.box), size, i) for i in row if i.box is not None]
                    for row in make.explained.targets
                ]
            )
        try:
            made, e = make.made(explainer, inputs=_with(make.inputs, copy.x), targets=targets)
        except TargetError:
            if not make.of_instances:
                raise
            stayed = np.zeros(len(x), bool)
            values = {name: np.full((1, len(make.explained.targets[0])), np.nan) for name in make.maps}
        else:
            stayed = _top(e) == clean
            values = make.measured(made, _alike(copy.back))
        found.append({name: np.where(stayed[:, None], one, np.nan) for name, one in values.items()})
        stays.append(stayed)
    share = np.mean(stays, 0)[:, None]
    means = {name: _mean([values[name] for values in found]) for name in make.maps}
    return means, {name: np.broadcast_to(share, one.shape) for name, one in means.items()}


def _alike(back: _Back) -> OfMaps:
    """From a map and that of a copy to their rank correlation, where both show the same part of the input."""

    def alike(own: np.ndarray, other: np.ndarray) -> float:
        moved = back(other)
        there = ~np.isnan(moved) | np.isnan(other)
        return rank_correlation(own[there], moved[there])

    return alike


def _is_placed(targets: TargetsLike) -> bool:
    """Whether a place is explained, which lies elsewhere where the input is moved."""
    given: Any = targets.targets if isinstance(targets, PerImage) else targets
    if isinstance(given, (list, tuple)):
        return any(_is_placed(one) for one in given)
    return isinstance(given, Region) and not isinstance(given.where, str)


def check_copies(given: Inputs, targets: TargetsLike) -> None:
    """Refuse inputs of which no nearly equal copies can be made; see `stability`.

    Args:
        given: the inputs as they were prepared.
        targets: what is explained.

    Raises:
        InputError: saying why.
    """
    _refuse_texts(given)
    space = tuple(int(n) for n in given.batch.x.shape[2:])
    if min(space) <= 2 * _SHIFT and not _is_placed(targets):
        raise InputError(
            f"An input of {' × '.join(map(str, space))} is too small to be shifted by {_SHIFT} to both sides."
        )


def _copies(x: _Pixels, seed: int, *, moving: bool) -> Iterator[_Copy]:
    moves = _moves(x) if moving else []
    yield from moves
    random = np.random.default_rng(seed)
    spread = np.ptp(x.reshape(len(x), -1), axis=1).reshape(-1, *(1,) * (x.ndim - 1))
    for _ in range(max(1, COPIES - len(moves))):
        yield _Copy(x + _NOISE * spread * random.standard_normal(x.shape))


def _moves(x: _Pixels) -> list[_Copy]:
    """Shifted to both sides of each axis, and mirrored along the last one where there are two."""
    space = x.shape[2:]
    moves = []
    for axis, n in enumerate(space):
        for by in (-_SHIFT, _SHIFT):
            box = functools.partial(_box_shifted, axis=len(space) - 1 - axis, share=by / n)
            moves.append(_Copy(_shifted(x, axis + 2, by), _shift_back(axis, by / n), box))
    if len(space) > 1:
        mirrored = np.flip(x, -1).copy()
        moves.append(
            _Copy(mirrored, lambda one: np.flip(one, -1), lambda b: (1 - b[2], b[1], 1 - b[0], b[3]))
        )
    return moves


def _box_shifted(box: Sequence[float], axis: int, share: float) -> list[float]:
    """The box shifted along x (axis 0) or y (axis 1), as far as it stays inside."""
    moved = list(box)
    for end in (axis, axis + 2):
        moved[end] = min(max(moved[end] + share, 0.0), 1.0)
    return moved


def _shifted(x: _Pixels, axis: int, by: int) -> _Pixels:
    places = np.clip(np.arange(x.shape[axis]) - by, 0, x.shape[axis] - 1)
    return np.take(x, places, axis=axis)


def _shift_back(axis: int, share: float) -> _Back:
    """Undoes a shift by a share of an axis, along which cells are read between two where it is no whole number."""

    def back(one: np.ndarray) -> np.ndarray:
        n = one.shape[axis]
        at = np.arange(n) + share * n
        low = np.floor(at + 1e-9).astype(int)
        part = (at - low).reshape(-1, *(1,) * (one.ndim - 1 - axis))
        part[np.abs(part) < 1e-9] = 0
        first, second = (np.take(one, np.clip(low + k, 0, n - 1), axis=axis) for k in (0, 1))
        moved: np.ndarray = first if not part.any() else (1 - part) * first + part * second
        outside: Bool[np.ndarray, " n"] = (at < -0.5) | (at > n - 0.5)
        moved = moved.astype(np.float64)
        moved[(slice(None),) * axis + (outside,)] = np.nan
        return moved

    return back


def _mean(values: list[np.ndarray]) -> np.ndarray:
    """The mean of what is no NaN."""
    stacked = np.stack(values)
    counts = (~np.isnan(stacked)).sum(0)
    mean: np.ndarray = np.divide(
        np.nansum(stacked, 0), counts, out=np.full(counts.shape, np.nan), where=counts > 0
    )
    return mean
