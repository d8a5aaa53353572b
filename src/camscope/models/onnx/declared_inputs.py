"""What a graph declares of its inputs: kinds of numbers, sizes, and which axes of a photo are space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import helper

from camscope.errors import InputError
from camscope.models.axes import where_channels_belong
from camscope.models.onnx.onnx_graph import OnnxGraph


@dataclass(frozen=True)
class DeclaredInput:
    """One input of a graph.

    Attributes:
        name: by which it is given.
        dtype: of its numbers.
        shape: its size along each axis, None where that may vary; None if not even the number of axes is told.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int | None, ...] | None

    @property
    def batch(self) -> int | None:
        """How many images it takes, if that is fixed."""
        return self.shape[0] if self.shape else None

    @property
    def is_pixels(self) -> bool:
        """Whether it is of whole numbers with axes of space, as the bytes of photos are. Token numbers have none."""
        return self.dtype.kind in "iu" and self.shape is not None and len(self.shape) > 2

    def takes(self, value: np.ndarray) -> bool:
        """Whether an array has its number of axes and its kind of numbers; pixels may be real numbers too.

        Of whole numbers in place of pixels the sizes must fit as well: in other shapes they are photos.
        """
        if self.shape is not None and value.ndim != len(self.shape):
            return False
        if self.is_pixels:
            return value.dtype.kind == "f" or self._fits(value)
        return value.dtype.kind in ("iu" if self.dtype.kind in "iub" else "f")

    def array(self, value: Any, takes: str) -> np.ndarray:
        """A value as the input takes it: in place of pixels, which may have been altered, the nearest whole numbers.

        Args:
            value: what was given.
            takes: what the model takes, for messages.

        Raises:
            InputError: if its shape is not the declared one, but for the batch.
        """
        array = np.asarray(value)
        if not self._fits(array):
            moved = where_channels_belong(array.shape, self.shape or ())
            raise InputError(f"The input {self.name!r} has the shape {array.shape}. {takes}{moved}")
        if self.is_pixels and array.dtype.kind == "f":
            limits = np.iinfo(self.dtype)
            array = np.clip(np.rint(array), limits.min, limits.max)
        return array.astype(self.dtype, copy=False)

    def _fits(self, array: np.ndarray) -> bool:
        """Whether its shape is the declared one, but for the batch."""
        return self.shape is None or (
            array.ndim == len(self.shape)
            and all(
                declared is None or axis == 0 or declared == size
                for axis, (declared, size) in enumerate(zip(self.shape, array.shape, strict=True))
            )
        )

    def describe(self) -> str:
        """In words: `x: float32 (batch, 3, 224, 224)`."""
        if self.shape is None:
            return f"{self.name}: {self.dtype}"
        sizes = [
            "batch" if axis == 0 else "any" if n is None else str(n) for axis, n in enumerate(self.shape)
        ]
        return f"{self.name}: {self.dtype} ({', '.join(sizes)})"


def declared_inputs(graph: OnnxGraph) -> Mapping[str, DeclaredInput]:
    """The inputs of a graph by name, in order."""
    found = {}
    for name, value in graph.inputs.items():
        kind = value.type.tensor_type
        shape = None
        if kind.HasField("shape"):
            shape = tuple(
                axis.dim_value if axis.HasField("dim_value") and axis.dim_value > 0 else None
                for axis in kind.shape.dim
            )
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type))
        found[name] = DeclaredInput(name, dtype, shape)
    return found
