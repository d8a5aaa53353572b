"""Loads a saved explanation. Nothing that the file says is believed before it was checked."""

from __future__ import annotations

import json
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np

from camscope.errors import InputError
from camscope.images import Geometry
from camscope.inputs import InputImages, image_of_saved, signal_of_saved
from camscope.outputs import Of
from camscope.results.explanation import Explanation
from camscope.results.map_data import Key, MethodFacts
from camscope.results.npz import Archive
from camscope.results.saving import FORMAT
from camscope.results.status import Status
from camscope.signals import Signal, SignalGeometry, Spectrogram
from camscope.targets import TargetInfo, Weighting
from camscope.text import Text

_BROKEN = (
    OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RecursionError, OverflowError, RuntimeError,
    zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip
"""What reading a broken file raises, the zip itself included (RuntimeError: it is encrypted or packed otherwise)."""


def load(path: str | Path) -> Explanation:
    """Read an explanation back. Its arrays are NumPy arrays; a photo is read again, from its file, when it is needed.

    Raises:
        InputError: if the file is missing or is not an explanation.
    """
    try:
        with Archive(path) as file:
            return _explanation(file)
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.") from None
    except _BROKEN as error:
        reason = error.args[0] if isinstance(error, KeyError) else error
        raise InputError(f"{path} is not an explanation that camscope saved ({reason}).") from error


def _explanation(file: Archive) -> Explanation:
    document = _document(file)
    images: Sequence[Any] = _list(document["images"], "images")
    keys: list[Key] = [(str(method), str(layer)) for method, layer in _list(document["keys"], "keys")]
    size = tuple(_whole(n, "input_size", 1) for n in _list(document["input_size"], "input_size"))
    logits = _numbers(file, "logits", (len(images), None))
    classes = logits.shape[1]
    targets = tuple(_targets(image, classes) for image in images)
    count = len(targets[0])
    _require(all(len(row) == count for row in targets), "its images have different numbers of targets")
    names = document["class_names"]
    _require(
        names is None or len(_strings(names)) == classes, f"it has no name for each of {classes} classes"
    )
    raw = {key: _numbers(file, _at("maps", key), (len(images), count, *(None for _ in size))) for key in keys}
    texts = [_text(image["text"]) for image in images if image.get("text")]
    _require(len(texts) in (0, len(images)), "some of its inputs are texts, others are not")
    facts = {str(name): _facts(about) for name, about in document["methods"].items()}
    _require(all(method in facts for method, _ in keys), "it says nothing of one of its methods")
    _require(isinstance(document["provenance"], dict), "its provenance is none")
    return Explanation(
        raw=raw,
        scores=_numbers(file, "scores", (len(images), count)),
        logits=logits,
        probabilities=(
            _numbers(file, "probabilities", (len(images), classes)) if "probabilities" in file else None
        ),
        targets=targets,
        input_size=size,
        facts=facts,
        class_names=names,
        input_images=InputImages(
            [image_of_saved(image["source"], _geometry(image["geometry"])) for image in images],
            texts,
            _signals(file, images),
        ),
        provenance=document["provenance"],
        notes=tuple(_strings(document["notes"])),
        gradient_free={key: _gradient_free(images, key, count) for key in keys},
        spans={
            key: _spans(file, key, raw[key].shape[-1], len(images))
            for key in keys
            if _at("spans", key) in file
        },
    )


def _document(file: Archive) -> Mapping[str, Any]:
    """The JSON in the file, of the format that this version reads."""

    def refuse(number: str) -> Any:
        raise ValueError(f"{number} is no number of JSON")

    document: Mapping[str, Any] = json.loads(str(file["json"]), parse_constant=refuse)
    _require(isinstance(document, dict), "its JSON is no object")
    _require(document["format"] == FORMAT, f"its format is {document['format']}, this version reads {FORMAT}")
    return document


def _at(what: str, key: Key) -> str:
    return f"{what}/{'/'.join(key)}"


def _numbers(file: Archive, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """An array of numbers of this shape, whose axes of None may have any length but zero."""
    array = file[name]
    fits = array.ndim == len(shape) and all(
        n > 0 if wanted is None else n == wanted for n, wanted in zip(array.shape, shape, strict=True)
    )
    wanted = ", ".join("any" if n is None else str(n) for n in shape)
    _require(fits, f"{name!r} has shape {array.shape}, where the rest needs ({wanted})")
    _require(array.dtype.kind == "f", f"{name!r} holds {array.dtype}, not floating-point numbers")
    return array


def _spans(file: Archive, key: Key, width: int, count: int) -> np.ndarray:
    spans = file[_at("spans", key)]
    _require(spans.shape == (count, 2) and spans.dtype.kind in "iu", "its texts have no start and end each")
    _require(
        bool(((spans[:, 0] >= 0) & (spans[:, 0] < spans[:, 1]) & (spans[:, 1] <= width)).all()),
        "one of its texts lies outside of the map",
    )
    return spans


def _targets(image: Mapping[str, Any], classes: int) -> tuple[TargetInfo, ...]:
    return tuple(_target(target, classes) for target in _list(image["targets"], "targets"))


def _target(t: Mapping[str, Any], classes: int) -> TargetInfo:
    index, of, sign, box, gamma = t["index"], t["of"], t["sign"], t["box"], t["gamma"]
    weighting = t["weighting"]
    _require(index is None or _whole(index, "index") < classes, f"it explains class {index} of {classes}")
    _require(of is None or of in get_args(Of), f"of={of!r} is no kind of score")
    _require(sign in (1, -1), f"a target's sign is {sign!r}")
    _require(box is None or (len(box) == 4 and all(map(_is_number, box))), f"{box!r} is no box")
    _require(gamma is None or _is_number(gamma), f"γ is {gamma!r}")
    (name,) = _strings([t["name"]])
    against = tuple(_strings(t["against"]))
    _require(weighting in (None, *get_args(Weighting)), f"the weighting is {weighting!r}")
    corners = None if box is None else tuple(box)
    sure = None if index is not None else t["probability"]
    _require(sure is None or _is_number(sure), f"the probability is {sure!r}")
    return TargetInfo(index, name, of, int(sign), against, corners, gamma, weighting, sure)


def _facts(about: Mapping[str, Any]) -> MethodFacts:
    (paper,) = _strings([about["paper"]])
    flags = (about["rectified"], about["class_specific"])
    _require(
        all(isinstance(flag, bool) for flag in flags), "what it says of a method is neither true nor false"
    )
    return MethodFacts(paper, *flags)


def _gradient_free(images: Sequence[Mapping[str, Any]], key: Key, count: int) -> np.ndarray:
    """Which maps are zero because the score does not depend on the layer, by image and target."""
    rows = [[Status(word) for word in image["status"]["/".join(key)]] for image in images]
    _require(all(len(row) == count for row in rows), "it has no status for each map")
    return np.array([[status == Status.NO_GRADIENT for status in row] for row in rows], dtype=bool)


def _text(fields: Mapping[str, Any]) -> Text:
    text = Text.from_dict(fields)
    _strings([*text.tokens, *(word.text for word in text.words)])
    _whole(text.first, "first")
    for word in text.words:
        _require(
            _whole(word.start, "start") <= _whole(word.stop, "stop") <= len(text),
            f"the word {word.text!r} lies outside of its text",
        )
    return text


def _geometry(fields: Mapping[str, Any] | None) -> Geometry | None:
    if fields is None:
        return None
    geometry = Geometry.from_dict(fields)
    _require(min(*geometry.photo_size, *geometry.input_size) > 0, "a photo of it has no size")
    _require(min(geometry.scale) > 0, "a photo of it has no scale")
    return geometry


def _signals(file: Archive, images: Sequence[Mapping[str, Any]]) -> list[Callable[[], Signal] | None]:
    """What makes the signal of each input; nothing if the inputs are none."""
    about = [image.get("signal") for image in images]
    if not any(about):
        return []
    _require(all(about), "some of its inputs are signals, others are not")
    made: list[Callable[[], Signal] | None] = []
    for number, (image, one) in enumerate(zip(images, about, strict=True)):
        assert one is not None
        geometry = SignalGeometry.from_dict(one["geometry"])
        axes = {len(values) for values in vars(geometry).values()}
        _require(len(axes) == 1 and min(geometry.photo_size) > 0, "a signal of it has no size")
        _require(min(geometry.scale) > 0 and one["rate"] != 0, "a signal of it has no scale")
        known = (one["start"], *([] if one["rate"] is None else [one["rate"]]))
        _require(all(map(_is_number, known)), "a signal of it has no times")
        if one.get("spectrogram"):
            drawn = _spectrogram(file, f"spectrogram/{number}", one["spectrogram"], geometry.photo_size)
            no_lines = np.zeros((0, geometry.photo_size[0]), np.float32)
            facts = {
                "rate": one["rate"],
                "start": one["start"],
                "sound": one["sound"],
                "source": image["source"],
            }
            made.append(partial(Signal, no_lines, geometry, spectrogram=drawn, **facts))
        else:
            source = image["source"] if one["sound"] else None
            made.append(signal_of_saved(source, geometry, one["rate"]))
    return made


def _spectrogram(file: Archive, name: str, about: Mapping[str, Any], size: tuple[int, ...]) -> Spectrogram:
    _require(len(size) == 2, "a spectrogram of it is over time alone")
    low, high, unit = about["low"], about["high"], about["unit"]
    _require(_is_number(low) and _is_number(high), "a spectrogram of it has no frequencies")
    levels = _numbers(file, name, (size[1], size[0])).astype(np.float32)
    _require(bool(np.isfinite(levels).all()), "a spectrogram of it is not finite")
    return Spectrogram(levels, float(low), float(high), *_strings([unit]))


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _list(value: Any, what: str) -> list[Any]:
    _require(isinstance(value, list) and bool(value), f"{what!r} is no list of at least one")
    return list(value)


def _strings(values: Any) -> list[str]:
    _require(isinstance(values, list) and all(isinstance(v, str) for v in values), f"{values!r} are no words")
    return list(values)


def _whole(value: Any, what: str, least: int = 0) -> int:
    whole = isinstance(value, int) and not isinstance(value, bool)
    _require(whole and value >= least, f"{what} is {value!r}, not a whole number of at least {least}")
    return int(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
