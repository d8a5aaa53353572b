"""Preprocessing equals timm's and torchvision's own transforms on photos, to the bit."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torchvision import transforms as v1
from torchvision.models import ResNet50_Weights
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms._presets import ImageClassification, SemanticSegmentation

from camscope.errors import ImageError, InputError
from camscope.images import IMAGENET, Photo, Preprocessing, read_photo
from camscope.images.translate import timm_fields
from tests.images.pictures import array, noise

# (height, width): odd, portrait, landscape, square, tiny, thin, and the exact sizes of resize and crop
PHOTOS = [(101, 67), (67, 101), (256, 256), (255, 257), (33, 33), (5, 3), (1, 1), (7, 90), (64, 64), (48, 80)]
FILTERS = ["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def same(ours: np.ndarray, theirs: torch.Tensor) -> None:
    assert ours.dtype == np.float32
    assert ours.flags["C_CONTIGUOUS"]
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("size", [(48, 48), (32, 56), (57, 33)])
@pytest.mark.parametrize("part", [0.875, 1.0, 0.9, None])
def test_equal_to_timm(mode, size, part):
    config = {"input_size": (3, *size), "interpolation": "bicubic", "mean": MEAN, "std": STD}
    config |= {"crop_pct": part, "crop_mode": mode}
    ours, theirs = Preprocessing.from_timm(config), create_transform(**config, is_training=False)
    for height, width in PHOTOS:
        photo = noise(height, width)
        same(ours(photo), theirs(photo))


@pytest.mark.parametrize("name", FILTERS)
def test_equal_to_timm_with_every_filter(name):
    config = {
        "input_size": (3, 40, 40),
        "interpolation": name,
        "mean": (127 / 255,) * 3,
        "std": (128 / 255,) * 3,
    }
    photo = noise(61, 93)
    same(Preprocessing.from_timm(config)(photo), create_transform(**config, is_training=False)(photo))


@settings(max_examples=60, deadline=None, database=None)
@given(
    st.tuples(st.integers(8, 130), st.integers(8, 130)),
    st.tuples(st.integers(8, 70), st.integers(8, 70)),
    st.floats(0.5, 1.0),
    st.sampled_from(["center", "squash", "border"]),
)
def test_equal_to_timm_at_any_size(photo_size, input_size, part, mode):
    config = {"input_size": (3, *input_size), "crop_pct": part, "crop_mode": mode, "mean": MEAN, "std": STD}
    photo = noise(*photo_size)
    same(Preprocessing.from_timm(config)(photo), create_transform(**config, is_training=False)(photo))


def test_equal_to_timm_in_grey():
    """timm's readers make the photo grey before its transform."""
    for mode in ("center", "border"):
        config = {
            "input_size": (1, 40, 40),
            "mean": (0.5,),
            "std": (0.25,),
            "crop_mode": mode,
            "crop_pct": 0.9,
        }
        photo = noise(61, 93)
        same(
            Preprocessing.from_timm(config)(photo),
            create_transform(**config, is_training=False)(photo.convert("L")),
        )


def test_what_timm_resolves_is_understood():
    config = resolve_data_config(
        {}, pretrained_cfg={"input_size": (3, 32, 32), "crop_pct": 0.95, "num_classes": 9}
    )
    ours = Preprocessing.from_timm(config)
    assert (ours.input_size, ours.resize, ours.interpolation) == ((32, 32), 33, "bicubic")
    assert ours.source == "timm pretrained_cfg"
    assert timm_fields({**config, "interpolation": "random"})["interpolation"] == "bilinear"


@pytest.mark.parametrize("resize", [56, 48, 80])
@pytest.mark.parametrize("name", ["bilinear", "bicubic", "nearest", "nearest-exact"])
def test_equal_to_torchvision_presets(resize, name):
    theirs = ImageClassification(crop_size=48, resize_size=resize, interpolation=InterpolationMode(name))
    ours = Preprocessing.from_torchvision(theirs)
    for height, width in PHOTOS:
        photo = noise(height, width)
        same(ours(photo), theirs(photo))


def test_equal_to_torchvision_weights():
    theirs = ResNet50_Weights.IMAGENET1K_V2.transforms()
    ours = Preprocessing.from_torchvision(theirs)
    assert (ours.input_size, ours.resize, ours.source) == ((224, 224), 232, "torchvision weights")
    for photo in (read_photo("sample:cat").pixels, read_photo("sample:rocket").pixels):
        same(ours(photo), theirs(photo))


def test_imagenet_standard():
    theirs = v1.Compose([v1.Resize(256), v1.CenterCrop(224), v1.ToTensor(), v1.Normalize(MEAN, STD)])
    photo = noise(301, 450)
    same(IMAGENET(photo), theirs(photo))


def scaled(version):
    return [version.ToTensor()] if version is v1 else [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]


