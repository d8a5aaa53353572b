"""Targets of detectors: one instance among what was found."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias, cast

import numpy as np
from array_api_compat import array_namespace, device
from einops import rearrange
from jaxtyping import Bool, Float, Int

from camscope.arrays import Array, from_numpy
from camscope.errors import TargetError
from camscope.targets.names import class_index
from camscope.targets.outputs import Of, Outputs, Task, check_of, detached
from camscope.targets.structure import OutputScore, Structure, StructuredTarget
from camscope.targets.table import class_name

ABSENT = -1e4
"""The logit of what is no candidate: nothing, but finite."""

_SAME = 0.99
"""Intersection over union from which on a box is the candidate's own."""

_MATCHES = 0.5
"""And from which on it is about the same thing."""

_ROUNDING = 1e-4

_LISTED = 3

Again: TypeAlias = (
    "Callable[[Float[np.ndarray, 'row 4'], Int[np.ndarray, 'row']], Float[Array, 'row output']]"
)
"""From proposals (in shares of the input's size) and the images they are of to the logits of what is in them."""


@dataclass(frozen=True, eq=False)
class Detections(Structure):
    """All that a detector considers, before it leaves out what is unlikely or overlaps (non-maximum suppression).

    Attributes:
        logits: of each candidate. Outputs are the classes, and one for nothing where the model has that.
        boxes: x0, y0, x1, y1 in pixels of the model's input; one for each output, or one for all.
        size: (height, width) of the model's input.
        task: what the logits mean: `multiclass` (softmax over the outputs) or `multilabel`.
        nothing: the output that stands for no object, the first or the last one; None if there is none. The first
            stays class 0 by number, which is never detected; the last is no class.
        present: which candidates there are, where images have different numbers of them.
        quality: what the model weighs a candidate's probabilities with when it ranks (FCOS's centre-ness); the score is
            then the geometric mean of both.
        levels: which level of the pyramid each candidate comes from; None where there is no such thing.
        overlap: the intersection over union above which the less likely of two instances of a class is left out.
        fixed: whether the n-th candidate is the same one for every input: an anchor, a query.
        proposals: where each candidate was looked for, in shares of the input's size; and `again`, which looks there
            in what the model made of this input. None where candidates are fixed, or cannot be looked for again.
        padded: how much of the layers' grids the input takes along each axis; None for all.
    """

    logits: Float[Array, "batch candidate output"]
    boxes: Float[Array, "batch candidate #output 4"]
    size: tuple[int, int]
    task: Task
    nothing: int | None = None
    present: Bool[Array, "batch candidate"] | None = None
    quality: Float[Array, "batch candidate"] | None = None
    levels: Int[np.ndarray, "batch candidate"] | None = None
    overlap: float = 1.0
    fixed: bool = True
    proposals: Float[np.ndarray, "batch candidate 4"] | None = None
    again: Again | None = None
    padded: tuple[float, ...] | None = None

    @property
    def covered(self) -> tuple[float, ...] | None:
        """How much of the layers' grids the input takes."""
        return self.padded

    @property
    def default(self) -> Instance:
        """The detection with the highest score."""
        return Instance()

    @functools.cached_property
    def scores(self) -> Float[Array, "batch class"]:
        """One per class: the logit of its best candidate."""
        return self._best(self.logits, ABSENT)

    @functools.cached_property
    def probabilities(self) -> Float[Array, "batch class"]:
        """One per class: the probability of its best candidate."""
        return self._best(self.of("probability"), 0.0)

    @property
    def classes(self) -> int:
        """How many classes there are."""
        count: int = self.logits.shape[2]
        return count - (self.nothing is not None and self.nothing != 0)

    @functools.cached_property
    def confidence(self) -> Float[Array, "batch candidate output"]:
        """What the model ranks by; 0 for nothing, for no candidate, and for a box without area."""
        found = detached(self.of("probability"))
        xp = array_namespace(found)
        if self.quality is not None:
            found = xp.sqrt(found * self.quality[..., None])
        zero = xp.zeros_like(found)
        found = xp.where(_areas(self.boxes) > 0, found, zero)
        return found if self._real is None else xp.where(self._real, found, zero)

    def of(self, score: Of) -> Float[Array, "batch candidate output"]:
        """The scores of one kind."""
        if score == "logit":
            return self.logits
        rows = Outputs(rearrange(self.logits, "b n c -> (b n) c"), self.task).of(score)
        return array_namespace(rows).reshape(rows, self.logits.shape)

    def levels_of(self, classes: Int[np.ndarray, batch]) -> Int[np.ndarray, batch] | None:
        """The level that each image's class has its best candidate at."""
        if self.levels is None:
            return None
        values = self._kept(self.logits, ABSENT)
        xp = array_namespace(values)
        best = [int(xp.argmax(row[:, c])) for row, c in zip(values, classes.tolist(), strict=True)]
        return self.levels[np.arange(len(classes)), best]

    def images(self, index: Int[np.ndarray, image] | slice) -> Detections:
        """The same for these images."""
        numbers = np.arange(self.logits.shape[0])[index]
        again = self.again
        parts: dict[str, Any] = {
            name: None if (value := getattr(self, name)) is None else value[index]
            for name in ("logits", "boxes", "present", "quality", "levels", "proposals")
        }
        looked: Any = None if again is None else lambda boxes, rows: again(boxes, numbers[rows])
        return replace(self, **parts, again=looked)

    def ranked(self, image: int, count: int) -> list[tuple[int, int]]:
        """The detections of an image, most likely first: candidate and output of each, no two overlapping too much."""
        confidence = self.confidence[image]
        xp = array_namespace(confidence)
        found: list[tuple[int, int]] = []
        while len(found) < count:
            place = int(xp.argmax(confidence))
            candidate, output = divmod(place, confidence.shape[1])
            if not float(confidence[candidate, output]) > 0:
                break
            found.append((candidate, output))
            boxes = self._boxes(image, output)
            gone = _overlaps(boxes, boxes[candidate]) > self.overlap
            own = xp.arange(boxes.shape[0], device=device(boxes)) == candidate
            column = xp.arange(confidence.shape[1], device=device(boxes)) == output
            confidence = xp.where((gone | own)[:, None] & column, xp.zeros_like(confidence), confidence)
        return found

    def at(
        self, image: int, box: Sequence[float], output: int | None
    ) -> tuple[tuple[int, int] | None, float]:
        """The candidate (and output) that a box is about, if any, and the best intersection over union there is.

        A box that is a candidate's own is that candidate, the most likely of them. Of a box drawn by hand it is the
        one with the largest overlap × score, of those that overlap by half.
        """
        confidence = self.confidence[image]
        xp = array_namespace(confidence)
        drawn = from_numpy(np.asarray(box, dtype=np.float64), like=self.boxes)
        overlap = xp.where(confidence > 0, _overlaps(self.boxes[image], drawn), xp.zeros_like(confidence))
        if output is not None:
            column = xp.arange(confidence.shape[1], device=device(confidence)) == output
            overlap = xp.where(column, overlap, xp.zeros_like(overlap))
        best = float(xp.max(overlap))
        if best < _MATCHES:
            return None, best
        if best >= _SAME:
            values = xp.where(overlap >= _SAME, confidence, xp.zeros_like(confidence))
        else:
            values = xp.where(overlap >= _MATCHES, confidence * overlap, xp.zeros_like(confidence))
        candidate, found = divmod(int(xp.argmax(values)), confidence.shape[1])
        return (candidate, found), best

    def box(self, image: int, candidate: int, output: int) -> tuple[float, float, float, float]:
        """A candidate's box."""
        x0, y0, x1, y1 = (float(side) for side in self._boxes(image, output)[candidate])
        return x0, y0, x1, y1

    def closest(self, image: int, output: int, box: Float[np.ndarray, side], first: int) -> int:
        """The candidate whose box for an output is closest to one (in shares of the input's size).

        Args:
            image: of the batch.
            output: of the model.
            box: in shares of the input's size.
            first: the candidate to take if none is closer.
        """
        boxes = self._boxes(image, output)
        overlaps = _overlaps(boxes, from_numpy(box * _scale(self.size), like=boxes))
        xp = array_namespace(boxes)
        same = first < boxes.shape[0] and float(overlaps[first]) >= float(xp.max(overlaps)) - _ROUNDING
        return first if same else int(xp.argmax(overlaps))

    def _boxes(self, image: int, output: int) -> Float[Array, "candidate 4"]:
        shared = self.boxes.shape[2] == 1
        boxes: Array = self.boxes[image, :, 0 if shared else output]
        return boxes

    @functools.cached_property
    def _real(self) -> Bool[Array, "#batch #candidate output"] | None:
        """Which candidates and outputs are an instance of a class."""
        xp = array_namespace(self.logits)
        if self.nothing is None:
            return (
                None if self.present is None else xp.broadcast_to(self.present[..., None], self.logits.shape)
            )
        outputs = xp.arange(self.logits.shape[2], device=device(self.logits))
        classes = outputs != self.nothing % self.logits.shape[2]
        return classes[None, None] if self.present is None else self.present[..., None] & classes

    def _kept(self, values: Array, otherwise: float) -> Float[Array, "batch candidate output"]:
        if self._real is None:
            return values
        xp = array_namespace(values)
        return xp.where(self._real, values, xp.full_like(values, otherwise))

    def _best(self, values: Array, otherwise: float) -> Float[Array, "batch class"]:
        best: Array = array_namespace(values).max(self._kept(values, otherwise), axis=1)
        return best[:, : self.classes]


