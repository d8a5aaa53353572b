"""Behind a softmax or sigmoid the logits are explained: those that make the selected output, proven in numbers.

The reference is always the same network without its ending, by autograd and without any hook.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import camscope
from tests.torch.nets import batch

X = batch(2, 3, 8, 8, dtype=torch.float64)
LAYER = "features"


class Heads(nn.Module):
    """Features and two linear heads, whose outputs a function ends."""

    def __init__(self, end: Callable[[Any, torch.Tensor, torch.Tensor], Any], classes: int = 3) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.features = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU())
            self.hidden = nn.Linear(6, 6)
            self.a, self.b = nn.Linear(6, classes), nn.Linear(6, classes)
        self.sigmoid, self.softmax = nn.Sigmoid(), nn.Softmax(1)
        self.end = end

    def logits(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        v = torch.tanh(self.hidden(features.mean((2, 3))))
        return self.a(v), self.b(v)

    def forward(self, x: torch.Tensor) -> Any:
        return self.end(self, *self.logits(self.features(x)))


def grad_cam(model: Heads, score: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Σ_k α_k A^k of a score of both heads' logits."""
    A = model.features(X).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(score(*model.logits(A)).sum(), A)
    return (gradient.mean((2, 3), keepdim=True) * A).sum(1).detach()


def made(end: Callable[..., Any], classes: int = 3) -> Heads:
    return Heads(end, classes).double().eval()


def two_by_one_module(m: Heads, a: torch.Tensor, b: torch.Tensor) -> Any:
    return m.sigmoid(a), m.sigmoid(b)


def three_calls(m: Heads, a: torch.Tensor, b: torch.Tensor) -> Any:
    return {"first": m.sigmoid(a), "rest": [m.sigmoid(b), m.sigmoid(a * b)]}


SIGMOIDS = {
    "module": (lambda m, a, b: m.sigmoid(a), None),
    "module, first of two": (two_by_one_module, 0),
    "module, called three times": (three_calls, "first"),
    "module, in a nested output": (three_calls, lambda out: out["rest"][0]),
    "function": (lambda m, a, b: torch.sigmoid(a), None),
    "method": (lambda m, a, b: a.sigmoid(), None),
    "in place": (lambda m, a, b: a.sigmoid_(), None),
    "special.expit": (lambda m, a, b: torch.special.expit(a), None),
    "function, of two": (lambda m, a, b: (torch.sigmoid(b), torch.sigmoid(a)), 1),
    "module, and a gate by the same": (
        lambda m, a, b: m.sigmoid(a) if m.sigmoid(b) is not None else None,
        None,
    ),
    "a view": (lambda m, a, b: m.sigmoid(torch.cat([b, a], 1)), lambda out: out[:, 3:]),
    "a view of a function's": (lambda m, a, b: torch.cat([b, a], 1).sigmoid()[:, 3:], None),
    "with strides": (lambda m, a, b: m.sigmoid(torch.stack([b, a], 2))[..., 1], None),
    "a copy": (lambda m, a, b: m.sigmoid(a).clone(), None),
    "a copy of a function's": (lambda m, a, b: torch.sigmoid(a).clone(), None),
    "side by side": (lambda m, a, b: torch.cat([torch.sigmoid(a[:, :1]), m.sigmoid(a[:, 1:])], 1), None),
    "stacked": (lambda m, a, b: torch.stack([torch.sigmoid(a[:, i]) for i in range(3)], 1), None),
}


def read(out: Any, output: Any) -> torch.Tensor:
    return out if output is None else output(out) if callable(output) else out[output]


