"""Is the map stable? Maps of inputs that are nearly the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from camscope.arrays import Array, from_numpy, to_numpy
from camscope.errors import InputError
from camscope.inputs import Inputs
from camscope.metrics.explains import Explains
from camscope.metrics.made_again import again
from camscope.metrics.measured_maps import Maps, can_be_judged
from camscope.metrics.metric import Found, metric
from camscope.metrics.randomisation import checked_draws
from camscope.metrics.similar_maps import rank_correlation
from camscope.results import Explanation
from camscope.targets import TargetsLike

STAYED = "share of copies whose top class stays"
"""What stands beside a mean over altered copies."""

_COPIES = 8
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
    where there are two at least, and the rest with noise of 2 % of the input's range. Only those count whose top class
    stays; `beside` tells their share. NaN where none stays. What comes in at an edge by a shift is not compared.

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
    x = _numbers(make.inputs)
    clean = _top(make.explained)
    found, stays = [], []
    for altered, back in _copies(x, seed):
        made, e = make.made(explainer, inputs=_with(make.inputs, altered))
        stayed = _top(e) == clean

        def alike(own: np.ndarray, other: np.ndarray, back: _Back = back) -> float:
            moved = back(other)
            there = ~np.isnan(moved) | np.isnan(other)
            return rank_correlation(own[there], moved[there])

        values = make.compared(made, alike)
        found.append({name: np.where(stayed[:, None], one, np.nan) for name, one in values.items()})
        stays.append(stayed)
    share = np.mean(stays, 0)[:, None]
    return (
        {name: _mean([values[name] for values in found]) for name in make.maps},
        make.baselines,
        {STAYED: dict.fromkeys(make.maps, share)},
    )


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
    x = _numbers(make.inputs)
    found = []
    for altered in within(x, radius, checked_draws(copies, "copies"), seed):
        made, _ = make.made(explainer, inputs=_with(make.inputs, altered))
        found.append(make.compared(made, _distance))
    return {name: np.max([values[name] for values in found], 0) for name in make.maps}, make.baselines


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


def _numbers(given: Inputs) -> _Pixels:
    if given.batch.of_tokens:
        raise InputError(
            "These inputs are texts: nothing lies between two tokens, so there is no text that is nearly the same. "
            "metrics.srg, deletion and insertion leave words out."
        )
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


def _copies(x: _Pixels, seed: int) -> Iterator[tuple[_Pixels, _Back]]:
    space = x.shape[2:]
    if min(space) <= 2 * _SHIFT:
        raise InputError(
            f"An input of {' × '.join(map(str, space))} is too small to be shifted by {_SHIFT} to both sides."
        )
    count = 0
    for axis, n in enumerate(space):
        for by in (-_SHIFT, _SHIFT):
            yield _shifted(x, axis + 2, by), _shift_back(axis, by / n)
            count += 1
    if len(space) > 1:
        yield np.flip(x, -1).copy(), lambda one: np.flip(one, -1)
        count += 1
    random = np.random.default_rng(seed)
    spread = np.ptp(x.reshape(len(x), -1), axis=1).reshape(-1, *(1,) * (x.ndim - 1))
    for _ in range(max(1, _COPIES - count)):
        yield x + _NOISE * spread * random.standard_normal(x.shape), lambda one: one


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
