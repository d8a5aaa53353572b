"""Stability, max-sensitivity, infidelity and PxAP: exact cases first, brute-force twins, what is refused."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score
from torch import nn

import camscope
from camscope import metrics
from camscope.metrics.infidelity import infidelity_of, squares
from camscope.metrics.sensitivity import _copies, _moves, within
from tests.metrics.small_models import Additive, classifier

RNG = np.random.default_rng(0)
QUIET = pytest.mark.filterwarnings("ignore::camscope.CamscopeWarning")


def pointwise(axes):
    """A net that sees each place by itself: its maps move with the input to the bit, and mirror with it."""
    torch.manual_seed(0)
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
    return nn.Sequential(
        conv(2, 6, 1), nn.ReLU(), (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[axes - 1](1),
        nn.Flatten(), nn.Linear(6, 3),
    ).double().eval()  # fmt: skip


# ------------------------------------------------------------------ stability


@pytest.mark.parametrize("size", [(40,), (20, 24), (10, 12, 9)])
def test_maps_that_move_with_the_input_are_stable(size, monkeypatch):
    """Without noise all that is left are moves, which such a net follows exactly."""
    monkeypatch.setattr("camscope.metrics.sensitivity._NOISE", 0.0)
    explainer = camscope.Explainer(pointwise(len(size)))
    x = torch.from_numpy(RNG.standard_normal((2, 2, *size)))
    e = explainer(x, methods=["hirescam"], targets=[0, 1])
    measured = metrics.stability(explainer, x, e, baselines=("random",))
    stayed = measured.beside["share of copies whose top class stays"]["hirescam"]
    assert (stayed > 0).all()
    np.testing.assert_allclose(measured["hirescam"], 1, atol=1e-9)
    assert (np.abs(measured["random"]) < 1).all()  # which does not move


def test_stability_by_hand():
    net, explainer = classifier(dtype=torch.float64)
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((6, 2, 16, 20)))
    with torch.no_grad():  # all classes are nearly as likely, so that some copies have another top class
        net.head.bias -= net(x).mean(0)
    e = explainer(x, methods=["gradcam"], targets=1)  # at a stride of 2: 4 pixels are 2 cells
    own = e.maps("gradcam").numpy()[:, 0]
    assert own.shape == (6, 8, 10)
    with torch.no_grad():
        top = net(x).argmax(1)

    def moved(axis, by):
        index = torch.arange(x.shape[axis]).sub(by).clamp(0, x.shape[axis] - 1)
        return x.index_select(axis, index)

    spread = np.ptp(x.numpy().reshape(6, -1), axis=1).reshape(-1, 1, 1, 1)
    random = np.random.default_rng(0)
    copies = [
        (moved(2, -4), lambda m: (m[:, :-2], slice(2, None), slice(None))),
        (moved(2, 4), lambda m: (m[:, 2:], slice(None, -2), slice(None))),
        (moved(3, -4), lambda m: (m[:, :, :-2], slice(None), slice(2, None))),
        (moved(3, 4), lambda m: (m[:, :, 2:], slice(None), slice(None, -2))),
        (x.flip(3), lambda m: (m[:, :, ::-1], slice(None), slice(None))),
    ]
    copies += [
        (
            x + torch.from_numpy(0.02 * spread * random.standard_normal(x.shape)),
            lambda m: (m, slice(None), slice(None)),
        )
        for _ in range(3)
    ]
    each, stays = [], []
    for altered, back in copies:
        maps, rows, columns = back(
            explainer(altered, methods=["gradcam"], targets=1).maps("gradcam").numpy()[:, 0]
        )
        with torch.no_grad():
            stayed = (net(altered).argmax(1) == top).numpy()
        alike = [spearmanr(a[rows, columns].ravel(), b.ravel())[0] for a, b in zip(own, maps, strict=True)]
        each.append(np.where(stayed, alike, np.nan))
        stays.append(stayed)
    assert 0.3 < np.mean(stays) < 0.95
    measured = metrics.stability(explainer, x, e, targets=1)
    np.testing.assert_allclose(measured["gradcam"][:, 0], np.nanmean(each, 0), atol=1e-9)
    share = measured.beside["share of copies whose top class stays"]["gradcam"][:, 0]
    np.testing.assert_allclose(share, np.mean(stays, 0))


def test_a_box_moves_with_what_is_in_it():
    """In an input that is wider than high, each copy's box is around what was moved."""

    def around(x):
        rows, columns = np.nonzero(x[0, 0])
        return np.array([columns[0] / 40, rows.min() / 20, (columns.max() + 1) / 40, (rows.max() + 1) / 20])

    x = np.zeros((1, 1, 20, 40))
    x[0, 0, 6:11, 8:15] = 1
    copies = _moves(x)
    assert len(copies) == 5
    for copy in copies:
        np.testing.assert_allclose(copy.box(around(x)), around(copy.x))
    assert len({tuple(around(copy.x)) for copy in copies}) == 5


