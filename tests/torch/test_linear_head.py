"""Behind global average pooling and one linear layer the zoo collapses to a few maps (METHODS §1.0), and only there."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

import camscope
from camscope import AllClasses, Class
from tests.torch.nets import HAND_MADE, METHODS, Apply, Net, batch, gap_head, linear

CLASSES = [7, 281, 999]
RECTIFIED = {  # model → (target layer, classifier): the layer ends in a ReLU, so A ≥ 0
    "torchvision:resnet18": ("layer4", "fc"),
    "timm:resnet10t": ("layer4", "fc"),
    "torchvision:mobilenet_v2": ("features", "classifier.1"),
}
MODELS = {**RECTIFIED, "torchvision:densenet121": ("features", "classifier")}


def close(maps: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal to 1e-5 of the largest value."""
    scale = expected.abs().max()
    assert scale > 0
    torch.testing.assert_close(maps / scale, expected / scale, rtol=0, atol=1e-5)


def features_of(model: nn.Module, layer: str, x: torch.Tensor) -> torch.Tensor:
    """What is pooled, from a plain hook on a copy without in-place operations."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    seen = []
    model.get_submodule(layer).register_forward_hook(lambda _m, _i, out: seen.append(out.clone()))
    with torch.no_grad():
        model(x)
    return seen[0].relu()  # DenseNet's functional ReLU; nothing to do for the others


@pytest.fixture(scope="module", params=MODELS)
def case(request, zoo):
    """Model, explanation by every method, F, and the classifier's rows and biases."""
    model = zoo(request.param)
    layer, classifier = MODELS[request.param]
    x = batch(2, 3, 96, 96)
    e = camscope.explain(model, x, methods=METHODS, layers=layer, targets=CLASSES)
    head = model.get_submodule(classifier)
    return (
        request.param,
        e,
        features_of(model, layer, x),
        head.weight.detach()[CLASSES],
        head.bias.detach()[CLASSES],
    )


def weighted(weights: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    return torch.einsum("btk,bkhw->bthw", weights.expand(len(features), -1, -1), features)


def test_cam_is_the_classifiers_rows_on_what_is_pooled(case):
    _, e, features, w, _ = case
    close(e.maps("cam"), weighted(w, features))


def test_hirescam_is_cam_over_the_number_of_positions_and_with_the_bias_sums_to_the_logit(case):
    """Oracles 1 and 2."""
    _, e, features, w, b = case
    close(e.maps("hirescam"), weighted(w, features) / features[0, 0].numel())
    close(e.maps("hirescam").sum((2, 3)) + b, e.logits[:, CLASSES])


def test_layercam_keeps_the_positive_rows(case):
    _, e, features, w, _ = case
    close(e.maps("layercam"), weighted(w.relu(), features) / features[0, 0].numel())


def test_gradcam_and_xgradcam_are_cam_where_the_layer_ends_in_a_relu(case):
    name, e, features, w, _ = case
    for method in ("gradcam", "xgradcam"):
        expected = weighted(w, features) / features[0, 0].numel()
        if name in RECTIFIED:
            close(e.maps(method), expected)
        else:
            assert not torch.allclose(e.maps(method), expected, rtol=1e-2), (
                "DenseNet's layer is before its ReLU"
            )


def test_both_gradcam_plus_plus_have_their_closed_forms_where_the_layer_ends_in_a_relu(case):
    name, e, features, w, _ = case
    if name not in RECTIFIED:
        pytest.skip("signed activations")
    close(e.maps("gradcam++-official"), weighted(w.relu(), features) / features[0, 0].numel())
    contribution = w * features.mean((2, 3))[:, None]
    close(e.maps("gradcam++"), weighted(w.relu() / (2 + contribution), features))


def test_a_reader_is_told_that_these_maps_are_the_same(case):
    name, e, *_ = case
    said = any("cam, gradcam, hirescam, xgradcam are the same map" in note for note in e.notes)
    assert said == (name in RECTIFIED)


def test_all_thousand_classes_at_once_are_the_classes_one_at_a_time(zoo):
    model, x = zoo("torchvision:resnet18"), batch(1, 3, 96, 96)
    explainer = camscope.Explainer(model)
    everything = explainer(x, methods=["cam", *HAND_MADE], targets=AllClasses())
    assert everything.maps("gradcam").shape == (1, 1000, 3, 3)
    for index in (0, 1, 500, 999):
        one = explainer(x, methods=["cam", *HAND_MADE], targets=index)
        for key, maps in one.raw.items():
            torch.testing.assert_close(maps[:, 0], everything.raw[key][:, index], rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------------- other heads that are linear


def conv_head(*, pool_first: bool) -> nn.Sequential:
    conv = nn.Conv2d(12, 5, 1)
    with torch.no_grad():
        conv.weight.copy_(linear(12, 5, 3).weight[..., None, None])
    pool = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(nn.Dropout(0.5), *((pool, conv) if pool_first else (conv, pool)), nn.Flatten())


class MeanHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = linear(12, 5, 1)

    def forward(self, x):
        return self.fc(functional.dropout(x.mean([2, 3]), 0.5, self.training))


LINEAR_HEADS = {
    "1×1 convolution, then pooling": lambda: conv_head(pool_first=False),
    "pooling, then 1×1 convolution": lambda: conv_head(pool_first=True),
    "dropout before the linear layer": gap_head,
    "mean in the forward": MeanHead,
    "average pooling with a kernel": lambda: nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), linear(12, 5, 1)),
    "no bias": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5, bias=False)),
    "softmax after it": lambda: nn.Sequential(*gap_head(), nn.Softmax(1)),
    "one logit": lambda: gap_head(1),
}


