"""The one Gaussian blur: a full kernel on a mirrored frame, SciPy's filter, and the same by spectra on long axes."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from camscope.arrays import blurred, blurring
from camscope.errors import InputError

RNG = np.random.default_rng(0)
SHAPES = [((3, 17), 4), ((2, 9, 14), 3), ((1, 4, 3, 5), 2), ((2, 4, 1), 6)]


def by_full_kernel(x, radius, sigma):
    """Pixel by pixel, one input `channel *space`."""
    frame = np.pad(x, [(0, 0)] + [(radius, radius)] * (x.ndim - 1), mode="reflect")
    axes = np.meshgrid(*[np.arange(-radius, radius + 1)] * (x.ndim - 1), indexing="ij")
    kernel = np.exp(-sum(axis**2 for axis in axes) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    out = np.zeros(x.shape)
    for ij in np.ndindex(*x.shape[1:]):
        window = frame[(slice(None), *(slice(i, i + 2 * radius + 1) for i in ij))]
        out[(slice(None), *ij)] = (window * kernel).reshape(len(x), -1).sum(1)
    return out


@pytest.mark.parametrize(("shape", "radius"), SHAPES)
def test_it_is_the_full_kernel_on_a_mirrored_frame(shape, radius):
    x = RNG.standard_normal((2, *shape))
    expected = np.stack([by_full_kernel(one, radius, 2.5) for one in x])
    np.testing.assert_allclose(blurred(x, 2.5, radius), expected, atol=1e-12)
    tensor = blurred(torch.from_numpy(x), 2.5, radius)
    np.testing.assert_allclose(tensor.numpy(), expected, atol=1e-12)


def test_it_is_scipys_filter_with_a_width_of_its_own_for_each_axis():
    x = RNG.standard_normal((1, 2, 31, 23))
    expected = gaussian_filter(x[0], (0, 1.5, 3), mode="mirror", truncate=4)
    np.testing.assert_allclose(blurred(x, [1.5, 3])[0], expected, atol=1e-12)


@pytest.mark.parametrize(("shape", "radius"), [*SHAPES, ((1, 5), 40)])
def test_spectra_give_the_same_as_matrices(monkeypatch, shape, radius):
    x = RNG.standard_normal((2, *shape))
    expected = blurred(x, 2.5, radius)
    monkeypatch.setattr(blurring, "_LARGEST_MATRIX", 0)
    np.testing.assert_allclose(blurred(x, 2.5, radius), expected, atol=1e-12)
    single = blurred(torch.from_numpy(x).float(), 2.5, radius)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), expected, atol=1e-5)


def test_no_width_leaves_an_axis_as_it_is():
    x = RNG.standard_normal((1, 2, 6, 5))
    assert np.array_equal(blurred(x, 0), x)
    np.testing.assert_allclose(blurred(x, [0, 1])[:, :, :1], blurred(x[:, :, :1], 1), atol=1e-12)


@pytest.mark.parametrize(("sigma", "radius"), [(-1, None), (np.nan, None), ([1, 2, 3], None), (1, -2)])
def test_what_is_no_width_is_refused(sigma, radius):
    with pytest.raises(
        InputError, match=r"expected a number of pixels, not negative, or one for each of the 2 axes"
    ):
        blurred(np.zeros((1, 1, 4, 4)), sigma, radius)
