"""Detectors, segmenters, models of captions and of texts through the server."""

from __future__ import annotations

import base64
import functools
import io

import numpy as np
import pytest
import torch
from PIL import Image

import camscope
from camscope.imputing import Mean
from tests.app.conftest import png, serving
from tests.torch.test_detectors import build
from tests.torch.test_segmenters import UNet

pytest.importorskip("fastapi", reason="needs the app extra")


def detector() -> camscope.Explainer:
    torch.manual_seed(0)
    return camscope.Explainer(build("retinanet").eval())


def segmenter() -> camscope.Explainer:
    torch.manual_seed(0)
    preprocessing = camscope.Preprocessing(input_size=(32, 32), resize=36, mean=(0.0,) * 3, std=(1.0,) * 3)
    return camscope.Explainer(UNet().eval(), preprocessing=preprocessing)


@functools.cache  # models are loaded beside each other, and weights drawn by one seed at a time
def reader() -> camscope.Explainer:
    from tests.texts import TextCNN

    torch.manual_seed(0)
    words = {word: number for number, word in enumerate(["<unk>", "a", "film", "i", "loved", "hated"])}
    return camscope.Explainer(TextCNN(len(words)).eval(), tokenizer=words, class_names=["bad", "good"])


@pytest.fixture(scope="module")
def kinds():
    from camscope.app.serving import Session

    session = Session()
    for name, make in {"detector": detector, "segmenter": segmenter, "reader": reader}.items():
        session.models.add(name, make)
    with serving(session) as served:
        for one in ("m1", "m2", "m3"):
            served.get(f"/api/models/{one}/classes")  # is loaded
        yield served


def numbers(one: dict) -> np.ndarray:
    return np.frombuffer(base64.b64decode(one["values"]), "<f4").reshape(one["shape"])


def test_the_state_says_what_each_takes(kinds):
    assert [one["kind"] for one in kinds.get("/api/state")["models"]] == ["detector", "segmenter", "texts"]


def test_instances_of_a_detector_are_listed_explained_and_found_by_a_box_around_them(kinds):
    content = noise()
    photo = kinds.dropped(content)
    found = kinds.get("/api/models/m1/instances", photo=photo)
    assert found["kind"] == "instances"
    first = found["instances"][0]
    by_number = kinds.post("/api/explain", model="m1", photo=photo, targets=[first["target"]])
    by_box = kinds.post("/api/explain", model="m1", photo=photo, at={"box": first["box"]})
    by_at = kinds.post("/api/explain", model="m1", photo=photo, at={"instance": 0})
    default = kinds.post("/api/explain", model="m1", photo=photo)
    one = numbers(by_number["photos"][0]["maps"][0])
    for view in (by_box, by_at, default):
        np.testing.assert_allclose(numbers(view["photos"][0]["maps"][0]), one, rtol=1e-5)
    said = kinds.refused("/api/explain", model="m1", photo=photo, at={"box": [0, 0, 1, 1]})
    assert "matches no detection" in said["error"]
    scores = kinds.post("/api/scores", model="m1", photo=photo, mask=[[1]], fill="mean")
    assert scores["targets"][0]["before"]["score"] != scores["targets"][0]["after"]["score"]
    assert scores["classes"] == []


def noise() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "PNG")
    return stored.getvalue()


def test_regions_of_a_segmenter_are_listed_and_one_may_be_drawn(kinds):
    photo = kinds.dropped(noise())
    found = kinds.get("/api/models/m2/instances", photo=photo)
    assert found["kind"] == "regions"
    assert sum(one["share"] for one in found["regions"]) == pytest.approx(1)
    largest = found["regions"][0]
    named = kinds.post("/api/explain", model="m2", photo=photo, targets=[largest["target"]])
    at = kinds.post("/api/explain", model="m2", photo=photo, at={"class": largest["class"]})
    np.testing.assert_array_equal(numbers(named["photos"][0]["maps"][0]), numbers(at["photos"][0]["maps"][0]))
    left = kinds.post("/api/explain", model="m2", photo=photo, at={"region": [[1, 0]], "class": 0})
    right = kinds.post("/api/explain", model="m2", photo=photo, at={"region": [[0, 1]], "class": 0})
    whole = kinds.post("/api/explain", model="m2", photo=photo, at={"region": [[1]], "class": 0})
    scores = [view["photos"][0]["targets"][0]["score"] for view in (left, right, whole)]
    assert scores[0] + scores[1] == pytest.approx(scores[2], rel=1e-4)
    hidden = kinds.post("/api/scores", model="m2", photo=photo, mask=[[1]], targets=[largest["target"]])
    assert hidden["removed"] == 1


def test_words_of_a_text(kinds):
    found = kinds.post("/api/texts", model="m3", text="a film i loved", targets=["good", "bad"])
    e = reader()("a film i loved", targets=["good", "bad"])
    assert [word["text"] for word in found["words"]] == ["a", "film", "i", "loved"]
    for one in found["maps"]:
        np.testing.assert_allclose(
            one["evidence"], [value for _, value in e.words(target=one["target"])], rtol=1e-5
        )
    assert [target["title"] for target in found["targets"]] == ["good", "bad"]
    assert len(kinds.post("/api/texts", model="m3", text="a film")["targets"]) == 2
    assert "reads no texts" in kinds.refused("/api/texts", model="m2", text="a film")["error"]
    said = kinds.refused("/api/explain", model="m3", photo=kinds.dropped(png()))
    assert "reads texts" in said["error"]


