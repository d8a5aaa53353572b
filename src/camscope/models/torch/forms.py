"""Naming torch's functions, for those who watch which are called."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional


def all_forms(*names: str) -> frozenset[Any]:
    """These functions wherever torch has them: as functions and methods, in place and not."""
    homes = (functional, torch, torch.Tensor)
    found = (getattr(home, form, None) for home in homes for name in names for form in (name, f"{name}_"))
    return frozenset(function for function in found if function is not None)