@dataclass(frozen=True, eq=False)
class Instance(StructuredTarget):
    """The class score of one detection, before the model leaves out what overlaps, so that it has a gradient.

    ODAM (Zhao & Chan, ICLR 2023, arXiv:2304.06354) is HiResCAM of it, at the level of the pyramid that the detection
    comes from.

    However the input or the activations are altered, it stays the same candidate: the same anchor or query, or in a
    model of two stages what the second makes of the same proposal. Where candidates have no such identity it is the one
    whose box is closest to the original's.

    Attributes:
        box: x0, y0, x1, y1 in pixels of the model's input: a detection's own box, or one drawn around it; or the number
            of the detection, 0 the most likely one of each image.
        which: its class, by index or name; None takes what the detection is most likely to be. With a number, the
            number among the detections of that class.
        of: which score.
        sign: −1 for evidence against.

    Raises:
        TargetError: if `box` is neither.
    """

    box: int | Sequence[float] = 0
    which: int | str | None = None
    of: Of = "logit"
    sign: int = 1

    def __post_init__(self) -> None:
        check_of(self.of)
        if isinstance(self.box, (int, np.integer)) and not isinstance(self.box, bool):
            if self.box < 0:
                raise TargetError(
                    f"Instance({self.box}): detections are numbered from 0, the most likely one."
                )
            return
        values: Any = self.box.tolist() if hasattr(self.box, "tolist") else self.box
        numbers = isinstance(values, (list, tuple)) and all(isinstance(v, (int, float)) for v in values)
        if not numbers or len(values) != 4 or not all(math.isfinite(v) for v in values):
            raise TargetError(
                f"Instance({self.box!r}): expected a box (x0, y0, x1, y1) in pixels of the model's input, or the "
                "number of a detection. Different boxes for the images of a batch: PerImage([Instance(…), …])."
            )
        if values[0] >= values[2] or values[1] >= values[3]:
            raise TargetError(
                f"The box {tuple(values)} has no area: it is (x0, y0, x1, y1), left, top, right, bottom."
            )
        object.__setattr__(self, "box", tuple(float(v) for v in values))

    def __neg__(self) -> Instance:
        return replace(self, sign=-self.sign)

    def score(self, outputs: Outputs, class_names: Sequence[str] | None) -> InstanceScore:
        """Find it in the outputs of a batch.

        Raises:
            TargetError: if the model is no detector, there is no such class, or no detection is there.
        """
        found = outputs.structure
        if not isinstance(found, Detections):
            raise TargetError(
                "An Instance is for detectors; this model puts out scores of shape "
                f"{tuple(outputs.logits.shape)} and no boxes that are known here."
            )
        output = None if self.which is None else class_index(self.which, found.classes, class_names)
        batch = found.logits.shape[0]
        chosen = [self._chosen(found, b, output, class_names) for b in range(batch)]
        candidates = np.asarray([candidate for candidate, _ in chosen])
        classes = np.asarray([c for _, c in chosen])
        boxes = [found.box(b, int(n), int(c)) for b, (n, c) in enumerate(chosen)]
        kind = "" if self.of == "logit" else f"{self.of} of "
        rows = np.arange(batch)
        return InstanceScore(
            candidates=candidates,
            outputs=classes,
            boxes=np.asarray(boxes) / _scale(found.size),
            proposals=None if found.proposals is None else found.proposals[rows, candidates],
            levels_found=None if found.levels is None else found.levels[rows, candidates],
            among=found.logits.shape[1],
            of=self.of,
            words=tuple(
                f"{kind}{class_name(int(c), class_names)} at {_rounded(box)}"
                for c, box in zip(classes, boxes, strict=True)
            ),
        )

    def _chosen(
        self, found: Detections, image: int, output: int | None, class_names: Sequence[str] | None
    ) -> tuple[int, int]:
        if isinstance(self.box, (int, np.integer)):
            of_class = found if output is None else _only(found, output)
            ranked = of_class.ranked(image, int(self.box) + 1)
            if len(ranked) <= self.box:
                raise TargetError(
                    f"There is no detection {self.box} in image {image}: it has {len(ranked)}, numbered from 0."
                )
            return ranked[-1]
        chosen, best = found.at(image, self.box, output)
        if chosen is None:
            near = _nearest(found, image, self.box, class_names)
            of_what = f" of {class_name(output, class_names)}" if output is not None else ""
            raise TargetError(
                f"The box {_rounded(self.box)} matches no detection{of_what} in image {image}: the best intersection "
                f"over union is {best:.2f}, at least {_MATCHES} is needed. The input is {found.size[1]} wide and "
                f"{found.size[0]} high; the nearest detections are {near}."
            )
        return chosen


