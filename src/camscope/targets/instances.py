"""Targets of detectors: one instance among what was found."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Float, Int

from camscope.arrays import Array
from camscope.errors import TargetError
from camscope.outputs import MATCHES, Detections, Of, Outputs, check_of, sides
from camscope.targets.class_names import class_index, class_name
from camscope.targets.scores import OutputScore, scored
from camscope.targets.target import PredictionTarget, Target, written
from camscope.targets.words import read_words

_LISTED = 3

_SURELY = 0.8
"""From this intersection over union on, a box that was read in another way counts as meant so."""


@written
@dataclass(frozen=True, eq=False)
class Instance(PredictionTarget):
    """The class score of one detection, taken before non-maximum suppression, so that it has a gradient.

    ODAM (Zhao & Chan, ICLR 2023, arXiv:2304.06354) is HiResCAM of it, at the FPN level that the detection comes from.

    However the input or the activations are altered, the score stays that of the same candidate: the same anchor or
    query, or in a model of two stages the same proposal, scored again by the second stage. Where candidates have no
    such identity it is the candidate whose box overlaps most with the original's.

    Attributes:
        box: x0, y0, x1, y1 in pixels of the photo, or of the tensor that was given: a detection's own box, or one drawn
            around it. Or the number of a detection: 0 is the most likely one of each image.
        which: its class, by index or name; None takes the class that the detection most likely is. If `box` is a
            number, it counts the detections of this class only.
        of: which score.
        sign: −1 for evidence against.

    Raises:
        TargetError: if `box` is neither a box nor a number.

    Example:
        >>> camscope.Instance(0)  # the detection with the highest score: explain(detector, x, targets=…)
        Instance(box=0, which=None, of='logit', sign=1)
        >>> camscope.Instance((10, 20, 90, 80), "dog").which  # the dog that lies there
        'dog'
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
        if isinstance(values, (list, tuple)) and values and all(isinstance(v, (list, tuple)) for v in values):
            raise TargetError(
                f"Instance was given {len(values)} boxes, and takes one: targets=[Instance(box) for box in boxes] "
                "explains each; PerImage([Instance(…), …]) gives each image its own."
            )
        numbers = isinstance(values, (list, tuple)) and all(isinstance(v, (int, float)) for v in values)
        if not numbers or len(values) != 4 or not all(math.isfinite(v) for v in values):
            raise TargetError(
                f"Instance({self.box!r}): expected a box (x0, y0, x1, y1) in pixels of the photo or tensor, or the "
                "number of a detection. Different boxes for the images of a batch: PerImage([Instance(…), …])."
            )
        if values[0] >= values[2] or values[1] >= values[3]:
            raise TargetError(
                f"The box {tuple(values)} has no area: a box is (x0, y0, x1, y1), left, top, right, bottom. If yours "
                f"is x, y, width and height, it is {_rounded(_from_sizes(values))} here."
            )
        object.__setattr__(self, "box", tuple(float(v) for v in values))

    @property
    def class_names(self) -> Sequence[str]:
        """The class's name, if the class was given by name."""
        return (self.which,) if isinstance(self.which, str) else ()

    def score(self, outputs: Outputs, class_names: Sequence[str] | None) -> InstanceScore:
        """Find the detection in each image of a batch.

        Raises:
            TargetError: if the model is not a detector, has no such class, or found nothing that the box matches.
        """
        found = outputs.predictions
        if not isinstance(found, Detections):
            raise TargetError(
                "An Instance is for detectors; this model puts out scores of shape "
                f"{tuple(outputs.logits.shape)} and no boxes that camscope recognises."
            )
        output = None if self.which is None else class_index(self.which, found.classes, class_names)
        batch = found.logits.shape[0]
        chosen = [self._chosen(found, b, output, class_names) for b in range(batch)]
        candidates = np.asarray([candidate for candidate, _ in chosen])
        classes = np.asarray([c for _, c in chosen])
        boxes = [found.box(b, int(n), int(c)) for b, (n, c) in enumerate(chosen)]
        shown = [found.as_written(b, box) for b, box in enumerate(boxes)]
        rows = np.arange(batch)
        return InstanceScore(
            labels=tuple(
                f"{scored(self.of, class_name(int(c), class_names))} at {_rounded(box)}"
                for c, box in zip(classes, shown, strict=True)
            ),
            of=self.of,
            outlines=np.asarray(boxes) / sides(found.size),
            probabilities=np.asarray([float(found.confidence[b, n, c]) for b, (n, c) in enumerate(chosen)]),
            fpn_levels=None if found.fpn_levels is None else found.fpn_levels[rows, candidates],
            candidates=candidates,
            outputs=classes,
            proposals=None if found.proposals is None else found.proposals[rows, candidates],
            among=found.logits.shape[1],
        )

    @classmethod
    def read(cls, text: str, of: Of, sign: int, names: Set[str]) -> Target | None:
        """Read a text such as `instance`, `instance:1`, `instance:10,20,60,80`, `instance:dog` or `instance:dog:1`."""
        rest = read_words(text, "instance")
        if rest is None:
            return None
        box, which = _box_and_class(rest)
        return cls(box, which, of=of, sign=sign)

    def _chosen(
        self, found: Detections, image: int, output: int | None, class_names: Sequence[str] | None
    ) -> tuple[int, int]:
        if isinstance(self.box, (int, np.integer)):
            of_class = found if output is None else _only(found, output)
            ranked = of_class.ranked(image, int(self.box) + 1)
            if len(ranked) <= self.box:
                raise TargetError(
                    f"There is no detection {self.box} in image {found.number(image)}: it has {len(ranked)}, numbered "
                    "from 0."
                )
            return ranked[-1]
        chosen, best = found.at(image, found.on_input(image, self.box), output)
        if chosen is None:
            given = f"({', '.join(f'{side:g}' for side in self.box)})"
            near = _nearest(found, image, self.box, class_names)
            width, height = found.picture_size(image)
            what = "input" if found.frames is None else "photo"
            of_what = f" of {class_name(output, class_names)}" if output is not None else ""
            meant = _otherwise(found, image, self.box, output, class_names)
            raise TargetError(
                f"The box {given} matches no detection{of_what} in image {found.number(image)}: the best intersection "
                f"over union is {best:.2f}, at least {MATCHES} is needed. The {what} is {width} wide and "
                f"{height} high; the nearest detections are {near}.{meant}"
            )
        return chosen


