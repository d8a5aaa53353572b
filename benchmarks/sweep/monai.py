"""MONAI's classifiers and segmenters, of volumes and of images, small."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.networks import nets
from torch import nn

from benchmarks.sweep.rows import Candidate, Case, NotBuiltError, enliven, noise, settle

CLASSES = 3

Make = tuple[str, Callable[[int], nn.Module], int]
"""The task, the network of images of so many axes, and the length of a side."""

NETWORKS: dict[str, Make] = {
    "DenseNet121": ("classification", lambda d: nets.DenseNet121(d, 1, CLASSES), 64),
    "DenseNet": (
        "classification",
        lambda d: nets.DenseNet(d, 1, CLASSES, init_features=16, growth_rate=8, block_config=(2, 2, 2)),
        64,
    ),
    "EfficientNetBN": (
        "classification",
        lambda d: nets.EfficientNetBN(
            "efficientnet-b0", pretrained=False, spatial_dims=d, in_channels=1, num_classes=CLASSES
        ),
        96,
    ),
    "ResNet": (
        "classification",
        lambda d: nets.ResNet(
            "basic",
            [1, 1, 1, 1],
            [8, 16, 32, 64],
            spatial_dims=d,
            n_input_channels=1,
            num_classes=CLASSES,
            conv1_t_stride=2,
        ),
        64,
    ),
    "resnet18": (
        "classification",
        lambda d: nets.resnet18(spatial_dims=d, n_input_channels=1, num_classes=CLASSES),
        64,
    ),
    "SENet": (
        "classification",
        lambda d: nets.SENet(
            spatial_dims=d,
            in_channels=1,
            block="se_resnet_bottleneck",
            layers=[1, 1, 1, 1],
            groups=1,
            reduction=16,
            num_classes=CLASSES,
        ),
        64,
    ),
    "SEResNet50": (
        "classification",
        lambda d: nets.SEResNet50(spatial_dims=d, in_channels=1, num_classes=CLASSES),
        64,
    ),
    "SEResNext50": (
        "classification",
        lambda d: nets.SEResNext50(spatial_dims=d, in_channels=1, num_classes=CLASSES),
        64,
    ),
    "TorchVisionFCModel": (
        "classification",
        lambda d: nets.TorchVisionFCModel("resnet18", num_classes=CLASSES, pretrained=False),
        96,
    ),
    "ViT": (
        "classification",
        lambda d: nets.ViT(
            1,
            (64,) * d,
            (16 if d == 3 else 8,) * d,
            48,
            96,
            2,
            4,
            classification=True,
            num_classes=CLASSES,
            spatial_dims=d,
            post_activation=None,
        ),
        64,
    ),
    "Classifier": (
        "classification",
        lambda d: nets.Classifier((1, *(64,) * d), CLASSES, (8, 16, 32), (2, 2, 2)),
        64,
    ),
    "HighResNet": ("segmentation", lambda d: nets.HighResNet(d, 1, CLASSES), 32),
    "UNet": ("segmentation", lambda d: nets.UNet(d, 1, CLASSES, (8, 16, 32, 64), (2, 2, 2)), 64),
    "BasicUNet": ("segmentation", lambda d: nets.BasicUNet(d, 1, CLASSES, (8, 8, 16, 32, 64, 8)), 64),
    "BasicUNetPlusPlus": (
        "segmentation",
        lambda d: nets.BasicUNetPlusPlus(d, 1, CLASSES, (8, 8, 16, 32, 64, 8)),
        64,
    ),
    "AttentionUnet": ("segmentation", lambda d: nets.AttentionUnet(d, 1, CLASSES, (8, 16, 32), (2, 2)), 64),
    "DynUNet": (
        "segmentation",
        lambda d: nets.DynUNet(d, 1, CLASSES, [3, 3, 3], [1, 2, 2], [2, 2], filters=[8, 16, 32]),
        64,
    ),
    "FlexibleUNet": (
        "segmentation",
        lambda d: nets.FlexibleUNet(1, CLASSES, "efficientnet-b0", spatial_dims=d),
        64,
    ),
    "SegResNet": (
        "segmentation",
        lambda d: nets.SegResNet(d, init_filters=8, in_channels=1, out_channels=CLASSES),
        64,
    ),
    "SegResNetDS": (
        "segmentation",
        lambda d: nets.SegResNetDS(d, init_filters=8, in_channels=1, out_channels=CLASSES),
        64,
    ),
    "VNet": ("segmentation", lambda d: nets.VNet(d, 1, CLASSES), 32),
    "SwinUNETR": (
        "segmentation",
        lambda d: nets.SwinUNETR(in_channels=1, out_channels=CLASSES, feature_size=12, spatial_dims=d),
        64,
    ),
    "UNETR": (
        "segmentation",
        lambda d: nets.UNETR(
            1,
            CLASSES,
            (64,) * d,
            feature_size=8,
            hidden_size=48,
            mlp_dim=96,
            num_heads=4,
            spatial_dims=d,
        ),
        64,
    ),
    "MedNeXt": (
        "segmentation",
        lambda d: nets.MedNeXt(spatial_dims=d, init_filters=8, in_channels=1, out_channels=CLASSES),
        64,
    ),
    "DiNTS": ("segmentation", lambda d: _dints(d), 64),
    "Regressor": (
        "regression",
        lambda d: nets.Regressor((1, *(64,) * d), (2,), (8, 16, 32), (2, 2, 2)),
        64,
    ),
}


SIDES_OF_IMAGES = {
    "EfficientNetBN": 192,
    "FlexibleUNet": 128,
    "ResNet": 128,
    "SEResNet50": 160,
    "SEResNext50": 160,
    "TorchVisionFCModel": 224,
}
"""Of two axes: larger than a volume, so that more than four positions are left at the end."""


def candidates(library: str) -> list[Candidate]:
    """Every network in two and in three axes; the task is the family."""
    return [
        Candidate(library, task, f"{name} {axes}D")
        for name, (task, _, _) in NETWORKS.items()
        for axes in (2, 3)
    ]


def build(candidate: Candidate) -> Case:
    """The network, untrained, and one image or volume of one channel."""
    name, axes = candidate.name.removesuffix("D").split()
    _, make, side = NETWORKS[name]
    channels = 3 if name == "TorchVisionFCModel" else 1
    if axes == "2":
        side = SIDES_OF_IMAGES.get(name, side)
    try:
        model = make(int(axes)).eval()
        enliven(model)
        options: dict[str, Any] = {"task": "regression"} if candidate.family == "regression" else {}
        case = Case(model, noise(1, channels, *(side,) * int(axes)), options=options)
        settle(case)
        case.run()
    except (ValueError, TypeError, AssertionError, RuntimeError, NotImplementedError) as error:
        raise NotBuiltError(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
    return case


def _dints(axes: int) -> nn.Module:
    cells = nets.TopologyInstance(spatial_dims=axes, num_blocks=2, num_depths=2, device="cpu")
    torch.manual_seed(0)
    return nets.DiNTS(dints_space=cells, in_channels=1, num_classes=CLASSES, spatial_dims=axes)
