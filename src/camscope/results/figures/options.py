"""The options of figures: one that there is not is refused, naming those there are."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from camscope.errors import KeywordError, nearest


def options_of(*takers: Callable[..., Any]) -> list[str]:
    """The options that some functions take, by keyword alone, each once."""
    parameters = (p for taker in takers for p in inspect.signature(taker).parameters.values())
    return list(dict.fromkeys(p.name for p in parameters if p.kind is p.KEYWORD_ONLY))


@contextmanager
def naming_unknown_options(options: Mapping[str, Any], *takers: Callable[..., Any]) -> Iterator[None]:
    """Draw in this context: should an option be unknown, the error names those there are.

    Args:
        options: as the user gave them.
        takers: the functions that take them, by keyword.

    Raises:
        KeywordError: in place of Python's own TypeError.
    """
    try:
        yield
    except TypeError as error:
        found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if found is None or found[1] not in options:
            raise
        known = options_of(*takers)
        raise KeywordError(
            f"There is no option {found[1]!r}.{nearest(found[1], known)} The options are {', '.join(known)}."
        ) from error
