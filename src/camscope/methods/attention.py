"""The attention family: maps of a transformer as a whole, from its attention probabilities and their gradients.

Every map starts from the tokens that the head reads (CLS, or all those it averages) and says how much each patch
contributes to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

from array_api_compat import array_namespace
from einops import einsum, reduce
from jaxtyping import Float

from camscope.arrays import Array, relu
from camscope.errors import MethodError
from camscope.evidence import Attention, ModelEvidence, Need
from camscope.methods.parameters import Count
from camscope.methods.registry import method

_TO_FIRST = "1 forward + 1 backward per target, to the first attention layer"


@method(
    "rollout",
    needs={Need.ATTENTION},
    paper="Abnar & Zuidema, ACL 2020, arXiv:2005.00928",
    advice="Where information could come from through all layers, whatever the class. Not evidence for a class.",
    cost="1 forward",
    class_specific=False,
    rectified=False,
    scope="model",
)
def rollout(
    evidence: ModelEvidence, *, heads: Literal["mean", "max", "min"] = "mean"
) -> Float[Array, "batch 1 *space"]:
    """R = Ā_L … Ā_1, the row of what the head reads; Ā = ½A + ½I, A the mean over heads, its rows summing to 1.

    Computed as v ← vĀ from the last layer to the first, which needs no product of matrices.

    Args:
        evidence: the evidence of the model, with its attention.
        heads: how the heads are combined. The paper takes the mean; max and min are in use too, and their rows are
            normalised after the identity is added.
    """
    attention = _attention(evidence)
    row = _start(attention)
    for layer in reversed(attention.layers):
        A = reduce(layer.weights, "b h q k -> b q k", heads)
        share = row / (reduce(A, "b q k -> b 1 q", "sum") + 1)
        row = einsum(share, A, "b t q, b q k -> b t k") + share
    return _map(row, attention)


@method(
    "attention",
    needs={Need.ATTENTION},
    paper="as in DINO, Caron et al., ICCV 2021, arXiv:2104.14294",
    advice="The last layer's attention, raw: a baseline for attention methods. It shows where the last layer looks, "
    "after tokens were mixed by all the others.",
    cost="1 forward",
    class_specific=False,
    rectified=False,
    scope="model",
)
def attention_map(evidence: ModelEvidence) -> Float[Array, "batch 1 *space"]:
    """The last layer's attention of what the head reads, the mean over heads."""
    attention = _attention(evidence)
    weights = attention.layers[-1].weights
    return _map(einsum(_start(attention), reduce(weights, "b h q k -> b q k", "mean"), _ROW), attention)


@method(
    "chefer",
    needs={Need.ATTENTION_GRADIENTS},
    paper="Chefer, Gur & Wolf, ICCV 2021, arXiv:2103.15679",
    advice="The standard for ViTs: class-specific relevance through all layers. Positive evidence only.",
    cost=_TO_FIRST,
    scope="model",
)
def chefer(evidence: ModelEvidence) -> Float[Array, "batch target *space"]:
    """R ← R + ĀR from R = I, the row of what the head reads; Ā = mean over heads of relu(∇A ⊙ A) (eq. 5 and 6).

    Computed as v ← v + vĀ from the last layer to the first.
    """
    attention = _attention(evidence)
    row = _start(attention)
    for layer in reversed(attention.layers):
        relevance = relu(cast(Array, layer.gradients) * layer.weights[:, None])
        row = row + einsum(row, reduce(relevance, "b t h q k -> b t q k", "mean"), _CLASS_ROW)
    return _map(row, attention)


@method(
    "legrad",
    needs={Need.BLOCK_GRADIENTS},
    paper="Bousselham et al., ICCV 2025, arXiv:2404.03214",
    advice="How each block's attention would raise the score of its own tokens: sharp on CLIP-like models. "
    "Early blocks of a classifier add noise: try last=2.",
    cost="2 forwards + 1 backward per target, to the first attention layer",
    scope="model",
)
def legrad(
    evidence: ModelEvidence, *, last: Count | None = None, blocks: tuple[int, ...] | None = None
) -> Float[Array, "batch target *space"]:
    """Σ_l mean over heads and queries of relu(∂s^l/∂A^l), s^l the score of block l's own tokens.

    The score of a block is what the model's own head makes of its tokens (of CLS, for a head that reads CLS). The
    official code averages all tokens instead, and uses the last 2 blocks of CLIP.

    Args:
        evidence: the evidence of the model, with block-wise attention gradients.
        last: how many of the last blocks to sum; None sums all.
        blocks: the numbers of the blocks to sum, from 0; negative ones count from the end.

    Raises:
        MethodError: if both are given, or the model has no such block.
    """
    attention = _attention(evidence)
    first, *others = _chosen_blocks(attention.blocks, last, blocks)
    total = reduce(relu(first), "b t h q k -> b t k", "mean")
    for gradients in others:
        total = total + reduce(relu(gradients), "b t h q k -> b t k", "mean")
    return _map(total, attention)


