"""Backwards written as forward operations are what autograd computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

from camscope.models.torch.exporting.decompositions import PooledContiguously, backwards_as_forwards
from camscope.models.torch.hooks.session import overriding
from tests.torch.nets import batch

LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "a stride that leaves a row over": (nn.Conv2d(4, 6, 3, stride=2), (2, 4, 8, 9)),
    "dilation, groups, padding": (nn.Conv2d(4, 8, 3, padding=2, dilation=2, groups=2), (2, 4, 9, 8)),
    "one axis": (nn.Conv1d(4, 6, 5, stride=3, padding=1), (2, 4, 20)),
    "three axes": (nn.Conv3d(2, 3, 3, stride=2, padding=1), (2, 2, 6, 7, 8)),
    "a transposed convolution": (
        nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1),
        (2, 4, 5, 6),
    ),
    "adaptive, not dividing": (nn.AdaptiveAvgPool2d((3, 4)), (2, 4, 8, 9)),
    "adaptive, larger than the grid": (nn.AdaptiveAvgPool2d(7), (2, 4, 3, 5)),
    "adaptive, without a batch": (nn.AdaptiveAvgPool2d(3), (4, 8, 7)),
    "adaptive, three axes": (nn.AdaptiveAvgPool3d(2), (2, 4, 5, 4, 3)),
    "average": (nn.AvgPool2d(2), (2, 4, 8, 9)),
    "average, overlapping and padded": (nn.AvgPool2d(3, 2, 1), (2, 4, 8, 9)),
    "average, padding not counted": (nn.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 4, 8, 9)),
    "average, over the edge": (nn.AvgPool2d(3, 2, 1, ceil_mode=True), (2, 4, 8, 9)),
    "average, another divisor": (nn.AvgPool2d(3, 2, divisor_override=5), (2, 4, 8, 9)),
    "average, one axis": (nn.AvgPool1d(3, 2, 1), (2, 4, 9)),
    "average, three axes": (nn.AvgPool3d(2, (2, 1, 2)), (2, 4, 4, 5, 6)),
    "maximum": (nn.MaxPool2d(3, 2, 1), (2, 4, 8, 9)),
    "batch norm": (nn.BatchNorm2d(4).eval(), (2, 4, 8, 9)),
    "layer norm": (nn.LayerNorm(9), (2, 4, 9)),
    "group norm": (nn.GroupNorm(2, 4), (2, 4, 8, 9)),
    "gelu": (nn.GELU(), (2, 4, 9)),
    "hardswish": (nn.Hardswish(), (2, 4, 9)),
    "softmax": (nn.Softmax(1), (2, 4, 9)),
}


@pytest.mark.parametrize(("layer", "shape"), LAYERS.values(), ids=LAYERS)
def test_the_gradient_by_the_input_is_autograds(layer, shape):
    x, another = batch(*shape), batch(*shape, seed=2)
    layer.requires_grad_(False)

    def gradient(x: torch.Tensor) -> torch.Tensor:
        x = x.detach().requires_grad_()
        y = layer(x)
        sent = torch.linspace(-1, 1, y.numel()).reshape(y.shape)
        return torch.autograd.grad((y * sent).sum(), x)[0]

    graph = make_fx(gradient, decomposition_table=backwards_as_forwards(), _allow_non_fake_inputs=True)(x)
    called = {str(node.target) for node in graph.graph.nodes}
    assert not {name for name in called if "backward" in name}
    torch.testing.assert_close(graph(another), gradient(another), rtol=1e-4, atol=1e-5)


def test_a_mean_over_channels_last_needs_no_strides():
    """ConvNeXt pools from memory with its channels last."""

    def gradient(x: torch.Tensor) -> torch.Tensor:
        x = x.detach().requires_grad_()
        pooled = functional.adaptive_avg_pool2d(x.permute(0, 3, 1, 2), 1)
        return torch.autograd.grad((pooled**2).sum(), x)[0]

    def called() -> set[str]:
        graph = make_fx(gradient, decomposition_table=backwards_as_forwards(), tracing_mode="symbolic")(x)
        return {str(node.target) for node in graph.graph.nodes}

    x = batch(2, 5, 6, 4)
    assert any("as_strided" in name for name in called())
    with overriding(PooledContiguously()):
        assert not any("as_strided" in name for name in called())
