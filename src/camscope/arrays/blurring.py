"""The one Gaussian blur of the house, on any array library and any number of axes, mirrored at the edges."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Float

from camscope.arrays.ops import Array, from_numpy, product
from camscope.errors import InputError

_REACH = 4
"""How many standard deviations a Gaussian reaches where no radius is given: beyond lie 6 values in 100,000."""

_LARGEST_MATRIX = 2**24
"""A matrix with more elements is not made: along a sound, whose samples are many thousands, spectra are multiplied."""


def blurred(
    x: Float[Array, "batch channel *space"],
    sigma: float | Sequence[float],
    radius: int | Sequence[int] | None = None,
) -> Float[Array, "batch channel *space"]:
    """Gaussian blur along every axis of space, mirrored at the edges (without repeating the edge itself).

    Args:
        x: what is blurred.
        sigma: the standard deviation in pixels, of all axes or of each; 0 leaves an axis as it is.
        radius: how far the Gaussian reaches in pixels, along all axes or each; it has 2 · radius + 1 taps, whose sum
            is 1. None: four standard deviations.

    Raises:
        InputError: if a standard deviation or a radius is negative or not finite, or there are not as many as axes.
    """
    xp = array_namespace(x)
    axes = range(2, x.ndim)
    sigmas = _each(sigma, len(axes), "sigma")
    reach = [math.ceil(_REACH * one) for one in sigmas] if radius is None else radius
    for axis, width, taps in zip(axes, sigmas, _each(reach, len(axes), "radius"), strict=True):
        if width and taps and x.shape[axis] > 1:
            x = xp.moveaxis(_along_last(xp.moveaxis(x, axis, -1), width, int(taps)), -1, axis)
    return x


def _each(given: float | Sequence[float], axes: int, what: str) -> list[float]:
    """One number for each axis."""
    listed = [given] * axes if isinstance(given, (int, float)) else list(given)
    if len(listed) != axes or not all(0 <= one < math.inf for one in listed):
        raise InputError(
            f"{what}={given!r}: expected a number of pixels, not negative, or one for each of the {axes} axes of space."
        )
    return listed


def _along_last(x: Float[Array, "*leading n"], sigma: float, radius: int) -> Float[Array, "*leading n"]:
    n = x.shape[-1]
    offsets = np.arange(-radius, radius + 1)
    taps = np.exp(-(offsets**2) / (2 * sigma**2))
    taps /= taps.sum()
    period = 2 * (n - 1)  # of what is mirrored at both ends again and again
    if n * n > _LARGEST_MATRIX:
        kernel = np.zeros(period)
        np.add.at(kernel, offsets % period, taps)
        return _circular(x, kernel)
    to = np.repeat(np.arange(n), len(offsets))
    mirrored = (to + np.tile(offsets, n)) % period
    mirrored = np.where(mirrored < n, mirrored, period - mirrored)
    matrix = np.zeros((n, n))
    np.add.at(matrix, (mirrored, to), np.tile(taps, n))
    return product(x, from_numpy(matrix, like=x))


def _circular(
    x: Float[Array, "*leading n"], kernel: Float[np.ndarray, " period"]
) -> Float[Array, "*leading n"]:
    """Convolve what is mirrored, which is periodic, with a symmetric kernel: the product of their spectra."""
    xp = array_namespace(x)
    n = x.shape[-1]
    whole = xp.concat([x, xp.flip(x[..., 1:-1], axis=-1)], axis=-1)
    spectrum = xp.fft.rfft(whole) * from_numpy(np.fft.rfft(kernel).real, like=x)
    return xp.astype(xp.fft.irfft(spectrum, n=kernel.size)[..., :n], x.dtype)
