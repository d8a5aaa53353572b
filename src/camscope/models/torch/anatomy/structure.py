"""What the tree of modules alone tells: which are stages and blocks, and which are attention."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from torch import nn

from camscope.models.torch.hooks.modules import named_layers

_ATTENTION_CLASS = re.compile(r"attn|attention", re.IGNORECASE)
_ATTENTION_NAME = re.compile(r"(self_?)?(attn|attention)\d*", re.IGNORECASE)


def parents(name: str) -> list[str]:
    """The names of the modules around a module, outermost first."""
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def outline(model: nn.Module, prefix: str = "") -> Iterator[str]:
    """The names of what people mean by "the layers": stages and blocks, but not what is inside a block.

    Plain containers are opened, and so is a module that holds most of the model (a backbone in a wrapper).

    Args:
        model: an unwrapped module, or a part of one.
        prefix: what the names begin with, the name of that part and a dot.
    """
    half = _size(model) / 2 if not prefix else math.inf
    for child, module in model.named_children():
        name = f"{prefix}{child}"
        yield name
        if type(module) in (nn.Sequential, nn.ModuleList, nn.ModuleDict):
            yield from outline(module, f"{name}.")
        elif _size(module) > half:
            yield from (f"{name}.{inner}" for inner in outline(module))


def attention_modules(model: nn.Module) -> set[str]:
    """The names of the modules that are attention, by the name of their class or by what their parent calls them.

    Names are asked since numbers do not tell: attention to channels or places (CBAM) is a gate without a softmax, and
    so are several linear attentions; and a block that attends in its own forward has other layers beside.

    A module that holds most of the model is a network with attention in its name, and not meant.
    """
    half = _size(model) / 2
    return {
        name
        for name, module in named_layers(model).items()
        if (
            _ATTENTION_CLASS.search(type(module).__name__)
            or _ATTENTION_NAME.fullmatch(name.rpartition(".")[2])
        )
        and _size(module) <= half
    }


def _size(module: nn.Module) -> int:
    return sum(1 for _ in module.modules())
