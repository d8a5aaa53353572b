"""Methods that run the model on altered inputs: against the papers' formulas as loops, and what is known exactly."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from camscope.evidence import Evidence, ModelEvidence, Responses
from camscope.methods import get_method
from camscope.methods.opticam import objective
from camscope.methods.rise import random_masks
from tests.reruns import (
    CLASSES,
    SIZES,
    Net,
    Runner,
    as_jax,
    as_torch,
    close,
    maps_of,
    only,
    seen,
)

NDIMS = [1, 2, 3]
MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}
SCORES = ["scorecam", "scorecam-paper", "scorecam-paper-logit"]
PCAMS = ["pcam+", "pcam-", "pcam"]
QUICK = {"groupcam": {"groups": 3, "radius": 2}, "rise": {"n": 12, "cells": 3}, "opticam": {"steps": 3}}
METHODS = [*SCORES, "gscorecam", "groupcam", *PCAMS, "rise", "opticam"]


def up(a, size):
    """PyTorch's own resize, of one map."""
    return interpolate(a[None, None], size, mode=MODES[a.ndim], align_corners=False)[0, 0]


def mm(a):
    return (a - a.min()) / (a.max() - a.min())


def responses(net, x, classes):
    logits = net(x[None])[0]
    return logits[classes], logits.softmax(0)[classes]


def summed(weights, a):
    """Σ_k w_k A^k, for weights `channel target`."""
    return torch.einsum("kt,k...->t...", weights, a)


def literal(net, one, edit=None):
    """`one(A, x, classes) -> target *space`, image by image."""
    A = net.prefix(net.x)
    A = A if edit is None else edit(A)
    return np.stack([one(A[b], net.x[b], CLASSES[b]).numpy() for b in range(len(A))])


def channels_zero_or_even(activations):
    """A dead channel, one that is the same everywhere, and one that is dead in one image only."""
    A = activations.clone()
    A[:, 1] = 0
    A[:, 3] = 0.7
    A[0, 4] = 0
    return A


# ------------------------------------------------------------------ Score-CAM


def scored(net, name, a, x, classes):
    """As printed, on every channel that is not constant; the baseline is subtracted, as algorithm 1 has it."""
    score, p = [], []
    live = [k for k in range(len(a)) if a[k].max() > a[k].min()]
    for k in live:
        s, q = responses(net, x * mm(up(a[k], x.shape[1:])), classes)
        score.append(s)
        p.append(q)
    score, p = torch.stack(score), torch.stack(p)
    base_score, base_p = responses(net, torch.zeros_like(x), classes)
    weights = {
        "scorecam": p,
        "scorecam-paper": (p - base_p).softmax(0),
        "scorecam-paper-logit": (score - base_score).softmax(0),
    }[name]
    return summed(weights, a[live])


@pytest.mark.parametrize("head", ["linear", "mlp"])
@pytest.mark.parametrize("ndim", NDIMS)
@pytest.mark.parametrize("name", SCORES)
def test_score_cam_is_the_literal_loop(name, ndim, head):
    """Also shows that the baseline of the paper cancels in its softmax: only the loop subtracts one."""
    net = Net(ndim, head, signed=True)
    close(maps_of(name, seen(net)), literal(net, lambda a, x, c: scored(net, name, a, x, c)))


@pytest.mark.parametrize("name", SCORES)
def test_constant_channels_are_not_run(name):
    net = Net(2, "mlp")
    evidence = seen(net, edit=channels_zero_or_even)
    mine = maps_of(name, evidence)
    assert evidence.model.masked.counts == [3, 4]
    close(mine, literal(net, lambda a, x, c: scored(net, name, a, x, c), channels_zero_or_even))


