"""The gradient at a layer whose ReLU is a function is what comes back to that ReLU, for every kind of target."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import camscope

HOW = {
    "relu": torch.relu,
    "method": lambda t: t.relu(),
    "in place": torch.relu_,
    "clamp": lambda t: t.clamp(min=0),
}


class Net(nn.Module):
    """A ReLU by function before the pooling; `how` says how it is applied, `returns` what comes back."""

    def __init__(self, how="relu", returns="tensor"):
        super().__init__()
        self.how, self.returns = how, returns
        self.conv, self.fc, self.other = nn.Conv2d(3, 6, 3), nn.Linear(6, 4), nn.Linear(6, 4)

    def forward(self, x):
        a = self.conv(x)
        a = {
            "relu": torch.relu,
            "method": lambda t: t.relu(),
            "in place": torch.relu_,
            "clamp": lambda t: t.clamp(min=0),
        }[self.how](a)
        pooled = a.mean((2, 3))
        z = self.fc(pooled)
        if self.returns == "tensor":
            return z
        return (
            {"logits": z, "other": self.other(pooled)} if self.returns == "dict" else (z, self.other(pooled))
        )


X = torch.randn(2, 3, 10, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("returns", ["tensor", "dict", "tuple"])
def test_a_function_as_target_gives_what_the_class_does(how, returns):
    torch.manual_seed(0)
    model = Net(how, returns).double().eval()
    output = {"tensor": None, "dict": "logits", "tuple": 0}[returns]
    explainer = camscope.Explainer(model, output=output)
    by_class = explainer(X, methods=["gradcam", "layercam"], targets=1)
    assert by_class.layers == ("conv+relu",)

    def score(raw):
        return (raw if output is None else raw[output])[:, 1]

    by_function = explainer(X, methods=["gradcam", "layercam"], targets=score)
    for method in ("gradcam", "layercam"):
        torch.testing.assert_close(by_function.maps(method), by_class.maps(method), rtol=1e-9, atol=1e-12)


def test_both_heads_behind_the_relu_count():
    torch.manual_seed(0)
    model = Net(returns="tuple").double().eval()
    e = camscope.explain(
        model, X, output=0, methods="hirescam", targets=lambda raw: raw[0][:, 1] * raw[1][:, 2]
    )
    a = model.conv(X).relu().detach().requires_grad_()
    pooled = a.mean((2, 3))
    (g,) = torch.autograd.grad((model.fc(pooled)[:, 1] * model.other(pooled)[:, 2]).sum(), a)
    torch.testing.assert_close(e.maps()[:, 0], (g * a).sum(1).detach(), rtol=1e-9, atol=1e-12)


class ReluInEachHead(nn.Module):
    """Two heads, each of which rectifies what one convolution puts out."""

    def __init__(self):
        super().__init__()
        self.conv, self.score, self.fc = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 1), nn.Linear(6, 4)

    def forward(self, x):
        a = self.conv(x)
        return self.score(torch.relu(a)).mean((2, 3)), self.fc(torch.relu(a).mean((2, 3)))


@pytest.mark.parametrize(
    "score", [lambda z, _: z[:, 1], lambda z, other: z[:, 1] * other[:, 2]], ids=["one head", "both heads"]
)
def test_each_of_several_relus_of_one_layer_counts(score):
    torch.manual_seed(0)
    model = ReluInEachHead().double().eval()
    explainer = camscope.Explainer(model, output=1)
    e = explainer(X, layers="conv+relu", methods=["hirescam", "shapley"], targets=lambda raw: score(*raw))
    a = model.conv(X).relu().detach().requires_grad_()
    value = score(model.score(a).mean((2, 3)), model.fc(a.mean((2, 3)))).sum()
    (g,) = torch.autograd.grad(value, a, create_graph=True)
    product = torch.zeros_like(a)
    if g.requires_grad:
        (product,) = torch.autograd.grad(g, a, a.detach(), allow_unused=True, materialize_grads=True)
    torch.testing.assert_close(e.maps("hirescam")[:, 0], (g * a).sum(1).detach(), rtol=1e-9, atol=1e-12)
    weights = (g - product / 2).mean((2, 3), keepdim=True)
    torch.testing.assert_close(e.maps("shapley")[:, 0], (weights * a).sum(1).detach(), rtol=1e-9, atol=1e-12)


class ReluOfRelu(nn.Module):
    """A ReLU, and one more in each head, which changes no number; but where it is zero it lets no gradient pass."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc, self.other = nn.Conv2d(3, 6, 3), nn.Linear(6, 4), nn.Linear(6, 3)

    def forward(self, x):
        a = torch.relu(self.conv(x))
        return self.fc(torch.relu(a).mean((2, 3))), self.other(torch.relu(a).mean((2, 3)))


@pytest.mark.parametrize("targets", [1, lambda raw: raw[0][:, 1]], ids=["class", "function"])
def test_of_a_relu_of_a_relu_the_last_counts(targets):
    torch.manual_seed(0)
    model = ReluOfRelu().double().eval()
    e = camscope.explain(model, X, output=0, methods="gradcam", targets=targets)
    assert e.layers == ("conv+relu",)
    a = model.conv(X).relu()
    weights = model.fc.weight[1] / a.shape[2:].numel()
    expected = torch.einsum("k,bkij->bij", weights, a).detach()
    torch.testing.assert_close(e.maps()[:, 0], expected, rtol=1e-9, atol=1e-12)
