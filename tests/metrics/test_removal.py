"""Insertion, deletion, SRG and ROAD: exact identities, brute force, what they cost, and the peer where it is right."""

import itertools

import numpy as np
import pytest
import torch
from pytorch_grad_cam.metrics.perturbation_confidence import (
    PerturbationConfidenceMetric,
    RemoveLeastRelevantFirst,
    RemoveMostRelevantFirst,
)
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
from pytorch_grad_cam.utils.model_targets import SoftmaxOutputTarget

import camscope
from camscope import metrics
from camscope.arrays import blurred
from camscope.imputing.neighbours import solved
from camscope.metrics.removal_order import by_cells, by_pixels
from tests.metrics.small_models import Additive, classifier

RNG = np.random.default_rng(0)
PERMUTATIONS = np.array(list(itertools.permutations(range(4))), float).reshape(24, 2, 2)
QUIET = pytest.mark.filterwarnings("ignore::camscope.CamscopeWarning")


def additive(size=(4, 6), batch=2):
    weights = torch.from_numpy(RNG.standard_normal(size))
    x = torch.from_numpy(RNG.standard_normal((batch, 1, *size)))
    explainer = camscope.Explainer(Additive(weights).double().eval(), task="regression")
    return explainer, x, (weights * x[:, 0]).numpy()


# ------------------------------------------------------------------ a net that is additive in cells


def test_deletion_and_insertion_of_an_additive_net_are_sums_of_what_its_pixels_add():
    explainer, x, parts = additive()
    maps = RNG.standard_normal((2, 1, 4, 6))
    flat = np.take_along_axis(parts.reshape(2, -1), np.argsort(-maps.reshape(2, -1), 1), 1)
    shown = np.concatenate([np.zeros((2, 1)), np.cumsum(flat, 1)], 1)
    total = parts.sum((1, 2))
    zero = metrics.Constant(0.0)
    inserted = metrics.insertion(explainer, x, maps, steps=24, imputer=zero)["map"][:, 0]
    deleted = metrics.deletion(explainer, x, maps, steps=24)["map"][:, 0]
    np.testing.assert_allclose(inserted, (shown[:, 1:] + shown[:, :-1]).mean(1) / 2, atol=1e-12)
    np.testing.assert_allclose(inserted + deleted, total, atol=1e-12)
    coarse = metrics.deletion(explainer, x, maps, steps=4)["map"][:, 0]
    left = total[:, None] - shown[:, ::6]
    np.testing.assert_allclose(coarse, (left[:, 1:] + left[:, :-1]).mean(1) / 2, atol=1e-12)


def test_no_order_is_better_than_that_of_what_the_cells_really_add():
    explainer, x, parts = additive((2, 2), batch=1)
    zero = metrics.Constant(0.0)
    orders = {str(i): order[None, None] for i, order in enumerate(PERMUTATIONS)}
    truth = {"truth": parts[:, None]}
    for measure, best in ((metrics.deletion, min), (metrics.insertion, max)):
        values = measure(explainer, x, {**orders, **truth}, steps=4, imputer=zero).means
        assert values["truth"] == pytest.approx(best(values.values()), abs=1e-12)
    gains = metrics.srg(explainer, x, {**orders, **truth}, shares=(0.25, 0.5), imputer=zero).means
    assert gains["truth"] == pytest.approx(max(gains.values()), abs=1e-12)


def test_srg_of_an_additive_net_is_the_difference_of_the_sums_that_are_removed():
    explainer, x, parts = additive((8, 8), batch=1)
    cells = parts.reshape(1, 4, 2, 4, 2).sum((2, 4))
    for_cells = np.sort(cells.ravel())
    counts = [2, 5, 11]
    expected = np.mean([for_cells[-k:].sum() - for_cells[:k].sum() for k in counts])
    found = metrics.srg(
        explainer, x, cells[:, None], shares=[k / 16 for k in counts], imputer=metrics.Constant(0.0)
    )
    assert found["map"][0, 0] == pytest.approx(expected, abs=1e-12)


# ------------------------------------------------------------------ any net


