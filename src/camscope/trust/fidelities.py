"""Fidelity: the rank correlation of what a map puts on the removed cells and what the score loses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from camscope.trust.other_places import moves
from camscope.trust.rank_correlation import rank_correlations

Halves: TypeAlias = "Mapping[str, Int[np.ndarray, ' n']]"
"""The numbers of the probes of each imputer, by its name."""

_DIGITS = 9
"""Masses are rounded to these digits of the map's largest value, so that rounding tells nothing equal apart."""

_AT_A_TIME = 2**22
"""Masses of moved maps that are held at a time."""


class Chance(NamedTuple):
    """What maps reach at other places.

    Attributes:
        p: how often the fidelity is as high as at the map's own, (1 + #{moved ≥ observed}) / (1 + moves).
        ranges: of the fidelities: the median, and the ends of what 95 % of them lie in.
    """

    p: Float[np.ndarray, " row"]
    ranges: Float[np.ndarray, "row 3"]


def halves_of(imputers: Sequence[str]) -> Halves:
    """The numbers of the probes of each imputer."""
    names = np.asarray(imputers)
    return {name: np.flatnonzero(names == name) for name in dict.fromkeys(imputers)}


def masses(
    maps: Float[np.ndarray, "row cell"], removed: Float[np.ndarray, "probe cell"]
) -> Float[np.ndarray, "row probe"]:
    """The sum of each map over the cells that each probe removes, in units of the map's largest value."""
    largest = np.abs(maps).max(axis=1, keepdims=True)
    scaled = np.divide(maps, largest, out=np.zeros_like(maps), where=largest > 0)
    return np.asarray(np.round(scaled @ removed.T, _DIGITS))


def by_half(
    masses: Float[np.ndarray, "row probe"], drops: Float[np.ndarray, "row_or_1 probe"], halves: Halves
) -> dict[str, Float[np.ndarray, " row"]]:
    """The rank correlation within the probes of each imputer.

    Args:
        masses: of each map.
        drops: of each map's target, or of one for all.
        halves: the probes of each imputer.
    """
    return {name: rank_correlations(masses[:, half], drops[:, half]) for name, half in halves.items()}


def fidelities(
    masses: Float[np.ndarray, "row probe"], drops: Float[np.ndarray, "row_or_1 probe"], halves: Halves
) -> Float[np.ndarray, " row"]:
    """The mean of the rank correlations within the probes of each imputer.

    Args:
        masses: see `by_half`.
        drops: see `by_half`.
        halves: see `by_half`.
    """
    return np.asarray(np.mean(list(by_half(masses, drops, halves).values()), axis=0))


def chances(
    maps: Float[np.ndarray, "row cell"],
    drops: Float[np.ndarray, "row probe"],
    observed: Float[np.ndarray, " row"],
    removed: Float[np.ndarray, " probe *grid"],
    halves: Halves,
    seed: int,
) -> Chance:
    """What the same map reaches at other places.

    Args:
        maps: on the grid.
        drops: of each map's target.
        observed: the fidelity of each map.
        removed: 1 where a probe removes a cell.
        halves: the probes of each imputer.
        seed: of the draw of moves, where there are many.
    """
    places, flat = moves(removed.shape[1:], seed), removed.reshape(len(removed), -1)
    p, ranges = np.empty(len(maps)), np.empty((len(maps), 3))
    together = max(1, _AT_A_TIME // (len(places) * len(flat)))
    for start in range(0, len(maps), together):
        some = slice(start, start + together)
        moved = masses(maps[some][:, places].reshape(-1, flat.shape[1]), flat)
        against = np.repeat(drops[some], len(places), axis=0)
        by_chance = fidelities(moved, against, halves).reshape(-1, len(places))
        as_high = (by_chance >= observed[some][:, None] - 10.0**-_DIGITS).sum(axis=1)
        p[some] = (1 + as_high) / (1 + len(places))
        ranges[some] = np.percentile(by_chance, (50, 2.5, 97.5), axis=1).T
    return Chance(p, ranges)
