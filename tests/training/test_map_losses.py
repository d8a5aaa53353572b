"""Losses on maps: by hand, in numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from camscope.arrays import resize
from camscope.errors import InputError
from camscope.training import cam, energy_loss, gain_extended_loss, gain_loss, outside_loss, rrr_loss
from tests.conftest import make_tiny_cnn
from tests.torch.nets import batch


def covered(mask: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The share of each cell that a mask covers, pixel by pixel in eight parts each way."""
    fine = mask.astype(float).repeat(rows, 0).repeat(columns, 1)
    return fine.reshape(rows, mask.shape[0], columns, mask.shape[1]).mean((1, 3))


def test_outside_loss_is_the_mean_square_outside_of_the_mask(rng):
    maps, masks = rng.standard_normal((3, 2, 3, 4)), rng.random((3, 7, 10)) < 0.5
    by_hand = np.mean(
        [
            (maps[b, t, i, j] * (1 - covered(masks[b], 3, 4)[i, j])) ** 2
            for b, t, i, j in np.ndindex(maps.shape)
        ]
    )
    assert float(outside_loss(maps, masks)) == pytest.approx(by_hand)
    assert float(outside_loss(torch.from_numpy(maps), torch.from_numpy(masks))) == pytest.approx(by_hand)
    assert float(outside_loss(torch.from_numpy(maps), masks)) == pytest.approx(by_hand)


def test_each_map_may_have_a_mask_of_its_own(rng):
    maps, masks = rng.standard_normal((3, 2, 3, 4)), rng.random((3, 2, 6, 8)) < 0.5
    each = [float(outside_loss(maps[:, t : t + 1], masks[:, t])) for t in range(2)]
    assert float(outside_loss(maps, masks)) == pytest.approx(np.mean(each))
    assert float(outside_loss(maps, masks[:, :1])) == pytest.approx(float(outside_loss(maps, masks[:, 0])))


@pytest.mark.parametrize("space", [(9,), (4, 6, 3)])
def test_in_any_number_of_axes(space, rng):
    maps = rng.standard_normal((2, 1, *space))
    masks = np.zeros((2, *(2 * n for n in space)), bool)
    masks[:, : space[0]] = True  # the first half
    half = space[0] / 2
    outside = 1 - np.clip(half - np.arange(space[0]), 0, 1).reshape(-1, *(1,) * (len(space) - 1))
    assert float(outside_loss(maps, masks)) == pytest.approx(np.mean((maps * outside) ** 2))


def test_a_whole_mask_costs_nothing_and_an_empty_one_all(rng):
    maps = rng.standard_normal((2, 1, 4, 4))
    assert float(outside_loss(maps, np.ones((2, 8, 8)))) == 0
    assert float(outside_loss(maps, np.zeros((2, 8, 8)))) == pytest.approx(np.mean(maps**2))


def test_energy_loss_is_the_share_of_the_positive_map_outside(rng):
    maps, masks = rng.standard_normal((3, 2, 4, 4)), rng.random((3, 4, 4)) < 0.5
    maps[1, 0] = -1  # nothing positive: nothing outside
    positive = np.maximum(maps, 0)
    shares = [positive[b, t][~masks[b]].sum() / max(positive[b, t].sum(), 1e-30) for b, t in np.ndindex(3, 2)]
    assert float(energy_loss(maps, masks)) == pytest.approx(np.mean(shares))
    assert shares[2] == 0


@pytest.mark.parametrize("loss", [outside_loss, energy_loss, gain_extended_loss])
@pytest.mark.parametrize("value", [255, -1.0, np.nan])
def test_masks_that_are_no_shares_are_refused(loss, value):
    masks = np.zeros((2, 8, 8), np.asarray(value).dtype)
    masks[:, 2:4] = value
    with pytest.raises(InputError, match="shares between 0 and 1; these have values from"):
        loss(np.ones((2, 1, 4, 4)), masks)


@pytest.mark.parametrize("loss", [outside_loss, energy_loss, gain_extended_loss])
@pytest.mark.parametrize("shape", [(8, 8), (3, 8, 8), (2, 3, 8, 8), (2, 1, 1, 8, 8), (2,)])
def test_masks_that_do_not_fit_are_refused(loss, shape):
    with pytest.raises(InputError, match="do not fit maps of shape"):
        loss(np.ones((2, 2, 4, 4)), np.ones(shape))


@pytest.mark.parametrize("loss", [outside_loss, energy_loss, gain_extended_loss])
def test_losses_teach_the_weights(loss):
    model, x = make_tiny_cnn().train(), batch(4, 3, 16, 16)
    masks = torch.zeros(4, 16, 16)
    masks[:, 4:12, 4:12] = 1
    before = loss(cam(model, x, torch.arange(4)).maps, masks)
    before.backward()
    with torch.no_grad():
        for p in model.parameters():
            if p.grad is not None:
                p -= 1e-3 * p.grad
    assert loss(cam(model, x, torch.arange(4)).maps, masks) < before


# ------------------------------------------------------------------ RRR