@pytest.mark.parametrize("imputer", [metrics.Blur(), metrics.Neighbours(), metrics.Mean(), metrics.Noise()])
def test_srg_of_an_order_drawn_at_random_is_zero_on_the_mean(imputer):
    _, explainer = classifier()
    x = torch.from_numpy(RNG.standard_normal((1, 2, 8, 8)))
    orders = {str(i): order[None, None] for i, order in enumerate(PERMUTATIONS)}
    options = {"targets": [0, 1, 2, 3], "imputer": imputer, "shares": (0.2, 0.5, 0.7)}
    every = np.stack(list(metrics.srg(explainer, x, orders, **options).values.values()))
    np.testing.assert_allclose(every.mean(0), 0, atol=1e-12)
    assert np.abs(every).max() > 0.01
    reversed_orders = {name: -order for name, order in orders.items()}
    back = np.stack(list(metrics.srg(explainer, x, reversed_orders, **options).values.values()))
    np.testing.assert_allclose(back, -every, atol=1e-12)


def probabilities(net, x):
    with torch.no_grad():
        return net(x).softmax(1).numpy()


def test_srg_by_hand():
    net, explainer = classifier()
    x = torch.from_numpy(RNG.standard_normal((2, 2, 8, 12)))
    maps = RNG.standard_normal((2, 3, 4, 4))
    found = metrics.srg(explainer, x, maps, targets=[3, 0, 1], shares=(0.1, 0.5), imputer=metrics.Mean())[
        "map"
    ]
    for image, (target, klass) in itertools.product(range(2), enumerate([3, 0, 1])):
        gains = []
        for count in (2, 8):
            said = []
            for sign in (1, -1):
                order = np.argsort(sign * maps[image, target].ravel())
                gone = np.zeros(16, bool)
                gone[order[:count]] = True
                gone = np.kron(gone.reshape(4, 4), np.ones((2, 3))).astype(bool)
                altered = x[image].clone()
                altered[:, gone] = x[image].mean((1, 2))[:, None].expand(-1, gone.sum())
                said.append(probabilities(net, altered[None])[0, klass])
            gains.append(said[0] - said[1])
        assert found[image, target] == pytest.approx(np.mean(gains), abs=1e-12)


@pytest.mark.parametrize("mode", ["deletion", "insertion"])
def test_insertion_and_deletion_are_rises_protocol_step_by_step(mode):
    net, explainer = classifier()
    x = torch.from_numpy(RNG.standard_normal((1, 2, 12, 12)))
    one = RNG.standard_normal((12, 12))
    blurred_copy, zero = torch.from_numpy(blurred(x.numpy(), 5, 5)), torch.zeros_like(x)
    start, finish = (x.clone(), zero) if mode == "deletion" else (blurred_copy.clone(), x)
    order = np.flip(np.argsort(one.ravel()))
    said = []
    for step in range(12 + 1):
        said.append(probabilities(net, start)[0, 2])
        now = order[12 * step : 12 * (step + 1)].copy()
        start.reshape(1, 2, -1)[:, :, now] = finish.reshape(1, 2, -1)[:, :, now]
    said = np.array(said)
    area = (said.sum() - said[0] / 2 - said[-1] / 2) / (len(said) - 1)
    found = getattr(metrics, mode)(explainer, x, one[None, None], targets=2, steps=12)["map"][0, 0]
    assert found == pytest.approx(area, abs=1e-12)


@QUIET
def test_a_map_costs_its_altered_inputs_and_what_knows_no_class_is_run_once_for_all_classes():
    net, explainer = classifier()
    x = torch.from_numpy(RNG.standard_normal((3, 2, 8, 8)))
    e = explainer(x, methods=["gradcam", "layercam"], targets=[0, 1])
    baselines = metrics.baseline_maps(explainer, x)
    metrics.srg(explainer, x, e, targets=[0, 1], baselines=baselines)  # whatever is looked for once

    def cost(measure, **options):
        before = net.seen
        measure(explainer, x, e, targets=[0, 1], baselines=baselines, **options)
        return net.seen - before - len(x)  # one forward of the inputs as they are

    maps = 3 * (2 * 2 + len(baselines))
    assert len(baselines) == 3
    assert cost(metrics.srg) == 10 * maps
    assert cost(metrics.road) == 18 * maps
    assert cost(metrics.road_morf) == cost(metrics.road_lerf) == 9 * maps
    assert cost(metrics.deletion) == cost(metrics.insertion) == 225 * maps
    assert cost(metrics.average_drop) == maps


