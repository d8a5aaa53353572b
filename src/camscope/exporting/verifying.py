"""Whether an exported file gives what camscope itself gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from camscope.arrays import to_numpy
from camscope.errors import ModelError
from camscope.models.map_programs import ProgramOutputs
from camscope.results import Explanation

_LOGITS = 1e-3
"""The largest difference of logits, in parts of the largest logit of their row. Others add in another order."""

_MAPS = 1e-3
"""The same of maps: their mean difference, as a root of mean squares, in parts of that of the map."""

_ANYWHERE = 1e-2
"""The largest difference of a map at any position, in parts of its largest value."""

_AT_A_KINK = 10
"""So many times both is allowed of gradients for some inputs, fewer than every second: where a ReLU's input is zero up
to rounding, its gradient is one of two numbers. Layers far in front of the end have thousands behind them: of sixteen
photos, LayerCAM at EfficientNet-Lite0's second block met one for four, and was up to three times beyond the limits."""

_AS_MUCH = 2
"""And no more than so many times what camscope's own maps of that input move where it is changed by mere rounding:
of twelve photos, the two whose maps were further apart there moved by 1.0 and 1.2 times the difference at least."""

_WEAK = 1e-3
"""A map that is so much weaker than the strongest of its row is held against that share of the strongest."""


@dataclass(frozen=True)
class Verified:
    """How a file was held against camscope's own maps.

    Attributes:
        runtime: what ran it, in words.
        rows: on how many inputs.
        logits: the largest difference, in parts of the largest logit of its row.
        maps: the largest difference, in parts of the largest value of its map.
        further_apart: of how many inputs the maps are further apart than is allowed where no ReLU is at its kink.
    """

    runtime: str
    rows: int
    logits: float
    maps: float
    further_apart: int

    @property
    def note(self) -> str:
        """What whoever uses the file should know; often nothing."""
        if not self.further_apart:
            return ""
        return (
            f"On {self.further_apart} of the {self.rows} test inputs the file's maps differ by more than rounding, by "
            f"up to {self.maps:.0e} of their largest value: where a ReLU's input is zero up to rounding, its gradient "
            "is one of two numbers. camscope's own maps move as much there if these inputs are changed by rounding."
        )


def check_shapes(outputs: ProgramOutputs, own: Explanation) -> None:
    """Refuse a file that puts out arrays of other shapes.

    Args:
        outputs: of the file.
        own: an explanation of the same inputs.

    Raises:
        ModelError: saying the shapes.
    """
    logits, (maps,) = to_numpy(own.logits), map(to_numpy, own.raw.values())
    if outputs.logits.shape != logits.shape or outputs.maps.shape != maps.shape:
        raise ModelError(
            f"Not written: for {len(logits)} inputs the file gives logits of shape {outputs.logits.shape} and maps of "
            f"shape {outputs.maps.shape}; camscope gives {logits.shape} and {maps.shape}. Perhaps the model does not "
            "take batches of any size."
        )


def verified(
    outputs: ProgramOutputs,
    own: Explanation,
    runtime: str,
    disturbed: Callable[[], Iterable[Explanation]] | None = None,
) -> Verified:
    """Hold what a file puts out against an explanation of the same inputs and classes.

    Args:
        outputs: of the file.
        own: the explanation.
        runtime: what ran the file.
        disturbed: explains the inputs again, changed by mere rounding, if the maps are made of gradients: at a kink
            these may be one of two. It is asked where maps are further apart.

    Raises:
        ModelError: if it is not the same, or all maps are zero, so that nothing is shown.
    """
    logits, (maps,) = to_numpy(own.logits), map(to_numpy, own.raw.values())
    rows = len(logits)
    if not np.any(maps):
        raise ModelError(
            "Not written: all maps of the test inputs are zero, so nothing can be verified on it. Give some real "
            "inputs: inputs=x."
        )
    _check_top(outputs, logits)
    space = tuple(range(2, maps.ndim))
    strongest = np.abs(maps).max(axis=(1, *space), keepdims=True)
    largest = np.maximum(np.abs(maps).max(axis=space, keepdims=True), _WEAK * strongest)
    mean = np.maximum(_root_mean_square(maps, space), _WEAK * _root_mean_square(maps, (1, *space)))

    def apart(others: np.ndarray) -> tuple[Float[np.ndarray, " batch"], Float[np.ndarray, " batch"]]:
        difference = np.abs(others - maps)
        return _by_input(difference / largest), _by_input(_root_mean_square(difference, space) / mean)

    of_logits, (anywhere, on_average) = _of_logits(outputs.logits, logits), apart(outputs.maps)
    further_apart = (anywhere > _ANYWHERE) | (on_average > _MAPS)
    limits = [np.full(rows, _ANYWHERE), np.full(rows, _MAPS)]
    if disturbed is not None and 0 < further_apart.mean() < 0.5:
        moved = [apart(to_numpy(m)) for e in disturbed() for m in e.raw.values()]
        limits = [
            np.clip(_AS_MUCH * np.max(by_kinks, axis=0), limit, _AT_A_KINK * limit)
            for limit, by_kinks in zip(limits, zip(*moved, strict=True), strict=True)
        ]
    for what, differences, most in (
        ("the largest difference of logits", np.full(rows, of_logits), np.full(rows, _LOGITS)),
        ("the largest difference of maps", anywhere, limits[0]),
        ("the mean difference of maps", on_average, limits[1]),
    ):
        worst = int(np.argmax(np.nan_to_num(differences / most, nan=np.inf)))
        if not differences[worst] <= most[worst]:  # so is NaN
            raise ModelError(
                f"Not written: on {rows} test inputs the file ({runtime}) does not give what camscope gives: {what} is "
                f"{differences[worst]:.1e} of their size, and {most[worst]:.0e} is allowed. The model may draw random "
                "numbers or take steps that depend on values, which a graph does not hold; or the maps are nothing but "
                "rounding. Try another layer or method."
            )
    return Verified(runtime, rows, of_logits, float(anywhere.max()), int(further_apart.sum()))


def _by_input(differences: Float[np.ndarray, "batch ..."]) -> Float[np.ndarray, " batch"]:
    """The largest of each input."""
    found: np.ndarray = differences.reshape(len(differences), -1).max(axis=1)
    return found


def _of_logits(found: Float[np.ndarray, "batch n"], expected: Float[np.ndarray, "batch n"]) -> float:
    """The largest difference, in parts of the largest logit of its row. NaN where one is no number."""
    same = found == expected  # infinities too, which classes that are masked have
    size = np.where(np.isfinite(expected), np.abs(expected), 0).max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.where(same, 0, np.abs(found - expected) / size).max())


def _root_mean_square(values: Float[np.ndarray, " ..."], axes: tuple[int, ...]) -> Float[np.ndarray, " ..."]:
    """Along some axes, which stay with size 1."""
    found: np.ndarray = np.sqrt((values.astype(np.float64) ** 2).mean(axis=axes, keepdims=True))
    return found


def _check_top(outputs: ProgramOutputs, logits: Float[np.ndarray, "batch class"]) -> None:
    """Refuse classes that are not those with the highest logits, the highest first.

    Raises:
        ModelError: if they are not.
    """
    best = -np.sort(-logits, axis=1)[:, : outputs.classes.shape[1]]
    if not _of_logits(np.take_along_axis(logits, outputs.classes, axis=1), best) <= _LOGITS:
        raise ModelError("Not written: the classes in the file are not those with the highest logits.")
