"""Compositions that run altered copies of the input, and how the maps of a copy come back to the original."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Float

from camscope.arrays import Array, from_numpy, relu, resize
from camscope.composition.expressions import Composition, Expression, Modifier, composition
from camscope.errors import InputError, MethodError, nearest
from camscope.evidence import Need
from camscope.methods import Method
from camscope.methods.parameters import Count, Factor, NonNegative

Averages = Literal["maps", "gradients", "sizes"]
"""What of the copies is averaged: their maps; their gradients, at the clean activations; or activations and gradients
of several sizes."""

_GEOMETRY = ("identity", "flip", "flipud", "rot90")


def _same(x: Array) -> Array:
    return x


@dataclass(frozen=True)
class Copy:
    """One altered copy of the whole batch, built when it is needed.

    Attributes:
        build: from the batch to the altered batch.
        restore: from the copy's maps to maps of the original.
    """

    build: Callable[[Float[Array, "batch channel *size"]], Float[Array, "batch channel *altered"]]
    restore: Callable[[Float[Array, "batch target *space"]], Float[Array, "batch target *space"]] = _same


@dataclass(frozen=True)
class Setting:
    """What a wrapper may need to know besides the batch.

    Attributes:
        seed: of random draws.
        black: the value of black in each channel of the model's input; None if that is not known.
    """

    seed: int
    black: Sequence[float] | None


class Wrapper(Composition):
    """A composition that runs altered copies of the input."""

    @property
    def averages(self) -> Averages:
        """What of the copies is averaged."""
        return "maps"

    @property
    def turns(self) -> bool:
        """Whether it runs copies in which things are at other places: flipped or turned."""
        return False

    def copies(self, setting: Setting) -> list[Copy]:
        """The copies it runs.

        Args:
            setting: what it may need to know besides the batch.

        Raises:
            InputError: if they need to know what is not known.
        """
        raise NotImplementedError

    def summand(
        self, maps: Float[Array, "batch target *space"], rectified: bool
    ) -> Float[Array, "batch target *space"]:
        """What of one copy's map enters the mean.

        Args:
            maps: of the copy, at the place of the original.
            rectified: whether the inner method's negative values mean evidence against.
        """
        return maps


Average = Literal["maps", "gradients"]


@composition
@dataclass(frozen=True)
class Smooth(Wrapper):
    """The inner method averaged over noisy copies of the input (SmoothGrad, Smilkov et al. 2017, arXiv:1706.03825).

    Attributes:
        n: how many copies.
        sigma: standard deviation of the noise, as a share of each image's own range of values.
        average: `maps`, or `gradients`: one map of the clean activations and the averaged gradients and their
            averaged powers, as Smooth Grad-CAM++ (Omeiza et al. 2019, arXiv:1908.01224) has it; of FullGrad, one map
            of its averaged parts.
    """

    n: Count = 16
    sigma: NonNegative = 0.15
    average: Average = "maps"
    word: ClassVar[str] = "smooth"

    @property
    def averages(self) -> Averages:
        """Maps or gradients, as it says."""
        return self.average

    def copies(self, setting: Setting) -> list[Copy]:
        """Noisy ones."""
        return [
            Copy(functools.partial(_noisy, sigma=self.sigma, seed=setting.seed, number=i))
            for i in range(self.n)
        ]

    def check(self) -> None:
        """Refuse gradients of a method that has none to average."""
        whole = self.method.needs == {Need.INPUT_GRADIENTS}
        if self.average == "gradients" and not (
            _is_plain(self.inner) and (whole or _is_gradient_method(self.method))
        ):
            raise MethodError(
                f"{self.name}: smooth averages gradients, which {self.inner.name} is not a plain method of. gradcam, "
                "hirescam or layercam would do, smooth(…) averages maps."
            )


@composition
@dataclass(frozen=True)
class Augment(Wrapper):
    """The inner method averaged over transformed copies of the input, each map transformed back.

    Attributes:
        transforms: of `identity`, `flip` (left–right), `flipud`, `rot90`, and factors of brightness such as `0.9`;
            joined by `*` for both: `flip*0.9`.
    """

    transforms: tuple[str, ...] = ("0.9", "1.0", "1.1", "flip*0.9", "flip", "flip*1.1")
    word: ClassVar[str] = "augment"

    @property
    def turns(self) -> bool:
        """Whether one of them flips or turns."""
        return any(geometry != "identity" for geometry, _ in map(_transform, self.transforms))

    def copies(self, setting: Setting) -> list[Copy]:
        """Transformed ones."""
        return [_transformed(text) for text in self.transforms]

    def check(self) -> None:
        """Refuse what is no transform."""
        for text in self.transforms:
            _transform(text)


At = Literal["layer", "input"]


@composition
@dataclass(frozen=True)
class MultiScale(Wrapper):
    """The inner method on activations and gradients averaged over sizes of the input.

    Of CAMERAS (Jalwana et al., CVPR 2021, arXiv:2106.10649): only the sizes at which the model's top class is the
    explained one count, if there are any.

    Attributes:
        sizes: factors of the input's own size.
        at: where activations and gradients meet: the largest size's `layer` grid, or the `input`'s own size, as the
            paper has it, which takes channels × height × width of memory.
    """

    sizes: tuple[Factor, ...] = (1.0, 1.5, 2.0)
    at: At = "layer"
    word: ClassVar[str] = "multiscale"

    @property
    def averages(self) -> Averages:
        """Activations and gradients over sizes."""
        return "sizes"

    def copies(self, setting: Setting) -> list[Copy]:
        """Resized ones."""
        return [Copy(functools.partial(_sized, factor=factor)) for factor in self.sizes]

    def check(self) -> None:
        """Refuse a method that is not made of activations and gradients."""
        if not (_is_plain(self.inner) and _is_gradient_method(self.method)):
            raise MethodError(
                f"{self.name}: multiscale averages activations and gradients, which {self.inner.name} is not a plain "
                "method of. gradcam, hirescam or layercam would do, augment(…) averages maps."
            )


Baseline = Literal["black", "zero", "blur"]


@composition
@dataclass(frozen=True)
class PathIntegral(Wrapper):
    """The inner method's heatmaps summed along the straight path of images from a baseline.

    Integrated Grad-CAM (Sattarzadeh et al., ICASSP 2021, arXiv:2102.07805) is this of Grad-CAM from black.

    Attributes:
        baseline: `black`, `zero` (of the preprocessed input, the mean colour), or `blur`.
        n: images on the path; the last is the input itself.
    """

    baseline: Baseline = "black"
    n: Count = 20
    word: ClassVar[str] = "path"

    @property
    def rectified(self) -> bool:
        """The formula rectifies inside the sum."""
        return False

    def copies(self, setting: Setting) -> list[Copy]:
        """Images on the path.

        Raises:
            InputError: if they start from black, and it is not known what black is.
        """
        if self.baseline == "black" and setting.black is None:
            raise InputError(
                "path(…, baseline=black) must know what value black has in the model's input, which a tensor does not "
                "tell. Pass photos, or Explainer(model, preprocessing=…), or use baseline=zero."
            )
        return [
            Copy(functools.partial(_on_path, share=i / self.n, baseline=self.baseline, black=setting.black))
            for i in range(1, self.n + 1)
        ]

    def summand(
        self, maps: Float[Array, "batch target *space"], rectified: bool
    ) -> Float[Array, "batch target *space"]:
        """The formula rectifies inside the sum."""
        return relu(maps) if rectified else maps


def alters_input(expression: Expression) -> bool:
    """Whether it runs the model on altered copies of the input."""
    return isinstance(expression, Composition) and (
        isinstance(expression, Wrapper) or alters_input(expression.inner)
    )


def _is_plain(inner: Expression) -> bool:
    """Whether it is a method, or one with another target or other gradients."""
    return isinstance(inner, (Method, Modifier))


def _is_gradient_method(m: Method) -> bool:
    return m.needs == {Need.ACTIVATIONS, Need.GRADIENTS}


def _noisy(
    x: Float[Array, "batch channel *size"], *, sigma: float, seed: int, number: int
) -> Float[Array, "batch channel *size"]:
    """X + N(0, (σ · (max − min))²), each image by its own range."""
    xp = array_namespace(x)
    axes = tuple(range(1, x.ndim))
    extent = xp.max(x, axis=axes, keepdims=True) - xp.min(x, axis=axes, keepdims=True)
    # image by image, so that an image's noise does not depend on what else is in the batch
    noise = np.random.default_rng([seed, number]).standard_normal(tuple(x.shape[1:]), dtype=np.float32)
    return x + sigma * extent * from_numpy(noise, like=x)[None]


def _transform(text: str) -> tuple[str, float]:
    """What `flip*0.9` says: how it is flipped or turned, and the factor of brightness.

    Raises:
        MethodError: if it is no transform, naming the valid ones and the nearest.
    """
    factor, geometry = 1.0, "identity"
    for part in str(text).split("*"):
        word = part.strip().lower()
        if re.fullmatch(r"\d+\.?\d*|\.\d+", word):
            factor *= float(word)
        elif word in _GEOMETRY:
            if geometry != "identity":
                raise MethodError(
                    f"augment: {text} turns or flips twice; give them as two transforms, [{geometry}, {word}]."
                )
            geometry = word
        else:
            raise MethodError(
                f"augment: there is no transform {part.strip()!r}.{nearest(word, _GEOMETRY)} There are "
                f"{', '.join(_GEOMETRY)} and factors of brightness such as 0.9, joined by *: flip*0.9."
            )
    return geometry, factor


def _transformed(text: str) -> Copy:
    geometry, factor = _transform(text)
    return Copy(
        functools.partial(_altered, geometry=geometry, factor=factor),
        functools.partial(_turned, geometry=geometry, back=True),
    )


def _altered(x: Array, *, geometry: str, factor: float) -> Array:
    turned = _turned(x, geometry=geometry)
    return turned if factor == 1 else turned * factor


def _turned(x: Array, *, geometry: str, back: bool = False) -> Array:
    xp = array_namespace(x)
    if geometry == "flip":
        return xp.flip(x, axis=-1)
    if geometry in ("flipud", "rot90") and x.ndim < 4:
        raise InputError(f"augment: {geometry} needs an input with two spatial axes.")
    if geometry == "flipud":
        return xp.flip(x, axis=-2)
    if geometry == "rot90":
        swapped = xp.permute_dims(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))
        return xp.flip(swapped, axis=-1 if back else -2)
    return x


def _sized(
    x: Float[Array, "batch channel *size"], *, factor: float
) -> Float[Array, "batch channel *altered"]:
    return x if factor == 1 else resize(x, [max(1, round(n * factor)) for n in x.shape[2:]])


def _on_path(
    x: Float[Array, "batch channel *size"], *, share: float, baseline: str, black: Sequence[float] | None
) -> Float[Array, "batch channel *size"]:
    """The point b + share · (x − b) of the path."""
    xp = array_namespace(x)
    if share == 1:
        return x  # b + (x − b) may differ by a rounding
    if baseline == "zero":
        return share * x
    if baseline == "black":
        start = from_numpy(np.asarray(black).reshape(1, -1, *(1,) * (x.ndim - 2)), like=x)
    else:
        start = _blurred(x)
    return xp.astype(start + share * (x - start), x.dtype)


def _blurred(x: Float[Array, "batch channel *size"]) -> Float[Array, "batch channel *size"]:
    """Without detail: down to a sixteenth of the size (averaged in steps, so that nothing aliases) and back."""
    small = x
    for _ in range(4):
        small = resize(small, [max(1, -(-n // 2)) for n in small.shape[2:]])
    return resize(small, x.shape[2:])
