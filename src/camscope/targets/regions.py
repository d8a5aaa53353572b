"""Targets of models that score every position: a class in a region."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Float, Int

from camscope.arrays import Array, area_shares, from_numpy
from camscope.errors import TargetError, nearest
from camscope.outputs import Dense, Of, Outputs, check_of
from camscope.outputs.slopes import dense_slopes
from camscope.targets.class_names import class_index, class_name
from camscope.targets.classes import index_or_name
from camscope.targets.scores import OutputScore, scored
from camscope.targets.target import PredictionTarget, Target, written
from camscope.targets.words import read_words

_BACKGROUND = ("background", "__background__")
"""Names of the class that stands for whatever is no object."""

_WORDS = ("predicted", "all")


@written
@dataclass(frozen=True, eq=False)
class Region(PredictionTarget):
    """A class in a region: Σ_ij∈M y_c(ij), the sum of its scores over the positions of M.

    Seg-Grad-CAM (Vinogradova, Dibrov & Myers, AAAI 2020, arXiv:2002.11434) is Grad-CAM of it. The sum is the mean
    times the number of positions, so a map of the mean would be the same up to that factor, and so the same heatmap.
    The positions are those of the model's output, which is often coarser than its input: a position on the edge of a
    mask counts by the share of it that is inside.

    Attributes:
        which: the class, by index or name. None takes the class with most positions in each image; a class called
            background only if there is no other. A one-logit segmenter has two classes: 1 has its logit as score,
            0 the negative of it.
        where: `predicted`, the positions where the class is the most likely one (in a multi-label model, more likely
            than not); `all`; a position `(row, column)`; or a mask, `*space` for all images or `batch *space`.
            Positions and masks are in pixels of the model's input. The region is found once, in the outputs for the
            clean input, and stays the same however the input or the activations are altered.
        of: which score.
        sign: −1 for evidence against.

    Raises:
        TargetError: if `where` is none of these.

    Example:
        >>> segmenter = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 5, 1))
        >>> camscope.explain(segmenter, x, targets=camscope.Region(2), layers="1").maps().shape
        torch.Size([2, 1, 94, 94])
    """

    which: int | str | None = None
    where: Any = "predicted"
    of: Of = "logit"
    sign: int = 1

    def __post_init__(self) -> None:
        check_of(self.of)
        if isinstance(self.where, str) and self.where not in _WORDS:
            raise TargetError(
                f"Region(where={self.where!r}): expected {', '.join(map(repr, _WORDS))}, a position such as (row, "
                f"column) or a mask.{nearest(self.where, _WORDS)}"
            )

    def score(self, outputs: Outputs, class_names: Sequence[str] | None) -> RegionScore:
        """Find the region in each image of a batch.

        Raises:
            TargetError: if the model scores no positions, there is no such class, or the region is empty, outside the
                input or of another shape.
        """
        dense = outputs.predictions
        if not isinstance(dense, Dense):
            raise TargetError(
                "A Region is for models that score every position (batch, class, *space); this one puts out scores of "
                f"shape {tuple(outputs.logits.shape)}. For a classifier give the class itself: Class({self.which!r})."
            )
        count = dense.logits.shape[1]
        if self.which is None:
            classes = _largest(dense, class_names)
        else:
            classes = np.full(dense.logits.shape[0], class_index(self.which, count, class_names))
        weights, words = self._weights(dense, classes)
        names = [class_name(int(c), class_names) for c in classes]
        empty = [b for b, w in enumerate(weights) if not w.any()]
        if empty:
            raise TargetError(self._nowhere(dense, empty[0], names[empty[0]], class_names))
        labels = tuple(f"{scored(self.of, name)} {words}" for name in names)
        return RegionScore(labels=labels, of=self.of, classes=classes, weights=weights)

    @classmethod
    def read(cls, text: str, of: Of, sign: int, names: Set[str]) -> Target | None:
        """Read a text such as `region` or `region:cat`."""
        rest = read_words(text, "region")
        if rest is None:
            return None
        return cls(index_or_name(rest, names) if rest else None, of=of, sign=sign)

    def _weights(
        self, dense: Dense, classes: Int[np.ndarray, " batch"]
    ) -> tuple[Float[np.ndarray, " batch *space"], str]:
        """How much of each position is inside the region, 0 to 1, and the region in words."""
        space = tuple(dense.logits.shape[2:])
        batch = len(classes)
        if isinstance(self.where, str):
            inside = dense.predicted(classes) if self.where == "predicted" else np.ones((batch, *space), bool)
            return inside.astype(np.float64), "where predicted" if self.where == "predicted" else "everywhere"
        if isinstance(self.where, (tuple, list)) and all(
            isinstance(place, (int, np.integer)) for place in self.where
        ):
            position = tuple(int(place) for place in self.where)
            weights = np.zeros((batch, *space))
            for row in weights:
                row[_cell(position, dense.size, space)] = 1
            return weights, f"at {position}"
        mask = np.asarray(self.where.tolist() if hasattr(self.where, "tolist") else self.where)
        return area_shares(_checked(mask, dense.size, batch), space), "in the mask"

    def _nowhere(self, dense: Dense, image: int, name: str, class_names: Sequence[str] | None) -> str:
        if not isinstance(self.where, str):
            return f"The mask of image {image} is empty: no position of it is set."
        areas = dense.areas[image]
        found = [int(c) for c in np.argsort(-areas, kind="stable")[:5] if areas[c]]
        listed = ", ".join(f"{class_name(c, class_names)} ({areas[c]} positions)" for c in found)
        return (
            f"{name} is predicted nowhere in image {image}, so its region there is empty. Predicted are "
            f"{listed or 'no classes'}. Take one of these, or say where: Region({self.which!r}, where='all'), a "
            "position or a mask."
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class RegionScore(OutputScore):
    """The sum of a class's scores over a region.

    Attributes:
        classes: the class of each image.
        weights: how much of each position of the model's output is inside the region, 0 to 1.
    """

    classes: Int[np.ndarray, " batch"]
    weights: Float[np.ndarray, " batch *space"]

    @property
    def placed(self) -> bool:
        """Whether the region is only a part of the input."""
        return bool((self.weights != self.weights.flat[0]).any())

    def __call__(self, outputs: Outputs) -> Float[Array, " batch"]:
        """Σ w_ij y_c(ij) for each image."""
        dense = cast(Dense, outputs.predictions)
        values = dense.of(self.of)
        batch, _, *space = values.shape
        xp = array_namespace(values)
        index = xp.asarray(self.classes, device=device(values)).reshape(batch, *(1,) * (len(space) + 1))
        of_class = xp.take_along_axis(values, xp.broadcast_to(index, (batch, 1, *space)), axis=1)
        # a resized copy of the input has outputs of another resolution, to which the region is resized
        weights = from_numpy(area_shares(self.weights, tuple(space)), like=values)
        return xp.sum(xp.reshape(of_class[:, 0] * weights, (batch, -1)), axis=1)

    def slopes(self, outputs: Outputs) -> Float[np.ndarray, "batch class *space"]:
        """w_ij at the class's own positions, through its kind of score."""
        dense = cast(Dense, outputs.predictions)
        batch, count, *space = dense.logits.shape
        weights = np.zeros((batch, count, *space))
        weights[np.arange(batch), self.classes] = area_shares(self.weights, tuple(space))
        return dense_slopes(dense, self.of, weights)


