"""Randomisation of weights, data and classes: exact cases, brute-force twins, the demo model, what is refused."""

import numpy as np
import pytest
import torch
from scipy.stats import entropy, spearmanr, t
from torch import nn

import camscope
from camscope import metrics
from camscope.metrics.similar_maps import likeness, map_entropy, rank_correlation
from tests.metrics.small_models import classifier

RNG = np.random.default_rng(0)
QUIET = pytest.mark.filterwarnings("ignore::camscope.CamscopeWarning")
AGNOSTIC = ("centre", "mean-activation")


@pytest.fixture(scope="module")
def seen():
    """A small classifier, a batch, and an explanation of it."""
    net, explainer = classifier(dtype=torch.float32)
    x = torch.from_numpy(RNG.standard_normal((3, 2, 16, 16))).float()
    return net, explainer, x, explainer(x, methods=["gradcam", "hirescam"], targets=[0, 2])


# ------------------------------------------------------------------ how alike two maps are


def test_rank_correlation_is_scipys_and_of_flat_maps_none_or_zero():
    a, b = RNG.standard_normal((2, 5, 6))
    b[:2] = 0  # ties
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a.ravel(), b.ravel())[0])
    assert rank_correlation(a, np.exp(a)) == pytest.approx(1)
    assert np.isnan(rank_correlation(np.ones((5, 6)), b))
    assert rank_correlation(a, np.ones((5, 6))) == 0
    assert np.isnan(rank_correlation(np.full((5, 6), np.nan), b))


def test_likeness_is_of_sizes_and_of_fine_maps_the_larger_of_place_and_detail():
    a, b = RNG.standard_normal((2, 14, 9))
    assert likeness(a, b) == pytest.approx(spearmanr(abs(a).ravel(), abs(b).ravel())[0])
    assert likeness(a, -a) == pytest.approx(1)
    detail = np.tile(RNG.standard_normal((8, 8)), (7, 7))
    first, second = (np.kron(np.exp(RNG.standard_normal((7, 7))), np.ones((8, 8))) for _ in range(2))
    assert likeness(first * detail, second * detail) == pytest.approx(1)  # the same within cells
    place = spearmanr(first[::8, ::8].ravel(), second[::8, ::8].ravel())[0]
    assert abs(place) < 0.5
    noise = RNG.standard_normal((56, 56))
    assert likeness(first * noise, first * RNG.standard_normal((56, 56))) > 0.5  # the same places
    assert abs(likeness(noise, RNG.standard_normal((56, 56)))) < 0.3


# ------------------------------------------------------------------ weights


def test_model_randomisation_is_the_mean_over_draws_with_a_bound_by_students_t(seen):
    _, explainer, x, e = seen
    measured = metrics.model_randomisation(explainer, x, e, targets=[0, 2], draws=3, seed=4)
    each = []
    for seed in (4, 5, 6):
        other = explainer.randomised(x, seed=seed)(x, methods=["gradcam"], layers=e.layers[0], targets=[0, 2])
        each.append(
            [
                [spearmanr(np.abs(a).ravel(), np.abs(b).ravel())[0] for a, b in zip(*both, strict=True)]
                for both in zip(e.maps("gradcam").numpy(), other.maps("gradcam").numpy(), strict=True)
            ]
        )
    np.testing.assert_allclose(measured["gradcam"], np.mean(each, 0), atol=1e-6)
    bound = np.mean(each, 0) - t.ppf(0.95, 2) * np.std(each, 0, ddof=1) / 3**0.5
    np.testing.assert_allclose(measured.beside["lower 95 % bound"]["gradcam"], bound, atol=1e-6)


def test_maps_that_know_no_weights_have_one_and_the_head_alone_moves_no_activation(seen):
    _, explainer, x, e = seen
    everything = metrics.model_randomisation(explainer, x, e, baselines=AGNOSTIC, draws=2)
    assert everything.baselines == AGNOSTIC
    np.testing.assert_allclose(everything["centre"], 1)
    assert (everything["mean-activation"] < 1).all()
    head = metrics.model_randomisation(explainer, x, e, baselines=AGNOSTIC, draws=2, head_only=True)
    np.testing.assert_allclose(head["mean-activation"], 1)
    assert (head["gradcam"] < 1).all()
    assert "lower 95 % bound: gradcam" in repr(head)


