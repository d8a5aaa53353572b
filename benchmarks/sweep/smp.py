"""Every architecture of segmentation-models-pytorch, with encoders of several kinds."""

from __future__ import annotations

import segmentation_models_pytorch as library
import torch
from torch import nn

from benchmarks.sweep.rows import Candidate, Case, NotBuiltError, noise, settle

ENCODERS = ("resnet18", "mobilenet_v2", "mit_b0", "timm-efficientnet-b0", "densenet121", "vgg11_bn")
OF_TIMM = {"DPT": ("tu-vit_tiny_patch16_224", "tu-deit_tiny_patch16_224")}
"""Architectures that take other encoders."""
CLASSES, SIDE = 4, 224


def candidates(library_name: str) -> list[Candidate]:
    """Architecture and encoder; the architecture is the family."""
    return [
        Candidate(library_name, kind.__name__, f"{kind.__name__}({encoder})")
        for kind in library.MODEL_ARCHITECTURES_MAPPING.values()
        for encoder in OF_TIMM.get(kind.__name__, ENCODERS)
    ]


def build(candidate: Candidate) -> Case:
    """The architecture on this encoder, untrained."""
    encoder = candidate.name.removesuffix(")").split("(")[1]
    try:
        model: nn.Module = getattr(library, candidate.family)(
            encoder_name=encoder, encoder_weights=None, classes=CLASSES
        )
        case = Case(model.eval(), noise(1, 3, SIDE, SIDE))
        torch.manual_seed(0)
        settle(case)
        case.run()
    except (ValueError, KeyError, NotImplementedError, TypeError, RuntimeError) as error:
        raise NotBuiltError(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
    return case
