"""What a page is given of a training: fixed samples, and their maps step by step."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from camscope.app.serving.run_answers import grid
from camscope.errors import InputError
from camscope.results.saving import finite
from camscope.watching import History
from camscope.watching.evolution import moment_title, row_title


def training_of(
    history: History, *, target: int, first: int = 0, most: int = 24, maps: bool = True
) -> dict[str, Any]:
    """A training as plain values: its samples, its steps, and a map of each sample at each step.

    Args:
        history: of the training.
        target: which of each sample's targets.
        first: the first of the samples that are told.
        most: samples at most.
        maps: whether their maps come too.

    Raises:
        InputError: if there is no such target, or the samples are no pictures.
    """
    s = history.samples
    targets = history.looks[0].maps.shape[1]
    if not 0 <= target < targets:
        raise InputError(f"target={target}: the training has {targets}, 0 to {targets - 1}.")
    if s.pictures is None:
        raise InputError(
            "The samples of this training are no pictures. camscope evolve shows how their maps settle."
        )
    shown = range(min(first, len(s)), min(len(s), first + most))
    raw = history.of_samples(shown).maps[:, :, target] if shown else np.zeros((len(history), 0, 1, 1))
    raw = np.where(np.isfinite(raw), raw, 0)
    names = s.class_names
    plain: dict[str, Any] = finite(
        {
            "model": str(s.about.get("model_name") or s.about.get("model") or ""),
            "notes": [*dict.fromkeys(note for look in history.looks for note in look.notes)],
            "method": s.method,
            "layer": s.layer,
            "rectified": s.rectified,
            "targets": targets,
            "count": len(s),
            "input_size": [*s.input_size],
            "moments": [
                {
                    "step": look.moment.step,
                    "epoch": look.moment.epoch,
                    "epoch_end": look.moment.epoch_end,
                    "title": moment_title(look.moment),
                    "numbers": dict(look.moment.numbers),
                }
                for look in history.looks
            ],
            "samples": [
                {
                    "name": s.names[i],
                    "label": s.labels[i],
                    "title": row_title(history, i, target),
                    "picture": _address(s.pictures[i]),
                    "range": [float(raw[:, i - first].min()), float(raw[:, i - first].max())],
                    "steps": [
                        {
                            "title": look.titles[i][target],
                            "score": float(look.scores[i, target]),
                            "probability": float(look.probabilities[i, target]),
                            "top": names[look.top[i]] if names else f"class {look.top[i]}",
                            "is_top": int(look.classes[i, target]) == int(look.top[i]),
                            "note": look.statuses[i][target],
                            **({"map": grid(raw[number, i - first])} if maps else {}),
                        }
                        for number, look in enumerate(history.looks)
                    ],
                }
                for i in shown
            ],
            "missing": list(history.missing),
        }
    )
    return plain


def _address(picture: np.ndarray) -> str:
    """A small picture as a `data:` address, pixel by pixel as the model sees it."""
    stored = BytesIO()
    Image.fromarray(picture).save(stored, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stored.getvalue()).decode()}"
