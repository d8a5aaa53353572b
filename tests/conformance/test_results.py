"""A result in any framework's arrays shows itself and can be kept: photos in, figures and files out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import camscope
from camscope.arrays import resize, to_numpy
from camscope.images import Preprocessing
from tests.conformance.cases import CASES, Case
from tests.conformance.networks import classifier, random_batch, segmenter

PREPARED = Preprocessing(input_size=(16, 16), resize=18, mean=(0.5,) * 3, std=(0.25,) * 3)
NAMES = ["ant", "bee", "cat", "dog", "eel"]
METHODS = ["cam", "reciprocam"]


def photo() -> np.ndarray:
    """Not square, and bright in one corner."""
    pixels = np.random.default_rng(0).integers(0, 120, (36, 48, 3), dtype=np.uint8)
    pixels[4:14, 26:40] += 130
    return pixels


def explained(case: Case, methods=METHODS, **options) -> camscope.Explanation:
    network = classifier()
    network.preprocessing, network.class_names = PREPARED, NAMES
    return case.explainer(network)(
        [photo(), photo()[::-1]], methods=methods, targets=camscope.TopK(2), **options
    )


@pytest.fixture(scope="module")
def by_torch() -> camscope.Explanation:
    return explained(CASES[0])


def test_photos_are_prepared_as_the_model_says(case: Case, by_torch: camscope.Explanation):
    e = explained(case)
    np.testing.assert_allclose(to_numpy(e.logits), to_numpy(by_torch.logits), rtol=1e-4, atol=1e-5)
    assert e.provenance["preprocessing"] == PREPARED.to_dict()
    assert e.targets == by_torch.targets
    assert e.targets[0][0].name == NAMES[int(to_numpy(e.logits)[0].argmax())]
    assert e.input_images[1].picture.size == (48, 36)


def test_the_same_photo_as_an_array_and_as_prepared_numbers(case: Case):
    x = np.stack([PREPARED(camscope.images.to_photo(p)) for p in (photo(), photo()[::-1])])
    network = classifier()
    as_numbers = case.explainer(network)(case.tensor(x), methods="cam", targets=camscope.TopK(2))
    np.testing.assert_array_equal(to_numpy(as_numbers.maps()), to_numpy(explained(case, "cam").maps()))


@pytest.mark.parametrize("scale", ["map", "image", "batch", "signed", (-1.0, 1.0)])
def test_heatmaps(case: Case, by_torch: camscope.Explanation, scale):
    e = explained(case)
    for method in METHODS:
        heat = to_numpy(e.heatmaps(method, scale=scale))
        assert heat.shape == (2, 2, 16, 16)
        np.testing.assert_allclose(heat, to_numpy(by_torch.heatmaps(method, scale=scale)), atol=1e-4)
        on_photo = e.photo_heatmaps(1, method, scale=scale)
        assert on_photo.shape == (2, 36, 48)
        np.testing.assert_allclose(on_photo, by_torch.photo_heatmaps(1, method, scale=scale), atol=1e-4)


def test_a_heatmap_is_the_map_resized_and_rectified(case: Case):
    e = explained(case, "cam")
    resized = resize(np.maximum(to_numpy(e.maps()), 0), (16, 16))
    for image in range(2):
        for target in range(2):
            one = resized[image, target]
            expected = (one - one.min()) / (one.max() - one.min())
            np.testing.assert_allclose(to_numpy(e.heatmaps())[image, target], expected, atol=1e-5)


def test_masks_boxes_and_words_about_it(case: Case, by_torch: camscope.Explanation):
    e = explained(case)
    assert e.boxes("cam") == by_torch.boxes("cam")
    assert e.boxes("cam", on_photo=True) == by_torch.boxes("cam", on_photo=True)
    assert e.status == by_torch.status
    assert [name for _, name, *_ in e.top(2)] == [name for _, name, *_ in by_torch.top(2)]
    assert repr(e) == repr(by_torch)


def test_pictures(case: Case, by_torch: camscope.Explanation):
    """The overlay, pixel by pixel; and each kind of figure that needs no channels, drawn."""
    e = explained(case)
    for image, target in ((0, 0), (1, 1)):
        mine, theirs = (np.asarray(one.overlay(image, target, "cam")).astype(int) for one in (e, by_torch))
        assert mine.shape == (36, 48, 3)
        assert np.abs(mine - theirs).max() <= 1
    for by in (None, "methods"):
        assert pixels(e.figure(by=by)).std() > 0
    assert pixels(e.figure(by="targets", method="cam", boxes=True)).std() > 0
    assert "<img" in e._repr_html_()


def pixels(figure) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def test_what_is_saved_is_read_back(case: Case, tmp_path: Path):
    e = explained(case)
    back = camscope.load(e.save(tmp_path / "kept.npz"))
    assert back.raw.keys() == e.raw.keys()
    for key, maps in e.raw.items():
        np.testing.assert_array_equal(back.raw[key], to_numpy(maps))
    for name in ("scores", "logits", "probabilities"):
        np.testing.assert_array_equal(getattr(back, name), to_numpy(getattr(e, name)))
    assert back.targets == e.targets
    assert back.status == e.status
    assert back.provenance == json.loads(json.dumps(e.provenance))
    with np.load(tmp_path / "kept.npz") as file:
        np.testing.assert_allclose(file["heatmaps/cam/last_relu"], to_numpy(e.heatmaps("cam")), atol=1e-6)


def test_a_segmenters_region_is_explained(case: Case):
    e, by_torch = (
        one.explainer(segmenter())(
            one.tensor(random_batch(2)), methods="reciprocam", targets=camscope.Region()
        )
        for one in (case, CASES[0])
    )
    np.testing.assert_allclose(to_numpy(e.maps()), to_numpy(by_torch.maps()), rtol=1e-4, atol=1e-6)


def test_concepts_and_embeddings(case: Case):
    x = random_batch(4)
    explainer, by_torch = case.explainer(classifier()), CASES[0].explainer(classifier())
    found = explainer.concepts(case.tensor(x), count=2)
    expected = by_torch.concepts(CASES[0].tensor(x), count=2)
    for mine, theirs in (
        (found.explanation.maps(), expected.explanation.maps()),
        (found.vectors, expected.vectors),
        (found.class_scores, expected.class_scores),
    ):
        np.testing.assert_allclose(to_numpy(mine), to_numpy(theirs), rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(
        to_numpy(explainer.embed(case.tensor(x))),
        to_numpy(by_torch.embed(CASES[0].tensor(x))),
        rtol=1e-4,
        atol=1e-5,
    )
