"""What stands between the pooling and the logits may be several modules that are one linear layer in numbers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

import camscope
from camscope import AllClasses, Class
from camscope.evidence import Need
from camscope.models.torch.adapter import TorchAdapter
from camscope.models.torch.anatomy import behind_pooling
from tests.torch.nets import Net, batch, gap_head, linear

METHODS = ["cam", "gradcam", "hirescam", "ablationcam"]


def norm(kind: type[nn.Module], count: int, seed: int = 5) -> nn.Module:
    """With the statistics that a trained network could have."""
    module = kind(count)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        module.running_mean.copy_(torch.randn(count, generator=generator))
        module.running_var.copy_(torch.rand(count, generator=generator) + 0.1)
        module.weight.copy_(torch.randn(count, generator=generator))
        module.bias.copy_(torch.randn(count, generator=generator))
    return module


def pooled() -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]


def fastai_head(**options) -> nn.Module:
    fastai = pytest.importorskip("fastai.vision.all")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        head = fastai.create_head(12, 5, **options)
    for name, module in head.named_modules():
        if isinstance(module, nn.BatchNorm1d):
            parent, _, child = name.rpartition(".")
            setattr(head.get_submodule(parent), child, norm(nn.BatchNorm1d, module.num_features))
    return head


class ByFunctions(nn.Module):
    """Pooling and dropout in the forward, a batch norm and a linear layer as modules."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.fc = norm(nn.BatchNorm1d, 12), linear(12, 5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(functional.dropout(self.norm(x.mean((2, 3))), 0.5, self.training))


def biased(layer: nn.Linear, bias: float) -> nn.Linear:
    nn.init.constant_(layer.bias, bias)
    return layer


LINEAR = {
    "batch norm": lambda: nn.Sequential(
        *pooled(), norm(nn.BatchNorm1d, 12), nn.Dropout(0.5), linear(12, 5, 1)
    ),
    "batch norm before the flattening": lambda: nn.Sequential(
        nn.AdaptiveAvgPool2d(1), norm(nn.BatchNorm2d, 12), nn.Flatten(), linear(12, 5, 1)
    ),
    "batch norm of what a function pooled": ByFunctions,
    "two linear layers": lambda: nn.Sequential(
        *pooled(), linear(12, 20, 2), nn.Dropout(0.5), linear(20, 5, 1)
    ),
    "two 1×1 convolutions": lambda: nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Conv2d(12, 20, 1), nn.Conv2d(20, 5, 1, bias=False), nn.Flatten()
    ),
    "batch norm of the logits": lambda: nn.Sequential(*gap_head(), norm(nn.BatchNorm1d, 5)),
    "batch norm, and a softmax at the end": lambda: nn.Sequential(
        *pooled(), norm(nn.BatchNorm1d, 12), linear(12, 5, 1), nn.Softmax(1)
    ),
    "batch norm, and one logit": lambda: nn.Sequential(*pooled(), norm(nn.BatchNorm1d, 12), linear(12, 1, 1)),
    "fastai's simple head": lambda: fastai_head(concat_pool=False, lin_ftrs=[]),
    "fastai's simple head, normed at the end": lambda: fastai_head(
        concat_pool=False, lin_ftrs=[], bn_final=True
    ),
}
NOT_LINEAR = {
    "a ReLU behind a batch norm": lambda: nn.Sequential(
        *pooled(), norm(nn.BatchNorm1d, 12), nn.ReLU(), linear(12, 5, 1)
    ),
    "a ReLU between two linear layers": lambda: nn.Sequential(
        *pooled(), linear(12, 20, 2), nn.ReLU(), linear(20, 5, 1)
    ),
    "a ReLU that rests for all of the batch": lambda: nn.Sequential(
        *pooled(), biased(linear(12, 20, 2), 1e3), nn.ReLU(), linear(20, 5, 1)
    ),
    "LayerNorm": lambda: nn.Sequential(*pooled(), nn.LayerNorm(12), linear(12, 5, 1)),
    "a group norm of vectors": lambda: nn.Sequential(*pooled(), nn.GroupNorm(3, 12), linear(12, 5, 1)),
    "batch norm behind maximum pooling": lambda: nn.Sequential(
        nn.AdaptiveMaxPool2d(1), nn.Flatten(), norm(nn.BatchNorm1d, 12), linear(12, 5, 1)
    ),
    "fastai's head": lambda: fastai_head(),
    "fastai's head, average pooling": lambda: fastai_head(concat_pool=False),
}


