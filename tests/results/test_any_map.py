"""`camscope.overlay` and `camscope.fuse`: maps of any origin on any photo, and several that are one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import camscope
from camscope import render
from camscope.arrays import resize, scaled
from camscope.composition import fuse_maps
from camscope.errors import ImageError, InputError
from tests.conftest import make_tiny_cnn

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (24, 36, 3), dtype=np.uint8)
MAP = RNG.standard_normal((6, 9)).astype(np.float32)


@pytest.fixture(scope="module")
def x():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def explainer():
    return camscope.Explainer(make_tiny_cnn())


@pytest.fixture(scope="module")
def e(explainer, x):
    return explainer(x, methods=["gradcam", "layercam"], targets=[1, 2], layers=["stem_relu", "last_relu"])


# ------------------------------------------------------------------ any map on any photo


def drawn(values: np.ndarray, scale: object = "map", **style: object) -> np.ndarray:
    """By hand: stretched to the photo, scaled, laid over."""
    heat = scaled(resize(values[None, None], (24, 36)), scale)[0, 0]
    return np.asarray(render.overlay(PIXELS, heat, signed=scale == "signed", **style))


@pytest.mark.parametrize("scale", ["map", "signed", (0.0, 1.0), (-2.0, 0.5)])
def test_a_map_is_stretched_to_the_photo_and_scaled(scale):
    found = np.asarray(camscope.overlay(PIXELS, MAP, scale=scale, opacity=0.7, colormap="magma"))
    assert found.shape == PIXELS.shape
    assert np.array_equal(found, drawn(MAP, scale, opacity=0.7, colormap="magma"))


@pytest.mark.parametrize(
    "photo",
    [
        lambda path: path,
        lambda path: str(path),
        lambda path: Image.open(path),
        lambda path: PIXELS / 255,
        lambda path: torch.from_numpy(PIXELS).permute(2, 0, 1),
        lambda path: torch.from_numpy(PIXELS).permute(2, 0, 1)[None] / 255,
        lambda path: torch.from_numpy(PIXELS),
    ],
    ids=["path", "name", "PIL", "floats", "CHW", "NCHW", "HWC"],
)
def test_photos_in_every_form(photo, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(PIXELS).save(path)
    assert np.array_equal(np.asarray(camscope.overlay(photo(path), MAP)), drawn(MAP))


def test_a_picture_that_fastai_has_given_a_shape_is_one(monkeypatch):
    monkeypatch.setattr(Image.Image, "shape", property(lambda self: self.size[::-1]), raising=False)
    assert np.array_equal(np.asarray(camscope.overlay(Image.fromarray(PIXELS), MAP)), drawn(MAP))


@pytest.mark.parametrize(
    "heatmap",
    [
        lambda: torch.from_numpy(MAP),
        lambda: torch.from_numpy(MAP)[None, None].requires_grad_(),
        lambda: MAP[None].astype(np.float64),
        lambda: MAP.tolist(),
    ],
    ids=["tensor", "with axes of size 1", "doubles", "lists"],
)
def test_maps_in_every_form(heatmap):
    found = np.asarray(camscope.overlay(PIXELS, heatmap())).astype(int)
    assert np.abs(found - drawn(MAP)).max() <= 1


def test_masks_whole_numbers_and_what_was_not_seen():
    mask = np.zeros((24, 36), bool)
    mask[4:8, 6:12] = True
    assert np.array_equal(np.asarray(camscope.overlay(PIXELS, mask)), drawn(mask.astype(np.float32)))
    assert np.array_equal(
        np.asarray(camscope.overlay(PIXELS, 3 * mask.astype(np.uint8))), drawn(mask.astype("f4"))
    )
    partly = np.where(mask, np.nan, 1.0).astype(np.float32)
    partly[0, 0] = 0
    grey = np.asarray(camscope.overlay(PIXELS, partly))[5, 8]
    assert np.ptp(grey) == 0


def test_the_bar_says_the_maps_own_values():
    plain, barred = (camscope.overlay(PIXELS, MAP, colorbar=bar) for bar in (False, True))
    assert barred.width > plain.width
    assert barred.crop((0, 0, 36, 24)).tobytes() == plain.tobytes()
    hundred = camscope.overlay(PIXELS, 100 * MAP, colorbar=True)
    assert hundred.tobytes() != barred.tobytes()  # other numbers at its ends
    assert hundred.crop((0, 0, 36, 24)).tobytes() == plain.tobytes()


def test_it_is_the_overlay_of_an_explanation_where_nothing_was_cropped(e):
    image = e.input_image(1).picture
    heatmap = e["layercam", "last_relu"].heatmaps()[1, 0]
    mine = np.asarray(camscope.overlay(image, heatmap)).astype(int)
    assert np.abs(mine - np.asarray(e.overlay(1, 0, "layercam", "last_relu"))).max() <= 2


@pytest.mark.parametrize(
    ("heatmap", "options", "says"),
    [
        (np.zeros((2, 3, 4)), {}, r"\(2, 3, 4\).*several maps: give one of them"),
        (np.zeros(4), {}, r"shape \(height, width\); got \(4,\)"),
        (np.zeros((0, 4)), {}, "got"),
        (np.full((2, 2), np.inf), {}, "holds infinity"),
        (np.array([["a"]]), {}, "real numbers"),
        (None, {}, "not NoneType"),
        (MAP, {"scale": "sined"}, "Did you mean 'signed'"),
        (MAP, {"opacity": 2}, "opacity must lie between"),
        (MAP, {"colourmap": "jet"}, "Did you mean 'colormap'"),
        (MAP, {"colormap": "no-such-map"}, "no-such-map"),
    ],
)
def test_what_is_no_map_says_what_would_be_one(heatmap, options, says):
    with pytest.raises(InputError, match=says):
        camscope.overlay(PIXELS, heatmap, **options)


def test_mistakes_with_the_order_and_with_explanations(e, tmp_path):
    with pytest.raises(InputError, match=r"it is e\.overlay\(\)"):
        camscope.overlay(PIXELS, e)
    with pytest.raises((InputError, ImageError)):
        camscope.overlay(tmp_path / "none.jpg", MAP)
    with pytest.raises(InputError):
        camscope.overlay(MAP, Image.fromarray(PIXELS))


# ------------------------------------------------------------------ one map from several


@pytest.mark.parametrize("how", ["mean", "product", "max", "cascade"])
def test_maps_of_one_explanation_are_fused_as_by_the_formula(e, how):
    fused = camscope.fuse(e, how=how)
    assert fused.maps().equal(fuse_maps(list(e.raw.values()), how, 2.0))
    assert fused.methods == (f"fused(gradcam, layercam, {how})",)
    assert fused.maps().shape == (3, 2, 16, 16)
    assert fused.targets == e.targets
    assert float(fused.heatmaps().max()) == 1
    assert np.asarray(fused.overlay(1)).shape == (32, 32, 3)
    assert fused.figure() is not None
    assert fused[1].maps().equal(fused.maps()[1:2])


def test_the_fusion_of_layers_is_the_method_that_fuses_them(explainer, x):
    layers = ["stem_relu", "body_relu", "last_relu"]
    e = explainer(x, methods="layercam", layers=layers)
    method = explainer(x, methods="fuse(layercam, max)", layers=layers)
    assert camscope.fuse(e, how="max").maps().equal(method.maps())
    assert camscope.fuse(*(e["layercam", layer] for layer in layers), how="max").maps().equal(method.maps())
    assert camscope.fuse([e["layercam", layer] for layer in layers], how="max").maps().equal(method.maps())


def test_arrays_of_any_library_and_of_one_map(e):
    one, other = e.maps("gradcam", "last_relu"), e.maps("layercam", "stem_relu")
    assert camscope.fuse([one, other]).equal(fuse_maps([one, other], "mean"))
    flat = camscope.fuse(MAP, np.abs(MAP), how="product")
    assert flat.shape == MAP.shape
    np.testing.assert_allclose(flat, fuse_maps([MAP[None, None], np.abs(MAP)[None, None]], "product")[0, 0])
    assert camscope.fuse([np.eye(3, dtype=int), np.ones((3, 3), int)]).dtype == np.float32


def test_a_fused_explanation_is_kept_in_a_file(e, tmp_path):
    fused = camscope.fuse(e)
    loaded = camscope.load(fused.save(tmp_path / "fused.npz"))
    assert np.array_equal(np.asarray(loaded.maps()), fused.maps().numpy())
    assert loaded.provenance["fused"] == [list(key) for key in e.raw]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda e: camscope.fuse(e["gradcam", "last_relu"]), "nothing to fuse it with"),
        (lambda e: camscope.fuse(e[0], e), "expected the same"),
        (lambda e: camscope.fuse(e, how="maximum"), "Did you mean 'max'"),
        (lambda e: camscope.fuse([MAP]), "two maps or more"),
        (lambda e: camscope.fuse([]), "two maps or more|takes"),
        (lambda e: camscope.fuse(MAP, MAP[None, None]), "all of one kind"),
        (lambda e: camscope.fuse(MAP[None, None], np.zeros((2, 1, 3, 3))), "expected the same"),
        (lambda e: camscope.fuse(e, MAP), "explanations, or arrays of maps; got Explanation, ndarray"),
        (lambda e: camscope.fuse("gradcam", "layercam"), "got str"),
        (lambda e: camscope.fuse(e, hwo="max"), "Did you mean 'how'"),
        (lambda e: camscope.fuse(e, gamma=-1), "gamma=-1"),
    ],
)
def test_what_cannot_be_fused_says_why(e, call, says):
    with pytest.raises((InputError, camscope.MethodError), match=says):
        call(e)


def test_other_targets_are_not_fused(explainer, x, e):
    other = explainer(x, methods="gradcam", targets=[1, 3], layers="last_relu")
    with pytest.raises(InputError, match="other targets than the first"):
        camscope.fuse(e, other)


def test_what_was_not_seen_by_one_of_the_maps_is_not_known_of_all():
    holes, whole = np.abs(MAP), np.abs(MAP)[::-1].copy()
    holes[:, :3] = np.nan
    for how in ("mean", "max", "product", "cascade"):
        found = camscope.fuse(holes, whole, how=how)
        assert np.array_equal(np.isnan(found), np.isnan(holes))
        expected = fuse_maps([np.nan_to_num(holes)[None, None], whole[None, None]], how, 2.0)[0, 0]
        assert np.array_equal(found[:, 3:], expected[:, 3:])
    for others, says in (
        (MAP[:3], "one size"),
        (torch.from_numpy(MAP), "several libraries"),
        (MAP * 1j, "real numbers"),
        (np.full_like(MAP, np.inf), "infinity"),
    ):
        with pytest.raises(InputError, match=says):
            camscope.fuse(holes, others)


def test_maps_of_other_photos_or_other_parts_of_them_are_not_fused(tmp_path):
    for number, pixels in enumerate((PIXELS, PIXELS[::-1], PIXELS)):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    model = make_tiny_cnn()
    whole = camscope.Explainer(model, preprocessing="0-1@32")
    cropped = camscope.Explainer(
        model, preprocessing=camscope.Preprocessing((32, 32), resize=32, mean=(0.0,) * 3, std=(1.0,) * 3)
    )
    one, other, copy = (whole(tmp_path / f"{number}.png", targets=1) for number in range(3))
    with pytest.raises(InputError, match=r"other images.*1\.png"):
        camscope.fuse(one, other)
    camscope.fuse(one, copy)
    part = cropped(tmp_path / "0.png", targets=1)
    with pytest.raises(InputError, match=r"another part of the photo.*photo_heatmaps"):
        camscope.fuse(one, part)
    seen = part.photo_heatmaps()[0]
    on_photo = camscope.fuse(one.photo_heatmaps()[0], seen)
    assert np.array_equal(np.isnan(on_photo), np.isnan(seen))
    assert not np.isnan(on_photo).all()
