"""GapNet: a small convolutional network whose head is global average pooling and a linear layer, so that CAM is exact.

As in the CIFAR-10 tutorial of class activation maps: it is trained from scratch in seconds to minutes on small images.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NoReturn

from jaxtyping import Float
from torch import Tensor, nn

from camscope.errors import InputError, ModelError
from camscope.libraries.info import ModelInfo

_WIDTH = 16
_WIDEST = 256
_GRID = 7
"""The last grid keeps at least so many positions along the shorter side, where the images have them."""


class GapNet(nn.Module):
    """Stages of two 3×3 convolutions with batch norm and ReLU; global average pooling; a linear layer.

    The stages are `stage1`, `stage2`, …; the maps are those of the last. A stage's stride is that of its first
    convolution.

    Args:
        classes: how many classes there are.
        channels: of the images: 1 for grey ones, 3 for RGB.
        widths: how many channels each stage puts out.
        strides: of each stage.

    Raises:
        InputError: if there are not as many widths as strides, or a number is below 1.
    """

    def __init__(
        self,
        classes: int,
        *,
        channels: int = 3,
        widths: Sequence[int] = (16, 32, 64),
        strides: Sequence[int] = (1, 2, 2),
    ) -> None:
        super().__init__()
        if len(widths) != len(strides) or not widths:
            raise InputError(
                f"A GapNet has a width and a stride for each stage; got {tuple(widths)} and {tuple(strides)}."
            )
        if min(classes, channels, *widths, *strides) < 1:
            raise InputError(
                f"A GapNet's numbers are at least 1; got {classes} classes, {channels} channels, "
                f"widths {tuple(widths)}, strides {tuple(strides)}."
            )
        given = channels
        for number, (width, stride) in enumerate(zip(widths, strides, strict=True), 1):
            self.add_module(f"stage{number}", _stage(given, width, stride))
            given = width
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flat = nn.Flatten()
        self.head = nn.Linear(given, classes)

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch class"]:
        """The logits."""
        for layer in self.children():
            x = layer(x)
        return x


def shape_for(size: tuple[int, int]) -> dict[str, list[int]]:
    """The widths and strides of a GapNet for images of this size.

    Each stage has twice the channels of the one before, up to 256. The image is halved as long as the last grid keeps
    seven positions a side, once at least: a grid of 4² for 8², 7² for 28², 12² for 48², 7² for 224².

    Args:
        size: (height, width) of the images, in pixels.
    """
    side, halvings = (min(size) + 1) // 2, 1
    while (side + 1) // 2 >= _GRID:
        side, halvings = (side + 1) // 2, halvings + 1
    strides = {1: [1, 2, 1], 2: [1, 2, 2]}.get(halvings, [2] * halvings)
    return {"widths": [min(_WIDTH << stage, _WIDEST) for stage in range(len(strides))], "strides": strides}


def trainable(name: str, *, classes: int, pretrained: bool, **shape: Any) -> tuple[Any, ModelInfo]:
    """An untrained GapNet; there are no published weights.

    Args:
        name: nothing stands behind `gapnet`.
        classes: how many classes there are.
        pretrained: of no account.
        shape: channels, widths and strides, see `GapNet`.
    """
    return GapNet(classes, **shape), ModelInfo(name="gapnet", untrained=True)


def create(name: str, *, pretrained: bool) -> NoReturn:
    """Refuse: without data a GapNet has no classes.

    Args:
        name: nothing stands behind `gapnet`.
        pretrained: of no account.

    Raises:
        ModelError: saying how to train one.
    """
    raise ModelError(
        "gapnet is a small network to be trained, and comes without weights: camscope train DATA --model gapnet. "
        "The folder of the run is then the model: --model runs/NAME."
    )


def _stage(channels: int, width: int, stride: int) -> nn.Sequential:
    """Twice convolution, batch norm, ReLU. A bias before a batch norm would do nothing."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False),
            norm1=nn.BatchNorm2d(width),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(width, width, 3, padding=1, bias=False),
            norm2=nn.BatchNorm2d(width),
            relu2=nn.ReLU(),
        )
    )
