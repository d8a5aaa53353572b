"""Wrappers: compositions that run altered copies of the input, and turn a copy's maps back to the original."""

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
from camscope.composition.expressions import Composition, Expression, Modifier, composition, modifiers_of
from camscope.errors import InputError, MethodError, nearest
from camscope.evidence import Need
from camscope.methods import Method
from camscope.methods.parameters import Count, Factor, NonNegative

Averages = Literal["maps", "gradients", "sizes", "windows"]
"""What is averaged over the copies: their maps; their gradients, which are then used with the clean activations; the
activations and gradients at several sizes; or maps of parts of the picture, each at its place."""

_GEOMETRY = ("identity", "flip", "flipud", "rot90")


def _same(x: Array) -> Array:
    return x


@dataclass(frozen=True)
class Copy:
    """One altered copy of the whole batch, built when it is needed.

    Attributes:
        build: makes the altered batch from the batch.
        restore: turns the maps of the altered batch back into maps of the batch.
    """

    build: Callable[[Float[Array, "batch channel *size"]], Float[Array, "batch channel *altered"]]
    restore: Callable[[Float[Array, "batch target *space"]], Float[Array, "batch target *space"]] = _same


@dataclass(frozen=True)
class Setting:
    """What a wrapper may need to know besides the batch.

    Attributes:
        seed: the seed of random draws.
        black: the value of black in each channel of the model's input; None if that is not known.
    """

    seed: int
    black: Sequence[float] | None


class Wrapper(Composition):
    """A composition that runs altered copies of the input."""

    @property
    def averages(self) -> Averages:
        """What is averaged over the copies."""
        return "maps"

    @property
    def instead(self) -> frozenset[Need]:
        """As the inner expression where maps are averaged; none where gradients are."""
        return self.inner.instead if self.averages == "maps" else frozenset()

    @property
    def turns(self) -> bool:
        """Whether some copies are flipped or turned, so that things are at other places in them."""
        return False

    def copies(self, setting: Setting) -> list[Copy]:
        """The copies it runs.

        Args:
            setting: what it may need to know besides the batch.

        Raises:
            InputError: if the setting lacks something that the copies need.
        """
        raise NotImplementedError

    def summand(
        self, maps: Float[Array, "batch target *space"], rectified: bool
    ) -> Float[Array, "batch target *space"]:
        """What one copy adds to the mean.

        Args:
            maps: the copy's maps, turned back to the original.
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
        average: `maps` averages the maps of the copies. `gradients` averages the gradients (and their powers) of the
            copies, and makes one map of these and the clean activations, as Smooth Grad-CAM++ does (Omeiza et al. 2019,
            arXiv:1908.01224); for FullGrad it averages the parts of the score.

    Example:
        >>> e = camscope.explain(model, x, methods=camscope.Smooth("layercam", n=2))
        >>> e.methods
        ('smooth(layercam, n=2)',)
    """

    n: Count = 16
    sigma: NonNegative = 0.15
    average: Average = "maps"
    word: ClassVar[str] = "smooth"

    @property
    def averages(self) -> Averages:
        """Maps or gradients, as `average` says."""
        return self.average

    def copies(self, setting: Setting) -> list[Copy]:
        """Copies with noise added."""
        return [
            Copy(functools.partial(_noisy, sigma=self.sigma, seed=setting.seed, number=i))
            for i in range(self.n)
        ]

    def check(self) -> None:
        """Refuse to average the gradients of a method that is not made of gradients."""
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
        transforms: one for each copy: `identity`, `flip` (left–right), `flipud` or `rot90`, or a factor of brightness
            such as `0.9`, or both with a `*` between them: `flip*0.9`.

    Example:
        >>> e = camscope.explain(model, x, methods=camscope.Augment("gradcam"))
        >>> e.methods
        ('augment(gradcam)',)
    """

    transforms: tuple[str, ...] = ("0.9", "1.0", "1.1", "flip*0.9", "flip", "flip*1.1")
    word: ClassVar[str] = "augment"

    @property
    def turns(self) -> bool:
        """Whether one of the transforms flips or turns."""
        return any(geometry != "identity" for geometry, _ in map(_transform, self.transforms))

    def copies(self, setting: Setting) -> list[Copy]:
        """Copies with each of the transforms."""
        return [_transformed(text) for text in self.transforms]

    def check(self) -> None:
        """Refuse a word that is no transform."""
        for text in self.transforms:
            _transform(text)


At = Literal["layer", "input"]


@composition
@dataclass(frozen=True)
class MultiScale(Wrapper):
    """The inner method on activations and gradients averaged over sizes of the input.

    As in CAMERAS (Jalwana et al., CVPR 2021, arXiv:2106.10649), only those sizes count at which the model's top class
    is the explained one; if there is no such size, all count.

    Attributes:
        sizes: the factors to the input's own size.
        at: the resolution at which activations and gradients are averaged: the `layer`'s grid at the largest size, or
            the `input`'s own size, as in the paper, which takes channels × height × width of memory.

    Example:
        >>> e = camscope.explain(model, x, methods=camscope.MultiScale("hirescam", sizes=(1, 2)))
        >>> e.methods
        ('multiscale(hirescam, sizes=[1, 2])',)
    """

    sizes: tuple[Factor, ...] = (1.0, 1.5, 2.0)
    at: At = "layer"
    word: ClassVar[str] = "multiscale"

    @property
    def averages(self) -> Averages:
        """Activations and gradients, over sizes."""
        return "sizes"

    def copies(self, setting: Setting) -> list[Copy]:
        """Copies of each size."""
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
    """The inner method's rectified maps, summed along the straight path of images from a baseline to the input.

    Around Grad-CAM, from black, it is Integrated Grad-CAM (Sattarzadeh et al., ICASSP 2021, arXiv:2102.07805).

    Attributes:
        baseline: where the path begins: `black`, `zero` (zero in the preprocessed input, which is the mean colour), or
            `blur` (the input without detail).
        n: how many images are on the path; the last is the input itself.

    Example:
        >>> e = camscope.explain(model, x, methods=camscope.PathIntegral("gradcam", n=3))
        >>> e.methods
        ('path(gradcam, n=3)',)
    """

    baseline: Baseline = "black"
    n: Count = 20
    word: ClassVar[str] = "path"

    @property
    def rectified(self) -> bool:
        """False: the formula rectifies inside the sum, so the sum has no negative values."""
        return False

    def copies(self, setting: Setting) -> list[Copy]:
        """The images on the path.

        Raises:
            InputError: if the path begins at black, and the value of black is not known.
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
        """The maps of the copy, rectified as the formula has it inside the sum."""
        return relu(maps) if rectified else maps


