"""Every method and named composition × ten kinds of model: a finite map of the right shape, or a reason.

`REFUSES` is the table: which method refuses which models, and with which words. Every cell that is not in it gives a
map. The models are the architectures of the libraries, narrow and small, with random weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
import timm
import torch
import torchvision
from timm.models.resnet import BasicBlock, ResNet
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torchvision.models.vgg import make_layers

import camscope
from tests.torch.conftest import _untouched as untouched
from tests.torch.nets import Net, batch, gap_head, mlp_head

pytestmark = pytest.mark.filterwarnings("ignore::camscope.CamscopeWarning")

CLASSES = 7
TARGETS = [1, 4]


# ---------------------------------------------------------------------- the models


@dataclass(frozen=True)
class Subject:
    """A model and the shapes its maps have.

    Attributes:
        build: makes it.
        size: of the input.
        last: the grid of the layer that is chosen.
        finest: the grid of a map fused over the stages.
        patches: the grid of attention maps.
        named: whether its library is recognised, and with it the value that black has in its input.
    """

    build: Callable[[], nn.Module]
    size: tuple[int, ...]
    last: tuple[int, ...]
    finest: tuple[int, ...]
    patches: tuple[int, ...] = ()
    named: bool = True


def vgg11() -> nn.Module:
    features = make_layers([8, "M", 12, "M", 16, 16, "M", 16, 16, "M", 16, 16, "M"])
    model = torchvision.models.VGG(features, num_classes=CLASSES)
    model.classifier[0], model.classifier[3] = nn.Linear(16 * 49, 20), nn.Linear(20, 20)
    model.classifier[6] = nn.Linear(20, CLASSES)
    return model


def densenet121() -> nn.Module:
    return torchvision.models.DenseNet(2, (6, 12, 24, 16), num_init_features=4, num_classes=CLASSES)


def vit(**options: Any) -> nn.Module:
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 4, "num_heads": 3, **options}
    return VisionTransformer(num_classes=CLASSES, **small)


def swin() -> nn.Module:
    small: dict[str, Any] = {"img_size": 32, "patch_size": 2, "window_size": 4, "embed_dim": 12}
    return SwinTransformer(num_classes=CLASSES, depths=(2, 2), num_heads=(2, 4), **small)


SUBJECTS = {
    "ResNet-18": Subject(
        lambda: ResNet(BasicBlock, (2, 2, 2, 2), channels=(8, 12, 16, 24), num_classes=CLASSES),
        (96, 96), (3, 3), (24, 24),
    ),
    "DenseNet-121": Subject(densenet121, (96, 96), (3, 3), (24, 24)),
    "VGG-11": Subject(vgg11, (96, 96), (6, 6), (48, 48)),
    "MobileNetV3": Subject(
        lambda: torchvision.models.mobilenet_v3_small(width_mult=0.25, num_classes=CLASSES),
        (96, 96), (3, 3), (24, 24),
    ),
    "ConvNeXt": Subject(
        lambda: timm.create_model("convnext_atto", dims=(8, 12, 16, 24), num_classes=CLASSES),
        (96, 96), (3, 3), (24, 24),
    ),
    "ViT, CLS": Subject(vit, (32, 32), (4, 4), (4, 4), (4, 4)),
    "ViT, registers": Subject(lambda: vit(reg_tokens=4), (32, 32), (4, 4), (4, 4), (4, 4)),
    "Swin": Subject(swin, (32, 32), (8, 8), (16, 16)),
    "1D CNN": Subject(lambda: Net(gap_head(CLASSES, dims=1), dims=1), (64,), (16,), (32,), named=False),
    "3D CNN": Subject(
        lambda: Net(gap_head(CLASSES, dims=3), dims=3), (16, 16, 16), (4, 4, 4), (8, 8, 8), named=False
    ),
}  # fmt: skip

CNNS = {"ResNet-18", "DenseNet-121", "VGG-11", "MobileNetV3", "ConvNeXt", "1D CNN", "3D CNN"}
VITS = {"ViT, CLS", "ViT, registers"}
EVERY = set(SUBJECTS)


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    """A fresh model in eval mode, with statistics and a classifier as after training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.bias, std=0.2)
                nn.init.uniform_(module.weight, 0.5, 1.5)
            if isinstance(module, nn.LayerNorm):
                nn.init.normal_(module.bias, std=0.2)
                nn.init.uniform_(module.weight, 0.5, 1.5)
            if isinstance(module, nn.Linear) and module.out_features == CLASSES:
                nn.init.normal_(module.weight, std=0.3)
    return model.eval()


