"""The imputers that need no neighbours to be solved for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Bool, Float

from camscope.arrays import Array, blurred, from_numpy
from camscope.imputing.imputer import check_removed, put


@dataclass(frozen=True)
class Constant:
    """One value in all channels, as RISE's deletion has it: 0 is the mean colour of a normalised input.

    Attributes:
        value: in the units of the model's input.
    """

    value: float = 0.0

    def __call__(
        self, x: Float[Array, "batch_or_1 channel *space"], removed: Bool[np.ndarray, " batch *space"]
    ) -> Float[Array, "batch channel *space"]:
        """See `camscope.imputing.Imputer`."""
        check_removed(x, removed)
        return put(array_namespace(x).full_like(x[:1], self.value), x, removed)


@dataclass(frozen=True)
class Mean:
    """Each channel's mean over the input itself."""

    def __call__(
        self, x: Float[Array, "batch_or_1 channel *space"], removed: Bool[np.ndarray, " batch *space"]
    ) -> Float[Array, "batch channel *space"]:
        """See `camscope.imputing.Imputer`."""
        check_removed(x, removed)
        mean = array_namespace(x).mean(x, axis=tuple(range(2, x.ndim)), keepdims=True)
        return put(mean, x, removed)


@dataclass(frozen=True)
class Noise:
    """Normal noise with the mean and the standard deviation of each channel of the input itself.

    Attributes:
        seed: of the draws; every input and every mask gets the same.
    """

    seed: int = 0

    def __call__(
        self, x: Float[Array, "batch_or_1 channel *space"], removed: Bool[np.ndarray, " batch *space"]
    ) -> Float[Array, "batch channel *space"]:
        """See `camscope.imputing.Imputer`."""
        check_removed(x, removed)
        xp, axes = array_namespace(x), tuple(range(2, x.ndim))
        mean, spread = xp.mean(x, axis=axes, keepdims=True), xp.std(x, axis=axes, keepdims=True)
        drawn = np.random.default_rng(self.seed).standard_normal((1, *x.shape[1:]))
        return put(mean + spread * from_numpy(drawn, like=x), x, removed)


@dataclass(frozen=True)
class Blur:
    """A blurred copy of the input: it keeps the coarse colours, and leaves no hard edge of a colour of its own.

    Attributes:
        sigma: the Gaussian's standard deviation in pixels, of all axes or of each; None: a sixteenth of each side.
        radius: how far it reaches in pixels; None: four standard deviations.
    """

    sigma: float | Sequence[float] | None = None
    radius: int | Sequence[int] | None = None

    def __call__(
        self, x: Float[Array, "batch_or_1 channel *space"], removed: Bool[np.ndarray, " batch *space"]
    ) -> Float[Array, "batch channel *space"]:
        """See `camscope.imputing.Imputer`."""
        check_removed(x, removed)
        sigma = [n / 16 for n in x.shape[2:]] if self.sigma is None else self.sigma
        return put(blurred(x, sigma, self.radius), x, removed)
