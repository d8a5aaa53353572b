"""Loads a saved explanation."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from camscope.errors import InputError
from camscope.images import Geometry
from camscope.inputs import InputImages, image_of_saved
from camscope.results.explanation import Explanation
from camscope.results.maps import MethodFacts
from camscope.results.saving import FORMAT
from camscope.targets import TargetInfo
from camscope.text import Text


def load(path: str | Path) -> Explanation:
    """Read an explanation back. Its arrays are NumPy arrays; a photo is read again, from its file, when it is needed.

    Raises:
        InputError: if the file is missing or is not an explanation.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        document = json.loads(str(arrays["json"]))
        if document["format"] != FORMAT:
            raise ValueError(f"its format is {document['format']}, this version reads {FORMAT}")
        keys = [(method, layer) for method, layer in document["keys"]]
        raw = {key: arrays["maps/" + "/".join(key)] for key in keys}
        spans = {key: arrays[name] for key in keys if (name := "spans/" + "/".join(key)) in arrays}
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.") from None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} is not an explanation that camscope saved ({error}).") from error
    images = document["images"]
    return Explanation(
        raw=raw,
        scores=arrays["scores"],
        logits=arrays["logits"],
        probabilities=arrays.get("probabilities"),
        targets=tuple(
            tuple(
                TargetInfo(
                    t["index"],
                    t["name"],
                    t["of"],
                    t["sign"],
                    tuple(t["against"]),
                    None if t["box"] is None else tuple(t["box"]),
                    t["gamma"],
                )
                for t in image["targets"]
            )
            for image in images
        ),
        input_size=tuple(document["input_size"]),
        facts={name: MethodFacts(**facts) for name, facts in document["methods"].items()},
        class_names=document["class_names"],
        input_images=InputImages(
            [image_of_saved(image["source"], _geometry(image["geometry"])) for image in images],
            [Text.from_dict(image["text"]) for image in images if image.get("text")],
        ),
        provenance=document["provenance"],
        notes=tuple(document["notes"]),
        gradient_free={
            key: np.array(
                [[s == "no-gradient" for s in image["status"]["/".join(key)]] for image in images], dtype=bool
            )
            for key in keys
        },
        spans=spans,
    )


def _geometry(fields: Mapping[str, Any] | None) -> Geometry | None:
    return None if fields is None else Geometry.from_dict(fields)
