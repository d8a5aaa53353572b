"""The part of a transformer after its blocks, run on the tokens of any block: what it reads, and each block's score."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import nn

from camscope.errors import ModelError
from camscope.models.torch.anatomy.examine import Anatomy
from camscope.models.torch.attention.calls import AttentionCalls
from camscope.models.torch.attention.forward import INSTEAD, Block, WatchedForward, check_same, precision_of
from camscope.models.torch.attention.gradients import gradients_of
from camscope.models.torch.hooks.modules import first_tensor, replace_first_tensor
from camscope.models.torch.hooks.record import InputOf
from camscope.models.torch.hooks.session import hook_after, overriding, replaced_forward
from camscope.models.torch.precision import widened
from camscope.models.torch.reruns.on_batch import Run
from camscope.targets import Targets


@contextmanager
def head_only(blocks: Sequence[Block], tokens: Sequence[torch.Tensor]) -> Iterator[None]:
    """Within this context the model runs its embedding and its head only: each block puts out the given tokens.

    A module that is called several times is each of its blocks in turn.

    Args:
        blocks: of every attention layer.
        tokens: what each puts out instead.
    """
    turn = itertools.count()

    def forward(*_args: Any, **_kwargs: Any) -> Any:
        i = next(turn) % len(blocks)
        return replace_first_tensor(blocks[i].output, tokens[i])

    with ExitStack() as stack:
        for module in {id(block.module): block.module for block in blocks}.values():
            stack.enter_context(replaced_forward(module, forward))
        yield


def block_gradients(
    run: Run, x: torch.Tensor, targets: Targets, seen: WatchedForward
) -> tuple[Float[torch.Tensor, "batch target head query key"], ...]:
    """∂s^l/∂weights^l of each block's own score, by one backward per target for all blocks.

    The score of block l is the target's score of the model's head applied to the tokens that block l puts out.

    Args:
        run: runs the model.
        x: the batch.
        targets: what is differentiated.
        seen: a forward of the batch.
    """
    blocks = seen.blocks
    put_out: list[torch.Tensor] = []

    def cut(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        tokens = first_tensor(output)
        assert tokens is not None  # it is a block because it puts out tokens
        put_out.append(tokens)
        return replace_first_tensor(output, tokens.detach())

    calls = AttentionCalls()
    with ExitStack() as stack:
        for module in {id(block.module): block.module for block in blocks}.values():
            stack.callback(hook_after(module, cut).remove)
        with overriding(calls):
            run(x)
    scores = []
    before = [tokens.detach() for tokens in put_out[:-1]]
    for tokens in put_out:
        with head_only(blocks, [*before, tokens]):
            scores.append(targets.scores(run(x)))
    return tuple(gradients_of(torch.stack(scores).sum(0), [call.weights for call in calls.calls]))


def head_gradients(
    model: nn.Module, run: Run, x: torch.Tensor, seen: WatchedForward, anatomy: Anatomy
) -> list[Float[torch.Tensor, "batch token channel"]]:
    """The gradient of a random mix of the outputs by the tokens that each block gives to the head directly.

    It is zero for every block but the last, unless the head reads several blocks.

    Args:
        model: an unwrapped module.
        run: runs it.
        x: the batch.
        seen: a forward of the batch.
        anatomy: what one forward showed.

    Raises:
        ModelError: if the head cannot be run by itself, or its outputs do not depend on the last block.
    """
    blocks = seen.blocks
    tokens = [block.tokens.detach().requires_grad_() for block in blocks]
    with ExitStack() as stack:
        stack.enter_context(torch.enable_grad())
        watch = None
        if anatomy.classifier is not None:
            watch = stack.enter_context(InputOf(model.get_submodule(anatomy.classifier)))
        with head_only(blocks, tokens):
            logits = run(x).logits
    check_same(
        logits, seen.outputs.logits, precision_of(model, x), "The head, run by itself on the blocks' tokens,"
    )
    ends = [logits]
    if watch is not None and isinstance(watch.value, torch.Tensor):
        # the classifier's input too: a classifier of zeros, as some are initialised, hides what it reads
        ends.append(watch.value)
    ends = [end for end in ends if end.requires_grad]
    generator = torch.Generator().manual_seed(0)
    mixes = [torch.rand(end.shape, generator=generator).add(0.5).to(end) for end in ends]
    found = torch.autograd.grad(ends, tokens, mixes, allow_unused=True) if ends else [None] * len(tokens)
    reading = [torch.zeros_like(t) if g is None else g for g, t in zip(found, tokens, strict=True)]
    if not bool(reading[-1].any()):
        raise ModelError(
            "The head does not depend on the last block's tokens by a gradient, so what it reads cannot be found. "
            f"{INSTEAD}"
        )
    return reading


def read_share(
    gradient: Float[torch.Tensor, "batch token channel"], prefix: int
) -> Float[torch.Tensor, " token"]:
    """The share of each token in what the head reads; the shares sum to one.

    A token whose gradient is zero is not read. Where the head reads only patches, or only tokens in front of them
    (class token, registers), all that are read count alike. Where it reads both, the size of the gradients tells how:
    if a token in front weighs about as much as one patch, the head averages them all, and all count alike; if it weighs
    far more, the head reads the tokens in front beside the mean of the patches (DINOv2's classifier), and each of the
    two sides is half.

    Args:
        gradient: of a mix of the outputs by the last block's tokens, see `head_gradients`.
        prefix: how many tokens stand in front of the patches.
    """
    weight = widened(gradient).square().sum(-1).mean(0).sqrt()
    read = (weight > 1e-6 * weight.max()).to(weight.dtype)
    in_front, patches = read.clone(), read.clone()
    in_front[prefix:] = 0
    patches[:prefix] = 0
    if not bool(in_front.any()) or not bool(patches.any()):
        return read / read.sum()
    ratio = (weight * in_front).sum() / in_front.sum() / ((weight * patches).sum() / patches.sum())
    if bool(ratio < patches.sum().sqrt()):
        return read / read.sum()
    return (in_front / in_front.sum() + patches / patches.sum()) / 2
