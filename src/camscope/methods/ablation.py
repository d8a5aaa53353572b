"""Maps from what the part after the layer answers when channels or positions of its activations are set to zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

import numpy as np
from array_api_compat import array_namespace, device
from einops import einsum, rearrange, reduce
from jaxtyping import Bool, Float, Int

from camscope.arrays import Array, channel_sum, from_numpy
from camscope.errors import MethodError
from camscope.evidence import Evidence, LinearHead, ModelEvidence, Need, Rerun, Responses, SuffixRerun
from camscope.methods.channels import nonzero, pick
from camscope.methods.registry import BehindLinearHead, method
from camscope.methods.shared import shared

_POSITIONS = "1 forward + 1 re-run of the part after the layer per position (all targets at once)"


@method(
    "ablationcam",
    needs={Need.ACTIVATIONS, Need.SUFFIX},
    uses={Need.LINEAR_HEAD},
    paper="Desai & Ramaswamy, WACV 2020, doi:10.1109/WACV45572.2020.9093360",
    advice="Gradient-free and stable; on a GAP + linear head the map of LIFT-CAM, exact and cheap. Elsewhere a re-run "
    "per live channel; channels that can replace each other both look unimportant.",
    cost="1 forward, and 4 to try a GAP + linear head; else 1 forward + 1 re-run of the part after the layer per "
    "live channel (all targets at once)",
    behind_linear_head=BehindLinearHead("ablationcam", of_logits=True),
    explains={"class", "instance"},
)
def ablation_cam(evidence: Evidence) -> Float[Array, "batch target *space"]:
    """ReLU(Σ_k w_k A^k), w_k = (y − y_k) / |y|, y_k the score without channel k (eq. 2; |y|, not y: see below).

    With y itself as divisor, as printed, a negative score would turn every sign and show evidence against as
    evidence for. Where y = 0 the divisor is 1. Behind a linear head a logit has y − y_k = w_k · mean_ij F_ij^k.
    """
    scores, drops = _closed_form(evidence) or _one_by_one(evidence)
    xp = array_namespace(scores)
    divisor = xp.where(scores == 0, xp.ones_like(scores), xp.abs(scores))
    return channel_sum(drops / divisor[..., None], evidence.activations)


@method(
    "liftcam",
    needs={Need.ACTIVATIONS, Need.LINEAR_HEAD},
    paper="Jung & Oh, ICCV 2021, arXiv:2102.05228",
    advice="Weighs each channel by its exact Shapley value. Only behind a GAP + linear head, where DeepLIFT is exact; "
    "there it is Ablation-CAM up to scale. For other heads use ablationcam.",
    behind_linear_head=BehindLinearHead("ablationcam", of_logits=True),
)
def lift_cam(evidence: Evidence) -> Float[Array, "batch target *space"]:
    """ReLU(Σ_k c_k A^k), c_k = w_k · mean_ij F_ij^k, channel k's share in the score (eq. 8, DeepLIFT from A = 0).

    Raises:
        MethodError: for a score that is not linear in the pooled channels, for which the shares would not be exact;
            likewise for a head that is linear at these inputs only, or not known to be so elsewhere.
    """
    head = cast(LinearHead, evidence.head)
    if not head.linear:
        raise MethodError(
            "liftcam is exact for logits only: a probability is no sum of the channels' shares. Explain the logit, or "
            "use ablationcam."
        )
    if not head.holds_when_altered():
        raise MethodError(
            "liftcam is exact behind a linear head only. This head is linear at these inputs, but not once channels "
            "are taken away, or that cannot be told (checked in numbers, and by what the model computes): a ReLU, a "
            "clamp or a branch behind it, say. Use ablationcam, which runs the model without each channel."
        )
    return channel_sum(_shares(head), evidence.activations)


@method(
    "reciprocam",
    needs={Need.ACTIVATIONS, Need.SUFFIX},
    paper="Byun & Lee, CVPRW 2024, arXiv:2209.14074",
    advice="Gradient-free and cheap: a few dozen short re-runs give all classes. Judges each position alone, without "
    "its surroundings. With of=logit on a GAP + linear head it is CAM.",
    cost=_POSITIONS,
    rectified=False,
)
def recipro_cam(
    evidence: Evidence, *, of: Literal["probability", "logit"] = "probability"
) -> Float[Array, "batch target *space"]:
    """M_ij = p_c of A with everything but position ij set to zero (eq. 1 to 3; `of=logit`: its score)."""
    return _position_map(evidence, _alone, of)


@method(
    "reciprocam-gaussian",
    needs={Need.ACTIVATIONS, Need.SUFFIX},
    paper="Byun & Lee, CVPRW 2024, arXiv:2209.14074, the authors' code",
    advice="Recipro-CAM with each position's features spread over its 3×3 neighbourhood: smoother, for layers that "
    "convolutions still follow.",
    cost=_POSITIONS,
    rectified=False,
)
def recipro_cam_gaussian(
    evidence: Evidence, *, of: Literal["probability", "logit"] = "probability"
) -> Float[Array, "batch target *space"]:
    """M_ij = p_c of the vector A_ij copied over its neighbourhood, times 1/16 … 1/4; zero elsewhere.

    The weights are outer products of [¼, ½, ¼], along as many axes as there are.
    """
    return _position_map(evidence, _copied, of)


@method(
    "vit-reciprocam",
    needs={Need.ACTIVATIONS, Need.SUFFIX},
    paper="Byun & Lee 2023, arXiv:2310.02588, OpenVINO-XAI's code",
    advice="For transformers that read a class token; at the last block's norm1 it equals OpenVINO-XAI's map. At a "
    "block's output the next LayerNorm undoes the weights.",
    cost=_POSITIONS,
    rectified=False,
)
def vit_recipro_cam(evidence: Evidence) -> Float[Array, "batch target *space"]:
    """M_ij = y_c of A times a 3×3 Gaussian (1/16 … 1/4) around ij: the true neighbours, prefix tokens as they are.

    The original weighs the input of the k-th block from the end, on the skip and behind its first LayerNorm. For
    k = 1 and a head that reads CLS alone, only what is behind the LayerNorm counts, so that layer says it all.
    """
    return _position_map(evidence, _weighed, "logit")


def _shares(head: LinearHead) -> Float[Array, "batch target channel"]:
    return head.weights * reduce(head.features, "b c ... -> b 1 c", "mean")


_Drops = tuple[Float[Array, "batch target"], Float[Array, "batch target channel"]]


def _closed_form(evidence: Evidence) -> _Drops | None:
    """The scores and each channel's share in them; None unless the scores are linear in the pooled channels.

    They must be that also without some of the channels, since the shares say what the scores would be then.
    """
    if evidence.head is None or not evidence.head.linear or not evidence.head.holds_when_altered():
        return None
    shares = _shares(evidence.head)
    scores = cast(ModelEvidence, evidence.model).responses.scores
    return array_namespace(shares).astype(scores, shares.dtype), shares


def _one_by_one(evidence: Evidence) -> _Drops:
    """The scores, and how much each of them falls without each channel."""
    A, suffix = evidence.activations, cast(SuffixRerun, evidence.suffix)
    xp = array_namespace(A)
    scores, drops = [], []
    for image, alive in enumerate(nonzero(evidence)):
        live = np.flatnonzero(alive)
        # the number −1 sets no channel to zero: the last variant is the clean image
        answers = suffix.without(image, A[image], np.append(live, -1)).scores
        answers = xp.astype(answers, A.dtype)
        # a channel that is zero already changes nothing: its entry points at the last difference, which is zero
        order = np.full(A.shape[1], live.size)
        order[live] = np.arange(live.size)
        scores.append(answers[-1])
        drops.append(pick(answers[-1:] - answers, order))
    return xp.stack(scores), rearrange(xp.stack(drops), "b c t -> b t c")


_Alter = Callable[
    [Float[Array, " channel *space"], Int[np.ndarray, " chunk"]], Float[Array, "chunk channel *space"]
]


@shared
def _position_responses(evidence: Evidence, alter: _Alter) -> list[Responses]:
    """The responses to each image's activations, altered for one position after the other."""
    A, rerun = evidence.activations, cast(Rerun, evidence.suffix)
    positions = int(np.prod(A.shape[2:]))

    def responses(image: int) -> Responses:
        return rerun(image, positions, lambda numbers: alter(A[image], numbers))

    return [responses(image) for image in range(A.shape[0])]


