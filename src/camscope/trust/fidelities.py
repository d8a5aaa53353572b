"""Fidelity: the rank correlation of what a map puts on the removed cells and what the score loses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int

from camscope.metrics.rank_correlation import rank_correlations

Halves: TypeAlias = "Mapping[str, Int[np.ndarray, ' n']]"
"""The numbers of the probes of each imputer, by its name."""

_DIGITS = 9
"""Maps and masses are rounded to these digits of the map's largest value: rounding tells nothing equal apart."""


def halves_of(imputers: Sequence[str]) -> Halves:
    """The numbers of the probes of each imputer."""
    names = np.asarray(imputers)
    return {name: np.flatnonzero(names == name) for name in dict.fromkeys(imputers)}


def in_units(maps: Float[np.ndarray, "row cell"]) -> Float[np.ndarray, "row cell"]:
    """Maps in units of their largest values: those that differ by a factor are one."""
    largest = np.abs(maps).max(axis=1, keepdims=True)
    scaled = np.divide(maps, largest, out=np.zeros_like(maps), where=largest > 0)
    return np.asarray(np.round(scaled, _DIGITS) + 0.0)  # without a negative zero


def masses(
    maps: Float[np.ndarray, "row cell"], removed: Float[np.ndarray, "probe cell"]
) -> Float[np.ndarray, "row probe"]:
    """The sum of each map, in its units, over the cells that each probe removes."""
    return np.asarray(np.round(in_units(maps) @ removed.T, _DIGITS))


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
