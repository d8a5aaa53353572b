"""Half precision widened to single (products such as g³ underflow in it), and when two tensors count as equal."""

from __future__ import annotations

import torch
from jaxtyping import Shaped


def widened(x: Shaped[torch.Tensor, "*shape"]) -> Shaped[torch.Tensor, "*shape"]:
    """The same values, in single precision at least."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float | None = None) -> bool:
    """Whether two tensors are the same up to a share of the largest value of the second.

    Args:
        a: what came out. If its shape is not that of b, the two are not the same.
        b: what it should be.
        tolerance: that share; by default 16 times the rounding of the precision, 10⁻⁴ at least.
    """
    if tolerance is None:
        tolerance = max(1e-4, 16 * torch.finfo(b.dtype).eps)
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance * b.abs().max())
