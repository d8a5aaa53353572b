"""Masks made of activations, and the responses to an image seen through them, which several methods share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Float, Int

from camscope.arrays import Array, resize
from camscope.evidence import Evidence, ModelEvidence, Rerun, Responses
from camscope.methods.channels import pick

MakeMasks = Callable[[Float[Array, " chunk *space"], Sequence[int]], Float[Array, " chunk *size"]]
"""From the activations of some channels, and the input's size, to a mask of that size for each."""


def upsampled(maps: Float[Array, " chunk *space"], size: Sequence[int]) -> Float[Array, " chunk *size"]:
    """Resize each map to the input's size."""
    return resize(maps[None], size)[0]


def unit(maps: Float[Array, " chunk *size"]) -> Float[Array, " chunk *size"]:
    """Scale each map by its own minimum and maximum to [0, 1]; a constant map becomes zero."""
    xp = array_namespace(maps)
    axes = tuple(range(1, maps.ndim))
    low = xp.min(maps, axis=axes, keepdims=True)
    extent = xp.max(maps, axis=axes, keepdims=True) - low
    return (maps - low) / xp.where(extent == 0, xp.ones_like(extent), extent)


def normalised(maps: Float[Array, " chunk *space"], size: Sequence[int]) -> Float[Array, " chunk *size"]:
    """H = mm(up(A)): first resized, then scaled (Score-CAM, eq. 5 and 6)."""
    return unit(upsampled(maps, size))


def clipped(maps: Float[Array, " chunk *space"], size: Sequence[int]) -> Float[Array, " chunk *size"]:
    """H = up(clip((A − a) / b, 0, 1)), a and b the percentiles 0.1 and 99.9 of the channel (Poly-CAM's code).

    Divided by b, not by b − a, as the authors do; the same thing where a channel's least value is zero.
    """
    xp = array_namespace(maps)
    flat = xp.reshape(maps, (maps.shape[0], -1))
    scaled = (flat - quantile(flat, 0.001)) / xp.clip(quantile(flat, 0.999), 1e-12, None)
    return upsampled(xp.reshape(xp.clip(scaled, 0, 1), maps.shape), size)


def without(maps: Float[Array, " chunk *space"], size: Sequence[int]) -> Float[Array, " chunk *size"]:
    """1 − H, H as `clipped` makes it."""
    return 1 - clipped(maps, size)


def quantile(values: Float[Array, "n m"], q: float) -> Float[Array, "n 1"]:
    """The q-quantile of each row, interpolated linearly between its neighbours."""
    xp = array_namespace(values)
    in_order = xp.sort(values, axis=1)
    position = q * (values.shape[1] - 1)
    low = int(position)
    high = min(low + 1, values.shape[1] - 1)
    share = position - low
    return in_order[:, low : low + 1] * (1 - share) + in_order[:, high : high + 1] * share


@dataclass
class _Swept:
    """The channels of one image whose masked inputs were run already, and the responses in the same order."""

    channels: Int[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    responses: Responses | None = None


def responses_through(
    evidence: Evidence, image: int, channels: Int[np.ndarray, " n"], masks: MakeMasks
) -> Responses:
    """The model's responses to x ⊙ H_k for some channels of one image.

    The responses are kept with the evidence, so each channel's masked input is run once, however many methods ask.

    Args:
        evidence: the evidence at the layer, with `model.masked`.
        image: the number of the image in the batch.
        channels: the numbers of the channels, at least one.
        masks: makes the masks H_k from the channels.
    """
    swept = evidence.shared.setdefault(("masked", masks.__name__, image), _Swept())
    missing = np.setdiff1d(channels, swept.channels)
    if missing.size:
        model, A = cast(ModelEvidence, evidence.model), evidence.activations
        xp = array_namespace(A)
        x = model.inputs[image]

        def variants(numbers: Int[np.ndarray, " chunk"]) -> Float[Array, "chunk channel *size"]:
            return masks(pick(A[image], missing[numbers]), x.shape[1:])[:, None] * x

        new = cast(Rerun, model.masked)(image, missing.size, variants)
        new = new.changed(lambda values: xp.astype(values, A.dtype))
        swept.responses = new if swept.responses is None else Responses.concatenated([swept.responses, new])
        swept.channels = np.concatenate([swept.channels, missing])
    in_order = np.argsort(swept.channels)
    rows = in_order[np.searchsorted(swept.channels, channels, sorter=in_order)]
    return cast(Responses, swept.responses).rows(rows)


def weighted_channels(
    evidence: Evidence,
    weigh: Callable[[int, Int[np.ndarray, " n"]], Float[Array, "n target"]],
    chosen: np.ndarray,
) -> Float[Array, "batch target *space"]:
    """Σ_k w_k A^k over the chosen channels of each image; zero where none was chosen.

    Args:
        evidence: the evidence at the layer.
        weigh: gives the weights of channels, from the number of the image and the numbers of the channels.
        chosen: which channels of each image, `batch channel`.
    """
    A, model = evidence.activations, cast(ModelEvidence, evidence.model)
    xp = array_namespace(A)
    maps = []
    for image, which in enumerate(chosen):
        channels = np.flatnonzero(which)
        if channels.size:
            weights = weigh(image, channels)
            kept = xp.reshape(pick(A[image], channels), (channels.size, -1))
            flat = xp.matrix_transpose(weights) @ kept
        else:
            shape = (model.responses.scores.shape[1], int(np.prod(A.shape[2:])))
            flat = xp.zeros(shape, dtype=A.dtype, device=device(A))
        maps.append(xp.reshape(flat, (flat.shape[0], *A.shape[2:])))
    return xp.stack(maps)