@dataclass(frozen=True, eq=False)
class InstanceScore(OutputScore):
    """The class score of one candidate of each image.

    Attributes:
        candidates: their numbers in the clean outputs.
        outputs: whose score.
        boxes: in shares of the input's size.
        proposals: where they were looked for, likewise; None where candidates are no proposals'.
        levels_found: the levels of the pyramid they come from.
        among: how many candidates there were.
        of: which score.
        words: the class and the box.
    """

    candidates: Int[np.ndarray, batch]
    outputs: Int[np.ndarray, batch]
    boxes: Float[np.ndarray, "batch 4"]
    proposals: Float[np.ndarray, "batch 4"] | None
    levels_found: Int[np.ndarray, batch] | None
    among: int
    of: Of
    words: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The class and the box in words."""
        return self.words

    @property
    def outlines(self) -> Float[np.ndarray, "batch 4"]:
        """The boxes."""
        return self.boxes

    @property
    def kind(self) -> Hashable:
        """Of one kind of score."""
        return type(self), self.of

    @property
    def placed(self) -> bool:
        """A box always is at one place."""
        return True

    @property
    def levels(self) -> Int[np.ndarray, batch] | None:
        """The level of the pyramid each comes from."""
        return self.levels_found

    def __call__(self, outputs: Outputs) -> Float[Array, batch]:
        """Each image's score."""
        found = cast(Detections, outputs.structure)
        logits = self._logits(found)
        scores = Outputs(logits, found.task).of(self.of)
        xp = array_namespace(scores)
        index = xp.asarray(self.outputs, device=device(scores))[:, None]
        return xp.take_along_axis(scores, index, axis=1)[:, 0]

    def images(self, index: Int[np.ndarray, image]) -> Self:
        """The same for these images."""
        parts: dict[str, Any] = {
            name: None if (value := getattr(self, name)) is None else value[index]
            for name in ("candidates", "outputs", "boxes", "proposals", "levels_found")
        }
        return replace(self, **parts, words=tuple(self.words[i] for i in index.tolist()))

    @classmethod
    def stacked(cls, rows: Sequence[Self]) -> Self:
        """One score for the images of all."""
        first = rows[0]
        parts: dict[str, Any] = {
            name: None
            if getattr(first, name) is None
            else np.concatenate([getattr(row, name) for row in rows])
            for name in ("candidates", "outputs", "boxes", "proposals", "levels_found")
        }
        return replace(first, **parts, words=tuple(words for row in rows for words in row.words))

    def _logits(self, found: Detections) -> Float[Array, "batch output"]:
        """Of the same candidate, in these outputs."""
        batch, count, outputs = found.logits.shape
        rows = np.arange(batch)
        candidates = self.candidates
        if self.proposals is not None and found.proposals is not None:
            inside = (candidates < count).all()
            if not (inside and np.array_equal(found.proposals[rows, candidates], self.proposals)):
                assert found.again is not None
                return found.again(self.proposals, rows)
        elif not found.fixed or count != self.among:
            each = zip(self.outputs.tolist(), self.boxes, self.candidates.tolist(), strict=True)
            candidates = np.asarray([found.closest(b, *its) for b, its in enumerate(each)])
        xp = array_namespace(found.logits)
        index = xp.asarray(candidates, device=device(found.logits))[:, None, None]
        return xp.take_along_axis(found.logits, xp.broadcast_to(index, (batch, 1, outputs)), axis=1)[:, 0]