@pytest.mark.parametrize("version", [v1, v2])
@pytest.mark.parametrize(
    "steps",
    [
        lambda t: [t.Resize(60), t.CenterCrop(48), *scaled(t), t.Normalize(MEAN, STD)],
        lambda t: [t.Resize([60]), t.CenterCrop((40, 50)), *scaled(t)],
        lambda t: [t.Resize((40, 50), InterpolationMode.BICUBIC), *scaled(t), t.Normalize(MEAN, STD)],
        lambda t: [t.Resize((60, 50)), t.CenterCrop(45), *scaled(t), t.Normalize(MEAN, STD)],
        lambda t: [t.Resize(60, 3), *scaled(t), t.CenterCrop(48), t.Normalize(MEAN, STD)],
        lambda t: [t.CenterCrop(64), *scaled(t), t.Normalize(MEAN, STD)],
        lambda t: [
            t.Compose([t.Resize(60), t.CenterCrop(48)]),
            t.Compose([*scaled(t), t.Normalize(MEAN, STD)]),
        ],
        lambda t: [t.Resize(60), t.CenterCrop(48), t.PILToTensor(), t.ConvertImageDtype(torch.float32)],
        lambda t: [t.Grayscale(), t.Resize((28, 28)), *scaled(t), t.Normalize((0.5,), (0.2,))],
        lambda t: [t.Grayscale(), t.Resize((28, 28)), *scaled(t)],
        lambda t: [t.Resize((28, 28)), t.Grayscale(), *scaled(t), t.Normalize([0.5], [0.5])],
        lambda t: [t.Resize(60), t.Grayscale(3), t.CenterCrop(48), *scaled(t), t.Normalize(MEAN, STD)],
        lambda t: [t.Grayscale(3), t.Resize(60), t.CenterCrop(48), *scaled(t), t.Normalize(MEAN, STD)],
    ],
)
def test_equal_to_torchvision_compose(version, steps):
    theirs = version.Compose(steps(version))
    ours = Preprocessing.from_torchvision(theirs)
    assert ours.source == "torchvision transforms"
    for height, width in PHOTOS:
        photo = noise(height, width)
        same(ours(photo), theirs(photo))


@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
def test_resize_on_a_uint8_tensor_is_within_one_grey_level(name):
    theirs = v2.Compose(
        [
            v2.ToImage(),
            v2.ToDtype(torch.uint8, scale=True),
            v2.Resize(60, InterpolationMode(name), antialias=True),
            v2.CenterCrop(48),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )
    ours = Preprocessing.from_torchvision(theirs)
    for height, width in PHOTOS:
        photo = noise(height, width)
        np.testing.assert_allclose(ours(photo), theirs(photo).numpy(), rtol=0, atol=1.001 / 255)


def test_one_value_stands_for_every_channel():
    for mean, std in [((0.5,), (0.2,)), (0.5, 0.2)]:
        theirs = v1.Compose([v1.Resize((28, 28)), v1.ToTensor(), v1.Normalize(mean, std)])
        photo = noise(40, 50)
        same(Preprocessing.from_torchvision(theirs)(photo), theirs(photo))


def test_sequential_is_a_compose():
    steps = [v2.Resize(60), v2.CenterCrop(48), *scaled(v2)]
    assert Preprocessing.from_torchvision(torch.nn.Sequential(*steps)) == Preprocessing.from_torchvision(
        v2.Compose(steps)
    )


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([v1.RandomResizedCrop(48), v1.ToTensor()], "RandomResizedCrop.*augmentation"),
        ([v1.Lambda(lambda photo: photo), v1.ToTensor()], "Lambda"),
        ([v1.Resize(60), v1.ToTensor()], "leaves the input size to the photo"),
        ([v1.ToTensor()], "leaves the input size to the photo"),
        ([v1.Resize((60, 60))], "does not end in floats"),
        ([v1.Resize((60, 60)), v1.PILToTensor()], "does not end in floats"),
        ([v1.CenterCrop(48), v1.Resize(60), v1.ToTensor()], "Resize.*after another"),
        ([v1.CenterCrop(48), v1.CenterCrop(30), v1.ToTensor()], "CenterCrop.*after another"),
        ([v1.Resize(60, max_size=70), v1.CenterCrop(48), v1.ToTensor()], "max_size"),
        ([v1.ToTensor(), v1.Normalize(MEAN, STD), v1.CenterCrop(48)], "CenterCrop.*after Normalize"),
        ([v1.ToTensor(), v1.Resize((60, 60), InterpolationMode.BICUBIC)], "Resize.*float tensor"),
        ([v1.PILToTensor(), v1.Resize((60, 60), InterpolationMode.NEAREST)], "Resize.*uint8 tensor"),
        ([v1.PILToTensor(), v1.Resize((60, 60), antialias=False)], "Resize.*uint8 tensor"),
        ([v1.PILToTensor(), v1.Normalize(MEAN, STD)], "Normalize.*not yet floats"),
        ([v1.PILToTensor(), v1.ConvertImageDtype(torch.float16)], "ConvertImageDtype.*torch.float32"),
        ([v2.ToImage(), v2.ToDtype(torch.float32)], "ToDtype.*scale=True"),
        ([v2.ToDtype(torch.float32, scale=True)], "ToDtype.*ToImage"),
        ([v1.ToTensor(), v1.Grayscale()], "Grayscale.*another formula"),
        ([v1.Resize((6, 6)), v1.ToTensor(), v1.Normalize([0.5] * 4, [0.5] * 4)], "Normalize.*3 channel"),
        ([v1.Grayscale(), v1.Resize((6, 6)), v1.ToTensor(), v1.Normalize(MEAN, STD)], "Normalize.*1 channel"),
    ],
)
def test_what_cannot_be_translated_is_named(steps, words):
    with pytest.raises(InputError, match=words):
        Preprocessing.from_torchvision(v1.Compose(steps))