@pytest.mark.parametrize("head", LINEAR_HEADS)
def test_hirescam_sums_to_the_logit_in_double_precision_behind_every_linear_head(head):
    """Oracle 2 to 1e-12, for every class, and CAM is had."""
    model = Net(LINEAR_HEADS[head]()).double().train()
    x = batch(2, 3, 16, 16, dtype=torch.float64)
    e = camscope.explain(
        model, x, methods=["cam", "hirescam", "gradcam"], layers="body", targets=AllClasses()
    )
    layer = next(m for m in reversed(list(model.head.modules())) if isinstance(m, (nn.Linear, nn.Conv2d)))
    bias = torch.zeros(5, dtype=x.dtype) if layer.bias is None else layer.bias.detach()
    bias = torch.cat([-bias, bias]) if head == "one logit" else bias
    torch.testing.assert_close(e.maps("hirescam").sum((2, 3)) + bias, e.logits, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(e.maps("cam") / 16, e.maps("hirescam"), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(e.maps("gradcam"), e.maps("hirescam"), rtol=1e-12, atol=1e-12)


def test_cam_of_a_probability_and_of_a_callable_is_their_derivative_by_the_pooled_features():
    model, x = Net(gap_head()).double().eval(), batch(2, 3, 16, 16, dtype=torch.float64)
    targets = [Class(2, "probability"), Class(2, "log-probability"), -Class(1), lambda z: z[:, 0] * z[:, 1]]
    e = camscope.explain(model, x, methods=["cam"], layers="body", targets=targets)
    A = model.body(model.stem(x)).detach()
    pooled = A.mean((2, 3)).requires_grad_()
    z = model.head[-1](pooled)
    scores = [z.softmax(1)[:, 2], z.log_softmax(1)[:, 2], -z[:, 1], z[:, 0] * z[:, 1]]
    for t, score in enumerate(scores):
        (w,) = torch.autograd.grad(score.sum(), pooled, retain_graph=True)
        torch.testing.assert_close(e.maps()[:, t], (w[..., None, None] * A).sum(1), rtol=1e-9, atol=1e-12)


def test_a_classifier_of_zeros_is_explained_as_flat_not_refused(untouched):
    model = Net()
    nn.init.zeros_(model.head[-1].weight)
    with untouched(model):
        e = camscope.explain(model, batch(2, 3, 16, 16), methods=["cam", "gradcam"], targets=[0, 1])
    assert e.layers == ("body",)
    assert {s for row in e.status["gradcam", "body"] for s in row} <= {"flat", "no-gradient"}
    assert not e.heatmaps("gradcam").any()
    assert not e.maps("cam").any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_head_in_half_precision_is_recognised_and_close_to_single_precision(dtype):
    model, x = Net(gap_head()).eval(), batch(2, 3, 16, 16)
    single = camscope.explain(model, x, methods=["cam", "gradcam"], targets=[0, 1, 2])
    half = camscope.explain(copy.deepcopy(model).to(dtype), x, methods=["cam", "gradcam"], targets=[0, 1, 2])
    for method in ("cam", "gradcam"):
        assert half.maps(method).dtype == torch.float32
        error = (half.maps(method) - single.maps(method)).abs().max() / single.maps(method).abs().max()
        assert error < 8 * torch.finfo(dtype).eps


# ---------------------------------------------------------------------- heads that only look linear


class Concatenated(nn.Module):
    """Average and maximum side by side (fastai's head)."""

    def __init__(self, repeat: bool = False):
        super().__init__()
        self.fc, self.repeat = linear(24, 5, 1), repeat

    def forward(self, x):
        mean = x.mean((2, 3))
        return self.fc(torch.cat([mean, mean if self.repeat else x.amax((2, 3))], 1))


class NormBefore(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.fc = nn.LayerNorm(12), linear(12, 5, 1)

    def forward(self, x):
        return self.fc(self.norm(x.mean((2, 3))))


class MaxAndMeanOfLogits(nn.Module):
    """The classifier at every position, then the maximum."""

    def __init__(self):
        super().__init__()
        self.fc = linear(12, 5, 1)

    def forward(self, x):
        return self.fc(x.flatten(2).mT).amax(1)


class Skips(nn.Module):
    """The classifier is GAP + linear on the layer, and something else is added to what it says."""

    def __init__(self):
        super().__init__()
        self.fc = linear(12, 5, 1)

    def forward(self, x):
        return self.fc(x.mean((2, 3))) + x[:, :5, 0, 0]


NOT_LINEAR = {
    "maximum pooling": lambda: nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), linear(12, 5, 1)),
    "LayerNorm after the pooling": NormBefore,
    "a scale after the linear layer": lambda: nn.Sequential(*gap_head(), Apply(lambda z: z * 1.1)),
    "a temperature learnt after it": lambda: nn.Sequential(*gap_head(), Apply(lambda z: z / 0.9)),
    "a scale that rounding does not explain": lambda: nn.Sequential(
        *gap_head(), Apply(lambda z: z * (1 + 1e-8))
    ),
    "features that rounding does not explain": lambda: nn.Sequential(
        Apply(lambda x: x * (1 + 4e-9)), *gap_head()
    ),
    "average and maximum pooling side by side": Concatenated,
    "the average twice, side by side": lambda: Concatenated(repeat=True),
    "a ReLU after the linear layer": lambda: nn.Sequential(*gap_head(), nn.ReLU()),
    "the maximum over the classifier's positions": MaxAndMeanOfLogits,
    "something added to the logits": Skips,
    "the square of the features": lambda: nn.Sequential(Apply(torch.square), *gap_head()),
    "pooling of a part": lambda: nn.Sequential(Apply(lambda x: x[..., 1:]), *gap_head()),
    "two linear layers": lambda: nn.Sequential(*gap_head(12), nn.ReLU(), linear(12, 5, 4)),
}


@pytest.mark.parametrize("head", NOT_LINEAR)
def test_heads_that_only_look_linear_fool_nobody(head):
    """The gradient is autograd's own, and CAM is refused with the methods that work."""
    model, x = Net(NOT_LINEAR[head]()).double().eval(), batch(2, 3, 16, 16, dtype=torch.float64)
    e = camscope.explain(model, x, methods="hirescam", layers="body", targets=2)
    A = model.body(model.stem(x)).detach().requires_grad_()
    (g,) = torch.autograd.grad(model.head(A)[:, 2].sum(), A)
    torch.testing.assert_close(e.maps()[:, 0], (g * A).sum(1).detach(), rtol=1e-9, atol=1e-12)
    with pytest.raises(camscope.MethodError, match=r"cam needs a head.*'body'.*'gradcam' or 'hirescam'"):
        camscope.explain(model, x, methods=["gradcam", "cam"], layers="body")


def test_cam_on_an_earlier_layer_is_refused():
    with pytest.raises(camscope.MethodError, match=r"behind 'stem' that is not so"):
        camscope.explain(Net(), batch(1, 3, 16, 16), methods="cam", layers="stem")


def test_logits_picked_out_or_reordered_are_not_taken_for_the_classifiers():
    model, x = Net().double().eval(), batch(2, 3, 16, 16, dtype=torch.float64)
    reversed_ = camscope.explain(model, x, methods="hirescam", targets=0, output=lambda z: z.flip(1))
    straight = camscope.explain(model, x, methods="hirescam", targets=4)
    torch.testing.assert_close(reversed_.maps(), straight.maps())


@pytest.mark.parametrize(
    "head",
    [
        nn.Sequential(*gap_head(1), nn.Flatten(0)),
        nn.Sequential(nn.Flatten(2), Apply(lambda x: x.mT), linear(12, 5, 1), Apply(lambda z: z.mean(1))),
    ],
    ids=["one logit, squeezed to (b,)", "linear layer at every position, then the mean"],
)
def test_cam_is_had_behind_every_linear_head(head):
    camscope.explain(Net(head), batch(2, 3, 16, 16), methods="cam", layers="body", targets=0)
