"""Loads a saved explanation. Nothing that the file says is believed before it was checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np

from camscope.images import Geometry
from camscope.inputs import InputImages, image_of_saved, signal_of_saved
from camscope.outputs import Of
from camscope.results.explanation import Explanation
from camscope.results.map_data import Key, MethodFacts
from camscope.results.npz import Archive
from camscope.results.reading_saved import (
    document_in,
    is_number,
    list_in,
    numbers_in,
    reading,
    require,
    strings_in,
    whole_number,
)
from camscope.results.saving import FORMAT
from camscope.results.status import Status
from camscope.signals import Signal, SignalGeometry, Spectrogram
from camscope.targets import TargetInfo, Weighting
from camscope.text import Text


def load(path: str | Path) -> Explanation:
    """Read an explanation back. Its arrays are NumPy arrays; a photo is read again, from its file, when it is needed.

    Raises:
        InputError: if the file is missing or is not an explanation.

    Example:
        >>> file = camscope.explain(model, x).save("maps.npz")
        >>> camscope.load(file).maps().shape
        (2, 1, 3, 3)
    """
    with reading(path, "an explanation") as file:
        return _explanation(file)


def _explanation(file: Archive) -> Explanation:
    document = document_in(file, "json", FORMAT)
    images: Sequence[Any] = list_in(document["images"], "images")
    keys: list[Key] = [(str(method), str(layer)) for method, layer in list_in(document["keys"], "keys")]
    size = tuple(whole_number(n, "input_size", 1) for n in list_in(document["input_size"], "input_size"))
    logits = numbers_in(file, "logits", (len(images), None))
    classes = logits.shape[1]
    targets = tuple(_targets(image, classes) for image in images)
    count = len(targets[0])
    require(all(len(row) == count for row in targets), "its images have different numbers of targets")
    names = document["class_names"]
    require(
        names is None or len(strings_in(names)) == classes, f"it has no name for each of {classes} classes"
    )
    raw = {
        key: numbers_in(file, _at("maps", key), (len(images), count, *(None for _ in size))) for key in keys
    }
    texts = [_text(image["text"]) for image in images if image.get("text")]
    require(len(texts) in (0, len(images)), "some of its inputs are texts, others are not")
    facts = {str(name): _facts(about) for name, about in document["methods"].items()}
    require(all(method in facts for method, _ in keys), "it says nothing of one of its methods")
    require(isinstance(document["provenance"], dict), "its provenance is none")
    return Explanation(
        raw=raw,
        scores=numbers_in(file, "scores", (len(images), count)),
        logits=logits,
        probabilities=(
            numbers_in(file, "probabilities", (len(images), classes)) if "probabilities" in file else None
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
        notes=tuple(strings_in(document["notes"])),
        gradient_free={key: _gradient_free(images, key, count) for key in keys},
        spans={
            key: _spans(file, key, raw[key].shape[-1], len(images))
            for key in keys
            if _at("spans", key) in file
        },
    )


def _at(what: str, key: Key) -> str:
    return f"{what}/{'/'.join(key)}"


def _spans(file: Archive, key: Key, width: int, count: int) -> np.ndarray:
    spans = file[_at("spans", key)]
    require(spans.shape == (count, 2) and spans.dtype.kind in "iu", "its texts have no start and end each")
    require(
        bool(((spans[:, 0] >= 0) & (spans[:, 0] < spans[:, 1]) & (spans[:, 1] <= width)).all()),
        "one of its texts lies outside of the map",
    )
    return spans


def _targets(image: Mapping[str, Any], classes: int) -> tuple[TargetInfo, ...]:
    return tuple(_target(target, classes) for target in list_in(image["targets"], "targets"))


def _target(t: Mapping[str, Any], classes: int) -> TargetInfo:
    index, of, sign, box, gamma = t["index"], t["of"], t["sign"], t["box"], t["gamma"]
    weighting = t["weighting"]
    require(
        index is None or whole_number(index, "index") < classes, f"it explains class {index} of {classes}"
    )
    require(of is None or of in get_args(Of), f"of={of!r} is no kind of score")
    require(sign in (1, -1), f"a target's sign is {sign!r}")
    require(box is None or (len(box) == 4 and all(map(is_number, box))), f"{box!r} is no box")
    require(gamma is None or is_number(gamma), f"γ is {gamma!r}")
    (name,) = strings_in([t["name"]])
    against = tuple(strings_in(t["against"]))
    require(weighting in (None, *get_args(Weighting)), f"the weighting is {weighting!r}")
    corners = None if box is None else tuple(box)
    sure = None if index is not None else t["probability"]
    require(sure is None or is_number(sure), f"the probability is {sure!r}")
    return TargetInfo(index, name, of, int(sign), against, corners, gamma, weighting, sure)


def _facts(about: Mapping[str, Any]) -> MethodFacts:
    (paper,) = strings_in([about["paper"]])
    flags = (about["rectified"], about["class_specific"])
    require(
        all(isinstance(flag, bool) for flag in flags), "what it says of a method is neither true nor false"
    )
    return MethodFacts(paper, *flags)


def _gradient_free(images: Sequence[Mapping[str, Any]], key: Key, count: int) -> np.ndarray:
    """Which maps are zero because the score does not depend on the layer, by image and target."""
    rows = [[Status(word) for word in image["status"]["/".join(key)]] for image in images]
    require(all(len(row) == count for row in rows), "it has no status for each map")
    return np.array([[status == Status.NO_GRADIENT for status in row] for row in rows], dtype=bool)


def _text(fields: Mapping[str, Any]) -> Text:
    text = Text.from_dict(fields)
    strings_in([*text.tokens, *(word.text for word in text.words)])
    whole_number(text.first, "first")
    for word in text.words:
        require(
            whole_number(word.start, "start") <= whole_number(word.stop, "stop") <= len(text),
            f"the word {word.text!r} lies outside of its text",
        )
    return text


def _geometry(fields: Mapping[str, Any] | None) -> Geometry | None:
    if fields is None:
        return None
    geometry = Geometry.from_dict(fields)
    require(min(*geometry.photo_size, *geometry.input_size) > 0, "a photo of it has no size")
    require(min(geometry.scale) > 0, "a photo of it has no scale")
    return geometry


def _signals(file: Archive, images: Sequence[Mapping[str, Any]]) -> list[Callable[[], Signal] | None]:
    """What makes the signal of each input; nothing if the inputs are none."""
    about = [image.get("signal") for image in images]
    if not any(about):
        return []
    require(all(about), "some of its inputs are signals, others are not")
    made: list[Callable[[], Signal] | None] = []
    for number, (image, one) in enumerate(zip(images, about, strict=True)):
        assert one is not None
        geometry = SignalGeometry.from_dict(one["geometry"])
        axes = {len(values) for values in vars(geometry).values()}
        require(len(axes) == 1 and min(geometry.photo_size) > 0, "a signal of it has no size")
        require(min(geometry.scale) > 0 and one["rate"] != 0, "a signal of it has no scale")
        known = (one["start"], *([] if one["rate"] is None else [one["rate"]]))
        require(all(map(is_number, known)), "a signal of it has no times")
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
    require(len(size) == 2, "a spectrogram of it is over time alone")
    low, high, unit = about["low"], about["high"], about["unit"]
    require(is_number(low) and is_number(high), "a spectrogram of it has no frequencies")
    levels = numbers_in(file, name, (size[1], size[0])).astype(np.float32)
    require(bool(np.isfinite(levels).all()), "a spectrogram of it is not finite")
    return Spectrogram(levels, float(low), float(high), *strings_in([unit]))
