"""Guided gradients: every form of ReLU holds back what is not positive, whatever way the model calls it."""

from __future__ import annotations

import captum.attr
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from camscope.arrays import resize
from camscope.errors import TargetError
from camscope.evidence import Evidence, ModelEvidence, Responses
from camscope.methods import get_method
from camscope.models.torch.backwards.guided import guided_gradients
from camscope.models.torch.hooks.state import explaining
from camscope.outputs import Outputs
from camscope.targets import resolve
from tests.torch.nets import Apply, batch


def guided(model: nn.Module, x: torch.Tensor, wanted=(0, 2)) -> torch.Tensor:
    with torch.no_grad():
        targets = resolve(list(wanted), Outputs(model(x.clone()), "multiclass"))
    with explaining(model):
        return guided_gradients(model, lambda x: Outputs(model(x), "multiclass"), x, targets)


def net(activation, seed: int = 0) -> nn.Module:
    """Convolution, activation, convolution, activation, mean, linear; the same weights for any activation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        one, two, fc = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, 2), nn.Linear(8, 4)
    pool = nn.Sequential(
        nn.AdaptiveAvgPool2d(2), nn.Flatten(1), nn.Unflatten(1, (8, 4)), Apply(lambda x: x.amax(2))
    )
    return nn.Sequential(one, activation(), two, activation(), pool, fc).double().eval()


def plain(model: nn.Module, x: torch.Tensor, target: int) -> torch.Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(model(x)[:, target].sum(), x)[0]


X = batch(2, 3, 12, 10, dtype=torch.float64)


# ------------------------------------------------------------------ by hand, and by captum


def test_by_hand():
    """score = relu(x₁) − relu(x₂) − relu(−x₃) + relu(x₄), and x₅ by itself."""

    def forward(x: torch.Tensor) -> torch.Tensor:
        flipped = x[:, 0] * torch.tensor([1.0, 1.0, -1.0, 1.0, 1.0])
        kept = functional.relu(flipped[:, :4]) * torch.tensor([1.0, -1.0, -1.0, 1.0])
        return (kept.sum(1) - flipped[:, 4])[:, None].expand(-1, 2)

    x = torch.tensor([[[2.0, 2.0, -2.0, -2.0, -2.0]]])
    model = Apply(forward)
    # x₂ and x₃ pass the ReLU but against the score, x₄ is cut off; only x₅ goes through no ReLU
    assert guided(model, x, (0,)).tolist() == [[[[1.0, 0.0, 0.0, 0.0, -1.0]]]]
    assert plain(model, x, 0).tolist() == [[[1.0, -1.0, 1.0, 0.0, -1.0]]]


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
def test_equals_captum_where_every_relu_is_a_module_called_once(zoo, name):
    """Captum hooks modules; a ResNet block calls its ReLU twice, so there ours is compared on copies of it."""
    model = zoo(f"torchvision:{name}")
    if name == "resnet18":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            last = nn.Conv2d(64, 9, 3)
        model = nn.Sequential(
            model.conv1, model.bn1, nn.ReLU(), model.maxpool, last, nn.ReLU(), nn.Flatten(2), Mean()
        ).eval()
    x = batch(2, 3, 64, 64)
    ours = guided(model, x, (1, 5))
    for t, target in enumerate((1, 5)):
        theirs = captum.attr.GuidedBackprop(model).attribute(x.clone().requires_grad_(), target=target)
        assert theirs.abs().max() > 0
        torch.testing.assert_close(ours[:, t], theirs.detach())


class Mean(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(2)


# ------------------------------------------------------------------ every form

FORMS = {
    "in place": lambda: nn.ReLU(inplace=True),
    "F.relu": lambda: Apply(functional.relu),
    "F.relu in place": lambda: Apply(lambda x: functional.relu(x, inplace=True)),
    "F.relu_": lambda: Apply(lambda x: functional.relu_(x)),
    "torch.relu": lambda: Apply(torch.relu),
    "torch.relu_": lambda: Apply(lambda x: torch.relu_(x)),
    "x.relu": lambda: Apply(lambda x: x.relu()),
    "x.relu_": lambda: Apply(lambda x: x.relu_()),
    "clamp": lambda: Apply(lambda x: x.clamp(min=0)),
    "clamp by place": lambda: Apply(lambda x: torch.clamp(x, 0)),
    "clamp in place": lambda: Apply(lambda x: x.clamp_(0.0)),
    "clamp_min": lambda: Apply(lambda x: x.clamp_min(0)),
    "clamp_min_": lambda: Apply(lambda x: torch.clamp_min_(x, 0)),
    "clip": lambda: Apply(lambda x: x.clip(min=0)),
    "named input": lambda: Apply(lambda x: functional.relu(input=x)),
    "threshold": lambda: nn.Threshold(0, 0, inplace=True),
    "ReLU6 below 6": nn.ReLU6,
    "ReLU6 in place": lambda: nn.ReLU6(inplace=True),
    "hardtanh": lambda: nn.Hardtanh(0, 50, inplace=True),
    "leaky, without a leak": lambda: nn.LeakyReLU(0.0),
    "one for all": lambda: ONE,
}
ONE = nn.ReLU(inplace=True)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_relu_is_the_same(untouched, form):
    model, expected = net(FORMS[form]), guided(net(nn.ReLU), X)
    assert not torch.allclose(expected[:, 0], plain(net(nn.ReLU), X, 0))
    with untouched(model):
        torch.testing.assert_close(guided(model, X), expected)


def test_a_rectifier_at_zero_itself_passes_nothing_in_any_form():
    """clamp's own backward lets the gradient pass where the input is exactly zero, ReLU's does not."""
    for function in (functional.relu, lambda x: x.clamp(min=0)):
        model = Apply(lambda x, function=function: function(x)[:, 0])
        assert guided(model, torch.tensor([[[0.0, 1.0, -1.0]]]), (0, 1)).sum((0, 2)).tolist() == [
            [0.0, 0.0, 0.0],
            [0.0, 1.0, 0.0],
        ]


SOFT = {
    "GELU": nn.GELU,
    "SiLU": lambda: nn.SiLU(inplace=True),
    "Mish": nn.Mish,
    "Hardswish": nn.Hardswish,
    "ELU": lambda: nn.ELU(inplace=True),
    "SELU": nn.SELU,
    "CELU": nn.CELU,
    "LeakyReLU": lambda: nn.LeakyReLU(0.2, inplace=True),
    "PReLU": nn.PReLU,
}


@pytest.mark.parametrize("form", SOFT)
def test_smooth_rectifiers_keep_their_slope_where_they_pass(form):
    """One layer: the gradient is the plain one where input and what comes back are positive, else zero."""
    weight = torch.tensor([1.0, -1.0, 2.0], dtype=torch.float64).reshape(1, 3, 1)
    activation = SOFT[form]().double()
    model = Apply(lambda x: (activation(x.clone()) * weight).sum((1, 2))[:, None])
    x = batch(1, 3, 40, dtype=torch.float64)
    slopes = plain(model, x, 0)
    expected = torch.where((x > 0) & (weight > 0), slopes, 0)
    torch.testing.assert_close(guided(model, x, (0,))[:, 0], expected)


@pytest.mark.parametrize("activation", [nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Identity])
def test_what_is_no_rectifier_is_left_alone(activation):
    model = net(activation)
    torch.testing.assert_close(guided(model, X)[:, 1], plain(model, X, 2))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.clamp(min=-1),
        lambda x: x.clamp(max=1),
        lambda x: x.clamp(x.new_zeros(1) - 1),
        functional.hardtanh,
    ],
)
def test_clamps_elsewhere_are_no_rectifiers(function):
    model = net(lambda: Apply(function))
    torch.testing.assert_close(guided(model, X)[:, 1], plain(model, X, 2))


def test_each_image_and_target_by_itself():
    model = net(nn.ReLU)
    torch.testing.assert_close(guided(model, X, (0, 1, 2, 3))[1:, 3:], guided(model, X[1:], (3,)))


def test_half_precision_is_widened_and_the_input_left_alone():
    model, x = net(lambda: nn.ReLU(inplace=True)).bfloat16(), X.bfloat16()
    before = x.clone()
    found = guided(nn.Sequential(nn.ReLU(inplace=True), model), x.clone())
    assert found.dtype == torch.float32
    assert guided(model, x).shape == (2, 2, 3, 12, 10)
    assert torch.equal(x, before)
    assert not x.requires_grad


def test_a_score_cut_off_from_the_input_is_refused():
    with pytest.raises(TargetError, match="do not depend on its input"):
        guided(nn.Sequential(net(nn.ReLU), Apply(torch.Tensor.detach)), X)


def test_nothing_is_left_behind_by_an_exception(untouched):
    model = net(nn.ReLU)
    targets = resolve([0], Outputs(model(X).detach(), "multiclass"))

    def run(x: torch.Tensor) -> Outputs:
        model(x)
        raise KeyboardInterrupt

    with untouched(model), pytest.raises(KeyboardInterrupt), explaining(model):
        guided_gradients(model, run, X, targets)
    torch.testing.assert_close(plain(model, X, 0), plain(net(nn.ReLU), X, 0))


# ------------------------------------------------------------------ the map


def test_guided_grad_cam_is_the_product_with_the_map_at_the_inputs_size():
    rng = np.random.default_rng(0)
    A, g = rng.random((2, 5, 4, 3)), rng.standard_normal((2, 3, 5, 4, 3))
    edges, nothing = rng.standard_normal((2, 3, 2, 9, 7)), np.zeros((2, 3))
    model = ModelEvidence(
        np.zeros((2, 2, 9, 7)), Responses(nothing, nothing, nothing), guided_gradients=edges
    )
    found = get_method("guided-gradcam")(Evidence(A, g, model=model))
    area = resize(np.maximum(get_method("gradcam")(Evidence(A, g)), 0), (9, 7))
    assert (area == 0).any()
    expected = np.zeros((2, 3, 9, 7))
    for channel in range(2):
        expected += edges[:, :, channel] * area
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert (found < 0).any()
