"""Geometry says where a photo's pixels land; the pictures themselves are the witness."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from camscope.errors import InputError
from camscope.images import Geometry, Preprocessing

sides = st.integers(1, 90)
sizes = st.tuples(sides, sides)
recipes = st.one_of(
    st.tuples(
        st.just("center"), st.one_of(st.none(), st.integers(1, 70), st.tuples(*[st.integers(1, 70)] * 2))
    ),
    st.tuples(
        st.sampled_from(["squash", "border"]), st.one_of(st.none(), st.tuples(*[st.integers(20, 70)] * 2))
    ),
)


def ramps(height: int, width: int) -> Image.Image:
    """Red tells the row, green the column (in steps of 2), blue tells that this is photo, not padding."""
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([2 * rows, 2 * columns, np.full_like(rows, 255)], -1).astype(np.uint8))


@settings(max_examples=150, deadline=None, database=None)
@given(recipes, sizes, st.tuples(st.integers(1, 60), st.integers(1, 60)))
@example(("center", 25), (31, 44), (24, 21))
@example(("center", None), (10, 51), (24, 20))
def test_every_pixel_of_the_view_comes_from_where_geometry_says(recipe, photo_size, input_size):
    """Read from the ramps in the model's view which photo row and column each pixel shows.

    With the filter ``nearest`` a pixel of the view shows exactly the photo pixel its centre falls into.
    """
    crop, resize = recipe
    wide = max(photo_size) / min(photo_size) > 20
    preprocessing = Preprocessing(
        input_size, None if wide else resize, crop, "nearest", mean=(0.0,) * 3, std=(1.0,) * 3
    )
    geometry = preprocessing.geometry(photo_size)
    view = np.asarray(preprocessing.view(ramps(*photo_size))).astype(int)
    assert geometry.input_size == view.shape[:2] == input_size
    for y in range(input_size[0]):
        for x in range(input_size[1]):
            row, column = geometry.to_photo(y + 0.5, x + 0.5)
            inside = 0 < row < photo_size[0] and 0 < column < photo_size[1]
            assert (view[y, x, 2] == 255) == inside
            if inside:
                # Where a centre falls on an edge between two pixels, floats may take either.
                assert abs(view[y, x, 0] / 2 + 0.5 - row) <= 0.5 + 1e-6
                assert abs(view[y, x, 1] / 2 + 0.5 - column) <= 0.5 + 1e-6


@settings(max_examples=60, deadline=None, database=None)
@given(
    st.integers(60, 120), st.integers(60, 120), st.integers(24, 48), st.sampled_from(["bilinear", "bicubic"])
)
def test_centre_of_the_view_maps_back_within_a_pixel(height, width, size, interpolation):
    """Measured in the smooth view: the ramps' values around the centre, interpolated."""
    preprocessing = Preprocessing((size, size), 50, interpolation=interpolation)
    view = np.asarray(preprocessing.view(ramps(height, width))).astype(float)
    middle = size // 2
    row, column = preprocessing.geometry((height, width)).to_photo(middle + 0.5, middle + 0.5)
    assert abs(view[middle, middle, 0] / 2 + 0.5 - row) < 0.5
    assert abs(view[middle, middle, 1] / 2 + 0.5 - column) < 0.5


def test_a_marker_lands_where_geometry_says():
    photo = Image.new("RGB", (200, 100))
    photo.paste((255, 255, 255), (120, 40, 128, 44))
    preprocessing = Preprocessing((32, 48), (40, 60))
    light = np.asarray(preprocessing.view(photo))[..., 0].astype(float)
    rows, columns = np.mgrid[:32, :48] + 0.5
    seen = (light * rows).sum() / light.sum(), (light * columns).sum() / light.sum()
    assert preprocessing.geometry((100, 200)).to_input(42, 124) == pytest.approx(seen, abs=0.05)


def test_by_hand():
    """200 x 100 photo, shorter side to 50: 100 x 50; the crop of 40 starts at (5, 30)."""
    geometry = Preprocessing((40, 40), 50).geometry((100, 200))
    assert geometry == Geometry((100, 200), (40, 40), (0.5, 0.5), (-5.0, -30.0))
    assert geometry.covered() == (60, 10, 140, 90)
    assert geometry.to_input(10, 60) == (0, 0)
    assert geometry.to_photo(40, 40) == (90, 140)


def test_padding_by_hand():
    """A photo of 3 x 5 in an input of 8 x 8: 2 rows above (rounded down), 1 column to the left."""
    geometry = Preprocessing((8, 8), None).geometry((3, 5))
    assert geometry.offset == (2.0, 1.0)
    assert geometry.covered() == (0, 0, 5, 3)


@settings(max_examples=150, deadline=None, database=None)
@given(sizes, sizes, st.tuples(*[st.floats(0.05, 20)] * 2), st.tuples(*[st.floats(-100, 100)] * 2))
def test_covered_counts_the_centres_inside(photo_size, input_size, scale, offset):
    geometry = Geometry(photo_size, input_size, scale, offset)
    left, top, right, bottom = geometry.covered()
    for axis, first, end in ((0, top, bottom), (1, left, right)):
        centres = (np.arange(photo_size[axis]) + 0.5) * scale[axis] + offset[axis]
        edge = np.minimum(abs(centres), abs(centres - input_size[axis])) < 1e-6
        inside = (centres >= 0) & (centres < input_size[axis])
        box = np.zeros_like(inside)
        box[first:end] = True
        assert (box == inside)[~edge].all()


def test_identity():
    geometry = Geometry.identity((30, 40))
    assert geometry.to_input(3.5, 7) == geometry.to_photo(3.5, 7) == (3.5, 7)
    assert geometry.covered() == (0, 0, 40, 30)


@settings(max_examples=20, deadline=None, database=None)
@given(sizes, sizes, st.tuples(*[st.floats(0.05, 20)] * 2))
def test_dict_survives_json(photo_size, input_size, scale):
    geometry = Geometry(photo_size, input_size, scale, (-1.5, 2.0))
    assert Geometry.from_dict(json.loads(json.dumps(geometry.to_dict()))) == geometry
    assert not math.isnan(geometry.scale[0])


@pytest.mark.parametrize("broken", [{}, {"photo_size": 3}, {"scale": "ab"}, {"offset": (1,)}])
def test_broken_dict(broken):
    fields = {**Geometry.identity((3, 4)).to_dict(), **broken} if broken else {}
    with pytest.raises(InputError, match="needs the pairs"):
        Geometry.from_dict(fields)