def test_the_noise_of_each_image_is_by_its_own_range():
    x = RNG.standard_normal((2, 1, 9, 9)) * np.array([1.0, 100.0]).reshape(2, 1, 1, 1)
    for copy in _copies(x, 0, moving=False):
        share = (copy.x - x).std((1, 2, 3)) / np.ptp(x, axis=(1, 2, 3))
        np.testing.assert_allclose(share, 0.02, rtol=0.3)


def test_a_regression_has_no_class_that_could_change_and_too_small_inputs_are_refused():
    net = pointwise(2)
    explainer = camscope.Explainer(net, task="regression")
    x = torch.from_numpy(RNG.standard_normal((1, 2, 12, 12)))
    measured = metrics.stability(explainer, x, explainer(x, methods=["hirescam"], targets=[0]))
    assert measured.beside["share of copies whose top class stays"]["hirescam"] == 1
    small = x[..., :8]
    with pytest.raises(camscope.InputError, match="12 × 8 is too small to be shifted by 4"):
        metrics.stability(explainer, small, explainer(small, methods=["hirescam"], targets=[0]))


# ------------------------------------------------------------------ max-sensitivity


def test_max_sensitivity_is_the_largest_relative_distance():
    _, explainer = classifier(dtype=torch.float64)
    x = torch.from_numpy(RNG.standard_normal((2, 2, 8, 8)))
    e = explainer(x, methods=["gradcam"], targets=[0, 1])
    own, found = e.maps("gradcam").numpy(), []
    moved = np.stack([*within(x.numpy(), 0.1, 4, 3)]) - x.numpy()
    assert np.abs(np.corrcoef(moved.reshape(4, -1)) - np.eye(4)).max() < 0.3  # each by numbers of its own
    for altered in within(x.numpy(), 0.1, 4, 3):
        assert np.abs(altered - x.numpy()).max() <= 0.1
        other = (
            explainer(torch.from_numpy(altered), methods=["gradcam"], targets=[0, 1]).maps("gradcam").numpy()
        )
        found.append(np.linalg.norm(other - own, axis=(2, 3)) / np.linalg.norm(own, axis=(2, 3)))
    measured = metrics.max_sensitivity(
        explainer, x, e, radius=0.1, copies=4, seed=3, baselines=("centre", "random")
    )
    np.testing.assert_allclose(measured["gradcam"], np.max(found, 0), atol=1e-9)
    np.testing.assert_array_equal(measured["centre"], 0)
    with pytest.raises(camscope.InputError, match="radius=0: expected how far"):
        metrics.max_sensitivity(explainer, x, e, radius=0)


# ------------------------------------------------------------------ infidelity


def test_what_each_pixel_really_adds_has_no_infidelity_and_any_scale_of_it_none_once_normalised():
    weights = torch.from_numpy(RNG.standard_normal((9, 11)))
    net = Additive(weights).eval().double()
    explainer = camscope.Explainer(net, task="regression")
    x = torch.from_numpy(RNG.standard_normal((2, 1, 9, 11)))
    truth = (x[:, 0] * weights).numpy()[:, None]
    maps = {"truth": truth, "scaled": 7 * truth, "other": RNG.standard_normal(truth.shape)}
    raw = metrics.infidelity(explainer, x, maps, normalise=False)
    assert raw["truth"] == pytest.approx(0, abs=1e-20)
    np.testing.assert_allclose(
        raw["scaled"], 36 * raw.beside["of a map that says nothing"]["scaled"], rtol=1e-9
    )
    best = metrics.infidelity(explainer, x, maps)
    assert best["scaled"] == pytest.approx(0, abs=1e-20)
    assert (best["other"] <= best.beside["of a map that says nothing"]["other"]).all()
    assert (best["other"] > 0.1 * best.beside["of a map that says nothing"]["other"]).all()