def _largest(dense: Dense, class_names: Sequence[str] | None) -> Int[np.ndarray, " batch"]:
    """The class with most positions in each image; background only if there is no other."""
    sizes = dense.areas.copy()
    for c, name in enumerate(class_names or ()):
        if name.strip().lower() in _BACKGROUND:
            others = np.delete(sizes, c, axis=1).any(axis=1)
            sizes[others, c] = 0
    largest: np.ndarray = sizes.argmax(axis=1)
    return largest


def _cell(position: tuple[int, ...], size: tuple[int, ...], space: tuple[int, ...]) -> tuple[int, ...]:
    """The position of the output that a pixel of the input lies in."""
    if len(position) != len(size):
        raise TargetError(
            f"The position {position} has {len(position)} coordinates, the model's input {len(size)}: {size}."
        )
    if any(not 0 <= place < n for place, n in zip(position, size, strict=True)):
        last = tuple(n - 1 for n in size)
        raise TargetError(
            f"The position {position} is outside the model's input of {size}: the last one is {last}. Positions are "
            "(row, column) in pixels of the model's input."
        )
    return tuple(place * n // whole for place, n, whole in zip(position, space, size, strict=True))


def _checked(mask: np.ndarray, size: tuple[int, ...], batch: int) -> Float[np.ndarray, " batch *size"]:
    if mask.dtype.kind not in "biuf":
        raise TargetError(
            f"A mask holds truth values or numbers, not {mask.dtype}. Region(where=…) takes 'predicted', 'all', a "
            "position such as (row, column), or a mask."
        )
    if mask.shape == size:
        mask = np.broadcast_to(mask, (batch, *size))
    if mask.shape != (batch, *size):
        raise TargetError(
            f"The mask has shape {mask.shape}; expected {size}, the model's input, or {(batch, *size)}, one for each "
            "image of the batch. A mask of a photo must be resized and cropped as the photo is."
        )
    mask = mask.astype(np.float64)
    if not np.isfinite(mask).all() or mask.min() < 0 or mask.max() > 1:
        raise TargetError("A mask is True or False, or a share between 0 and 1, at each position.")
    return mask
