"""From the rows of an image back to an explanation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from camscope.arrays import whole
from camscope.errors import InputError
from camscope.images import Geometry
from camscope.inputs import ImagesElsewhere, InputImage
from camscope.results import Explanation, MethodFacts, Status
from camscope.runs.reading_one import photo_again
from camscope.runs.row_columns import FAILED
from camscope.runs.run_plan import Plan
from camscope.runs.sources.one_input import Input
from camscope.targets import TargetInfo


def explanation_of(rows: Sequence[Mapping[str, Any]], plan: Plan) -> Explanation:
    """The explanation of one image.

    Its maps are as precise as half precision is to each map's maximum. Of the logits and probabilities there are those
    of the top classes and of the targets; the others are NaN.

    Args:
        rows: of the image, in their order.
        plan: of the run.

    Raises:
        InputError: if the image could not be explained.
    """
    first = rows[0]
    if first["status"] == FAILED:
        raise InputError(f"Image {first['id']} could not be explained: {first['reason']}")
    keys = list(dict.fromkeys((row["method"], row["layer"]) for row in rows))
    by_key = {key: [row for row in rows if (row["method"], row["layer"]) == key] for key in keys}
    own = by_key[keys[0]]
    logits, probabilities = _of_classes(own, plan.classes)
    geometry = Geometry.from_dict({"photo_size": (first["height"], first["width"]), **first["geometry"]})
    provenance = dict(plan.provenance)
    if first["label"] is not None:
        provenance["labels"] = [first["label"]]
    return Explanation(
        raw={key: np.stack([_map(row) for row in of_key])[None] for key, of_key in by_key.items()},
        scores=np.array([[row["score"] for row in own]], np.float32),
        logits=logits,
        probabilities=probabilities,
        targets=(tuple(_target(row["target_about"]) for row in own),),
        input_size=geometry.input_size,
        facts={name: MethodFacts(**facts) for name, facts in plan.facts.items()},
        class_names=plan.class_names,
        input_images=ImagesElsewhere([partial(_look, dict(first), geometry)], [geometry]),
        provenance=provenance,
        notes=tuple(first["notes"] or ()),
        gradient_free={
            key: np.array([[row["status"] == Status.NO_GRADIENT for row in of_key]])
            for key, of_key in by_key.items()
        },
    )


def _map(row: Mapping[str, Any]) -> np.ndarray:
    halves = np.asarray(row["map"], np.float32).reshape(row["map_shape"])
    return whole(halves, np.asarray(row["scale"], np.float32))


def _target(about: str) -> TargetInfo:
    fields = json.loads(about)
    fields["against"] = tuple(fields["against"])
    fields["box"] = fields["box"] and tuple(fields["box"])
    return TargetInfo(**fields)


def _of_classes(rows: Sequence[Mapping[str, Any]], classes: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Logits and probabilities of all classes, as far as they were kept."""
    first = rows[0]
    logits = np.full((1, classes), np.nan, np.float32)
    logits[0, first["top_classes"]] = first["top_logits"]
    if first["top_probabilities"] is None:
        return logits, None
    probabilities = np.full((1, classes), np.nan, np.float32)
    probabilities[0, first["top_classes"]] = first["top_probabilities"]
    for row in rows:
        if row["target_index"] is not None and row["probability"] is not None:
            probabilities[0, row["target_index"]] = row["probability"]
    return logits, probabilities


def _look(row: Mapping[str, Any], geometry: Geometry) -> InputImage:
    one = Input(row["source"], None, row["kind"], row["first"], row["second"])
    photo = photo_again(one, row["file_digest"])
    return InputImage(photo.pixels, geometry, photo.source, photo.notes)