def alters_input(expression: Expression) -> bool:
    """Whether an expression runs the model on altered copies of the input."""
    return isinstance(expression, Composition) and (
        isinstance(expression, Wrapper) or alters_input(expression.inner)
    )


def _is_plain(inner: Expression) -> bool:
    """Whether an expression is a method, or a method with modifiers of its target or its gradients around it."""
    return isinstance(inner, (Method, Modifier)) and not any(one.reads_maps for one in modifiers_of(inner))


def _is_gradient_method(m: Method) -> bool:
    return m.needs == {Need.ACTIVATIONS, Need.GRADIENTS}


def _noisy(
    x: Float[Array, "batch channel *size"], *, sigma: float, seed: int, number: int
) -> Float[Array, "batch channel *size"]:
    """X + N(0, (σ · (max − min))²), each image by its own range."""
    xp = array_namespace(x)
    axes = tuple(range(1, x.ndim))
    extent = xp.max(x, axis=axes, keepdims=True) - xp.min(x, axis=axes, keepdims=True)
    # every image gets the same noise, so that it does not depend on what else is in the batch
    noise = np.random.default_rng([seed, number]).standard_normal(tuple(x.shape[1:]), dtype=np.float32)
    return x + sigma * extent * from_numpy(noise, like=x)[None]


def _transform(text: str) -> tuple[str, float]:
    """Read a transform such as `flip*0.9`: how it flips or turns, and the factor of brightness.

    Raises:
        MethodError: if it is no transform; the message names the valid ones and the nearest.
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
    """The point b + share · (x − b) of the path from the baseline b to x."""
    xp = array_namespace(x)
    if share == 1:
        return x  # because of rounding, b + (x − b) may differ from x
    if baseline == "zero":
        return share * x
    if baseline == "black":
        start = from_numpy(np.asarray(black).reshape(1, -1, *(1,) * (x.ndim - 2)), like=x)
    else:
        start = _blurred(x)
    return xp.astype(start + share * (x - start), x.dtype)


def _blurred(x: Float[Array, "batch channel *size"]) -> Float[Array, "batch channel *size"]:
    """The input without detail: shrunk to a sixteenth of its size and enlarged again.

    It is halved step by step, so that nothing aliases.
    """
    small = x
    for _ in range(4):
        small = resize(small, [max(1, -(-n // 2)) for n in small.shape[2:]])
    return resize(small, x.shape[2:])
