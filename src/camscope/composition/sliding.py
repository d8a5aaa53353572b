"""SESS: the inner method in windows that slide over enlarged copies of the picture, fused by what the class scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Float

from camscope.arrays import Array, blurred, resize
from camscope.composition.expressions import composition
from camscope.composition.wrappers import Averages, Copy, Setting, Wrapper
from camscope.errors import InputError, MethodError
from camscope.methods.parameters import Count, Share

_STEP = 64 / 224
"""By how much of the picture's own size the sizes differ."""

_BLUR = 5 / 224
"""The standard deviation of the last blur, as a share of the picture's side."""


ABOVE_ZERO = 1e-6
"""A weighted map in [0, 1] is above zero at a position where it is above this: rounding is not."""


@dataclass(frozen=True)
class Window:
    """One window, as large as the picture, on the picture enlarged.

    Attributes:
        factor: of the enlargement.
        row: its number from the top; the last one ends where the picture does.
        column: its number from the left.
    """

    factor: float
    row: int
    column: int

    def of(self, x: Float[Array, "batch channel height width"]) -> Float[Array, "batch channel height width"]:
        """What the model sees through it."""
        if self.factor == 1:
            return x
        height, width = x.shape[2:]
        large = self._large((height, width))
        top, left = self._corner((height, width))
        return resize(x, large)[:, :, top : top + height, left : left + width]

    def placed(
        self, maps: Float[Array, "batch target height width"]
    ) -> Float[Array, "batch target height width"]:
        """Maps of what it shows at their place in the picture, zero around them.

        Args:
            maps: at the window's size, which is the picture's.
        """
        if self.factor == 1:
            return maps
        xp = array_namespace(maps)
        height, width = maps.shape[2:]
        (tall, wide), (top, left) = self._large((height, width)), self._corner((height, width))
        rows, columns = (top, tall - height - top), (left, wide - width - left)
        above, below = (
            xp.zeros((*maps.shape[:2], n, width), dtype=maps.dtype, device=device(maps)) for n in rows
        )
        band = xp.concat([above, maps, below], axis=2)
        before, behind = (
            xp.zeros((*maps.shape[:2], tall, n), dtype=maps.dtype, device=device(maps)) for n in columns
        )
        return resize(xp.concat([before, band, behind], axis=3), (height, width))

    def _large(self, size: Sequence[int]) -> tuple[int, int]:
        height, width = (round(n * self.factor) for n in size)
        return height, width

    def _corner(self, size: Sequence[int]) -> tuple[int, int]:
        top, left = (
            min(number * n, large - n)
            for number, n, large in zip((self.row, self.column), size, self._large(size), strict=True)
        )
        return top, left


@composition
@dataclass(frozen=True)
class Sess(Wrapper):
    """The inner method in windows of several scales, fused (SESS, Tursun et al., ECCV 2022, arXiv:2207.01769).

    The picture is enlarged to sizes that differ by 64/224 of its own, and a window of its own size slides over each,
    without overlap but for the last one of a row. Every window is explained by itself, for the class of the whole
    picture. Its map is scaled to [0, 1], weighted by the class's probability in that window, which is first divided by
    the largest of all windows (channel-wise weights), and put at its place. At each position the mean is taken over
    those windows whose map is above zero there (spatial weighted average), and the result is blurred.

    It finds small and repeated objects. A large object is seen only in parts by most windows. Here the input of the
    model is enlarged, where the paper enlarges the photo, whose detail the preprocessing may have lost: prepare photos
    at a larger size if the model takes it.

    Attributes:
        scales: how many sizes, the picture's own among them; 12 are 122 windows.
        drop: the share of the windows that are left out, those in which the class is least probable (pre-filter ratio).

    Example:
        >>> e = camscope.explain(model, x, methods=camscope.Sess("gradcam", scales=2))
        >>> e.methods
        ('sess(gradcam, scales=2)',)
    """

    scales: Count = 12
    drop: Share = 0.0
    word: ClassVar[str] = "sess"

    @property
    def averages(self) -> Averages:
        """Maps of windows, each at its place."""
        return "windows"

    @property
    def rectified(self) -> bool:
        """False: each window's map is rectified before it is scaled, so the mean has no negative values."""
        return False

    def windows(self) -> list[Window]:
        """All windows, scale by scale."""
        found = []
        for i in range(self.scales):
            factor = 1 + i * _STEP
            count = math.ceil(factor - 1e-9)
            found += [Window(factor, row, column) for row in range(count) for column in range(count)]
        return found

    def copies(self, setting: Setting) -> list[Copy]:
        """What is seen through each window."""
        return [Copy(window.of) for window in self.windows()]

    def weights(
        self, probabilities: Float[np.ndarray, "window batch target"]
    ) -> Float[np.ndarray, "window batch target"]:
        """The weight of each window; zero for those that are left out.

        Args:
            probabilities: of each target in each window.
        """
        likely = np.maximum(probabilities, 0)
        most = likely.max(0)
        weights: np.ndarray = np.divide(likely, most, out=np.zeros_like(likely), where=most > 0)
        lowest = np.argsort(probabilities, axis=0, kind="stable")[: int(len(probabilities) * self.drop)]
        np.put_along_axis(weights, lowest, 0, axis=0)
        return weights

    def check(self) -> None:
        """Refuse a method that knows no class, and one that leaves no window."""
        if not self.class_specific:
            raise MethodError(
                f"{self.name}: {self.method.name} knows no class, and windows are weighted by what a class scores in "
                "them."
            )
        if self.drop == 1:
            raise MethodError(f"{self.name}: drop=1 leaves no window; 0.9 leaves a tenth of them.")


def check_pictures(x: Float[Array, "batch channel *size"]) -> None:
    """Refuse inputs over which no window slides.

    Raises:
        InputError: if they are no pictures.
    """
    if x.ndim != 4:
        raise InputError(
            f"sess slides windows over pictures, batch channel height width; this input has {x.ndim - 2} axes of space."
        )


def softened(maps: Float[Array, "batch target height width"]) -> Float[Array, "batch target height width"]:
    """Maps after the last step of SESS: a Gaussian of 11 × 11 pixels with σ = 5 for a picture of 224 × 224."""
    sigmas = [_BLUR * n for n in maps.shape[2:]]
    return blurred(
        maps, sigmas, [min(round(sigma), n - 1) for sigma, n in zip(sigmas, maps.shape[2:], strict=True)]
    )
