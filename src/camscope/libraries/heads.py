"""The layer that a classifier's scores come from, and a new one in its place for other classes. For PyTorch."""

from __future__ import annotations

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


def _outputs(module: Any) -> int:
    return int(getattr(module, "out_features", 0) or getattr(module, "out_channels", 0))
