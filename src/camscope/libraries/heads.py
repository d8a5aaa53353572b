"""The layer that a classifier's scores come from, and a new one in its place for other classes. For PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from camscope.errors import ModelError


def head_of(model: Any, outputs: int | None = None) -> str | None:
    """The name of a classifier's last layer, or None if there is none.

    A library may say which it is (timm: `get_classifier`). Else it is the last linear layer or convolution, in the
    order in which the modules were made, that puts out one number per class.

    Args:
        model: a `torch.nn.Module`.
        outputs: how many classes there are; None if that is not known.
    """
    from torch import nn

    names: dict[Any, str] = {module: name for name, module in model.named_modules()}
    said = model.get_classifier() if hasattr(model, "get_classifier") else None
    if isinstance(said, (nn.Linear, nn.Conv2d)) and said in names:
        return names[said]
    found: list[str] = [
        name
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d)) and outputs in (None, _outputs(module))
    ]
    return found[-1] if found else None


def replace_head(model: Any, classes: int) -> None:
    """Put a new last layer, with as many outputs as there are classes, in the place of a classifier's own.

    Args:
        model: a `torch.nn.Module`.
        classes: how many classes there are.

    Raises:
        ModelError: if it has no such layer.
    """
    from torch import nn

    name = head_of(model)
    if name is None:
        raise ModelError(f"{type(model).__name__} has no linear layer or convolution to be its head.")
    old = model.get_submodule(name)
    bias = old.bias is not None
    if isinstance(old, nn.Linear):
        new: nn.Module = nn.Linear(old.in_features, classes, bias)
    else:
        new = nn.Conv2d(old.in_channels, classes, old.kernel_size, old.stride, old.padding, bias=bias)
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, new)


def classes_in(state: Mapping[str, Any], model: Any, outputs: int | None) -> int | None:
    """How many classes the head in a file has; None if it is as large as the model's, or the head is not what differs.

    It is read off the shapes. Of a detector's several heads each has a multiple of the classes, and all the same ratio.

    Args:
        state: a file's weights by the model's names.
        model: a `torch.nn.Module`.
        outputs: how many classes the model has; None if that is not known.
    """
    own = model.state_dict()
    other = [name for name in own if name in state and state[name].shape != own[name].shape]
    if any(state[name].shape[1:] != own[name].shape[1:] or not state[name].ndim for name in other):
        return None
    sizes = {(own[name].shape[0], state[name].shape[0]) for name in other}
    if not sizes:
        return _of_new_head(state, model)
    before = outputs or min(had for had, _ in sizes)
    now = {Fraction(has * before, had) for had, has in sizes}
    found = now.pop()
    return int(found) if not now and found.denominator == 1 else None


def outputs_of(model: Any) -> int | None:
    """How many classes a model has, as it says (timm, Hugging Face) or by its last layer; None if that is not seen.

    Args:
        model: of any framework; of others than PyTorch nothing is seen.
    """
    said = getattr(getattr(model, "config", None), "num_labels", None) or getattr(model, "num_classes", None)
    if isinstance(said, int) and said > 0:
        return said
    name = head_of(model) if hasattr(model, "named_modules") else None
    return None if name is None else _outputs(model.get_submodule(name))


def _of_new_head(state: Mapping[str, Any], model: Any) -> int | None:
    """The same where the model, of timm, is published without a head, and the file has one where it would stand."""
    said = (getattr(model, "pretrained_cfg", None) or {}).get("classifier") or ()
    names = (said,) if isinstance(said, str) else tuple(said)
    own = model.state_dict()
    found = [
        state[f"{name}.weight"] for name in names if f"{name}.weight" in state and f"{name}.weight" not in own
    ]
    return int(found[0].shape[0]) if found else None


def _outputs(module: Any) -> int:
    return int(getattr(module, "out_features", 0) or getattr(module, "out_channels", 0))
