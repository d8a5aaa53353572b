"""What a model is called with, as a list of arrays and everything else, which programs are compiled for."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from camscope.models.batch import Batch
from camscope.models.the_same import TheSame


@dataclass(frozen=True, eq=False)
class CallArguments:
    """A batch taken apart.

    Attributes:
        batch: what was taken apart.
        arrays: its arrays, whatever they are inside of.
    """

    batch: Batch
    arrays: Sequence[Any]
    _tree: Any
    _others: Sequence[Any]

    @classmethod
    def of(cls, batch: Batch) -> CallArguments:
        """Take a batch apart."""
        leaves, tree = jax.tree_util.tree_flatten((batch.args, dict(batch.kwargs)))
        arrays = [leaf for leaf in leaves if is_array(leaf)]
        return cls(batch, arrays, tree, [_PLACE if is_array(leaf) else leaf for leaf in leaves])

    def with_arrays(self, arrays: Sequence[Any]) -> Batch:
        """The batch with other arrays in their places, traced ones for example."""
        rest = iter(arrays)
        leaves = [next(rest) if leaf is _PLACE else leaf for leaf in self._others]
        args, kwargs = jax.tree_util.tree_unflatten(self._tree, leaves)
        return dataclasses.replace(self.batch, args=args, kwargs=kwargs)

    def by_row(self) -> list[bool]:
        """Of each array whether it belongs to the images row by row."""
        rows = len(self.batch)
        return [bool(array.shape) and array.shape[0] == rows for array in self.arrays]

    @property
    def key(self) -> Hashable:
        """Equal for calls that one program can run."""
        shapes = tuple((array.shape, str(array.dtype)) for array in self.arrays)
        others = tuple(leaf if isinstance(leaf, Hashable) else TheSame(leaf) for leaf in self._others)
        return shapes, self._tree, others, self.batch.explained_input, self.batch.space_axes


_PLACE = object()
"""Stands where an array was."""


def is_array(value: Any) -> bool:
    """Whether a value is an array, NumPy's or JAX's, traced or not."""
    return isinstance(value, (np.ndarray, jax.Array))