@method(
    "grad-eclip",
    needs={Need.ATTENTION_GRADIENTS},
    paper="Zhao et al., ICML 2024",
    advice="Made for CLIP: which patches the last layer's attention takes the score from. Looks at one layer only.",
    cost=_TO_FIRST,
    scope="model",
)
def grad_eclip(evidence: ModelEvidence, *, single_head: bool = False) -> Float[Array, "batch target *space"]:
    """ReLU(Σ_d ∂s/∂o_d · v_{i,d} · λ_i), λ the cosine of the reader's query and each patch's key, min-max over patches.

    All are of the last attention layer; o is its output for the token that the head reads, before the output
    projection. If the head reads several tokens, their maps are summed.

    Args:
        evidence: the evidence of the model, with attention gradients.
        single_head: whether λ is the cosine over all heads together, as in the official code. That code also runs the
            layer again as one head, and so explains another score; here the model's own score is explained.

    Raises:
        MethodError: if the model computes its attention in a way that does not show queries, keys and values.
    """
    attention = _attention(evidence)
    layer = attention.layers[-1]
    if layer.queries is None or layer.keys is None or layer.values is None or layer.output_gradients is None:
        raise MethodError(
            "grad-eclip needs the queries, keys and values of the last attention layer, and this model's attention "
            "does not show them. chefer and legrad need its probabilities only."
        )
    xp = array_namespace(layer.weights)
    (readers,) = xp.nonzero(attention.readout)
    keys, values = layer.keys[:, :, attention.prefix :], layer.values[:, :, attention.prefix :]
    queries = xp.take(layer.queries, readers, axis=2)
    gradients = xp.take(layer.output_gradients, readers, axis=3)
    if single_head:
        similarity = einsum(queries, keys, "b h q d, b h k d -> b q k")[:, None]
        lengths = (_squares(queries, "b h q d -> b 1 q 1"), _squares(keys, "b h k d -> b 1 1 k"))
    else:
        similarity = einsum(queries, keys, "b h q d, b h k d -> b h q k")
        lengths = (_squares(queries, "b h q d -> b h q 1"), _squares(keys, "b h k d -> b h 1 k"))
    cosine = _quotient(similarity, xp.sqrt(lengths[0]) * xp.sqrt(lengths[1]))
    low = xp.min(cosine, axis=-1, keepdims=True)
    loosened = _quotient(cosine - low, xp.max(cosine, axis=-1, keepdims=True) - low)
    evidence_of = einsum(gradients, values, "b t h q d, b h k d -> b t h q k")
    contributions = reduce(evidence_of * loosened[:, None], "b t h q k -> b t k", "sum")
    return xp.reshape(contributions, (*contributions.shape[:2], *attention.space))


def _chosen_blocks(
    every: Sequence[Array], last: int | None, numbers: Sequence[int] | None
) -> Sequence[Array]:
    if numbers is None:
        return every if last is None else every[-last:]
    if last is not None:
        raise MethodError("legrad: last= and blocks= are given; the last two blocks are blocks=[-2, -1].")
    for number in numbers:
        if not -len(every) <= number < len(every):
            raise MethodError(
                f"legrad: there is no block {number}; the model has {len(every)}, 0 to {len(every) - 1}."
            )
    return [every[number] for number in dict.fromkeys(number % len(every) for number in numbers)]


_ROW = "b t q, b q k -> b t k"
_CLASS_ROW = "b t q, b t q k -> b t k"


def _attention(evidence: ModelEvidence) -> Attention:
    return cast(Attention, evidence.attention)


def _start(attention: Attention) -> Float[Array, "batch 1 token"]:
    """The row to start from: each token's share in what the head reads."""
    xp = array_namespace(attention.readout)
    batch = attention.layers[0].weights.shape[0]
    return xp.broadcast_to(attention.readout, (batch, 1, attention.readout.shape[0]))


def _map(
    row: Float[Array, "batch target_or_1 token"], attention: Attention
) -> Float[Array, "batch target_or_1 *space"]:
    """The patches' part of a row of tokens, as a map; the tokens before the patches have no position."""
    patches = row[..., attention.prefix :]
    return array_namespace(row).reshape(patches, (*row.shape[:2], *attention.space))


def _squares(x: Float[Array, "batch head token width"], pattern: str) -> Float[Array, " ..."]:
    return reduce(x * x, pattern, "sum")


def _quotient(a: Float[Array, "*shape"], b: Float[Array, " ..."]) -> Float[Array, "*shape"]:
    """The quotient a / b, and zero where b is zero (where a vector has length 0, or all keys are alike)."""
    xp = array_namespace(a)
    return xp.where(b == 0, xp.zeros_like(a), a / xp.where(b == 0, xp.ones_like(b), b))