@pytest.mark.parametrize("name", SIGMOIDS)
def test_behind_a_sigmoid_the_logits_of_the_selected_output_are_explained(name):
    end, output = SIGMOIDS[name]
    model = made(end)
    which = 1 if name == "module, in a nested output" else 0
    e = camscope.explain(model, X, layers=LAYER, targets=["0", "2"], output=output)
    torch.testing.assert_close(e.probabilities, read(model(X), output).detach(), rtol=1e-9, atol=1e-12)
    assert e.provenance["task"] == "multilabel"
    assert not e.notes
    for place, c in enumerate((0, 2)):
        expected = grad_cam(model, lambda *heads, c=c: heads[which][:, c])
        torch.testing.assert_close(e.maps()[:, place], expected, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(e.scores[:, place], model.logits(model.features(X))[which][:, c].detach())


class Certain(Heads):
    """Both heads are certain of everything."""

    def logits(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        v = features.mean((2, 3))
        return self.a(v) + 500, self.b(v) + 700


@pytest.mark.parametrize("method", ["gradcam", "ablationcam"])
@pytest.mark.parametrize("which", [0, 1])
def test_of_two_heads_that_are_certain_the_selected_one_is_explained(which, method):
    """Both put out ones, of which numbers do not tell whose they are."""
    model = Certain(two_by_one_module).double().eval()
    e = camscope.explain(model, X, layers=LAYER, targets=["1"], output=which, methods=method)
    logits = model.logits(model.features(X))[which][:, 1].detach()
    torch.testing.assert_close(e.scores[:, 0], logits, rtol=1e-9, atol=0)
    A, head = model.features(X).detach(), (model.a, model.b)[which]
    weights = head.weight[1].detach() / 36
    weights = weights * (A.sum((2, 3)) / logits[:, None] if method == "ablationcam" else torch.ones(2, 1))
    expected = (weights[:, :, None, None] * A).sum(1)
    torch.testing.assert_close(e.maps()[:, 0], expected, rtol=1e-9, atol=1e-15)


def test_copies_of_what_two_certain_heads_put_out_are_refused():
    model = Certain(lambda m, a, b: (m.sigmoid(a).clone(), m.sigmoid(b).clone())).double().eval()
    with pytest.raises(
        camscope.ModelError, match=r"2 calls of sigmoid put out the very numbers.*pass output="
    ):
        camscope.explain(model, X, layers=LAYER, targets=["1"], output=0)


SOFTMAXES = {
    "module": lambda m, a, b: m.softmax(a),
    "module, and for another head": lambda m, a, b: (m.softmax(a), m.softmax(b)),
    "function": lambda m, a, b: functional.softmax(a, dim=1),
    "function, log": lambda m, a, b: functional.log_softmax(a, dim=-1),
    "method": lambda m, a, b: a.softmax(-1),
    "special": lambda m, a, b: torch.special.log_softmax(a, 1),
    "a view": lambda m, a, b: m.softmax(a[..., None])[..., 0],
}


@pytest.mark.parametrize("name", SOFTMAXES)
def test_behind_a_softmax_the_logits_are_explained(name):
    model = made(SOFTMAXES[name])
    several = name == "module, and for another head"
    e = camscope.explain(model, X, layers=LAYER, targets=[1], output=0 if several else None)
    a = model.logits(model.features(X))[0].detach()
    torch.testing.assert_close(e.logits, a)
    torch.testing.assert_close(e.probabilities, a.softmax(1))
    torch.testing.assert_close(e.maps()[:, 0], grad_cam(model, lambda a, _: a[:, 1]), rtol=1e-9, atol=1e-12)
    assert not e.notes


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("by", ["module", "function"])
def test_one_class_of_a_softmax_is_a_yes_or_no_question(by, flat):
    """Its logit is log p / (1 − p), also where p is 1 as far as the precision goes."""

    def end(m: Heads, a: torch.Tensor, _b: torch.Tensor) -> torch.Tensor:
        p = m.softmax(a) if by == "module" else a.softmax(1)
        return p[:, 1] if flat else p[:, 1:2]

    model = made(end)
    e = camscope.explain(model, X, layers=LAYER, targets=[1])
    torch.testing.assert_close(e.probabilities[:, 1], model(X).detach().flatten())
    torch.testing.assert_close(
        e.maps()[:, 0],
        grad_cam(model, lambda a, _: a[:, 1] - a[:, [0, 2]].logsumexp(1)),
        rtol=1e-9,
        atol=1e-12,
    )


@pytest.mark.parametrize("by", ["module", "function"])
def test_what_is_written_into_afterwards_is_no_sigmoid_any_more(by):
    def end(m: Heads, a: torch.Tensor, _b: torch.Tensor) -> torch.Tensor:
        y = m.sigmoid(a) if by == "module" else torch.sigmoid(a)
        y *= 4
        return y

    model = made(end)
    e = camscope.explain(model, X, layers=LAYER, targets=[2], methods="eigencam")
    torch.testing.assert_close(e.logits, model(X).detach())
    # PyTorch needs the sigmoid's output for its gradient, in training as here
    with pytest.raises(camscope.ModelError, match=r"writes into a tensor.*'eigencam'"):
        camscope.explain(model, X, layers=LAYER, targets=[2])


def _relu_after_relu(m: Heads, x: torch.Tensor) -> torch.Tensor:
    return m.a(functional.relu_(functional.relu_(m.features(x))).mean((2, 3)))


def _part_in_place(m: Heads, x: torch.Tensor) -> torch.Tensor:
    first, second = m.features(x).chunk(2, 1)
    gate = torch.sigmoid(first)
    first.relu_()
    return m.a(torch.cat([first, gate * second], 1).mean((2, 3)))


@pytest.mark.parametrize("forward", [_relu_after_relu, _part_in_place])
def test_a_model_without_a_gradient_is_refused_in_words_and_explained_without(forward):
    """PyTorch's own backward fails on it, on the way back or on the way there."""
    model = made(lambda m, a, b: a)
    model.forward = types.MethodType(forward, model)
    for call in ({}, {"methods": "eigencam"}, {"layers": "features.0"}):
        with pytest.raises(camscope.ModelError, match=r"writes into a tensor.*name a layer.*'eigencam'"):
            camscope.explain(model, X, **call)
    found = camscope.explain(model, X, layers="features.0", methods=["eigencam", "ablationcam"], targets=[1])
    with torch.no_grad():
        torch.testing.assert_close(found.logits, model(X))


UNPROVEN = {
    "scaled": lambda m, a, b: m.sigmoid(a) * 0.5,
    "clamped": lambda m, a, b: torch.sigmoid(a).clamp(0.49, 0.51),
    "by hand": lambda m, a, b: 1 / (1 + torch.exp(-a)),
    "hard": lambda m, a, b: functional.hardsigmoid(a),
    "product": lambda m, a, b: torch.sigmoid(a) * torch.sigmoid(b),
}


@pytest.mark.parametrize("name", UNPROVEN)
def test_numbers_between_0_and_1_that_nothing_proves_to_be_probabilities_are_logits_and_it_is_said(name):
    model = made(UNPROVEN[name])
    e = camscope.explain(model, X, layers=LAYER, targets=[2])
    torch.testing.assert_close(e.logits, model(X).detach())
    assert any("lie between 0 and 1" in note and "read as logits" in note for note in e.notes)
    assert not camscope.explain(model, X, layers=LAYER, targets=[2], task="regression").notes


def test_logits_that_are_no_probabilities_are_told_by_numbers_not_by_a_sigmoid_somewhere():
    """A gate inside of the network, and ReLU6 at the end."""
    model = made(lambda m, a, b: functional.relu6(m.sigmoid(b) * a + 1))
    e = camscope.explain(model, X, layers=LAYER, targets=[2])
    torch.testing.assert_close(e.logits, model(X).detach())
    assert not e.notes


def test_a_batch_that_takes_another_way_is_read_by_itself():
    """The first image's way ends in a sigmoid, the batch's does not."""
    model = made(lambda m, a, b: m.sigmoid(a) if len(a) == 1 else 5 * a)
    e = camscope.explain(model, X, layers=LAYER, targets=[2])
    torch.testing.assert_close(e.logits, model(X).detach())
    torch.testing.assert_close(
        e.maps()[:, 0], grad_cam(model, lambda a, _: 5 * a[:, 2]), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("name", ["module", "function"])
def test_a_regression_is_the_output_itself(name):
    model = made(SIGMOIDS[name][0])
    e = camscope.explain(model, X, layers=LAYER, targets=[2], task="regression")
    torch.testing.assert_close(e.scores[:, 0], model(X)[:, 2].detach())
    torch.testing.assert_close(
        e.maps()[:, 0], grad_cam(model, lambda a, _: a[:, 2].sigmoid()), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("name", ["module", "function"])
def test_re_runs_read_the_output_as_the_forward_does(name):
    """Ablation-CAM of the logit, literally."""
    model = made(SIGMOIDS[name][0])
    e = camscope.explain(model, X, layers=LAYER, targets=[2], methods="ablationcam")
    A = model.features(X).detach()
    full = model.logits(A)[0][:, 2].detach()
    expected = torch.zeros_like(A[:, 0])
    for k in range(A.shape[1]):
        without = A.clone()
        without[:, k] = 0
        drop = full - model.logits(without)[0][:, 2].detach()
        expected += (drop / full.abs())[:, None, None] * A[:, k]
    torch.testing.assert_close(e.maps()[:, 0], expected, rtol=1e-8, atol=1e-12)


def test_an_ordinary_model_runs_once_to_be_known_and_once_to_be_explained():
    model = made(lambda m, a, b: 9 * a)
    runs = 0

    def count(*_: Any) -> None:
        nonlocal runs
        runs += 1

    model.register_forward_pre_hook(count)
    explainer = camscope.Explainer(model)
    explainer(X, layers=LAYER, targets=2)
    assert runs == 2
    explainer(X, layers=LAYER, targets=2)
    assert runs == 3
