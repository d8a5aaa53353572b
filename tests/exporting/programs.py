"""Small networks to be exported, and what their files should give."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import camscope
from camscope.engine.model import open_model
from camscope.evidence import Evidence, Need
from camscope.exporting.recipes import recipe_of
from camscope.methods import get_method
from camscope.models.map_programs import ProgramOutputs
from camscope.targets import PerImage
from tests.conftest import make_tiny_cnn
from tests.torch.nets import batch

TOP = 3
SIDE = 32


def trained(net: nn.Module, seed: int = 0) -> nn.Module:
    """Weights and statistics that a trained net could have, so that classes and maps differ."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2, generator=generator)
                module.running_var.uniform_(0.3, 0.9, generator=generator)
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                module.weight.normal_(0, 1.5 / module.weight[0].numel() ** 0.5, generator=generator)
    return net.eval()


class Residual(nn.Module):
    """Two blocks with skips, ReLUs in place, max pooling, and a stride that leaves a row over."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        )
        self.one = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.two = nn.Sequential(nn.Conv2d(8, 12, 3, stride=2, padding=1), nn.BatchNorm2d(12))
        self.down = nn.Conv2d(8, 12, 1, stride=2)
        self.fc = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = functional.relu_(self.one(x) + x)
        x = functional.relu_(self.two(x) + self.down(x))
        return self.fc(functional.adaptive_avg_pool2d(x, 1).flatten(1))


def vgg() -> nn.Module:
    """Max pooling, adaptive pooling to a size that does not divide the grid, and a flattened head."""
    features = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 10, 3, padding=1),
        nn.ReLU(),
    )
    head = [nn.Linear(90, 16), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(16, 5)]
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(3), nn.Flatten(), *head)


def densenet() -> nn.Module:
    from torchvision.models import DenseNet

    return DenseNet(growth_rate=4, block_config=(1, 1), num_init_features=8, bn_size=2, num_classes=5)


def vit() -> nn.Module:
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=SIDE, patch_size=8, embed_dim=24, depth=2, num_heads=2, num_classes=5, global_pool="avg"
    )


def mobilenet() -> nn.Module:
    from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3

    blocks = [
        InvertedResidualConfig(16, 3, 16, 16, True, "RE", 2, 1, 1),
        InvertedResidualConfig(16, 5, 24, 16, True, "HS", 1, 1, 1),
    ]
    return MobileNetV3(blocks, last_channel=24, num_classes=5)


@dataclasses.dataclass(frozen=True)
class Case:
    """A network, one of its layers, and the methods whose maps are held against camscope's there."""

    name: str
    make: Callable[[], nn.Module]
    layer: str | None
    methods: tuple[str, ...]


GRADIENT = ("gradcam", "hirescam", "layercam")

CASES = [
    Case("gap head", make_tiny_cnn, None, ("cam", *GRADIENT, "xgradcam", "liftcam")),
    Case("flattened head", vgg, "0.2", GRADIENT),
    Case("inside a residual network", Residual, "stem", (*GRADIENT, "gradcam-elementwise")),
    Case("densenet, with a relu of its own", densenet, None, ("cam", *GRADIENT)),
    Case("tokens", vit, "blocks.0", GRADIENT),
    Case("mobilenet", mobilenet, "features.1", GRADIENT),
]


def all_maps(methods: tuple[str, ...]) -> Callable[[Evidence], torch.Tensor]:
    """The maps of several methods side by side, so that one export holds them all."""
    return lambda evidence: torch.cat([get_method(name)(evidence) for name in methods], -1)


def written(case: Case, folder: Path) -> tuple[nn.Module, str, Callable[[Any], ProgramOutputs]]:
    """The network, the layer's name, and what runs an ONNX file with the maps of all methods of a case."""
    net = trained(case.make())
    model = open_model(net)
    with model.adapter.exclusive():
        two = model.adapter.batch(model.prepared(batch(2, 3, SIDE, SIDE))[1])
        recipe, _ = recipe_of(model, two, get_method(case.methods[-1]), case.layer, TOP)
        needs = frozenset[Need]().union(*(get_method(name).needs for name in case.methods))
        recipe = dataclasses.replace(recipe, maps=all_maps(case.methods), needs=needs)
        programs = model.adapter.programs()
        return net, recipe.layer.name, programs.write(two, recipe, folder / "model.onnx", {}).run


def explained(net: nn.Module, x: torch.Tensor, classes: np.ndarray, **options: Any) -> camscope.Explanation:
    """What camscope itself says of these classes."""
    return camscope.explain(net, x, targets=PerImage(classes.tolist()), **options)


def apart(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference of maps, in parts of each map's largest value."""
    size = np.abs(expected).reshape(*expected.shape[:2], -1).max(2)[..., None, None]
    assert (size > 0).all()
    return float((np.abs(found - expected) / size).max())