@QUIET
@pytest.mark.slow
def test_on_the_demo_model_guided_grad_cam_fails_and_grad_cam_passes(photos):
    """Guided Grad-CAM takes its place from the head, but its detail from the picture: the head alone shows it."""
    explainer = camscope.Explainer("demo")
    some = [photos["cat"]]
    e = explainer(some, methods=["gradcam", "guided-gradcam"])
    whole, head = (
        metrics.model_randomisation(explainer, some, e, head_only=only).beside["lower 95 % bound"]
        for only in (False, True)
    )
    assert (whole["gradcam"] < 0.5).all()
    assert (head["gradcam"] < 0.5).all()
    assert (head["guided-gradcam"] > 0.7).all()


def test_a_cascade_ends_with_all_weights_and_its_steps_stand_beside(seen):
    _, explainer, x, e = seen
    cascade = metrics.mprt(explainer, x, e, seed=2, baselines=("mean-activation",))
    names = list(cascade.beside)
    assert names == ["down to head", "down to features.2", "down to features.0"]
    of_activations = [step["mean-activation"] for step in cascade.beside.values()]
    np.testing.assert_allclose(
        of_activations[0], 1
    )  # the head's weights are drawn first, which move no activation
    assert (of_activations[1] < 1).all()
    np.testing.assert_allclose(
        cascade["gradcam"], np.mean([step["gradcam"] for step in cascade.beside.values()], 0)
    )
    other = explainer.randomised(x, seed=2)(x, methods=["gradcam"], layers=e.layers[0], targets=[0, 2])
    last = [
        [likeness(a, b) for a, b in zip(*both, strict=True)]
        for both in zip(e.maps("gradcam").numpy(), other.maps("gradcam").numpy(), strict=True)
    ]
    np.testing.assert_allclose(cascade.beside[names[-1]]["gradcam"], last, atol=1e-6)
    assert list(metrics.mprt(explainer, x, e, steps=2, seed=2).beside) == [names[0], names[-1]]
    signed = metrics.mprt(explainer, x, e, seed=2, similarity=rank_correlation)
    assert not np.allclose(signed["gradcam"], cascade["gradcam"])


def test_efficient_mprt_is_the_rise_of_the_entropy_of_a_histogram(seen):
    _, explainer, x, e = seen
    found = metrics.emprt(explainer, x, e, draws=2, bins=20)

    def complexity(one):
        large = nn.functional.interpolate(one[None, None], (16, 16), mode="bilinear")
        return entropy(np.histogram(large.numpy(), bins=20)[0])

    rises = []
    for seed in (0, 1):
        other = explainer.randomised(x, seed=seed)(x, methods=["gradcam"], layers=e.layers[0], targets=[0, 2])
        both = zip(e.maps("gradcam").flatten(0, 1), other.maps("gradcam").flatten(0, 1), strict=True)
        rises.append([(complexity(b) - complexity(a)) / complexity(a) for a, b in both])
    np.testing.assert_allclose(found["gradcam"].ravel(), np.mean(rises, 0), atol=1e-5)
    assert map_entropy(np.ones((4, 4)), (4, 4), 10) == 0
    assert map_entropy(np.repeat([0.0, 1.0], 8).reshape(4, 4), (4, 4), 10) == pytest.approx(np.log(2))
    assert metrics.emprt(explainer, x, e, baselines=("centre",), draws=2).means["centre"] == 0


# ------------------------------------------------------------------ data


def trained(images, labels):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(12, 12, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 2),
    )
    optimiser = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimiser.step()
    return net.eval()


def test_maps_of_a_net_that_learnt_shuffled_labels_are_others():
    """Bars, upright or lying, at a place drawn at random."""
    random = np.random.default_rng(0)
    labels = torch.arange(40) % 2
    images = torch.from_numpy(random.standard_normal((40, 1, 12, 12))).float() * 0.1
    for image, label in zip(images, labels, strict=True):
        row, column = random.integers(0, 7, 2)
        tall, wide = (6, 1) if label else (1, 6)
        image[0, row : row + tall, column : column + wide] += 2
    shuffled = labels[torch.from_numpy(random.permutation(40))]
    true, other, again = (camscope.Explainer(trained(images, given)) for given in (labels, shuffled, labels))
    e = true(images[:6], targets=1)
    measured = metrics.data_randomisation(true, images[:6], e, other, baselines=("centre",))
    np.testing.assert_allclose(metrics.data_randomisation(true, images[:6], e, again)["gradcam"], 1)
    assert measured.means["gradcam"] < 0.9
    np.testing.assert_allclose(measured["centre"], 1)


# ------------------------------------------------------------------ classes


