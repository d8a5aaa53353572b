"""The imputers, held to their formulas; what is not removed stays, bit for bit."""

import itertools

import numpy as np
import pytest
import torch
from pytorch_grad_cam.metrics.road import NoisyLinearImputer

from camscope.arrays import blurred
from camscope.errors import InputError
from camscope.imputing import Blur, Constant, Imputer, Mean, Neighbours, Noise
from camscope.imputing.neighbours import solved
from camscope.imputing.removed_cells import cell_grid, nearest_cells, pixels_of_cells

RNG = np.random.default_rng(0)
ALL = [Constant(0.5), Mean(), Noise(), Blur(), Neighbours()]
SPACES = [(19,), (7, 9), (4, 3, 5)]


def drawn(space, batch=3, channels=2, share=0.6):
    x = RNG.standard_normal((batch, channels, *space))
    removed = RNG.random((batch, *space)) < share
    removed.reshape(batch, -1)[:, 0] = False
    return x, removed


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("imputer", ALL, ids=lambda one: type(one).__name__)
def test_what_is_kept_stays_bit_for_bit_and_what_is_removed_tells_nothing_where_it_must_not(imputer, space):
    x, removed = drawn(space)
    found = imputer(x, removed)
    assert isinstance(imputer, Imputer)
    kept = np.broadcast_to(~removed[:, None], x.shape)
    assert np.array_equal(found[kept], x[kept])
    assert np.all(found[~kept] != x[~kept])
    assert np.array_equal(imputer(x, np.zeros_like(removed)), x)
    if isinstance(imputer, (Constant, Neighbours)):  # the others are made of the whole input
        other = np.where(kept, x, 1e3)
        np.testing.assert_array_equal(imputer(other, removed), found)


@pytest.mark.parametrize("imputer", ALL, ids=lambda one: type(one).__name__)
def test_it_depends_on_no_other_input_one_may_stand_for_all_and_tensors_stay_tensors(imputer):
    x, removed = drawn((6, 8))
    found = imputer(x, removed)
    for i in range(len(x)):
        np.testing.assert_array_equal(imputer(x[i : i + 1], removed[i : i + 1]), found[i : i + 1])
    one_for_all = imputer(x[:1], removed)
    np.testing.assert_array_equal(one_for_all, imputer(np.repeat(x[:1], 3, 0), removed))
    tensor = imputer(torch.from_numpy(x).float(), removed)
    assert tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor.numpy(), found, atol=1e-5)


def test_the_plain_ones_are_their_formulas():
    x, removed = drawn((16, 32))
    everywhere = np.ones_like(removed)
    assert np.all(Constant(0.5)(x, everywhere) == 0.5)
    np.testing.assert_allclose(
        Mean()(x, everywhere), np.broadcast_to(x.mean((2, 3), keepdims=True), x.shape), atol=1e-15
    )
    np.testing.assert_array_equal(Blur()(x, everywhere), blurred(x, [1, 2]))
    np.testing.assert_array_equal(Blur(3, 2)(x, everywhere), blurred(x, 3, 2))
    noise = Noise()(5 + 2 * x, everywhere)
    back = (noise - 5 - 2 * x.mean((2, 3), keepdims=True)) / (2 * x.std((2, 3), keepdims=True))
    np.testing.assert_allclose(back[0], back[1], atol=1e-12)  # one draw for every input, at its own scale
    assert abs(back[0].mean()) < 0.1
    assert abs(back[0].std() - 1) < 0.1
    assert not np.array_equal(Noise(1)(x, everywhere), Noise(2)(x, everywhere))


# ------------------------------------------------------------------ ROAD's


def by_dense_solve(x, removed):
    """Every removed pixel is the weighted mean of the neighbours that lie inside, written out and solved densely."""
    pixels = [p for p in np.ndindex(*removed.shape) if removed[p]]
    number = {p: i for i, p in enumerate(pixels)}
    matrix, right = np.zeros((len(pixels),) * 2), np.zeros((len(pixels), len(x)))
    for p, i in number.items():
        for offset in itertools.product((-1, 0, 1), repeat=removed.ndim):
            q = tuple(np.add(p, offset))
            if not any(offset) or not all(0 <= a < n for a, n in zip(q, removed.shape, strict=True)):
                continue
            weight = {1: 1.0, 2: 0.5, 3: 0.25}[sum(map(abs, offset))]
            matrix[i, i] += weight
            if q in number:
                matrix[i, number[q]] -= weight
            else:
                right[i] += weight * x[(slice(None), *q)]
    found = x.copy()
    values = np.linalg.solve(matrix, right)
    for p, i in number.items():
        found[(slice(None), *p)] = values[i]
    return found


@pytest.mark.parametrize("share", [0.1, 0.6, 0.95])
@pytest.mark.parametrize("space", SPACES)
def test_the_sparse_solve_is_the_dense_one(space, share):
    x, removed = drawn(space, share=share)
    for one, mask in zip(x, removed, strict=True):
        np.testing.assert_allclose(solved(one, mask), by_dense_solve(one, mask), atol=1e-10)


