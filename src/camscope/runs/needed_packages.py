"""The packages that stores of runs need, imported when they are used."""

from __future__ import annotations

from typing import Any

from camscope.errors import MissingExtraError


def check_installed() -> None:
    """Refuse to begin a run before anything is written, where a package is missing that it needs.

    Raises:
        MissingExtraError: if pyarrow, filelock or fsspec is not installed.
    """
    pyarrow_modules()
    try:
        import filelock  # noqa: F401
        import fsspec  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("a run", "runs") from error


def pyarrow_modules() -> tuple[Any, Any]:
    """`pyarrow` and `pyarrow.parquet`.

    Raises:
        MissingExtraError: if pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("a run", "runs") from error
    return pyarrow, parquet


def duckdb_module() -> Any:
    """`duckdb`.

    Raises:
        MissingExtraError: if it is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtraError("reading a run", "runs") from error
    return duckdb
