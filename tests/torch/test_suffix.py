"""Re-running the part after a layer: what comes out is what the whole model would say of the altered activations.

The reference runs the whole model again, with the output of the layer's last call replaced by a hook, in float64.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import camscope
from camscope.models.batch import Batch
from camscope.models.decoding import LogitsDecoder as OutputDecoder
from camscope.models.grid import Grid
from camscope.models.layer import Layer
from camscope.models.torch import TorchAdapter
from camscope.models.torch.hooks.modules import first_tensor, replace_first_tensor
from camscope.models.torch.hooks.state import explaining
from camscope.models.torch.reruns import rerun as rerun_module
from camscope.models.torch.reruns.planning import plan_suffix
from camscope.models.torch.reruns.suffix import Kept, Plan, keeping, replaying
from tests.torch.nets import Apply, Net, SharedReLU, batch, linear, mlp_head

EXACT = 1e-10
"""Of the largest change the alterations make. Both sides are float64."""


class Cut:
    """A model, a layer, a batch: the suffix as it was planned and what it needs of the batch."""

    def __init__(
        self,
        model: nn.Module,
        layer: str,
        x: torch.Tensor,
        *,
        output: Callable[[Any], torch.Tensor] | None = None,
    ) -> None:
        self.adapter = TorchAdapter(model, OutputDecoder(output))
        self.model, self.x = model, x
        self.layer: Layer = self.adapter.layer(Batch((x,)), layer)
        self.plan, self.kept, self.clean = self._kept()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.adapter.decoder.logits(self.model(x))

    def _kept(self) -> tuple[Plan, Kept, torch.Tensor]:
        with explaining(self.model), torch.no_grad():
            plan = plan_suffix(self.model, self.forward, self.x[:1], self.layer)
            kept = Kept(batch=len(self.x))
            with keeping(self.model, plan, kept):
                return plan, kept, self.forward(self.x)

    @property
    def activations(self) -> torch.Tensor:
        """What the layer's last call put out, `batch channel *space`."""
        return self.layer.grid.canonical(first_tensor(self.kept.own))

    def variants(self, image: int, count: int, seed: int = 0) -> torch.Tensor:
        """The image's activations, each time weakened at random positions and channels."""
        A = self.activations[image]
        generator = torch.Generator().manual_seed(seed + image)
        return A * torch.rand((count, *A.shape), generator=generator, dtype=A.dtype)

    def replayed(self, image: int, altered: torch.Tensor) -> torch.Tensor:
        inputs = torch.full_like(self.x[:1], torch.nan).expand(len(altered), *self.x.shape[1:])
        if self.plan.whole:
            inputs = self.x[image : image + 1].expand(len(altered), *self.x.shape[1:])
        again = replaying(self.model, self.plan, self.kept, image, altered)
        with explaining(self.model), torch.no_grad(), again:
            return self.forward(inputs)

    def naive(self, image: int, altered: torch.Tensor) -> torch.Tensor:
        """Every variant through the whole model, by itself."""
        module = self.model.get_submodule(self.layer.module)
        x = self.x[image : image + 1]
        outputs: list[Any] = []
        rows = []
        with explaining(self.model), torch.no_grad():
            looking = module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
            self.model(x)
            looking.remove()
            last = len(outputs)
            for one in altered:
                outputs.clear()

                def hook(_module: nn.Module, _inputs: Any, output: Any, one: torch.Tensor = one) -> Any:
                    outputs.append(output)
                    own = first_tensor(output)
                    new = self.layer.grid.embed(one[None], own).clone()
                    return replace_first_tensor(output, new) if len(outputs) == last else None

                handle = module.register_forward_hook(hook)
                rows.append(self.forward(x))
                handle.remove()
        return torch.cat(rows)

    def check(self, images: range | None = None, count: int = 2) -> None:
        """For each image, replayed is naive; and what was altered has changed the answer."""
        for image in range(len(self.x)) if images is None else images:
            altered = self.variants(image, count)
            before = altered.clone()
            found, expected = self.replayed(image, altered), self.naive(image, altered)
            close(found, expected, self.clean[image])
            assert torch.equal(altered, before), "the caller's array"

    @property
    def used(self) -> set[str]:
        return {stub.module for stub in self.plan.stubs if stub.used}

    @property
    def dead(self) -> set[str]:
        return {stub.module for stub in self.plan.stubs} - self.used


def close(found: torch.Tensor, expected: torch.Tensor, clean: torch.Tensor, tolerance: float = EXACT) -> None:
    assert found.shape == expected.shape
    change = (expected - clean).abs().max()
    assert change > 1e-6 * clean.abs().max(), "the alteration makes no difference: nothing is tested"
    assert (found - expected).abs().max() <= tolerance * change