@cache
def explainer(name: str) -> camscope.Explainer:
    """One for each model, so that it is looked at once."""
    return camscope.Explainer(seeded(SUBJECTS[name].build))


def inputs(name: str) -> torch.Tensor:
    return batch(2, 3, *SUBJECTS[name].size)


# ---------------------------------------------------------------------- the methods

CHEAPER = {
    "rise": "rise(n=32)",
    "opticam": "opticam(steps=3)",
    "scorecam": "scorecam(top=8)",
    "scorecam-paper": "scorecam-paper(top=8)",
    "scorecam-paper-logit": "scorecam-paper-logit(top=8)",
    "gscorecam": "gscorecam(top=8)",
    "groupcam": "groupcam(groups=8)",
    "sscam": "smooth(scorecam-paper(top=8), n=2)",
    "iscam": "path(scorecam-paper(top=8), baseline=zero, n=2)",
    "smoothgradcam++": "smooth(gradcam++, n=2, average=gradients)",
    "smooth-fullgrad": "smooth(fullgrad, n=2)",
    "cameras": "multiscale(hirescam, sizes=[1, 1.4, 2], at=input)",
}
"""The same with parameters that cost less."""

COMPOSITIONS = [
    "balanced(hirescam)",
    "smooth(gradcam, n=2)",
    "finer(layercam)",
    "rest(hirescam)",
    "path(gradcam, baseline=zero, n=2)",
    "fuse(gradcam, mean)",
]
METHODS = [*(m.name for m in camscope.list_methods()), *COMPOSITIONS]


def expression(method: str) -> str:
    return CHEAPER.get(method, method)


# ---------------------------------------------------------------------- the table


@dataclass(frozen=True)
class Refusal:
    """Who is refused, with which words, and what the message names that would do."""

    models: set[str]
    reason: str
    instead: str
    error: type[camscope.CamscopeError] = field(default=camscope.MethodError)


NO_ATTENTION = Refusal(CNNS, "No attention was seen", "gradcam, hirescam", camscope.ModelError)
WINDOWS = Refusal({"Swin"}, "attention within windows", "gradcam, hirescam", camscope.ModelError)
HEAD = Refusal(
    {"VGG-11", "MobileNetV3", "ConvNeXt", *VITS},
    "needs a head that is global average pooling and one linear layer",
    "('gradcam' or 'hirescam'|'ablationcam'): the same map wherever both exist",
)
FIXED_SIZE = Refusal(
    {"Swin", *VITS}, r"at \(45, 45\), a size it does not take", "hirescam alone", camscope.InputError
)
BLACK = Refusal({"1D CNN", "3D CNN"}, "what value black has", "baseline=zero", camscope.InputError)

REFUSES: dict[str, list[Refusal]] = {
    "cam": [HEAD],
    "liftcam": [HEAD],
    "rollout": [NO_ATTENTION, WINDOWS],
    "attention": [NO_ATTENTION, WINDOWS],
    "chefer": [NO_ATTENTION, WINDOWS],
    "legrad": [NO_ATTENTION, WINDOWS],
    "grad-eclip": [NO_ATTENTION, WINDOWS],
    "cameras": [FIXED_SIZE],
    "integrated-gradcam": [BLACK],
}
"""Every refusal there is. What is not here gives a map."""

