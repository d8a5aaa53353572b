"""How the command talks: machine-readable on stdout, people's words beside it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Any

from rich.console import Console


def console(*, stderr: bool = False) -> Console:
    """Where people read: as wide as the terminal; a name like `m.py:boom:` stays as it is."""
    return Console(stderr=stderr, emoji=False, highlight=False)


def print_json(value: Any) -> None:
    """Print one JSON document on stdout. NaN and infinity, which JSON has not, become null."""
    from camscope.results.saving import finite  # with NumPy, which --help does without

    json.dump(finite(value), sys.stdout, ensure_ascii=False, indent=2, allow_nan=False)
    sys.stdout.write("\n")
    sys.stdout.flush()


@contextmanager
def quiet_stdout(as_json: bool) -> Iterator[None]:
    """Send what a model prints to stderr, where a program reads stdout."""
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        yield
