"""Layer groups: from the parts of a network that change least in fine-tuning to its head, which is new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LayerGroup:
    """The parameters that share a learning rate.

    Attributes:
        decayed: those with weight decay.
        plain: those without: norms and biases.
        norms: those of norms, which are trained even while the group is frozen.
    """

    decayed: tuple[Any, ...]
    plain: tuple[Any, ...]
    norms: tuple[Any, ...]

    def freeze(self, frozen: bool) -> None:
        """Stop or start the gradients of all but the norms.

        Args:
            frozen: whether it learns only by its norms.
        """
        norms = set(self.norms)
        for parameter in (*self.decayed, *self.plain):
            parameter.requires_grad_(not frozen or parameter in norms)


def layer_groups(model: Any, head: str | None) -> tuple[LayerGroup, ...]:
    """A model's parameters by layer group, its head last.

    Networks built like ResNet (`layer1` … `layer4`) have three, as in fastai: up to `layer2`, the rest, and the head;
    others have body and head; a model of which no head is known has one. Parameters that the model came with frozen
    are left out and stay so.

    Args:
        model: a `torch.nn.Module`.
        head: the name of its last layer.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if head is None:
        return (_group(model, named),)
    late = ("layer3.", "layer4.") if all(hasattr(model, f"layer{i}") for i in (1, 2, 3, 4)) else ()

    def place(name: str) -> int:
        return 2 if name.startswith(f"{head}.") else int(name.startswith(late)) if late else 0

    parts = [[(name, p) for name, p in named if place(name) == number] for number in range(3)]
    return tuple(_group(model, part) for part in parts if part)


def adamw(groups: Sequence[LayerGroup], *, weight_decay: float) -> Any:
    """AdamW as fastai's Adam is set: β₂ 0.99, ε 1e-5, decoupled weight decay.

    Args:
        groups: see `layer_groups`. Each gives the optimiser two groups of parameters, with and without weight decay.
        weight_decay: per step, as a multiple of the learning rate.
    """
    import torch

    parameters = [
        {"params": list(members), "weight_decay": decay}
        for group in groups
        for members, decay in ((group.decayed, weight_decay), (group.plain, 0.0))
    ]
    return torch.optim.AdamW(parameters, lr=0.0, betas=(0.9, 0.99), eps=1e-5)


def _group(model: Any, named: Sequence[tuple[str, Any]]) -> LayerGroup:
    norms = _norm_parameters(model)
    plain = [p for name, p in named if p in norms or name.rpartition(".")[2] == "bias"]
    return LayerGroup(
        decayed=tuple(p for _, p in named if not any(p is other for other in plain)),
        plain=tuple(plain),
        norms=tuple(p for p in plain if p in norms),
    )


def _norm_parameters(model: Any) -> set[Any]:
    from torch import nn
    from torch.nn.modules.batchnorm import _NormBase

    kinds = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
    return {
        p for module in model.modules() if isinstance(module, kinds) for p in module.parameters(recurse=False)
    }
