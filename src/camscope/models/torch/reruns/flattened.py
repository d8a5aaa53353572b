"""Taking channels away where they go side by side into a linear layer, as into VGG's first fully connected one.

There a channel adds its own block of columns times its own features to that layer's output, so what the output is
without the channel needs no run of the layer: one pass over its weights serves all channels (METHODS §1.12).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from einops import einsum, rearrange
from jaxtyping import Float, Int
from torch import nn

from camscope.models.grid import Grid
from camscope.models.layer import Layer
from camscope.models.torch.anatomy.trace import Forward
from camscope.models.torch.hooks.modules import first_tensor, named_layers
from camscope.models.torch.hooks.record import InputOf
from camscope.models.torch.hooks.session import hook_before
from camscope.models.torch.precision import close, widened
from camscope.models.torch.reruns.planning import plan_suffix
from camscope.models.torch.reruns.suffix import Kept, Plan, keeping, replaying

_TRIED = 3
"""Channels that are taken away to try whether the layer is one."""

_CHANNELS_AT_A_TIME = 32
"""Channels whose blocks of weights are multiplied at a time, which bounds the memory."""


@dataclass(frozen=True)
class Flattened:
    """A linear layer that reads the target layer's channels side by side.

    Attributes:
        linear: its name.
        each: how many of its inputs come from one channel, side by side.
        rest: how the part of the model after it is run.
    """

    linear: str
    each: int
    rest: Plan

    def without(
        self, model: nn.Module, forward: Forward, image: torch.Tensor, channels: Int[np.ndarray, n]
    ) -> tuple[Kept, Float[torch.Tensor, "n output"]]:
        """The linear layer's output without each of these channels, and what the part after it needs.

        Its output without a channel is its output less that channel's block of columns times that channel's features.

        Args:
            model: an unwrapped module.
            forward: runs the model.
            image: a batch of one.
            channels: which; −1 takes none away.
        """
        module = _linear(model, self.linear)
        kept = Kept(batch=1)
        with keeping(model, self.rest, kept), InputOf(module) as features:
            forward(image)
        weight = rearrange(widened(module.weight.detach()), "o (c e) -> o c e", e=self.each)
        blocks = rearrange(widened(features.value[0]), "(c e) -> c e", e=self.each)
        parts = torch.cat(
            [
                einsum(weight[:, some], blocks[some], "o c e, c e -> c o")
                for some in torch.split(torch.arange(len(blocks), device=weight.device), _CHANNELS_AT_A_TIME)
            ]
        )
        nothing = torch.zeros_like(parts[:1])
        index = torch.as_tensor(channels, device=parts.device)
        return kept, widened(kept.own) - torch.cat([parts, nothing])[index]


def find_flattened(model: nn.Module, forward: Forward, image: torch.Tensor, plan: Plan) -> Flattened | None:
    """The linear layer that reads the layer's channels side by side, if there is one; tried on some channels.

    Call it inside `explaining(model)` and `no_grad`.

    Args:
        model: an unwrapped module.
        forward: runs the model and selects its logits.
        image: a batch of one.
        plan: how the part after the layer is run.
    """
    kept = Kept(batch=1)
    with keeping(model, plan, kept):
        forward(image)
    own = first_tensor(kept.own)
    assert own is not None
    activations = plan.layer.grid.canonical(own)
    if plan.layer.after_relu:
        activations = activations.clamp(min=0)
    channels = activations.shape[1]
    gone = torch.arange(_TRIED, device=image.device) * (channels - 1) // _TRIED
    mask = torch.ones(_TRIED + 1, channels, device=image.device, dtype=activations.dtype)
    mask[torch.arange(_TRIED), gone] = 0  # the last variant is whole
    variants = activations * mask.reshape(*mask.shape, *(1,) * (activations.ndim - 2))
    several = image.expand(len(variants), *image.shape[1:])
    read: list[tuple[str, torch.Tensor]] = []
    with ExitStack() as stack:
        for name, module in named_layers(model).items():
            if isinstance(module, nn.Linear):
                stack.callback(hook_before(module, _reads(name, read)).remove)
        with replaying(model, plan, kept, 0, variants):
            expected = forward(several)
    if not read or read[0][1].ndim != 2 or [name for name, _ in read].count(read[0][0]) > 1:
        return None
    linear, features = read[0]
    each, left = divmod(features.shape[1], channels)
    if left or not each or not close(features, features[-1:] * mask.repeat_interleave(each, dim=1)):
        return None
    output = _linear(model, linear).out_features
    after = Layer(linear, "Linear", (output,), Grid("channels-first", (), output), 1, False, False)
    found = Flattened(linear, each, plan_suffix(model, forward, image, after))
    if found.rest.whole:
        return None
    # whatever else the rest reads of the layer, past the linear one, shows here
    kept, outputs = found.without(model, forward, image, np.append(gone.cpu().numpy(), -1))
    with replaying(model, found.rest, kept, 0, outputs):
        return found if close(forward(several), expected) else None


def _linear(model: nn.Module, name: str) -> nn.Linear:
    module = model.get_submodule(name)
    assert isinstance(module, nn.Linear)
    return module


def _reads(name: str, read: list[tuple[str, torch.Tensor]]) -> Any:
    """A hook that notes what goes into the linear layer with this name."""

    def hook(_module: nn.Module, inputs: Sequence[torch.Tensor]) -> None:
        read.append((name, inputs[0]))

    return hook
