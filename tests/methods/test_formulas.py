"""The register against formulas: every method in it is the loops of its twin, sign included, or it is a baseline."""

from __future__ import annotations

import numpy as np
import pytest

from camscope.evidence import Need
from camscope.methods import Method, list_methods, method, registry
from tests.methods.twins import TWINS, evidence_of
from tests.reruns import Net, close

METHODS = list_methods()


def twin_missing(m: Method) -> str:
    """What is wrong with a method that nothing proves; empty if all is well."""
    if m.baseline or m.base in TWINS:
        return ""
    return (
        f"{m.base} has no twin: write {m.formula!r} as loops, sign included, and add it to TWINS in "
        "tests/methods/twins.py."
    )


@pytest.mark.parametrize("m", METHODS, ids=lambda m: m.base)
def test_every_method_has_a_twin_or_is_a_baseline(m):
    assert not twin_missing(m), twin_missing(m)


def test_a_method_without_a_twin_does_not_pass(monkeypatch):
    monkeypatch.setattr(registry, "_methods", dict(registry._methods))

    @method("unproven", needs={Need.ACTIVATIONS}, advice="Nothing says what it is.")
    def unproven(evidence):
        """Σ_k A^k."""
        return evidence.activations.sum(1, keepdims=True)

    assert "unproven has no twin: write 'Σ_k A^k.'" in twin_missing(list_methods()[-1])


def test_no_twin_is_of_a_method_that_is_gone():
    assert set(TWINS) <= {m.base for m in METHODS}


@pytest.fixture(scope="module", params=["mlp", "linear"])
def shown(request):
    """A network with another gradient at every position behind a ReLU; one that pools signed activations linearly."""
    linear = request.param == "linear"
    net = Net(2, request.param, seed=3, signed=linear)
    return net, linear


@pytest.mark.parametrize("m", [m for m in METHODS if m.base in TWINS], ids=lambda m: m.base)
def test_the_map_is_the_formula(m, shown):
    net, linear = shown
    if Need.LINEAR_HEAD in m.needs and not linear:
        pytest.skip("needs a linear head")
    twin = TWINS[m.base]
    evidence = evidence_of(net, head=linear)
    given = evidence.model if m.scope == "model" else evidence
    found = m.with_parameters(**twin.parameters)(given)
    assert isinstance(found, np.ndarray)
    expected = twin.maps(net, evidence_of(net, head=linear))
    assert np.ptp(expected) > 0, "a flat map proves nothing"
    close(found, expected, 1e-8)


@pytest.mark.parametrize("m", METHODS, ids=lambda m: m.base)
def test_the_register_says_truly_whether_a_map_knows_its_target(m, shown):
    net, linear = shown
    if Need.LINEAR_HEAD in m.needs and not linear:
        pytest.skip("needs a linear head")
    evidence = evidence_of(net, head=linear)
    parameters = TWINS[m.base].parameters if m.base in TWINS else {}
    maps = m.with_parameters(**parameters)(evidence.model if m.scope == "model" else evidence)
    assert maps.shape[1] == (3 if m.class_specific else 1)
    if m.class_specific:
        assert not np.allclose(maps[:, 0], maps[:, 1])