def net(head: nn.Module) -> nn.Module:
    return Net(head).double().eval()


def by_autograd(model: nn.Module, x: torch.Tensor, score) -> tuple[torch.Tensor, torch.Tensor]:
    """A and ∂score/∂A at `body`."""
    A = model.body(model.stem(x)).detach().requires_grad_()
    (g,) = torch.autograd.grad(score(model.head(A)).sum(), A)
    return A.detach(), g


def logits_of(model: nn.Module, z: torch.Tensor) -> torch.Tensor:
    """Softmax at the end does not count, and one logit is two classes."""
    if isinstance(list(model.head.modules())[-1], nn.Softmax):
        z = z.log()
    return torch.cat([-z, z], 1) if z.shape[1] == 1 else z


@pytest.mark.parametrize("head", LINEAR)
def test_every_method_is_what_autograd_says(head: str, untouched):
    """In double precision, for every class; and CAM is had, which is the same times the number of positions."""
    model, x = net(LINEAR[head]()), batch(3, 3, 16, 16, dtype=torch.float64)
    with untouched(model):
        e = camscope.explain(model, x, methods=METHODS, layers="body", targets=AllClasses())
    for c in range(e.logits.shape[1]):
        if "softmax" in head:  # of log p = z − log Σ exp z the logit's slope is wanted
            layers = model.head[:-1]
            A = model.body(model.stem(x)).detach().requires_grad_()
            (g,) = torch.autograd.grad(layers(A)[:, c].sum(), A)
        else:
            A, g = by_autograd(model, x, lambda z, c=c: logits_of(model, z)[:, c])
        expected = (g * A).sum(1).detach()
        for method, times in (("gradcam", 1), ("hirescam", 1), ("cam", 16)):
            torch.testing.assert_close(e.maps(method)[:, c], times * expected, rtol=1e-9, atol=1e-10)
    assert any("the same map up to a positive constant" in note for note in e.notes)


@pytest.mark.parametrize("head", NOT_LINEAR)
def test_what_is_not_linear_is_refused_and_has_autograds_gradients(head: str):
    model, x = net(NOT_LINEAR[head]()), batch(3, 3, 16, 16, dtype=torch.float64)
    e = camscope.explain(model, x, methods="hirescam", layers="body", targets=2)
    A, g = by_autograd(model, x, lambda z: z[:, 2])
    torch.testing.assert_close(e.maps()[:, 0], (g * A).sum(1), rtol=1e-9, atol=1e-12)
    with pytest.raises(camscope.MethodError, match=r"cam needs a head.*'body'"):
        camscope.explain(model, x, methods="cam", layers="body")


@pytest.mark.parametrize("asleep", [(), (1,)], ids=["all awake", "one image's asleep"])
def test_a_relu_is_no_linear_layer_whatever_this_batch_wakes(asleep: tuple[int, ...]):
    """It lets everything pass of an image whose features are all positive, as a mean behind a ReLU is."""
    model = net(nn.Sequential(*pooled(), nn.Linear(12, 12), nn.ReLU(), linear(12, 5, 1)))
    x = batch(2, 3, 16, 16, dtype=torch.float64)
    features = model.head[1](model.head[0](model.body(model.stem(x)))).detach()
    with torch.no_grad():
        model.head[2].weight.copy_(torch.eye(12))
        model.head[2].bias.copy_(0.01 - features[list(asleep)].sum(0))
    for given in (x, x[:1]):
        e = camscope.explain(model, given, methods="hirescam", layers="body", targets=1)
        A, g = by_autograd(model, given, lambda z: z[:, 1])
        torch.testing.assert_close(e.maps()[:, 0], (g * A).sum(1), rtol=1e-9, atol=1e-12)
        with pytest.raises(camscope.MethodError, match="cam needs a head"):
            camscope.explain(model, given, methods="cam", layers="body")


