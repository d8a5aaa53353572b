"""Whether a run explains on the optimised copy of its model: long ones do, if it gives the same maps and scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np

from camscope.arrays import to_numpy
from camscope.engine.explainer import Explainer
from camscope.errors import CamscopeError, InputError, ModelError, keyword
from camscope.results import Explanation

Precision: TypeAlias = Literal["", "float32", "bfloat16"]
"""Of the copy that is explained on; empty where there is none."""

LONG = 128
"""From so many images on, making and trying the copy is little beside what it saves."""

TOLERANCE, TOLERANCE_OF_HALF = 1e-3, 0.1
"""So far, as a share of the largest, maps and scores on the copy may be off; in bfloat16 two digits agree."""

_made: WeakKeyDictionary[Explainer, dict[Precision, Explainer]] = WeakKeyDictionary()
"""The explainer on each copy, by that of the model itself: a copy is made once."""


@dataclass(frozen=True)
class Chosen:
    """What a run explains on.

    Attributes:
        precision: of the copy, or empty.
        said: what was found, in a sentence; empty where there was nothing to find.
        provenance: of the first batch, as it was explained by what was chosen.
    """

    precision: Precision
    said: str
    provenance: Mapping[str, Any]


def check_wanted(wanted: Any) -> None:
    """Refuse what is no choice.

    Raises:
        InputError: if it is none.
    """
    if wanted not in (None, True, False, "bfloat16"):
        raise InputError(
            f"optimised={wanted!r}: expected True or False (whether an optimised copy of the model is explained on), "
            "'bfloat16' (the copy in half precision), or None, which takes the copy for long runs."
        )


def is_speed_wanted(wanted: bool | str | None, images: int) -> bool:
    """Whether what is faster is to be tried: if that was said, or a run is long and nothing was said.

    Args:
        wanted: what was said.
        images: how many the run has.
    """
    return images >= LONG if wanted is None else wanted is not False


def explainer_on(explainer: Explainer, precision: Precision) -> Explainer:
    """The explainer that a run explains with.

    Args:
        explainer: of the model itself.
        precision: see `Chosen`.
    """
    if not precision:
        return explainer
    made = _made.setdefault(explainer, {})
    if precision not in made:
        made[precision] = explainer.optimised(half=precision == "bfloat16")
    return made[precision]


def choose(
    explainer: Explainer,
    plain: Explanation,
    again: Callable[[Explainer], Explanation],
    *,
    wanted: bool | str | None,
    images: int,
) -> Chosen:
    """Choose, by numbers on the first batch.

    Args:
        explainer: of the model itself.
        plain: what it says of the first batch.
        again: explains the same with another explainer.
        wanted: whether the copy is wanted; None takes it for long runs, if it gives the same.
        images: how many the run has.

    Raises:
        ModelError: if the copy is asked for and gives something else, or there is none.
    """
    if not is_speed_wanted(wanted, images) or (wanted is None and not _has_copy(explainer)):
        return Chosen("", "", plain.provenance)
    half = wanted == "bfloat16"
    precision: Precision = "bfloat16" if half else "float32"
    tolerance = TOLERANCE_OF_HALF if half else TOLERANCE
    try:
        fast = again(explainer_on(explainer, precision))
        off = difference(plain, fast)
    except CamscopeError as error:
        if wanted is not None:
            raise
        return Chosen(
            "", f"The model is explained as it is, since its optimised copy fails: {error}", plain.provenance
        )
    name = "optimised copy of the model" + (" in bfloat16" if half else "")
    found = f"on the first {len(plain.targets)} images {in_words(off)}"
    if off <= tolerance:
        return Chosen(precision, f"Explained on an {name}: {found}.", fast.provenance)
    if wanted is not None:
        raise ModelError(
            f"The {name} does not give what the model gives: {found}, where {tolerance:g} is allowed. Leave "
            f"{keyword('optimised', wanted)} out."
        )
    return Chosen("", f"The model is explained as it is: of its optimised copy {found}.", plain.provenance)


def difference(one: Explanation, other: Explanation) -> float:
    """How far two explanations of the same images are apart: the maximum over maps, logits and scores.

    Each as a share of the largest of its map, image, or batch; infinite if targets differ, or a map is not finite.

    Args:
        one: an explanation.
        other: another one.
    """
    if one.targets != other.targets or one.raw.keys() != other.raw.keys():
        return float("inf")
    pairs = [(one.logits, other.logits, 1), (one.scores, other.scores, 0)]
    pairs += [(one.raw[key], other.raw[key], 2) for key in one.raw]
    return max(_off(to_numpy(a), to_numpy(b), kept) for a, b, kept in pairs)


def in_words(off: float) -> str:
    """How far explanations are apart, as a part of a sentence.

    Args:
        off: see `difference`.
    """
    if off == float("inf"):
        return "another class comes first, or maps are not finite"
    return f"maps and scores differ by {off:.0e} of the largest at most"


def _off(one: np.ndarray, other: np.ndarray, kept: int) -> float:
    """The largest difference as a share of the largest value along all axes but the first `kept`."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    if one.shape != other.shape or not np.isfinite(other[np.isfinite(one)]).all():
        return float("inf")
    along = tuple(range(kept, one.ndim))
    sizes = np.abs(np.nan_to_num(one))
    # a map that is zero up to rounding is held against the others
    most = np.maximum(sizes.max(axis=along, keepdims=True), max(1e-6 * sizes.max(initial=0.0), 1e-30))
    return float((np.abs(np.nan_to_num(one) - np.nan_to_num(other)) / most).max(initial=0.0))


def _has_copy(explainer: Explainer) -> bool:
    about = explainer.about
    return str(about["framework"]).startswith("torch") and "optimised" not in about