def linear_model(rng) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Logits, inputs and weights of logits = W · x."""
    x = torch.from_numpy(rng.standard_normal((4, 1, 3, 5))).requires_grad_()
    weight = rng.standard_normal((6, 15))
    return x.flatten(1) @ torch.from_numpy(weight).T, x, weight


def test_rrr_is_equation_one_of_a_linear_model(rng):
    """∂/∂x Σ_k log p_k = Σ_k W_k − K Σ_j p_j W_j."""
    logits, x, weight = linear_model(rng)
    masks = rng.random((4, 3, 5)) < 0.5
    p = logits.detach().softmax(1).numpy()
    gradient = weight.sum(0) - 6 * p @ weight
    by_hand = ((gradient * ~masks.reshape(4, -1)) ** 2).sum(1).mean()
    assert float(rrr_loss(logits, x, masks)) == pytest.approx(by_hand)


def test_rrr_of_independent_labels(rng):
    """∂/∂x Σ_k (log p_k + log(1 − p_k)) = Σ_k (1 − 2 p_k) W_k."""
    logits, x, weight = linear_model(rng)
    gradient = (1 - 2 * logits.detach().sigmoid().numpy()) @ weight
    found = rrr_loss(logits, x, np.zeros((4, 3, 5)), multilabel=True)
    assert float(found) == pytest.approx((gradient**2).sum(1).mean())


def test_rrr_can_be_differentiated_by_the_weights():
    model, x = make_tiny_cnn().double(), batch(2, 3, 16, 16, dtype=torch.float64).requires_grad_()
    weight, step = model.stem.weight, 1e-6
    (gradient,) = torch.autograd.grad(rrr_loss(model(x), x, torch.zeros(2, 16, 16)), weight)
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[0, 0, 1, 1] += sign * step
        ends.append(float(rrr_loss(model(x), x, torch.zeros(2, 16, 16)).detach()))
        with torch.no_grad():
            weight[0, 0, 1, 1] -= sign * step
    assert float(gradient[0, 0, 1, 1]) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4)


def test_rrr_says_what_the_inputs_lack():
    model, x = make_tiny_cnn(), batch(2, 3, 16, 16)
    with pytest.raises(InputError, match=r"x\.requires_grad_\(\) before the forward"):
        rrr_loss(model(x), x, torch.zeros(2, 16, 16))
    with pytest.raises(InputError, match="the very tensor"):
        rrr_loss(model(x), x.clone().requires_grad_(), torch.zeros(2, 16, 16))


# ------------------------------------------------------------------ GAIN


@pytest.mark.parametrize("method", ["cam", "gradcam"])
def test_gain_is_the_probability_of_what_the_map_leaves(method):
    model, x, y = make_tiny_cnn(), batch(4, 3, 16, 16), torch.tensor([0, 3, 1, 4])
    seen = cam(model, x, y, method=method)
    A = seen.maps.clamp(min=0)
    A = A / A.amax((2, 3), keepdim=True).clamp(min=1e-30)
    T = torch.sigmoid(8 * (resize(A, (16, 16)) - 0.4))
    by_hand = model(x - T * x).softmax(1).gather(1, y[:, None]).mean()
    torch.testing.assert_close(gain_loss(seen, x, sigma=0.4, omega=8), by_hand)


def test_gain_hides_the_map_of_each_label_by_itself():
    model, x = make_tiny_cnn(), batch(2, 3, 16, 16)
    labels = torch.tensor([[0, 3], [1, -1]])
    alone = [
        gain_loss(cam(model, x[b : b + 1], torch.tensor([c])), x[b : b + 1])
        for b, c in ((0, 0), (0, 3), (1, 1))
    ]
    torch.testing.assert_close(gain_loss(cam(model, x, labels), x), sum(alone) / 3)


def test_gain_teaches_the_weights_through_the_map_too():
    """With the second forward's own weights held, only the map can change what is hidden."""
    model, x, y = make_tiny_cnn(), batch(4, 3, 16, 16), torch.tensor([0, 3, 1, 4])
    seen = cam(model, x, y)
    (by_map,) = torch.autograd.grad(gain_loss(seen, x), seen.maps)
    assert by_map.abs().sum() > 0


def test_the_extension_compares_with_the_mask(rng):
    maps, masks = rng.standard_normal((2, 3, 4, 4)), rng.random((2, 4, 4)) < 0.5
    A = np.maximum(maps, 0)
    A /= A.max((2, 3), keepdims=True)
    assert float(gain_extended_loss(maps, masks)) == pytest.approx(np.mean((A - masks[:, None]) ** 2))
    perfect = np.broadcast_to(7.0 * masks[:, None], (2, 1, 4, 4))
    assert float(gain_extended_loss(perfect, masks)) == 0


def test_losses_under_autocast_are_in_single_precision():
    model: nn.Module = make_tiny_cnn().train()
    x, y = batch(4, 3, 16, 16), torch.tensor([0, 3, 1, 4])
    masks = torch.ones(4, 16, 16)
    masks[:, :8] = 0
    with torch.autocast("cpu", torch.bfloat16):
        seen = cam(model, x, y)
        loss = outside_loss(seen.maps, masks)
        total = functional.cross_entropy(seen.outputs, y) + loss + gain_loss(seen, x)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(outside_loss(seen.maps.detach(), masks).item())
    total.backward()
