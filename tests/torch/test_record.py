"""`camscope.record` gives what hand-made hooks on a network without in-place operations give, and leaves nothing."""

from __future__ import annotations

import copy
import gc
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock

import camscope
from tests.torch.nets import Net, SharedReLU, batch, mlp_head

X = batch(2, 3, 16, 16)


class OutOfPlace(BasicBlock):
    """torchvision's block as its paper draws it: nothing is overwritten."""

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


def by_hand(model: nn.Module, x: torch.Tensor, names: list[str]) -> dict[str, list[torch.Tensor]]:
    """Every call's output of the layers of a copy without in-place operations; `.grad` holds the gradient of
    the sum of class 1."""
    reference = copy.deepcopy(model)
    for module in reference.modules():
        if type(module) is BasicBlock:
            module.__class__ = OutOfPlace
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    for name, module in reference.named_modules():
        if hasattr(module, "inplace"):
            module.inplace = False
        if name in names:

            def keep(_module, _inputs, output, name=name):
                output.retain_grad()
                seen[name].append(output)

            module.register_forward_hook(keep)
    reference(x)[:, 1].sum().backward()
    return seen


def assert_equal_calls(recording, expected: list[torch.Tensor]) -> None:
    assert len(recording.calls) == len(expected)
    for call, reference in zip(recording.calls, expected, strict=True):
        torch.testing.assert_close(call.activations, reference, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(call.gradients, reference.grad, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("layers", [["stem", "body"], ["stem.1", "stem.0", "body.2", "head.1"]])
def test_activations_and_gradients_are_those_of_hand_made_hooks(layers):
    model = Net(mlp_head(16)).eval()
    with camscope.record(model, layers) as seen:
        model(X)[:, 1].sum().backward()
    expected = by_hand(model, X, layers)
    assert set(seen) == set(layers)
    for name in layers:
        assert_equal_calls(seen[name], expected[name])


def test_recording_does_not_change_the_output_nor_the_parameters_gradients():
    model, reference = (Net(mlp_head(16)).eval() for _ in range(2))
    with camscope.record(model, ["stem.0", "stem", "body.1"]):
        output = model(X)
    output.sum().backward()
    expected = reference(X)
    expected.sum().backward()
    assert torch.equal(output, expected)
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("layer", ["layer4.1.bn2", "layer4.1", "bn1", "layer1.0.relu"])
def test_in_place_followers_do_not_reach_the_recorded_tensor(layer, zoo):
    """Oracle 13: `bn2` of a torchvision ResNet is followed by `out += identity` and an in-place ReLU."""
    model = zoo("torchvision:resnet18")
    x = batch(1, 3, 64, 64)
    with camscope.record(model, [layer]) as seen:
        (gradient,) = torch.autograd.grad(model(x)[:, 1].sum(), seen[layer].activations)
    expected = by_hand(model, x, [layer])[layer]
    torch.testing.assert_close(seen[layer].activations, expected[-1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient, expected[-1].grad, rtol=1e-4, atol=1e-7)
    if "bn" in layer:
        assert seen[layer].activations.min() < 0, "before the ReLU, not after it"


def test_explanations_of_a_layer_with_in_place_followers_see_what_the_layer_put_out(zoo):
    """Oracle 13, through the planner: Grad-CAM and mean activation, from a reference without in-place operations."""
    model = zoo("torchvision:resnet18")
    x = batch(1, 3, 64, 64)
    e = camscope.explain(model, x, methods=["gradcam", "mean-activation"], layers="layer4.1.bn2", targets=1)
    A = by_hand(model, x, ["layer4.1.bn2"])["layer4.1.bn2"][0]
    torch.testing.assert_close(e.maps("mean-activation")[:, 0], A.detach().mean(1), rtol=1e-5, atol=1e-5)
    expected = (A.grad.mean((2, 3), keepdim=True) * A.detach()).sum(1)
    torch.testing.assert_close(e.maps("gradcam")[:, 0], expected, rtol=1e-4, atol=1e-6)


def test_a_layer_that_is_in_place_itself_or_an_identity_is_recorded_as_it_put_out():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.Identity(),
        nn.ReLU(inplace=True),
        nn.Identity(),
        nn.Hardtanh(-0.1, 0.1, inplace=True),
    )
    names = list("01234")
    with torch.no_grad(), camscope.record(model, names) as seen:
        model(X)
        conv = model[0](X)
    assert torch.equal(seen["0"].calls[0].activations, conv)
    assert torch.equal(seen["1"].activations, conv)
    assert torch.equal(seen["2"].activations, conv.relu())
    assert torch.equal(seen["3"].activations, conv.relu())
    assert torch.equal(seen["4"].activations, conv.relu().clamp(-0.1, 0.1))


def test_a_shared_layer_gives_every_call():
    model = SharedReLU().eval()
    with camscope.record(model, ["relu"]) as seen:
        model(X)[:, 1].sum().backward()
    expected = by_hand(model, X, ["relu"])["relu"]
    assert [call.activations.shape for call in seen["relu"].calls] == [
        (2, 6, 16, 16),
        (2, 6, 16, 16),
        (2, 4, 7, 7),
    ]
    assert_equal_calls(seen["relu"], expected)
    assert seen["relu"].activations is seen["relu"].calls[-1].activations
    assert seen["relu"].gradients is seen["relu"].calls[-1].gradients


def test_every_run_inside_the_block_is_a_call():
    model = Net().eval()
    with torch.no_grad(), camscope.record(model, ["body"]) as seen:
        model(X)
        model(X[:1] * 2)
    first, second = seen["body"].calls
    assert torch.equal(first.activations, model.body(model.stem(X)))
    assert torch.equal(second.activations, model.body(model.stem(X[:1] * 2)))


def test_outputs_that_are_tuples_and_mappings_are_recorded_and_passed_on_whole():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.named = nn.LSTM(3, 4, batch_first=True), Named()

        def forward(self, x):
            y, (h, c) = self.lstm(x)
            return self.named(y)["out"].sum() + h.sum() + c.sum()

    class Named(nn.Module):
        def forward(self, x):
            return {"out": x * 2, "extra": None}

    model = Two()
    x = batch(2, 5, 3)
    with camscope.record(model, ["lstm", "named"]) as seen:
        model(x).backward()
    y = model.lstm(x)[0]
    torch.testing.assert_close(seen["lstm"].activations, y)
    torch.testing.assert_close(seen["named"].activations, 2 * y)
    torch.testing.assert_close(seen["named"].gradients, torch.ones_like(y))


def test_a_layer_may_be_given_as_the_module_and_a_single_one_without_a_list():
    model = Net().eval()
    for layers in (model.body, "body", [model.body]):
        with torch.no_grad(), camscope.record(model, layers) as seen:
            model(X)
        assert list(seen) == ["body"]
        assert len(seen["body"].calls) == 1


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda m: nn.DataParallel(nn.DataParallel(m))])
def test_wrappers_are_looked_through(wrap):
    model = wrap(Net(mlp_head(16)).eval())
    with camscope.record(model, ["body", "module.stem"]) as seen:
        model(X)[:, 1].sum().backward()
    inner = Net(mlp_head(16)).eval()
    expected = by_hand(inner, X, ["body", "stem"])
    for name in ("body", "stem"):
        assert_equal_calls(seen[name], expected[name])


