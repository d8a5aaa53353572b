"""From maps and what the model said of an image without some cells to a verdict on each map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from camscope.arrays import is_flat
from camscope.trust.by_chance import chances
from camscope.trust.ceilings import ceilings
from camscope.trust.fidelities import by_half, halves_of, in_units, masses
from camscope.trust.other_places import moves
from camscope.trust.probed import Probed
from camscope.trust.resampling import resampled
from camscope.trust.verdict import Compared, Interval, Judged, Verdict

_SURE = 0.025
"""The largest p at which a map's place is told from chance."""

_TWO_SIDED = (2.5, 97.5)
_ONE_SIDED = 5.0

_MOST_CHANGED = 0.5
"""The share of probes that may change the top class, where nothing else says that probes tell something."""

_FOLLOWS = 0.3
"""From this ceiling on, what the model says of probes depends on which cells are removed. Without any dependence it is
between −0.2 and 0.2 in 19 of 20 cases."""

_STILL = 1e-6
"""A score that moves by a smaller share of itself does not move: that is the rounding of single precision."""

_NONE = 1e-30
"""A smaller probability is none: it is of the size of what single precision cannot hold."""

_HARDLY = 1e-4
"""Of what has a smaller probability it is told."""


@dataclass(frozen=True, eq=False)
class Baseline:
    """A map that a map must beat.

    Attributes:
        name: of its method.
        cells: on the grid of the probes.
        lost: what is said of a map that does not beat it.
    """

    name: str
    cells: Float[np.ndarray, " *grid"]
    lost: Verdict


@dataclass(frozen=True, eq=False)
class Claim:
    """A map that is to be judged: it claims where.

    Attributes:
        method: as the explanation names it.
        layer: as the explanation names it.
        target: the name of what is explained.
        column: the number of that target.
        cells: the map, on the grid of the probes.
        baselines: what it must beat, the simplest first.
        unfit: why it cannot be judged, or "".
        notes: what a reader must know.
        probability: that the model gives to the class with nothing removed; NaN of what has none.
    """

    method: str
    layer: str
    target: str
    column: int
    cells: Float[np.ndarray, " *grid"]
    baselines: tuple[Baseline, ...]
    unfit: str = ""
    notes: tuple[str, ...] = ()
    probability: float = float("nan")


def judged(image: int, claims: Sequence[Claim], probed: Probed, seed: int) -> list[Judged]:
    """What is said of each map, by the probes of its image and grid.

    Args:
        image: the number of the image.
        claims: the maps, all of one grid.
        probed: what the model said of the image.
        seed: of the shifts and the bootstrap.
    """
    ceiling = ceilings_of(probed, seed)
    why = [claim.unfit or _unfit(claim, probed, ceiling) for claim in claims]
    fit = [claim for claim, reason in zip(claims, why, strict=True) if not reason]
    found = iter(_measured(image, fit, probed, ceiling, seed) if fit else ())
    return [
        unjudged(image, claim, reason) if reason else next(found)
        for claim, reason in zip(claims, why, strict=True)
    ]


def unjudged(image: int, claim: Claim, why: str) -> Judged:
    """A map that cannot be judged.

    Args:
        image: the number of the image.
        claim: the map.
        why: it cannot.
    """
    nan = float("nan")
    return Judged(
        image=image,
        method=claim.method,
        layer=claim.layer,
        target=claim.target,
        verdict=Verdict.UNJUDGED,
        why=why,
        fidelity=Interval(nan, nan, nan),
        by_imputer={},
        ceiling=nan,
        p=nan,
        chance=Interval(nan, nan, nan),
        baselines={},
        cells=claim.cells,
        notes=claim.notes,
    )


def too_small(grid: tuple[int, ...], seed: int) -> str:
    """Why a grid has too few places to tell a map's own from chance, or "".

    Args:
        grid: how many cells there are along each axis.
        seed: of the draw of moves.
    """
    places = len(moves(grid, seed))
    if 1 / (1 + places) <= _SURE:
        return ""
    size = "×".join(map(str, grid))
    other = ", or a longer text" if len(grid) == 1 else ""
    return (
        f"The map has {size} cell{'s' if np.prod(grid) > 1 else ''}, which can lie in {places} other ways at most: no "
        f"place can be told from chance. Take a layer with a finer grid{other}."
    )


def ceilings_of(probed: Probed, seed: int) -> Float[np.ndarray, " target"]:
    """The ceiling of each target; NaN where what the model says of it is not finite."""
    finite = np.isfinite(probed.drops).all(axis=0)
    found = np.full(len(finite), np.nan)
    if finite.any():
        removed = probed.removed.reshape(len(probed.removed), -1).astype(np.float64)
        found[finite] = ceilings(removed, probed.drops[:, finite].T, halves_of(probed.imputers), seed)
    return found


def tells(probed: Probed, ceiling: Float[np.ndarray, " target"]) -> Bool[np.ndarray, " target"]:
    """Of which targets the probes tell something.

    The top class alone does not say it: between two classes that are all but equally likely it changes at a touch, and
    an object that fills the image is lost with it, while the score still follows what is removed. So they tell nothing
    only where most change the top class, and the score does not depend on which cells they remove either.

    Args:
        probed: what the model said.
        ceiling: of each target.
    """
    return np.asarray(not probed.changed > _MOST_CHANGED) | (ceiling >= _FOLLOWS)


# ------------------------------------------------------------------ what cannot be judged


