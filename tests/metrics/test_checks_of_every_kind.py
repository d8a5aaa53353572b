"""The same tests of detectors, segmenters, signals and volumes; and as words of `explainer.trust`."""

import numpy as np
import pytest
import torch
from torch import nn

import camscope
from camscope import metrics
from camscope.metrics.made_again import again
from camscope.metrics.similar_maps import likeness, likeness_within_reach
from tests.metrics.small_models import classifier
from tests.torch.test_detectors import X, build
from tests.torch.test_segmenters import UNet

QUIET = pytest.mark.filterwarnings("ignore::camscope.CamscopeWarning")
ALL = ("srg", "insertion", "deletion", "infidelity", "stability", "max_sensitivity", "model_randomisation")


def every(explainer, x, e, targets=None):
    """What each test says of the only method."""
    options = {"insertion": {"steps": 4}, "deletion": {"steps": 4}, "infidelity": {"copies": 8}}
    options["model_randomisation"], options["max_sensitivity"] = {"draws": 2}, {"copies": 2}
    found = {
        name: getattr(metrics, name)(explainer, x, e, targets=targets, **options.get(name, {}))
        for name in ALL
    }
    return {name: next(iter(measured.values.values())) for name, measured in found.items()}


@pytest.mark.parametrize("name", ["retinanet", "fasterrcnn"])
def test_detectors_by_the_score_of_the_matched_instance(name):
    torch.manual_seed(0)
    explainer = camscope.Explainer(build(name).eval())
    e = explainer(X)
    said = every(explainer, X, e)
    for measure in ("srg", "insertion", "deletion", "infidelity"):
        assert np.isfinite(said[measure]).all(), measure
    assert said["stability"].shape == (len(X), 1)
    boxes = [row[0].box for row in e.targets]
    made, again_e = again(explainer, X, e).made(explainer)
    assert [row[0].box for row in again_e.targets] == boxes  # the very same instances
    for own, other in zip(e.maps().numpy(), made["hirescam"], strict=True):
        np.testing.assert_array_equal(own, other)
    with pytest.raises(camscope.InputError, match="a detector, whose classes are seen at different places"):
        metrics.class_sensitivity(explainer, X, e)


def test_where_an_instance_reaches_alone_counts():
    a, b = np.zeros((2, 9, 9))
    a[3:6, 3:6] = np.arange(1, 10).reshape(3, 3)
    b[3:6, 3:6] = -np.arange(1, 10).reshape(3, 3)[::-1]
    expected = likeness(a[3:6, 3:6], b[3:6, 3:6])
    assert likeness_within_reach(a, b) == pytest.approx(expected)
    assert np.isnan(likeness_within_reach(np.pad([1.0], (0, 8)), np.zeros(9)))  # one cell alone
    two, three = np.pad([1.0, 2.0], (0, 7)), np.pad([1.0, 2.0, 3.0], (0, 6))
    assert np.isnan(likeness_within_reach(two, two))  # any two are alike, or opposite
    assert likeness_within_reach(three, three) == pytest.approx(1)


@pytest.mark.parametrize("where", ["predicted", "all", "mask"])
def test_segmenters_by_the_score_of_the_region(where):
    torch.manual_seed(0)
    explainer = camscope.Explainer(UNet().eval())
    x = torch.randn(2, 3, 32, 32)
    mask = np.zeros((32, 32), bool)
    mask[:16, :16] = True
    targets = camscope.Region(None if where == "predicted" else 1, mask if where == "mask" else where)
    e = explainer(x, targets=targets)
    assert all(np.isfinite(one).all() for one in every(explainer, x, e, targets).values())
    share = metrics.stability(explainer, x, e, targets=targets).beside[
        "share of copies whose top class stays"
    ]
    assert share["gradcam"].shape == (2, 1)
    with pytest.raises(camscope.InputError, match="no single class, so there is no other"):
        metrics.random_logit(explainer, x, e, targets=targets)


@pytest.mark.parametrize("conv", [nn.Conv1d, nn.Conv3d])
def test_signals_and_volumes(conv):
    torch.manual_seed(0)
    size = (40,) if conv is nn.Conv1d else (10, 12, 14)
    net = nn.Sequential(
        conv(1, 4, 3, padding=1),
        nn.ReLU(),
        conv(4, 4, 3, stride=2, padding=1),
        nn.Flatten(),
        nn.LazyLinear(3),
    )
    x = torch.randn(2, 1, *size)
    net(x)
    explainer = camscope.Explainer(net.eval())
    e = explainer(x, targets=[0, 1])
    found = every(explainer, x, e, [0, 1])
    assert all(one.shape == (2, 2) and np.isfinite(one).all() for one in found.values())
    others = [metrics.class_sensitivity(explainer, x, e), metrics.random_logit(explainer, x, e)]
    others += [metrics.mprt(explainer, x, e), metrics.emprt(explainer, x, e, draws=2)]
    assert all(np.isfinite(one["gradcam"]).all() for one in others)


# ------------------------------------------------------------------ in a verdict


@QUIET
def test_weights_and_stability_are_words_of_trust():
    net, explainer = classifier(dtype=torch.float32)
    x = torch.randn(2, 2, 32, 32, generator=torch.Generator().manual_seed(0))
    with (
        torch.no_grad()
    ):  # two classes are nearly as likely in the second image, so that some copies have the other
        first, second = net(x)[1].topk(2).values.tolist()
        net.head.bias[net(x)[1].argmax()] -= first - second - 0.01
    judgement = explainer.trust(x, methods=["gradcam", "centre"], checks=("weights", "stability"))
    said = {(row.image, row.method): {c.name: c for c in row.checks} for row in judgement.rows}
    assert [*said[0, "gradcam"]] == ["weights", "stability"]
    assert said[1, "centre"]["weights"].passed is False
    assert said[1, "centre"]["weights"].number.low == pytest.approx(1)
    assert "the map hardly changes" in said[1, "centre"]["weights"].says
    e = explainer(x, methods=["gradcam"])
    both = [metrics.model_randomisation(explainer, x, e, head_only=only) for only in (False, True)]
    bounds = [one.beside["lower 95 % bound"]["gradcam"] for one in both]
    stability = metrics.stability(explainer, x, e)
    assert len(set(stability.beside["share of copies whose top class stays"]["gradcam"][:, 0])) == 2
    for image in (0, 1):
        check = said[image, "gradcam"]["weights"]
        assert check.number.low == pytest.approx(max(b[image, 0] for b in bounds), abs=1e-6)
        assert check.passed is not (check.number.low > 0.5)
        stable = stability["gradcam"][image, 0]
        assert said[image, "gradcam"]["stability"].number.value == pytest.approx(
            stable, abs=1e-6, nan_ok=True
        )
        share = stability.beside["share of copies whose top class stays"]["gradcam"][image, 0]
        assert f"{share:.0%} keep the top class" in said[image, "gradcam"]["stability"].says or share == 0


def test_what_a_check_cannot_say_is_told_and_nothing_is_lost():
    from tests.same_networks.described import NETWORKS
    from tests.same_networks.in_onnx import built

    network = next(iter(NETWORKS.values()))()
    x = network.x.astype(np.float32)
    judgement = camscope.Explainer(built(network)).trust(x, checks=("weights", "stability"))
    checks = judgement.rows[0].checks
    assert checks[0].passed is None
    assert "Of a model of ONNX Runtime no copy with other weights is made" in checks[0].says
    assert np.isnan(checks[0].number.value)
    with pytest.raises(camscope.ModelError, match="no copy with other weights"):
        camscope.Explainer(built(network)).randomised(x)
