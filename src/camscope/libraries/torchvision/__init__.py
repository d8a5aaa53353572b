"""torchvision: its classifiers, segmenters and detectors."""

from camscope.libraries.torchvision.zoo import create, recognise, trainable

__all__ = ["create", "recognise", "trainable"]