MAY_BE_BLANK = {
    "guided-gradcam",  # its area is rectified
    "groupcam",  # no group raises the probability
    "pcam+", "pcam-", "pcam", "polycam+", "polycam-", "polycam",  # no channel is missed, or all sums are negative
    "refinecam", "layercam-fused", "zoomcam", "fuse(gradcam, mean)",  # made of rectified maps
    "integrated-gradcam", "path(gradcam, baseline=zero, n=2)",  # rectifies inside the sum
}  # fmt: skip
"""Methods that rectify on the way, so that a class with evidence against it alone has an empty map."""


def refusal(method: str, model: str) -> Refusal | None:
    return next((r for r in REFUSES.get(method, []) if model in r.models), None)


def expected_space(method: str, model: str) -> tuple[int, ...]:
    subject = SUBJECTS[model]
    if method in ("guided-gradcam", "fullgrad", "smooth-fullgrad", "rise", "cameras"):
        return subject.size
    if method in ("rollout", "attention", "chefer", "legrad", "grad-eclip"):
        return subject.patches
    return subject.finest if camscope_fuses(method) else subject.last


def camscope_fuses(method: str) -> bool:
    return method.startswith(("fuse", "polycam")) or method in ("layercam-fused", "refinecam", "zoomcam")


CELLS = [(method, model) for method in METHODS for model in SUBJECTS]
QUICK = {"ResNet-18", "ViT, CLS", "3D CNN"}


def test_the_table_is_of_methods_and_models_that_exist():
    assert set(REFUSES) | set(CHEAPER) | MAY_BE_BLANK <= set(METHODS)
    assert all(r.models <= EVERY for refusals in REFUSES.values() for r in refusals)


@pytest.mark.parametrize(
    ("method", "model"),
    [
        pytest.param(method, model, marks=[] if model in QUICK else pytest.mark.slow, id=f"{method}-{model}")
        for method, model in CELLS
    ],
)
def test_a_finite_map_of_the_right_shape_or_the_reason(method, model):
    explain, x = explainer(model), inputs(model)
    no = refusal(method, model)
    if no is not None:
        with pytest.raises(no.error, match=f"(?s){no.reason}.*{no.instead}"):
            explain(x, methods=expression(method), targets=TARGETS)
        return
    e = explain(x, methods=expression(method), targets=TARGETS)
    maps = e.maps()
    assert maps.shape == (2, len(TARGETS), *expected_space(method, model))
    assert maps.isfinite().all()
    assert e.heatmaps().shape == (2, len(TARGETS), *SUBJECTS[model].size)
    lows, highs = maps.flatten(2).amin(2), maps.flatten(2).amax(2)
    if method not in MAY_BE_BLANK:
        assert (lows < highs).all(), "a blank map"
    if (lows < highs).any():
        same = torch.equal(maps[:, 0], maps[:, 1])
        assert same != e.facts[e.methods[0]].class_specific, "whether the map knows the class"


# ---------------------------------------------------------------------- for every method on a CNN and on a ViT

WITNESSES = {
    "CNN": (lambda: Net(mlp_head(16)), (16, 16), "body.0"),
    "CNN, linear head": (lambda: Net(gap_head()), (16, 16), "body.0"),
    "ViT": (lambda: vit(img_size=16, depth=2), (16, 16), "blocks.1"),
}
"""How it is built, the size of its input, and a module in its middle."""

NEED_A_LINEAR_HEAD = {"cam", "liftcam", "cameras"}
"""`cameras` for other sizes, which a head of fixed size does not take."""

GIVEN = [
    (method, "CNN, linear head" if method in NEED_A_LINEAR_HEAD else "CNN")
    for method in METHODS
    if refusal(method, "3D CNN") is None
] + [(method, "ViT") for method in METHODS if refusal(method, "ViT, CLS") is None]


def witness(name: str) -> tuple[nn.Module, torch.Tensor]:
    """A fresh one, and a batch of two."""
    build, size, _ = WITNESSES[name]
    return seeded(build), batch(2, 3, *size)


class TroubleError(Exception):
    pass


class InterruptError(BaseException):
    """As Ctrl-C is: nothing may take it for a way that did not work and try another."""


