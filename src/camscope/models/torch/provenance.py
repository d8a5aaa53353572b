"""What a model is, for the record that goes with its maps: class, framework, device, precision and weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from camscope.models.torch.hooks.modules import Versions, versions

_digests: WeakKeyDictionary[nn.Module, tuple[Versions, str]] = WeakKeyDictionary()
"""Each model's weights as they were when last hashed, and their digest: hashing costs as much as a forward."""


def description(model: nn.Module) -> Mapping[str, Any]:
    """Class, framework, device, precision and weights digest of an unwrapped module."""
    first = next(model.parameters(), None)
    return {
        "model": type(model).__name__,
        "framework": f"torch {torch.__version__}",
        "device": str(first.device) if first is not None else "cpu",
        "dtype": str(first.dtype).removeprefix("torch.") if first is not None else "float32",
        "weights_sha256": weights_digest(model),
    }


def weights_digest(model: nn.Module) -> str:
    """SHA-256 over the names and bytes of the state, computed anew only when a tensor has changed."""
    now = versions(model)
    known = _digests.get(model)
    if known is None or known[0] != now:
        sha = hashlib.sha256()
        for name, value in model.state_dict().items():
            if isinstance(value, torch.Tensor):
                sha.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
                sha.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        known = _digests[model] = (now, sha.hexdigest())
    return known[1]