def test_class_sensitivity_is_of_the_top_class_and_the_runner_up(seen):
    net, explainer, x, e = seen
    with torch.no_grad():
        two = net(x).topk(2).indices.tolist()
    both = explainer(x, methods=["gradcam"], targets=camscope.PerImage(two)).maps("gradcam").numpy()
    found = metrics.class_sensitivity(explainer, x, e, baselines=AGNOSTIC)
    expected = [[1 - spearmanr(a.ravel(), b.ravel())[0]] for a, b in both]
    np.testing.assert_allclose(found["gradcam"], expected, atol=1e-6)
    np.testing.assert_allclose(found["mean-activation"], 0, atol=1e-12)


def test_two_classes_of_one_logit_are_opposite():
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1)
    )
    explainer, x = camscope.Explainer(net.eval()), torch.randn(2, 1, 9, 9)
    np.testing.assert_allclose(metrics.class_sensitivity(explainer, x, explainer(x))["gradcam"], 2)
    np.testing.assert_allclose(metrics.random_logit(explainer, x, explainer(x))["gradcam"], -1)


def test_random_logit_draws_another_class_for_each_map(seen):
    _, explainer, x, e = seen
    found = [metrics.random_logit(explainer, x, e, seed=s)["gradcam"] for s in range(8)]
    maps = explainer(x, methods=["gradcam"], targets=[0, 1, 2, 3]).maps("gradcam").numpy()
    for image in range(3):
        for column, own in enumerate((0, 2)):
            possible = [
                spearmanr(maps[image, own].ravel(), maps[image, c].ravel())[0] for c in range(4) if c != own
            ]
            drawn = {round(one[image, column], 5) for one in found}
            assert drawn <= {round(one, 5) for one in possible}
            assert len(drawn) > 1
    assert metrics.random_logit(explainer, x, e, baselines=AGNOSTIC).means["centre"] == pytest.approx(1)


# ------------------------------------------------------------------ ten mistakes


def test_what_does_not_fit_is_told(seen):
    net, explainer, x, e = seen
    regression = camscope.Explainer(net, task="regression")
    of_numbers = regression(x, targets=[0])
    for call, error, message in (
        (lambda: metrics.model_randomisation(net, x, e), camscope.InputError, "expected an Explainer"),
        (
            lambda: metrics.model_randomisation(explainer, x, e.maps("gradcam")),
            camscope.InputError,
            r"pass the explanation itself, e = explainer\(x, methods=",
        ),
        (
            lambda: metrics.mprt(explainer, x[:2], e),
            camscope.InputError,
            "Inputs for 2 images, and maps of 3",
        ),
        (lambda: metrics.emprt(explainer, x + 1, e), camscope.InputError, "Pass the same inputs"),
        (
            lambda: metrics.model_randomisation(explainer, x, e, draws=1),
            camscope.InputError,
            "draws=1: expected a whole number, 2 at least",
        ),
        (lambda: metrics.mprt(explainer, x, e, steps=2.5), camscope.InputError, "steps=2.5: expected"),
        (lambda: metrics.emprt(explainer, x, e, bins=1), camscope.InputError, "bins=1: expected how many"),
        (
            lambda: metrics.random_logit(explainer, x, e, baselines=("center",)),
            camscope.InputError,
            "Did you mean 'centre'",
        ),
        (
            lambda: metrics.class_sensitivity(regression, x, of_numbers),
            camscope.InputError,
            "The model has no two classes",
        ),
        (
            lambda: metrics.random_logit(
                explainer,
                x,
                explainer(x, targets=lambda logits: logits.sum(1)),
                targets=lambda logits: logits.sum(1),
            ),
            camscope.InputError,
            "no single class, so there is no other",
        ),
    ):
        with pytest.raises(error, match=message):
            call()


def test_baselines_may_be_what_baseline_maps_gives_and_never_a_map_of_ones_own(seen):
    _, explainer, x, e = seen
    given = metrics.baseline_maps(explainer, x)
    measured = metrics.class_sensitivity(explainer, x, e, baselines=given)
    assert set(measured.baselines) == set(given)
    both = explainer(x, methods=["gradcam", "centre"], targets=0)
    with pytest.raises(camscope.InputError, match="centre: the name of a map and of a baseline"):
        metrics.class_sensitivity(explainer, x, both, baselines=given)


def test_maps_at_several_layers_and_fused_ones_are_made_again():
    _, explainer = classifier(dtype=torch.float32)
    x = torch.randn(2, 2, 16, 16)
    e = explainer(x, methods=["gradcam"], layers=["features.0", "features.2"], targets=0)
    found = metrics.model_randomisation(explainer, x, e, draws=2)
    assert list(found.values) == ["gradcam at features.0", "gradcam at features.2"]
    fused = explainer(x, methods=["gradcam", "fuse(gradcam, mean)"], layers=["features.0", "features.2"])
    assert all(np.isfinite(v).all() for v in metrics.random_logit(explainer, x, fused).values.values())