def lived_in(model: nn.Module) -> nn.Module:
    """In the middle of somebody's work: training, one half frozen, gradients here and there."""
    model.train()
    modules = list(model.modules())
    for module in modules[::3]:
        module.training = False
    parameters = list(model.parameters())
    for parameter in parameters[::2]:
        parameter.requires_grad_(False)
    for parameter in parameters[1::4]:
        parameter.grad = torch.full_like(parameter, 3.0)
    return model


class Tripwire:
    """Counts the calls of a module, and raises at one of them."""

    def __init__(self, module: nn.Module) -> None:
        module.register_forward_pre_hook(self.called)
        self.arm(0, TroubleError)

    def arm(self, last: int, error: type[BaseException]) -> None:
        self.count, self.last, self.error = 0, last, error

    def called(self, *_: object) -> None:
        self.count += 1
        if self.last and self.count >= self.last:
            raise self.error


@pytest.mark.parametrize(("method", "model"), GIVEN)
def test_the_model_is_left_as_it_came_also_when_a_forward_raises(method, model):
    net, x = witness(model)
    wire = Tripwire(lived_in(net).get_submodule(WITNESSES[model][2]))
    before = x.clone()
    explainer = camscope.Explainer(net)
    with untouched(net):
        explainer(x, methods=expression(method), targets=TARGETS)
    assert torch.equal(x, before)
    wire.arm(
        0, TroubleError
    )  # what is found out about a model is found out: these are the method's own forwards
    explainer(x, methods=expression(method), targets=TARGETS)
    total = wire.count
    for last, error in ((1, TroubleError), (-(-total // 2), InterruptError), (total, TroubleError)):
        wire.arm(last, error)
        with untouched(net), pytest.raises(error):
            explainer(x, methods=expression(method), targets=TARGETS)


@pytest.mark.parametrize("model", WITNESSES)
def test_the_model_is_left_as_it_came_whichever_of_the_first_calls_forwards_raises(model):
    """The first call looks at the model too, in forwards of its own."""
    net, x = witness(model)
    wire = Tripwire(lived_in(net).get_submodule(WITNESSES[model][2]))
    camscope.Explainer(net)(x, methods="gradcam", targets=TARGETS)
    total = wire.count
    assert total > 2
    for last in range(1, total + 1):
        for error in (TroubleError, InterruptError):
            wire.arm(last, error)
            with untouched(net), pytest.raises(error):
                camscope.Explainer(net)(x, methods="gradcam", targets=TARGETS)


@pytest.mark.parametrize(("method", "model"), GIVEN)
def test_a_batch_of_two_is_one_by_one(method, model):
    if method == "random":
        pytest.skip("each image of a batch has a draw of its own")
    explain, x = double(model)
    together = explain(x, methods=expression(method), targets=TARGETS).maps()
    for i in range(2):
        alone = explain(x[i : i + 1], methods=expression(method), targets=TARGETS).maps()
        assert_close(alone[0], together[i])


@pytest.mark.parametrize(("method", "model"), GIVEN)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_works_frozen_and_without_grad(method, model, mode):
    explain, x = double(model)
    expected = explain(x, methods=expression(method), targets=TARGETS).maps()
    with mode():
        maps = double(model, frozen=True)[0](x, methods=expression(method), targets=TARGETS).maps()
    assert not maps.requires_grad
    assert_close(maps, expected)


@cache
def double(name: str, *, frozen: bool = False) -> tuple[camscope.Explainer, torch.Tensor]:
    """In double precision, with all parameters frozen or none."""
    model, x = witness(name)
    return camscope.Explainer(model.double().requires_grad_(not frozen)), x.double()


def assert_close(mine: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(mine, expected, rtol=1e-7, atol=1e-9 * max(1e-30, float(expected.abs().max())))


def test_refusals_speak_before_any_map_is_made_of_the_other_methods():
    """One method that is refused refuses the call: there is no half of an explanation."""
    with pytest.raises(camscope.MethodError, match=re.escape("cam needs a head")):
        explainer("VGG-11")(inputs("VGG-11"), methods=["gradcam", "cam"], targets=TARGETS)
