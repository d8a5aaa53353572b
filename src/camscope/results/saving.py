"""Keeping an explanation: one `.npz` of arrays and JSON that opens without camscope."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from camscope.arrays import boxes_of, mask_of, to_numpy
from camscope.errors import InputError, check_folder
from camscope.results.maps import Maps

FORMAT = 1
"""The version of the file format."""


def save(e: Maps, path: str | Path) -> Path:
    """Write an explanation.

    `numpy.load(path)` gives these arrays:

    - `maps/METHOD/LAYER`: raw signed maps at layer resolution, `image target *space`.
    - `heatmaps/METHOD/LAYER`: in [0, 1]. A single image with a photo has them on the photo, NaN outside the model's
      crop, and a single sound on its own time; otherwise they are at the size of the model's input.
    - `spectrogram/IMAGE`: what a model was given of a sound, 0 (silence) to 1, `frequency time`, if maps are over both.
    - `spans/METHOD/LAYER`: the start and end of each text on the maps' last axis, if texts have several lengths.
    - `scores`, `logits`, `probabilities`.
    - `json`: a string with the axes of each array, targets, status, provenance, and the tokens and words of texts.

    Args:
        e: the explanation.
        path: where to write; `.npz` is added if it has no suffix.

    Raises:
        InputError: if the suffix is another than `.npz`, or there is no such folder.
    """
    path = path_of(path, "an explanation")
    return write(path, arrays_of(e))


def path_of(path: str | Path, what: str) -> Path:
    """The file that something is saved in, with its suffix.

    Args:
        path: as it was given.
        what: is saved, such as `an explanation`.

    Raises:
        InputError: if the suffix is another than `.npz`, or there is no such folder.
    """
    path = Path(path)
    if path.suffix not in ("", ".npz"):
        raise InputError(f"{path}: {what} is saved as .npz, not {path.suffix}.")
    check_folder(path)
    return path.with_suffix(".npz")


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write arrays of numbers and texts; gives the file's path."""
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    return path


def text_of(document: Mapping[str, Any]) -> np.ndarray:
    """Plain values as JSON, in an array."""
    return np.array(json.dumps(finite(document), ensure_ascii=False, allow_nan=False))


def arrays_of(e: Maps) -> dict[str, np.ndarray]:
    """What the file of an explanation holds; see `save`."""
    on_photo = len(e) == 1 and (e.input_images.has(0) or _is_sound(e, 0))
    arrays: dict[str, np.ndarray] = {}
    for (method, layer), maps in e.raw.items():
        name = f"{method}/{layer}"
        arrays[f"maps/{name}"] = to_numpy(maps)
        if on_photo:
            arrays[f"heatmaps/{name}"] = e.photo_heatmaps(0, method, layer)[None].astype(np.float32)
        else:
            arrays[f"heatmaps/{name}"] = to_numpy(e.heatmaps(method, layer)).astype(np.float32)
        if (method, layer) in e.spans:
            arrays[f"spans/{name}"] = e.spans[method, layer]
    for image in range(len(e)):
        drawn = e.signal(image).spectrogram if e.input_images.has_signal(image) else None
        if drawn is not None:
            arrays[f"spectrogram/{image}"] = drawn.levels.astype(np.float16)
    arrays["scores"] = to_numpy(e.scores)
    arrays["logits"] = to_numpy(e.logits)
    if e.probabilities is not None:
        arrays["probabilities"] = to_numpy(e.probabilities)
    arrays["json"] = text_of(_document(e, arrays, on_photo))
    return arrays


