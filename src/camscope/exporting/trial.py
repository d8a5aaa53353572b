"""What an exported file is tried on: some rows, unlike one another, and with large and small structures like photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Float

from camscope.arrays import from_numpy, to_numpy
from camscope.engine.model import Model
from camscope.errors import InputError
from camscope.inputs import Inputs
from camscope.models.batch import Batch

ROWS = 3
"""More than a file is traced with, so that it is tried whether it takes any number."""

_DISTURBED, _ROUNDING = 6, 1e-6
"""So often inputs are changed by rounding, by such a share of their standard deviation: in single precision sums of
some hundred terms are off by that."""


def trial_inputs(model: Model, inputs: Any, size: Sequence[int] | None) -> tuple[Inputs, Batch]:
    """Inputs to try a file on, at least `ROWS`.

    Args:
        model: the model.
        inputs: the user's, of which there may be fewer; None makes some up.
        size: of those made up along each axis of space; None takes the model's own.

    Raises:
        InputError: if neither inputs nor a size is known; or both are given.
    """
    if inputs is not None and size is not None:
        raise InputError(f"size={tuple(size)}: the inputs have a size of their own. Give one of both.")
    if inputs is not None:
        given, batch = model.prepared(inputs)
        return (given, batch) if len(batch) >= ROWS else model.prepared(_more(batch.given))
    preprocessing = model.preprocessing
    if size is None and (preprocessing is not None or model.info.prepare is not None):
        space = preprocessing.input_size if preprocessing is not None else (480, 640)
        return model.prepared([_photo(space, row) for row in range(ROWS)])
    if size is None:
        raise InputError(
            "The model's input size is not known. Give a size, such as size=(224, 224), or some inputs: inputs=x."
        )
    channels = 3 if preprocessing is None else len(preprocessing.mean)
    noise = [[_structure(tuple(size), row * channels + c) for c in range(channels)] for row in range(ROWS)]
    return model.prepared(model.adapter.batch(Batch((np.asarray(noise, dtype=np.float32),))).given)


def changed_by_rounding(batch: Batch) -> Iterator[Batch]:
    """The inputs again and again, each time changed by about as much as the rounding of a few sums changes numbers.

    Args:
        batch: the inputs.
    """
    x = to_numpy(batch.given)
    for seed in range(_DISTURBED):
        noise = np.random.default_rng(seed).standard_normal(x.shape)
        yield batch.with_given(from_numpy((x + _ROUNDING * x.std() * noise).astype(x.dtype), batch.given))


def _more(x: Any) -> Any:
    """Enough rows: these, these mirrored, and mixtures of both."""
    xp = array_namespace(x)
    mirrored = xp.flip(x, axis=x.ndim - 1)
    return xp.concat([x, mirrored, 0.7 * x + 0.3 * mirrored], axis=0)


def _photo(size: tuple[int, ...], seed: int) -> np.ndarray:
    """A made-up photo a little larger than a size, uint8 `height width 3`."""
    larger = tuple(n + n // 8 for n in size)
    channels = np.stack([_structure(larger, 3 * seed + c) for c in range(3)], axis=-1)
    photo: np.ndarray = np.clip(127 + 50 * channels, 0, 255).astype(np.uint8)
    return photo


def _structure(size: tuple[int, ...], seed: int) -> Float[np.ndarray, "*size"]:
    """Noise whose amplitude falls with its frequency, as that of photos does; of mean 0 and standard deviation 1."""
    frequencies = np.meshgrid(*(np.fft.fftfreq(n) for n in size), indexing="ij")
    radius = np.sqrt(sum(f**2 for f in frequencies)) + 1 / max(size)
    noise = np.fft.fftn(np.random.default_rng(seed).standard_normal(size)) / radius
    real = np.fft.ifftn(noise).real
    structure: Float[np.ndarray, "*size"] = (real - real.mean()) / real.std()
    return structure