def _unfit(claim: Claim, probed: Probed, ceiling: Float[np.ndarray, " target"]) -> str:
    """Why a map cannot be judged by these probes, or ""."""
    cells, drops = claim.cells, probed.drops[:, claim.column]
    if not np.isfinite(cells).all():
        return "The map holds NaN or infinity."
    if is_flat(cells.min(), cells.max()):
        return "The map is flat: it is the same everywhere, so it says nothing of where."
    if not np.isfinite(drops).all():
        return f"The model gives {claim.target} no probability, or none that is finite, with parts removed."
    if np.ptp(drops) <= _STILL * abs(probed.clean[claim.column]):
        if claim.probability < _NONE:
            return (
                f"The model gives {claim.target} no probability here, with parts removed or without, so there is none "
                "to lose. Explain a class that it thinks possible; without a target it is the top class."
            )
        return f"The score of {claim.target} does not move, whatever is removed."
    if not tells(probed, ceiling)[claim.column]:
        return (
            f"With {probed.share:.0%} of the image removed, {probed.changed:.0%} of the probes have another top class, "
            "and it matters little which parts these are: removing parts tells nothing of where this model looks."
        )
    return ""


# ------------------------------------------------------------------ the numbers


def _measured(
    image: int, claims: Sequence[Claim], probed: Probed, ceiling: Float[np.ndarray, " target"], seed: int
) -> list[Judged]:
    removed = probed.removed.reshape(len(probed.removed), -1).astype(np.float64)
    halves = halves_of(probed.imputers)
    table = _Table(claims)
    drops = probed.drops.T.astype(np.float64)
    maps, targets = (list(numbers) for numbers in zip(*table.rows, strict=True))
    mass, own = masses(table.maps, removed)[maps], drops[targets]
    halved = by_half(mass, own, halves)
    fidelity = np.mean(list(halved.values()), axis=0)
    again = resampled(mass, own, halves, seed)
    claimed = list(dict.fromkeys(table.claimed))
    of_claimed = chances(
        table.maps,
        drops,
        [table.rows[row] for row in claimed],
        fidelity[claimed],
        probed.removed.astype(np.float64),
        halves,
        seed,
    )
    by_chance = {row: (p, *ends) for row, p, ends in zip(claimed, *of_claimed, strict=True)}
    found = []
    for claim, row in zip(claims, table.claimed, strict=True):
        p, middle, lowest, highest = by_chance[row]
        compared = {}
        for baseline in claim.baselines:
            other = table.row(claim.column, baseline.cells)
            low = np.percentile(again[row] - again[other], _ONE_SIDED)
            difference = Interval(float(fidelity[row] - fidelity[other]), float(low), np.inf)
            compared[baseline.name] = Compared(_interval(fidelity[other], again[other]), difference)
        found.append(
            Judged(
                image=image,
                method=claim.method,
                layer=claim.layer,
                target=claim.target,
                verdict=_verdict(float(p), claim.baselines, compared),
                why="",
                fidelity=_interval(fidelity[row], again[row]),
                by_imputer={name: float(values[row]) for name, values in halved.items()},
                ceiling=float(ceiling[claim.column]),
                p=float(p),
                chance=Interval(float(middle), float(lowest), float(highest)),
                baselines=compared,
                cells=claim.cells,
                notes=(*claim.notes, *_of_class(claim), *_of_probes(probed)),
            )
        )
    return found


def _interval(value: float, resampled: Float[np.ndarray, " resample"]) -> Interval:
    low, high = np.percentile(resampled, _TWO_SIDED)
    return Interval(float(value), float(low), float(high))


def _of_class(claim: Claim) -> tuple[str, ...]:
    """What must be known of a class that the model thinks all but impossible."""
    if not claim.probability < _HARDLY:
        return ()
    return (
        f"The model gives {claim.target} a probability of less than {_HARDLY:.2%} here: the map is of what would speak "
        "for it, and not of something that the model has seen.",
    )


def _of_probes(probed: Probed) -> tuple[str, ...]:
    """What must be known of probes that tell something, though most of them change the top class."""
    if not probed.changed > _MOST_CHANGED:
        return ()
    return (
        f"{round(100 * probed.changed)} % of the probes have another top class: what the score loses is measured far "
        "from the input as it is.",
    )


def _verdict(p: float, baselines: Sequence[Baseline], compared: Mapping[str, Compared]) -> Verdict:
    """All tests must be passed to say where, so that none has to be corrected for the others."""
    if p > _SURE:
        return Verdict.CHANCE
    lost = (one.lost for one in baselines if not compared[one.name].difference.low > 0)
    return next(lost, Verdict.BEATS)


class _Table:
    """The maps and their baselines in one table, each map of each target once. Maps that differ by a factor are one.

    Attributes:
        maps: each map once, flattened.
        rows: the numbers of a map and of its target.
        claimed: the row of each claim.
    """

    def __init__(self, claims: Sequence[Claim]) -> None:
        self._maps: dict[bytes, int] = {}
        self._rows: dict[tuple[int, int], int] = {}
        self._found: list[np.ndarray] = []
        for claim in sorted(claims, key=lambda claim: claim.column):
            for cells in (claim.cells, *(baseline.cells for baseline in claim.baselines)):
                self._rows.setdefault((self._number(cells), claim.column), len(self._rows))
        self.maps = np.stack(self._found)
        self.rows = list(self._rows)
        self.claimed = [self.row(claim.column, claim.cells) for claim in claims]

    def row(self, column: int, cells: Float[np.ndarray, " *grid"]) -> int:
        """The row of a map of a target."""
        return self._rows[self._number(cells), column]

    def _number(self, cells: Float[np.ndarray, " *grid"]) -> int:
        one = in_units(cells.reshape(1, -1))[0]
        number = self._maps.setdefault(one.tobytes(), len(self._maps))
        if number == len(self._found):
            self._found.append(one)
        return number
