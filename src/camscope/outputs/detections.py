"""What a detector found: every candidate, before it leaves out what is unlikely or overlaps."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from array_api_compat import array_namespace, device
from einops import rearrange
from jaxtyping import Bool, Float, Int

from camscope.arrays import Array, detached, from_numpy
from camscope.outputs.boxes import Frames, areas, overlaps, sides
from camscope.outputs.logits import Of, Outputs, Task
from camscope.outputs.predictions import Predictions

ABSENT = -1e4
"""The logit that stands for an absent candidate: a probability of zero, yet finite."""

SAME_BOX = 0.99
"""From this intersection over union on, a given box counts as the candidate's own box."""

MATCHES = 0.5
"""From this intersection over union on, a given box counts as drawn around the same object."""

_ROUNDING = 1e-4

Again: TypeAlias = (
    "Callable[[Float[np.ndarray, 'row 4'], Int[np.ndarray, 'row']], Float[Array, 'row output']]"
)
"""Scores proposals again: from boxes (x0, y0, x1, y1, in shares of the input's size) and each one's image number to
the logits of what is in them."""


@dataclass(frozen=True, eq=False)
class Detections(Predictions):
    """All that a detector considers, before it leaves out what is unlikely or overlaps (non-maximum suppression).

    Attributes:
        logits: of each candidate. Its outputs are the classes, and one for the background where the model has that.
        boxes: x0, y0, x1, y1 in pixels of the model's input; a candidate has one for each output, or one for all.
        size: (height, width) of the model's input.
        task: what the logits mean: `multiclass` (softmax over the outputs) or `multilabel`.
        background: the output that stands for no object, the first or the last one; None if there is none. The first
            stays class 0 by number, which is never detected; the last is no class.
        present: which rows hold a candidate, where images have different numbers of them; None if all do.
        centerness: the factor that FCOS weighs a candidate's probabilities with: it ranks by the geometric mean of
            both. None for other detectors.
        fpn_levels: which level of the feature pyramid each candidate comes from; None if there is no pyramid.
        overlap: the intersection over union above which the less likely of two instances of a class is left out.
        fixed: whether the n-th candidate is the same one for every input: an anchor, a query.
        proposals: the box that the model's first stage proposed for each candidate, in shares of the input's size.
            None where candidates are fixed, or cannot be scored again.
        again: scores proposals in the features that the model made of this input. None where `proposals` is.
        padded: the share of the layers' grids that the input takes along each axis, where the model pads it; None
            where it does not.
        frames: where the photos lie in the input, in whose pixels boxes are written; None where they are written in
            pixels of the input.
        numbers: of the images in the batch that they are part of, for messages; None for all of a batch.
    """

    logits: Float[Array, "batch candidate output"]
    boxes: Float[Array, "batch candidate #output 4"]
    size: tuple[int, int]
    task: Task
    background: int | None = None
    present: Bool[Array, "batch candidate"] | None = None
    centerness: Float[Array, "batch candidate"] | None = None
    fpn_levels: Int[np.ndarray, "batch candidate"] | None = None
    overlap: float = 1.0
    fixed: bool = True
    proposals: Float[np.ndarray, "batch candidate 4"] | None = None
    again: Again | None = None
    padded: tuple[float, ...] | None = None
    frames: Frames | None = None
    numbers: Int[np.ndarray, " batch"] | None = None

    @property
    def covered(self) -> tuple[float, ...] | None:
        """The share of the layers' grids that the input takes along each axis; None where nothing is padded."""
        return self.padded

    @functools.cached_property
    def scores(self) -> Float[Array, "batch class"]:
        """The score of each class: the logit of its best candidate."""
        return self._best(self.logits, ABSENT)

    @functools.cached_property
    def probabilities(self) -> Float[Array, "batch class"]:
        """The probability of each class: that of its best candidate."""
        return self._best(self.of("probability"), 0.0)

    @property
    def classes(self) -> int:
        """How many classes there are."""
        count: int = self.logits.shape[2]
        return count - (self.background is not None and self.background != 0)

    @functools.cached_property
    def confidence(self) -> Float[Array, "batch candidate output"]:
        """What the model ranks by; 0 for the background, for an absent candidate, and for a box without area."""
        found = detached(self.of("probability"))
        xp = array_namespace(found)
        if self.centerness is not None:
            found = xp.sqrt(found * self.centerness[..., None])
        zero = xp.zeros_like(found)
        found = xp.where(areas(self.boxes) > 0, found, zero)
        return found if self._real is None else xp.where(self._real, found, zero)

    def of(self, score: Of) -> Float[Array, "batch candidate output"]:
        """The scores of one kind."""
        if score == "logit":
            return self.logits
        rows = Outputs(rearrange(self.logits, "b n c -> (b n) c"), self.task).of(score)
        return array_namespace(rows).reshape(rows, self.logits.shape)

    def fpn_levels_of(self, classes: Int[np.ndarray, " batch"]) -> Int[np.ndarray, " batch"] | None:
        """The FPN level that each image's class has its best candidate at; None if there is no pyramid."""
        if self.fpn_levels is None:
            return None
        values = self._kept(self.logits, ABSENT)
        xp = array_namespace(values)
        best = [int(xp.argmax(row[:, c])) for row, c in zip(values, classes.tolist(), strict=True)]
        return self.fpn_levels[np.arange(len(classes)), best]

    def images(self, index: Int[np.ndarray, " image"] | slice) -> Detections:
        """The detections of these images only."""
        numbers = np.arange(self.logits.shape[0])[index]
        again = self.again
        parts: dict[str, Any] = {
            name: None if (value := getattr(self, name)) is None else value[index]
            for name in ("logits", "boxes", "present", "centerness", "fpn_levels", "proposals")
        }
        for_these: Any = None if again is None else lambda boxes, rows: again(boxes, numbers[rows])
        frames = None if self.frames is None else self.frames.images(index)
        known = numbers if self.numbers is None else self.numbers[index]
        return replace(self, **parts, again=for_these, frames=frames, numbers=known)

    def number(self, image: int) -> int:
        """The number of an image in the batch that it was given in."""
        return image if self.numbers is None else int(self.numbers[image])

    def on_photos(self, frames: Frames) -> Detections:
        """The same, with boxes written in pixels of the photos."""
        return replace(self, frames=frames)

    def on_input(self, image: int, box: Sequence[float]) -> tuple[float, ...]:
        """A box as it is written, in pixels of the model's input."""
        return tuple(box) if self.frames is None else self.frames.on_input(image, box)

    def as_written(self, image: int, box: Sequence[float]) -> tuple[float, ...]:
        """A box in pixels of the model's input, as it is written."""
        return tuple(box) if self.frames is None else self.frames.on_photo(image, box)

    def picture_size(self, image: int) -> tuple[int, int]:
        """The (width, height) of what boxes are written on: an image's photo, or the model's input."""
        height, width = self.size
        if self.frames is None:
            return width, height
        across, down = self.frames.sizes[image].tolist()
        return across, down

    def ranked(self, image: int, count: int) -> list[tuple[int, int]]:
        """The candidate and output of each detection of an image, most likely first, after non-maximum suppression."""
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
            gone = overlaps(boxes, boxes[candidate]) > self.overlap
            own = xp.arange(boxes.shape[0], device=device(boxes)) == candidate
            column = xp.arange(confidence.shape[1], device=device(boxes)) == output
            confidence = xp.where((gone | own)[:, None] & column, xp.zeros_like(confidence), confidence)
        return found

    def at(
        self, image: int, box: Sequence[float], output: int | None
    ) -> tuple[tuple[int, int] | None, float]:
        """The candidate and output that a box means, or None, and the highest intersection over union of any.

        A box that is a candidate's own means that candidate (the most likely one, if several have that box). A box
        drawn by hand means the candidate with the largest overlap × score, among those that overlap by half.

        Args:
            image: the number of the image in the batch.
            box: x0, y0, x1, y1 in pixels of the model's input.
            output: look among the candidates for this output only; None looks among all.
        """
        confidence = self.confidence[image]
        xp = array_namespace(confidence)
        drawn = from_numpy(np.asarray(box, dtype=np.float64), like=self.boxes)
        overlap = xp.where(confidence > 0, overlaps(self.boxes[image], drawn), xp.zeros_like(confidence))
        if output is not None:
            column = xp.arange(confidence.shape[1], device=device(confidence)) == output
            overlap = xp.where(column, overlap, xp.zeros_like(overlap))
        best = float(xp.max(overlap))
        if best < MATCHES:
            return None, best
        if best >= SAME_BOX:
            values = xp.where(overlap >= SAME_BOX, confidence, xp.zeros_like(confidence))
        else:
            values = xp.where(overlap >= MATCHES, confidence * overlap, xp.zeros_like(confidence))
        candidate, found = divmod(int(xp.argmax(values)), confidence.shape[1])
        return (candidate, found), best

    def box(self, image: int, candidate: int, output: int) -> tuple[float, float, float, float]:
        """A candidate's box: x0, y0, x1, y1 in pixels of the model's input.

        Args:
            image: the number of the image in the batch.
            candidate: its number among the image's candidates.
            output: the output whose box it is, where each output has a box of its own.
        """
        x0, y0, x1, y1 = (float(side) for side in self._boxes(image, output)[candidate])
        return x0, y0, x1, y1

    def closest(self, image: int, output: int, box: Float[np.ndarray, " side"], first: int) -> int:
        """The candidate whose box for an output overlaps most with a given box.

        Args:
            image: the number of the image in the batch.
            output: the output whose boxes are compared.
            box: x0, y0, x1, y1 in shares of the input's size.
            first: the candidate to take if none overlaps more than it does.
        """
        boxes = self._boxes(image, output)
        shared = overlaps(boxes, from_numpy(box * sides(self.size), like=boxes))
        xp = array_namespace(boxes)
        same = first < boxes.shape[0] and float(shared[first]) >= float(xp.max(shared)) - _ROUNDING
        return first if same else int(xp.argmax(shared))

    def _boxes(self, image: int, output: int) -> Float[Array, "candidate 4"]:
        shared = self.boxes.shape[2] == 1
        boxes: Array = self.boxes[image, :, 0 if shared else output]
        return boxes

    @functools.cached_property
    def _real(self) -> Bool[Array, "#batch #candidate output"] | None:
        """Which outputs of which candidates stand for an object; None if all do."""
        xp = array_namespace(self.logits)
        if self.background is None:
            return (
                None if self.present is None else xp.broadcast_to(self.present[..., None], self.logits.shape)
            )
        outputs = xp.arange(self.logits.shape[2], device=device(self.logits))
        classes = outputs != self.background % self.logits.shape[2]
        return classes[None, None] if self.present is None else self.present[..., None] & classes

    def _kept(self, values: Array, otherwise: float) -> Float[Array, "batch candidate output"]:
        if self._real is None:
            return values
        xp = array_namespace(values)
        return xp.where(self._real, values, xp.full_like(values, otherwise))

    def _best(self, values: Array, otherwise: float) -> Float[Array, "batch class"]:
        best: Array = array_namespace(values).max(self._kept(values, otherwise), axis=1)
        return best[:, : self.classes]
