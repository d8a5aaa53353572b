"""The altered copies of a batch that each wrapper runs, and how the maps of a copy come back to the original."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Float

from camscope.arrays import Array, from_numpy, relu
from camscope.composition.expressions import Augment, Expression, MultiScale, PathIntegral, Smooth
from camscope.errors import InputError, MethodError, nearest
from camscope.resample import resize

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


def copies(wrapper: Expression, setting: Setting) -> list[Copy]:
    """The copies a wrapper runs.

    Raises:
        MethodError: for a transform that does not exist.
        InputError: if the copies need to know what black is, and it is not known.
    """
    if isinstance(wrapper, Smooth):
        return [
            Copy(functools.partial(_noisy, sigma=wrapper.sigma, seed=setting.seed, number=i))
            for i in range(wrapper.n)
        ]
    if isinstance(wrapper, Augment):
        return [_transformed(text) for text in wrapper.transforms]
    if isinstance(wrapper, MultiScale):
        return [Copy(functools.partial(_sized, factor=factor)) for factor in wrapper.sizes]
    assert isinstance(wrapper, PathIntegral)
    if wrapper.baseline == "black" and setting.black is None:
        raise InputError(
            "path(…, baseline=black) must know what value black has in the model's input, which a tensor does not "
            "tell. Pass photos, or Explainer(model, preprocessing=…), or use baseline=zero."
        )
    return [
        Copy(functools.partial(_on_path, share=i / wrapper.n, baseline=wrapper.baseline, black=setting.black))
        for i in range(1, wrapper.n + 1)
    ]


def turns(wrapper: Expression) -> bool:
    """Whether it runs copies in which things are at other places: flipped or turned."""
    if not isinstance(wrapper, Augment):
        return False
    words = [part.strip().lower() for text in wrapper.transforms for part in str(text).split("*")]
    return any(word in _GEOMETRY and word != "identity" for word in words)


def summand(
    wrapper: Expression, maps: Float[Array, "batch target *space"], rectified: bool
) -> Float[Array, "batch target *space"]:
    """What of one copy's map enters the mean: the path integral's formula rectifies inside the sum."""
    return relu(maps) if isinstance(wrapper, PathIntegral) and rectified else maps


def check_transforms(transforms: Sequence[str]) -> None:
    """Refuse what is no transform.

    Raises:
        MethodError: naming the valid ones, and the nearest.
    """
    for text in transforms:
        _transformed(text)


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


def _transformed(text: str) -> Copy:
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
