"""What was explained, in words: the labels of targets, and the shorter ones for titles and file names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from camscope.outputs import Of


@dataclass(frozen=True)
class TargetInfo:
    """One resolved target of one image.

    Attributes:
        index: the class's index; None for a callable, a region or an instance.
        name: the class's name if the model's class names are available, else `class 281`; a callable's own name.
        of: which kind of score; None if it is no class's.
        sign: −1 for evidence against.
        against: names of the classes it is contrasted with.
        box: x0, y0, x1, y1 of an instance, in shares of the input's size; None if it has no box.
        gamma: γ, how much of the others' score is subtracted; None if it is not contrasted.
        weighting: how the others are averaged; None if it is not contrasted.
        probability: of an instance, as the model ranks it; None for all else.
    """

    index: int | None
    name: str
    of: Of | None
    sign: int
    against: tuple[str, ...] = ()
    box: tuple[float, ...] | None = None
    gamma: float | None = None
    weighting: str | None = None
    probability: float | None = None

    @property
    def label(self) -> str:
        """The target in words: `tabby`, `not tabby`, `probability of tabby`, `tabby vs tiger cat and 2 more`."""
        return self._words(self.name, self.against, limit=1)

    @property
    def full(self) -> str:
        """The label with all that tells it from another one: its index, every class it is contrasted with, and how."""
        facts = [] if self.index is None else [f"class {self.index}"]
        facts += [] if self.gamma is None else [f"γ {self.gamma:g}"]
        facts += ["by probability"] if self.weighting == "softmax" else []
        words = self._words(self.name, self.against)
        return f"{words} ({', '.join(facts)})" if facts else words

    def shortened(self, short: Mapping[str, str]) -> str:
        """The label with short names for classes.

        Args:
            short: the short name of each class, by its name; see `short_names`.
        """
        if self.index is None:
            return self.label
        against = tuple(short.get(name, name) for name in self.against)
        return self._words(short.get(self.name, self.name), against, limit=1)

    def _words(self, name: str, against: Sequence[str], limit: int | None = None) -> str:
        score = "ReST" if self.of == "rest" else self.of
        words = name if self.of in (None, "logit") else f"{score} of {name}"
        if against:
            more = len(against) - len(against[:limit])
            words += f" vs {' and '.join(against[:limit])}{f' and {more} more' if more else ''}"
        return f"not {words}" if self.sign < 0 else words


def short_names(class_names: Sequence[str] | None) -> Mapping[str, str]:
    """The short name of each class: its first synonym, since ImageNet's names list up to ten, with commas between.

    A name whose first part is that of another class as well (`cat, black` beside `cat, white`) stays whole.

    Args:
        class_names: the names of all classes; None if they are not known.

    Returns:
        The short names, by the whole ones.
    """
    return _short_names(tuple(class_names or ()))


@lru_cache(maxsize=8)  # asked for each image, while the classes are those of one model
def _short_names(class_names: tuple[str, ...]) -> Mapping[str, str]:
    first = {name: name.partition(",")[0].strip() for name in class_names}
    count = Counter(part.lower() for part in first.values())
    return {name: part if part and count[part.lower()] == 1 else name for name, part in first.items()}


def titles(targets: Sequence[TargetInfo], short: Mapping[str, str]) -> tuple[str, ...]:
    """What each target is called in a figure and in the names of files: short, and different where the targets differ.

    Args:
        targets: the targets of one image.
        short: the short names of classes; see `short_names`.
    """
    longer: tuple[Callable[[TargetInfo], str], ...] = (lambda t: t.label, lambda t: t.full)
    written = [target.shortened(short) for target in targets]
    for write in longer:
        meant = Counter(words for words, _ in {*zip(written, targets, strict=True)})
        written = [
            write(target) if meant[words] > 1 else words
            for words, target in zip(written, targets, strict=True)
        ]
    return tuple(written)


def function_name(function: Callable[..., Any]) -> str:
    """What a callable target is called: its own name, or its class's with the class that it is about.

    Args:
        function: a function, or an object that is called.
    """
    name = getattr(function, "__name__", None)
    if name is not None:
        return str(name)
    about = getattr(function, "category", None)
    return type(function).__name__ + (f"({about})" if isinstance(about, (int, str)) else "")
