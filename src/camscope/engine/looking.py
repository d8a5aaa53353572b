"""What a model says of a set of photos: the class of each, whether it is right, and which half it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from jaxtyping import Bool, Float, Int

from camscope.arrays import to_numpy
from camscope.engine.judging import class_indices
from camscope.engine.photo_set import PhotoSet
from camscope.errors import InputError, ModelError, TargetError, either
from camscope.images import Preprocessing
from camscope.inputs import Inputs
from camscope.methods import list_methods
from camscope.metrics.explains import Explains
from camscope.targets import TargetsLike
from camscope.trust import Judgement
from camscope.trust.halves import first_half
from camscope.trust.mosaics import usual_scores

FOLDERS = "folders"
"""The word that stands, in place of labels, for the names of the folders that photos lie in."""


class Chooses(Explains, Protocol):
    """What is asked of an explainer; see `camscope.Explainer`."""

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How photos become the model's input."""
        ...

    @property
    def keeps_sizes(self) -> bool:
        """Whether photos keep their own sizes."""
        ...

    @property
    def detects(self) -> bool:
        """Whether the model detects instances."""
        ...

    @property
    def reads_texts(self) -> bool:
        """Whether the model reads texts."""
        ...

    @property
    def hears_sounds(self) -> bool:
        """Whether the model takes sounds."""
        ...

    def trust(
        self,
        inputs: Any,
        *,
        methods: Any = None,
        layers: Any = None,
        targets: TargetsLike = None,
        checks: str | Sequence[str] = "",
        probes: int | None = None,
        seed: int = 0,
    ) -> Judgement:
        """Judge maps; see `camscope.Explainer.trust`.

        Args:
            inputs: see there, and so all others.
            methods: see there.
            layers: see there.
            targets: see there.
            checks: see there.
            probes: see there.
            seed: see there.
        """
        ...

    def prepare(self, inputs: Any, *, explained_input: int | str | None = None) -> Inputs:
        """Read and prepare inputs."""
        ...


@dataclass(frozen=True)
class Looked:
    """What the model says of the photos that can be read.

    Attributes:
        numbers: of these photos, of which each is there once.
        classes: the top class of each.
        confidence: its probability.
        usable: whether it may stand in a mosaic: rightly classified, as far as that is known.
        groups: of each; None for none.
        first: whether it is of the first half.
        usual: what each class scores in a photo of another one; see `camscope.trust.mosaics.usual_scores`.
        names: of all classes; None if they are not known.
        notes: what a reader must know.
    """

    numbers: Int[np.ndarray, " n"]
    classes: Int[np.ndarray, " n"]
    confidence: Float[np.ndarray, " n"]
    usable: Bool[np.ndarray, " n"]
    groups: tuple[Any, ...] | None
    first: Bool[np.ndarray, " n"]
    usual: Float[np.ndarray, " class"]
    names: Sequence[str] | None
    notes: tuple[str, ...]

    def half(self, second: bool) -> Int[np.ndarray, " image"]:
        """Which of them are of the first or of the second half."""
        return np.flatnonzero(self.first != second)

    @property
    def groups_of_first(self) -> int:
        """How many groups the first half has."""
        return len({self.groups[i] for i in self.half(second=False)}) if self.groups else 0


def check_model(explainer: Chooses) -> None:
    """Refuse a model that mosaics of photos say nothing of.

    Raises:
        ModelError: saying why.
    """
    what = (
        "reads texts"
        if explainer.reads_texts
        else "takes sounds"
        if explainer.hears_sounds
        else "detects instances"
        if explainer.detects
        else "takes photos at sizes of their own, so that they make no mosaic"
        if explainer.keeps_sizes
        else ""
    )
    if what:
        raise ModelError(
            f"Choosing is for classifiers of photos, and this model {what}. Compare its maps yourself: "
            "camscope.metrics has numbers about them, and explainer.trust judges single ones."
        )


def check_counts(photos: PhotoSet, labels: Any, groups: Sequence[Any] | None) -> None:
    """Refuse labels or groups that are not one for each photo, and groups that tell no photos apart.

    Args:
        photos: as they were given.
        labels: of each; or `FOLDERS`, or None.
        groups: of each; or None.

    Raises:
        InputError: saying both numbers.
    """
    for name, given in (("labels", labels), ("groups", groups)):
        if given is None or (name == "labels" and isinstance(given, str) and given == FOLDERS):
            continue
        if isinstance(given, str) or not hasattr(given, "__len__"):
            more = (
                f", or {FOLDERS!r} for the names of the folders that they lie in" if name == "labels" else ""
            )
            raise InputError(f"{name}={given!r}: expected one for each photo, in their order{more}.")
        if len(given) != len(photos):
            raise InputError(f"{len(given)} {name} for {len(photos)} photos: expected one for each.")
    for number, group in enumerate([] if groups is None else groups):
        if not isinstance(group, Hashable) or group is None or group != group:
            raise InputError(
                f"The group of {photos.name(number)} is {group!r}: expected what its photos share, such as the number "
                "or the name of a patient; a photo that belongs to none has one of its own."
            )


