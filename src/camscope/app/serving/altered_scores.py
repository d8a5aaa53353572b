"""What a model says of a photo of which a part is hidden, beside what it says of the photo as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from camscope.app.serving.drawn_masks import drawn, on_input
from camscope.app.serving.held_models import HeldModel
from camscope.app.serving.wishes import Scores
from camscope.arrays import to_numpy
from camscope.evidence import Responses
from camscope.images import Photo
from camscope.imputing import Blur, Mean
from camscope.targets import AllClasses, Instance, TargetLike, TopK, class_name

_FILLS = {"blur": Blur, "mean": Mean}
_TOP = 3


def altered_scores(model: HeldModel, photo: Photo, wish: Scores) -> dict[str, Any]:
    """Hide a part of a photo, or keep nothing else, and run the model on it once.

    Args:
        model: that is asked.
        photo: the photo.
        wish: what is hidden or kept, and what is asked of the model.

    Raises:
        InputError: if the mask is none.
        CamscopeError: if the targets do not suit the model.
    """
    model.refuse_photos()
    explainer = model.explainer
    given = explainer.prepare(photo)
    inside, shown = on_input(drawn(wish.mask), given.input_images[0].geometry)
    removed = inside if wish.mode == "hide" else shown & ~inside
    named: list[TargetLike] = list(wish.targets)
    if not named:
        named = [Instance(0) if explainer.detects else TopK(_TOP, or_fewer=True)]
    asked = model.asked(wish.photo, given, tuple(wish.targets), named)
    of_classes = not (explainer.detects or explainer.compares_captions)
    with explainer.altering(given, targets=[*named, AllClasses()] if of_classes else named) as seen:
        assert seen.masked is not None
        fill, x = _FILLS[wish.fill](), seen.inputs[:1]
        said = seen.masked(0, 1, lambda numbers: fill(x, np.stack([removed] * len(numbers))))
        before, after = _numbers(seen.responses), _numbers(said)
    return {
        "targets": [
            {
                "title": title,
                "index": index,
                "before": _pair(before[:, t], probable),
                "after": _pair(after[:, t], probable),
            }
            for t, (title, index, probable) in enumerate(asked)
        ],
        "top": {
            "before": _best(before[:, len(asked) :], explainer.class_names, wish.top),
            "after": _best(after[:, len(asked) :], explainer.class_names, wish.top),
        },
        "removed": float(removed.sum() / max(int(shown.sum()), 1)),
        "fill": wish.fill,
        "mode": wish.mode,
    }


def _numbers(responses: Responses) -> Float[np.ndarray, "2 target"]:
    """Scores and probabilities of the first variant."""
    both = (responses.scores, responses.probabilities)
    return np.stack([np.asarray(to_numpy(one), np.float64)[0] for one in both])


def _pair(numbers: Float[np.ndarray, " 2"], probable: bool) -> dict[str, float | None]:
    return {"score": float(numbers[0]), "probability": float(numbers[1]) if probable else None}


def _best(
    numbers: Float[np.ndarray, "2 class"], names: Sequence[str] | None, count: int
) -> list[dict[str, Any]]:
    order = np.argsort(-numbers[0], kind="stable")[:count]
    return [
        {
            "index": int(one),
            "name": class_name(int(one), names),
            "logit": float(numbers[0, one]),
            "probability": float(numbers[1, one]),
        }
        for one in order
    ]
