"""The attention of a transformer over one grid of patches: its probabilities, and what the score says of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float, Shaped
from torch import nn

from camscope.errors import ModelError, TargetError
from camscope.evidence import Attention, AttentionLayer
from camscope.models.grid import Grid
from camscope.models.torch.anatomy.examine import Anatomy, examine
from camscope.models.torch.attention.calls import AttentionCall, AttentionCalls
from camscope.models.torch.hooks.modules import (
    first_tensor,
    named_layers,
    replace_first_tensor,
    replaced_forward,
)
from camscope.models.torch.hooks.record import InputOf
from camscope.models.torch.precision import widened
from camscope.models.torch.reruns.rerun import Run
from camscope.outputs import Outputs
from camscope.targets import Targets

_INSTEAD = "Methods that need no attention work here: gradcam, hirescam."


def attention_of(
    model: nn.Module,
    run: Run,
    x: Shaped[torch.Tensor, batch * size],
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

    The score of block l (LeGrad, METHODS §1.34) is the target's score of the model's own head applied to the tokens
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
        seen = _watch(model, run, x)
    _check_same(seen.outputs.logits[:1], plain, _precision(model, x), "Computed step by step, the attention")
    tokens = _tokens(seen.calls, x.shape[0])
    if anatomy is None:
        anatomy = examine(model, lambda image: (run_first or run)(image).logits, x[:1])
    grid = _grid(anatomy, tokens)
    reading = _reading(model, run, x, seen, anatomy)
    per_block: tuple[torch.Tensor, ...] = ()
    if blocks and targets is not None:
        if any(bool(g.any()) for g in reading[:-1]):
            raise ModelError(
                "The head depends on more than the last block's tokens: either it reads several blocks, or the "
                "residual stream passes beside the modules that hold the attention. Then no block has a score of its "
                "own (legrad); chefer and rollout work here."
            )
        per_block = _block_gradients(run, x, targets, seen)
    return Attention(
        layers=tuple(_layers(seen, targets if graded else None)),
        space=grid.space,
        prefix=grid.prefix,
        readout=_readout(reading[-1], grid.prefix),
        blocks=per_block,
    )


# ------------------------------------------------------------------ one forward, watched


@dataclass(frozen=True)
class _Block:
    """The block of one attention layer: the outermost module around it and no other, and what it put out."""

    module: nn.Module
    output: Any

    @property
    def tokens(self) -> Float[torch.Tensor, "batch token channel"]:
        return cast(torch.Tensor, first_tensor(self.output))


@dataclass(frozen=True)
class _Seen:
    """One forward."""

    outputs: Outputs
    calls: list[AttentionCall]
    found: dict[int, _Block]

    @property
    def blocks(self) -> list[_Block]:
        """The block of every layer.

        Raises:
            ModelError: if a layer has none.
        """
        for i in range(len(self.calls)):
            if i not in self.found:
                raise ModelError(
                    f"Attention layer {i} is in no block of its own that puts out tokens (batch, token, channel), so "
                    f"what the head reads cannot be found. {_INSTEAD}"
                )
        return [self.found[i] for i in range(len(self.calls))]


def _watch(model: nn.Module, run: Run, x: torch.Tensor) -> _Seen:
    """Run the batch and keep its attention, and the block around each."""
    modes = AttentionCalls()
    found: dict[int, _Block] = {}
    begun: list[int] = []

    def enter(_module: nn.Module, _inputs: Any) -> None:
        begun.append(len(modes.calls))

    def leave(module: nn.Module, _inputs: Any, output: Any) -> None:
        start = begun.pop()
        tokens = first_tensor(output)
        # modules finish from the inside out, so the outermost is the last to be written here
        if len(modes.calls) == start + 1 and tokens is not None and tokens.ndim == 3:
            count = modes.calls[start].weights.shape[-1]
            if tokens.shape[:2] == (x.shape[0], count):
                found[start] = _Block(module, output)

    with ExitStack() as stack:
        for module in named_layers(model).values():
            stack.callback(module.register_forward_pre_hook(enter).remove)
            stack.callback(module.register_forward_hook(leave).remove)
        with modes:
            outputs = run(x)
    return _Seen(outputs, modes.calls, found)


def _tokens(calls: Sequence[AttentionCall], batch: int) -> int:
    """The number of tokens, the same in every layer.

    Raises:
        ModelError: if there is no such number; the message says why.
    """
    if not calls:
        raise ModelError(
            "No attention was seen in this model's forward: no scaled_dot_product_attention, no nn.MultiheadAttention, "
            "no softmax over keys times values. If it runs a kernel of its own (flash_attn, xformers, "
            f"flex_attention), switch it to attn_implementation='sdpa' or 'eager'. {_INSTEAD}"
        )
    for i, call in enumerate(calls):
        shape = tuple(call.weights.shape)
        where = f"Attention layer {i} has weights of shape {shape}"
        if shape[-2] != shape[-1]:
            raise ModelError(
                f"{where}, {shape[-2]} queries over {shape[-1]} keys: attention pooling, a class token's attention or "
                f"reduced keys. Attention methods need self-attention over one grid of patches. {_INSTEAD}"
            )
        if shape[0] != batch or len(shape) > 4:
            raise ModelError(
                f"{where} for {batch} images: attention within windows (as in Swin) or groups. Attention methods "
                f"need every token to attend to every other. {_INSTEAD}"
            )
    counts = list(dict.fromkeys(call.weights.shape[-1] for call in calls))
    if len(counts) > 1:
        raise ModelError(
            f"The layers attend over {', '.join(map(str, counts))} tokens. Attention methods follow one set of tokens "
            f"through all layers. {_INSTEAD}"
        )
    return counts[0]


def _grid(anatomy: Anatomy, tokens: int) -> Grid:
    """Where the patches are among the tokens.

    Raises:
        ModelError: if no layer puts out that many tokens with a grid in them.
    """
    for layer in reversed(anatomy.layers):
        of_text = layer.grid.layout == "channels-last" and len(layer.grid.space) == 1
        if (layer.grid.layout == "tokens" or of_text) and layer.shape[1] == tokens:
            return layer.grid
    raise ModelError(
        f"The model attends over {tokens} elements, but no layer puts out {tokens} tokens over a grid of patches. "
        f"Attention over channels, or beside convolutions, gives no map. {_INSTEAD}"
    )


def _precision(model: nn.Module, x: torch.Tensor) -> torch.dtype:
    """What the model computes in; of token numbers its weights tell."""
    if x.is_floating_point():
        return x.dtype
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)


def _check_same(logits: torch.Tensor, expected: torch.Tensor, precision: torch.dtype, what: str) -> None:
    """Whether the logits are the model's own to 10⁻³ of the largest, or to the rounding of half precision."""
    tolerance = max(1e-3, 8 * torch.finfo(precision).eps)
    off = (logits.detach() - expected.detach()).abs().max()
    scale = expected.abs().max()
    # an output of zeros (a classifier that was just initialised) must come out as zeros
    if not bool(off <= tolerance * scale):
        raise ModelError(
            f"{what} does not reproduce this model's output: it differs by {float(off):.2g} where the largest logit is "
            f"{float(scale):.2g}. {_INSTEAD}"
        )


