"""Models to be trained: by name as anywhere, with as many outputs as the data have classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from camscope.errors import ModelError, nearest
from camscope.libraries.factories import from_file, is_factory
from camscope.libraries.heads import head_of
from camscope.libraries.info import ModelInfo
from camscope.libraries.registry import libraries, recognise
from camscope.libraries.weights import RANDOM, fill
from camscope.models.registry import unwrapped


@dataclass(frozen=True)
class Trainable:
    """A model whose outputs are the classes of some data.

    Attributes:
        model: a `torch.nn.Module`, untouched but for its head.
        info: what its library says of it; its class names are not those of the data.
        head: the name of its last layer, or None if that is not known.
        pretrained: whether all but the head has weights that were trained.
        notes: what a careful reader should be told.
    """

    model: Any
    info: ModelInfo
    head: str | None
    pretrained: bool
    notes: tuple[str, ...] = field(default=())


def build_trainable(
    spec: str,
    *,
    classes: int,
    weights: str | Path | None = None,
    trust_pickle: bool = False,
    shape: Mapping[str, Any] | None = None,
) -> Trainable:
    """Build a model from its name, for other classes than its own. The new head is drawn from torch's random state.

    Args:
        spec: `gapnet`, `demo`, `timm:NAME`, `torchvision:NAME`, or `FILE.py:FACTORY`, a function that takes
            `num_classes` (or makes a model of so many classes by itself) and may have loaded weights.
        classes: how many classes there are.
        weights: a file of weights (its head is left out if it is of other classes), `random`, or None for the
            published weights.
        trust_pickle: whether to read a checkpoint that can run code.
        shape: further arguments of a library's `trainable`, such as the channels of `gapnet`.

    Raises:
        ModelError: for an unknown name, a model that is not trained here, or weights that do not fit or cannot be
            fetched.
        MissingExtraError: if the model's library is not installed.
    """
    pretrained = weights is None
    if is_factory(spec):
        made = from_file(spec, classes=classes)
        model, info = recognise(unwrapped(made), wrapper=made)
    else:
        name, home = _home(spec)
        model, info = home.trainable(name, classes=classes, pretrained=pretrained, **(shape or {}))
        pretrained = pretrained and not info.untrained
    check_torch(model, spec)
    head = head_of(model, classes)
    notes: list[str] = []
    if weights is not None and str(weights) != RANDOM:
        pretrained = True
        filled = fill(model, Path(weights), trust_pickle=trust_pickle, new_head=head)
        notes += filled.notes
        if not filled.head:
            notes.append(f"The head of {weights} is not for these {classes} classes: {head} starts anew.")
    info = dataclasses.replace(info, class_names=None)
    return Trainable(model, info, head, pretrained, tuple(notes))


def check_torch(model: Any, spec: str) -> None:
    """Refuse what is no PyTorch module.

    Raises:
        ModelError: saying what it is.
    """
    from torch import nn

    if not isinstance(model, nn.Module):
        raise ModelError(
            f"{spec} is a {type(model).__name__} of {type(model).__module__.partition('.')[0]}, and training is "
            "PyTorch's here: give a torch.nn.Module."
        )


def _home(spec: str) -> tuple[str, Any]:
    """What stands behind the colon, and the library's module that can make it trainable."""
    kind, colon, name = spec.partition(":")
    named = [one for one in libraries() if one.scheme]
    found = next(
        (one for one in named if one.scheme == kind and bool(one.wanted) == bool(name) == bool(colon)), None
    )
    home = found.load() if found is not None else None
    if home is not None and hasattr(home, "trainable"):
        return name, home
    can = "gapnet, demo, timm:NAME, torchvision:NAME, FILE.py:FACTORY or runs/NAME"
    if found is not None:
        raise ModelError(f"{spec} can be explained but is not trained here. Give {can}.")
    bare = f" Perhaps 'timm:{spec}' or 'torchvision:{spec}'?" if spec.isidentifier() else ""
    hint = nearest(kind, [one.scheme for one in named]) or bare
    raise ModelError(f"{spec!r} names no model.{hint} A model to be trained is {can}.")