@dataclass(frozen=True, eq=False, kw_only=True)
class InstanceScore(OutputScore):
    """The class score of one candidate of each image.

    Attributes:
        candidates: the candidate of each image, by its number in the outputs for the clean input.
        outputs: the output (class) whose score it is.
        proposals: the box that the first stage proposed for each candidate, in shares of the input's size; None for
            models without proposals.
        among: how many candidates each image had in the outputs for the clean input.
    """

    candidates: Int[np.ndarray, " batch"]
    outputs: Int[np.ndarray, " batch"]
    proposals: Float[np.ndarray, "batch 4"] | None
    among: int

    @property
    def placed(self) -> bool:
        """True: a box is always at one place of the input."""
        return True

    def __call__(self, outputs: Outputs) -> Float[Array, " batch"]:
        """Each image's score."""
        found = cast(Detections, outputs.predictions)
        logits = self._logits(found)
        scores = Outputs(logits, found.task).of(self.of)
        xp = array_namespace(scores)
        index = xp.asarray(self.outputs, device=device(scores))[:, None]
        return xp.take_along_axis(scores, index, axis=1)[:, 0]

    def _logits(self, found: Detections) -> Float[Array, "batch output"]:
        """The logits of the same candidate in other outputs, which may be those for an altered input."""
        batch, count, outputs = found.logits.shape
        rows = np.arange(batch)
        candidates = self.candidates
        if self.proposals is not None and found.proposals is not None:
            inside = (candidates < count).all()
            if not (inside and np.array_equal(found.proposals[rows, candidates], self.proposals)):
                assert found.again is not None
                return found.again(self.proposals, rows)
        elif not found.fixed or count != self.among:
            each = zip(
                self.outputs.tolist(), cast(np.ndarray, self.outlines), self.candidates.tolist(), strict=True
            )
            candidates = np.asarray([found.closest(b, *its) for b, its in enumerate(each)])
        xp = array_namespace(found.logits)
        index = xp.asarray(candidates, device=device(found.logits))[:, None, None]
        return xp.take_along_axis(found.logits, xp.broadcast_to(index, (batch, 1, outputs)), axis=1)[:, 0]


