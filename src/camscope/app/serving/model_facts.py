"""What there is to choose from of a model: its classes, and what it found in a photo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from camscope.app.serving.held_photos import Given
from camscope.arrays import to_numpy
from camscope.engine import Explainer
from camscope.errors import near
from camscope.outputs import Dense, Detections
from camscope.targets import class_name

_FOUND = 20
_LIKELY = 0.05


def classes_of(names: Sequence[str] | None, words: str, *, limit: int, offset: int) -> dict[str, Any]:
    """Classes by their name or number.

    Args:
        names: of all classes; None if they are not known.
        words: that are searched for: a number, or parts of a name.
        limit: how many at most.
        offset: how many are left out before.
    """
    if names is None:
        why = "The model does not say what its classes are called: give their numbers, or start with their names."
        return {"count": None, "found": 0, "classes": [], "why": why}
    asked = words.strip().lower()
    found = [index for index, name in enumerate(names) if asked in name.lower() or asked == str(index)]
    if not found and asked:
        whole = reversed(list(enumerate(names)))
        places = {word.strip(): index for index, name in whole for word in name.split(",")}
        found = list(dict.fromkeys(places[word] for word in near(asked, places, count=limit)))
    found.sort(key=lambda index: (asked != str(index), not names[index].lower().startswith(asked)))
    page = found[offset : offset + limit]
    classes = [{"index": index, "name": names[index]} for index in page]
    return {"count": len(names), "found": len(found), "classes": classes, "why": ""}


def instances_of(explainer: Explainer, photo: Given) -> dict[str, Any]:
    """What a detector or a segmenter found in a photo, each with the target that explains it.

    Args:
        explainer: of the model.
        photo: the photo.

    Raises:
        CamscopeError: if the model cannot be run on it.
    """
    outputs = explainer.outputs(photo)
    found, names = outputs.predictions, explainer.class_names
    if isinstance(found, Detections):
        return {"kind": "instances", "instances": _instances(found, names), "regions": [], "why": ""}
    if isinstance(found, Dense):
        return {"kind": "regions", "instances": [], "regions": _regions(found, names), "why": ""}
    why = "This model neither detects instances nor scores regions: it says what is in the whole photo."
    return {"kind": "none", "instances": [], "regions": [], "why": why}


def _instances(found: Detections, names: Sequence[str] | None) -> list[dict[str, Any]]:
    listed = []
    for number, (candidate, output) in enumerate(found.ranked(0, _FOUND)):
        probability = float(found.confidence[0, candidate, output])
        if number and probability < _LIKELY:
            break
        listed.append(
            {
                "number": number,
                "target": f"instance:{number}",
                "class": int(output),
                "name": class_name(int(output), names),
                "box": [
                    float(side) for side in found.as_written(0, found.box(0, int(candidate), int(output)))
                ],
                "probability": probability,
            }
        )
    return listed


def _regions(found: Dense, names: Sequence[str] | None) -> list[dict[str, Any]]:
    areas = np.asarray(to_numpy(found.areas))[0]
    order = [int(one) for one in np.argsort(-areas, kind="stable")[:_FOUND] if areas[one]]
    return [
        {
            "target": f"region:{one}",
            "class": one,
            "name": class_name(one, names),
            "share": float(areas[one] / areas.sum()),
        }
        for one in order
    ]
