"""Inputs that no model of any framework can take, refused."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from camscope.arrays import Array, to_numpy
from camscope.errors import InputError

_ROUNDED = 1e-2
"""How far a pixel may be off a whole number, by the rounding of its preprocessing."""


def check_axes(x: Array) -> None:
    """Refuse an input without a batch axis, or with nothing in the batch.

    Args:
        x: numbers, or token numbers `batch token`.

    Raises:
        InputError: saying what was expected.
    """
    if x.ndim == 1 and not is_floating(x):
        raise InputError(f"Token numbers need a batch axis: pass ids[None]; got shape {tuple(x.shape)}.")
    if x.ndim < 2:
        raise InputError(expected_axes(x))
    if x.shape[0] == 0:
        raise InputError(f"The batch is empty: shape {tuple(x.shape)}.")


def check_finite(x: Array) -> None:
    """Refuse an input with NaN or infinity.

    Raises:
        InputError: naming the images.
    """
    if not is_floating(x):
        return
    xp = array_namespace(x)
    with np.errstate(all="ignore"):
        if xp.isfinite(
            xp.sum(x)
        ):  # which takes a tenth of the time; too large a sum may be of good numbers all the same
            return
    finite = to_numpy(xp.all(xp.reshape(xp.isfinite(x), (x.shape[0], -1)), axis=1)).tolist()
    bad = [str(i) for i, good in enumerate(finite) if not good]
    if bad:
        raise InputError(f"The input holds NaN or infinity, in image {', '.join(bad)} of the batch.")


def check_pixels(x: np.ndarray, least: int, greatest: int) -> None:
    """Refuse an input that was normalised already, for a model that takes pixels as they are.

    Args:
        x: numbers.
        least: of the whole numbers that the model takes.
        greatest: likewise.

    Raises:
        InputError: saying what it holds.
    """
    low, high = float(x.min()), float(x.max())
    whole = bool((np.abs(x - np.rint(x)) <= _ROUNDED).all())
    if low >= least - _ROUNDED and high <= greatest + _ROUNDED and whole:
        return
    raise InputError(
        f"The model takes whole numbers from {least} to {greatest}, as the bytes of photos are, and the input holds "
        f"{'numbers' if whole else 'fractions'} from {low:.4g} to {high:.4g}. Was it normalised already? Give the "
        "photo itself, or an array of its bytes."
    )


def expected_axes(x: Array) -> str:
    """What to say of an input with too few axes."""
    return (
        "Expected a batch, channel and space, for instance (1, 3, 224, 224), or waveforms, batch and time; got shape "
        f"{tuple(x.shape)}."
    )


def is_floating(x: Any) -> bool:
    """Whether an array is of real numbers."""
    return "float" in str(x.dtype)
