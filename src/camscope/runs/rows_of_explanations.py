"""From an explanation to the rows of a run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from camscope.arrays import halved, to_numpy
from camscope.images import Geometry
from camscope.results import Explanation
from camscope.results.saving import finite
from camscope.results.status import ends_of
from camscope.runs.labels_of_run import Label
from camscope.runs.map_numbers import NUMBERS, numbers_of
from camscope.runs.reading_one import ReadPhoto
from camscope.runs.row_columns import FAILED
from camscope.runs.sources.one_input import Input
from camscope.targets import class_name

Row = dict[str, Any]
"""The cells of a row by their column; those that are left out are null."""


@dataclass(frozen=True)
class Numbered:
    """An input and its number in the run.

    Attributes:
        id: the number.
        input: the input.
        label: what it is labelled as.
    """

    id: int
    input: Input
    label: Label

    def cells(self) -> Row:
        """What every row of it has."""
        return {
            "id": self.id,
            "source": self.input.source,
            "label": self.label.text,
            "label_index": self.label.index,
            "kind": self.input.kind,
            "first": self.input.first,
            "second": self.input.second,
        }

    def failed(self, reason: str) -> Row:
        """The row of an input that could not be explained."""
        return {**self.cells(), "row": 0, "status": FAILED, "reason": reason}


def rows_of(
    e: Explanation, images: Sequence[Numbered], photos: Sequence[ReadPhoto], top: int
) -> list[list[Row]]:
    """The rows of each image of a batch.

    Args:
        e: the explanation of the batch.
        images: the inputs of it.
        photos: as they were read.
        top: how many of the top classes are kept.
    """
    maps = {key: _of_maps(e, key) for key in e.raw}
    scores, logits = to_numpy(e.scores), to_numpy(e.logits)
    found = []
    for i, (image, photo) in enumerate(zip(images, photos, strict=True)):
        shared = {**image.cells(), **_of_image(e, i, photo, logits[i], top)}
        rows: list[Row] = []
        for t, target in enumerate(e.targets[i]):
            of_target = {
                "target": target.label,
                "target_number": t,
                "target_index": target.index,
                "score": float(scores[i, t]),
                "probability": e.probability(i, t),
                "target_about": json.dumps(finite(dataclasses.asdict(target)), ensure_ascii=False),
            }
            rows += [
                {
                    **shared,
                    **of_target,
                    "row": t * len(maps) + k,
                    "method": key[0],
                    "layer": key[1],
                    **cells[i][t],
                }
                for k, (key, cells) in enumerate(maps.items())
            ]
        found.append(rows)
    return found


def _of_image(e: Explanation, i: int, photo: ReadPhoto, logits: np.ndarray, top: int) -> Row:
    geometry = e.input_images.geometry(i)
    assert isinstance(geometry, Geometry)
    best = np.argsort(-logits, kind="stable")[:top].tolist()
    names = [class_name(one, e.class_names) for one in best]
    sure = None if e.probabilities is None else to_numpy(e.probabilities)[i]
    return {
        "height": photo.size[0],
        "width": photo.size[1],
        "file_digest": photo.digest,
        "geometry": {
            "input_size": list(geometry.input_size),
            "scale": list(geometry.scale),
            "offset": list(geometry.offset),
        },
        "top1": names[0],
        "top1_index": best[0],
        "top1_logit": float(logits[best[0]]),
        "top1_probability": None if sure is None else float(sure[best[0]]),
        "top_classes": best,
        "top_names": names,
        "top_logits": logits[best].tolist(),
        "top_probabilities": None if sure is None else sure[best].tolist(),
        "notes": [*photo.notes, *e.notes],
    }


def _of_maps(e: Explanation, key: tuple[str, str]) -> list[list[Row]]:
    """What a row has of its map, by image and target."""
    raw = to_numpy(e.raw[key])
    raw = raw.astype(np.float32) if raw.dtype != np.float64 else raw
    halves, scales = halved(raw)
    count, targets, *space = raw.shape
    flat = raw.reshape(count * targets, *space)
    numbers = numbers_of(flat, e.input_size, rectified=e.facts[key[0]].rectified)
    ends, status = ends_of(flat), e.status[key]

    def one(i: int, t: int) -> Row:
        n = i * targets + t
        return {
            "status": str(status[i][t]),
            **{name: _number(getattr(numbers, name)[n]) for name in NUMBERS if name != "box"},
            "box": None if np.isnan(numbers.box[n]).any() else numbers.box[n].tolist(),
            "low": float(ends[n, 0]),
            "high": float(ends[n, 1]),
            "scale": float(scales[i, t]),
            "map_shape": space,
            "map": halves[i, t].reshape(-1),
        }

    return [[one(i, t) for t in range(targets)] for i in range(count)]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