def test_under_no_grad_there_are_activations_only():
    model = Net().eval()
    with torch.no_grad(), camscope.record(model, ["body"]) as seen:
        model(X)
    assert not seen["body"].activations.requires_grad
    assert seen["body"].gradients is None


def test_a_backward_after_the_block_still_brings_gradients():
    model = Net(mlp_head(16)).eval()
    with camscope.record(model, ["body"]) as seen:
        score = model(X)[:, 1].sum()
    assert seen["body"].gradients is None
    score.backward()
    torch.testing.assert_close(seen["body"].gradients, by_hand(model, X, ["body"])["body"][0].grad)


# ---------------------------------------------------------------------- nothing stays


def hooks(model: nn.Module) -> int:
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()
    )


def test_hooks_are_there_inside_and_gone_after():
    model = Net().eval()
    with camscope.record(model, ["stem", "body"]):
        assert hooks(model) > 0
    assert hooks(model) == 0
    with pytest.raises(KeyError), camscope.record(model, ["stem", "body"]):
        raise KeyError
    assert hooks(model) == 0
    with pytest.raises(camscope.LayerError), camscope.record(model, ["stem", "boby"]):
        pass
    assert hooks(model) == 0


def test_what_was_recorded_is_freed_with_the_recording():
    model = Net(mlp_head(16)).eval()
    with camscope.record(model, ["stem", "body"]) as seen:
        model(X)[:, 1].sum().backward()
    kept = [weakref.ref(seen[name].activations) for name in seen] + [weakref.ref(seen["body"].gradients)]
    assert all(reference() is not None for reference in kept)
    gc.disable()  # no cycle may be needed to free them
    try:
        del seen
        assert [reference() for reference in kept] == [None] * 3
    finally:
        gc.enable()


