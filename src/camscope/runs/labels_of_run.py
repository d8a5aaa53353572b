"""Labels as they come with the data, and the classes of a model that they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from camscope.targets import class_name


@dataclass(frozen=True)
class Label:
    """What an image is labelled as.

    Attributes:
        text: as it came, or the name of the class that it means; None if there is none.
        index: of that class; None if it means none of the model's.
    """

    text: str | None
    index: int | None


@dataclass(frozen=True)
class LabelReader:
    """Gives the class that a label means: by its name, one of its synonyms, either written_so, or its index.

    Attributes:
        count: how many classes the model has.
        names: of these; None if they are not known.
    """

    count: int
    names: Sequence[str] | None

    def read(self, text: str | None) -> Label:
        """The label of one image.

        Args:
            text: as it came; None if there is none.
        """
        index = None if text is None else self._index(text.casefold())
        return Label(text if index is None else class_name(index, self.names), index)

    def _index(self, text: str) -> int | None:
        for way in (text, text.replace("_", " ")):
            if way in self._known:
                return self._known[way]
        return int(text) if text.isdecimal() and int(text) < self.count else None

    @cached_property
    def _known(self) -> Mapping[str, int]:
        """The class of every name; of synonyms, such as those of `tabby, tabby cat`, those that one class has."""
        names = [name.casefold() for name in self.names or ()]
        found: dict[str, int] = {}
        twice = set()
        for index, name in enumerate(names):
            for synonym in {one.strip() for one in name.split(",")}:
                if found.setdefault(synonym, index) != index:
                    twice.add(synonym)
        return {
            **{name: index for name, index in found.items() if name not in twice},
            **dict(zip(names, range(len(names)), strict=True)),
        }