@pytest.mark.parametrize("name", ["scorecam-paper", "scorecam-paper-logit"])
def test_leaving_a_dead_channel_out_of_the_softmax_scales_the_map_and_no_more(name):
    net = Net(2, "mlp")

    def edit(activations):
        A = activations.clone()
        A[:, 1] = 0
        return A

    def with_it(a, x, classes):
        """As the peers: the dead channel's mask is zero."""
        both = []
        for k in range(len(a)):
            mask = torch.zeros(x.shape[1:]) if k == 1 else mm(up(a[k], x.shape[1:]))
            both.append(responses(net, x * mask, classes)[name == "scorecam-paper"])
        return summed(torch.stack(both).softmax(0), a)

    mine, theirs = maps_of(name, seen(net, edit=edit)), literal(net, with_it, edit)
    ratio = mine.max((2, 3)) / theirs.max((2, 3))
    assert (ratio > 1).all()
    close(mine, theirs * ratio[..., None, None])


def test_the_three_forms_and_gscorecam_share_one_sweep():
    evidence = seen(Net(2, "mlp"))
    for name in [*SCORES, "gscorecam"]:
        maps_of(name, evidence)
    assert evidence.model.masked.counts == [6, 6]


def test_channels_that_were_run_are_not_run_again():
    """Whatever was asked for before, the maps are the same, and each channel costs one forward."""
    net = Net(2, "mlp")
    evidence = seen(net)
    some = maps_of("gscorecam", evidence, top=1), maps_of("scorecam", evidence, top=2)
    assert evidence.model.masked.total < 12
    every = maps_of("scorecam", evidence)
    assert evidence.model.masked.total == 12
    close(every, maps_of("scorecam", seen(net)), 1e-12)
    close(some[0], maps_of("gscorecam", seen(net), top=1), 1e-12)
    close(some[1], maps_of("scorecam", seen(net), top=2), 1e-12)


@pytest.mark.parametrize("name", SCORES)
def test_top_takes_the_channels_of_largest_spread(name):
    net = Net(2, "mlp")
    evidence = seen(net)

    def one(a, x, classes):
        widest = a.flatten(1).std(1).argsort(descending=True)[:3]
        return scored(net, name, a[widest.sort().values], x, classes)

    mine = maps_of(name, evidence, top=3)
    close(mine, literal(net, one))
    assert evidence.model.masked.counts == [3, 3]
    close(maps_of(name, evidence, top=1000), maps_of(name, evidence), 1e-12)


def test_gscore_takes_each_targets_own_channels():
    net = Net(2, "mlp", seed=3)
    evidence = seen(net)
    mine = maps_of("gscorecam", evidence, top=2)
    A = net.prefix(net.x)
    chosen = np.argsort(-evidence.gradients.mean((3, 4)), axis=2)[..., :2]
    assert len({tuple(sorted(c)) for c in chosen[0]}) > 1, "the targets choose alike: nothing was tested"
    for b in range(2):
        for t in range(3):
            channels = chosen[b, t].tolist()
            masked = [net.x[b] * mm(up(A[b, k], net.x.shape[2:])) for k in channels]
            scores = torch.stack([responses(net, m, CLASSES[b])[0][t] for m in masked])
            expected = summed(scores.softmax(0)[:, None], A[b, channels])[0]
            close(mine[b, t], expected.numpy())
    assert evidence.model.masked.counts == [len(np.unique(chosen[b])) for b in range(2)]


def test_gscore_of_a_target_that_chooses_dead_channels_only_is_zero_for_that_target():
    net = Net(2, "mlp", seed=3)
    first = np.argmax(seen(net).gradients.mean((3, 4)), axis=2)
    dead = int(first[0, 0])

    def edit(activations):
        return activations.index_fill(1, torch.tensor([dead]), 0.0)

    evidence = seen(net, edit=edit)
    chosen = np.argmax(evidence.gradients.mean((3, 4)), axis=2)
    mine = maps_of("gscorecam", evidence, top=1)
    assert 0 < (chosen == dead).sum() < 6
    np.testing.assert_array_equal((mine == 0).all((2, 3)), chosen == dead)