@pytest.mark.parametrize("measure", ["srg", "deletion", "insertion", "road", "average_drop", "average_gain"])
def test_an_image_is_measured_as_it_is_alone(measure):
    _, explainer = classifier()
    x = torch.from_numpy(RNG.standard_normal((3, 2, 8, 8)))
    maps = RNG.standard_normal((3, 1, 4, 4))
    of_all = getattr(metrics, measure)(explainer, x, maps, targets=1)["map"]
    for i in range(3):
        alone = getattr(metrics, measure)(explainer, x[i : i + 1], maps[i : i + 1], targets=1)["map"]
        np.testing.assert_allclose(of_all[i : i + 1], alone, atol=1e-12)


def test_the_class_that_is_measured_is_the_top_class_of_the_input_as_it_is():
    net, explainer = classifier()
    x = torch.from_numpy(RNG.standard_normal((4, 2, 8, 8)))
    maps = RNG.standard_normal((4, 1, 4, 4))
    top = probabilities(net, x).argmax(1).tolist()
    found = metrics.deletion(explainer, x, maps, steps=7)["map"]
    said = metrics.deletion(explainer, x, maps, steps=7, targets=camscope.PerImage(top))["map"]
    assert np.array_equal(found, said)
    assert net.training is False


# ------------------------------------------------------------------ orders


def test_an_order_takes_whole_places_the_least_relevant_last_and_ties_by_a_draw():
    one = np.array([[3.0, 1.0], [2.0, 0.0]])
    order = by_cells(one, (4, 4), 0)
    assert order.count == 4
    np.testing.assert_array_equal(order.ranks, np.kron([[0, 2], [1, 3]], np.ones((2, 2))))
    assert [m.sum() for m in order.first([0, 0.25, 0.5, 0.9, 1])] == [0, 4, 8, 16, 16]
    np.testing.assert_array_equal(order.reversed.ranks, 3 - order.ranks)
    fine = by_cells(RNG.standard_normal((28, 20)), (56, 60), 0)
    assert fine.count == 14 * 10
    tied = np.zeros((20, 20))
    tied[0, 0] = 1
    first = by_pixels(tied, (20, 20), 0).first([0.5])[0]
    assert first[0, 0]
    assert 60 < first[:10].sum() < 140  # by its place it would be 200
    assert not np.array_equal(first, by_pixels(tied, (20, 20), 1).first([0.5])[0])


# ------------------------------------------------------------------ pytorch-grad-cam's ROAD


def theirs(net, x, maps, target, remove):
    """The mean probability over percentiles by pytorch-grad-cam, without its noise."""
    said = [
        PerturbationConfidenceMetric(remove(percentile, NoisyLinearImputer(noise=0)))(
            x, maps, [SoftmaxOutputTarget()] * len(x), lambda t: net(t), return_diff=False
        )
        for percentile in range(10, 100, 10)
    ]
    return np.mean([one[:, target] for one in said], 0)


def test_road_is_pytorch_grad_cams_on_one_channel():
    net, explainer = classifier(channels=1, dtype=torch.float32)
    x = torch.from_numpy(RNG.standard_normal((2, 1, 10, 10))).float()
    maps = RNG.random((2, 10, 10))
    options = {"targets": 2, "imputer": metrics.Neighbours(noise=0)}
    morf = metrics.road_morf(explainer, x, maps[:, None], **options)["map"][:, 0]
    lerf = metrics.road_lerf(explainer, x, maps[:, None], **options)["map"][:, 0]
    both = metrics.road(explainer, x, maps[:, None], **options)["map"][:, 0]
    np.testing.assert_allclose(morf, theirs(net, x, maps, 2, RemoveMostRelevantFirst), atol=1e-5)
    np.testing.assert_allclose(lerf, theirs(net, x, maps, 2, RemoveLeastRelevantFirst), atol=1e-5)
    np.testing.assert_allclose(both, (lerf - morf) / 2, atol=1e-6)


