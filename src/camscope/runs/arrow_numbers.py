"""Columns of numbers between Arrow and NumPy. Arrow's own way there imports pandas, which takes half a second."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Integer, Shaped


def numbers_in(column: Any) -> Shaped[np.ndarray, " value"]:
    """The numbers of a column, without a copy where it is in one piece; where there is none, any.

    Args:
        column: an Arrow array of numbers, or one in chunks.
    """
    chunks = getattr(column, "chunks", [column])
    parts = [_numbers(chunk) for chunk in chunks] or [np.zeros(0, column.type.to_pandas_dtype())]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def without_value(column: Any) -> Bool[np.ndarray, " value"]:
    """Where a column has no value.

    Args:
        column: an Arrow array.
    """
    valid = column.buffers()[0]
    if column.null_count == 0 or valid is None:
        return np.zeros(len(column), np.bool_)
    bits = np.frombuffer(valid, np.uint8)
    every = np.unpackbits(bits, bitorder="little")[column.offset : column.offset + len(column)]
    return np.asarray(every == 0)


def as_arrow(places: Integer[np.ndarray, " place"]) -> Any:
    """Whole numbers as an Arrow array, to take rows by.

    Args:
        places: the numbers.
    """
    import pyarrow as pa

    whole = np.ascontiguousarray(places, np.int64)
    return pa.Array.from_buffers(pa.int64(), len(whole), [None, pa.py_buffer(whole)])


def _numbers(chunk: Any) -> Shaped[np.ndarray, " value"]:
    kind = np.dtype(chunk.type.to_pandas_dtype())
    content = chunk.buffers()[1]
    if content is None:
        return np.zeros(len(chunk), kind)
    return np.frombuffer(content, kind, len(chunk), chunk.offset * kind.itemsize)
