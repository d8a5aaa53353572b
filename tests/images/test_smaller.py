"""A photo that is shrunk to be drawn: every point of it lies where it lay."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from camscope.images import Geometry
from camscope.inputs import InputImage
from tests.results.made import made

GEOMETRY = Geometry(
    photo_size=(3000, 4001), input_size=(224, 224), scale=(0.0853, 0.0853), offset=(-16.0, -60.0)
)


def test_a_point_of_the_smaller_photo_is_the_same_point_of_the_input():
    smaller = GEOMETRY.of_smaller((750, 1000))
    assert smaller.photo_size == (750, 1000)
    for y, x in ((0.0, 0.0), (0.25, 0.5), (1.0, 1.0)):
        assert smaller.to_input(y * 750, x * 1000) == pytest.approx(GEOMETRY.to_input(y * 3000, x * 4001))


@pytest.mark.parametrize(("longest", "size"), [(1000, (1000, 750)), (1, (1, 1)), (4001, (4001, 3000))])
def test_a_picture_keeps_its_shape_and_is_never_enlarged(longest, size):
    picture = Image.new("RGB", (4001, 3000))
    shrunk = InputImage(picture, GEOMETRY, "x.jpg", ("a note",)).shrunk(longest)
    assert shrunk.picture.size == size
    assert (shrunk.source, shrunk.notes) == ("x.jpg", ("a note",))
    assert shrunk.geometry.photo_size == size[::-1]


def test_a_heatmap_on_a_smaller_photo_is_the_heatmap_smaller():
    e = made()
    large = dataclasses.replace(
        e.input_images[0],
        picture=e.input_images[0].picture.resize((288, 192)),
        geometry=e.input_images[0].geometry.of_smaller((192, 288)),
    )
    images = e.input_images.only([0, 1])
    images._made[0] = large
    e = dataclasses.replace(e, input_images=images)
    small = dataclasses.replace(e, input_images=images.shrunk(96))
    one, other = (each.photo_heatmaps(0, *next(iter(e.raw))) for each in (e, small))
    assert (one.shape[1:], other.shape[1:]) == ((192, 288), (64, 96))
    centres = one[:, 1::3, 1::3]
    assert np.array_equal(np.isnan(centres), np.isnan(other))
    np.testing.assert_allclose(centres, other, atol=0.03)
