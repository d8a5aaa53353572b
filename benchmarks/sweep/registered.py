"""What timm and torchvision have registered, and which variant stands for a family."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import suppress

import timm
import torch
import torchvision
from timm.data import resolve_model_data_config
from timm.models import model_entrypoint
from torch import nn

from benchmarks.sweep.rows import Candidate, Case, noise

CLASSES = 1000


def candidates(library: str) -> list[Candidate]:
    """Every model in timm's registry, or every classifier in torchvision's. The family is the module it is in."""
    if library == "timm":
        names, function = timm.list_models(), model_entrypoint
    else:
        names = torchvision.models.list_models(module=torchvision.models)
        function = torchvision.models.get_model_builder
    return [Candidate(library, function(name).__module__.rsplit(".", 1)[-1], name) for name in names]


def build(candidate: Candidate) -> Case:
    """The model without weights of any training, and one image of noise as its library feeds it."""
    model, shape = create(candidate)
    added = False
    if candidate.library == "timm" and not getattr(model, "num_classes", CLASSES):
        with suppress(TypeError):
            model, shape = create(candidate, CLASSES)
            added = True
    return Case(model.eval(), noise(1, *shape), head_added=added)


def create(candidate: Candidate, classes: int | None = None) -> tuple[nn.Module, tuple[int, ...]]:
    """The model, and the shape of one image."""
    if candidate.library == "torchvision":
        model = torchvision.models.get_model(candidate.name, weights=None)
        transforms = torchvision.models.get_model_weights(candidate.name).DEFAULT.transforms()
        side = getattr(model, "image_size", transforms.crop_size[0])  # some weights are of a larger ViT
        return model, (3, side, side)
    model = timm.create_model(candidate.name, **({} if classes is None else {"num_classes": classes}))
    return model, tuple(resolve_model_data_config(model)["input_size"])


def cost(candidate: Candidate) -> float:
    """About how much a forward takes: parameters times pixels. No memory is taken, nothing is initialised.

    A variant that is registered without a classifier comes after all that have one.
    """
    try:
        with torch.device("meta"):
            model, shape = create(candidate)
    except Exception:  # it needs numbers while it is built; another variant may not
        return math.inf
    size = sum(p.numel() for p in model.parameters()) * math.prod(shape)
    return float(size) if getattr(model, "num_classes", CLASSES) else size * 1e9


def smallest(candidates: Iterable[Candidate], done: Iterable[str] = ()) -> Iterator[Candidate]:
    """Of each family the variant that costs least; families that are done are passed over.

    Not timm's own models for tests, which are nobody's.
    """
    families: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        if not candidate.name.startswith("test_"):
            families.setdefault(candidate.family, []).append(candidate)
    for family in sorted(families.keys() - set(done)):
        yield min(families[family], key=cost)
