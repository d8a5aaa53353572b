"""What a JAX model is, by its weights: precision, device, and the digest that its maps can be traced to."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import weakref
from collections import Counter
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from camscope.models.jax.states import States
from camscope.models.jax.taps import Tappable


class Weights:
    """The weights of a model as they are now.

    Args:
        model: the model.
        states: tells its arrays.
    """

    def __init__(self, model: Tappable, states: States) -> None:
        self._model, self._states = model, states
        self._hashed: tuple[list[Any], str] = ([], "")

    @functools.cached_property
    def dtype(self) -> np.dtype:
        """The precision of most weights; single if there are none of real numbers."""
        of_each: Counter[np.dtype] = Counter()
        for value in self._now().values():
            if jnp.issubdtype(value.dtype, jnp.floating):
                of_each[np.dtype(value.dtype)] += value.size
        return of_each.most_common(1)[0][0] if of_each else np.dtype(np.float32)

    @functools.cached_property
    def most_axes(self) -> int:
        """How many axes the weight with most axes has."""
        return max((value.ndim for value in self._now().values()), default=0)

    @functools.cached_property
    def sizes(self) -> Mapping[str, int]:
        """How many numbers each weight has, by name."""
        return {name: int(value.size) for name, value in self._now().items()}

    def _now(self) -> Mapping[str, Any]:
        return self._model.weights(self._states.now()[1])

    def describe(self) -> dict[str, Any]:
        """Class, libraries, device, precision, and the digest where the weights can be seen."""
        named = self._now()
        first = next((value for value in named.values() if isinstance(value, jax.Array)), None)
        placed = jax.devices()[0] if first is None else next(iter(first.devices()))
        return {
            "model": type(self._model.user_model).__name__,
            "framework": _versions("jax", *self._model.libraries),
            "device": str(placed),
            "dtype": str(self.dtype),
            **({"weights_sha256": self._digest(named)} if named else {}),
        }

    def _digest(self, named: Mapping[str, Any]) -> str:
        """SHA-256 over the names and numbers of all weights, computed anew where one was replaced."""
        arrays = list(named.values())
        known, digest = self._hashed
        # arrays of JAX never change; those of NumPy may
        same = len(known) == len(arrays) and all(
            ref() is value for ref, value in zip(known, arrays, strict=True)
        )
        if same and all(isinstance(value, jax.Array) for value in arrays):
            return digest
        sha = hashlib.sha256()
        for name, value in named.items():
            array = np.ascontiguousarray(np.asarray(value))
            sha.update(f"{name} {array.dtype} {array.shape}".encode())
            sha.update(array.reshape(-1).view(np.uint8).data)
        self._hashed = [weakref.ref(value) for value in arrays], sha.hexdigest()
        return self._hashed[1]


@functools.cache
def _versions(*packages: str) -> str:
    """Their names and versions, which are read from files."""
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