def test_other_presets_are_refused():
    with pytest.raises(InputError, match="SemanticSegmentation"):
        Preprocessing.from_torchvision(SemanticSegmentation(resize_size=520))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mean": None}, "'mean'"),
        ({"input_size": (48, 48)}, r"\(channels, height, width\)"),
        ({"input_size": (4, 48, 48)}, "4 channels"),
        ({"interpolation": "bicubbic"}, "Did you mean 'bicubic'"),
        ({"crop_mode": "centre"}, "Did you mean 'center'"),
    ],
)
def test_a_broken_timm_configuration(change, words):
    config = {"input_size": (3, 48, 48), "mean": MEAN, "std": STD} | change
    with pytest.raises(InputError, match=words):
        Preprocessing.from_timm({key: value for key, value in config.items() if value is not None})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"input_size": (0, 5)}, "input_size"),
        ({"input_size": (5, 5, 5)}, "input_size"),
        ({"resize": 0}, "resize"),
        ({"resize": (5, 0)}, "resize"),
        ({"resize": 5, "crop": "squash"}, r"resize=\(height, width\)"),
        ({"crop": "middle"}, "crop"),
        ({"interpolation": "linear"}, "Did you mean 'bilinear'"),
        ({"mean": (0.5, 0.5), "std": (1.0, 1.0)}, "greyscale"),
        ({"std": (0.5,)}, "mean and std"),
        ({"std": (0.5, 0.5, 0.0)}, "positive"),
    ],
)
def test_broken_fields(fields, words):
    with pytest.raises(InputError, match=words):
        Preprocessing(**{"input_size": (8, 8), **fields})


def test_view_is_what_the_model_sees():
    """Normalising the view by hand gives the model's input."""
    for crop in ("center", "squash", "border"):
        preprocessing = Preprocessing((30, 40), (33, 44), crop)
        photo = noise(50, 91)
        view = preprocessing.view(photo)
        assert (view.mode, view.size) == ("RGB", (40, 30))
        np.testing.assert_allclose(
            preprocessing(photo).transpose(1, 2, 0), (array(view) / 255 - MEAN) / STD, rtol=0, atol=1e-6
        )
        np.testing.assert_array_equal(preprocessing.denormalise(preprocessing(photo)), np.asarray(view))


def test_borders():
    """Black where the photo is too small for the crop; the mean colour in the mode border."""
    white = Image.new("RGB", (4, 4), (255, 255, 255))
    padded = array(Preprocessing((7, 4), None).view(white))
    np.testing.assert_array_equal(padded[:, 0, 0], [0, 255, 255, 255, 255, 0, 0])
    bordered = array(Preprocessing((8, 4), (8, 4), "border", mean=(0.1, 0.5, 0.9)).view(white))
    np.testing.assert_array_equal(bordered[0, 0], [26, 128, 230])
    np.testing.assert_array_equal(bordered[2, 0], [255, 255, 255])


def test_grey_view():
    preprocessing = Preprocessing((8, 8), mean=(0.5,), std=(0.5,))
    photo = noise(8, 8)
    assert preprocessing(photo).shape == (1, 8, 8)
    np.testing.assert_array_equal(array(preprocessing.view(photo)), array(photo.convert("L").convert("RGB")))
    np.testing.assert_array_equal(
        preprocessing.denormalise(preprocessing(photo)), np.asarray(photo.convert("L").convert("RGB"))
    )


