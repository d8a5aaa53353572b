"""A model whose maps are known without running it, as a file for `FILE.py:FACTORY`.

Each cell of 4×4 pixels becomes its mean brightness, darkness (1 − brightness), redness and greenness. Pooled
and doubled, brightness is the logit of class 0, darkness of class 1, redness − greenness of class 2. So the CAM
of class 0 *is* the brightness of the cells.
"""

from __future__ import annotations

import torch
from torch import nn

from camscope import Preprocessing

SIDE = 64
SPEC = f"{__file__}:bright"
NAMES = ["bright", "dark, unlit", "red, ruddy"]


class Bright(nn.Module):
    """Layers: `cells` (convolution), `seen` (ReLU, 16×16, the one chosen), pooling, `head`."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.Conv2d(3, 4, 4, stride=4)
        self.seen = nn.ReLU()
        self.head = nn.Linear(4, 3, bias=False)
        with torch.no_grad():
            each = torch.tensor([[1.0, 1, 1], [-1, -1, -1], [2, -1, -1], [-1, 2, -1]]) / 3
            self.cells.weight.copy_((each / 16)[:, :, None, None].expand(4, 3, 4, 4))
            self.cells.bias.copy_(torch.tensor([0.0, 1, 0, 0]))
            self.head.weight.copy_(torch.tensor([[2.0, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, -2]]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.seen(self.cells(x)).mean((2, 3)))


def bare() -> nn.Module:
    """It does not say how its photos are prepared, nor its classes."""
    return Bright().eval()


def bright() -> nn.Module:
    """It carries both, as a model of one's own may."""
    model = bare()
    model.preprocessing = Preprocessing(input_size=(SIDE, SIDE), resize=72, mean=(0.0,) * 3, std=(1.0,) * 3)
    model.class_names = NAMES
    return model


ready = bright()
thing = 5


def needs_argument(n: int) -> nn.Module:
    return bare()


def returns_number() -> int:
    return 3


def boom() -> nn.Module:
    raise RuntimeError("I broke")