def test_pytorch_grad_cam_removes_more_than_it_says_of_a_map_that_is_zero_in_places():
    """It cuts at a percentile, and all that is equal to it goes: half a map is zero, and 60 % removed are 100 %."""
    one = np.maximum(RNG.standard_normal((10, 10)), 0)
    one.ravel()[np.argsort(one.ravel())[:50]] = 0
    masks = []
    RemoveMostRelevantFirst(40, lambda x, mask: masks.append(mask.numpy()))(
        torch.zeros(1, 10, 10), torch.from_numpy(one)
    )
    assert (masks[0] == 0).all()  # nothing is kept
    assert by_pixels(one, (10, 10), 0).first([0.6]).sum() == 60
    x = RNG.standard_normal((1, 10, 10))
    assert np.isfinite(solved(x, by_pixels(one, (10, 10), 0).first([0.6])[0])).all()


# ------------------------------------------------------------------ what is refused


def test_maps_that_cannot_be_judged_are_nan_and_cost_nothing():
    net, explainer = classifier()
    x = torch.from_numpy(RNG.standard_normal((2, 2, 8, 8)))
    maps = RNG.standard_normal((2, 2, 4, 4))
    maps[0, 0] = 7
    maps[1, 1, 2, 2] = np.nan
    explainer(x, targets=[0, 1])
    before = net.seen
    found = metrics.srg(explainer, x, maps, targets=[0, 1])
    assert net.seen - before == 2 + 2 * 10
    np.testing.assert_array_equal(np.isnan(found["map"]), [[True, False], [False, True]])
    assert found.unjudged == {"map": 2}
    assert "mean of 2, 2 cannot be judged" in repr(found)


@QUIET
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps=0: expected how many steps"),
        ({"steps": 2.5}, "steps=2.5: expected how many steps"),
        ({"targets": [0, 1]}, r"shape \(2, 3, 4, 4\).*must have the shape \(2, 2 or 1, …\).*same targets= "),
        ({"imputer": metrics.Neighbours(), "targets": [0, 1, 2]}, "removes every pixel"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    _, explainer = classifier()
    x = torch.from_numpy(RNG.standard_normal((2, 2, 8, 8)))
    with pytest.raises(camscope.InputError, match=message):
        metrics.deletion(explainer, x, RNG.standard_normal((2, 3, 4, 4)), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shares": (0.5, 1)}, "above 0 and below 1"),
        ({"shares": ()}, "above 0 and below 1"),
        ({"cells": "rows"}, "expected 'own', the cells of the map, or 'pixels'"),
    ],
)
def test_shares_and_cells_that_are_none_are_refused(options, message):
    _, explainer = classifier()
    with pytest.raises(camscope.InputError, match=message):
        metrics.srg(explainer, torch.zeros(1, 2, 8, 8).double(), np.eye(4)[None, None], **options)


@QUIET
def test_an_explanation_of_other_inputs_or_targets_is_refused():
    _, explainer = classifier()
    x = torch.from_numpy(RNG.standard_normal((2, 2, 8, 8)))
    e = explainer(x, targets=camscope.PerImage([[0], [1]]))
    right = metrics.srg(explainer, x, e, targets=camscope.PerImage([[0], [1]]))
    assert list(right.values) == ["gradcam"]
    for other, targets in ((x, 3), (x + 1, camscope.PerImage([[0], [1]]))):
        with pytest.raises(camscope.InputError, match=r"Pass the same inputs, and the same targets="):
            metrics.srg(explainer, other, e, targets=targets)


class Price(torch.nn.Module):
    """A price of thousands, which hardly depends on the input, and the share that it is large."""

    def forward(self, x):
        return torch.stack([7000 + x.mean((1, 2, 3)), x.mean((1, 2, 3)).sigmoid()], 1)


