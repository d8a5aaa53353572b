"""Random changes of images: each is torchvision's own or exact by hand, and a function of the numbers drawn alone."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F  # noqa: N812

from camscope.errors import InputError
from camscope.images import IMAGENET, Preprocessing, to_photo
from camscope.training import Augmentation
from camscope.training.randomness import DRAWS, draws, shuffled
from tests.training.made import picture

SMALL = Preprocessing((20, 16), resize=24)
MODELS = {
    "centre": SMALL,
    "border": Preprocessing((20, 16), resize=(20, 16), crop="border"),
    "squash": Preprocessing((20, 16), resize=(20, 16), crop="squash", interpolation="bicubic"),
    "grey": Preprocessing((20, 16), resize=24, mean=(0.4,), std=(0.3,)),
    "grey as RGB": Preprocessing((20, 16), resize=24, greyscale="after"),
    "blue first": Preprocessing((20, 16), resize=24, bgr=True),
}
PHOTO = to_photo(picture(0, (50, 40)))
MIDDLE = np.full(DRAWS, 0.5)
"""No shift, no angle, the same light, and no flip."""


def drawn(**values: float) -> np.ndarray:
    """Random numbers with some of them chosen."""
    names = ["area", "ratio", "top", "left", "mirror", "turn", "angle", "brighter", "harder"]
    return np.array([values.get(name, 0.5) for name in names])


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_nothing_changed_is_the_preprocessing_to_the_bit(model):
    assert np.array_equal(Augmentation(model)(PHOTO, draws(0, 0, 0)), model(PHOTO))
    everything = Augmentation(model, shift=2, flip=True, vertical=True, rotate=10, lighting=0.3)
    assert (
        np.abs(everything(PHOTO, MIDDLE) - model(PHOTO)).max() < 1e-6
    )  # a light of 1.0 is not divided by 255 as one


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_flips_mirror_what_the_model_sees(model):
    plain = model(PHOTO)
    both = Augmentation(model, flip=True, vertical=True)
    assert np.array_equal(both(PHOTO, drawn(mirror=0.49, turn=0.5)), plain[:, :, ::-1])
    assert np.array_equal(both(PHOTO, drawn(mirror=0.5, turn=0.49)), plain[:, ::-1])
    assert np.array_equal(both(PHOTO, drawn(mirror=0, turn=0)), plain[:, ::-1, ::-1])


@pytest.mark.parametrize(("top", "left"), [(0.0, 0.0), (0.99, 0.3), (0.5, 0.7)])
def test_a_shift_repeats_the_edge(top, left):
    """As torchvision's pad with the edge and crop."""
    shifted = Augmentation(SMALL, shift=2)(PHOTO, drawn(top=top, left=left))
    by = [int(draw * 5) - 2 for draw in (top, left)]
    padded = F.pad(torch.from_numpy(SMALL(PHOTO)), [2, 2, 2, 2], padding_mode="edge")
    assert np.array_equal(shifted, F.crop(padded, 2 - by[0], 2 - by[1], 20, 16).numpy())


def test_every_shift_is_as_likely():
    mark = np.zeros((9, 9), np.uint8)
    mark[4, 4] = 255
    model = Preprocessing((9, 9), mean=(0.0,), std=(1.0,))
    places = [
        divmod(int(Augmentation(model, shift=1)(to_photo(mark), draws(0, 0, i)).argmax()), 9)
        for i in range(2000)
    ]
    counts = np.array([places.count((y, x)) for y in (3, 4, 5) for x in (3, 4, 5)])
    assert counts.sum() == 2000
    assert np.abs(counts - 2000 / 9).max() < 5 * np.sqrt(2000 / 9)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_rotation_is_torchvisions_with_the_mean_colour_around(model):
    turned = Augmentation(model, rotate=30)(PHOTO, drawn(angle=0.75))
    mean = model.mean if len(model.mean) == 3 else model.mean * 3
    fill = [round(255 * value) for value in (mean[::-1] if model.bgr else mean)]
    seen = F.rotate(model.view(PHOTO), 15.0, InterpolationMode.BILINEAR, fill=fill)
    assert np.array_equal(turned, model.normalise(seen))
    if not model.greyscale:
        assert np.abs(turned[:, 0, 0]).max() < 0.5 / 255 / min(model.std) + 1e-6


