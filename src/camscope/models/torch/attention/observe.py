"""The attention of a transformer over one grid of patches: its probabilities, and what the score says of them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Shaped
from torch import nn

from camscope.errors import ModelError
from camscope.evidence import Attention, AttentionLayer
from camscope.models.torch.anatomy.examine import Anatomy, examine
from camscope.models.torch.attention.forward import (
    WatchedForward,
    check_same,
    count_tokens,
    grid_of,
    precision_of,
    watch,
)
from camscope.models.torch.attention.gradients import gradients_of, per_head
from camscope.models.torch.attention.readout import block_gradients, head_gradients, read_share
from camscope.models.torch.reruns.on_batch import Run
from camscope.targets import Targets


def attention_of(
    model: nn.Module,
    run: Run,
    x: Shaped[torch.Tensor, " batch *size"],
    targets: Targets | None,
    *,
    run_first: Run | None = None,
    blocks: bool = False,
    gradients: bool = True,
    anatomy: Anatomy | None = None,
) -> Attention:
    """The attention probabilities of every layer, and their gradients. Call it inside `explaining(model)`.

    Costs one forward; with targets one backward for each, which ends at the first attention (nothing before it
    is in the graph); with `blocks` another forward and backward per target. Fused attention is computed step by step
    meanwhile, and the output verified against the model's own on the first image.

    The score of block l (LeGrad) is the target's score of the model's own head applied to the tokens
    that block l puts out: its final norm, its own pooling, its classifier. The official code takes the mean of all
    tokens in place of the model's pooling; the two agree only for models that average all tokens. Between
    blocks the residual stream is detached, so that one backward from Σ_l s^l gives each ∂s^l/∂weights^l alone.

    Args:
        model: an unwrapped module.
        run: runs it.
        x: the batch.
        run_first: runs the first image alone, where that takes something else.
        targets: what is differentiated; None for the probabilities alone, without a graph.
        blocks: whether to fill `Attention.blocks`. Needs targets.
        gradients: whether the layers' own gradients are wanted; they cost nothing if not.
        anatomy: what one forward showed, if that is known already.

    Raises:
        ModelError: if the model has no attention over all tokens of one grid (windows, attention pooling, several
            token counts), if its attention cannot be followed, or if its output comes out different.
        TargetError: if a target does not depend on the attention.
    """
    with torch.no_grad():
        plain = (run_first or run)(x[:1]).logits
    graded = targets is not None and gradients
    with torch.set_grad_enabled(graded):
        seen = watch(model, run, x)
    check_same(seen.outputs.logits[:1], plain, precision_of(model, x), "Computed step by step, the attention")
    tokens = count_tokens(seen.calls, x.shape[0])
    if anatomy is None:
        anatomy = examine(model, lambda image: (run_first or run)(image).logits, x[:1])
    grid = grid_of(anatomy, tokens)
    reading = head_gradients(model, run, x, seen, anatomy)
    per_block: tuple[torch.Tensor, ...] = ()
    if blocks and targets is not None:
        if any(bool(g.any()) for g in reading[:-1]):
            raise ModelError(
                "The head depends on more than the last block's tokens: either it reads several blocks, or the "
                "residual stream passes beside the modules that hold the attention. Then no block has a score of its "
                "own (legrad); chefer and rollout work here."
            )
        per_block = block_gradients(run, x, targets, seen)
    return Attention(
        layers=tuple(_layers(seen, targets if graded else None)),
        space=grid.space,
        prefix=grid.prefix,
        readout=read_share(reading[-1], grid.prefix),
        blocks=per_block,
    )


def _layers(seen: WatchedForward, targets: Targets | None) -> Iterator[AttentionLayer]:
    if targets is None:
        for call in seen.calls:
            yield AttentionLayer(per_head(call.weights.detach()))
        return
    tensors = [call.weights for call in seen.calls]
    outputs = [call.outputs for call in seen.calls if call.outputs is not None]
    by = gradients_of(targets.scores(seen.outputs), [*tensors, *outputs])
    of_outputs = iter(by[len(tensors) :])
    for call, by_weights in zip(seen.calls, by, strict=False):
        yield AttentionLayer(
            weights=per_head(call.weights.detach()),
            gradients=by_weights,
            queries=_detached(call.queries),
            keys=_detached(call.keys),
            values=_detached(call.values),
            output_gradients=None if call.outputs is None else next(of_outputs),
        )


def _detached(x: torch.Tensor | None) -> torch.Tensor | None:
    return None if x is None else per_head(x.detach())
