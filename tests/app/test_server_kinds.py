"""Detectors, segmenters, models of captions and of texts through the server."""

from __future__ import annotations

import base64
import functools

import numpy as np
import pytest
import torch
from PIL import Image

import camscope
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
    import io

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
