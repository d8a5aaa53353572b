"""Probes: the model is asked what it says of an input without some cells, once for all maps of a grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Shaped

from camscope.arrays import Array, to_numpy
from camscope.evidence import ModelEvidence, Responses
from camscope.imputing import Blur, Neighbours, pixels_of_cells
from camscope.metrics.text_places import Places
from camscope.targets import TargetInfo
from camscope.trust.judged_maps import ceilings_of, tells
from camscope.trust.probed import Probed
from camscope.trust.probes import SHARE, drawn

FillCells: TypeAlias = Callable[[Shaped[Array, "1 channel *size"], Bool[np.ndarray, " probe *grid"]], Array]
"""From one input and the cells that are removed to the input with these filled, `probe channel *size`."""


def _blurred(
    x: Float[Array, "1 channel *size"], cells: Bool[np.ndarray, " probe *grid"]
) -> Float[Array, "probe channel *size"]:
    return Blur()(x, pixels_of_cells(cells, x.shape[2:]))


def _left_out(x: Bool[np.ndarray, "1 1 token"], cells: Bool[np.ndarray, "probe cell"]) -> Array:
    return x & ~pixels_of_cells(cells, x.shape[2:])[:, None]


IMPUTERS: Mapping[str, FillCells] = {"blur": _blurred, "road": Neighbours().cells}
"""What takes the place of removed cells, half of the probes each: a blurred copy, and ROAD's neighbour solve."""


def fills_of(seen: ModelEvidence, places: Places) -> Mapping[str, FillCells]:
    """What takes the place of removed cells, by its name: of texts what stands for a word that is left out.

    Args:
        seen: runs the model.
        places: where the input can be altered.
    """
    return IMPUTERS if places.at is None else {str(seen.stand_in): _left_out}


Progress: TypeAlias = Callable[[int, int], object]
"""Gets how many altered inputs the model has answered and explained again, and how many there are to be."""


class Counter:
    """Tells how much the model has answered.

    Args:
        progress: is told; None tells nobody.
    """

    def __init__(self, progress: Progress | None) -> None:
        self._progress, self._done, self._total = progress, 0, 0

    def add(self, count: int, *, more: int = 0) -> None:
        """Count answers; `more` says how many were not foreseen before."""
        self._done, self._total = self._done + count, self._total + more
        if self._progress is not None:
            self._progress(self._done, self._total)


@dataclass(frozen=True, eq=False)
class Asking:
    """The model is asked about one image.

    Attributes:
        seen: runs the model.
        image: the number of the image.
        places: where it can be altered.
        targets: of the image.
        seed: of the probes.
        counter: is told of the answers.
    """

    seen: ModelEvidence
    image: int
    places: Places
    targets: Sequence[TargetInfo]
    seed: int
    counter: Counter

    def probed(self, grid: tuple[int, ...], count: int) -> Probed:
        """What the model says without some cells; once more with half as many, if that tells nothing.

        Args:
            grid: how many cells there are along each axis.
            count: how many probes.
        """
        found = self._without(drawn(grid, count, SHARE, self.seed), SHARE)
        if tells(found, ceilings_of(found, self.seed)).any():
            return found
        self.counter.add(0, more=count)
        return self._without(drawn(grid, count, SHARE / 2, self.seed), SHARE / 2)

    def _without(self, removed: Bool[np.ndarray, " probe *grid"], share: float) -> Probed:
        """What the model says without these cells."""
        fills = fills_of(self.seen, self.places)
        seen, image, x = self.seen, self.image, self.places.x
        assert seen.masked is not None
        count, names = len(removed), list(fills)
        number = np.arange(count) % len(names)
        answers: list[Responses] = []
        for n, fill in enumerate(fills.values()):
            own = removed[number == n]

            def variants(some: np.ndarray, own: np.ndarray = own, fill: FillCells = fill) -> Any:
                self.counter.add(len(some))
                return fill(x, own[some])

            answers.append(seen.masked(image, len(own), self.places.whole(variants)))
        order = np.argsort(np.argsort(number, kind="stable"), kind="stable")
        said = Responses.concatenated(answers).rows(order)
        clean, logs = (_double(r.log_probabilities) for r in (seen.responses, said))
        before, after = (_double(r.probabilities) for r in (seen.responses, said))
        top, changed = np.full(count, -1), float("nan")
        if said.top is not None and seen.responses.top is not None:
            top = to_numpy(said.top).astype(np.int64)
            changed = float((top != int(to_numpy(seen.responses.top)[image])).mean())
        plain = np.array([info.index is not None and not info.against for info in self.targets])
        with np.errstate(divide="ignore", invalid="ignore"):
            kept = np.where(plain & (said.top is not None), (after / before[image]).mean(axis=0), np.nan)
            drops = clean[image] - logs
        return Probed(
            removed=removed,
            imputers=tuple(names[n] for n in number),
            drops=drops,
            top=top,
            changed=changed,
            kept_probability=kept,
            share=share,
            clean=clean[image],
        )


def _double(values: Any) -> np.ndarray:
    return np.asarray(to_numpy(values), np.float64)
