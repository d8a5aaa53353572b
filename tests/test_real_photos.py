"""Real photos through the real demo model, by name, from a path, a PIL image and an array."""

import re

import numpy as np
import pytest
from PIL import Image
from skimage import data

import camscope

EXPECTED = [
    # photo, the names its top class may have, its least probability (all the names' together)
    (data.chelsea, {"Egyptian cat", "tiger cat"}, 0.7),
    (data.coffee, {"espresso"}, 0.9),
    (data.camera, {"tripod"}, 0.9),
]


@pytest.fixture(scope="module")
def explainer():
    return camscope.Explainer("demo")


@pytest.mark.parametrize(("photo", "names", "least"), EXPECTED, ids=["cat", "coffee", "camera"])
def test_the_demo_model_knows_the_photo(explainer, photo, names, least):
    e = explainer(photo())
    assert e.targets[0][0].name in names
    assert sum(p for _, name, _, p in e.top(5) if name in names) > least
    assert e.status["gradcam", e.layers[0]] == (("ok",),)


def test_by_name_and_from_a_path_an_image_and_an_array_alike(explainer, tmp_path):
    array = data.coffee()
    path = tmp_path / "coffee.png"
    Image.fromarray(array).save(path)
    by_name = camscope.explain("demo", str(path))
    assert by_name.targets[0][0].name == "espresso"
    assert by_name.probability(0, 0) > 0.9
    for other in (explainer(path), explainer(Image.fromarray(array)), explainer(array)):
        assert other.targets == by_name.targets
        assert np.array_equal(other.maps().numpy(), by_name.maps().numpy())
        assert other.provenance["weights_sha256"] == by_name.provenance["weights_sha256"]


def test_several_photos_of_different_size_in_one_batch(explainer):
    e = explainer([photo() for photo, _, _ in EXPECTED])
    for image, (_, names, _) in enumerate(EXPECTED):
        assert e.targets[image][0].name in names


def test_a_class_asked_for_by_name_is_explained(explainer):
    e = explainer(data.coffee(), targets=["espresso", "cup"])
    assert [t.name for t in e.targets[0]] == ["espresso", "cup"]
    assert [t.index for t in e.targets[0]] == [967, 968]
    np.testing.assert_array_equal(e.scores.numpy()[0], e.logits.numpy()[0, [967, 968]])


def test_the_heatmap_is_brightest_on_the_cup(explainer):
    """The cup stands in the middle of the photo; the table around it is no espresso."""
    heat = explainer(data.coffee()).photo_heatmaps()[0]
    height, width = heat.shape
    assert (height, width) == data.coffee().shape[:2]
    row, column = np.unravel_index(np.nanargmax(heat), heat.shape)
    assert 0.2 * height < row < 0.8 * height
    assert 0.2 * width < column < 0.8 * width


def test_provenance_names_model_weights_and_preprocessing(explainer):
    photo = data.coffee()
    e = explainer(photo)
    assert e.provenance["model_name"] == "demo (EfficientNet-Lite0)"
    assert re.fullmatch(r"[0-9a-f]{64}", e.provenance["weights_sha256"])
    assert e.provenance["preprocessing"]["input_size"] == (224, 224)
    untrained = camscope.explain("timm:tf_efficientnet_lite0", photo, weights="random")
    assert untrained.provenance["weights_sha256"] != e.provenance["weights_sha256"]