def test_infidelity_by_hand_is_one_run_for_all_maps_and_classes():
    net, explainer = classifier(dtype=torch.float64)
    x = torch.from_numpy(RNG.standard_normal((2, 2, 8, 12)))
    maps = {"a": RNG.standard_normal((2, 2, 4, 6)), "b": RNG.standard_normal((2, 1, 8, 12))}
    explainer(x, targets=[0, 1])
    before = net.seen
    measured = metrics.infidelity(
        explainer, x, maps, targets=[3, 1], copies=20, side=0.5, imputer=metrics.Mean()
    )
    assert net.seen - before == 2 + 2 * 20
    for image in range(2):
        gone = squares((8, 12), 0.5, 20, 0)
        assert gone.sum((1, 2)).tolist() == [4 * 6] * 20
        drops = []
        for mask in gone:
            altered = x[image].clone()
            altered[:, mask] = x[image].mean((1, 2))[:, None].expand(-1, mask.sum())
            with torch.no_grad():
                drops.append((net(x[image : image + 1]) - net(altered[None]))[0, [3, 1]].numpy())
        mass = np.array([(maps["b"][image, 0] * mask).sum() for mask in gone])
        for target in range(2):
            drop = np.array(drops)[:, target]
            scale = (mass @ drop) / (mass @ mass)
            assert measured["b"][image, target] == pytest.approx(
                ((scale * mass - drop) ** 2).mean(), abs=1e-12
            )


def test_squares_lie_wherever_they_fit_and_rows_know_nothing_of_columns():
    gone = squares((6, 5), 0.5, 400, 0)
    assert {one.sum() for one in gone} == {3 * 2}
    corners = {tuple(np.argwhere(one)[0].tolist()) for one in gone}
    assert corners == set(itertools.product(range(4), range(4)))


def test_no_other_scale_is_better_than_the_best():
    mass, drops = RNG.standard_normal((2, 30))
    best = infidelity_of(mass, drops, True)
    assert all(infidelity_of(k * mass, drops, False) >= best - 1e-12 for k in np.linspace(-3, 3, 61))
    assert infidelity_of(np.zeros(30), drops, True) == pytest.approx((drops**2).mean())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": 1}, "side=1: expected a share"),
        ({"copies": 0}, "copies=0: expected a whole number"),
        ({"imputer": "blur"}, "expected an imputer"),
        ({"targets": [0, 1]}, "same targets="),
    ],
)
def test_what_infidelity_does_not_take_is_told(options, message):
    _, explainer = classifier()
    x = torch.zeros(1, 2, 8, 8).double()
    with pytest.raises(camscope.InputError, match=message):
        metrics.infidelity(
            explainer, x, RNG.standard_normal((1, 3, 4, 4)), **{"targets": [0, 1, 2], **options}
        )


# ------------------------------------------------------------------ PxAP


def test_pixel_average_precision_is_scikit_learns_over_all_pixels_of_the_set():
    masks = RNG.random((3, 8, 8)) > 0.6
    maps = np.round(RNG.random((3, 2, 8, 8)) + 0.3 * masks[:, None], 1)  # with ties
    ignore = RNG.random((3, 8, 8)) > 0.8
    found = metrics.pixel_average_precision(
        maps, masks, ignore=ignore, baselines={"flat": np.ones((3, 1, 4, 4))}
    )
    for target in range(2):
        low, high = (f(maps[:, target], (1, 2)).reshape(3, 1, 1) for f in (np.min, np.max))
        heat = (maps[:, target] - low) / (high - low)
        expected = average_precision_score(masks[~ignore], np.clip(heat, 0, 1)[~ignore])
        assert found["map"][target] == pytest.approx(expected)
    assert found["flat"][0] == pytest.approx(masks[~ignore].mean())
    assert metrics.pixel_average_precision(masks[:, None].astype(float), masks)["map"][0] == 1


def test_masks_that_leave_nothing_to_find_are_refused():
    masks = np.ones((1, 4, 4), bool)
    one = RNG.random((1, 1, 4, 4))
    for options, message in (
        ({"ignore": masks}, "Every pixel inside the masks is ignored"),
        ({"ignore": masks[:, :2]}, "expected booleans of the masks' shape"),
        ({"ignore": masks.astype(float)}, "holds float64: expected booleans"),
    ):
        with pytest.raises(camscope.InputError, match=message):
            metrics.pixel_average_precision(one, masks, **options)
    with pytest.raises(camscope.InputError, match="Expected masks, an array of the batch"):
        metrics.pixel_average_precision(one, [(0, 0, 2, 2)])
