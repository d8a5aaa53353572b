"""Labels as they come with the data, and the classes of a model that they mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from camscope.engine.over_batches import LABELS
from camscope.errors import TargetError, either, keyword, nearest
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
    """Gives the class that a label means: by its name, one of its synonyms, either written so, or its index.

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


def check_some_known(labels: Iterable[str | None], reader: LabelReader) -> None:
    """Refuse to explain images as what they are labelled as where none has a label that the model knows.

    Args:
        labels: of all images, as they came, as a stream, which is read until one is known.
        reader: gives the classes that they mean.

    Raises:
        TargetError: saying what labels there are, and what classes.
    """
    found: dict[str, None] = {}
    for label in labels:
        if reader.read(label).index is not None:
            return
        if label is not None and len(found) < _SHOWN:
            found[label] = None
    asked = keyword("targets", LABELS)
    if not found:
        raise TargetError(
            f"{asked} explains each image as what it is labelled as, and none has a label. Labels are the names of "
            f"folders below the one given, the column of a table that {keyword('labels', like='NAME')} says, or stand "
            f"behind a tab in a list. Without {either('targets', '--target')} the top class of each is explained."
        )
    listed = " and ".join(map(repr, found))
    if reader.names is None:
        classes = f"whose {reader.count} classes have no names"
    else:
        classes = f"which knows {', '.join(map(repr, reader.names[:_SHOWN]))}{' …' if reader.count > _SHOWN else ''}"
    near = nearest(next(iter(found)), reader.names or ())
    raise TargetError(
        f"{asked}: no label of these images is a class of the model, {classes}; the first labels: {listed}.{near} "
        f"{keyword('class_names', like='FILE')} names the classes, one a line in the order of the model's outputs; "
        f"without {either('targets', '--target')} the top class of each is explained."
    )


_SHOWN = 5
