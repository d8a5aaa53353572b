"""A file that camscope exported gives the same maps where there is no PyTorch. Nothing here imports it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import camscope
from camscope.libraries.registry import libraries

onnxruntime = pytest.importorskip("onnxruntime")

FILE = Path(__file__).with_name("kept.onnx")


@pytest.fixture(scope="module")
def kept():
    with np.load(FILE.with_suffix(".npz")) as arrays:
        return dict(arrays)


def close(found: np.ndarray, expected: np.ndarray) -> bool:
    return bool(np.abs(found - expected).max() < 1e-5 * np.abs(expected).max())


def test_it_runs_in_onnx_runtime_alone(kept):
    logits, classes, maps = onnxruntime.InferenceSession(FILE).run(None, {"input": kept["x"]})
    assert close(logits, kept["logits"])
    assert classes.tolist() == kept["classes"].tolist()
    assert close(maps, kept["maps"])


@pytest.mark.skipif("onnx" not in {one.scheme for one in libraries()}, reason="there is no onnx: yet")
def test_camscope_reads_its_own_export(kept):
    explainer = camscope.Explainer(f"onnx:{FILE}")
    assert explainer.preprocessing == camscope.Preprocessing(
        input_size=(32, 32), resize=36, mean=(0.5,) * 3, std=(0.25,) * 3
    )
    e = explainer(kept["x"], methods="cam", targets=camscope.PerImage(kept["classes"].tolist()))
    assert e.class_names == ["cat", "dog", "ski", "été", "tea"]
    assert close(np.asarray(e.logits), kept["logits"])
    assert close(np.asarray(e.maps()), kept["maps"])
