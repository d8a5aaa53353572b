"""Inputs that no model of any framework can take, refused."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from camscope.arrays import Array, to_numpy
from camscope.errors import InputError


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
    finite = to_numpy(xp.all(xp.reshape(xp.isfinite(x), (x.shape[0], -1)), axis=1)).tolist()
    bad = [str(i) for i, good in enumerate(finite) if not good]
    if bad:
        raise InputError(f"The input holds NaN or infinity, in image {', '.join(bad)} of the batch.")


def expected_axes(x: Array) -> str:
    """What to say of an input with too few axes."""
    return (
        "Expected a batch, channel and space, for instance (1, 3, 224, 224), or waveforms, batch and time; got shape "
        f"{tuple(x.shape)}."
    )


def is_floating(x: Any) -> bool:
    """Whether an array is of real numbers."""
    return "float" in str(x.dtype)
