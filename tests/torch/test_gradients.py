"""Gradients are exact, and no more of the model runs than they need."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

import camscope
from camscope import AllClasses, Class, PerImage, TopK
from tests.torch.nets import (
    ANYWHERE,
    HAND_MADE,
    METHODS,
    Backwards,
    Net,
    batch,
    case_name,
    evidence_of,
    explainer_of,
    gap_head,
    mlp_head,
)

LAYERS = ["stem", "body"]


def model64(*, one_logit: bool = False) -> nn.Module:
    return Net(mlp_head(16, 1 if one_logit else 5)).double().eval()


def x64(count: int = 2) -> torch.Tensor:
    return batch(count, 3, 16, 16, dtype=torch.float64)


# ---------------------------------------------------------------------- exact


def energy(logits: torch.Tensor) -> torch.Tensor:
    return logits.square().sum(1) + logits[:, 0] * logits[:, 1]


SCORES = {
    "logit": (2, lambda z: z[:, 2]),
    "evidence against": (-Class(2), lambda z: -z[:, 2]),
    "probability": (Class(2, "probability"), lambda z: z.softmax(1)[:, 2]),
    "log-probability": (Class(2, "log-probability"), lambda z: z.log_softmax(1)[:, 2]),
    "against a probability": (-Class(2, "probability"), lambda z: -z.softmax(1)[:, 2]),
    "callable": (energy, energy),
}


def differences(model: nn.Module, layer: str, x: torch.Tensor, score, step: float = 1e-5) -> torch.Tensor:
    """∂score/∂A of the first image by central differences, a perturbation of the layer's output per batch row."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        A = dict(model.named_modules())[layer](x[:1] if layer == "stem" else model.stem(x[:1]))
        n = A.numel()
        nudges = torch.eye(n, dtype=A.dtype).reshape(n, *A.shape[1:]) * step
        hook = dict(model.named_modules())[layer].register_forward_hook(lambda _m, _i, out: out + nudges)
        up = score(model(x[:1].expand(n, -1, -1, -1)))
        hook.remove()
        dict(model.named_modules())[layer].register_forward_hook(lambda _m, _i, out: out - nudges)
        down = score(model(x[:1].expand(n, -1, -1, -1)))
    return ((up - down) / (2 * step)).reshape(A.shape[1:])


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("score", SCORES)
def test_gradients_are_the_finite_differences_of_the_score(score, layer):
    model, x = model64(), x64()
    target, function = SCORES[score]
    evidence = evidence_of(model, x, targets=target, layers=layer)
    expected = differences(model, layer, x, function)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(evidence.gradients[0, 0], expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("target", "function"),
    [
        (1, lambda z: z[:, 0]),
        (0, lambda z: -z[:, 0]),
        (Class(1, "probability"), lambda z: z[:, 0].sigmoid()),
        (Class(0, "log-probability"), lambda z: functional.logsigmoid(-z[:, 0])),
    ],
    ids=case_name,
)
def test_gradients_of_a_one_logit_model_are_the_finite_differences_of_the_score(target, function):
    model, x = model64(one_logit=True), x64()
    evidence = evidence_of(model, x, targets=target, layers="body")
    torch.testing.assert_close(
        evidence.gradients[0, 0], differences(model, "body", x, function), rtol=1e-5, atol=1e-8
    )


@pytest.mark.parametrize("score", SCORES)
def test_gradients_behind_a_linear_head_are_the_finite_differences_too(score):
    model, x = Net(gap_head()).double().eval(), x64()
    target, function = SCORES[score]
    evidence = evidence_of(model, x, targets=target, layers="body")
    assert evidence.gradients.shape[-2:] == (1, 1), "from the weights, without a backward"
    expected = differences(model, "body", x, function)
    torch.testing.assert_close(evidence.gradients[0, 0].expand_as(expected), expected, rtol=1e-5, atol=1e-8)


def test_suffix_only_gradients_are_the_full_graphs_for_all_layers_at_once(zoo):
    model = zoo("torchvision:resnet18")
    x = batch(2, 3, 64, 64)
    layers = ["layer1", "layer2", "layer3", "layer4.0", "layer4"]
    e = camscope.explain(model, x, methods=["hirescam", "gradcam"], layers=layers, targets=[7])

    reference = copy.deepcopy(model)
    seen = {}
    for name in layers:

        def keep(_m, _i, out, name=name):
            out = out.clone()
            out.retain_grad()
            seen[name] = out
            return out.clone()

        reference.get_submodule(name).register_forward_hook(keep)
    reference(x)[:, 7].sum().backward()
    for name, A in seen.items():
        full = (A.grad * A.detach()).sum(1)
        scale = full.abs().max()
        torch.testing.assert_close(e.maps("hirescam", name)[:, 0] / scale, full / scale, rtol=0, atol=1e-5)
        full = (A.grad.mean((2, 3), keepdim=True) * A.detach()).sum(1)
        scale = full.abs().max()
        torch.testing.assert_close(e.maps("gradcam", name)[:, 0] / scale, full / scale, rtol=0, atol=1e-5)


