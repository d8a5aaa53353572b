"""Errors that name arguments as Python has them, told as the options of a command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from camscope.errors import CamscopeError

_OPTIONS = {
    "images": "--images",
    "path": "--path",
    "column": "--column",
    "labels": "--label",
    "separator": "--separator",
    "multilabel": "--multilabel",
    "classes": "--classes",
    "unreadable": "--unreadable",
    "holdout": "--holdout",
    "frozen_epochs": "--frozen-epochs",
}
"""The arguments that messages about labelled images and their training name."""

_ARGUMENT = re.compile(rf"(?<![\w/'\"-])({'|'.join(_OPTIONS)})=('[^']*'|[^\s,;()]*[^\s,;().]|)")


@contextmanager
def as_options() -> Iterator[None]:
    """Let an error that says ``separator='|'`` say ``--separator '|'``."""
    try:
        yield
    except CamscopeError as error:
        error.args = (_ARGUMENT.sub(lambda found: _option(*found.groups()), str(error)),)
        raise


def _option(name: str, value: str) -> str:
    return _OPTIONS[name] if value in ("", "True") else f"{_OPTIONS[name]} {value}"