def test_a_dead_batch_proves_no_linear_layer():
    """Maximum and mean of zeros are the same, and two linear layers with a ReLU between them see nothing but zeros."""
    model = net(
        nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), linear(12, 20, 2), nn.ReLU(), linear(20, 5, 1))
    )
    with torch.no_grad():
        model.body[1].bias.fill_(-100)
    with pytest.raises(camscope.MethodError, match="cam needs a head"):
        camscope.explain(model, batch(2, 3, 16, 16).double(), methods="cam", layers="body", targets=0)


def test_other_scores_are_their_derivative_by_the_pooled_features():
    model, x = net(LINEAR["batch norm"]()), batch(2, 3, 16, 16, dtype=torch.float64)
    e = camscope.explain(model, x, methods="cam", layers="body", targets=[Class(2, "probability"), -Class(1)])
    for t, score in enumerate((lambda z: z.softmax(1)[:, 2], lambda z: -z[:, 1])):
        A, g = by_autograd(model, x, score)
        torch.testing.assert_close(e.maps()[:, t], 16 * (g * A).sum(1), rtol=1e-9, atol=1e-12)


def test_weights_that_change_between_two_calls_are_seen():
    """As in training, and when a checkpoint is loaded."""
    model, x = net(LINEAR["batch norm"]()), batch(2, 3, 16, 16, dtype=torch.float64)
    explainer = camscope.Explainer(model)
    other = copy.deepcopy(model.head[-1].weight.data[[4, 3, 2, 1, 0]])
    changes = [
        lambda: model.head[-1].weight.data.mul_(2),
        lambda: model.head[2].running_var.mul_(3),
        lambda: model.head[-1].load_state_dict({**model.head[-1].state_dict(), "weight": other}),
        lambda: setattr(model.head[-1], "weight", nn.Parameter(other + 1)),
    ]
    for change in (lambda: None, *changes):
        with torch.no_grad():
            change()
        A, g = by_autograd(model, x, lambda z: z[:, 1])
        found = explainer(x, methods="cam", layers="body", targets=1).maps()[:, 0]
        torch.testing.assert_close(found, 16 * (g * A).sum(1), rtol=1e-9, atol=1e-12)


def test_the_modules_are_probed_once_and_plain_heads_never(monkeypatch):
    probed = []
    found = behind_pooling._Through.as_linear
    monkeypatch.setattr(
        behind_pooling._Through, "as_linear", lambda self, *a: probed.append(self) or found(self, *a)
    )
    x = batch(2, 3, 16, 16, dtype=torch.float64)
    for head, count in ((gap_head(), 0), (LINEAR["batch norm"](), 1)):
        explainer = camscope.Explainer(net(head))
        for _ in range(3):
            explainer(x, methods=["cam", "gradcam"], targets=[0, 1])
        assert len(probed) == count


def test_half_precision_has_gradients_and_no_head():
    """Differences of runs would say too little of the weights."""
    model, x = Net(LINEAR["batch norm"]()).bfloat16().eval(), batch(2, 3, 16, 16)
    with pytest.raises(camscope.MethodError, match="cam needs a head"):
        camscope.explain(model, x, methods="cam", layers="body")
    assert camscope.explain(model, x, methods="gradcam", layers="body").maps().isfinite().all()


def test_single_precision_is_close():
    model, x = Net(LINEAR["batch norm"]()).eval(), batch(2, 3, 16, 16)
    e = camscope.explain(model, x, methods="hirescam", layers="body", targets=2)
    A, g = by_autograd(model, x, lambda z: z[:, 2])
    expected = (g * A).sum(1)
    assert (e.maps()[:, 0] - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("method", ["ablationcam", "scorecam"])
def test_closed_forms_are_what_re_runs_give(method: str, monkeypatch):
    """Ablation-CAM's, of a head that holds for altered activations too; Score-CAM has none."""
    model, x = net(LINEAR["batch norm"]()), batch(2, 3, 16, 16, dtype=torch.float64)
    found = camscope.explain(model, x, methods=method, layers="body", targets=[0, 3]).maps()
    monkeypatch.setattr(TorchAdapter, "offers", TorchAdapter.offers - {Need.LINEAR_HEAD})
    expected = camscope.explain(model, x, methods=method, layers="body", targets=[0, 3]).maps()
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)