def _position_map(
    evidence: Evidence, alter: _Alter, of: Literal["probability", "logit"]
) -> Float[Array, "batch target *space"]:
    """A map that holds at each position what the model answers to the activations altered for that position."""
    A = evidence.activations
    xp = array_namespace(A)
    responses = _position_responses(evidence, alter)
    answers = xp.stack([r.probabilities if of == "probability" else r.scores for r in responses])
    maps = rearrange(xp.astype(answers, A.dtype), "b n t -> b t n")
    return xp.reshape(maps, (*maps.shape[:2], *A.shape[2:]))


def _alone(
    activations: Float[Array, " channel *space"], numbers: Int[np.ndarray, " chunk"]
) -> Float[Array, "chunk channel *space"]:
    """One variant for each position: the activations there, and zero elsewhere."""
    xp = array_namespace(activations)
    kept: Bool[np.ndarray, "chunk position"] = numbers[:, None] == np.arange(np.prod(activations.shape[1:]))
    kept = xp.reshape(xp.asarray(kept, device=device(activations)), (len(numbers), 1, *activations.shape[1:]))
    return xp.where(kept, activations, xp.zeros_like(activations))


def _copied(
    activations: Float[Array, " channel *space"], numbers: Int[np.ndarray, " chunk"]
) -> Float[Array, "chunk channel *space"]:
    """One variant for each position: its feature vector copied to its neighbourhood, times a Gaussian around it."""
    vectors = pick(rearrange(activations, "c ... -> (...) c"), numbers)
    return einsum(vectors, _gaussians(activations, numbers), "n c, n ... -> n c ...")


def _weighed(
    activations: Float[Array, " channel *space"], numbers: Int[np.ndarray, " chunk"]
) -> Float[Array, "chunk channel *space"]:
    """One variant for each position: the activations times a Gaussian around it."""
    return activations * _gaussians(activations, numbers)[:, None]


def _gaussians(
    activations: Float[Array, " channel *space"], numbers: Int[np.ndarray, " chunk"]
) -> Float[Array, " chunk *space"]:
    """Outer products of [¼, ½, ¼] around these positions, cut off at the edges."""
    space = tuple(activations.shape[1:])
    weights = np.ones((len(numbers), *space))
    for axis, centres in enumerate(np.unravel_index(numbers, space)):
        distance = np.abs(centres[:, None] - np.arange(space[axis]))
        along = np.where(distance > 1, 0.0, 0.5 - 0.25 * distance)
        shape = [len(numbers)] + [1] * len(space)
        shape[axis + 1] = space[axis]
        weights = weights * along.reshape(shape)
    return from_numpy(weights, like=activations)
