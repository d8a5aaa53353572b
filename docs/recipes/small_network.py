"""A tenth of a ResNet-18 for small pictures; like ResNet-18 and -34 it ends with 512 channels."""

from torch import nn


def small(pretrained=False, last_stride=2):
    """The network with fastai's kind of head on it, which `vision_learner` cuts off."""
    widen = nn.Sequential(
        nn.Conv2d(64, 512, 1, bias=False), nn.BatchNorm2d(512), nn.ReLU()
    )
    groups = [_group(3, 16, 2), _group(16, 32, 2), _group(32, 64, last_stride), widen]
    return nn.Sequential(
        *groups, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 2)
    )


def _group(channels, width, stride):
    """Two convolutions with batch norm and ReLU."""
    layers = []
    for given, step in ((channels, stride), (width, 1)):
        layers += [
            nn.Conv2d(given, width, 3, step, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)
