"""H·A against finite differences of the gradient, in double precision; zero where there is no curvature."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from camscope.errors import ModelError
from camscope.models.torch.backwards.curvature import curvature, twice_differentiable
from tests.torch.nets import batch


def mlp(activation: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3),
            activation(),
            nn.Flatten(),
            nn.Linear(6 * 16, 10),
            activation(),
            nn.Linear(10, 4),
        ).double()


SUFFIXES = {
    "GELU": mlp(nn.GELU),
    "SiLU in place": mlp(lambda: nn.SiLU(inplace=True)),
    "tanh": mlp(nn.Tanh),
    "attention": nn.Sequential(
        nn.Flatten(2), nn.TransformerEncoderLayer(36, 4, 16, dropout=0.0, batch_first=True, activation="gelu"),
        nn.Flatten(), nn.Linear(3 * 36, 4),
    ).double().eval(),
}  # fmt: skip
SCORES = {
    "logit": lambda z: z[:, 1],
    "probability": lambda z: z.softmax(1)[:, 1],
    "ReST": lambda z: z[:, 1] + z.log_softmax(1)[:, 1],
}


def leaf(seed: int = 0) -> torch.Tensor:
    return batch(2, 3, 6, 6, seed=seed, dtype=torch.float64).requires_grad_()


def differences(score: Callable[[torch.Tensor], torch.Tensor], at: torch.Tensor, step: float = 1e-5):
    """H·A: how the gradient changes along A."""

    def gradient(there: torch.Tensor) -> torch.Tensor:
        there = there.detach().requires_grad_()
        return torch.autograd.grad(score(there).sum(), there)[0]

    return (gradient((1 + step) * at) - gradient((1 - step) * at)) / (2 * step)


@pytest.fixture(autouse=True)
def frozen():
    for suffix in SUFFIXES.values():
        suffix.requires_grad_(False)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("score", SCORES)
def test_the_product_is_that_of_finite_differences(suffix, score):
    model, A = SUFFIXES[suffix], leaf()

    def of(at: torch.Tensor) -> torch.Tensor:
        return SCORES[score](model(at))

    with twice_differentiable():
        (gradient,), (product,) = curvature(of(A), [A])
        expected = differences(of, A)
    assert expected.abs().max() > 1e-4
    torch.testing.assert_close(product, expected, rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(gradient, torch.autograd.grad(of(A).sum(), A)[0])
    assert not gradient.requires_grad
    assert not product.requires_grad


def test_each_layer_has_its_own_hessian():
    """Two layers, one behind the other: H is by that layer alone, the other left as it is."""
    first, second = nn.Conv2d(3, 3, 3, padding=1).double().requires_grad_(False), SUFFIXES["GELU"]
    A = leaf()
    B = torch.sigmoid(first(A))
    gradients, products = curvature(SCORES["logit"](second(B)), [A, B])
    torch.testing.assert_close(products[0], differences(lambda at: second(torch.sigmoid(first(at)))[:, 1], A))
    torch.testing.assert_close(products[1], differences(lambda at: second(at)[:, 1], B.detach()))
    assert [g.shape for g in gradients] == [A.shape, B.shape]


def test_the_second_layer_is_also_right_with_a_skip_around_it():
    model = SUFFIXES["GELU"]
    A = leaf()
    B = torch.tanh(A)
    _, products = curvature(model(A * B)[:, 1], [B])
    fixed = A.detach()
    torch.testing.assert_close(products[0], differences(lambda at: model(fixed * at)[:, 1], B.detach()))


def test_the_graph_serves_the_next_target():
    model, A = SUFFIXES["tanh"], leaf()
    logits = model(A)
    for t in range(4):
        _, (product,) = curvature(logits[:, t], [A])
        torch.testing.assert_close(product, differences(lambda at, t=t: model(at)[:, t], A))


@pytest.mark.parametrize("activation", [nn.ReLU, lambda: nn.ReLU(inplace=True), nn.LeakyReLU, nn.Identity])
def test_piecewise_linear_suffixes_have_none(activation):
    model, A = mlp(activation).requires_grad_(False), leaf()
    (gradient,), (product,) = curvature(SCORES["logit"](model(A)), [A])
    assert gradient.abs().max() > 0
    assert torch.equal(product, torch.zeros_like(A))


def test_a_sum_has_none():
    """Its gradient does not even stand on a graph."""
    A = leaf()
    (gradient,), (product,) = curvature(3 * A.sum((1, 2, 3)), [A])
    assert torch.equal(gradient, torch.full_like(A, 3))
    assert torch.equal(product, torch.zeros_like(A))


def test_a_layer_the_score_does_not_use_has_none():
    A, other = leaf(), leaf(1)
    gradients, products = curvature(SUFFIXES["tanh"](A)[:, 0], [A, other])
    assert products[0].abs().max() > 0
    assert torch.equal(gradients[1], torch.zeros_like(other))
    assert torch.equal(products[1], torch.zeros_like(other))
    gradients, products = curvature(torch.zeros(2), [A])
    assert torch.equal(gradients[0] + products[0], torch.zeros_like(A))


def test_fused_attention_has_a_second_derivative_only_in_the_context():
    qkv = batch(3, 2, 4, 9, 8, dtype=torch.float64).requires_grad_()

    def score() -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(*qkv).square().sum((1, 2, 3))

    with pytest.raises(ModelError, match="cannot be differentiated twice"):
        curvature(score(), [qkv])
    with twice_differentiable():
        _, (product,) = curvature(score(), [qkv])

        def of(at: torch.Tensor) -> torch.Tensor:
            return nn.functional.scaled_dot_product_attention(*at).square().sum((1, 2, 3))

        torch.testing.assert_close(product, differences(of, qkv), rtol=1e-5, atol=1e-8)


def test_other_errors_are_not_renamed():
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            raise RuntimeError("something else")

    A = leaf()
    with pytest.raises(RuntimeError, match="something else"):
        curvature(SUFFIXES["tanh"](Broken.apply(A))[:, 0], [A])