def test_the_graph_does_not_keep_the_recording_alive():
    model = Net(mlp_head(16)).eval()
    with camscope.record(model, ["body"]) as seen:
        score = model(X)[:, 1].sum()
    call = weakref.ref(seen["body"].calls[0])
    del seen
    gc.collect()
    assert call() is None
    score.backward()  # and works without it


# ---------------------------------------------------------------------- errors that teach


def test_a_layer_that_was_not_called_says_so():
    model = SharedReLU()
    with camscope.record(model, ["unused"]) as seen:
        model(X)
    for ask in ("activations", "gradients"):
        with pytest.raises(camscope.LayerError, match=r"'unused' was not called.*does not use"):
            getattr(seen["unused"], ask)
    assert seen["unused"].calls == []


def test_a_misspelt_layer_names_the_nearest():
    with pytest.raises(camscope.LayerError, match=r"no layer 'boddy' in this Net. Did you mean 'body"):
        camscope.record(Net(), ["boddy"]).__enter__()


def test_a_module_of_another_model_is_refused():
    with pytest.raises(camscope.LayerError, match="no submodule of this Net"):
        camscope.record(Net(), [nn.ReLU()]).__enter__()


def test_what_is_neither_name_nor_module_is_refused():
    with pytest.raises(camscope.LayerError, match="not as int"):
        camscope.record(Net(), [3]).__enter__()
    with pytest.raises(camscope.ModelError, match=r"Expected a torch.nn.Module, got function"):
        camscope.record(lambda x: x, ["layer4"]).__enter__()


def test_a_layer_that_puts_out_no_tensor_is_refused_and_unhooked():
    class Says(nn.Module):
        def forward(self, _x):
            return "no tensor"

    model = nn.Sequential(Says())
    with (
        pytest.raises(camscope.LayerError, match="puts out str, which holds no tensor"),
        camscope.record(model, ["0"]),
    ):
        model(X)
    assert hooks(model) == 0


# ---------------------------------------------------------------------- frozen models, Learners, several tensors


class Several(nn.Module):
    """Puts out several tensors, one of them made from another, and one twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(12, 4, 1)

    def forward(self, x: torch.Tensor) -> Any:
        y = self.conv(x)
        return {"map": y, "more": (y.mean((2, 3)), [y * 2]), "again": y, "count": 3}


class WithSeveral(Net):
    """All of them are used."""

    def __init__(self) -> None:
        super().__init__()
        self.several = Several()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.several(self.body(self.stem(x)))
        mean, (double,) = out["more"]
        return mean + (out["map"] * double * out["again"]).sum((2, 3)) * out["count"]


def every_output(model: nn.Module) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Each tensor of `several` and its gradient, by autograd."""
    seen: list[torch.Tensor] = []

    def look(_module: nn.Module, _inputs: Any, out: Any) -> None:
        mean, (double,) = out["more"]
        seen.extend((out["map"], mean, double, out["again"]))
        for tensor in seen:
            tensor.retain_grad()

    handle = model.several.register_forward_hook(look)
    model(X.clone().requires_grad_())[:, 1].sum().backward()
    handle.remove()
    return [(tensor.detach(), tensor.grad) for tensor in seen]


