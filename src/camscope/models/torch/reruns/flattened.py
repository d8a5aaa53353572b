"""Taking channels away where they go side by side into a linear layer, as into VGG's first fully connected one.

There a channel adds its own block of columns times its own features to that layer's output, so what the output is
without the channel needs no run of the layer: one pass over its weights serves all channels.
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
from camscope.models.torch.precision import rounding, same_rows, widened
from camscope.models.torch.reruns.planning import plan_suffix
from camscope.models.torch.reruns.suffix import Kept, Plan, keeping, replaying

_CHANNELS_AT_A_TIME = 32
"""Channels whose blocks of weights are multiplied at a time, which bounds the memory."""


@dataclass(frozen=True)
class Parts:
    """One image's output of the linear layer, by channel.

    Attributes:
        kept: what the part of the model after the linear layer needs of that image.
        output: of the linear layer.
        of_channel: what each channel adds to it.
    """

    kept: Kept
    output: Float[torch.Tensor, "1 output"]
    of_channel: Float[torch.Tensor, "channel output"]

    def without(self, channels: Int[np.ndarray, " n"]) -> Float[torch.Tensor, "n output"]:
        """The output without each of these channels; the number −1 takes none away."""
        nothing = torch.zeros_like(self.of_channel[:1])
        index = torch.as_tensor(channels, device=nothing.device)
        return self.output - torch.cat([self.of_channel, nothing])[index]

    def weighed(self, weights: Float[torch.Tensor, "n channel"]) -> Float[torch.Tensor, "n output"]:
        """The output with the channels times these weights."""
        return self.output - (1 - weights).to(self.of_channel) @ self.of_channel


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

    def parts(self, model: nn.Module, forward: Forward, image: torch.Tensor) -> Parts:
        """The linear layer's output, taken apart by channel: each one's block of columns times its features.

        Args:
            model: an unwrapped module.
            forward: runs the model.
            image: a batch of one.
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
        return Parts(kept, widened(kept.own), parts)


def find_flattened(model: nn.Module, forward: Forward, image: torch.Tensor, plan: Plan) -> Flattened | None:
    """The linear layer that reads the layer's channels side by side, if there is one. A proposal, found on one image.

    It is tried on each image of a batch before it is used for it, see `on_batch`. Call it inside `explaining(model)`
    and `no_grad`.

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
    # each channel has a weight of its own, by which its features are known again behind whatever pools them
    weights = torch.linspace(0.5, 1, channels, device=image.device, dtype=activations.dtype)
    weighed = activations * weights.reshape(-1, *(1,) * (activations.ndim - 2))
    read: list[tuple[str, torch.Tensor]] = []
    with ExitStack() as stack:
        for name, module in named_layers(model).items():
            if isinstance(module, nn.Linear):
                stack.callback(hook_before(module, _reads(name, read)).remove)
        with replaying(model, plan, kept, 0, torch.cat([weighed, activations])):
            forward(image.expand(2, *image.shape[1:]))
    if not read or read[0][1].ndim != 2 or [name for name, _ in read].count(read[0][0]) > 1:
        return None
    linear, features = read[0]
    each, left = divmod(features.shape[1], channels)
    if left or not each:
        return None
    expected = features[1:] * weights.repeat_interleave(each)
    if not bool(same_rows(features[:1], expected, features[1:].abs(), rounding(features.dtype)).all()):
        return None
    output = _linear(model, linear).out_features
    after = Layer(linear, "Linear", (output,), Grid("channels-first", (), output), 1, False, False)
    rest = plan_suffix(model, forward, image, after)
    before = {(stub.module, stub.number) for stub in plan.stubs}
    # what is kept beside the linear layer's output must not come from the channels, which it would still hold
    apart = all((stub.module, stub.number) in before for stub in rest.stubs if stub.used)
    return Flattened(linear, each, rest) if apart and not rest.whole else None


def _linear(model: nn.Module, name: str) -> nn.Linear:
    module = model.get_submodule(name)
    assert isinstance(module, nn.Linear)
    return module


def _reads(name: str, read: list[tuple[str, torch.Tensor]]) -> Any:
    """A hook that notes what goes into the linear layer with this name."""

    def hook(_module: nn.Module, inputs: Sequence[torch.Tensor]) -> None:
        read.append((name, inputs[0]))

    return hook
