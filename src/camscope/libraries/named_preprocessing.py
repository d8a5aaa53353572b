"""How photos are prepared, by a name or a file: `0-1`, `keras:resnet50`, `how.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camscope.errors import InputError, keyword, nearest
from camscope.images import Preprocessing
from camscope.libraries.info import PhotoInput
from camscope.libraries.keras.applications import FAMILIES, family_of

_SCALES: Mapping[str, tuple[float, float]] = {"0-1": (0.0, 1.0), "-1-1": (0.5, 0.5), "0-255": (0.0, 1 / 255)}
"""The mean and the standard deviation, for values from 0 to 1, after which they are in these ranges."""

NAMES = ("0-1", "-1-1", "0-255", "imagenet", "keras:NAME")
"""All names, for messages: `keras:NAME` is any model of keras.applications."""

_MARGIN = 256 / 224
"""How much larger than the input the shorter side of a photo is made before the crop."""

_SIZE = 224
"""The side of the input of a model that takes any, where none is given."""


def named_preprocessing(text: str | Path, photo: PhotoInput) -> Preprocessing:
    """The preprocessing of a name, for the input of a model.

    `0-1`, `-1-1` and `0-255` make the whole photo as large as the input, and bring its values into that range;
    `keras:resnet50` does what `preprocess_input` of that family of keras.applications does with such values. `imagenet`
    resizes the shorter side, crops the middle, and takes ImageNet's mean and standard deviation. Where the model takes
    photos of any size, `0-1@96` or `0-1@96x128` (height × width) says it; else it is 224.

    Args:
        text: a name, or the path of a JSON file that holds what `Preprocessing(…).to_dict()` gives.
        photo: what the model takes.

    Raises:
        InputError: if it is neither, the file cannot be read, or it does not fit the model.
    """
    if str(text).endswith(".json"):
        return _from_file(Path(text))
    name, at, said = str(text).partition("@")
    size = _read_size(said, text) if at else photo.size or (_SIZE, _SIZE)
    if photo.size is not None and size != photo.size:
        raise InputError(
            f"{keyword('preprocessing', str(text))}: the model takes photos of {photo.size} pixels (height, width)."
        )
    if name == "imagenet":
        _check_channels(text, photo.channels, (3,))
        return Preprocessing(size, round(min(size) * _MARGIN), source="ImageNet standard")
    if name in _SCALES:
        _check_channels(text, photo.channels, (1, 3))
        values: Mapping[str, Any] = {
            key: (value,) * photo.channels for key, value in zip(("mean", "std"), _SCALES[name], strict=True)
        }
        return Preprocessing(size, size, crop="squash", source=f"by name: {name}", **values)
    family = family_of(name.removeprefix("keras:")) if name.startswith("keras:") else ""
    if not family:
        known = [*NAMES[:-1], *(f"keras:{one}" for one in FAMILIES)]
        raise InputError(
            f"There is no preprocessing {name!r}.{nearest(name, known)} The names: {', '.join(NAMES)}, each with a "
            "size behind it if the model takes any (0-1@96); or a FILE.json of Preprocessing(…).to_dict()."
        )
    _check_channels(text, photo.channels, (3,))
    return Preprocessing(
        size, size, crop="squash", source=f"keras.applications ({family})", **FAMILIES[family]
    )


def _read_size(text: str, whole: str | Path) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)(?:[x×](\d+))?", text)
    size = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if min(size) < 1:
        raise InputError(
            f"{keyword('preprocessing', str(whole))}: behind @ stands the side of the input in pixels, or height × "
            "width: 96 or 96x128."
        )
    return size


def _check_channels(text: str | Path, channels: int, fitting: tuple[int, ...]) -> None:
    if channels not in fitting:
        others = "" if channels != 1 else " For one channel there are 0-1, -1-1 and 0-255."
        raise InputError(
            f"{keyword('preprocessing', str(text))} makes {' or '.join(map(str, fitting))} channels; the model takes "
            f"{channels}.{others}"
        )


def _from_file(path: Path) -> Preprocessing:
    if not path.is_file():
        raise InputError(f"{keyword('preprocessing', str(path))}: there is no such file.")
    try:
        fields = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is no JSON: {error}.") from error
    return Preprocessing.from_dict(fields)