def look(
    explainer: Chooses,
    photos: PhotoSet,
    labels: Any,
    groups: Sequence[Any] | None,
    *,
    size: int,
    seed: int,
    advance: Callable[[int], None],
) -> Looked:
    """Run the model on all photos once.

    Args:
        explainer: of the model.
        photos: to be looked at.
        labels: of each photo a class index or name, `FOLDERS`, or None.
        groups: of each photo; None for none.
        size: photos that are held at a time.
        seed: of the split.
        advance: takes a bar further.

    Raises:
        ModelError: if the model gives no probabilities of classes.
        InputError: if none of the photos is rightly classified, or one half has none of them.
        TargetError: if a label is no class.
    """
    cheapest = next(m.name for m in list_methods() if m.baseline)
    numbers, logits, probabilities, names = [], [], [], None
    for some, inputs in photos.chunks(size):
        e = explainer(inputs, methods=cheapest)
        found = None if e.probabilities is None else np.asarray(to_numpy(e.probabilities), np.float64)
        if found is None or found.ndim != 2 or found.shape[1] < 2:
            raise ModelError(
                "This model gives no probabilities of classes, so no photo of its own is one of a class for certain. "
                "Compare its maps by camscope.metrics."
            )
        names = e.class_names
        numbers.append(some)
        probabilities.append(found.max(1))
        logits.append(np.asarray(to_numpy(e.logits), np.float32))
        advance(len(some))
    told, every = np.concatenate(numbers), np.concatenate(logits)
    classes = every.argmax(1)
    right, notes = _right(photos, told, classes, labels, every.shape[1], names)
    own = None if groups is None else tuple(groups[number] for number in told)
    first = first_half(classes, own, seed=seed)
    if first.all() or not first.any():
        of = f"the {len(told)} photos are all of one group" if len(told) > 1 else "there is one photo"
        raise InputError(
            f"A choice is made on one half of the photos and tested on the other, and {of}: nothing is left for the "
            "other half. At least 50 photos are needed for anything to be claimed."
        )
    return Looked(
        numbers=told,
        classes=classes,
        confidence=np.concatenate(probabilities),
        usable=right,
        groups=own,
        first=first,
        usual=usual_scores(every, classes),
        names=names,
        notes=(*_of_copies(photos), *notes),
    )


def _of_copies(photos: PhotoSet) -> tuple[str, ...]:
    """What is to be said of photos that are there more than once."""
    if not photos.again:
        return ()
    one, first = min(photos.again.items())
    count = len(photos.again)
    more = "photo is" if count == 1 else "photos are"
    return (
        f"{count} {more} left out, since the same pixels are there already, such as {photos.name(one)}, which is "
        f"{photos.name(first)}: in both halves they would be chosen and tested on.",
    )


def _right(
    photos: PhotoSet,
    numbers: Int[np.ndarray, " n"],
    classes: Int[np.ndarray, " n"],
    labels: Any,
    count: int,
    names: Sequence[str] | None,
) -> tuple[Bool[np.ndarray, " n"], tuple[str, ...]]:
    """Which photos are rightly classified, as far as that is known, and what is to be said of it."""
    everything = np.ones(len(numbers), bool)
    if labels is None:
        return everything, ("Whether photos are rightly classified is not known: there are no labels.",)
    own: list[Any]
    if isinstance(labels, str):
        own = [photos.folder(number) for number in numbers]
        try:
            indices = class_indices(own, count, names)
        except TargetError as error:
            return everything, (
                "The names of the folders were not taken for classes, so whether photos are rightly classified is not "
                f"known. {error}",
            )
    else:
        own = [labels[number] for number in numbers]
        indices = class_indices(own, count, names)
    right = np.array([bool(np.isin(top, index)) for top, index in zip(classes, indices, strict=True)])
    if not right.any():
        raise InputError(
            f"The model gets none of the {len(right)} photos right, by {either('labels=', '--labels')}: are these its "
            "classes, in its order? Without labels the classes that it sees are taken for true."
        )
    wrong = int((~right).sum())
    return right, (f"{wrong} photos that the model gets wrong stand in no mosaic.",) if wrong else ()