def _only(found: Detections, output: int) -> Detections:
    """The detections of one class: all others are nothing."""
    narrowed = replace(found)
    xp = array_namespace(found.confidence)
    column = xp.arange(found.confidence.shape[2], device=device(found.confidence)) == output
    narrowed.__dict__["confidence"] = xp.where(column, found.confidence, xp.zeros_like(found.confidence))
    return narrowed


def _nearest(found: Detections, image: int, box: Sequence[float], class_names: Sequence[str] | None) -> str:
    """The likely detections whose centre is closest, in words."""

    def away(place: tuple[int, int]) -> float:
        other = found.box(image, *place)
        return math.hypot(*(other[i] + other[i + 2] - box[i] - box[i + 2] for i in (0, 1)))

    near = sorted(found.ranked(image, 20), key=away)[:_LISTED]
    words = [
        f"{class_name(c, class_names)} at {_rounded(found.box(image, n, c))} "
        f"({float(found.confidence[image, n, c]):.1%})"
        for n, c in near
    ]
    return ", ".join(words) or "none"


def _rounded(box: Sequence[float]) -> str:
    return f"({', '.join(f'{side:.0f}' for side in box)})"


def _scale(size: tuple[int, int]) -> Float[np.ndarray, 4]:
    return np.asarray([size[1], size[0], size[1], size[0]], dtype=np.float64)


def _areas(boxes: Float[Array, "*others 4"]) -> Float[Array, "*others"]:
    xp = array_namespace(boxes)
    sides = xp.clip(boxes[..., 2:] - boxes[..., :2], 0, None)
    return sides[..., 0] * sides[..., 1]


def _overlaps(boxes: Float[Array, "*others 4"], box: Float[Array, 4]) -> Float[Array, "*others"]:
    """Intersection over union."""
    xp = array_namespace(boxes)
    low, high = xp.maximum(boxes[..., :2], box[:2]), xp.minimum(boxes[..., 2:], box[2:])
    sides = xp.clip(high - low, 0, None)
    shared = sides[..., 0] * sides[..., 1]
    union = _areas(boxes) + _areas(box) - shared
    return xp.where(
        union > 0, shared / xp.where(union > 0, union, xp.ones_like(union)), xp.zeros_like(shared)
    )