@pytest.mark.parametrize("frozen", [False, True])
def test_of_several_tensors_each_has_its_gradient_by_position(frozen):
    model = WithSeveral().eval().requires_grad_(not frozen)
    expected = every_output(model)
    with camscope.record(model, ["several"]) as seen:
        model(X)[:, 1].sum().backward()
    outputs = seen["several"].outputs
    assert len(outputs) == 4
    assert outputs[0] is outputs[3], "the same tensor"
    for recorded, (tensor, gradient) in zip(outputs, expected, strict=True):
        torch.testing.assert_close(recorded.activations, tensor)
        torch.testing.assert_close(recorded.gradients, gradient)
    assert seen["several"].gradients is outputs[0].gradients


def test_a_frozen_model_is_sent_backward_from_the_layers_on():
    model = Net(mlp_head(16)).eval()
    expected = by_hand(model, X, ["stem", "body"])
    model.requires_grad_(False)
    x = X.clone()
    with camscope.record(model, ["stem", "body"]) as seen:
        model(x)[:, 1].sum().backward()
    for name in ("stem", "body"):
        assert_equal_calls(seen[name], expected[name])
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())
    assert x.grad is None
    assert not x.requires_grad
    with torch.no_grad(), camscope.record(model, ["body"]):
        assert not model(x).requires_grad


def test_the_users_own_input_is_not_changed_by_an_identity_in_front():
    model = nn.Sequential(nn.Identity(), nn.Conv2d(3, 4, 3)).requires_grad_(False)
    x, history = X.clone(), (X.clone().requires_grad_() * 1)
    node = history.grad_fn
    for given in (x, history, x.clone().requires_grad_()):
        with camscope.record(model, ["0"]) as seen:
            model(given)[:, 1].sum().backward()
            model[0](given)
        assert seen["0"].calls[0].gradients is not None
    assert not x.requires_grad
    assert history.grad_fn is node


def test_an_identity_hands_on_the_very_tensor_and_in_place_followers_reach_it():
    """What the user's code sees is what it sees without a recording."""

    class Shortcut(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.shortcut = nn.Conv2d(3, 4, 1), nn.Identity()
            self.same = False

        def forward(self, x):
            x = self.conv(x)
            y = self.shortcut(x)
            self.same = y is x
            y.relu_()
            return x.sum((2, 3))

    model = Shortcut()
    with torch.no_grad():
        expected = model(X)
    for grad in (False, True):
        with torch.set_grad_enabled(grad), camscope.record(model, ["shortcut", "conv"]) as seen:
            found = model(X)
        assert model.same
        assert torch.equal(found, expected)
    torch.testing.assert_close(seen["shortcut"].activations, model.conv(X))
    found.sum().backward()
    torch.testing.assert_close(seen["shortcut"].gradients, (model.conv(X) > 0).float())


def test_a_learner_is_its_model():
    model = Net(mlp_head(16)).eval()
    with torch.no_grad(), camscope.record(SimpleNamespace(model=model, dls=None), ["body"]) as seen:
        model(X)
    assert seen["body"].activations.shape == (2, 12, 4, 4)


def test_a_loss_of_what_was_recorded_trains_the_layers_before():
    model, reference = (Net(mlp_head(16)).eval() for _ in range(2))
    with camscope.record(model, ["body"]) as seen:
        model(X)
    seen["body"].activations.pow(2).sum().backward()
    reference.body(reference.stem(X)).pow(2).sum().backward()
    torch.testing.assert_close(model.stem[0].weight.grad, reference.stem[0].weight.grad)
