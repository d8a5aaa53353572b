"""What the least and the most relevant pixels are worth: SRG, and ROAD with its two halves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from camscope.arrays import Array
from camscope.errors import InputError
from camscope.evidence import Variants
from camscope.imputing import Blur, Imputer, Neighbours
from camscope.metrics.answers import Alter, measured_by_altering
from camscope.metrics.explains import Explains
from camscope.metrics.measured_maps import Maps
from camscope.metrics.metric import Values, metric
from camscope.metrics.removal_order import Order, by_cells, by_pixels, removing, removing_in_order
from camscope.targets import TargetsLike

_PAPER = "Rong et al. (ROAD), ICML 2022, arXiv:2202.00449"
SRG_SHARES = (0.1, 0.2, 0.3, 0.5, 0.7)
"""Of the cells, that are removed in either order."""

_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_BLURRED = Blur()
_SOLVED = Neighbours()

Cells = Literal["own", "pixels"]
"""What is removed at a time: the map's own cells (neighbours grouped where there are more than 196), or pixels."""


@metric(
    higher_is_better=True,
    low=-1.0,
    paper="Blücher et al., TMLR 2024, arXiv:2401.06654",
    cost="2 per share (10)",
)
def srg(
    explainer: Explains,
    inputs: Any,
    maps: Maps,
    *,
    targets: TargetsLike = None,
    shares: Sequence[float] = SRG_SHARES,
    imputer: Imputer = _BLURRED,
    cells: Cells = "own",
    baselines: Mapping[str, Array] | None = None,
    seed: int = 0,
) -> tuple[Values, tuple[str, ...]]:
    """Symmetric relevance gain: mean over shares of p(least relevant removed) − p(most relevant removed).

    For an order drawn at random its expectation is exactly 0, whatever the model and the imputer; it ranks methods
    alike over 40 ways to remove pixels, where either half alone contradicts itself.

    Args:
        explainer: of the model.
        inputs: see `camscope.Explainer.__call__`.
        maps: see `camscope.metrics.measured_maps.Maps`; of these targets.
        targets: see `camscope.Explainer.__call__`: those that the maps are of.
        shares: of the cells, that are removed.
        imputer: what is put in place of removed cells.
        cells: what is removed at a time, the map's `own` cells or `pixels`.
        baselines: maps by name, of `baseline_maps`.
        seed: of the draw that orders what is equal in a map.

    Raises:
        InputError: if maps and inputs do not fit, or the shares are none.
    """
    return measured_by_altering(
        explainer,
        inputs,
        maps,
        targets=targets,
        baselines=baselines,
        alter=_both_orders(shares, imputer, cells, seed),
        reduce=lambda said, clean: float(_of_lerf(said) - _of_morf(said)),
    )


@metric(higher_is_better=True, low=-0.5, high=0.5, paper=_PAPER, cost="2 per share (18)")
def road(
    explainer: Explains,
    inputs: Any,
    maps: Maps,
    *,
    targets: TargetsLike = None,
    shares: Sequence[float] = _SHARES,
    imputer: Imputer = _SOLVED,
    cells: Cells = "pixels",
    baselines: Mapping[str, Array] | None = None,
    seed: int = 0,
) -> tuple[Values, tuple[str, ...]]:
    """(LeRF − MoRF) / 2, each the mean probability over shares of pixels removed and solved for by ROAD's imputer.

    The paper counts right answers; the probability tells more of single images. This combination is
    pytorch-grad-cam's.

    Args:
        explainer: see `srg`.
        inputs: see `srg`.
        maps: see `srg`.
        targets: see `srg`.
        shares: see `srg`.
        imputer: see `srg`.
        cells: see `srg`.
        baselines: see `srg`.
        seed: see `srg`.

    Raises:
        InputError: if maps and inputs do not fit, or the shares are none.
    """
    return measured_by_altering(
        explainer,
        inputs,
        maps,
        targets=targets,
        baselines=baselines,
        alter=_both_orders(shares, imputer, cells, seed),
        reduce=lambda said, clean: float(_of_lerf(said) - _of_morf(said)) / 2,
    )