def test_a_large_score_hides_no_other_input_from_a_small_one():
    explainer = camscope.Explainer(Price().double().eval(), task="regression")
    x = torch.from_numpy(RNG.standard_normal((2, 2, 8, 8)))
    maps = {"targets": [0, 1], "methods": ["rise(n=8, cells=2)"]}
    e = explainer(x, **maps)
    assert metrics.srg(explainer, x, e, targets=[0, 1]).values
    with pytest.raises(camscope.InputError, match=r"Pass the same inputs, and the same targets="):
        metrics.srg(explainer, x + 2, e, targets=[0, 1])


def test_token_numbers_that_nothing_can_stand_for_are_refused():
    class OneHot(torch.nn.Linear):
        def forward(self, ids):
            return super().forward(torch.nn.functional.one_hot(ids, 9).float().flatten(1))

    net = OneHot(45, 2).eval()
    explainer = camscope.Explainer(net)
    with pytest.raises(
        camscope.InputError, match=r"must be replaced by something.*Explainer\(model, tokenizer=…\)"
    ):
        metrics.srg(explainer, torch.zeros(1, 5, dtype=torch.int64), np.arange(5.0)[None, None])


@QUIET
def test_ten_mistakes_of_a_first_call_are_told():
    _, explainer = classifier()
    x = torch.from_numpy(RNG.standard_normal((2, 2, 8, 8)))
    e = explainer(x, methods=["gradcam", "layercam"])
    for call, message in (
        (lambda: metrics.srg(e, x, e), "first argument is of the type Explanation: expected an Explainer"),
        (lambda: metrics.srg(explainer, e, "x.jpg"), "The map 'map' is 'x.jpg': expected an array"),
        (lambda: metrics.srg(explainer, x, "gradcam"), r"explainer\(x, methods=\[…\]\) makes one"),
        (
            lambda: metrics.srg(explainer, x, e, imputer="blur"),
            r"expected an imputer, such as metrics.Blur\(\)",
        ),
        (lambda: metrics.srg(explainer, x, e, imputer=metrics.Blur), "expected an imputer"),
        (
            lambda: metrics.srg(explainer, x, e, baselines=True),
            r"as metrics.baseline_maps\(explainer, inputs\)",
        ),
        (lambda: metrics.srg(explainer, x, e, imputr=1), "Did you mean 'imputer'"),
        (lambda: metrics.srg(explainer, x[:1], e), "Inputs for 1 images, and maps of 2"),
        (lambda: metrics.srg(explainer, x, e)["gradcm"], "no map 'gradcm'. Did you mean 'gradcam'"),
        (lambda: metrics.baseline_maps(explainer), "an explainer needs the inputs"),
    ):
        with pytest.raises(camscope.InputError, match=message):
            call()
    one = camscope.PerImage([[int(c)] for c in e.logits.argmax(1)])
    assert np.array_equal(
        metrics.srg(explainer, x, e, target=one)["gradcam"], metrics.srg(explainer, x, e)["gradcam"]
    )


def test_maps_at_several_layers_are_named_by_both():
    _, explainer = classifier()
    x = torch.from_numpy(RNG.standard_normal((1, 2, 8, 8)))
    e = explainer(x, layers=["features.0", "features.2"], targets=0)
    assert list(metrics.srg(explainer, x, e, targets=0).values) == [
        "gradcam at features.0",
        "gradcam at features.2",
    ]


def test_signals_and_volumes_are_measured_alike():
    torch.manual_seed(0)
    for conv, size in ((torch.nn.Conv1d, (24,)), (torch.nn.Conv3d, (4, 6, 8))):
        net = torch.nn.Sequential(
            conv(1, 4, 3, padding=1),
            torch.nn.ReLU(),
            conv(4, 4, 3, stride=2, padding=1),
            torch.nn.Flatten(),
            torch.nn.LazyLinear(3),
        )
        x = torch.from_numpy(RNG.standard_normal((1, 1, *size))).float()
        net(x)
        explainer = camscope.Explainer(net.eval())
        e = explainer(x, targets=[0, 1])
        for measure in (metrics.srg, metrics.road, metrics.insertion, metrics.average_gain):
            found = measure(explainer, x, e, targets=[0, 1])["gradcam"]
            assert found.shape == (1, 2)
            assert np.isfinite(found).all()
