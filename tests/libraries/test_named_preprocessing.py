"""Preprocessings by name and from files, for inputs of any size and number of channels."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from camscope import InputError, Preprocessing
from camscope.images import IMAGENET
from camscope.libraries.info import PhotoInput
from camscope.libraries.named_preprocessing import named_preprocessing

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8))
SQUASHED = np.asarray(PHOTO.resize((16, 12), Image.Resampling.BILINEAR)).astype(np.float64).transpose(2, 0, 1)
SMALL = PhotoInput(3, (12, 16))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("0-1", SQUASHED / 255), ("-1-1", SQUASHED / 127.5 - 1), ("0-255", SQUASHED)],
)
def test_the_whole_photo_with_values_in_a_range(name, expected):
    np.testing.assert_allclose(named_preprocessing(name, SMALL)(PHOTO), expected, atol=1e-4)


def test_imagenet_is_the_standard():
    found = named_preprocessing("imagenet", PhotoInput())
    np.testing.assert_array_equal(found(PHOTO), IMAGENET(PHOTO))
    assert named_preprocessing("imagenet", PhotoInput(3, (128, 128))).resize == 146


def test_grey_photos():
    found = named_preprocessing("-1-1", PhotoInput(1, (12, 16)))
    grey = np.asarray(PHOTO.convert("L").resize((16, 12), Image.Resampling.BILINEAR)).astype(np.float64)
    np.testing.assert_allclose(found(PHOTO)[0], grey / 127.5 - 1, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("0-1", (224, 224)),
        ("0-1@96", (96, 96)),
        ("keras:vgg16@96x128", (96, 128)),
        ("imagenet@96x128", (96, 128)),
    ],
)
def test_the_size_of_a_model_that_takes_any(name, size):
    assert named_preprocessing(name, PhotoInput()).input_size == size


@pytest.mark.parametrize(
    ("name", "photo", "message"),
    [
        ("0-2", SMALL, r"no preprocessing '0-2'\. Did you mean .*0-1@96"),
        ("keras:resnet5", SMALL, r"no preprocessing 'keras:resnet5'\..*'keras:resnet50'"),
        ("resnet50", SMALL, r"no preprocessing 'resnet50'\..*'keras:resnet50'"),
        ("0-1@big", PhotoInput(), r"behind @ stands the side .*96x128"),
        ("0-1@0", PhotoInput(), r"behind @ stands the side .*96x128"),
        ("0-1@96", SMALL, r"the model takes photos of \(12, 16\)"),
        ("imagenet", PhotoInput(1), r"makes 3 channels; the model takes 1\. For one channel there are 0-1"),
        ("0-1", PhotoInput(4), r"makes 1 or 3 channels; the model takes 4\."),
        ("nowhere.json", SMALL, r"'nowhere\.json': there is no such file"),
    ],
)
def test_what_is_no_preprocessing_is_refused_with_what_is(name, photo, message):
    with pytest.raises(InputError, match=message):
        named_preprocessing(name, photo)


def test_a_file_holds_what_a_preprocessing_says_of_itself(tmp_path):
    own = Preprocessing((12, 16), (12, 16), crop="squash", mean=(0.5,), std=(0.25,), bgr=True)
    path = tmp_path / "how.json"
    path.write_text(json.dumps(own.to_dict()))
    assert named_preprocessing(path, SMALL) == own
    assert named_preprocessing(str(path), SMALL) == own


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"how\.json is no JSON"),
        ("[1]", r"fields of a Preprocessing by name, got list"),
        ('{"input_size": [8, 8], "sdt": [1]}', r"has no 'sdt'\. Did you mean 'std'"),
        ("{}", r"no values of a Preprocessing: .*input_size"),
        ('{"input_size": 8}', r"no values of a Preprocessing"),
        ('{"input_size": [8, 8], "std": [0, 0, 0]}', r"std must be positive"),
    ],
)
def test_a_file_that_does_not_is_refused(text, message, tmp_path):
    (tmp_path / "how.json").write_text(text)
    with pytest.raises(InputError, match=message):
        named_preprocessing(tmp_path / "how.json", SMALL)
