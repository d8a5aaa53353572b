"""Taking channels away where they go side by side into a linear layer: no run of that layer, the same answers."""

import numpy as np
import pytest
import torch
from torch import nn

import camscope
from camscope.models.batch import Batch
from camscope.models.torch import TorchAdapter
from camscope.models.torch.hooks.state import explaining
from camscope.models.torch.reruns.flattened import find_flattened


class Net(nn.Module):
    """A convolution, whatever pools and flattens, and two linear layers."""

    def __init__(self, flatten: nn.Module, features: int, *, past: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(inplace=True))
        self.flatten = flatten
        self.first = nn.Linear(features, 7)
        self.relu = nn.ReLU(inplace=True)
        self.last = nn.Linear(7, 4)
        self.past = past

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = self.body(x)
        logits = self.last(self.relu(self.first(self.flatten(seen))))
        return logits + seen.mean((1, 2, 3))[:, None] if self.past else logits


class ChannelsLast(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


POOLED = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Dropout())
X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def found(net: Net):
    adapter = TorchAdapter(net.double().eval())
    layer = adapter.layer(Batch((X,)), "body")
    with explaining(net), torch.no_grad():
        return find_flattened(net, net, X[:1], adapter._plans.plan(Batch((X,)), layer))


def literal(net: Net, image: int, target: int) -> torch.Tensor:
    """w_k = (y − y_k) / |y|, each channel taken away in a forward of its own."""
    x = X[image : image + 1]
    with torch.no_grad():
        A, y = net.body(x), net(x)[0, target]
        weights = []
        for k in range(6):

            def without(_module, _inputs, output, k=k):
                output = output.clone()
                output[:, k] = 0
                return output

            handle = net.body.register_forward_hook(without)
            weights.append((y - net(x)[0, target]) / y.abs())
            handle.remove()
        return torch.einsum("k,khw->hw", torch.stack(weights), A[0])


@pytest.mark.parametrize(
    ("flatten", "each"),
    [(POOLED, 16), (nn.Flatten(), 64), (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), 1)],
)
@pytest.mark.parametrize("at_a_time", [32, 4], ids=["all channels at once", "a few at a time"])
def test_a_linear_layer_that_reads_the_channels_side_by_side_is_found_and_gives_the_literal_map(
    flatten, each, at_a_time, monkeypatch
):
    monkeypatch.setattr("camscope.models.torch.reruns.flattened._CHANNELS_AT_A_TIME", at_a_time)
    net = Net(flatten, 6 * each)
    assert (found(net).linear, found(net).each) == ("first", each)
    maps = camscope.explain(net, X, methods="ablationcam", layers="body", targets=[0, 3]).maps()
    for image in range(2):
        for t, target in enumerate((0, 3)):
            torch.testing.assert_close(maps[image, t], literal(net, image, target), rtol=1e-9, atol=1e-12)


def test_the_layer_itself_is_not_run_for_each_channel():
    net = Net(POOLED, 96).double().eval()
    explainer = camscope.Explainer(net)
    explainer(X, methods="ablationcam", layers="body")  # gets to know the model
    rows = []
    handle = net.first.register_forward_pre_hook(lambda _module, inputs: rows.append(len(inputs[0])))
    explainer(X, methods="ablationcam", layers="body")
    handle.remove()
    # the batch; three runs of the pooled vector, since the two linear layers might be one; the trial of the plan (two
    # altered copies, the whole model for all images at once, the plan for each); then for each image its features, the
    # trial of the shortcut (both ways), and the re-runs, in which the layer is answered for: its input is one channel's
    # shape
    assert rows == [2, 2, 2, 1, 2, 2, 2, 2, *[1, 4, 4, 7] * 2]


@pytest.mark.parametrize(
    ("net", "proposed"),
    [(Net(ChannelsLast(), 6 * 64), False), (Net(POOLED, 96, past=True), False)],
    ids=["channels last", "read elsewhere too"],
)
def test_where_it_would_not_be_exact_it_is_not_used_and_the_map_is_right_all_the_same(net, proposed):
    assert (found(net) is not None) == proposed
    maps = camscope.explain(net, X, methods="ablationcam", layers="body", targets=2).maps()
    torch.testing.assert_close(maps[1, 0], literal(net, 1, 2), rtol=1e-9, atol=1e-12)


def test_no_channel_taken_away_gives_the_score():
    net = Net(POOLED, 96)
    shortcut = found(net)
    with explaining(net), torch.no_grad():
        parts = shortcut.parts(net, net.forward, X[1:])
    outputs = parts.without(np.array([-1, 2, -1]))
    torch.testing.assert_close(outputs[[0, 2]], parts.output.expand(2, -1))
    assert not torch.allclose(outputs[1], parts.output[0])


class TwoHeads(nn.Module):
    """One head that reads no channels side by side, and one that does; a log-softmax ends both."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
        self.score, self.fc = nn.Conv2d(6, 4, 1), nn.Linear(6, 4)
        self.ends = nn.ModuleList([nn.LogSoftmax(1), nn.LogSoftmax(1)])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen = self.body(x)
        return self.ends[0](self.score(seen).mean((2, 3))), self.ends[1](self.fc(seen.mean((2, 3))))


def test_a_linear_layer_of_another_head_is_tried_and_not_used():
    net = TwoHeads().double()
    maps = camscope.explain(net, X, output=0, methods="ablationcam", layers="body", targets=2).maps()
    alone = nn.Sequential(net.body, net.score, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    expected = camscope.explain(alone, X, methods="ablationcam", layers="0", targets=2).maps()
    torch.testing.assert_close(maps, expected, rtol=1e-9, atol=1e-12)