def test_words_of_a_text_are_left_out_or_alone_left(kinds):
    text = "a film i loved"
    with reader().altering(text, targets=["good"]) as seen:
        without = seen.masked(0, 1, lambda _: seen.inputs & (np.arange(4) != 3))
        alone = seen.masked(0, 1, lambda _: seen.inputs & (np.arange(4) == 3))
    for mode, expected, gone in (("hide", without, 1 / 4), ("keep", alone, 3 / 4)):
        said = kinds.post("/api/texts/scores", model="m3", text=text, words=[3], mode=mode, targets=["good"])
        (target,) = said["targets"]
        assert target["before"]["score"] == pytest.approx(float(seen.responses.scores[0, 0]), abs=1e-5)
        assert target["after"]["score"] == pytest.approx(float(expected.scores[0, 0]), abs=1e-5)
        assert {one["name"] for one in said["classes"]} == {"good", "bad"}
        assert said["removed"] == gone
    said = kinds.refused("/api/texts/scores", model="m3", text=text, words=[4])
    assert "no word 4: this text has 4 words" in said["error"]


def test_the_map_of_a_text_is_judged(kinds):
    said = kinds.client.post("/api/trust", json={"model": "m3", "text": "a film i loved", "probes": 32})
    assert said.status_code == 200, said.text
    assert "event: verdict" in said.text
    assert "a photo or of a text" in kinds.refused("/api/trust", model="m3")["error"]
    assert "reads no texts" in kinds.refused("/api/trust", model="m2", text="a film")["error"]


def wav(samples: np.ndarray, rate: int) -> bytes:
    from scipy.io import wavfile

    stored = io.BytesIO()
    wavfile.write(stored, rate, samples.astype(np.float32))
    return stored.getvalue()


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """A model of waves, one of spectrograms, and one of photos; the two folders."""
    pytest.importorskip("transformers")
    from camscope.app.serving import Session
    from tests.app.conftest import colours
    from tests.libraries.sounds import saved

    specs = [saved(kind, tmp_path_factory.mktemp(kind)) for kind in ("Hubert", "AST")]
    session = Session()
    for spec in specs:
        session.models.add(spec[:3], functools.partial(camscope.Explainer, spec))
    session.models.add("colours", colours)
    with serving(session) as served:
        for one in ("m1", "m2", "m3"):
            served.get(f"/api/models/{one}/classes")
        yield served, [camscope.Explainer(spec) for spec in specs]


def test_a_sound_is_explained_on_its_picture_and_a_part_of_it_is_silenced(sounds):
    served, explainers = sounds
    samples = np.random.default_rng(0).normal(size=16000) / 10
    content = wav(samples, 16000)
    sound = served.dropped(content, "speech.wav")
    picture = served.client.get(f"/api/photos/{sound}/picture", params={"side": 512})
    assert Image.open(io.BytesIO(picture.content)).size == (512, 128)
    for model, explainer, axes in (("m1", explainers[0], 1), ("m2", explainers[1], 2)):
        e = explainer((samples.astype(np.float32), 16000), targets="0")
        (own,) = [np.asarray(raw)[0, 0] for raw in e.raw.values()]
        view = served.post("/api/explain", model=model, photo=sound, targets=["0"])["photos"][0]
        found = numbers(view["maps"][0])
        np.testing.assert_allclose(found, own[None] if axes == 1 else own.T[::-1], rtol=1e-4, atol=1e-7)
        assert view["axes"]["unit"] == "s"
        assert ("frequency" in view["axes"]) == (axes == 2)
        # what lies on the picture's columns is what the library puts on the sound's own samples
        g, whole = view["geometry"], e.photo_heatmaps(0)[0]
        middle = np.arange(1024) + 0.5
        inside = middle * g["scale"][1] + g["offset"][1]
        assert inside.min() >= 0
        assert inside.max() < g["input_size"][1]
        of_signal = inside / e.input_images.geometry(0).scale[0] / whole.shape[0]
        np.testing.assert_allclose(of_signal, middle / 1024, atol=1e-6)

        half = {"mask": [[1, 0]], "fill": "mean", "targets": ["0"]}
        said = served.post("/api/scores", model=model, photo=sound, **half)
        assert said["removed"] == pytest.approx(0.5, abs=0.02)
        given = explainer.prepare((samples.astype(np.float32), 16000))
        with explainer.altering(given, targets="0") as seen:
            steps = e.input_images.geometry(0).photo_size[0]
            gone = np.zeros((1, *seen.inputs.shape[2:]), bool)
            gone[:, : steps // 2] = True
            expected = seen.masked(0, 1, lambda _, x=seen.inputs, gone=gone: Mean()(x, gone))
        assert said["targets"][0]["after"]["score"] == pytest.approx(float(expected.scores[0, 0]), abs=2e-3)
    top = served.post("/api/scores", model="m2", photo=sound, mask=[[1], [0]], targets=["0"])
    assert top["removed"] == pytest.approx(0.5, abs=0.02)


def test_a_sound_for_a_model_of_photos_a_photo_for_one_of_sounds_and_no_sound_are_refused(sounds):
    served, _ = sounds
    sound = served.dropped(wav(np.zeros(8000), 16000), "silence.wav")
    assert (
        "takes photos: drop one. This is a sound"
        in served.refused("/api/explain", model="m3", photo=sound)["error"]
    )
    assert (
        "takes sounds: drop a .wav file"
        in served.refused("/api/explain", model="m1", photo=served.dropped(png()))["error"]
    )
    for name, content, words in (
        ("a.wav", b"RIFF", "cannot be read"),
        ("a.mp3", b"ID3", "only .wav files are read"),
    ):
        said = served.client.post("/api/photos", files={"files": (name, content)})
        assert said.status_code == 422
        assert words in said.json()["error"]
