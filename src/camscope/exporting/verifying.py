"""Whether an exported file gives what camscope itself gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from camscope.arrays import to_numpy
from camscope.errors import ModelError
from camscope.models.map_programs import ProgramOutputs
from camscope.results import Explanation

_LOGITS = 1e-3
"""The largest difference of logits, in parts of the largest logit of their row. Others add in another order."""

_MAPS = 1e-3
"""The same of maps, in parts of the largest value of each map."""

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
    """

    runtime: str
    rows: int
    logits: float
    maps: float


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


def verified(outputs: ProgramOutputs, own: Explanation, runtime: str) -> Verified:
    """Hold what a file puts out against an explanation of the same inputs and classes.

    Args:
        outputs: of the file.
        own: the explanation.
        runtime: what ran the file.

    Raises:
        ModelError: if it is not the same, or all maps are zero, so that nothing is shown.
    """
    logits, (maps,) = to_numpy(own.logits), map(to_numpy, own.raw.values())
    rows = len(logits)
    if not np.any(maps):
        raise ModelError(
            "Not written: all maps of the test batch are zero, so nothing can be verified on it. Give some real "
            "inputs: inputs=x."
        )
    far = _difference(outputs.logits, logits, axis=1, least=0)
    _check_top(outputs, logits)
    space = tuple(range(2, maps.ndim))
    strongest = np.abs(maps).max(axis=(1, *space), keepdims=True)
    apart = _difference(outputs.maps, maps, axis=space, least=_WEAK * strongest)
    for what, difference, most in (("logits", far, _LOGITS), ("maps", apart, _MAPS)):
        if not difference <= most:
            raise ModelError(
                f"Not written: the {what} of the file ({runtime}) are not those of camscope: on {rows} test inputs "
                f"they differ by up to {difference:.1e} of the largest value, and {most:.0e} is allowed. The model may "
                "draw random numbers or take steps that depend on values, which a graph does not hold; or the maps are "
                "nothing but rounding. Try another layer or method."
            )
    return Verified(runtime, rows, far, apart)


def _difference(
    found: Float[np.ndarray, ...],
    expected: Float[np.ndarray, ...],
    *,
    axis: int | tuple[int, ...],
    least: Any,
) -> float:
    """The largest difference, in parts of the largest value along some axes. NaN where either is no number.

    Args:
        found: what came out.
        expected: what it should be.
        axis: along which the largest value is taken.
        least: what that is at least.
    """
    same = found == expected  # infinities too, which classes that are masked have
    finite = np.where(np.isfinite(expected), np.abs(expected), 0)
    size = np.maximum(np.maximum(finite.max(axis=axis, keepdims=True), least), np.finfo(np.float32).tiny)
    with np.errstate(invalid="ignore"):
        return float(np.where(same, 0, np.abs(found - expected) / size).max())


def _check_top(outputs: ProgramOutputs, logits: Float[np.ndarray, "batch class"]) -> None:
    """Refuse classes that are not those with the highest logits, the highest first.

    Raises:
        ModelError: if they are not.
    """
    best = -np.sort(-logits, axis=1)[:, : outputs.classes.shape[1]]
    if (
        not _difference(np.take_along_axis(logits, outputs.classes, axis=1), best, axis=1, least=1e-6)
        <= _LOGITS
    ):
        raise ModelError("Not written: the classes in the file are not those with the highest logits.")
