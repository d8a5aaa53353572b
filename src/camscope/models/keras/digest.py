"""A digest of a Keras model's weights, so that a map can be traced to them."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from typing import Any
from weakref import WeakKeyDictionary

from camscope.models.keras.backends import backend, to_numpy

_known: WeakKeyDictionary[Any, tuple[list[Any], list[Hashable], str]] = WeakKeyDictionary()
"""Of each model its weights when they were last hashed (held, so that no other array takes their place in memory),
marks by which a change shows, and the digest: hashing costs as much as a forward."""


def weights_digest(model: Any) -> str:
    """SHA-256 over the types and bytes of all weights in their order, computed anew only when one has changed.

    Not over their paths: Keras numbers the layers of a process, so the same model built twice has others.

    Args:
        model: a Keras model.
    """
    read = [backend().reading(weight) for weight in model.weights]
    values, marks = [value for value, _ in read], [mark for _, mark in read]
    known = _known.get(model)
    if known is None or known[1] != marks:
        sha = hashlib.sha256()
        for weight, value in zip(model.weights, values, strict=True):
            array = to_numpy(value)
            sha.update(f"{weight.dtype} {array.shape}".encode())
            sha.update(array.tobytes())
        known = _known[model] = (values, marks, sha.hexdigest())
    return known[2]
