"""Where a layer answers: a patch of the input is altered, and a grid is one whose positions change in that place.

No shape tells a grid: 768 channels make 24 × 32 positions, twelve words make 3 × 3, and channels as many as rows and
columns hide which axis they are. What a layer puts out changes most where the input was altered, in any network that
keeps its positions; so a candidate grid is compared, in numbers, with where the change must be.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Float, Shaped

from camscope.arrays import Array, to_numpy
from camscope.models.grid import FEW, Candidates, Grid
from camscope.models.observing import NARROW
from camscope.models.other_tokens import OtherTokens

CENTRES = (
    (0.25, 0.70, 0.40),
    (0.75, 0.30, 0.80),
    (0.30, 0.20, 0.75),
    (0.80, 0.75, 0.25),
    (0.50, 0.45, 0.20),
    (0.20, 0.85, 0.80),
    (0.60, 0.15, 0.50),
    (0.85, 0.55, 0.60),
)
"""The middle of the altered patch along each axis, as a share of it, in one altered copy after the other. The first two
lie elsewhere under any exchange of axes or mirroring, so that an order is told from every other."""

SHARE = 0.375
"""Its length along each axis, likewise."""

COPIES = ((32, 32**2, 8), (128, 128**2, 4))
"""How many altered copies an input of so many tokens, or of so many positions, gets: small ones several, since their
grids may have few positions, of which one copy says little, and a forward costs little. Larger ones get one."""

MIRRORED = 32**2
"""Inputs of up to so many positions are looked at mirrored too, with as many altered copies. What answers to the
content and not to the place (a few learned tokens, each of which reads what is like it) answers in another place there,
and channels that happened to answer like positions do so no more."""

_SPREAD = 0.22
"""Of the bell that the change is compared with: about the patch."""

AGREES = 0.5
"""The least correlation of a grid. Measured on some hundred networks with random and with trained weights: of the right
grid nineteen in twenty have more than 0.6; of layers without a grid, none has more than 0.4."""

AGREES_BEYOND_DOUBT = {1: 0.75, 4: 0.6, 8: 0.5}
"""The same, by the number of copies, where only the number of tokens speaks for a grid, or where they are few: of many
candidates one may agree by chance."""

AGREES_ON_FEW = 0.3
"""The same along several axes of a layer with few positions, if no other grid agrees better."""

_FEWEST = 6
"""On fewer positions a bell says little more than left or right, which one of two layers without a grid guesses."""

_LEAST_SLOPE = 0.2
"""By how much more such few positions change at the patch than elsewhere, as a share of the patch itself. What reads
the whole input (a decoder's words, learned tokens) may lean to the left or the right of it, by up to 0.11 in the small
networks that were measured; positions that agree hardly ever do by less than this."""

_LONG = 4
"""An axis of fewer positions says too little by itself, if there is one altered copy."""

EVERYWHERE = 0.1
"""How much the least changed position has changed, as a share of the mean, where all of them see the patch."""

_FLOOR = 0.1
"""What is added to the amount at each position, as a share of its mean, so that empty positions do not stand out."""

_AS_GOOD = 0.1
"""Grids whose correlations are this close are told apart by how likely their shapes are."""


@dataclass(frozen=True)
class Look:
    """What a layer put out for an input and for altered copies of it, as far as it says where it changed.

    Attributes:
        changes: of each copy: |altered − clean|, summed over the first axis, and over the last.
        amount: |clean|, likewise.
    """

    changes: tuple[Sums, ...]
    amount: Sums

    def relative(self, grid: Grid) -> list[Float[np.ndarray, "*space"]]:
        """Of each copy the change at each position, relative to what is there; none if the grid has another shape."""
        amount = self.amount.on(grid)
        if amount.shape != grid.space:
            return []
        usual = amount + _FLOOR * amount.mean()
        changes = (change.on(grid) for change in self.changes)
        return [_without_peaks(change / usual if usual.all() else change) for change in changes]


@dataclass(frozen=True)
class Answer:
    """How a layer answered to altered patches.

    Attributes:
        looks: at the input, and perhaps at its mirror image.
    """

    looks: tuple[Look, ...]
    _agreements: dict[Grid, float] = field(default_factory=dict, compare=False, repr=False)

    @property
    def changed(self) -> bool:
        """Whether it changed at all."""
        return any((change.over_first > 0).any() for look in self.looks for change in look.changes)

    @property
    def anything(self) -> bool:
        """Whether it put out anything but zeros; a layer that is dead for this input does not."""
        return any((look.amount.over_first > 0).any() for look in self.looks)

    @property
    def mirrored(self) -> bool:
        """Whether it was looked at mirrored too, as small inputs of numbers are. A text never is."""
        return len(self.looks) > 1

    @property
    def copies(self) -> int:
        """How many altered copies each look has."""
        return len(self.looks[0].changes)

    def agreement(self, grid: Grid) -> float:
        """The correlation of the changes on a grid, relative to what is there, with bells at the altered patches.

        Each axis must answer for itself: of several the least is taken of the correlation on the whole grid and those
        along each axis. So no axis of channels, which answers nowhere, goes through beside axes of space.
        It is computed once for each grid.
        """
        if grid not in self._agreements:
            self._agreements[grid] = self._computed_agreement(grid)
        return self._agreements[grid]

    def slope(self, grid: Grid) -> float:
        """How much more the positions at the altered patch change than the others do, as a share of the bells.

        1 where a position changes as much as it lies in the patch, 0 where all change alike. A correlation does not
        tell a large difference from a small one.
        """
        found = [look.relative(grid) for look in self.looks]
        if not all(found):
            return 0.0
        bells = self._bells(grid)
        changes = np.concatenate([_centred(look) for look in found])
        patches = np.concatenate([_centred(bells)] * len(found))
        squares = float((patches**2).sum())
        return float((changes * patches).sum()) / squares if squares > 0 else 0.0

    def _bells(self, grid: Grid) -> list[Float[np.ndarray, "*space"]]:
        """One for each altered copy of a look."""
        return [_bell(grid.space, centre) for centre in CENTRES[: self.copies]]

    def _computed_agreement(self, grid: Grid) -> float:
        found = [look.relative(grid) for look in self.looks]
        if not all(found):
            return 0.0
        bells = self._bells(grid)
        every = range(len(grid.space))
        least = _LONG if len(bells) == 1 else 2
        long = [axis for axis in every if grid.space[axis] >= least] if len(grid.space) > 1 else []
        others = [(), *(tuple(other for other in every if other != axis) for axis in long)]
        return min(
            _correlation(
                np.concatenate([_centred([one.mean(axes) for one in look]) for look in found]),
                np.concatenate([_centred([one.mean(axes) for one in bells])] * len(found)),
            )
            for axes in others
        )

    def is_everywhere_on(self, grid: Grid) -> bool:
        """Whether every position changed about as much as the others, so that where the patch is cannot be told."""
        found = [change for look in self.looks for change in look.relative(grid)]
        return bool(found) and all(change.min() >= EVERYWHERE * change.mean() for change in found)


class Sums(NamedTuple):
    """The numbers of a layer's output for one image, summed over its first axis and over its last."""

    over_first: Shaped[np.ndarray, "*behind"]
    over_last: Shaped[np.ndarray, "*before"]

    def on(self, grid: Grid) -> Shaped[np.ndarray, "*space"]:
        """Those of each position of a grid."""
        return grid.summed(self.over_first, self.over_last)


def answer(clean: Float[Array, "*shape"], altered: Sequence[Float[Array, "*shape"]]) -> Answer:
    """How a layer answers to altered patches.

    Args:
        clean: what it put out for the input, without the batch axis.
        altered: for the rows behind it, as `with_altered_copies` has them.
    """
    xp = array_namespace(clean)

    def sums(values: Array) -> Sums:
        # in half precision sums over channels overflow
        wide = xp.float32 if str(values.dtype).removeprefix("torch.") in NARROW else None
        along = (xp.sum(values, axis=axis, dtype=wide) for axis in (0, values.ndim - 1))
        return Sums(*(to_numpy(one).astype(np.float64) for one in along))

    def look(own: Array, copies: Sequence[Array]) -> Look:
        return Look(tuple(sums(xp.abs(one - own)) for one in copies), sums(xp.abs(own)))

    copies, mirrored = divmod(len(altered), 2)
    if copies and mirrored:
        return Answer((look(clean, altered[:copies]), look(altered[copies], altered[copies + 1 :])))
    return Answer((look(clean, altered),))


def find_grid(
    answer: Answer, candidates: Candidates, *, keeps_axes: bool = False, others: OtherTokens | None = None
) -> Grid | None:
    """The candidate that a layer answers on in place; None if there is none.

    Args:
        answer: of the layer.
        candidates: what grids its shape leaves.
        keeps_axes: whether the layer is of a kind that keeps the axes of space as they are, as a convolution is. Where
            it sees all of a small grid from each position, or is dead, the grid that was met before is its grid.
        others: what the outputs before it told of the tokens that are no position.
    """
    kept = candidates.kept[0] if keeps_axes and len(candidates.kept) == 1 else None
    if not answer.changed:
        return None if answer.anything else kept
    others = others or OtherTokens()

    def is_guess(grid: Grid) -> bool:
        return grid.others > 0 and grid not in candidates.exact and not others.told_before(grid)

    for grids, likely in ((candidates.likely, True), (candidates.possible, False)):
        tried = [(grid, answer.agreement(grid)) for grid in grids if _is_told_from_all(answer, grid)]
        best = max((agreement for _, agreement in tried), default=0.0)
        found: Grid | None = next(
            (
                grid
                for grid, agreement in tried
                if agreement
                >= max(_least(answer, grid, likely=likely, guessed=is_guess(grid)), best - _AS_GOOD)
            ),
            None,
        )
        if found is not None:
            alike = [pair for pair in tried if found.is_but_for_others(pair[0])]
            return others.best(alike, candidates.exact)
    return kept if kept is not None and answer.is_everywhere_on(kept) else None


def _has_few(grid: Grid) -> bool:
    """Whether it has so few positions along its one axis that a bell says little more than left or right."""
    return len(grid.space) == 1 and grid.space[0] < _FEWEST


def _is_told_from_all(answer: Answer, grid: Grid) -> bool:
    """Whether its positions change by enough more at the patch, where there are so few that their order says little."""
    return not _has_few(grid) or answer.slope(grid) >= _LEAST_SLOPE


def _least(answer: Answer, grid: Grid, *, likely: bool, guessed: bool) -> float:
    """The least agreement with which a grid is taken.

    Args:
        answer: of the layer.
        grid: a candidate.
        likely: whether more than the number of tokens speaks for it.
        guessed: whether nothing says which tokens are no position. Of all the places where they could stand one agrees
            by chance, on few positions and where these are guessed too.
    """
    few = math.prod(grid.space) < FEW
    if (answer.mirrored and _has_few(grid)) or (guessed and (few or not likely)):
        return AGREES_BEYOND_DOUBT[1]
    if likely and not few:
        return AGREES
    if likely and len(grid.space) > 1 and not grid.layout.startswith("tokens"):
        return AGREES_ON_FEW
    return AGREES_BEYOND_DOUBT[answer.copies]


def with_altered_copies(
    image: Shaped[np.ndarray, "one ..."], *, tokens: bool = False
) -> Shaped[np.ndarray, "row ..."]:
    """Copies of an input with an altered patch: noise of the input's mean and spread, or other tokens of a text's own.

    Args:
        image: a batch of one.
        tokens: whether it holds the numbers of tokens, `one token`; else numbers, `one channel *space`.

    Returns:
        The input itself (with noise, where it is the same everywhere: little is to be seen there), then one copy, or
        several of a small one, each with its patch in another place; of a small input of numbers then the same again,
        mirrored along every axis of space before the patches are altered.
    """
    if not tokens and not np.ptp(image, axis=tuple(range(min(2, image.ndim - 1), image.ndim))).any():
        image = (image + np.random.default_rng(1).standard_normal(image.shape)).astype(image.dtype)
    size = image.shape[1 if tokens else 2 :]
    counts = (count for text, other, count in COPIES if math.prod(size) <= (text if tokens else other))
    some = CENTRES[: next(counts, 1)]
    looks = [image]
    if not tokens and math.prod(size) <= MIRRORED:
        looks.append(np.flip(image, tuple(range(2, image.ndim))))
    rows = [[one, *(_altered(one, patch(size, centre), tokens) for centre in some)] for one in looks]
    return np.concatenate([row for look in rows for row in look])


def with_all_altered(
    image: Shaped[np.ndarray, "one ..."], *, tokens: bool = False
) -> Shaped[np.ndarray, "2 ..."]:
    """An input, and what has something else everywhere, as the patches of altered copies have.

    Args:
        image: a batch of one.
        tokens: whether it holds the numbers of tokens, see `with_altered_copies`.
    """
    return np.concatenate([image, _altered(image, (), tokens)])


def _altered(
    image: Shaped[np.ndarray, "one ..."], where: tuple[slice, ...], tokens: bool
) -> Shaped[np.ndarray, "one ..."]:
    altered = image.copy()
    here: Any = (..., *where)
    if tokens:
        kinds = np.unique(image)
        if len(kinds) == 1:  # one token again and again: its neighbour in the vocabulary is another
            kinds = np.sort([kinds[0], abs(kinds[0] - 1)])
        altered[here] = kinds[(np.searchsorted(kinds, image[here]) + 1) % len(kinds)]
    else:
        noise = np.random.default_rng(0).standard_normal(image[here].shape)
        altered[here] = image.mean() + noise * (image.std() or 1)
    return altered


def patch(size: Sequence[int], centre: Sequence[float]) -> tuple[slice, ...]:
    """The positions of an input that are altered.

    Args:
        size: of the input along each axis of space.
        centre: of the patch along the first axes, as a share of them.
    """
    slices = []
    for middle, n in zip(_along(centre, len(size)), size, strict=True):
        length = max(1, round(SHARE * n))
        start = min(max(0, round(middle * n - length / 2)), n - length)
        slices.append(slice(start, start + length))
    return tuple(slices)


def _along(centre: Sequence[float], axes: int) -> list[float]:
    return [centre[axis % len(centre)] for axis in range(axes)]


@functools.lru_cache(maxsize=256)
def _bell(space: tuple[int, ...], centre: tuple[float, ...]) -> Float[np.ndarray, "*space"]:
    """High at the altered patch."""
    exponent = np.zeros(tuple(space))
    for axis, (n, middle) in enumerate(zip(space, _along(centre, len(space)), strict=True)):
        if n > 1:
            away = ((np.arange(n) + 0.5) / n - middle) / _SPREAD
            exponent = exponent + (away**2).reshape([-1 if a == axis else 1 for a in range(len(space))])
    return np.exp(-exponent / 2)


def _without_peaks(change: Float[np.ndarray, "*space"]) -> Float[np.ndarray, "*space"]:
    """Cut where a few positions stand out, as some do in every image; and of mean 1."""
    cut: np.ndarray = np.minimum(change, np.quantile(change, 0.98))
    return cut / cut.mean() if cut.mean() > 0 else cut


def _centred(changes: Sequence[Float[np.ndarray, "*space"]]) -> Float[np.ndarray, "copy position"]:
    """What sets each copy apart from its mean over positions, and from the others at the same position."""
    flat: np.ndarray = np.stack([change.ravel() for change in changes])
    flat -= flat.mean(axis=1, keepdims=True)
    return flat - flat.mean(axis=0) if len(flat) > 1 else flat


def _correlation(a: Float[np.ndarray, "copy position"], b: Float[np.ndarray, "copy position"]) -> float:
    length = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / length) if length > 0 else 0.0
