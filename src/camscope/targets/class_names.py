"""Classes by what users call them: an index, or a name."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from camscope.errors import TargetError, either, keyword, nearest


def class_index(which: int | str, count: int, class_names: Sequence[str] | None) -> int:
    """The number of a class.

    Args:
        which: its index, 0 or more, or its name or one of its comma-separated synonyms.
        count: how many classes the model has.
        class_names: the names of all classes, by index; None if they are not known.

    Raises:
        TargetError: if there is none, with the nearest name; if the name stands for several; if the index is no whole
            number; or if it is negative, which could mean evidence against a class or a class counted from the end.
    """
    if isinstance(which, str):
        return _named(which, class_names)
    which = _whole_number(which)
    if -count < which < 0:
        against = either(f"'-{-which}' or -camscope.Class({-which})", f"not:{-which}")
        raise TargetError(
            f"The class {which} could mean two things. For the evidence against class {-which} write {against}; for "
            f"the class counted from the end, {which + count}."
        )
    if not 0 <= which < count:
        raise TargetError(f"There is no class {which}: the model has {count}, 0 to {count - 1}.")
    return which


def _whole_number(which: Any) -> int:
    """An index as Python's own number: of an integer of any library, but of no bool."""
    try:
        if not isinstance(which, (bool, np.bool_)):
            return operator.index(which)
    except TypeError:
        pass
    raise TargetError(f"{which!r} is no class: expected its index, a whole number such as 281, or its name.")


def _named(name: str, class_names: Sequence[str] | None) -> int:
    if class_names is None:
        raise TargetError(
            f"The class {name!r} was asked for by name, but this model's class names are not known. "
            f"Say {keyword('class_names', like=either('[…]', 'FILE, one a line'))}, or the class's index."
        )
    wanted = name.strip().lower()
    exact = [i for i, each in enumerate(class_names) if each.lower() == wanted]
    synonyms = [
        i for i, each in enumerate(class_names) if wanted in [s.strip() for s in each.lower().split(",")]
    ]
    found = exact or synonyms
    if not found:
        each = [synonym.strip() for names in class_names for synonym in names.split(",")]
        raise TargetError(f"There is no class {name!r}.{nearest(name, each)}")
    if len(found) > 1:
        raise TargetError(f"The name {name!r} stands for the classes {found}; give the index.")
    return found[0]


def class_name(index: int, class_names: Sequence[str] | None) -> str:
    """The class's name, or `class 281` where no names are known."""
    return class_names[index] if class_names is not None else f"class {index}"