def summary(e: Maps, image: int = 0) -> dict[str, Any]:
    """The facts of one image as plain values that JSON can store: classes, targets, scores, status."""
    targets = []
    for t, target in enumerate(e.targets[image]):
        targets.append(
            {
                "index": target.index,
                "name": target.name,
                "label": target.label,
                "title": e.titles[image][t],
                "of": target.of,
                "sign": target.sign,
                "against": list(target.against),
                "box": None if target.box is None else list(target.box),
                "gamma": target.gamma,
                "weighting": target.weighting,
                "score": float(e.scores[image, t]),
                "probability": e.probability(image, t),
            }
        )
    shown = e.input_images[image] if e.input_images.has(image) else None
    signal = e.signal(image) if e.input_images.has_signal(image) else None
    return {
        "source": shown.source if shown else signal.source if signal else None,
        **({"untrained": True} if e.untrained else {}),
        "geometry": shown.geometry.to_dict() if shown else None,
        "top": [
            {"index": i, "name": name, "logit": logit, "probability": p}
            for i, name, logit, p in e.top(5, image=image)
        ],
        "targets": targets,
        "status": {"/".join(key): [str(s) for s in status[image]] for key, status in e.status.items()},
        "notes": list(shown.notes) if shown else [],
        **(_words(e, image) if e.of_texts else {}),
        **(_times(e, image) if e.input_images.has_signal(image) else {}),
    }


def finite(value: Any) -> Any:
    """Plain values with null for NaN and infinity, which JSON has not."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(entry) for entry in value]
    return value


def _words(e: Maps, image: int) -> dict[str, Any]:
    """The text, and by method and layer a list for each target of the evidence in each word."""
    text = e.text(image)
    found = {key: text.of_words(e.token_evidence(image, *key)) for key in e.raw}
    return {
        "text": text.to_dict(),
        "words": {"/".join(key): values.tolist() for key, values in found.items()},
    }


def _is_sound(e: Maps, image: int) -> bool:
    """Whether there is a sound, whose own time is not that of the model's input."""
    return e.input_images.has_signal(image) and e.signal(image).sound


def _times(e: Maps, image: int) -> dict[str, Any]:
    """The signal's size and rate, and when there is most evidence.

    By method and layer a list for each target of [start, end]: of where the heatmap is at least half of its maximum,
    the part that is longest; in seconds, or in steps if the rate is not known. None for a map that is zero.
    """
    signal = e.signal(image)
    g, s = signal.geometry, signal.spectrogram
    steps = 1.0 if signal.rate is None else 1 / signal.rate

    def longest(heat: np.ndarray) -> list[float] | None:
        profile = heat if heat.ndim == 1 else np.nanmax(heat, axis=1)
        boxes = boxes_of(mask_of(profile, 0.5, "largest"))
        return [signal.start + end * steps for end in boxes[0]] if boxes else None

    return {
        "signal": {
            "channels": len(signal.values),
            "steps": g.photo_size[0],
            "rate": signal.rate,
            "start": signal.start,
            "sound": signal.sound,
            "geometry": g.to_dict(),
            **({"spectrogram": {"low": s.low, "high": s.high, "unit": s.unit}} if s else {}),
        },
        "most_evidence": {
            "/".join(key): [longest(heat) for heat in e.photo_heatmaps(image, *key)] for key in e.raw
        },
    }


def _document(e: Maps, arrays: Mapping[str, np.ndarray], on_photo: bool) -> dict[str, Any]:
    def axes(name: str, array: np.ndarray) -> list[str]:
        if name.startswith("spans/"):
            return ["image", "end"]
        if name.startswith("spectrogram/"):
            return ["frequency", "time"]
        if name.startswith(("maps/", "heatmaps/")):
            space = {1: ["position"], 2: ["height", "width"], 3: ["depth", "height", "width"]}
            if e.of_signals:
                space = {1: ["time"], 2: ["time", "frequency"]}
            return [
                "image",
                "target",
                *space.get(array.ndim - 2, [f"space{i}" for i in range(array.ndim - 2)]),
            ]
        return ["image", "target" if name == "scores" else "class"]

    return {
        "format": FORMAT,
        "keys": list(e.raw),
        "axes": {name: axes(name, array) for name, array in arrays.items()},
        "heatmaps_on": ("sound" if e.of_signals else "photo") if on_photo else "input",
        "input_size": list(e.input_size),
        "methods": {name: vars(facts) for name, facts in e.facts.items()},
        "class_names": list(e.class_names) if e.class_names is not None else None,
        "images": [summary(e, image) for image in range(len(e))],
        "notes": list(e.notes),
        "provenance": dict(e.provenance),
    }
