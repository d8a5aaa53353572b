"""Every adapter that runs altered inputs can be asked whether its maps can be trusted, and is left as it was."""

import numpy as np
import pytest

import camscope
from camscope.evidence import Need
from tests.conformance.cases import Case
from tests.conformance.networks import classifier, random_batch


@pytest.mark.filterwarnings("ignore::camscope.CamscopeWarning")
def test_maps_are_judged_by_what_the_model_says_of_altered_inputs(case: Case):
    assert Need.MASKED in case.offers
    network = classifier()
    model = case.build(network)
    explainer = camscope.Explainer(model, space=case.space)
    before = case.state(model)
    x = case.tensor(random_batch(2))
    found = explainer.trust(x, methods="mean-activation", targets=[0, 1], probes=32, progress=False)
    assert len(found.rows) == 4
    for probed in found.probes.values():
        assert probed.drops.shape == (32, 2)
        assert np.isfinite(probed.drops).all()
    assert case.state(model) == before