# ------------------------------------------------------------------ gradients


def _layers(seen: _Seen, targets: Targets | None) -> Iterator[AttentionLayer]:
    if targets is None:
        for call in seen.calls:
            yield AttentionLayer(_per_head(call.weights.detach()))
        return
    tensors = [call.weights for call in seen.calls]
    outputs = [call.outputs for call in seen.calls if call.outputs is not None]
    by = _gradients(targets.scores(seen.outputs), [*tensors, *outputs])
    of_outputs = iter(by[len(tensors) :])
    for call, by_weights in zip(seen.calls, by, strict=False):
        yield AttentionLayer(
            weights=_per_head(call.weights.detach()),
            gradients=by_weights,
            queries=_kept(call.queries),
            keys=_kept(call.keys),
            values=_kept(call.values),
            output_gradients=None if call.outputs is None else next(of_outputs),
        )


def _gradients(
    scores: Float[torch.Tensor, "batch target"], tensors: Sequence[torch.Tensor]
) -> list[Float[torch.Tensor, "batch target head query _"]]:
    """∂score/∂tensor of each target: one backward per target, to the first of the tensors.

    Raises:
        TargetError: if the scores depend on none of them.
    """
    if not scores.requires_grad:
        raise TargetError(
            "The score does not depend on the attention by a gradient: the target function, or the model's forward, "
            "cuts the graph (no_grad, detach, argmax)."
        )
    count = scores.shape[1]
    per_target = []
    for t in range(count):
        found = torch.autograd.grad(
            scores[:, t].sum(), tensors, retain_graph=t + 1 < count, allow_unused=True
        )
        per_target.append(
            [_per_head(torch.zeros_like(a) if g is None else g) for g, a in zip(found, tensors, strict=True)]
        )
    return [torch.stack(gradients, dim=1) for gradients in zip(*per_target, strict=True)]


