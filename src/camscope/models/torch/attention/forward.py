"""One forward of a transformer, watched: every attention in it, and the block that each belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import nn

from camscope.errors import ModelError
from camscope.models.grid import Grid
from camscope.models.torch.anatomy.examine import Anatomy
from camscope.models.torch.attention.calls import AttentionCall, AttentionCalls
from camscope.models.torch.hooks.modules import first_tensor, named_layers
from camscope.models.torch.hooks.session import hook_after, hook_before, overriding
from camscope.models.torch.reruns.on_batch import Run
from camscope.outputs import Outputs

INSTEAD = "Methods that need no attention work here: gradcam, hirescam."


@dataclass(frozen=True)
class Block:
    """The block of one attention layer: the outermost module with this attention and no other inside.

    Attributes:
        module: itself.
        output: what it put out, its tokens the first tensor in it.
    """

    module: nn.Module
    output: Any

    @property
    def tokens(self) -> Float[torch.Tensor, "batch token channel"]:
        """The tokens it put out."""
        return cast(torch.Tensor, first_tensor(self.output))


@dataclass(frozen=True)
class WatchedForward:
    """What was seen of one forward of a batch.

    Attributes:
        outputs: of the model.
        calls: every attention, in the order they ran.
        found: the block around an attention, by its number in `calls`; those in no block are missing.
    """

    outputs: Outputs
    calls: list[AttentionCall]
    found: dict[int, Block]

    @property
    def blocks(self) -> list[Block]:
        """The block of every layer.

        Raises:
            ModelError: if a layer has none.
        """
        for i in range(len(self.calls)):
            if i not in self.found:
                raise ModelError(
                    f"Attention layer {i} is in no block of its own that puts out tokens (batch, token, channel), so "
                    f"what the head reads cannot be found. {INSTEAD}"
                )
        return [self.found[i] for i in range(len(self.calls))]


def watch(model: nn.Module, run: Run, x: torch.Tensor) -> WatchedForward:
    """Run the batch and keep its attention, and the block around each.

    Args:
        model: an unwrapped module.
        run: runs it.
        x: the batch.
    """
    attention = AttentionCalls()
    found: dict[int, Block] = {}
    begun: list[int] = []

    def enter(_module: nn.Module, _inputs: Any) -> None:
        begun.append(len(attention.calls))

    def leave(module: nn.Module, _inputs: Any, output: Any) -> None:
        start = begun.pop()
        tokens = first_tensor(output)
        # modules finish from the inside out, so the outermost is the last to be written here
        if len(attention.calls) == start + 1 and tokens is not None and tokens.ndim == 3:
            count = attention.calls[start].weights.shape[-1]
            if tokens.shape[:2] == (x.shape[0], count):
                found[start] = Block(module, output)

    with ExitStack() as stack:
        for module in named_layers(model).values():
            stack.callback(hook_before(module, enter).remove)
            stack.callback(hook_after(module, leave).remove)
        with overriding(attention):
            outputs = run(x)
    return WatchedForward(outputs, attention.calls, found)


def count_tokens(calls: Sequence[AttentionCall], batch: int) -> int:
    """The number of tokens, the same in every layer.

    Args:
        calls: every attention of one forward.
        batch: how many images it was of.

    Raises:
        ModelError: if there is no such number; the message says why.
    """
    if not calls:
        raise ModelError(
            "No attention was seen in this model's forward: no scaled_dot_product_attention, no nn.MultiheadAttention, "
            "no softmax over keys times values. If it runs a kernel of its own (flash_attn, xformers, "
            f"flex_attention), switch it to attn_implementation='sdpa' or 'eager'. {INSTEAD}"
        )
    for i, call in enumerate(calls):
        shape = tuple(call.weights.shape)
        where = f"Attention layer {i} has weights of shape {shape}"
        if shape[-2] != shape[-1]:
            raise ModelError(
                f"{where}, {shape[-2]} queries over {shape[-1]} keys: attention pooling, a class token's attention or "
                f"reduced keys. Attention methods need self-attention over one grid of patches. {INSTEAD}"
            )
        if shape[0] != batch or len(shape) > 4:
            raise ModelError(
                f"{where} for {batch} images: attention within windows (as in Swin) or groups. Attention methods "
                f"need every token to attend to every other. {INSTEAD}"
            )
    counts = list(dict.fromkeys(call.weights.shape[-1] for call in calls))
    if len(counts) > 1:
        raise ModelError(
            f"The layers attend over {', '.join(map(str, counts))} tokens. Attention methods follow one set of tokens "
            f"through all layers. {INSTEAD}"
        )
    return counts[0]


def grid_of(anatomy: Anatomy, tokens: int) -> Grid:
    """Where the patches are among the tokens.

    Args:
        anatomy: what one forward showed.
        tokens: how many there are.

    Raises:
        ModelError: if no layer puts out that many tokens with a grid in them.
    """
    for layer in reversed(anatomy.layers):
        of_text = layer.grid.layout == "channels-last" and len(layer.grid.space) == 1
        if (layer.grid.layout == "tokens" or of_text) and layer.of_one[0] == tokens:
            if layer.grid.others > layer.grid.prefix:
                raise ModelError(
                    f"The tokens are {layer.grid.describe()}. Attention methods take a class token and registers in "
                    f"front of the patches, not behind or among them. {INSTEAD}"
                )
            return layer.grid
    raise ModelError(
        f"The model attends over {tokens} elements, but no layer puts out {tokens} tokens over a grid of patches. "
        f"Attention over channels, or beside convolutions, gives no map. {INSTEAD}"
    )


def precision_of(model: nn.Module, x: torch.Tensor) -> torch.dtype:
    """What the model computes in; of token numbers its weights tell."""
    if x.is_floating_point():
        return x.dtype
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)


def check_same(logits: torch.Tensor, expected: torch.Tensor, precision: torch.dtype, what: str) -> None:
    """Refuse logits that are not the model's own, to 10⁻³ of the largest or to the rounding of half precision.

    Args:
        logits: as they came out in another way.
        expected: the model's own.
        precision: what the model computes in.
        what: what came out in another way, the beginning of the message.

    Raises:
        ModelError: if they differ by more.
    """
    tolerance = max(1e-3, 8 * torch.finfo(precision).eps)
    off = (logits.detach() - expected.detach()).abs().max()
    scale = expected.abs().max()
    # an output of zeros (a classifier that was just initialised) must come out as zeros
    if not bool(off <= tolerance * scale):
        raise ModelError(
            f"{what} does not reproduce this model's output: it differs by {float(off):.2g} where the largest logit is "
            f"{float(scale):.2g}. {INSTEAD}"
        )