# ---------------------------------------------------------------------- each image by itself


TARGETS = [3, -Class(0), Class(1, "probability"), TopK(2, "log-probability"), energy]


@pytest.mark.parametrize("head", ["gap", "mlp"])
@pytest.mark.parametrize("method", [m for m in METHODS if m != "random"])
def test_a_batch_is_its_images_one_by_one(method, head):
    """Oracle 11. `random` is left out: image i of a batch gets the i-th draw."""
    if method == "cam" and head == "mlp":
        pytest.skip("cam needs a linear head")
    model = Net(gap_head() if head == "gap" else mlp_head(16)).double().train()
    x = x64(3) * torch.tensor([0.1, 1, 10], dtype=torch.float64)[:, None, None, None]
    layers = ["body"] if method == "cam" else LAYERS
    call = {"methods": method, "layers": layers, "targets": TARGETS}
    together = explainer_of(model)(x, **call)
    for i in range(3):
        alone = explainer_of(model)(x[i : i + 1], **call)
        assert alone.targets[0] == together.targets[i]
        torch.testing.assert_close(alone.scores[0], together.scores[i], rtol=1e-12, atol=1e-12)
        for layer in layers:
            torch.testing.assert_close(
                alone.maps(method, layer)[0], together.maps(method, layer)[i], rtol=1e-9, atol=1e-12
            )
            torch.testing.assert_close(
                alone.heatmaps(method, layer)[0], together.heatmaps(method, layer)[i], rtol=1e-7, atol=1e-9
            )


