"""The packages that runs need, imported when they are used."""

from __future__ import annotations

import importlib
from typing import Any

from camscope.errors import MissingExtraError


def check_installed() -> None:
    """Refuse to begin a run before anything is written, where a package is missing that it needs.

    Raises:
        MissingExtraError: if pyarrow, filelock or fsspec is not installed.
    """
    pyarrow_modules()
    for name in ("filelock", "fsspec"):
        _imported(name, "a run", "runs")


def pyarrow_modules() -> tuple[Any, Any]:
    """`pyarrow` and `pyarrow.parquet`.

    Raises:
        MissingExtraError: if pyarrow is not installed.
    """
    return _imported("pyarrow", "a run", "runs"), _imported("pyarrow.parquet", "a run", "runs")


def duckdb_module() -> Any:
    """`duckdb`.

    Raises:
        MissingExtraError: if it is not installed.
    """
    return _imported("duckdb", "reading a run", "runs")


def ray_module() -> Any:
    """`ray`.

    Raises:
        MissingExtraError: if it is not installed.
    """
    return _imported("ray", "engine ray", "ray")


def _imported(name: str, what: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(what, extra) from error
