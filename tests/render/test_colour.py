import cmap
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from camscope.errors import InputError
from camscope.render.colour import DEFAULT, DIVERGING, colours, lut

BOTTOM_AND_TOP = {
    "jet": [(0, 0, 128), (128, 0, 0)],  # dark blue to dark red: a BGR table would start red
    "viridis": [(68, 1, 84), (253, 231, 37)],
    "magma_r": [(252, 253, 191), (0, 0, 4)],
    "inferno": [(0, 0, 4), (252, 255, 164)],
    "gray": [(0, 0, 0), (255, 255, 255)],
}


@pytest.mark.parametrize("name", BOTTOM_AND_TOP)
def test_zero_and_one_give_the_published_ends_of_the_map_in_rgb(name):
    ends = colours(np.array([[0.0, 1.0]]), name)
    assert [tuple(pixel) for pixel in ends[0].tolist()] == BOTTOM_AND_TOP[name]


def test_a_non_square_map_keeps_its_shape_and_gives_bytes():
    coloured = colours(np.linspace(0, 1, 15, dtype=np.float32).reshape(3, 5), DEFAULT)
    assert coloured.shape == (3, 5, 3)
    assert coloured.dtype == np.uint8


@settings(max_examples=30, deadline=None)
@given(
    arrays(np.float32, (4, 7), elements=st.floats(0, 1, width=32)),
    st.sampled_from(["turbo", DEFAULT, "batlow"]),
)
def test_every_colour_is_the_nearest_of_256_entries(values, name):
    # A value on the edge between two entries may go to either.
    below, above = (np.rint(values.astype(np.float64) * 255 + nudge) / 255 for nudge in (-1e-3, 1e-3))
    either = [np.rint(np.asarray(cmap.Colormap(name)(place))[..., :3] * 255) for place in (below, above)]
    coloured = colours(values, name)
    assert ((coloured == either[0]) | (coloured == either[1])).all()


def test_reversed_maps_mirror():
    np.testing.assert_array_equal(lut("viridis_r"), lut("viridis")[::-1])


def test_qualitative_maps_have_256_entries_too():
    assert lut("tab10").shape == (256, 3)


def test_the_default_gets_steadily_lighter():
    lightness = lut(DEFAULT) @ np.array([0.2126, 0.7152, 0.0722])
    assert np.diff(lightness).min() >= -0.8  # rounding to bytes
    assert lightness[-1] - lightness[0] > 200


def test_the_diverging_default_is_neutral_in_the_middle_and_differs_in_hue_at_its_ends():
    table = lut(DIVERGING).astype(int)
    assert np.ptp(table[127:129], axis=1).max() <= 8
    assert table[0, 2] > table[0, 0]  # blue: against
    assert table[-1, 0] > table[-1, 2]  # orange: for


def test_the_shared_table_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        lut("viridis")[0] = 0


def test_an_unknown_name_is_answered_with_near_ones():
    with pytest.raises(InputError, match=r"no colour map named 'virids'.*'viridis'"):
        colours(np.zeros((2, 2)), "virids")


@pytest.mark.parametrize("bad", [1.5, -0.2, np.nan, np.inf, -np.inf])
def test_numbers_outside_zero_to_one_are_refused(bad):
    with pytest.raises(InputError, match=r"in \[0, 1\]"):
        colours(np.array([[0.5, bad]]), DEFAULT)


@pytest.mark.parametrize("bad", [np.zeros((2, 2), int), np.zeros(3), np.zeros((0, 4))])
def test_other_arrays_are_refused(bad):
    with pytest.raises(InputError, match="floating-point array"):
        colours(bad, DEFAULT)


def test_rounding_noise_of_a_resize_is_forgiven():
    noisy = np.array([[-1e-6, 1 + 1e-6]], np.float32)
    np.testing.assert_array_equal(colours(noisy, "gray"), [[[0] * 3, [255] * 3]])
