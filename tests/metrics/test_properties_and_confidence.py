"""Sparseness, complexity, coherency; average drop, increase and gain; ADCC; and the facts that every metric tells."""

import inspect

import numpy as np
import pytest
import torch

import camscope
from camscope import metrics
from tests.metrics.small_models import Additive, classifier

RNG = np.random.default_rng(0)


def one_cell(n, at=3):
    one = np.zeros((1, 1, n))
    one[..., at] = 5
    return one


@pytest.mark.parametrize("measure", [metrics.gini, metrics.hoyer])
def test_sparseness_grows_from_an_even_map_to_a_single_cell_whatever_the_scale_and_the_sign(measure):
    nearly_even = 1 + 1e-6 * RNG.random((1, 1, 40))
    assert measure(nearly_even)["map"] == pytest.approx(0, abs=1e-5)
    single = measure(one_cell(40))["map"]
    assert single == pytest.approx(1 - 1 / 40 if measure is metrics.gini else 1)
    drawn = RNG.standard_normal((1, 1, 5, 8))
    assert measure(drawn)["map"] == pytest.approx(measure(-7 * drawn)["map"])
    assert 0 < measure(drawn)["map"] < measure(drawn**3)["map"] < single


def test_gini_is_the_mean_difference_of_all_pairs_and_hoyer_a_ratio_of_norms():
    one = RNG.standard_normal((1, 1, 4, 6))
    m = np.abs(one).ravel()
    pairs = np.abs(m[:, None] - m).mean() / (2 * m.mean())
    assert metrics.gini(one)["map"] == pytest.approx(pairs)
    root = np.sqrt(m.size)
    assert metrics.hoyer(one)["map"] == pytest.approx((root - m.sum() / np.sqrt((m**2).sum())) / (root - 1))


def test_complexity_is_the_mean_of_the_heatmap():
    one = RNG.standard_normal((2, 3, 4, 4))
    shown = np.maximum(one, 0)
    expected = (shown / shown.max((2, 3), keepdims=True)).mean((2, 3))
    np.testing.assert_allclose(metrics.complexity(one)["map"], expected)
    low, high = one.min((2, 3), keepdims=True), one.max((2, 3), keepdims=True)
    signed = ((one - low) / (high - low)).mean((2, 3))
    np.testing.assert_allclose(metrics.complexity(one, rectify=False)["map"], signed)
    assert np.isnan(metrics.complexity(-1 - RNG.random((1, 1, 3, 3)))["map"])


def test_coherency_is_a_correlation_in_0_to_1():
    a, b = RNG.standard_normal((2, 3, 2, 4, 4))
    found = metrics.coherency({"m": a}, {"m": b})["m"]
    assert found[1, 1] == pytest.approx((1 + np.corrcoef(a[1, 1].ravel(), b[1, 1].ravel())[0, 1]) / 2)
    np.testing.assert_allclose(metrics.coherency(a, 3 * a + 1)["map"], 1)
    np.testing.assert_allclose(metrics.coherency(a, -a)["map"], 0, atol=1e-12)
    assert np.isnan(metrics.coherency(a[:1, :1], np.ones((1, 1, 4, 4)))["map"])
    with pytest.raises(camscope.InputError, match="there is no second map 'm' of the shape"):
        metrics.coherency({"m": a}, {"n": a})


def test_drop_increase_and_gain_by_hand():
    net, explainer = classifier()
    x = torch.from_numpy(RNG.standard_normal((6, 2, 8, 8)))
    maps = RNG.standard_normal((6, 2, 8, 8))
    shown = np.maximum(maps, 0)
    shown = torch.from_numpy(shown / shown.max((2, 3), keepdims=True))
    with torch.no_grad():
        p = net(x).softmax(1)[:, [1, 3]].numpy()
        o = np.stack([net(x * shown[:, [t]]).softmax(1)[:, k].numpy() for t, k in ((0, 1), (1, 3))], 1)
    options = {"targets": [1, 3]}
    drop = metrics.average_drop(explainer, x, maps, **options)["map"]
    np.testing.assert_allclose(drop, np.maximum(0, p - o) / p, atol=1e-12)
    gain = metrics.average_gain(explainer, x, maps, **options)["map"]
    np.testing.assert_allclose(gain, np.maximum(0, o - p) / (1 - p), atol=1e-12)
    rise = metrics.average_increase(explainer, x, maps, **options)["map"]
    assert np.array_equal(rise, o > p)
    assert 0 < rise.mean() < 1


def test_a_map_that_shows_everything_but_one_pixel_drops_nothing_so_none_of_these_stands_alone():
    _, explainer = classifier()
    x = torch.from_numpy(RNG.standard_normal((4, 2, 8, 8)))
    fake = np.ones((4, 1, 8, 8))
    fake[:, :, 0, 0] = 0
    assert metrics.average_drop(explainer, x, fake).means["map"] < 0.05
    assert metrics.complexity(fake).means["map"] > 0.95


def test_adcc_is_the_harmonic_mean_of_three():
    assert metrics.adcc(0.2, 0.8, 0.2) == pytest.approx(0.8)
    assert metrics.adcc(0.5, 1, 0) == pytest.approx(3 / (1 + 1 + 2))
    assert metrics.adcc(1, 1, 0) == 0
    with pytest.raises(camscope.InputError, match=r"drop=36\.8: expected a mean in"):
        metrics.adcc(36.8, 0.5, 0.5)


def test_what_is_no_probability_is_refused():
    explainer = camscope.Explainer(Additive(torch.ones(4, 4)).double().eval(), task="regression")
    x = torch.ones(1, 1, 4, 4).double()
    with pytest.raises(camscope.InputError, match="This compares probabilities"):
        metrics.average_drop(explainer, x, RNG.random((1, 1, 4, 4)))


# ------------------------------------------------------------------ facts


def test_every_metric_tells_how_to_read_it_and_takes_baselines_by_one_argument():
    listed = {one.name: one for one in metrics.list_metrics()}
    assert len(listed) == 27
    for name, one in listed.items():
        assert name in metrics.__all__
        assert one.paper
        assert one.cost
        assert one.formula.endswith((".", ")"))
        assert one.low < one.high
        assert one.direction in ("higher is better", "lower is better", "neither end is better")
        function = getattr(metrics, name)
        assert "baselines" in inspect.signature(function).parameters
        assert inspect.signature(function).return_annotation is metrics.Measured
    assert not listed["deletion"].higher_is_better
    assert listed["srg"].higher_is_better


def test_a_measurement_shows_itself_as_a_table():
    measured = metrics.gini(
        {"a": one_cell(10), "long": np.concatenate([one_cell(10), np.ones((1, 1, 10))], 1)}
    )
    assert repr(measured).splitlines() == [
        "gini: neither end is better, from 0 to 1",
        "  a       0.900  mean of 1",
        "  long    0.900  mean of 1, 1 cannot be judged",
    ]
    assert np.isnan(metrics.gini(np.ones((1, 1, 9))).means["map"])