@metric(higher_is_better=False, paper=_PAPER, cost="1 per share (9)")
def road_morf(
    explainer: Explains,
    inputs: Any,
    maps: Maps,
    *,
    targets: TargetsLike = None,
    shares: Sequence[float] = _SHARES,
    imputer: Imputer = _SOLVED,
    cells: Cells = "pixels",
    baselines: Mapping[str, Array] | None = None,
    seed: int = 0,
) -> tuple[Values, tuple[str, ...]]:
    """Mean probability over shares of pixels removed, the most relevant first.

    Args:
        explainer: see `srg`.
        inputs: see `srg`.
        maps: see `srg`.
        targets: see `srg`.
        shares: see `srg`.
        imputer: see `srg`.
        cells: see `srg`.
        baselines: see `srg`.
        seed: see `srg`.

    Raises:
        InputError: if maps and inputs do not fit, or the shares are none.
    """
    return measured_by_altering(
        explainer,
        inputs,
        maps,
        targets=targets,
        baselines=baselines,
        alter=removing_in_order(_shares(shares), imputer, _ordering(cells), seed, Order.first),
        reduce=lambda said, clean: float(said.mean()),
    )


@metric(higher_is_better=True, paper=_PAPER, cost="1 per share (9)")
def road_lerf(
    explainer: Explains,
    inputs: Any,
    maps: Maps,
    *,
    targets: TargetsLike = None,
    shares: Sequence[float] = _SHARES,
    imputer: Imputer = _SOLVED,
    cells: Cells = "pixels",
    baselines: Mapping[str, Array] | None = None,
    seed: int = 0,
) -> tuple[Values, tuple[str, ...]]:
    """Mean probability over shares of pixels removed, the least relevant first.

    Args:
        explainer: see `srg`.
        inputs: see `srg`.
        maps: see `srg`.
        targets: see `srg`.
        shares: see `srg`.
        imputer: see `srg`.
        cells: see `srg`.
        baselines: see `srg`.
        seed: see `srg`.

    Raises:
        InputError: if maps and inputs do not fit, or the shares are none.
    """
    return measured_by_altering(
        explainer,
        inputs,
        maps,
        targets=targets,
        baselines=baselines,
        alter=removing_in_order(
            _shares(shares), imputer, _ordering(cells), seed, lambda order, some: order.reversed.first(some)
        ),
        reduce=lambda said, clean: float(said.mean()),
    )


# ------------------------------------------------------------------ what they share


def _both_orders(shares: Sequence[float], imputer: Imputer, cells: Cells, seed: int) -> Alter:
    """The copies of both orders: the most relevant removed first, share by share, then the least."""
    listed, ordered = _shares(shares), _ordering(cells)

    def alter(x: Array, one: Float[np.ndarray, "*space"]) -> tuple[int, Variants]:
        order = ordered(one, x.shape[2:], seed)

        def removed(some: Int[np.ndarray, " chunk"]) -> Bool[np.ndarray, " chunk *size"]:
            least = (some >= len(listed)).reshape(-1, *(1,) * order.ranks.ndim)
            at = listed[some % len(listed)]
            return np.where(least, order.reversed.first(at), order.first(at))

        return 2 * len(listed), removing(x, imputer, removed)

    return alter


def _of_morf(said: Float[np.ndarray, " copy"]) -> float:
    return float(said[: said.size // 2].mean())


def _of_lerf(said: Float[np.ndarray, " copy"]) -> float:
    return float(said[said.size // 2 :].mean())


def _shares(shares: Sequence[float]) -> Float[np.ndarray, " n"]:
    listed = np.atleast_1d(np.asarray(shares, np.float64))
    if listed.ndim != 1 or not listed.size or not ((listed > 0) & (listed < 1)).all():
        raise InputError(
            f"shares={shares!r}: expected shares that are removed, above 0 and below 1: (0.1, 0.5)."
        )
    return listed


def _ordering(cells: Cells) -> Callable[[Float[np.ndarray, "*space"], Sequence[int], int], Order]:
    ways = {"own": by_cells, "pixels": by_pixels}
    if cells not in ways:
        raise InputError(f"cells={cells!r}: expected 'own', the cells of the map, or 'pixels'.")
    return ways[cells]
