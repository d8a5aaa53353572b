"""RISE: the mean of random masks, each weighted by what the model says of the input seen through it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, cast

import numpy as np
from array_api_compat import array_namespace
from einops import einsum
from jaxtyping import Bool, Float, Int

from camscope.arrays import Array, from_numpy
from camscope.evidence import ModelEvidence, Need, Rerun
from camscope.methods.parameters import Count, Range
from camscope.methods.registry import method

_BUDGET = 2**22
"""How many values of masks are held in memory at a time while they are summed."""


@method(
    "rise",
    needs={Need.MASKED},
    paper="Petsiuk et al., BMVC 2018, arXiv:1806.07421",
    advice="Needs only the model's answers, and no layer; noisy below some thousands of masks, and blind to what is "
    "smaller than a cell.",
    cost="n masked forwards (4000; all targets at once)",
    rectified=False,
    scope="model",
)
def rise(
    evidence: ModelEvidence, *, n: Count = 4000, cells: Count = 7, p: Annotated[float, Range(0.01, 1)] = 0.5
) -> Float[Array, "batch target *size"]:
    """S = 1/(N p) Σ_i p_c(x ⊙ M_i) M_i, M_i a random grid of cells, shown with chance p, resized and shifted.

    The same masks serve every image, so that an image's map does not depend on the batch it came in.

    Args:
        evidence: the evidence of the model.
        n: how many masks. The paper takes 4000 for VGG-16, 8000 for ResNet-50.
        cells: how many cells the grid has along each axis.
        p: the chance of a cell to be shown.
    """
    inputs, rerun = evidence.inputs, cast(Rerun, evidence.masked)
    xp = array_namespace(inputs)
    size = tuple(inputs.shape[2:])
    masks = random_masks(size, n, cells, p, evidence.seed, like=evidence.responses.probabilities)

    def seen(image: int) -> Float[Array, "mask target"]:
        return rerun(image, n, lambda numbers: masks(numbers)[:, None] * inputs[image]).probabilities

    weights = xp.stack([seen(image) for image in range(inputs.shape[0])])
    chunk = max(1, _BUDGET // math.prod(size))
    parts = [np.arange(start, min(start + chunk, n)) for start in range(0, n, chunk)]
    total = 0.0
    for numbers in parts:
        some = weights[:, int(numbers[0]) : int(numbers[-1]) + 1]
        total = total + einsum(some, masks(numbers), "b m t, m ... -> b t ...")
    return total / (n * p)


def random_masks(
    size: tuple[int, ...], n: int, cells: int, p: float, seed: int, *, like: Array
) -> Callable[[Int[np.ndarray, " chunk"]], Float[Array, " chunk *size"]]:
    """Draw random masks (section 3.2): give a function that makes the masks with given numbers.

    Each mask is a grid of cells, resized linearly to (cells + 1) · ⌈size / cells⌉ and cut to the input's size at a
    random place. Only the grids and the places are kept, so a mask may be made again and is the same.

    Args:
        size: the input's size, along each axis.
        n: how many masks.
        cells: how many cells the grid has along each axis.
        p: the chance of a cell to be shown.
        seed: of the draws.
        like: an array whose library, type and device the masks take.
    """
    rng = np.random.default_rng(seed)
    grids: Bool[np.ndarray, " n *cells"] = rng.random((n, *(cells,) * len(size))) < p
    steps = [-(-s // cells) for s in size]
    shifts = [rng.integers(0, step, n) for step in steps]

    def masks(numbers: Int[np.ndarray, " chunk"]) -> Float[Array, " chunk *size"]:
        xp = array_namespace(like)
        made = from_numpy(grids[numbers].astype(np.float64), like=like)
        for axis, (step, shift) in enumerate(zip(steps, shifts, strict=True)):
            pixels = np.arange(size[axis]) + shift[numbers][:, None] + 0.5
            centred = np.clip(pixels * (cells / ((cells + 1) * step)) - 0.5, 0, cells - 1)
            weights = np.clip(1 - np.abs(centred[..., None] - np.arange(cells)), 0, None)
            moved = xp.moveaxis(made, axis + 1, -1)
            moved = einsum(moved, from_numpy(weights, like=like), "m ... i, m o i -> m ... o")
            made = xp.moveaxis(moved, -1, axis + 1)
        return made

    return masks
