"""What a map reaches by chance: the same map at other places, held against the same probes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from camscope.metrics.rank_correlation import ranks
from camscope.trust.fidelities import Halves, in_units
from camscope.trust.other_places import moves

_SAME = 1e-9
"""Fidelities that differ by less are the same."""


class Chance(NamedTuple):
    """What maps reach at other places.

    Attributes:
        p: how often the fidelity is as high as at the map's own, (1 + #{moved ≥ observed}) / (1 + moves).
        ranges: of the fidelities: the median, and the ends of what 95 % of them lie in.
    """

    p: Float[np.ndarray, " row"]
    ranges: Float[np.ndarray, "row 3"]


def chances(
    maps: Float[np.ndarray, "map cell"],
    drops: Float[np.ndarray, "target probe"],
    rows: Sequence[tuple[int, int]],
    observed: Float[np.ndarray, " row"],
    removed: Float[np.ndarray, " probe *grid"],
    halves: Halves,
    seed: int,
) -> Chance:
    """What the same map reaches at other places. A map is ranked once for all its targets.

    Args:
        maps: on the grid.
        drops: of each target.
        rows: the numbers of a map and of its target.
        observed: the fidelity of each of these.
        removed: 1 where a probe removes a cell.
        halves: the probes of each imputer.
        seed: of the draw of moves, where there are many.
    """
    places, flat = moves(removed.shape[1:], seed), removed.reshape(len(removed), -1)
    lost = [(half, _unit(ranks(drops[:, half]))) for half in halves.values()]
    units = in_units(maps)
    p, ranges = np.empty(len(rows)), np.empty((len(rows), 3))
    for number in dict.fromkeys(number for number, _ in rows):
        its = [row for row, (own, _) in enumerate(rows) if own == number]
        found = _moved(units[number], places, flat, lost, [rows[row][1] for row in its])
        p[its] = (1 + (found >= observed[its] - _SAME).sum(axis=0)) / (1 + len(places))
        ranges[its] = np.percentile(found, (50, 2.5, 97.5), axis=0).T
    return Chance(p, ranges)


def _moved(
    one: Float[np.ndarray, " cell"],
    places: Int[np.ndarray, "move cell"],
    removed: Float[np.ndarray, "probe cell"],
    lost: Sequence[tuple[np.ndarray, np.ndarray]],
    targets: Sequence[int],
) -> Float[np.ndarray, "move wanted"]:
    """The fidelity of a map at other places, for some targets.

    Ties are looked for only in maps that have two equal cells. In others only the mirrored cells of a moved map make
    some, so few that fidelities change in the fifth digit.

    Args:
        one: the map.
        places: where each move takes its cells from.
        removed: 1 where a probe removes a cell.
        lost: of each imputer the numbers of its probes, and the ranks of each target's drops, of length 1.
        targets: the numbers of those that are wanted.
    """
    total = np.zeros((len(places), len(targets)))
    moved = one[places] @ removed.T
    if len(np.unique(one)) < one.size:
        moved = np.round(moved, 9)
        for half, drops in lost:
            total += _unit(ranks(moved[:, half])) @ drops[list(targets)].T
        return total / len(lost)
    for half, drops in lost:
        order = np.argsort(moved[:, half], axis=1)
        steps = _unit(np.arange(len(half), dtype=np.float64)[None])[0]
        total += np.stack([drops[target][order] @ steps for target in targets], axis=1)
    return total / len(lost)


def _unit(rows: Float[np.ndarray, "row n"]) -> Float[np.ndarray, "row n"]:
    """Rows less their means, of length 1; zero where all values are the same."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    length = np.sqrt(np.einsum("rn,rn->r", centred, centred))[:, None]
    return np.asarray(np.divide(centred, length, out=np.zeros_like(centred), where=length > 0))