def test_scores_beyond_what_exp_can_hold_take_the_largest():
    net = Net(2, "mlp")
    net.suffix[-1].weight *= 1e5
    mine = maps_of("scorecam-paper-logit", seen(net))
    assert np.isfinite(mine).all()
    close(mine, literal(net, lambda a, x, c: scored(net, "scorecam-paper-logit", a, x, c)))


def test_gscore_of_all_channels_is_score_cam_on_logits():
    evidence = seen(Net(2, "mlp"))
    close(maps_of("gscorecam", evidence), maps_of("scorecam-paper-logit", evidence), 1e-12)


# ------------------------------------------------------------------ Poly-CAM's layers


def clipped(a, size):
    low, high = np.percentile(a, 0.1), np.percentile(a, 99.9)
    return up(((a - low) / max(high, 1e-12)).clamp(0, 1), size)


def poly(net, name, a, x, classes, p=None):
    p = responses(net, x, classes)[1] if p is None else p
    weights = []
    for k in range(len(a)):
        H = clipped(a[k], x.shape[1:])
        kept, rest = responses(net, x * H, classes)[1], responses(net, x * (1 - H), classes)[1]
        weights.append({"pcam+": kept, "pcam-": (p - rest).relu(), "pcam": (kept + p - rest).relu()}[name])
    return summed(torch.stack(weights), a)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("ndim", NDIMS)
@pytest.mark.parametrize("name", PCAMS)
def test_poly_cam_is_the_literal_loop(name, ndim, signed):
    net = Net(ndim, "mlp", signed=signed)
    close(maps_of(name, seen(net)), literal(net, lambda a, x, c: poly(net, name, a, x, c)))


@pytest.mark.parametrize("name", PCAMS)
def test_poly_cam_leaves_out_dead_channels_only(name):
    """A constant one that is not zero counts, as in the authors' code: its mask shows nothing."""
    net = Net(2, "mlp")
    evidence = seen(net, edit=channels_zero_or_even)
    mine = maps_of(name, evidence)
    assert evidence.model.masked.counts == ([4, 4, 5, 5] if name == "pcam" else [4, 5])
    A = channels_zero_or_even(net.prefix(net.x))
    clean = torch.from_numpy(evidence.model.responses.probabilities)
    expected = [poly(net, name, A[b], net.x[b], CLASSES[b], clean[b]).numpy() for b in range(2)]
    close(mine, np.stack(expected))


def test_poly_cams_share_their_sweeps():
    evidence = seen(Net(2, "mlp"))
    for name in PCAMS:
        maps_of(name, evidence)
    assert (
        sorted(evidence.model.masked.counts) == [6] * 4
    )  # two images, with masks and with their complements


# ------------------------------------------------------------------ Group-CAM