def _per_head(x: Shaped[torch.Tensor, "*shape"]) -> Shaped[torch.Tensor, "batch head token _"]:
    """A single head gets its axis; half precision is widened."""
    return widened(x if x.ndim == 4 else x[:, None])


def _kept(x: torch.Tensor | None) -> torch.Tensor | None:
    return None if x is None else _per_head(x.detach())


# ------------------------------------------------------------------ the head on any block's tokens


@contextmanager
def _head_only(blocks: Sequence[_Block], tokens: Sequence[torch.Tensor]) -> Iterator[None]:
    """Within this context the model runs its embedding and its head only: each block puts out the given tokens.

    A module that is called several times is each of its blocks in turn.
    """
    turn = itertools.count()

    def forward(*_args: Any, **_kwargs: Any) -> Any:
        i = next(turn) % len(blocks)
        return replace_first_tensor(blocks[i].output, tokens[i])

    with ExitStack() as stack:
        for module in {id(block.module): block.module for block in blocks}.values():
            stack.enter_context(replaced_forward(module, forward))
        yield


def _block_gradients(
    run: Run, x: torch.Tensor, targets: Targets, seen: _Seen
) -> tuple[Float[torch.Tensor, "batch target head query key"], ...]:
    """∂s^l/∂weights^l of each block's own score, by one backward per target for all blocks."""
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
            stack.callback(module.register_forward_hook(cut).remove)
        with calls:
            run(x)
    scores = []
    before = [tokens.detach() for tokens in put_out[:-1]]
    for tokens in put_out:
        with _head_only(blocks, [*before, tokens]):
            scores.append(targets.scores(run(x)))
    return tuple(_gradients(torch.stack(scores).sum(0), [call.weights for call in calls.calls]))


def _reading(
    model: nn.Module, run: Run, x: torch.Tensor, seen: _Seen, anatomy: Anatomy
) -> list[Float[torch.Tensor, "batch token channel"]]:
    """A random mix of the outputs, differentiated by the tokens that each block gives to the head itself.

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
        with _head_only(blocks, tokens):
            logits = run(x).logits
    _check_same(
        logits, seen.outputs.logits, _precision(model, x), "The head, run by itself on the blocks' tokens,"
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
            f"{_INSTEAD}"
        )
    return reading


def _readout(gradient: Float[torch.Tensor, "batch token channel"], prefix: int) -> Float[torch.Tensor, token]:
    """The share of each token in what the head reads, from the gradient by the last block's tokens.

    What gets nothing is not read. Of the tokens in front, each that is read counts alike; patches are read as
    one mean. If both are, and the tokens in front weigh about as much as a single patch does, the head averages them
    all; if they weigh far more, it reads both side by side (DINOv2's classifier), and each side is half.
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
