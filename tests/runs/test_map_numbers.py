"""The numbers of a map: exact where they can be said beforehand, and those of an explanation's own masks."""

from __future__ import annotations

import numpy as np
import pytest

import camscope
from camscope.arrays import to_numpy
from camscope.runs.map_numbers import NUMBERS, numbers_of


def test_a_nearly_uniform_map_has_the_shares_of_the_areas():
    """Also where a tenth of a side is no whole number of pixels. One dark pixel in the centre gives it a scale."""
    maps = np.ones((1, 37, 53), np.float32)
    maps[0, 18, 26] = 0
    n, one = numbers_of(maps, (37, 53), rectified=True), 1 / (37 * 53)
    assert n.area == pytest.approx(1 - one)
    assert n.ring_share == pytest.approx(0.36 / (1 - one))
    assert n.corner_share == pytest.approx(0.16 / (1 - one))
    assert n.centre_share == pytest.approx((0.25 - one) / (1 - one))
    assert (n.centroid_y, n.centroid_x) == pytest.approx((0.5, 0.5))
    assert n.box.tolist() == [[0, 0, 1, 1]]
    assert n.entropy == pytest.approx(np.log(37 * 53 - 1) / np.log(37 * 53))


def test_one_cell_is_where_it_is():
    maps = np.zeros((2, 10, 20), np.float32)
    maps[0, 2, 15] = 7
    maps[1, 0, 0] = 1e-30
    n = numbers_of(maps, (10, 20), rectified=True)
    assert n.area.tolist() == [1 / 200] * 2
    assert n.entropy.tolist() == [0, 0]
    assert n.ring_share.tolist() == [0, 1]
    assert n.corner_share.tolist() == [0, 1]
    assert n.centre_share.tolist() == pytest.approx([0, 0])
    np.testing.assert_allclose(n.centroid_y, [0.25, 0.05])
    np.testing.assert_allclose(n.centroid_x, [0.775, 0.025])
    np.testing.assert_allclose(n.box, [[0.75, 0.2, 0.8, 0.3], [0, 0, 0.05, 0.1]])


def test_turning_a_map_turns_its_numbers(rng):
    maps = rng.random((5, 6, 9)).astype(np.float32)
    n, t = (
        numbers_of(maps, (24, 45), rectified=True),
        numbers_of(maps.transpose(0, 2, 1), (45, 24), rectified=True),
    )
    for name in ("area", "ring_share", "corner_share", "centre_share", "entropy"):
        np.testing.assert_allclose(getattr(n, name), getattr(t, name), rtol=1e-6)
    np.testing.assert_allclose(n.centroid_y, t.centroid_x, rtol=1e-6)
    np.testing.assert_allclose(n.box[:, [1, 0, 3, 2]], t.box)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_size_does_not_matter(scale, rng):
    maps = rng.normal(size=(3, 7, 7)).astype(np.float32)
    for name in NUMBERS:
        one, other = (
            getattr(numbers_of(maps * np.float32(k), (21, 21), rectified=True), name) for k in (1, scale)
        )
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_evidence_against_counts_only_where_the_method_says_so():
    maps = np.array([[[-1.0, -1.0], [-1.0, 3.0]]], np.float32)
    own = numbers_of(maps, (2, 2), rectified=True)
    signed = numbers_of(maps + 5, (2, 2), rectified=False)
    for name in NUMBERS:
        np.testing.assert_allclose(getattr(own, name), getattr(signed, name))


@pytest.mark.parametrize("value", [0.0, -1.0, 3.0, np.nan])
def test_a_flat_map_has_no_numbers(value):
    n = numbers_of(np.full((1, 4, 4), value, np.float32), (8, 8), rectified=True)
    assert all(np.isnan(getattr(n, name)).all() for name in NUMBERS)


def test_area_and_box_are_those_of_the_explanation(explainer, photos):
    e = explainer(list(photos.values()), methods=["gradcam", "eigencam"])
    for key, raw in e.raw.items():
        n = numbers_of(to_numpy(raw)[:, 0], e.input_size, rectified=e.facts[key[0]].rectified)
        masks, boxes = e.masks(*key), e.boxes(*key)
        np.testing.assert_allclose(n.area, [one[0].mean() for one in masks])
        np.testing.assert_allclose(n.box * 32, [one[0][0] for one in boxes])
    assert isinstance(e, camscope.Explanation)