def test_denormalise_takes_batches_and_clips():
    preprocessing = Preprocessing((2, 2), mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))
    batch = np.zeros((2, 3, 2, 2), dtype=np.float32)
    batch[1] = 9
    batch[0, :, 0, 0] = (np.nan, -9, np.inf)
    pixels = preprocessing.denormalise(batch)
    assert pixels.shape == (2, 2, 2, 3)
    assert pixels.dtype == np.uint8
    assert pixels[0, 1, 1].tolist() == [128, 64, 0]
    assert pixels[0, 0, 0].tolist() == [0, 0, 255]
    assert pixels[1].min() == 255


def test_a_model_that_takes_blue_first_gets_blue_first():
    """Mean and deviation are in the model's order; the way back gives red first again."""
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    preprocessing = Preprocessing((4, 4), None, mean=mean, std=std, bgr=True)
    photo = Image.new("RGB", (4, 4), (255, 51, 0))
    x = preprocessing(photo)
    np.testing.assert_allclose(
        x[:, 0, 0], [(v - m) / s for v, m, s in zip((0, 0.2, 1), mean, std, strict=True)], 1e-6
    )
    assert (preprocessing.denormalise(x) == (255, 51, 0)).all()


@pytest.mark.parametrize("shape", [(4, 4), (1, 4, 4), (4, 4, 3), (2, 4, 4, 3)])
def test_denormalise_refuses_other_shapes(shape):
    with pytest.raises(InputError, match=r"\.\.\., 3, height, width"):
        IMAGENET.denormalise(np.zeros(shape))


@pytest.mark.parametrize(
    "preprocessing",
    [IMAGENET, Preprocessing((64, 64), (64, 32)), Preprocessing((64, 64), (64, 64), "border")],
)
@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 60), (60, 1)])
def test_extremely_narrow_photos(preprocessing, size):
    """They work, or give one clear error; the geometry agrees with the call."""
    photo = Photo(Image.new("RGB", size[::-1]), source="thin.png")
    try:
        geometry = preprocessing.geometry(size)
    except ImageError:
        with pytest.raises(ImageError, match=r"'thin\.png' is too narrow.*squash"):
            preprocessing(photo)
    else:
        assert preprocessing(photo).shape == (3, *geometry.input_size)


def test_narrow_photos_that_cannot_be_resized():
    for preprocessing in (IMAGENET, Preprocessing((64, 64), (64, 64), "border")):
        with pytest.raises(ImageError, match="too narrow"):
            preprocessing.geometry((1, 5000))
    assert Preprocessing((64, 64), (64, 64), "squash").view(Image.new("RGB", (5000, 1))).size == (64, 64)


def test_photos_of_any_mode():
    photo = noise(20, 20).convert("RGBA")
    preprocessing = Preprocessing((16, 16), 18)
    np.testing.assert_array_equal(preprocessing(photo), preprocessing(photo.convert("RGB")))


def test_to_dict_tells_everything():
    assert Preprocessing((8, 9), (9, 9), "squash", "box", (0.5,), (0.25,)).to_dict() == {
        "input_size": (8, 9),
        "resize": (9, 9),
        "crop": "squash",
        "interpolation": "box",
        "mean": (0.5,),
        "std": (0.25,),
        "greyscale": "before",
        "source": "by hand",
        "bgr": False,
        "crop_offset": "even",
        "fill": None,
    }


def test_what_a_photo_does_not_fill_has_the_light_that_is_said():
    photo = Image.new("RGB", (20, 10), (255, 255, 255))
    mean = (0.0, 0.0, 0.0)
    boxed = Preprocessing((20, 20), (20, 20), "border", mean=mean, std=(1.0,) * 3, fill=114 / 255)
    made = boxed(photo)
    assert np.allclose(made[:, :5], 114 / 255)
    assert np.allclose(made[:, 5:15], 1)
    assert np.allclose(made[:, 15:], 114 / 255)
    assert Preprocessing.from_dict(boxed.to_dict()) == boxed
    with pytest.raises(InputError, match=r"from 0 \(black\) to 1"):
        Preprocessing((20, 20), (20, 20), "border", fill=114)


def test_a_picture_of_the_right_size_is_only_normalised():
    photo = noise(40, 30)
    for fields in ({}, {"bgr": True}, {"mean": (0.4,), "std": (0.2,)}, {"greyscale": "after"}):
        model = Preprocessing((40, 30), **fields)
        assert np.array_equal(model.normalise(photo.convert("RGB")), model(photo))
    dark = Preprocessing((40, 30)).normalise(photo.convert("RGB"), np.zeros(256, np.float32))
    np.testing.assert_allclose(dark[:, 0, 0], -np.array(MEAN) / STD, rtol=1e-6)


@pytest.mark.parametrize(
    "fields", [{"mean": (0.4,), "std": (0.2,)}, {"resize": (9, 8), "crop": "border", "bgr": True}]
)
def test_it_is_kept_as_json(fields):
    model = Preprocessing((40, 30), **fields)
    assert Preprocessing.from_dict(json.loads(json.dumps(model.to_dict()))) == model
