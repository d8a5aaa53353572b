"""What is told of an operation by its name is true in numbers: sums are sums of terms, each of one activation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from camscope.models.torch.reruns.following import Following, following
from camscope.models.torch.reruns.sums import FollowingSums, Made

DRAWN = torch.Generator().manual_seed(0)
X = torch.rand(2, 6, 4, 4, generator=DRAWN, dtype=torch.float64) - 0.3
W = torch.randn(3, 6, generator=DRAWN, dtype=torch.float64)
B = torch.randn(3, generator=DRAWN, dtype=torch.float64)
POSITIVE = torch.rand(6, generator=DRAWN, dtype=torch.float64) + 0.5


def gap(x: torch.Tensor) -> torch.Tensor:
    return x.mean((2, 3))


def normed(x: torch.Tensor, *, training: bool = False) -> torch.Tensor:
    return functional.batch_norm(
        x, POSITIVE.clone(), POSITIVE.clone(), POSITIVE, -POSITIVE, training=training
    )


Network = Callable[[torch.Tensor], torch.Tensor]
SUMS: dict[str, Network] = {
    "a linear layer": lambda x: functional.linear(gap(x), W, B),
    "of a ReLU of each": lambda x: functional.linear(gap(x.relu()), W),
    "of each, cut off": lambda x: functional.linear(gap(functional.relu6(x.clamp(min=-0.1))), W),
    "in place": lambda x: functional.linear(gap(x.clone().relu_().mul_(2).add_(1)), W),
    "a convolution": lambda x: functional.adaptive_avg_pool2d(functional.conv2d(x, W[..., None, None], B), 1),
    "a batch norm": lambda x: normed(gap(normed(x))) @ W.T,
    "tokens": lambda x: torch.cat([x.flatten(2).mT, x.flatten(2).mT * 2], 1).mean(1) @ W.T,
    "two ways that meet": lambda x: gap(x) @ W.T - (x.sum((2, 3)) / 3) @ W.T,
    "an einsum": lambda x: torch.einsum("bkhw,ck->bc", x, W),
    "classes masked out": lambda x: (gap(x) @ W.T).masked_fill(torch.tensor([True, False, False]), 7.0),
    "another precision": lambda x: (gap(x).float().double()) @ W.T,
    "windows": lambda x: x.unfold(2, 2, 2).flatten(2).mean(2) @ W.T,
    "one logit as two": lambda x: torch.stack([-(gap(x) @ W[0]), gap(x) @ W[0]], 1),
}
NO_SUMS: dict[str, Network] = {
    "a ReLU of a sum": lambda x: functional.linear(gap(x), W).relu(),
    "a clamp of a sum": lambda x: functional.linear(gap(x), W).clamp(max=0.1),
    "a product of two": lambda x: (gap(x) * gap(x).flip(1)) @ W.T,
    "a matrix of the activations": lambda x: gap(x) @ (x.mean((0, 3))[:, :3] + W.T),
    "a share": lambda x: functional.normalize(gap(x)) @ W.T,
    "a division by them": lambda x: W[:, 0] / gap(x)[:, :3],
    "a mask": lambda x: (gap(x) @ W.T).masked_fill(gap(x)[:, :3] < 0, 0.0),
    "a choice": lambda x: torch.where(gap(x)[:, :3] > 0, gap(x) @ W.T, 0.0),
    "a maximum": lambda x: x.amax((2, 3)) @ W.T,
    "the batch's own statistics": lambda x: normed(gap(x), training=True) @ W.T,
    "whole numbers": lambda x: gap(10 * x).long().double() @ W.T,
    "rounded down": lambda x: torch.div(gap(10 * x), 3, rounding_mode="floor") @ W.T,
    "bits": lambda x: gap(x).view(torch.int64).view(torch.float64) @ W.T,
    "softmax": lambda x: (gap(x) @ W.T).softmax(1),
}


def is_a_sum(network: Network) -> bool:
    sums, x = FollowingSums(), X.clone()
    with torch.no_grad(), following(sums, {Made.OF_ONE: x}):
        return sums.is_a_sum(network(x))


@pytest.mark.parametrize("name", SUMS)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=["no grad", "inference"])
def test_a_sum_is_known_and_is_one(name, mode):
    """What is lost with one channel does not depend on the others."""
    network = SUMS[name]
    with mode():
        assert is_a_sum(network)
        without, others = torch.ones(6, 1, 1).double(), torch.ones(6, 1, 1).double()
        without[2], others[[0, 4]] = 0, 0
        lost = network(X) - network(X * without)
        torch.testing.assert_close(
            network(X * others) - network(X * others * without), lost, atol=1e-6, rtol=0
        )


@pytest.mark.parametrize("name", NO_SUMS)
def test_what_is_none_is_not_taken_for_one(name):
    assert not is_a_sum(NO_SUMS[name])


@pytest.mark.parametrize(
    "read",
    [
        lambda x: bool(x.max() > 0),
        lambda x: x[0, 0, 0, 0].item(),
        lambda x: x.tolist(),
        lambda x: x.numpy(),
        lambda x: torch.equal(x, X),
        lambda x: x.nonzero().tolist(),
        lambda x: f"{x[0, 0, 0, 0]}",
    ],
)
def test_what_python_reads_is_noted(read):
    follow, x = Following(), X.clone()
    with torch.no_grad(), following(follow, {"x": x}):
        x.mean((2, 3))
        assert not follow.read
        read(x * 2)
    assert follow.read == {"x"}


def test_memory_that_is_used_again_is_another_source():
    follow = Following()
    with torch.no_grad(), following(follow, {"x": X.clone()}):
        for _ in range(20):
            assert not follow.of(torch.tensor(X.tolist()))


def test_what_is_cut_is_no_source_any_more():
    follow, x = Following(), X.clone()
    with torch.no_grad(), following(follow, {"x": x}):
        pooled = gap(x)
        assert follow.of(pooled + 1) == {"x"}
        follow.cut(pooled)
        assert not follow.of(pooled + 1)
        assert follow.of(gap(x)) == {"x"}
