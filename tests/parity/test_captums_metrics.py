"""Against captum: infidelity and max-sensitivity, with the very same draws."""

import numpy as np
import pytest
import torch
from captum.metrics import infidelity, sensitivity_max

from camscope import metrics
from camscope.metrics.infidelity import squares
from camscope.metrics.sensitivity import within
from tests.metrics.small_models import classifier

TARGET, COPIES = 2, 12


@pytest.fixture(scope="module")
def seen():
    net, explainer = classifier(dtype=torch.float64)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 2, 16, 16)))
    return net, explainer, x, explainer(x, methods=["gradcam"], targets=TARGET)


def at_pixels(e):
    return torch.nn.functional.interpolate(e.maps("gradcam"), (16, 16), mode="bilinear")


@pytest.mark.parametrize("normalise", [True, False])
def test_infidelity(seen, normalise):
    """captum's numbers with removed squares as perturbations: their mask is in the first channel, the map there too."""
    net, explainer, x, e = seen
    gone = torch.from_numpy(squares((16, 16), 0.25, COPIES, 0))

    def removed(inputs):
        mask = torch.zeros_like(inputs)
        mask[:, 0] = gone.double()
        return mask, torch.where(gone[:, None], 0, inputs)

    attributions = torch.cat([at_pixels(e), torch.zeros(1, 1, 16, 16).double()], 1)
    theirs = infidelity(
        net, removed, x, attributions, target=TARGET, n_perturb_samples=COPIES, normalize=normalise
    )
    ours = metrics.infidelity(explainer, x, e, targets=TARGET, copies=COPIES, normalise=normalise)
    assert ours["gradcam"][0, 0] == pytest.approx(theirs.item(), rel=1e-5)


def test_captums_infidelity_is_of_the_maps_scale_unless_normalised(seen):
    _, explainer, x, e = seen
    maps = {"one": e.maps("gradcam").numpy(), "ten": 10 * e.maps("gradcam").numpy()}
    raw = metrics.infidelity(explainer, x, maps, targets=TARGET, normalise=False).means
    best = metrics.infidelity(explainer, x, maps, targets=TARGET).means
    assert raw["ten"] != pytest.approx(raw["one"], rel=0.01)
    assert best["ten"] == pytest.approx(best["one"])


def theirs_of(explainer, x, given):
    draws = torch.from_numpy(np.concatenate([*within(x.numpy(), 0.02, COPIES, 0)]))

    def explained(inputs, target):
        return given(explainer(inputs, methods=["gradcam"], targets=target).maps("gradcam"))

    return sensitivity_max(
        explained, x, lambda inputs, radius: draws, n_perturb_samples=COPIES, target=TARGET
    ).item()


def test_max_sensitivity(seen):
    _, explainer, x, e = seen
    ours = metrics.max_sensitivity(explainer, x, e, targets=TARGET, copies=COPIES)["gradcam"][0, 0]
    assert ours == pytest.approx(theirs_of(explainer, x, lambda maps: (maps,)), rel=1e-5)


def test_captum_compares_each_copy_with_every_other_where_the_explanation_is_a_tensor(seen):
    """It walks along the batch as if along a tuple, and broadcasts: the number grows with the root of the copies."""
    _, explainer, x, e = seen
    ours = metrics.max_sensitivity(explainer, x, e, targets=TARGET, copies=COPIES)["gradcam"][0, 0]
    assert theirs_of(explainer, x, lambda maps: maps) > 0.8 * COPIES**0.5 * ours
