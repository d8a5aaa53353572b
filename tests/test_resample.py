"""The one upsampling: half-pixel linear, as torch does it, on any number of axes and any array library."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from camscope.arrays import place, resize
from camscope.errors import InputError

MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}
SIZES = [
    ((7,), (20,)),
    ((7,), (3,)),
    ((7, 7), (224, 224)),
    ((3, 5), (40, 17)),
    ((9, 4), (5, 30)),
    ((1, 6), (8, 8)),
    ((1, 1), (4, 5)),
    ((4, 5), (4, 5)),
    ((2, 3, 4), (9, 5, 13)),
    ((6, 1, 4), (3, 7, 8)),
]


def draw(space, seed=0):
    return np.random.default_rng(seed).standard_normal((2, 3, *space))


@pytest.mark.parametrize(("space", "size"), SIZES, ids=str)
def test_equals_torch_without_aligned_corners(space, size):
    maps = draw(space)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(maps), size=size, mode=MODES[len(space)], align_corners=False
    )
    np.testing.assert_allclose(resize(maps, size), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("space", "size"), SIZES, ids=str)
def test_numpy_torch_and_jax_give_the_same_in_their_own_kind(space, size):
    import jax.numpy as jnp

    maps = draw(space).astype(np.float32)
    exact = resize(maps.astype(np.float64), size)
    for convert in (np.asarray, torch.from_numpy, jnp.asarray):
        resized = resize(convert(maps), size)
        assert type(resized) is type(convert(maps))
        assert resized.dtype == convert(maps).dtype
        np.testing.assert_allclose(np.asarray(resized), exact, rtol=0, atol=1e-6)


@given(
    maps=arrays(np.float64, (1, 1, 3, 2, 4), elements=st.floats(-1e6, 1e6)),
    size=st.tuples(*[st.integers(1, 9)] * 3),
)
@settings(deadline=None)
def test_never_leaves_the_range_of_the_map(maps, size):
    resized = resize(maps, size)
    slack = 1e-9 * (1 + np.abs(maps).max())
    assert resized.min() >= maps.min() - slack
    assert resized.max() <= maps.max() + slack


def test_is_differentiable_and_stays_out_of_the_graph_otherwise():
    maps = torch.ones(1, 1, 3, 3, requires_grad=True)
    resize(maps, (6, 6)).sum().backward()
    assert maps.grad.sum() == pytest.approx(36)
    assert not resize(maps.detach(), (6, 6)).requires_grad


# ------------------------------------------------------------------ place


@pytest.mark.parametrize(
    ("space", "size"), [((7, 7), (32, 20)), ((4,), (9,)), ((2, 3, 4), (4, 6, 9))], ids=str
)
def test_placing_on_the_input_itself_is_resizing(space, size):
    maps = draw(space)
    placed = place(maps, size, scale=[1.0] * len(size), offset=[0.0] * len(size), input_size=size)
    np.testing.assert_array_equal(placed, resize(maps, size))


def test_a_picture_that_was_only_scaled_gets_the_map_at_its_own_size():
    maps = draw((5, 4))
    placed = place(maps, (60, 90), scale=(32 / 60, 24 / 90), offset=(0, 0), input_size=(32, 24))
    np.testing.assert_allclose(placed, resize(maps, (60, 90)), rtol=0, atol=1e-12)


def one_pixel(grid, at, input_size):
    """The value of a map at one point of the input: its neighbours' centres, weighted by nearness."""
    corners = []
    for n, position, extent in zip(grid.shape, at, input_size, strict=True):
        cell = min(max(position * n / extent - 0.5, 0), n - 1)  # in centres of cells, held at the outermost
        low = int(np.floor(cell))
        corners.append([(low, 1 - (cell - low)), (min(low + 1, n - 1), cell - low)])
    return sum(
        np.prod([share for _, share in corner]) * grid[tuple(index for index, _ in corner)]
        for corner in itertools.product(*corners)
    )


CROPS = [
    # a centre crop of a landscape photo, scaled down
    {"size": (30, 50), "scale": (0.8, 0.8), "offset": (0.0, -8.0), "input_size": (24, 24)},
    # scaled up, cut on all sides
    {"size": (20, 16), "scale": (2.0, 2.5), "offset": (-8.0, -6.5), "input_size": (24, 28)},
    # padded: the picture covers only part of the input
    {"size": (10, 20), "scale": (1.0, 1.0), "offset": (7.0, 2.0), "input_size": (24, 24)},
]


