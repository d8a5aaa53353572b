"""Save and load: what comes back is equal in everything, and a wrong file is said to be one."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
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


def rounding(raw: np.ndarray) -> float:
    """How far two heatmaps of a map may be apart: float32 loses digits where values are large beside their range."""
    return float(2e-6 + 4 * np.finfo(np.float32).eps * np.abs(raw).max() / max(np.ptp(raw), 1e-30))


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
        raw = e.maps(method, layer).numpy()
        assert np.array_equal(loaded.maps(method, layer), raw)
        for scale in ("map", "image", "batch", "signed", (-1.0, 2.0)):
            heat = e.heatmaps(method, layer, scale=scale).numpy()
            again = loaded.heatmaps(method, layer, scale=scale)
            np.testing.assert_allclose(again, heat, rtol=0, atol=rounding(raw))
        assert loaded.boxes(method, layer) == e.boxes(method, layer)
    assert [loaded.top(3, image=i) for i in range(len(e))] == [e.top(3, image=i) for i in range(len(e))]
    assert repr(loaded) == repr(e)


def test_an_explanation_of_a_photo_comes_back_equal(explained, tmp_path):
    loaded = roundtrip(explained, tmp_path / "e.npz")
    assert_equal(loaded, explained)
    for method, layer in explained.raw:
        np.testing.assert_allclose(
            loaded.photo_heatmaps(0, method, layer),
            explained.photo_heatmaps(0, method, layer),
            rtol=0,
            atol=rounding(explained.maps(method, layer).numpy()),
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


# ---------------------------------------------------------------- files that claim what is not so


def changed(e: camscope.Explanation, path: Path, change) -> Path:
    """The saved file of an explanation, with its arrays and its JSON changed."""
    with np.load(e.save(path), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    document = json.loads(str(arrays.pop("json")))
    change(arrays, document)
    np.savez(path, json=np.array(json.dumps(document)), **arrays)
    return path


def header_of(shape: tuple[int, ...], content: bytes = b"") -> bytes:
    """An array in NumPy's format that claims a shape and holds something else."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue() + content


def image(document) -> dict:
    return document["images"][0]