def _only(found: Detections, output: int) -> Detections:
    """The detections of one class: the confidence of all others is set to zero."""
    narrowed = replace(found)
    xp = array_namespace(found.confidence)
    column = xp.arange(found.confidence.shape[2], device=device(found.confidence)) == output
    narrowed.__dict__["confidence"] = xp.where(column, found.confidence, xp.zeros_like(found.confidence))
    return narrowed


def _nearest(found: Detections, image: int, box: Sequence[float], class_names: Sequence[str] | None) -> str:
    """Those detections whose centres are closest to a box's, in words."""

    def away(place: tuple[int, int]) -> float:
        other = found.as_written(image, found.box(image, *place))
        return math.hypot(*(other[i] + other[i + 2] - box[i] - box[i + 2] for i in (0, 1)))

    near = sorted(found.ranked(image, 20), key=away)[:_LISTED]
    words = [
        f"{class_name(c, class_names)} at {_rounded(found.as_written(image, found.box(image, n, c)))} "
        f"({float(found.confidence[image, n, c]):.1%})"
        for n, c in near
    ]
    return ", ".join(words) or "none"


def _otherwise(
    found: Detections,
    image: int,
    box: Sequence[float],
    output: int | None,
    class_names: Sequence[str] | None,
) -> str:
    """A hint where a box, read in another order or unit that people write boxes in, is a detection."""
    a, b, c, d = box
    width, height = found.picture_size(image)
    ways = {
        "x, y, width, height": _from_sizes(box),
        "x and y of the middle, width, height": (a - c / 2, b - d / 2, a + c / 2, b + d / 2),
        "y0, x0, y1, x1": (b, a, d, c),
        "shares of the width and height": (a * width, b * height, c * width, d * height),
    }
    for words, corners in ways.items():
        chosen, overlap = found.at(image, found.on_input(image, corners), output)
        if chosen is not None and overlap > _SURELY:
            name = class_name(chosen[1], class_names)
            return (
                f" Read as {words} it would be {name} at {_rounded(found.as_written(image, found.box(image, *chosen)))}"
                ": write x0, y0, x1, y1 in pixels."
            )
    return ""


def _from_sizes(box: Sequence[float]) -> tuple[float, ...]:
    """x0, y0, x1, y1 of a box given as x, y, width, height."""
    return box[0], box[1], box[0] + box[2], box[1] + box[3]


def _rounded(box: Sequence[float]) -> str:
    return f"({', '.join(f'{side:.0f}' for side in box)})"


def _box_and_class(words: str) -> tuple[int | tuple[float, ...], str | None]:
    """Read a detection's number or the four sides of a box, perhaps behind the name of a class; or that name alone.

    Raises:
        TargetError: if there are numbers, but neither one nor four.
    """
    name, _, last = (part.strip() for part in words.rpartition(":"))
    try:
        numbers = tuple(float(side) for side in last.split(",")) if last else (0.0,)
    except ValueError:
        return 0, words
    if len(numbers) not in (1, 4) or (len(numbers) == 1 and not numbers[0].is_integer()):
        raise TargetError(
            f"instance:{words} names no instance. Write instance:1 (a number, 0 is the most likely), instance:dog (the "
            "most likely one of a class), instance:dog:1 (the next one of it) or instance:10,20,60,80 (x0, y0, x1, y1 "
            "in pixels of the photo)."
        )
    return (int(numbers[0]) if len(numbers) == 1 else numbers), name or None