@pytest.mark.parametrize("crop", CROPS, ids=["landscape", "all sides", "padded"])
def test_a_crop_is_placed_pixel_by_pixel_and_nan_exactly_outside(crop):
    maps = draw((3, 4))
    placed = place(maps, **crop)
    assert placed.shape == (2, 3, *crop["size"])
    outside = 0
    for y, x in itertools.product(*(range(n) for n in crop["size"])):
        at = [(p + 0.5) * s + o for p, s, o in zip((y, x), crop["scale"], crop["offset"], strict=True)]
        if all(0 <= a < n for a, n in zip(at, crop["input_size"], strict=True)):
            expected = [[one_pixel(grid, at, crop["input_size"]) for grid in image] for image in maps]
            np.testing.assert_allclose(placed[:, :, y, x], expected, rtol=0, atol=1e-12)
        else:
            assert np.isnan(placed[:, :, y, x]).all()
            outside += 1
    assert (outside > 0) == (crop is not CROPS[2])


def test_placing_is_the_same_on_numpy_torch_and_jax():
    import jax.numpy as jnp

    maps = draw((3, 4)).astype(np.float32)
    exact = place(maps.astype(np.float64), **CROPS[1])
    for convert in (np.asarray, torch.from_numpy, jnp.asarray):
        placed = place(convert(maps), **CROPS[1])
        assert type(placed) is type(convert(maps))
        assert placed.dtype == convert(maps).dtype
        np.testing.assert_allclose(np.asarray(placed), exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("order", [0, 2, 3, 5])
@pytest.mark.parametrize(
    ("space", "size"), [((7, 7), (56, 40)), ((3, 5), (40, 17)), ((1, 6), (8, 8)), ((5,), (23,))]
)
def test_splines_are_those_of_scipy_within_the_range_of_the_map(space, size, order):
    """SciPy's, told that a cell is an area (`grid_mode`), and clipped to the range of each map."""
    from scipy import ndimage

    maps = draw(space)
    factors = [1, 1, *(n_out / n_in for n_in, n_out in zip(space, size, strict=True))]
    free = ndimage.zoom(maps, factors, order=order, mode="nearest", grid_mode=True)
    axes = tuple(range(2, maps.ndim))
    low, high = maps.min(axes, keepdims=True), maps.max(axes, keepdims=True)
    if order == 3 and space == (7, 7):
        assert (free > high + 1e-3).any()
    np.testing.assert_allclose(resize(maps, size, order), np.clip(free, low, high), rtol=0, atol=1e-9)
    geometry = {"scale": [1.0] * len(size), "offset": [0.0] * len(size), "input_size": size}
    np.testing.assert_allclose(
        place(maps, size, **geometry, order=order), resize(maps, size, order), atol=1e-12
    )


def test_a_spline_runs_in_every_array_library_and_leaves_what_was_not_seen_unseen():
    import jax.numpy as jnp

    maps = draw((4, 6)).astype(np.float32)
    where = {"size": (20, 20), "scale": (1, 1), "offset": (0, -3), "input_size": (20, 14)}
    exact = place(maps.astype(np.float64), **where, order=2)
    assert np.isnan(exact).any()
    for convert in (np.asarray, torch.from_numpy, jnp.asarray):
        placed = place(convert(maps), **where, order=2)
        assert placed.dtype == convert(maps).dtype
        np.testing.assert_allclose(np.asarray(placed), exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize("order", [-1, 6, 1.5, True, "2"])
def test_an_order_that_is_none_is_refused(order):
    with pytest.raises(InputError, match=r"order=.*0 \(the cells as they are\)"):
        resize(draw((3, 3)), (9, 9), order)


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_along_a_sound_cells_are_picked_and_no_matrix_is_made(monkeypatch, library):
    import importlib

    module = importlib.import_module("camscope.arrays.resize")
    maps = np.random.default_rng(0).normal(size=(1, 2, 49)).astype(np.float32)
    given = maps if library == "numpy" else torch.from_numpy(maps)
    placed = ((1000,), (0.5,), (-3.0,), (490,))
    by_matrix = module.resize(maps, (1600,)), module.place(maps, *placed)
    monkeypatch.setattr(module, "_LARGEST_MATRIX", 10)
    picked = module.resize(given, (1600,)), module.place(given, *placed)
    for one, other in zip(by_matrix, picked, strict=True):
        np.testing.assert_allclose(np.asarray(other), one, atol=1e-6)
    assert picked[0].dtype == given.dtype
    reaching = module.place(maps, *placed, reach=(3.0,))
    assert np.isfinite(reaching[..., :6]).all()
    assert np.isnan(by_matrix[1][..., :5]).all()
