"""The samples that are watched, as the model sees them, and what stays the same for the whole training."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Shaped, UInt8

from camscope.arrays import Array, detached, to_numpy
from camscope.errors import InputError
from camscope.inputs import Inputs
from camscope.inputs.input_images import InputImages, images_of_batch
from camscope.results import Explanation
from camscope.results.npz import Archive
from camscope.targets import class_name
from camscope.targets.class_names import class_index
from camscope.watching.shards import SAMPLES, document_of, write

_LONGEST = 40
"""The most characters of a text in its name."""


@dataclass(frozen=True, eq=False)
class Samples:
    """The samples, and what stays the same.

    Attributes:
        inputs: as the model takes them, with whatever order of axes it has.
        pictures: the same as pictures; None if they are none (signals, volumes, texts).
        names: what each is called.
        labels: the name of each sample's own class, or of its classes; empty where that is not known.
        input_size: the size of the model's input along each axis of space, in pixels (or tokens).
        method: the name of the method.
        layer: the layer of all maps.
        rectified: whether negative values of a map mean evidence against, and are zero in a heatmap.
        class_names: the names of all classes; None if they are not known.
        about: how the maps came about: model, framework, how the layer was chosen, versions.
    """

    inputs: Shaped[np.ndarray, " sample *axes"]
    pictures: UInt8[np.ndarray, "sample height width 3"] | None
    names: tuple[str, ...]
    labels: tuple[str, ...]
    input_size: tuple[int, ...]
    method: str
    layer: str
    rectified: bool
    class_names: tuple[str, ...] | None
    about: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.names)

    def only(self, rows: Sequence[int]) -> Samples:
        """Some of the samples.

        Args:
            rows: the numbers of those that are kept.
        """
        return dataclasses.replace(
            self,
            inputs=self.inputs[list(rows)],
            pictures=None if self.pictures is None else self.pictures[list(rows)],
            names=tuple(self.names[row] for row in rows),
            labels=tuple(self.labels[row] for row in rows),
        )

    @property
    def digest(self) -> str:
        """A digest of the inputs, by which the same samples are known again."""
        contents = f"{self.inputs.dtype} {self.inputs.shape}".encode() + self.inputs.tobytes()
        return hashlib.sha256(contents).hexdigest()


def samples_of(
    given: Inputs,
    e: Explanation,
    *,
    names: Sequence[str] | None,
    labels: Sequence[Any] | None,
) -> Samples:
    """The samples of a recorder, once they were explained.

    Args:
        given: the prepared samples.
        e: their explanation.
        names: what each is called; None takes the names of their files, or numbers.
        labels: each sample's class, or classes, by index or name; None if they are not known.

    Raises:
        InputError: if there is not one name and one label for each sample.
        TargetError: if a label is no class.
    """
    images, (method, layer) = _as_seen(given), e.key()
    count = len(e)
    for what, words in (("names", names), ("labels", labels)):
        if words is not None and len(words) != count:
            raise InputError(f"{what} holds {len(words)}, and there are {count} samples: give one for each.")
    return Samples(
        inputs=_on_host(given.batch.given),
        pictures=_pictures(images),
        names=tuple(map(str, names)) if names is not None else _names(given.input_images),
        labels=_labels(labels, e),
        input_size=e.input_size,
        method=method,
        layer=layer,
        rectified=e.facts[method].rectified,
        class_names=None if e.class_names is None else tuple(e.class_names),
        about={name: value for name, value in e.provenance.items() if name != "weights_sha256"},
    )


def _as_seen(given: Inputs) -> InputImages:
    """What is kept of photos: what the model sees of them, at the input's size."""
    images = given.input_images
    fitted = (images.has(i) and images[i].geometry.scale != (1.0, 1.0) for i in range(len(images)))
    if given.preprocessing is None and not any(fitted):
        return images
    return images_of_batch(given.batch.x, given.preprocessing)


def write_samples(folder: Path, samples: Samples) -> None:
    """Write the samples' file.

    Raises:
        OSError, InputError: if it cannot be written.
    """
    arrays = {"inputs": samples.inputs}
    if samples.pictures is not None:
        arrays["pictures"] = samples.pictures
    document = {
        field.name: getattr(samples, field.name)
        for field in dataclasses.fields(Samples)
        if field.name not in ("inputs", "pictures")
    }
    write(folder / SAMPLES, arrays, document)


def read_samples(folder: Path) -> Samples:
    """The samples of a recorder's folder.

    Raises:
        OSError, ValueError and others of `camscope.watching.shards.BROKEN`: if there is no file, or it is broken.
    """
    with Archive(folder / SAMPLES) as file:
        document = document_of(file)
        inputs = file["inputs"]
        pictures = file["pictures"] if "pictures" in file else None  # noqa: SIM401 (no mapping, so it has no get)
    del document["format"]
    for name in ("names", "labels", "input_size", "class_names"):
        document[name] = None if document[name] is None else tuple(document[name])
    return Samples(inputs=inputs, pictures=pictures, **document)


def owned(samples: Any) -> Any:
    """The samples as given, with copies of arrays and tensors: whoever trains may write to theirs.

    Args:
        samples: what `Explainer` takes.
    """
    if isinstance(samples, Mapping):
        return {name: owned(value) for name, value in samples.items()}
    if isinstance(samples, (list, tuple)):
        copies = [owned(value) for value in samples]
        return copies if isinstance(samples, list) else tuple(copies)
    if hasattr(samples, "detach"):
        return samples.detach().clone()
    return samples.copy() if isinstance(samples, np.ndarray) else samples


def _on_host(given: Array) -> Shaped[np.ndarray, " sample *axes"]:
    """The inputs as NumPy has them; half precision as single, of which NumPy knows only some."""
    given = detached(given)
    if "float" in str(given.dtype) and not str(given.dtype).endswith(("float32", "float64")):
        given = array_namespace(given).astype(given, array_namespace(given).float32)
    return to_numpy(given)


def _pictures(images: InputImages) -> UInt8[np.ndarray, "sample height width 3"] | None:
    """The pictures as one array; None if some are none, or of several sizes."""
    if not all(images.has(i) for i in range(len(images))):
        return None
    found = [np.asarray(images[i].picture.convert("RGB")) for i in range(len(images))]
    return np.stack(found) if len({picture.shape for picture in found}) == 1 else None


def _names(images: InputImages) -> tuple[str, ...]:
    """The names of files, the beginnings of texts, or numbers."""
    if images.texts:
        return tuple(text.readable[:_LONGEST] for text in images.texts)
    sources = [images[i].source if images.has(i) else None for i in range(len(images))]
    return tuple(Path(source).stem if source else str(number) for number, source in enumerate(sources))


def _labels(labels: Sequence[Any] | None, e: Explanation) -> tuple[str, ...]:
    """Each sample's class in words; of several classes all."""
    if labels is None:
        return ("",) * len(e)
    count = e.logits.shape[1]

    def word(label: int | str) -> str:
        name = class_name(class_index(label, count, e.class_names), e.class_names)
        return e.short_names.get(name, name)

    rows = [label if isinstance(label, (list, tuple)) else [label] for label in labels]
    return tuple(", ".join(map(word, row)) for row in rows)
