"""Half precision is widened before any product is formed: g³ underflows in it."""

from __future__ import annotations

import torch
from jaxtyping import Shaped


def widened(x: Shaped[torch.Tensor, "*shape"]) -> Shaped[torch.Tensor, "*shape"]:
    """The same values, in single precision at least."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