def mirrored_blur(x, radius, sigma):
    """A full Gaussian kernel on a mirrored frame, pixel by pixel."""
    frame = np.pad(x.numpy(), [(0, 0)] + [(radius, radius)] * (x.ndim - 1), mode="reflect")
    axes = np.meshgrid(*[np.arange(-radius, radius + 1)] * (x.ndim - 1), indexing="ij")
    kernel = np.exp(-sum(axis**2 for axis in axes) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    out = np.zeros(x.shape)
    for ij in np.ndindex(*x.shape[1:]):
        window = frame[(slice(None), *(slice(i, i + 2 * radius + 1) for i in ij))]
        out[(slice(None), *ij)] = (window * kernel).reshape(len(x), -1).sum(1)
    return torch.from_numpy(out)


def grouped(net, a, x, classes, gradients, groups, drop):
    blurred = mirrored_blur(x, 2, 1.5)
    base = responses(net, blurred, classes)[1]
    out = torch.zeros(len(classes), *a.shape[1:], dtype=a.dtype)
    for t in range(len(classes)):
        products = gradients[t].flatten(1).mean(1).reshape(-1, *[1] * (a.ndim - 1)) * a
        for group in products.chunk(groups):
            region = group.sum(0).relu()
            if drop:
                region = torch.where(region > np.percentile(region, 100 * drop), region, 0.0)
            if region.max() == region.min():
                continue
            mask = mm(up(region, x.shape[1:]))
            p = responses(net, x * mask + blurred * (1 - mask), classes)[1]
            out[t] += (p[t] - base[t]).relu() * region
    return out


@pytest.mark.parametrize(("groups", "drop"), [(1, 0.0), (4, 0.0), (3, 0.7), (99, 0.0)])
@pytest.mark.parametrize("ndim", NDIMS)
def test_group_cam_is_the_literal_loop(ndim, groups, drop):
    net = Net(ndim, "mlp", channels=7)
    evidence = seen(net)
    g = torch.from_numpy(evidence.gradients)
    A = net.prefix(net.x)
    expected = [grouped(net, A[b], net.x[b], CLASSES[b], g[b], groups, drop).numpy() for b in range(2)]
    mine = maps_of("groupcam", evidence, groups=groups, drop=drop, radius=2, sigma=1.5)
    close(mine, np.stack(expected))
    assert all(count <= 3 * min(groups, 7) + 1 for count in evidence.model.masked.counts)


def test_group_cam_with_gradients_given_once_for_all_positions():
    """Behind a linear head gradients have size 1 along space."""
    e = seen(Net(2))
    short = Evidence(e.activations, e.gradients[..., :1, :1], model=e.model)
    close(maps_of("groupcam", short, radius=2), maps_of("groupcam", e, radius=2), 1e-12)
    close(maps_of("gscorecam", short, top=2), maps_of("gscorecam", e, top=2), 1e-12)


# ------------------------------------------------------------------ RISE


def rise_masks(size, n, cells, p, seed):
    """The masks of the paper, drawn as ours are and made by PyTorch: resized, then cut out at their places."""
    rng = np.random.default_rng(seed)
    grids = (rng.random((n, *[cells] * len(size))) < p).astype(float)
    steps = [math.ceil(s / cells) for s in size]
    shifts = [rng.integers(0, step, n) for step in steps]
    masks = []
    for i in range(n):
        large = up(torch.from_numpy(grids[i]), [(cells + 1) * step for step in steps])
        masks.append(large[tuple(slice(s[i], s[i] + n) for s, n in zip(shifts, size, strict=True))])
    return torch.stack(masks)


@pytest.mark.parametrize("ndim", NDIMS)
def test_rise_is_the_literal_sum(ndim):
    net = Net(ndim, "mlp")
    masks = rise_masks(SIZES[ndim], 20, 4, 0.3, seed=5)
    expected = np.zeros((2, 3, *SIZES[ndim]))
    for b in range(2):
        for mask in masks:
            p = responses(net, net.x[b] * mask, CLASSES[b])[1]
            expected[b] += np.multiply.outer(p.numpy(), mask.numpy()) / (20 * 0.3)
    evidence = seen(net, seed=5)
    close(maps_of("rise", evidence, n=20, cells=4, p=0.3), expected)
    assert evidence.model.masked.counts == [20, 20]


def test_rise_that_hides_nothing_is_the_probability_everywhere():
    e = seen(Net(2, "mlp"))
    mine = maps_of("rise", e, n=3, p=1)
    close(mine, np.broadcast_to(e.model.responses.probabilities[..., None, None], mine.shape), 1e-12)


def test_rise_masks_show_a_share_p_and_each_lies_elsewhere():
    masks = random_masks((28, 35), 400, 7, 0.3, 0, like=np.zeros(1))
    made = masks(np.arange(400))
    assert made.min() >= 0
    assert made.max() <= 1
    # a mask's mean spreads by about √(0.21 / 64); five times that of the mean of 400
    assert abs(made.mean() - 0.3) < 5 * math.sqrt(0.21 / 64 / 400)
    np.testing.assert_array_equal(masks(np.array([7, 3])), made[[7, 3]])
    full = random_masks((28, 35), 50, 7, 0.5, 0, like=np.zeros(1))(np.arange(50))
    kinks = {tuple(np.flatnonzero(np.abs(np.diff(m[0], 2)) > 1e-9) % 5) for m in full}
    assert len(kinks) > 3, "all masks were cut out at the same place"


def test_rise_masks_lie_at_every_place_along_each_axis_by_itself():
    """2 × 2 cells at 3 × 3 places: 2 grids are even, 4 the same along an axis, 10 differ at each place."""
    made = random_masks((6, 6), 3000, 2, 0.5, 0, like=np.zeros(1))(np.arange(3000))
    assert len({np.round(one, 9).tobytes() for one in made}) == 2 + 4 * 3 + 10 * 9


def test_rise_sums_its_masks_in_chunks(monkeypatch):
    net = Net(2, "mlp")
    whole = maps_of("rise", seen(net), n=20, cells=3)
    monkeypatch.setattr("camscope.methods.rise._BUDGET", 12 * 15 * 3)
    close(maps_of("rise", seen(net), n=20, cells=3), whole, 1e-12)


class OnePixel(nn.Module):
    """Two classes, told apart by one pixel."""

    def forward(self, x):
        seen = x[:, 0, 4, 15]
        return torch.stack([3 * seen, torch.zeros_like(seen)], 1)


def test_rise_finds_the_pixel_that_counts_and_does_so_better_with_more_masks():
    x = np.ones((1, 1, 16, 20))
    p = 1 / (1 + math.exp(-3))
    clean = Responses(np.array([[3.0]]), np.array([[p]]), np.array([[np.log(p)]]))
    errors = []
    maps = {}
    for n in (100, 1600):
        for seed in range(4):
            model = ModelEvidence(x, clean, masked=Runner(OnePixel(), np.array([[0]]), chunk=400), seed=seed)
            maps[n, seed] = maps_of("rise", model_of(model), n=n, cells=4)[0, 0]
        mean = sum(maps[n, s] for s in range(4)) / 4
        errors.append(np.mean([np.square(maps[n, s] - mean).mean() for s in range(4)]))
        assert not np.array_equal(maps[n, 0], maps[n, 1])
    assert errors[1] < errors[0] / 6  # 16 times the masks: a sixteenth of the variance, give or take
    found = np.unravel_index(maps[1600, 0].argmax(), (16, 20))
    assert abs(found[0] - 4) <= 2
    assert abs(found[1] - 15) <= 2


def model_of(model):
    return Evidence(np.zeros((1, 1, 1, 1)), model=model)


# ------------------------------------------------------------------ Opti-CAM


def objective_by_torch(net, activations, u, target):
    """Each image's logit through the mask, with a graph."""
    maps = torch.einsum("bk,bk...->b...", u.softmax(1), activations)
    masks = torch.stack([mm(up(m, net.x.shape[2:])) for m in maps])
    return net(net.x * masks[:, None])[torch.arange(len(u)), CLASSES[:, target]]


@pytest.mark.parametrize("ndim", NDIMS)
def test_gradient_of_the_objective_is_that_of_autograd_and_of_differences(ndim):
    net = Net(ndim, "mlp")
    A = net.prefix(net.x)
    u = torch.from_numpy(np.random.default_rng(0).standard_normal(A.shape[:2])).requires_grad_()
    model = seen(net).model
    for target in range(3):
        expected = objective_by_torch(net, A, u, target)
        score, slope = objective(A.numpy(), u.detach().numpy(), model, target)
        close(score, expected.detach().numpy())
        close(slope, torch.autograd.grad(expected.sum(), u)[0].numpy())
        for k in range(A.shape[1]):
            step = np.zeros(A.shape[:2])
            step[:, k] = 1e-6
            ends = [objective(A.numpy(), u.detach().numpy() + s * step, model, target)[0] for s in (1, -1)]
            close((ends[0] - ends[1]) / 2e-6, slope[:, k], 1e-5)


def climbed(net, target, steps):
    """With PyTorch's Adam, one image after the other: the best map met, and its score and the first one."""
    out, scores = [], []
    for b in range(2):
        alone = Net.__new__(Net)
        alone.__dict__.update(net.__dict__)
        alone.x = net.x[b : b + 1]
        A = alone.prefix(alone.x).relu()
        u = torch.full(A.shape[:2], 0.5, dtype=A.dtype, requires_grad=True)
        adam = torch.optim.Adam([u], lr=0.1)
        best, highest, checked, first = None, -math.inf, -math.inf, None
        for step in range(steps):
            masks = mm(up(torch.einsum("bk,bk...->b...", u.softmax(1), A)[0], net.x.shape[2:]))
            score = alone(alone.x * masks)[0, CLASSES[b, target]]
            first = score.item() if first is None else first
            if score.item() > highest:
                best, highest = u.detach().clone(), score.item()
            if step % max(1, steps // 10) == 0:
                if score.item() < checked:
                    break
                checked = score.item()
            adam.zero_grad()
            (-score).backward()
            adam.step()
        out.append(torch.einsum("bk,bk...->b...", best.softmax(1), A)[0].numpy())
        scores.append((first, highest))
    return np.stack(out), np.array(scores)


@pytest.mark.parametrize(("ndim", "signed"), [(1, False), (2, True), (3, False)])
def test_opti_cam_is_pytorchs_adam_image_by_image(ndim, signed):
    net = Net(ndim, "mlp", signed=signed)
    mine = maps_of("opticam", seen(net), steps=30)
    stepped = maps_of("opticam", seen(net), steps=1)
    assert np.abs(mine - stepped).max() > 1e-2 * np.abs(mine).max(), "nothing moved"
    for target in range(3):
        expected, scores = climbed(net, target, 30)
        close(mine[:, target], expected, 1e-8)
        assert (scores[:, 1] >= scores[:, 0]).all()


def test_opti_cam_never_ends_below_its_start():
    net = Net(2, "mlp")
    for rate in (0.1, 50.0):  # far too bold a rate included
        mine = torch.from_numpy(maps_of("opticam", seen(net), steps=12, rate=rate))
        start = torch.from_numpy(maps_of("opticam", seen(net), steps=1))
        for b in range(2):
            for t in range(3):
                reached, first = (
                    responses(net, net.x[b] * mm(up(maps[b, t], net.x.shape[2:])), CLASSES[b])[0][t]
                    for maps in (mine, start)
                )
                assert reached >= first - 1e-12


def test_opti_cam_of_dead_activations_is_flat_and_of_broken_ones_says_so():
    dead = maps_of(
        "opticam", seen(Net(2, "mlp"), edit=lambda a: a * torch.tensor([0.0, 1.0])[:, None, None, None])
    )
    assert (dead[0] == 0).all()
    assert (dead[1] != 0).any()
    broken = seen(Net(2, "mlp"), edit=lambda a: a.index_fill(0, torch.tensor([0]), math.nan))
    mine = maps_of("opticam", broken, steps=2)
    assert np.isnan(mine[0]).all()
    assert np.isfinite(mine[1]).all()


def test_opti_cam_of_a_score_that_is_no_number_says_so():
    net = Net(2, "mlp")
    net.suffix[-1].bias[3] = math.nan
    mine = maps_of("opticam", seen(net), steps=2)
    np.testing.assert_array_equal(np.isnan(mine).all((2, 3)), CLASSES == 3)


# ------------------------------------------------------------------ all of them


@pytest.mark.parametrize("ndim", NDIMS)
@pytest.mark.parametrize("name", METHODS)
def test_every_shape_and_every_array_library(name, ndim):
    net = Net(ndim, "mlp")
    parameters = QUICK.get(name, {})
    exact = maps_of(name, seen(net), **parameters)
    space = SIZES[ndim] if name == "rise" else tuple(-(-n // 2) for n in SIZES[ndim])
    assert exact.shape == (2, 3, *space)
    assert np.isfinite(exact).all()
    m = get_method(name).with_parameters(**parameters)
    for convert in (as_torch, as_jax) if ndim == 2 else (as_torch,):  # JAX compiles each shape anew
        evidence = seen(net, convert, "float32")
        found = m(evidence.model if m.scope == "model" else evidence)
        assert type(found) is type(convert([0.0], "float32"))
        assert "float32" in str(found.dtype)
        close(found, exact, 1e-3 if name == "opticam" else 1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_the_size_of_chunks_does_not_matter(name):
    net = Net(2, "mlp")
    parameters = QUICK.get(name, {})
    one, all_at_once = (maps_of(name, seen(net, chunk=chunk), **parameters) for chunk in (1, 1000))
    close(one, all_at_once, 1e-10)


@pytest.mark.parametrize("name", METHODS)
def test_a_batch_is_its_images_one_by_one(name):
    net = Net(2, "mlp")
    parameters = QUICK.get(name, {})
    together = maps_of(name, seen(net), **parameters)
    for image in range(2):
        close(maps_of(name, only(alone, image, net), **parameters)[0], together[image], 1e-10)


def alone(net, **options):
    return seen(net, **options)


@pytest.mark.parametrize("name", [*SCORES, "gscorecam", "groupcam", *PCAMS])
def test_an_image_without_activations_gets_a_map_of_zeros_and_costs_nothing(name):
    evidence = seen(Net(2, "mlp"), edit=lambda a: a * torch.tensor([0.0, 1.0])[:, None, None, None])
    mine = maps_of(name, evidence)
    assert (mine[0] == 0).all()
    assert (mine[1] != 0).any()
    assert len(evidence.model.masked.counts) == (2 if name == "pcam" else 1)


@pytest.mark.parametrize("name", [*SCORES, "gscorecam", *PCAMS])
def test_a_channel_that_is_no_number_shows_in_the_map(name):
    def edit(activations):
        A = activations.clone()
        A[0, 2, 1, 1] = math.nan
        return A

    mine = maps_of(name, seen(Net(2, "mlp"), edit=edit))
    assert np.isnan(mine[0]).any()
    assert np.isfinite(mine[1]).all()


# ------------------------------------------------------------------ against the peers


def test_parity_with_torch_cam_where_pixels_hit_the_centres_of_cells():
    """It scales masks before it resizes them. With an odd stride that is the same: a resized map keeps its extremes."""
    from torchcam.methods import ScoreCAM

    net = Net(2, "mlp", stride=3)
    mine = maps_of("scorecam-paper-logit", seen(net, classes=CLASSES[:, :1]))[:, 0]
    with ScoreCAM(net, "prefix", input_shape=tuple(net.x.shape[1:])) as cam:
        scores = net(net.x)
        theirs = cam(CLASSES[:, 0].tolist(), scores, normalized=False)[0]
    close(theirs.numpy(), np.maximum(mine, 0), 1e-5)  # its masks are scaled with an eps of 1e-8


def test_parity_with_pytorch_grad_cam_where_nothing_is_resized():
    """It resizes masks with `align_corners=True`; a layer of the input's own size has nothing to resize."""
    from pytorch_grad_cam import ScoreCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Net(2)
        net.prefix = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.ReLU()).double().requires_grad_(False)
    evidence = seen(net, classes=CLASSES[:, :1])
    mine = maps_of("scorecam-paper-logit", evidence)[:, 0]
    with ScoreCAM(net, [net.prefix]) as cam:
        targets = [ClassifierOutputTarget(int(c)) for c in CLASSES[:, 0]]
        weights = cam.get_cam_weights(net.x, net.prefix, targets, evidence.activations, None)
    close(np.einsum("bk,bkhw->bhw", weights, evidence.activations), mine, 1e-5)
