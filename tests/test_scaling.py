"""From raw maps to [0, 1]: what shares a scale, and what happens to flat, tiny, signed and unknown values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from camscope.arrays import check_scale, is_flat, scaled
from camscope.errors import InputError

SCALES = ["map", "image", "batch", "signed", (-1.0, 2.0)]
FINITE = st.floats(-1e6, 1e6, allow_subnormal=False)


def draw(space=(4, 5), seed=0):
    return np.random.default_rng(seed).standard_normal((2, 3, *space))


@pytest.mark.parametrize(("scale", "axes"), [("map", (2, 3)), ("image", (1, 2, 3)), ("batch", (0, 1, 2, 3))])
def test_what_shares_a_scale_fills_zero_to_one_together(scale, axes):
    maps = draw()
    low, high = maps.min(axes, keepdims=True), maps.max(axes, keepdims=True)
    heat = scaled(maps, scale)
    np.testing.assert_allclose(heat, (maps - low) / (high - low), rtol=0, atol=1e-15)
    assert (heat.min(axes) == 0).all()
    assert (heat.max(axes) == 1).all()


@pytest.mark.parametrize("space", [(7,), (4, 5), (2, 3, 4)], ids=str)
def test_any_number_of_axes(space):
    heat = scaled(draw(space)).reshape(6, -1)
    assert (heat.min(1) == 0).all()
    assert (heat.max(1) == 1).all()


def test_signed_is_symmetric_with_one_half_at_zero():
    maps = draw()
    reach = np.abs(maps).max((2, 3), keepdims=True)
    np.testing.assert_allclose(scaled(maps, "signed"), 0.5 + maps / reach / 2, rtol=0, atol=1e-15)
    np.testing.assert_allclose(scaled(-maps, "signed"), 1 - scaled(maps, "signed"), rtol=0, atol=1e-15)


def test_signed_keeps_the_evidence_against_also_when_asked_to_drop_it():
    np.testing.assert_array_equal(scaled(draw(), "signed", rectify=True), scaled(draw(), "signed"))


def test_a_fixed_range_is_comparable_everywhere_and_clipped():
    maps = np.array([-3.0, -1.0, 0.5, 2.0, 9.0]).reshape(1, 1, 5)
    np.testing.assert_array_equal(scaled(maps, (-1.0, 2.0)).ravel(), [0, 0, 0.5, 1, 1])


def test_rectify_drops_the_evidence_against_before_the_scale_is_taken():
    maps = np.array([-4.0, -1.0, 1.0, 2.0]).reshape(1, 1, 4)
    np.testing.assert_array_equal(scaled(maps, rectify=True).ravel(), [0, 0, 0.5, 1])
    np.testing.assert_array_equal(scaled(maps).ravel(), [0, 0.5, 5 / 6, 1])
    assert (scaled(-np.abs(maps), rectify=True) == 0).all()


@pytest.mark.parametrize("value", [0.0, 5.0, -5.0, 1e-30, 1e30, 0.1])
@pytest.mark.parametrize("scale", ["map", "image", "batch"])
def test_a_flat_map_is_zeros(scale, value):
    assert (scaled(np.full((2, 3, 4, 5), value), scale) == 0).all()


def test_a_flat_zero_map_is_in_the_middle_of_the_signed_scale():
    assert (scaled(np.zeros((2, 3, 4, 5)), "signed") == 0.5).all()


def test_rounding_noise_on_a_constant_is_flat():
    maps = np.full((1, 1, 3), 1.0, np.float32)
    maps[0, 0, 1] = np.nextafter(np.float32(1), np.float32(2))
    assert (scaled(maps) == 0).all()
    one, eps = np.float32([1.0]), np.float32(2.0**-23)
    assert is_flat(one, one + 16 * eps).all()
    assert not is_flat(one, one + 18 * eps).any()


def test_one_flat_map_leaves_the_others_alone():
    maps = draw()
    maps[0, 1] = 3.0
    heat = scaled(maps)
    assert (heat[0, 1] == 0).all()
    others = [(0, 0), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert all(heat[at].max() == 1 for at in others)


@pytest.mark.parametrize("size", [3e-9, 1e-30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", ["map", "image", "batch", "signed"])
def test_a_tiny_range_is_scaled_in_full(scale, dtype, size):
    """An absolute eps would leave a map of range 3e-9 nearly black."""
    maps = draw().astype(dtype)
    heat = scaled((maps * dtype(size)).astype(dtype), scale)
    np.testing.assert_allclose(heat, scaled(maps, scale), rtol=0, atol=1e-6)
    assert heat.max() == 1


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_nan_stays_nan_and_bends_no_scale(scale, flat):
    known = np.ones((2, 3, 4, 5)) if flat else draw()
    maps = np.concatenate([known, np.full((2, 3, 4, 2), np.nan)], axis=-1)
    heat = scaled(maps, scale, rectify=True)
    assert np.isnan(heat[..., 5:]).all()
    np.testing.assert_array_equal(heat[..., :5], scaled(known, scale, rectify=True))


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_a_map_of_nothing_but_nan_stays_so(scale):
    maps = draw()
    maps[0, 1] = np.nan
    heat = scaled(maps, scale)
    assert np.isnan(heat[0, 1]).all()
    assert np.isfinite(heat[1]).all()


@given(arrays(np.float64, (2, 2, 3), elements=FINITE), st.sampled_from(SCALES), st.booleans())
@settings(deadline=None)
def test_finite_maps_land_in_zero_to_one(maps, scale, rectify):
    heat = scaled(maps, scale, rectify=rectify)
    assert np.isfinite(heat).all()
    assert heat.min() >= 0
    assert heat.max() <= 1


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_numpy_torch_and_jax_give_the_same_in_their_own_kind(scale):
    import jax.numpy as jnp

    maps = draw().astype(np.float32)
    maps[0, 0], maps[1, 1, 0, 0] = 2.0, np.nan
    expected = scaled(maps, scale, rectify=True)
    for convert in (np.asarray, torch.from_numpy, jnp.asarray):
        heat = scaled(convert(maps), scale, rectify=True)
        assert type(heat) is type(convert(maps))
        assert heat.dtype == convert(maps).dtype
        np.testing.assert_allclose(np.asarray(heat), expected, rtol=0, atol=1e-6)


def test_the_raw_map_is_left_alone():
    maps = draw()
    for scale in SCALES:
        scaled(maps, scale, rectify=True)
    np.testing.assert_array_equal(maps, draw())


@pytest.mark.parametrize(
    "wrong", ["maps", "Signed", "", None, 1.0, (1.0, 1.0), (2.0, 1.0), (0.0, 0.5, 1.0), ()]
)
def test_no_scale_is_refused_and_the_valid_ones_are_named(wrong):
    with pytest.raises(InputError, match=r"map, image, batch, signed, or \(low, high\)"):
        check_scale(wrong)
    with pytest.raises(InputError):
        scaled(draw(), wrong)


def test_a_misspelt_scale_names_the_nearest():
    with pytest.raises(InputError, match="Did you mean 'signed'"):
        check_scale("sighned")


@pytest.mark.parametrize("wrong", [(0.0, np.nan), (-np.inf, 1.0), ("a", "b"), (0.0, "b"), [0.0, 1.0]])
def test_a_range_must_be_two_finite_numbers_in_a_tuple(wrong):
    with pytest.raises(InputError):
        check_scale(wrong)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("holds", ["numbers", "nan", "infinity", "nothing", "flat"])
def test_numpy_takes_fewer_passes_to_the_same_bits(scale, holds):
    """Pictures are scaled by NumPy, whose shorter way must be the same as that of every other library."""
    maps = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float32)
    if holds == "nan":
        maps[:, :, :2] = np.nan
    elif holds == "infinity":
        maps[0, 1, 2, 3], maps[1, 0, 0, 0] = np.inf, -np.inf
    elif holds == "nothing":
        maps[1, 2] = np.nan
    elif holds == "flat":
        maps[0, 0], maps[1] = 0.3, 0.0
    before = maps.copy()
    np.testing.assert_array_equal(scaled(maps, scale), scaled(torch.from_numpy(maps), scale).numpy())
    np.testing.assert_array_equal(maps, before)
