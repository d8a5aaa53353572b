"""Half precision widened to single (products such as g³ underflow in it), and when two tensors count as equal."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Shaped


def widened(x: Shaped[torch.Tensor, "*shape"]) -> Shaped[torch.Tensor, "*shape"]:
    """The same values, in single precision at least."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def rounding(*dtypes: torch.dtype) -> float:
    """How far apart two ways to compute the same number may be, as a share of the size of its terms.

    Args:
        dtypes: the precisions that the number went through; the coarsest counts.
    """
    coarsest = max(torch.finfo(dtype).eps for dtype in dtypes if dtype.is_floating_point)
    if coarsest > 1e-5:  # half precision
        return 4 * coarsest
    # many additions in another order; on a GPU single precision may be TF32 in between
    return 1e-4 if coarsest > 1e-10 else 1e-10


def same_rows(
    found: Float[torch.Tensor, "row ..."],
    expected: Float[torch.Tensor, "row ..."],
    size: Float[torch.Tensor, " ..."],
    tolerance: float,
) -> Bool[torch.Tensor, " row"]:
    """For each row, whether every number in it is what it should be. One row or number never hides another.

    Args:
        found: what came out.
        expected: what it should be.
        size: of the terms each number is made of, by which its rounding is measured; broadcast to the numbers.
        tolerance: which share of that a number may be off, see `rounding`.
    """
    # equal infinities (classes that a model masks) are the same, though their difference is no number
    same = (found == expected) | ((found - expected).abs() <= tolerance * size)
    return same.reshape(len(same), -1).all(1)
