"""A part in TorchScript takes no hooks: other layers are explained as ever, and what must see into it says so."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import camscope
from tests.torch.nets import Net, batch

X = batch(2, 3, 16, 16)
PARTS = ["stem", "body", "head"]
METHODS = ["gradcam", "ablationcam", "reciprocam", "scorecam", "eigencam", "shapley", "rise(n=10)"]


def scripted(*parts: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Net(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5))).eval()
    for part in parts:
        setattr(model, part, torch.jit.script(getattr(model, part)))
    return model


def open_twin(model: nn.Module) -> nn.Module:
    twin = scripted()
    twin.load_state_dict(model.state_dict())
    return twin


@pytest.mark.parametrize("part", PARTS)
def test_other_layers_are_explained_as_without_it(part, untouched):
    model = scripted(part)
    layer = "body.1" if part != "body" else "stem.1"
    options = {"methods": METHODS, "layers": layer, "targets": 1}
    with untouched(model):
        found = camscope.explain(model, X, **options)
    expected = camscope.explain(open_twin(model), X, **options)
    for key, maps in expected.raw.items():
        torch.testing.assert_close(found.raw[key], maps, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("part", "layer"), [("stem", "body"), ("body", "stem"), ("head", "body")])
def test_the_automatic_choice_is_among_the_others(part, layer):
    assert camscope.explain(scripted(part), X).layers == (layer,)


def test_a_traced_part_is_a_layer_itself():
    model = scripted()
    model.body = torch.jit.trace(model.body, torch.zeros(1, 8, 8, 8))
    found = camscope.explain(model, X, targets=1)
    assert found.layers == ("body",)
    expected = camscope.explain(open_twin(model), X, targets=1, layers="body")
    torch.testing.assert_close(found.maps(), expected.maps(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["guided-gradcam", "balanced(gradcam)", "rollout"])
@pytest.mark.parametrize(
    "make", [torch.jit.script, lambda part: torch.jit.trace(part, torch.zeros(1, 8, 8, 8))]
)
def test_what_watches_each_step_refuses_and_names_the_part(method, make):
    model = scripted()
    model.body = make(model.body)
    with pytest.raises(camscope.ModelError, match="'body' is TorchScript, whose steps cannot be watched"):
        camscope.explain(model, X, methods=method)


def test_full_gradients_say_how_much_is_missing():
    found = camscope.explain(scripted("body"), X, methods="fullgrad")
    assert any("do not add up to the score" in note for note in found.notes)


@pytest.mark.parametrize("layer", ["body", "body.0"])
def test_a_layer_inside_is_refused(layer):
    with pytest.raises(camscope.LayerError, match=f"{layer!r} is TorchScript, which takes no hooks"):
        camscope.explain(scripted("body"), X, layers=layer)


def test_where_no_layer_is_left_the_parts_are_named():
    with pytest.raises(camscope.LayerError, match=r"no layer can be found: 'stem', 'body'\."):
        camscope.explain(scripted("stem", "body"), X)


def test_an_optimised_copy_keeps_the_part():
    model = scripted("head")
    found = camscope.explain(model, X, optimised=True)
    torch.testing.assert_close(found.logits, model(X).detach(), rtol=1e-4, atol=1e-5)


def test_a_copy_whose_parameters_are_computed_is_explained_too():
    model = scripted("head")
    twin = copy.deepcopy(model)
    assert not all(parameter.is_leaf for parameter in twin.parameters())
    found = camscope.explain(twin, X, targets=1)
    assert torch.equal(found.maps(), camscope.explain(model, X, targets=1).maps())
