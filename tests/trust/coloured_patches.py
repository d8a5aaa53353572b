"""Photos with a patch of one of four colours, and networks that see which: the truth of where is the patch."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

import camscope

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0)}
SIDE = 32


def photo(colour, random):
    """A grey photo with a patch of a colour somewhere, and a smaller one of another colour elsewhere."""
    pixels = random.integers(110, 146, (SIDE, SIDE, 1)).repeat(3, 2).astype(np.uint8)
    other = random.choice([one for one in COLOURS if one != colour])
    corners = random.permutation(4)
    for one, side, corner in ((colour, 12, corners[0]), (other, 8, corners[1])):
        top, left = random.integers(0, SIDE // 2 - side + 1, 2) + SIDE // 2 * np.array(divmod(corner, 2))
        pixels[top : top + side, left : left + side] = COLOURS[one]
    return Image.fromarray(pixels)


def photos(count=60, colours=tuple(COLOURS), seed=0):
    """Photos of the colours in turn."""
    random = np.random.default_rng(seed)
    return [photo(colours[i % len(colours)], random) for i in range(count)]


def folders(home: Path, count=60, colours=tuple(COLOURS)):
    """The same as files, a folder for each colour; returns their paths."""
    for number, (one, colour) in enumerate(zip(photos(count, colours), colours * count, strict=False)):
        (home / colour).mkdir(parents=True, exist_ok=True)
        one.save(home / colour / f"{number}.png")
    return sorted(home.rglob("*.png"))


class Patches(nn.Module):
    """How much of each colour there is: a convolution without weights to learn, a ReLU, pooling, a linear head."""

    preprocessing = camscope.Preprocessing(
        input_size=(SIDE, SIDE), resize=(SIDE, SIDE), crop="squash", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    )

    def __init__(self, fixed=False, one_logit=False):
        super().__init__()
        self.fixed = fixed
        self.class_names = ["green", "red"] if one_logit else list(COLOURS)
        self.colour = nn.Conv2d(3, 4, 4, stride=4)
        self.head = nn.Linear(4, 1 if one_logit else 4)
        seen = torch.tensor([[2.0, -2, -1], [-2, 2, -1], [-2, -2, 2], [1, 1, -2]])
        with torch.no_grad():
            self.colour.weight[:] = seen[:, :, None, None] / 48
            self.colour.bias[:] = torch.tensor([-0.5, -0.5, -0.5, -0.5])
            self.head.weight[:] = (torch.tensor([[1.0, -1, 0, 0]]) if one_logit else torch.eye(4)) * 60
            self.head.bias.zero_()

    def forward(self, x):
        assert not self.fixed or x.shape[-2:] == (SIDE, SIDE), "this model takes 32 × 32"
        return self.head(torch.relu(self.colour(x)).mean((2, 3)))


def model():
    """For the command."""
    return Patches().eval()


def explainer(**options):
    """Of a network."""
    net = Patches(**options).eval()
    return camscope.Explainer(net, preprocessing=net.preprocessing, class_names=net.class_names)
