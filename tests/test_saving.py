"""Save and load: what comes back is equal in everything, and a wrong file is said to be one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import camscope
from camscope.errors import InputError
from tests.cli.brightness import bright

METHODS = ["gradcam", "layercam", "eigencam"]
TARGETS = [0, "-2", "probability:1"]


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "p.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def explained(photo):
    return camscope.explain(bright(), photo, methods=METHODS, layers=["cells", "seen"], targets=TARGETS)


def roundtrip(e: camscope.Explanation, path: Path) -> camscope.Explanation:
    return camscope.load(e.save(path))


def assert_equal(loaded: camscope.Explanation, e: camscope.Explanation) -> None:
    assert (loaded.methods, loaded.layers, loaded.targets) == (e.methods, e.layers, e.targets)
    assert (loaded.input_size, loaded.notes, list(loaded.class_names or [])) == (
        tuple(e.input_size), e.notes, list(e.class_names or []),
    )  # fmt: skip
    assert loaded.facts == e.facts
    assert loaded.status == e.status
    assert json.loads(json.dumps(dict(loaded.provenance))) == json.loads(json.dumps(dict(e.provenance)))
    for name in ("scores", "logits", "probabilities"):
        assert np.array_equal(getattr(loaded, name), getattr(e, name).numpy())
    for method, layer in e.raw:
        assert np.array_equal(loaded.maps(method, layer), e.maps(method, layer).numpy())
        for scale in ("map", "image", "batch", "signed", (-1.0, 2.0)):
            heat = e.heatmaps(method, layer, scale=scale).numpy()
            np.testing.assert_allclose(loaded.heatmaps(method, layer, scale=scale), heat, rtol=0, atol=2e-6)
        assert loaded.boxes(method, layer) == e.boxes(method, layer)
    assert [loaded.top(3, i) for i in range(len(e))] == [e.top(3, i) for i in range(len(e))]
    assert repr(loaded) == repr(e)


def test_an_explanation_of_a_photo_comes_back_equal(explained, tmp_path):
    loaded = roundtrip(explained, tmp_path / "e.npz")
    assert_equal(loaded, explained)
    for method, layer in explained.raw:
        np.testing.assert_allclose(
            loaded.photo_heatmaps(0, method, layer),
            explained.photo_heatmaps(0, method, layer),
            rtol=0,
            atol=2e-6,
        )
    assert loaded.summary() == explained.summary()
    assert np.array_equal(
        np.asarray(loaded.input_image(0).picture), np.asarray(explained.input_image(0).picture)
    )
    assert len(loaded.figure(0).axes) == len(explained.figure(0).axes)


def test_a_batch_of_tensors_comes_back_equal(tmp_path, shared_tiny_cnn, tiny_batch):
    e = camscope.explain(shared_tiny_cnn, tiny_batch, methods=["gradcam", "hirescam"], targets=[1, 3])
    loaded = roundtrip(e, tmp_path / "e.npz")
    assert_equal(loaded, e)
    with pytest.raises(InputError, match="not a picture"):
        loaded.input_image(0)


def test_a_volume_comes_back_equal(tmp_path):
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv3d(1, 6, 3, stride=2, padding=1), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool3d(1), torch.nn.Flatten(), torch.nn.Linear(6, 2),
    ).eval()  # fmt: skip
    e = camscope.explain(model, torch.randn(2, 1, 6, 8, 10), targets=[0, 1])
    path = e.save(tmp_path / "e.npz")
    assert_equal(camscope.load(path), e)
    with np.load(path, allow_pickle=False) as file:
        axes = json.loads(str(file["json"]))["axes"]
    (name,) = [name for name in axes if name.startswith("maps/")]
    assert axes[name] == ["image", "target", "depth", "height", "width"]


def test_every_status_comes_back(tmp_path):
    model = bright()
    with torch.no_grad():
        model.head.weight[2] = 0
    e = camscope.explain(model, np.full((64, 64, 3), 128, np.uint8), targets=[0, "-0", 2])
    loaded = roundtrip(e, tmp_path / "e.npz")
    assert loaded.status == e.status
    assert "no-gradient" in {str(s) for s in e.status["gradcam", "seen"][0]}


@pytest.mark.parametrize("given", ["e", "e.npz"])
def test_the_suffix_may_be_left_out(explained, tmp_path, given):
    assert explained.save(tmp_path / given) == tmp_path / "e.npz"
    assert camscope.load(str(tmp_path / "e.npz")).methods == explained.methods


def test_another_suffix_is_refused_and_nothing_is_written(explained, tmp_path):
    with pytest.raises(InputError, match=r"saved as \.npz, not \.png"):
        explained.save(tmp_path / "e.png")
    assert not (tmp_path / "e.png").exists()
    assert not (tmp_path / "e.npz").exists()


def test_maps_stay_readable_when_the_photo_is_gone(explained, photo, tmp_path):
    loaded = roundtrip(explained, tmp_path / "e.npz")
    photo.unlink()
    assert loaded.heatmaps("gradcam", "seen").shape == (1, 3, 64, 64)
    with pytest.raises(InputError, match="does not exist") as caught:
        loaded.overlay(0, 0, "gradcam", "seen")
    assert str(photo) in str(caught.value)


def test_a_photo_that_changed_its_size_is_refused(explained, photo, tmp_path):
    loaded = roundtrip(explained, tmp_path / "e.npz")
    Image.new("RGB", (30, 20)).save(photo)
    with pytest.raises(InputError) as caught:
        loaded.figure(0)
    assert all(
        words in str(caught.value) for words in (str(photo), "20×30 now", "60×90 when it was explained")
    )


NO_EXPLANATIONS = [
    "missing",
    "empty",
    "text",
    "npy",
    "other npz",
    "later",
    "png",
    "truncated",
    "damaged",
    "pickle",
]


@pytest.mark.parametrize("kind", NO_EXPLANATIONS)
def test_a_file_that_is_no_explanation_is_named(explained, tmp_path, kind):
    path = tmp_path / "e.npz"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("hello")
    elif kind == "npy":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif kind == "other npz":
        np.savez(path, x=np.zeros(3))
    elif kind == "later":
        np.savez(path, json=np.array(json.dumps({"format": 99, "keys": []})))
    elif kind == "png":
        with path.open("wb") as file:
            Image.new("RGB", (3, 3)).save(file, format="PNG")
    elif kind == "truncated":
        explained.save(path)
        path.write_bytes(path.read_bytes()[:-200])
    elif kind == "damaged":
        explained.save(path)
        content = bytearray(path.read_bytes())
        content[500:600] = bytes(100)
        path.write_bytes(content)
    elif kind == "pickle":
        np.savez(path, json=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError) as caught:
        camscope.load(path)
    assert str(path) in str(caught.value)
