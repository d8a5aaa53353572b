"""The networks on which camscope and its peers must agree, and what the comparisons share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from skimage import data
from torch import nn

import camscope
from camscope.libraries import demo
from camscope.results.explanation import Explanation
from camscope.targets import Class, PerImage
from tests.torch.nets import explainer_of

TOLERANCE = 1e-5
"""Largest difference allowed between two maps, each scaled to [0, 1] at the layer's own resolution."""

TARGETS = [[7, 123], [40, 281]]
"""Two given classes for each of the two images: not the top ones, and not the same."""


@dataclass(frozen=True, eq=False)
class Net:
    model: nn.Module
    x: torch.Tensor
    prefix: int | None = None
    """How many tokens stand before the grid; None for a convolutional network."""

    def layer(self, name: str) -> nn.Module:
        return self.model.get_submodule(name)

    @property
    def reshape_transform(self) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """What the peers must be told about tokens (camscope finds it out)."""
        if self.prefix is None:
            return None

        def to_grid(tokens: torch.Tensor) -> torch.Tensor:
            grid = tokens[:, self.prefix :]
            side = round(grid.shape[1] ** 0.5)
            return grid.unflatten(1, (side, side)).permute(0, 3, 1, 2)

        return to_grid


LAYERS = {  # early, middle, last
    "resnet18": ("layer1", "layer2.1", "layer4"),
    "densenet121": ("features.denseblock1", "features.denseblock3", "features.denseblock4"),
    "vgg11": ("features.5", "features.10", "features.20"),
    "efficientnet": ("blocks.1", "blocks.3", "bn2"),
    "vit": ("blocks.0", "blocks.5", "blocks.11.norm1"),
}
"""EfficientNet carries ImageNet's weights; the others are seeded and random, which maths does not mind."""

CASES = [(net, layer) for net, layers in LAYERS.items() for layer in layers]

SIGNED = {"densenet121", "efficientnet", "vit"}
"""Networks with layers whose activations can be negative, where XGrad-CAM and Grad-CAM++ are not well defined."""


@cache
def net(name: str, dtype: torch.dtype = torch.float32) -> Net:
    """A network in eval mode with a batch of two. Shared by all tests: leave it as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = _build(name)
        noise = torch.randn(2, 3, 96, 96)
    x = photos() if name == "efficientnet" else noise
    return Net(model.eval().to(dtype), x.to(dtype), prefix=1 if name == "vit" else None)


def _build(name: str) -> nn.Module:
    import timm
    import torchvision

    if name == "efficientnet":
        return demo.create()[0]
    if name == "vit":
        model = timm.create_model("vit_tiny_patch16_224", img_size=96)
        nn.init.normal_(model.head.weight, std=0.1)  # timm starts it at zero, where nothing reaches the score
        return model
    model = torchvision.models.get_model(name, weights=None)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # as after training: shifts of either sign
            nn.init.normal_(module.bias, std=0.2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return model


def photos() -> torch.Tensor:
    """Two real photos, prepared as the demo model wants them."""
    preprocessing = camscope.Explainer("demo").preprocessing
    assert preprocessing is not None
    from camscope.images import to_photo

    return torch.from_numpy(np.stack([preprocessing(to_photo(p)) for p in (data.chelsea(), data.coffee())]))


def ours(net: Net, layer: str, methods: list[str], **options) -> Explanation:
    """camscope's maps for `TARGETS`: all methods in one call."""
    targets = PerImage([[Class(c) for c in row] for row in TARGETS])
    return explainer_of(net.model)(net.x, methods=methods, targets=targets, layers=layer, **options)


def columns() -> list[list[int]]:
    """`TARGETS` as the peers take them: one class per image at a time."""
    return [list(column) for column in zip(*TARGETS, strict=True)]


def by_autograd(case: Net, layer: str, classes: list[int] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations and the gradients of one class per image (`columns()[0]`), by plain PyTorch: what every library
    should have seen.

    The network goes on with a copy of a copy, so nothing that follows in place can reach what is kept.
    """
    kept: list[torch.Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        kept.append(output.detach().clone().requires_grad_())
        return kept[0].clone()

    handle = case.layer(layer).register_forward_hook(keep)
    try:
        score = case.model(case.x)[range(len(case.x)), columns()[0] if classes is None else classes].sum()
    finally:
        handle.remove()
    return kept[0].detach(), torch.autograd.grad(score, kept[0])[0]


def scaled(maps: torch.Tensor | np.ndarray, *, rectify: bool = True) -> np.ndarray:
    """ReLU, then minimum to maximum as [0, 1], each map by itself, in double precision; a flat map gives zeros."""
    maps = np.asarray(maps.detach() if isinstance(maps, torch.Tensor) else maps, dtype=np.float64)
    maps = np.maximum(maps, 0) if rectify else maps
    low, high = maps.min((-2, -1), keepdims=True), maps.max((-2, -1), keepdims=True)
    return (maps - low) / np.where(high > low, high - low, 1)


def assert_same(mine, theirs, *, rectify: bool = True, tolerance: float = TOLERANCE) -> None:
    """Two stacks of maps agree once scaled, and there was something to compare."""
    mine, theirs = scaled(mine, rectify=rectify), scaled(theirs, rectify=rectify)
    assert mine.shape == theirs.shape
    assert (mine.max((-2, -1)) == 1).any(), "every map is flat: nothing was compared"
    difference = np.abs(mine - theirs).max()
    assert difference <= tolerance, f"the maps differ by {difference:.2e}"


def differ_by(mine, theirs, *, rectify: bool = True) -> float:
    """Largest difference between the scaled maps."""
    return float(np.abs(scaled(mine, rectify=rectify) - scaled(theirs, rectify=rectify)).max())