def test_light_is_torchvisions():
    """Contrast 1.1 around the mean grey, then brightness 0.9; nothing is clipped here."""
    photo = to_photo(np.uint8(60 + picture(1, (20, 16)) // 3))
    plain = Preprocessing((20, 16), mean=(0.0,) * 3, std=(1.0,) * 3)
    lit = Augmentation(plain, lighting=0.2)(photo, drawn(brighter=0.25, harder=0.75))
    theirs = F.adjust_brightness(F.adjust_contrast(torch.from_numpy(plain(photo)), 1.1), 0.9)
    assert np.abs(lit - theirs.numpy()).max() < 0.2 / 255  # their mean grey is not rounded
    hard = Augmentation(plain, lighting=0.9)(to_photo(picture(1, (20, 16))), drawn(harder=0.99))
    assert hard.min() == 0
    assert hard.max() == 1


def test_a_crop_is_torchvisions():
    """The largest crop of the photo with the input's aspect; then a quarter of its area, at the lower right."""
    photo = to_photo(picture(3, (40, 40)))
    model = Preprocessing((20, 16), resize=24)
    crop = Augmentation(model, area=0.25)
    down, across = round(20 * (20 / 16) ** 0.5), round(20 * (16 / 20) ** 0.5)
    theirs = F.resized_crop(photo.pixels, 40 - down, 40 - across, down, across, [20, 16])
    last = crop(photo, drawn(area=0, top=0.999, left=0.999))
    assert np.array_equal(last, model.normalise(theirs))


@pytest.mark.parametrize("crop", ["center", "squash"])
def test_crops_are_of_the_shares_and_shapes_that_are_drawn(crop):
    """Each pixel of the photo knows its place, so a crop's corners tell its box."""
    height, width = 120, 200
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    photo = to_photo(np.stack([rows, columns, 0 * rows], -1))
    model = Preprocessing(
        (60, 60), resize=(60, 60), crop=crop, interpolation="nearest", mean=(0.0,) * 3, std=(1.0,) * 3
    )
    boxes = []
    for i in range(300):
        y, x = np.rint(255 * Augmentation(model, area=0.3)(photo, draws(0, 0, i))[:2])
        boxes.append([y.min(), x.min(), y.max() + 1, x.max() + 1])
    top, left, bottom, right = np.transpose(boxes)
    down, across = bottom - top, right - left
    share = down * across / (height * width)
    aspect = across / down * (1 if crop == "center" else height / width)
    assert 0.28 < share.min() < 0.35
    assert share.max() > (0.6 if crop == "center" else 0.9)
    assert 0.66 < aspect.min() < 0.8 < 1.25 < aspect.max() < 1.5
    for first, last, length in ((top, bottom, height), (left, right, width)):
        assert first.min() < 0.05 * length
        assert last.max() > 0.95 * length


def test_what_is_usual():
    """Photos are cropped and mirrored; tiny images may be glyphs, and 8 pixels are too few to lose one."""

    def usual(side=224, **how):
        return Augmentation.usual(replace(IMAGENET, input_size=(side, side)), **how)

    assert usual(tiny=False).flip
    assert usual(tiny=False).area < 1
    assert usual(48, tiny=False).area < 1  # photos that a network takes small are photos
    assert usual(28, tiny=True) == Augmentation(replace(IMAGENET, input_size=(28, 28)), shift=1)
    assert usual(8, tiny=True).shift == 0
    assert usual(64, tiny=True).shift == 2
    assert usual(224, tiny=True) == Augmentation(IMAGENET, shift=8)  # glyphs that a network takes large
    assert usual(28, tiny=True, flip=True, vertical=True).flip
    assert not usual(tiny=False, flip=False).flip
    assert usual(tiny=False, vertical=True).vertical


def test_it_is_kept_as_json():
    given = Augmentation(MODELS["grey"], area=0.5, rotate=3.5)
    assert Augmentation.from_dict(json.loads(json.dumps(given.to_dict()))) == given


@pytest.mark.parametrize(
    "wrong", [{"area": 0}, {"area": 1.1}, {"shift": 16}, {"shift": -1}, {"rotate": 181}, {"lighting": 1}]
)
def test_what_is_refused(wrong):
    with pytest.raises(InputError, match=f"{next(iter(wrong))} is .* got {next(iter(wrong.values()))}"):
        Augmentation(SMALL, **wrong)


def test_a_photo_of_one_pixel():
    assert Augmentation.usual(IMAGENET, tiny=False)(
        to_photo(Image.new("RGB", (1, 1))), draws(0, 0, 0)
    ).shape == (
        3,
        224,
        224,
    )


# ------------------------------------------------------------------ the numbers


def test_numbers_are_uniform_and_each_image_has_its_own():
    many = np.array([draws(seed, epoch, i) for seed in (0, -1) for epoch in (0, 1) for i in range(1000)])
    assert len(np.unique(many)) == many.size
    assert many.min() >= 0
    assert many.max() < 1
    assert np.abs(many.mean(0) - 0.5).max() < 5 / np.sqrt(12 * len(many))
    assert np.abs(np.corrcoef(many, rowvar=False) - np.eye(DRAWS)).max() < 5 / np.sqrt(len(many))
    assert np.abs(np.corrcoef(many[:-1, 0], many[1:, 0])[0, 1]) < 5 / np.sqrt(len(many))
    assert np.array_equal(draws(3, 4, 5), draws(3, 4, 5))


def test_numbers_stay_what_they_are():
    """A resumed run may have another version of NumPy."""
    assert draws(1, 2, 3)[:2].tolist() == [0.13732203113233543, 0.22522750207501308]
    assert shuffled(5, 1, 2).tolist() == [3, 1, 0, 2, 4]


def test_orders_are_shuffles():
    orders = np.array([shuffled(4, 0, epoch) for epoch in range(2400)])
    assert (np.sort(orders, axis=1) == np.arange(4)).all()
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert np.abs(counts - 100).max() < 50
