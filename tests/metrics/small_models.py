"""Small models whose answers can be written down, and one that counts what it is asked."""

import torch
from torch import nn

import camscope


class Additive(nn.Module):
    """Σ over pixels of weight · x: a regression that is additive in pixels, and so in cells."""

    def __init__(self, weights):
        super().__init__()
        self.first = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.ones_(self.first.weight)
        self.weights = nn.Parameter(weights)

    def forward(self, x):
        return (self.first(x) * self.weights).sum((2, 3))


class Counting(nn.Module):
    """A classifier of a few classes, far from linear, which counts the inputs that it is run on."""

    def __init__(self, channels=2, classes=4, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.features = nn.Sequential(
            nn.Conv2d(channels, 6, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(6, 6, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.head = nn.Linear(6, classes)
        with torch.no_grad():
            self.head.weight.mul_(12)
        self.seen = 0

    def forward(self, x):
        self.seen += len(x)
        return self.head(self.features(x).mean((2, 3)))


def classifier(dtype=torch.float64, **options):
    """It, and its explainer."""
    net = Counting(**options).to(dtype).eval()
    return net, camscope.Explainer(net)