def test_one_pixel_is_the_mean_of_its_eight_neighbours_and_a_slope_goes_on_along_an_axis():
    x = RNG.standard_normal((1, 3, 3))
    removed = np.zeros((3, 3), bool)
    removed[1, 1] = True
    sides = x[0, [0, 1, 1, 2], [1, 0, 2, 1]].sum()
    corners = x[0, [0, 0, 2, 2], [0, 2, 0, 2]].sum()
    assert solved(x, removed)[0, 1, 1] == pytest.approx(sides / 6 + corners / 12)
    line = np.arange(9.0)[None]
    inner = np.ones(9, bool)
    inner[[0, -1]] = False
    np.testing.assert_allclose(solved(line, inner), line, atol=1e-12)


def test_the_noise_is_as_large_as_it_says_and_the_same_at_a_pixel_for_every_mask():
    x, removed = drawn((40, 40))
    noise = Neighbours(noise=0.5)(x, removed) - Neighbours(noise=0)(x, removed)
    both = removed[0] & removed[1]
    np.testing.assert_allclose(noise[0][:, both], noise[1][:, both], atol=1e-12)
    assert noise[0][:, removed[0]].std() == pytest.approx(0.5, rel=0.1)
    other = Neighbours(noise=0.5, seed=1)(x, removed)[0] - Neighbours(noise=0)(x, removed)[0]
    assert abs(np.corrcoef(noise[0][:, removed[0]].ravel(), other[:, removed[0]].ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_pytorch_grad_cams(channels):
    x, removed = drawn((15, 12), channels=channels)
    for one, mask in zip(x.astype(np.float32), removed, strict=True):
        theirs = NoisyLinearImputer(noise=0)(torch.from_numpy(one), torch.from_numpy(~mask).float())
        np.testing.assert_allclose(solved(one.astype(float), mask), theirs.numpy(), atol=1e-5)


def test_a_mask_that_leaves_nothing_is_refused_where_neighbours_are_asked():
    x, removed = drawn((4, 4))
    removed[1] = True
    with pytest.raises(InputError, match=r"removes every pixel.*Leave one, or use Mean\(\)"):
        Neighbours()(x, removed)


@pytest.mark.parametrize("imputer", ALL, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize(
    ("shape", "mask", "message"),
    [
        ((2, 3, 4, 4), np.zeros((2, 4, 4)), "holds float64: expected booleans"),
        ((2, 3, 4, 4), np.zeros((2, 4, 5), bool), r"Masks of shape \(2, 4, 5\) for inputs of shape"),
        ((2, 3, 4, 4), np.zeros((3, 4, 4), bool), "or one input for all"),
        ((2, 3, 4, 4), np.zeros((4, 4), bool), "batch channel"),
    ],
)
def test_masks_that_do_not_fit_are_refused(imputer, shape, mask, message):
    with pytest.raises(InputError, match=message):
        imputer(np.ones(shape), mask)


@pytest.mark.parametrize(
    ("grid", "size"),
    [((4, 5), (13, 17)), ((7, 7), (28, 28)), ((9,), (40,)), ((2, 3, 4), (5, 7, 9)), ((3, 1), (9, 4))],
)
def test_whole_cells_are_solved_for_as_their_pixels_are(grid, size):
    x = RNG.standard_normal((2, *size))
    for share in (0.1, 0.4, 0.8):
        for _ in range(4):
            removed = RNG.random(grid) < share
            removed.flat[RNG.integers(removed.size)] = False
            pixels = pixels_of_cells(removed[None], size)[0]
            expected = solved(x, pixels)
            np.testing.assert_allclose(cell_grid(grid, size).solved(x, removed), expected, atol=1e-10)
            cells = Neighbours(seed=3).cells(torch.from_numpy(x[None]), removed[None])
            np.testing.assert_allclose(cells, Neighbours(seed=3)(x[None], pixels[None]), atol=1e-10)
            assert np.array_equal(np.asarray(cells)[0][:, ~pixels], x[:, ~pixels])


def test_a_pixel_is_of_the_cell_whose_middle_is_nearest():
    for pixels, cells in itertools.product(range(1, 20), range(1, 20)):
        middles = (np.arange(cells) + 0.5) * pixels / cells
        away = np.abs(np.arange(pixels)[:, None] + 0.5 - middles)
        near = np.take_along_axis(away, nearest_cells(cells, pixels)[:, None], axis=1)[:, 0]
        np.testing.assert_allclose(near, away.min(axis=1), atol=1e-12)


def test_cells_that_are_too_large_are_solved_for_pixel_by_pixel():
    assert cell_grid((2, 2), (400, 400)) is None
    x, removed = RNG.standard_normal((1, 1, 400, 400)), np.array([[[True, False], [False, False]]])
    found = Neighbours().cells(x, removed)
    np.testing.assert_array_equal(found, Neighbours()(x, pixels_of_cells(removed, (400, 400))))
    with pytest.raises(InputError, match="every pixel"):
        Neighbours().cells(x, np.ones((1, 7, 7), bool))