@pytest.mark.parametrize("head", ["gap", "mlp"])
def test_one_target_per_image_is_a_call_per_image(head):
    model = Net(gap_head() if head == "gap" else mlp_head(16)).double().eval()
    x = x64(3)
    for targets in ([4, 0, 2], [[4, -Class(1)], [0, 3], [-Class(2), TopK(1)]]):
        together = explainer_of(model)(x, methods=HAND_MADE, layers=LAYERS, targets=PerImage(targets))
        for i, target in enumerate(targets):
            alone = explainer_of(model)(x[i : i + 1], methods=HAND_MADE, layers=LAYERS, targets=target)
            assert alone.targets[0] == together.targets[i]
            for key, maps in alone.raw.items():
                torch.testing.assert_close(maps[0], together.raw[key][i], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("head", ["gap", "mlp"])
def test_everything_in_one_call_is_one_thing_at_a_time(head):
    model = Net(gap_head() if head == "gap" else mlp_head(16)).double().eval()
    x = x64()
    targets = [3, -Class(0), Class(1, "probability"), Class(4, "log-probability"), energy]
    together = explainer_of(model)(x, methods=ANYWHERE, layers=LAYERS, targets=targets)
    for i, (method, layer) in enumerate(itertools.product(ANYWHERE, LAYERS)):
        t = i % len(targets)
        alone = explainer_of(model)(x, methods=method, layers=layer, targets=targets[t])
        torch.testing.assert_close(
            alone.maps()[:, 0], together.maps(method, layer)[:, t], rtol=1e-9, atol=1e-12
        )
        torch.testing.assert_close(alone.scores[:, 0], together.scores[:, t], rtol=1e-12, atol=1e-12)


def test_more_targets_than_fit_the_budget_are_taken_in_turns_to_the_same_end(monkeypatch):
    model, x = model64(), x64()
    call = {"methods": HAND_MADE, "layers": LAYERS, "targets": AllClasses()}
    at_once = camscope.explain(model, x, **call, channels=3)
    monkeypatch.setattr("camscope.models.torch.observation._GRADIENT_BUDGET", 1)
    in_turns = camscope.explain(model, x, **call, channels=3)
    for key, maps in at_once.raw.items():
        torch.testing.assert_close(in_turns.raw[key], maps, rtol=1e-12, atol=0)
    assert in_turns.status == at_once.status
    for layer in LAYERS:
        assert torch.equal(in_turns.channels[layer].index, at_once.channels[layer].index)


@pytest.mark.filterwarnings("ignore::camscope.errors.CamscopeWarning")
def test_weights_of_the_head_are_those_of_the_targets_that_are_taken_together():
    """Guided Grad-CAM takes four targets at a time, so then what is made of the head's weights is too."""
    model, x = Net(gap_head()).double().eval(), x64()
    order = [4, 3, 2, 1, 0]
    together = camscope.explain(model, x, methods=["cam", "hirescam", "guided-gradcam"], targets=order)
    alone = camscope.explain(model, x, methods=["cam", "hirescam"], targets=order)
    for method in ("cam", "hirescam"):
        torch.testing.assert_close(together.maps(method), alone.maps(method), rtol=1e-12, atol=0)


# ---------------------------------------------------------------------- no more than needed


class Counted(Net):
    """Counts backwards and graphs in the prefix (before `body`) and in the suffix (after it)."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__(head)
        self.before, self.after = Backwards(), Backwards()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.after(self.body(self.before(self.stem(x)))))


def counted(head: nn.Module, **call) -> Counted:
    """A model after one explanation of a model that the explainer already knows."""
    model = Counted(head).train()
    explainer = camscope.Explainer(model)
    explainer(batch(2, 3, 16, 16))
    for counter in (model.before, model.after):
        counter.forwards = counter.graphs = counter.backwards = 0
    explainer(batch(2, 3, 16, 16, seed=1), **call)
    return model


@pytest.mark.parametrize(
    ("targets", "count"),
    [(None, 1), ([0, 1, 2], 3), (AllClasses(), 5), (PerImage([[0, 1], [2, 3]]), 2), ([energy], 1)],
)
def test_there_is_one_forward_and_one_backward_per_target_through_the_suffix_alone(targets, count):
    model = counted(mlp_head(16), targets=targets, methods=ANYWHERE, layers=["body", "body.1"], channels=2)
    assert (model.after.forwards, model.after.backwards) == (1, count)
    assert (model.before.forwards, model.before.backwards) == (1, 0)
    assert model.before.graphs == 0, "the prefix keeps nothing for a backward"


@pytest.mark.parametrize(
    "targets", [None, AllClasses(), [Class(1, "probability"), Class(2, "log-probability")], [energy]]
)
def test_behind_a_linear_head_one_backward_runs_for_all_targets(targets):
    """From the pooling to the layer, to see that it spreads evenly."""
    model = counted(gap_head(), targets=targets, methods=METHODS, layers="body")
    assert (model.after.forwards, model.after.backwards) == (1, 1)


def test_only_layers_before_the_linear_heads_own_layer_need_a_backward():
    model = counted(gap_head(), targets=[0, 1], methods=HAND_MADE, layers=["body", "before"])
    # two targets, and the linear head's pooling
    assert (model.after.forwards, model.after.backwards, model.before.backwards) == (1, 2 + 1, 0)


def test_methods_without_gradients_run_one_forward_without_a_graph():
    model = counted(
        mlp_head(16), methods=["eigencam", "mean-activation", "random", "centre"], layers=["stem", "body"]
    )
    assert (model.before.forwards, model.before.graphs, model.after.graphs, model.after.backwards) == (
        1,
        0,
        0,
        0,
    )


def test_a_prefix_that_cannot_go_backward_is_no_obstacle():
    class Never(torch.autograd.Function):
        @staticmethod
        def forward(_ctx, x):
            return x.clone()

        @staticmethod
        def backward(_ctx, _gradient):
            raise AssertionError("a backward went into the prefix")

    class Model(Net):
        def forward(self, x):
            return self.head(self.body(Never.apply(self.stem(x))))

    e = camscope.explain(Model(mlp_head(16)), batch(2, 3, 16, 16), methods=HAND_MADE, layers="body")
    assert e.status["gradcam", "body"][0][0] == "ok"


def test_parameters_get_no_gradient_and_keep_the_one_they_have():
    model = Net(mlp_head(16))
    model.head[1].weight.grad = torch.ones_like(model.head[1].weight)
    camscope.explain(model, batch(2, 3, 16, 16), methods=HAND_MADE, layers=LAYERS)
    assert torch.equal(model.head[1].weight.grad, torch.ones_like(model.head[1].weight))
    assert all(p.grad is None for p in model.parameters() if p is not model.head[1].weight)


# ---------------------------------------------------------------------- scale (oracle 15)


@pytest.mark.parametrize("method", HAND_MADE)
def test_scaling_the_target_scales_the_map(method):
    """Oracle 15; Grad-CAM++ is not scale-invariant, by its own formula."""
    model, x = Net(mlp_head(16)).double().eval(), x64()
    plain = camscope.explain(model, x, methods=method, layers="body", targets=lambda z: z[:, 2])
    scaled = camscope.explain(model, x, methods=method, layers="body", targets=lambda z: 7 * z[:, 2])
    if method.startswith("gradcam++"):
        assert not torch.allclose(scaled.maps(), 7 * plain.maps(), rtol=1e-9)
    else:
        torch.testing.assert_close(scaled.maps(), 7 * plain.maps(), rtol=1e-9, atol=1e-12)