CHANGES = {
    "maps of another count of images": (
        lambda a, d: a.update({"maps/gradcam/seen": a["maps/gradcam/seen"].repeat(2, 0)}),
        r"'maps/gradcam/seen' has shape \(2, 3, 16, 16\), where the rest needs \(1, 3, any, any\)",
    ),
    "maps of another count of targets": (
        lambda a, d: a.update({"maps/gradcam/seen": a["maps/gradcam/seen"][:, :2]}),
        r"has shape \(1, 2, 16, 16\), where the rest needs \(1, 3",
    ),
    "maps without space": (
        lambda a, d: a.update({"maps/gradcam/seen": a["maps/gradcam/seen"][..., 0]}), "where the rest needs"
    ),
    "empty maps": (
        lambda a, d: a.update({"maps/gradcam/seen": a["maps/gradcam/seen"][..., :0]}), "where the rest needs"
    ),
    "maps of words": (
        lambda a, d: a.update({"maps/gradcam/seen": a["maps/gradcam/seen"].astype(str)}), "not floating-point"
    ),
    "no maps": (lambda a, d: a.pop("maps/gradcam/seen"), "it holds no 'maps/gradcam/seen'"),
    "no scores": (lambda a, d: a.pop("scores"), "it holds no 'scores'"),
    "scores of another shape": (lambda a, d: a.update(scores=a["scores"][0]), "'scores' has shape"),
    "probabilities of another shape": (
        lambda a, d: a.update(probabilities=a["probabilities"][:, :2]), "'probabilities' has shape"
    ),
    "no images": (lambda a, d: d.update(images=[]), "'images' is no list of at least one"),
    "too many images": (lambda a, d: d.update(images=d["images"] * 2), "'logits' has shape"),
    "too few targets": (lambda a, d: image(d)["targets"].pop(), "where the rest needs"),
    "a class that is none": (lambda a, d: image(d)["targets"][0].update(index=3), "explains class 3 of 3"),
    "half a class": (lambda a, d: image(d)["targets"][0].update(index=0.5), "index is 0.5"),
    "another kind of score": (lambda a, d: image(d)["targets"][0].update(of="luck"), "of='luck'"),
    "no sign": (lambda a, d: image(d)["targets"][0].update(sign=0), "a target's sign is 0"),
    "half a box": (lambda a, d: image(d)["targets"][0].update(box=[0, 1]), "is no box"),
    "another status": (lambda a, d: image(d)["status"].update({"gradcam/seen": ["fine"] * 3}), "fine"),
    "too few statuses": (lambda a, d: image(d)["status"].update({"gradcam/seen": ["ok"]}), "status for each"),
    "too few class names": (lambda a, d: d.update(class_names=["a"]), "no name for each of 3 classes"),
    "no input size": (lambda a, d: d.update(input_size=[]), "'input_size' is no list"),
    "a negative input size": (lambda a, d: d.update(input_size=[-1, 64]), "input_size is -1"),
    "a method without facts": (lambda a, d: d["methods"].pop("gradcam"), "nothing of one of its methods"),
    "other facts": (lambda a, d: d["methods"]["gradcam"].update(rectified="no"), "neither true nor false"),
    "a photo without size": (
        lambda a, d: image(d)["geometry"].update(photo_size=[0, 90]), "a photo of it has no size"
    ),
    "half a geometry": (lambda a, d: image(d)["geometry"].pop("scale"), "A geometry needs the pairs"),
    "notes that are none": (lambda a, d: d.update(notes=[1]), "are no words"),
    "no provenance": (lambda a, d: d.update(provenance=None), "its provenance is none"),
    "not an object": (lambda a, d: d.pop("keys"), "keys"),
    "not finite": (lambda a, d: d.update(input_size=[float("nan"), 64]), "NaN is no number of JSON"),
    "infinite": (lambda a, d: d.update(input_size=[float("-inf"), 64]), "-Infinity is no number of JSON"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHANGES)
def test_a_file_that_contradicts_itself_is_refused(explained, tmp_path, kind):
    change, says = CHANGES[kind]
    path = changed(explained, tmp_path / "e.npz", change)
    with pytest.raises(InputError, match=says) as caught:
        camscope.load(path)
    assert f"{path} is not an explanation that camscope saved" in str(caught.value)


@pytest.mark.parametrize("shape", [(200, 10**12), (10**6, 10**3), (3,), (-1, 4), (2**63, 2**63)])
def test_a_header_that_claims_what_is_not_there_is_refused_before_anything_is_made(
    explained, tmp_path, shape
):
    """(200, 10¹²) single-precision numbers are 800 TB."""
    path = explained.save(tmp_path / "e.npz")
    kept = {}
    with zipfile.ZipFile(path) as old:
        kept = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in kept.items():
            new.writestr(name, header_of(shape, bytes(16)) if name == "logits.npy" else content)
    with pytest.raises(InputError, match="claims the shape"):
        camscope.load(path)


def test_a_file_that_claims_more_than_a_zip_can_hold_is_refused(explained, tmp_path):
    """The directory of the zip says how large each array is; that too may be a lie."""
    path = explained.save(tmp_path / "e.npz")
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (2**32 - 2).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(InputError, match="it claims to hold more than a file of"):
        camscope.load(path)


@pytest.mark.parametrize("name", ["json", "scores"])
def test_objects_are_not_unpickled(explained, tmp_path, name):
    path = changed(explained, tmp_path / "e.npz", lambda a, d: None)
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files}
    arrays[name] = np.array([{"a": 1}], dtype=object)
    np.savez(path, allow_pickle=True, **arrays)
    with pytest.raises(InputError, match=f"'{name}' holds object, not numbers or text"):
        camscope.load(path)


def test_deeply_nested_json_is_refused(explained, tmp_path):
    path = explained.save(tmp_path / "e.npz")
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files}
    arrays["json"] = np.array("[" * 100_000)
    np.savez(path, **arrays)
    with pytest.raises(InputError, match="not an explanation"):
        camscope.load(path)


def test_a_score_that_is_no_number_is_null_in_json_and_itself_in_the_array(
    tmp_path, shared_tiny_cnn, tiny_batch
):
    """JSON has neither NaN nor infinity."""
    e = camscope.explain(shared_tiny_cnn, tiny_batch, targets=[0])
    e = dataclasses.replace(e, scores=torch.full_like(e.scores, -torch.inf))
    path = e.save(tmp_path / "e.npz")
    with np.load(path) as file:
        document = json.loads(str(file["json"]), parse_constant=lambda word: pytest.fail(word))
    assert document["images"][0]["targets"][0]["score"] is None
    assert np.isneginf(camscope.load(path).scores).all()