def batch_of(size: int, count: int = 2, *, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return batch(count, 3, size, size, dtype=dtype)


# ------------------------------------------------------------------ networks of every kind


@pytest.fixture(scope="module")
def model_of() -> Callable[[str], nn.Module]:
    """A network of `MODELS` in float64, with weights that a trained one could have. Read only."""
    built: dict[str, nn.Module] = {}

    def get(name: str) -> nn.Module:
        if name not in built:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                built[name] = trained(MODELS[name]()).double().eval()
        return built[name]

    return get


def trained(model: nn.Module) -> nn.Module:
    """What training would change, so that every part of the network has a say."""
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    for name, parameter in model.named_parameters():
        if name.endswith((".gamma", "layer_scale")):  # ConvNeXt scales its branches by 1e-6 at first
            nn.init.uniform_(parameter, 0.2, 0.6)
        if name.endswith(("head.weight", "head.0.weight")):  # torchvision's ViT starts with a head of zeros
            nn.init.normal_(parameter, 0, 0.1)
    return model


def timm(name: str, **options: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        from timm import create_model

        return create_model(name, **options)

    return make


def torchvision(name: str, **options: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        from torchvision.models import get_model

        return get_model(name, weights=None, **options)

    return make


def vgg11() -> nn.Module:
    """Its convolutions with a smaller classifier, for the time's sake."""
    from torchvision.models.vgg import VGG, cfgs, make_layers

    model = VGG(make_layers(cfgs["A"]), num_classes=10)
    model.classifier = nn.Sequential(nn.Linear(512 * 49, 20), nn.ReLU(True), nn.Dropout(), nn.Linear(20, 10))
    return model


def torchvision_vit() -> nn.Module:
    from torchvision.models import VisionTransformer

    return VisionTransformer(64, 16, num_layers=3, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=10)


def torchvision_swin() -> nn.Module:
    from torchvision.models import SwinTransformer

    return SwinTransformer([4, 4], 24, [2, 2, 2], [1, 2, 4], [4, 4], num_classes=10)


VIT = {"img_size": 64, "depth": 3, "num_classes": 10}
MODELS = {
    "resnet18": torchvision("resnet18"),
    "densenet121": torchvision("densenet121"),
    "vgg11": vgg11,
    "mobilenet": torchvision("mobilenet_v3_small"),
    "convnext": timm("test_convnext"),
    "vit": timm("vit_tiny_patch16_224", **VIT),
    "vit with registers": timm("vit_tiny_patch16_224", **VIT, reg_tokens=4),
    "vit that averages": timm("vit_tiny_patch16_224", **VIT, class_token=False, global_pool="avg"),
    "torchvision's vit": torchvision_vit,
    "timm's swin": timm(
        "swin_tiny_patch4_window7_224",
        img_size=64,
        embed_dim=24,
        num_heads=(1, 2, 3, 4),
        depths=(1, 1, 2, 1),
        window_size=4,
    ),
    "torchvision's swin": torchvision_swin,
    "googlenet": torchvision("googlenet", init_weights=False, aux_logits=False),
    "inception": torchvision("inception_v3", init_weights=False),
    "efficientnet": timm("test_efficientnet"),
    "maxvit": timm("test_maxvit", img_size=64),
}
CUTS = [
    ("resnet18", "layer4"),
    ("resnet18", "layer3"),
    ("resnet18", "layer4.1.bn2"),  # what follows writes into its output, and a skip goes around it
    ("resnet18", "layer2.0.conv1"),
    ("resnet18", "layer3.1.relu"),  # called twice
    ("densenet121", "features+relu"),
    ("densenet121", "features.denseblock3.denselayer20.conv2"),
    ("vgg11", "features.20"),
    ("vgg11", "features.10"),
    ("mobilenet", "features.12"),
    ("mobilenet", "features.8.block.1"),
    ("convnext", "stages.2"),
    ("convnext", "stages.3.blocks.0.conv_dw"),
    ("vit", "blocks.2.norm1"),
    ("vit", "blocks.0"),
    ("vit with registers", "blocks.2.norm1"),
    ("vit that averages", "blocks.2"),
    ("torchvision's vit", "encoder.layers.encoder_layer_2.ln_1"),
    ("timm's swin", "layers.3.blocks.0.norm1"),
    ("timm's swin", "layers.2.blocks.0"),  # shifted windows follow
    ("torchvision's swin", "features.5.1.norm1"),
    ("torchvision's swin", "features.3"),
    ("googlenet", "inception4e"),
    ("googlenet", "inception5a.branch2"),
    ("inception", "Mixed_6e"),
    ("efficientnet", "blocks.1"),
    ("maxvit", "stages.1"),
]


@pytest.mark.parametrize(("name", "layer"), CUTS)
def test_the_suffix_says_what_the_whole_model_would(model_of, name, layer):
    """Given nothing of the input but NaN: all that comes from before the layer is what was kept of it."""
    cut = Cut(model_of(name), layer, batch_of(96 if name == "inception" else 64))
    assert not cut.plan.whole
    cut.check()


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_in_every_number_of_dimensions(dims):
    model = Net(mlp_head(4**dims), dims=dims).double().eval()
    cut = Cut(model, "stem", batch(3, 3, *(16,) * dims, dtype=torch.float64))
    assert not cut.plan.whole
    cut.check(count=3)


# ------------------------------------------------------------------ ways to write a forward


class LogitsDecoder(nn.Module):
    """Convolutions `one`, `two`, `three` with functions between them, and a linear head that is not pooled alone."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.one = nn.Conv2d(3, 6, 3, 2, 1)
            self.two = nn.Conv2d(6, 6, 3, 1, 1)
            self.three = nn.Conv2d(6, 6, 3, 1, 1)
        self.fc = linear(6, 4, 1)

    def end(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.tanh(x).mean((2, 3)))

    def forward(self, x: torch.Tensor) -> Any:
        h = functional.relu(self.one(x))
        return self.end(functional.relu(self.three(functional.relu(self.two(h)) + h)))


class FunctionsInPlace(LogitsDecoder):
    """What stands beside the layer is written into by functions in place."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.one(x)
        y = self.two(functional.relu(h))
        functional.relu_(h)
        h += y
        h.mul_(0.5)
        return self.end(self.three(h))


class AsksForTheBatch(LogitsDecoder):
    """The shape of the input is asked for before and after the layer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = torch.ones(x.shape[0], 1, 1, 1, dtype=x.dtype)
        h = functional.relu(self.two(functional.relu(self.one(x) * scale)))
        h = self.three(h * scale).view(x.shape[0], 6, -1)
        return self.fc(torch.tanh(h).mean(2))


class Twice(LogitsDecoder):
    """`two` is called twice; the last call counts."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.two(functional.relu(self.one(x)))
        return self.end(self.three(functional.relu(self.two(functional.relu(h)) + h)))


class Pair(nn.Module):
    """Puts out a tuple."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
        y = functional.relu(self.conv(x))
        return y, y.mean((2, 3), keepdim=True), y.shape[1]


class Tuples(LogitsDecoder):
    """The layer, and one before it, put out tuples, all of which is used."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Pair(self.one), Pair(self.two)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, mean, width = self.first(x)
        b, other, _ = self.second(a)
        return self.end(self.three(b * mean + other / width))


class Temperature(nn.Module):
    """A number that belongs to no image."""

    def forward(self) -> torch.Tensor:
        return torch.tensor(3.0, dtype=torch.float64)


class ScaledByANumber(LogitsDecoder):
    """What is kept has no batch axis."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = Temperature()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        t = self.temperature()
        return super().forward(x) * t


class Gated(LogitsDecoder):
    """A gate before the layer says, by a comparison, which positions after it count."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Apply(lambda x: functional.avg_pool2d(x.mean(1, keepdim=True), 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = self.gate(x)
        h = self.three(functional.relu(self.two(functional.relu(self.one(x)))))
        return self.end(h * (gate > 0))


class Indexed(LogitsDecoder):
    """Whole numbers from before the layer choose among weights after it."""

    def __init__(self) -> None:
        super().__init__()
        self.code = Apply(lambda h: h.mean((2, 3)).argmax(1))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            self.book = nn.Embedding(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = functional.relu(self.one(x))
        code = self.code(self.two(h))
        return self.fc(torch.tanh(self.three(h)).mean((2, 3)) * self.book(code))


class Positions(LogitsDecoder):
    """A table of positions, without a batch axis of its own, is added behind the layer."""

    def __init__(self) -> None:
        super().__init__()
        table = batch(1, 6, 8, 8, seed=5, dtype=torch.float64)
        self.table = Apply(lambda _: table)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        table = self.table(x)
        return self.end(self.three(functional.relu(self.two(functional.relu(self.one(x))))) + table)


class Windows(LogitsDecoder):
    """A module folds windows into the batch, before the layer and for after it."""

    def __init__(self) -> None:
        super().__init__()
        self.fold = Apply(
            lambda h: h.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).reshape(-1, 6, 4, 4)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = functional.relu(self.one(x))
        windows = self.fold(h)
        means = windows.mean((1, 2, 3)).view(x.shape[0], -1).mean(1)
        return self.end(self.three(functional.relu(self.two(h)))) * means[:, None]


class ReadsTheInput(LogitsDecoder):
    """The input itself is used behind the layer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + x.mean((2, 3)).repeat(1, 2)[:, :4]


WRITTEN = {
    "plain": (LogitsDecoder, "two"),
    "functions in place": (FunctionsInPlace, "two"),
    "asks for the batch": (AsksForTheBatch, "two"),
    "called twice": (Twice, "two"),
    "tuples": (Tuples, "second"),
    "a number": (ScaledByANumber, "two"),
    "a gate by comparison": (Gated, "two"),
    "whole numbers": (Indexed, "three"),
    "a table of positions": (Positions, "two"),
    "windows": (Windows, "two"),
    "one relu everywhere": (SharedReLU, "relu"),
    "one relu everywhere, a layer between": (SharedReLU, "two"),
}


@pytest.mark.parametrize("case", WRITTEN)
def test_however_the_forward_is_written(case):
    make, layer = WRITTEN[case]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = make().double().eval()
    cut = Cut(model, layer, batch_of(16, 3))
    assert not cut.plan.whole
    cut.check(count=4)


def test_the_input_itself_may_be_used_behind_the_layer():
    cut = Cut(ReadsTheInput().double().eval(), "two", batch_of(16, 3))
    for image in range(3):
        altered = cut.variants(image, 4)
        inputs = cut.x[image : image + 1].expand(4, -1, -1, -1)
        with torch.no_grad(), replaying(cut.model, cut.plan, cut.kept, image, altered):
            found = cut.model(inputs)
        close(found, cut.naive(image, altered), cut.clean[image])


# ------------------------------------------------------------------ what is kept


def test_only_what_the_rest_uses_is_kept(model_of):
    cut = Cut(model_of("resnet18"), "layer4.1.bn2", batch_of(64))
    assert cut.used == {"layer4.0"}  # the skip
    assert "layer3" in cut.dead
    assert {stub.module for stub in cut.kept.outputs} == {"layer4.0"}


def test_nothing_is_kept_where_the_layer_is_all_there_is(model_of):
    cut = Cut(model_of("vgg11"), "features.10", batch_of(32))
    assert cut.dead == {f"features.{i}" for i in range(10)}
    assert cut.kept.outputs == {}


def test_a_dense_block_keeps_each_layers_features(model_of):
    cut = Cut(model_of("densenet121"), "features.denseblock4.denselayer3.conv2", batch_of(64))
    block = "features.denseblock4.denselayer"
    assert cut.used == {"features.transition3", f"{block}1", f"{block}2"}


def test_what_is_dead_has_a_shape_but_no_memory():
    cut = Cut(Net().double().eval(), "body.2", batch_of(16))
    assert cut.dead == {"stem", "body.0", "body.1"}
    for stub in cut.plan.stubs:
        assert stub.shape.shape[0] == 1
        assert stub.shape.untyped_storage().nbytes() == stub.shape.element_size()


@pytest.mark.parametrize(
    "make", [Gated, Indexed, ScaledByANumber, Positions, Windows], ids=lambda m: m.__name__
)
def test_what_is_used_is_kept_however_it_is_used(make):
    """Comparisons, indices and numbers do not hand on a NaN; used they are all the same."""
    cut = Cut(make().double().eval(), "three" if make is Indexed else "two", batch_of(16))
    used = {
        Gated: {"gate"},
        Indexed: {"code"},
        ScaledByANumber: {"temperature", "one"},  # and the skip
        Positions: {"table"},
        Windows: {"fold"},
    }
    assert cut.used == used[make]


class Decides(LogitsDecoder):
    """Python looks at a number from before the layer, and goes one way or another."""

    def __init__(self) -> None:
        super().__init__()
        self.size = Apply(lambda x: x.abs().mean())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        big = bool(self.size(x) > 0.1)
        h = functional.relu(self.two(functional.relu(self.one(x))))
        return self.end(self.three(h) if big else h)


def test_what_python_looks_at_is_kept():
    cut = Cut(Decides().double().eval(), "two", batch_of(16))
    assert cut.used == {"size"}
    cut.check()


class Also(LogitsDecoder):
    """Returns features from before the layer beside its logits."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        h = self.one(x)
        return {"logits": self.end(self.three(functional.relu(self.two(h)))), "early": h}


def test_what_the_model_returns_beside_its_logits_is_kept():
    """A callable may make a target of it."""
    cut = Cut(Also().double().eval(), "two", batch_of(16, 3))
    assert cut.used == {"one"}
    altered = cut.variants(2, 3)
    with torch.no_grad(), replaying(cut.model, cut.plan, cut.kept, 2, altered):
        early = cut.model(cut.x[:1].expand(3, -1, -1, -1))["early"]
    with torch.no_grad():
        expected = cut.model(cut.x)["early"][2:].expand(3, -1, -1, -1)
    assert torch.equal(early, expected)


# ------------------------------------------------------------------ copies


def test_what_is_written_into_is_copied():
    cut = Cut(FunctionsInPlace().double().eval(), "two", batch_of(16, 3))
    assert cut.plan.copies
    for count in (1, 2, 5):  # one variant is a view of what was kept, and no error would tell
        cut.check(count=count)
        cut.check(count=count)


def test_nothing_is_copied_where_nothing_is_written_into(model_of):
    assert not Cut(model_of("resnet18"), "layer4.1.bn2", batch_of(64)).plan.copies


@pytest.mark.parametrize("make", [LogitsDecoder, FunctionsInPlace, Tuples, Windows], ids=lambda m: m.__name__)
def test_a_replay_leaves_no_trace_in_what_was_kept(make):
    """An image's re-run is the same whatever was re-run before it."""
    layer = "second" if make is Tuples else "two"
    cut = Cut(make().double().eval(), layer, batch_of(16, 3))
    altered = {image: cut.variants(image, 3) for image in range(3)}
    first = {image: cut.replayed(image, altered[image]) for image in (0, 1, 2)}
    again = {image: cut.replayed(image, altered[image]) for image in (2, 0, 1)}
    assert all(torch.equal(first[image], again[image]) for image in range(3))


# ------------------------------------------------------------------ where the suffix cannot be run by itself


class KeepsItsSkip(nn.Module):
    """Remembers its convolution's output for somebody else."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = self.conv(x)
        return functional.relu(self.seen)


class Stateful(LogitsDecoder):
    """The skip goes through an attribute of a module, not through what it returns."""

    def __init__(self) -> None:
        super().__init__()
        self.first = KeepsItsSkip(self.one)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.two(self.first(x))
        return self.end(self.three(functional.relu(h) + self.first.seen))


class Fitting(Stateful):
    """Likewise, and the state of any number of images fits any other: nothing but the numbers can tell."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.two(self.first(x))
        seen = self.first.seen
        return self.end(self.three(functional.relu(h) + seen[torch.arange(len(h)) % len(seen)]))


class Box:
    """A tensor inside an object that no tool can look into."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


class Boxed(LogitsDecoder):
    """A module before the layer puts out such an object."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Apply(lambda h: Box(functional.relu(h)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        box = self.first(self.one(x))
        return self.end(self.three(functional.relu(self.two(box.tensor)) + box.tensor))


class Refuses(LogitsDecoder):
    """Its own code refuses a batch that is not the input's, by an error of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        count = self.count(x) if hasattr(self, "count") else len(x)
        if count != len(x):
            raise KeyError(count)
        return super().forward(x)

    def __init__(self) -> None:
        super().__init__()
        self.count = Apply(len)


UNCUT = {"stateful": Stateful, "fitting": Fitting, "boxed": Boxed, "refuses": Refuses}


@pytest.mark.parametrize("case", UNCUT)
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_what_cannot_be_cut_runs_whole_and_is_right(case, count):
    """Also where the variants are as many as the images, when a state of the wrong image would fit."""
    cut = Cut(UNCUT[case]().double().eval(), "two", batch_of(16, 3))
    assert cut.plan.whole
    assert cut.plan.stubs == ()
    cut.check(count=count)


@pytest.mark.parametrize("case", UNCUT)
def test_running_whole_is_said(case):
    model = UNCUT[case]().double().eval()
    e = camscope.explain(model, batch_of(16), methods="ablationcam", layers="two", targets=1)
    (note,) = [note for note in e.notes if "cannot be run by itself" in note]
    assert "'two'" in note
    assert "the same maps, slower" in note
    whole = camscope.explain(
        LogitsDecoder().double().eval(), batch_of(16), methods="ablationcam", layers="two", targets=1
    )
    assert not any("cannot be run by itself" in note for note in whole.notes)


def test_a_stateful_models_map_is_that_of_the_same_model_without_a_state():
    class Passed(Stateful):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            skip = self.one(x)
            return self.end(self.three(functional.relu(self.two(functional.relu(skip))) + skip))

    call = {"methods": ["ablationcam", "reciprocam"], "layers": "two", "targets": [0, 3]}
    a, b = (camscope.explain(make().double().eval(), batch_of(16, 3), **call) for make in (Stateful, Passed))
    for key, maps in b.raw.items():
        torch.testing.assert_close(a.raw[key], maps, rtol=0, atol=1e-12)


# ------------------------------------------------------------------ each image its own


def test_each_image_is_re_run_with_its_own_past():
    """The skip is another for every image, and so is what the layer puts out for nothing at all."""
    cut = Cut(LogitsDecoder().double().eval(), "two", batch_of(16, 3))
    nothing = torch.zeros_like(cut.activations[:2])
    answers = [cut.replayed(image, nothing) for image in range(3)]
    for image, answer in enumerate(answers):
        close(answer, cut.naive(image, nothing), cut.clean[image])
        assert torch.equal(answer[0], answer[1])
    assert (answers[0] - answers[1]).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["ablationcam", "reciprocam", "reciprocam-gaussian", "vit-reciprocam"])
@pytest.mark.parametrize("make", [LogitsDecoder, FunctionsInPlace, Stateful], ids=lambda m: m.__name__)
def test_a_batch_is_its_images_one_by_one(name, make):
    model, x = make().double().eval(), batch_of(16, 3)
    explainer = camscope.Explainer(model)
    together = explainer(x, methods=name, layers="two", targets=[0, 2]).raw[name, "two"]
    for image in range(3):
        alone = explainer(x[image : image + 1], methods=name, layers="two", targets=[0, 2]).raw[name, "two"]
        torch.testing.assert_close(together[image : image + 1], alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["ablationcam", "reciprocam", "reciprocam-gaussian", "vit-reciprocam"])
def test_the_size_of_the_chunks_changes_nothing(name, monkeypatch):
    model, x = LogitsDecoder().double().eval(), batch_of(8, 2)  # 16 positions
    call = {"methods": name, "layers": "two", "targets": [0, 2]}
    whole = camscope.explain(model, x, **call).raw[name, "two"]
    sizes = []
    for size in (1, 3, 4):
        monkeypatch.setattr(
            "camscope.models.torch.further_passes.chunk_size",
            lambda *_, size=size: sizes.append(size) or size,
        )
        pieces = camscope.explain(model, x, **call).raw[name, "two"]
        torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-12)
    assert set(sizes) == {1, 3, 4}


def test_chunks_keep_to_the_memory_there_is():
    cpu = torch.device("cpu")
    assert rerun_module.chunk_size(2**10, cpu) == 512
    assert rerun_module.chunk_size(2**40, cpu) == 1
    for each in (0, 2**20, 2**22, 2**24):
        size = rerun_module.chunk_size(each, cpu)
        assert size == 512 or 4 * each * size <= rerun_module._BUDGET < 4 * each * (size + 1)


# ------------------------------------------------------------------ the model is left as it came


class TroubleError(Exception):
    pass


SUFFIX = ["ablationcam", "reciprocam", "vit-reciprocam"]


@pytest.mark.parametrize(
    "make", [LogitsDecoder, FunctionsInPlace, Stateful, Tuples], ids=lambda m: m.__name__
)
def test_the_model_is_left_as_it_came(make, untouched):
    model = make().double().train()
    layer = "three" if make is Tuples else "two"
    explainer = camscope.Explainer(model)
    if make is Stateful:
        model(batch_of(16))  # what it keeps of itself is its own affair; that it keeps something is not new
    with untouched(model):
        explainer(batch_of(16), methods=SUFFIX, layers=layer, targets=0)
    assert not any("forward" in vars(module) for module in model.modules())


@pytest.mark.parametrize("when", range(1, 12))
def test_also_when_an_exception_flies(when, untouched):
    """At whichever forward of the model it is raised: looking, planning, keeping, re-running."""
    runs = 0

    def trouble(x: torch.Tensor) -> torch.Tensor:
        nonlocal runs
        runs += 1
        if runs >= when:
            raise TroubleError
        return x

    model = LogitsDecoder().double()
    model.fc = nn.Sequential(Apply(trouble), model.fc)
    explainer = camscope.Explainer(model)
    with untouched(model):
        try:
            explainer(batch_of(16), methods=SUFFIX, layers="two", targets=0)
        except TroubleError:
            pass
        else:
            pytest.fail("all forwards were done before")
    assert not any("forward" in vars(module) for module in model.modules())


def test_a_forward_the_user_has_set_is_put_back():
    """An instance's own forward, as hooks of other tools leave it, is run and stays."""
    model, x = LogitsDecoder().double().eval(), batch_of(16)
    plain = camscope.explain(model, x, methods=SUFFIX, layers="two", targets=0)
    doubled = copy.deepcopy(model)
    for name in ("one", "two", "three"):
        with torch.no_grad():
            getattr(doubled, name).weight.mul_(2)
            getattr(doubled, name).bias.mul_(2)
    set_by_hand = {}
    for name in ("one", "two", "three"):
        module = getattr(model, name)
        own = module.forward
        module.forward = set_by_hand[name] = lambda x, own=own: 2 * own(x)
    found = camscope.explain(model, x, methods=SUFFIX, layers="two", targets=0)
    expected = camscope.explain(doubled, x, methods=SUFFIX, layers="two", targets=0)
    for name, forward in set_by_hand.items():
        assert vars(getattr(model, name))["forward"] is forward
    for key, maps in expected.raw.items():
        torch.testing.assert_close(found.raw[key], maps, rtol=1e-10, atol=1e-12)
        assert not torch.allclose(maps, plain.raw[key], rtol=1e-3)


@pytest.mark.parametrize("where", ["one", "two", "three"])
def test_the_users_hooks_run_and_what_they_change_is_changed_once(where):
    """Before the layer, at it, and behind it: activations are as they leave the user's hooks."""
    model, x = LogitsDecoder().double().eval(), batch_of(16)
    written_out = copy.deepcopy(model)
    with torch.no_grad():
        getattr(written_out, where).weight.mul_(2)
        getattr(written_out, where).bias.mul_(2)
    getattr(model, where).register_forward_hook(lambda _module, _inputs, output: 2 * output)
    call = {"methods": SUFFIX, "layers": "two", "targets": 0}
    found, expected = camscope.explain(model, x, **call), camscope.explain(written_out, x, **call)
    for key, maps in expected.raw.items():
        torch.testing.assert_close(found.raw[key], maps, rtol=1e-10, atol=1e-12)
    assert not any("cannot be run by itself" in note for note in found.notes)


def test_features_that_a_users_hook_collects_are_there():
    """Some models are written so: what later modules use is what hooks have put aside."""

    class Collecting(LogitsDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.seen: dict[str, torch.Tensor] = {}
            self.one.register_forward_hook(self.collect)

        def collect(self, _module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            self.seen["one"] = output

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.two(functional.relu(self.one(x)))
            return self.end(self.three(functional.relu(h) + self.seen["one"]))

    cut = Cut(Collecting().double().eval(), "two", batch_of(16, 3))
    assert not cut.plan.whole
    assert cut.used == {"one"}
    cut.check(count=3)


@pytest.mark.parametrize("outer", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("frozen", [True, False])
def test_under_any_grad_mode_frozen_or_not(outer, frozen):
    model, x = LogitsDecoder().double().eval(), batch_of(16)
    expected = camscope.explain(model, x, methods=SUFFIX, layers="two", targets=0)
    model.requires_grad_(not frozen)
    with outer():
        found = camscope.explain(model, x, methods=SUFFIX, layers="two", targets=0)
    for key, maps in expected.raw.items():
        assert torch.equal(found.raw[key], maps)
        assert not found.raw[key].requires_grad


def test_no_graph_is_built_by_a_re_run():
    model = LogitsDecoder().double().eval()
    graphs = []
    model.three.register_forward_hook(lambda _m, _i, output: graphs.append(output.requires_grad))
    camscope.explain(model, batch_of(16), methods=SUFFIX, layers="two", targets=0)
    assert graphs
    assert not any(graphs)


# ------------------------------------------------------------------ what it costs


def test_only_the_part_after_the_layer_runs():
    model, x = LogitsDecoder().double().eval(), batch_of(16, 2)
    explainer = camscope.Explainer(model)
    explainer(x, methods="reciprocam", layers="two", targets=0)  # planned once
    images = dict.fromkeys(("one", "two", "three"), 0)
    for name in images:
        forward = getattr(model, name).forward

        def counted(given: torch.Tensor, name=name, forward=forward) -> torch.Tensor:
            images[name] += len(given)
            return forward(given)

        getattr(model, name).forward = counted
    explainer(x, methods="reciprocam", layers="two", targets=[0, 1, 2])
    # the plan is tried on two altered copies of each image, against the whole model; then one re-run per position, for
    # all targets
    assert images == {"one": 2 + 2 * 2, "two": 2 + 2 * 2, "three": 2 + 2 * (2 + 2) + 2 * 64}


def test_a_layer_is_planned_once_for_each_size_of_the_input(monkeypatch):
    planned = []

    def plan(model, forward, image, layer):
        planned.append((layer.name, image.shape[2]))
        return plan_suffix(model, forward, image, layer)

    monkeypatch.setattr("camscope.models.torch.suffix_plans.plan_suffix", plan)
    explainer = camscope.Explainer(LogitsDecoder().double().eval())
    for size in (16, 16, 20, 16):
        explainer(batch_of(size), methods=SUFFIX, layers=["one", "two"], targets=0)
    assert sorted(planned) == [("one", 16), ("one", 20), ("two", 16), ("two", 20)]


def test_planning_takes_no_memory_for_each_pair_of_layers(model_of):
    """What is used is found in one run; nothing is repeated once for every module that could be."""
    model = model_of("vgg11")
    largest = 0

    def watch(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        nonlocal largest
        largest = max(largest, output.shape[0])

    with ExitStack() as hooks:
        for module in model.features:
            hooks.callback(module.register_forward_hook(watch).remove)
        Cut(model, "features.18", batch_of(64, 1))
    assert largest <= 5  # an image and its altered copies


# ------------------------------------------------------------------ half precision


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_precisions_replay_what_they_said(dtype):
    """The unaltered activations give back the model's own answer, to rounding."""
    model = LogitsDecoder().to(dtype).eval()
    cut = Cut(model, "two", batch_of(16, 3, dtype=dtype))
    assert not cut.plan.whole
    for image in range(3):
        answer = cut.replayed(image, cut.activations[image : image + 1].expand(4, -1, -1, -1).float())
        assert answer.dtype == dtype
        torch.testing.assert_close(
            answer.float(), cut.clean[image].float().expand(4, -1), rtol=0, atol=20 * torch.finfo(dtype).eps
        )


# ------------------------------------------------------------------ the grid, there and back


@st.composite
def grids(draw) -> Grid:
    layout = draw(st.sampled_from(["channels-first", "channels-last", "tokens", "tokens-last"]))
    space = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    prefix = draw(st.integers(0, 3)) if layout.startswith("tokens") else 0
    return Grid(layout, space, draw(st.integers(1, 5)), prefix)


def output_shape(grid: Grid, count: int) -> tuple[int, ...]:
    tokens = grid.prefix + int(np.prod(grid.space))
    return {
        "channels-first": (count, grid.channels, *grid.space),
        "channels-last": (count, *grid.space, grid.channels),
        "tokens": (count, tokens, grid.channels),
        "tokens-last": (count, grid.channels, tokens),
    }[grid.layout]


@given(grid=grids(), count=st.integers(1, 3), library=st.sampled_from(["numpy", "torch", "jax"]))
@settings(deadline=None, max_examples=60)
def test_embedding_is_the_inverse_of_taking_out(grid, count, library):
    convert: dict[str, Callable[[np.ndarray], Any]] = {
        "numpy": np.asarray,
        "torch": torch.from_numpy,
        "jax": as_jax,
    }
    shape = output_shape(grid, count)
    output = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    taken = grid.canonical(convert[library](output))
    assert tuple(taken.shape) == (count, grid.channels, *grid.space)
    np.testing.assert_array_equal(np.asarray(grid.embed(taken, convert[library](output))), output)
    # and the other way round: other activations, the prefix taken over
    other = convert[library](-np.asarray(taken) - 1)
    embedded = grid.embed(other, convert[library](output))
    np.testing.assert_array_equal(np.asarray(grid.canonical(embedded)), np.asarray(other))
    changed = np.asarray(embedded) != output
    axis = {"tokens": 1, "tokens-last": 2}.get(grid.layout)
    if axis is None:
        assert changed.all()
    else:
        prefix, patches = np.split(changed, [grid.prefix], axis=axis)
        assert patches.all()
        assert not prefix.any()


def as_jax(values: np.ndarray) -> Any:
    import jax.numpy as jnp

    return jnp.asarray(values)


def test_prefix_tokens_are_those_of_the_image(model_of):
    """With every patch set to zero, CLS and registers still are what they were, image by image."""
    cut = Cut(model_of("vit with registers"), "blocks.1", batch_of(64, 3))
    assert cut.layer.grid.prefix == 5
    nothing = torch.zeros_like(cut.activations[:1])
    for image in range(3):
        close(cut.replayed(image, nothing), cut.naive(image, nothing), cut.clean[image])


# ------------------------------------------------------------------ a closed form and the re-run are one


class Disguised(nn.Module):
    """A linear head that does not look like one: no module there is linear, and nothing is a pooling."""

    def __init__(self, head: nn.Linear) -> None:
        super().__init__()
        self.head = [head]  # no submodule

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        (head,) = self.head
        return torch.einsum("bchw,kc->bk", x, head.weight) / x[0, 0].numel() + head.bias


@pytest.mark.parametrize("name", ["ablationcam", "reciprocam", "reciprocam(of=logit)", "reciprocam-gaussian"])
@pytest.mark.parametrize("targets", [[0, 3], "-probability:2", "1 vs 2"], ids=str)
def test_behind_a_linear_head_the_closed_form_is_the_re_run(name, targets):
    open_, hidden = Net().double().eval(), Net().double().eval()
    hidden.head = Disguised(hidden.head[-1])
    assert isinstance(open_.head[-1], nn.Linear)
    x = batch_of(16, 3)
    call = {"methods": name, "layers": "body", "targets": targets}
    a, b = camscope.explain(open_, x, **call), camscope.explain(hidden, x, **call)
    (key,) = a.raw
    torch.testing.assert_close(a.raw[key], b.raw[key], rtol=0, atol=1e-10 * b.raw[key].abs().max())


def test_the_two_models_take_different_ways():
    """The linear head is seen in one and not in the other, or the test above would compare a thing with itself."""
    open_, hidden = Net().double().eval(), Net().double().eval()
    hidden.head = Disguised(hidden.head[-1])
    images = []
    for model in (open_, hidden):
        seen = []
        model.head.register_forward_hook(lambda _m, inputs, _o, seen=seen: seen.append(len(inputs[0])))
        explainer = camscope.Explainer(model)
        explainer(batch_of(16, 1), methods="ablationcam", layers="body", targets=0)
        seen.clear()
        explainer(batch_of(16, 1), methods="ablationcam", layers="body", targets=0)
        images.append(sum(seen))
    # the plan is tried on two altered copies, both ways; the head's formula by the plan on four
    assert images[0] == 1 + (2 + 2) + 4
    assert images[1] > 1 + (2 + 2) + 6
