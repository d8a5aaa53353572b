"""Score-CAM in the variants that are in use: each channel is weighted by the score of the input masked with it."""

from __future__ import annotations

from typing import Literal, cast

import numpy as np
from array_api_compat import array_namespace, device
from einops import reduce
from jaxtyping import Bool, Float, Int

from camscope.arrays import Array, to_numpy
from camscope.evidence import Evidence, Need
from camscope.methods.channels import largest, spread, varying
from camscope.methods.masks import normalised, responses_through, weighted_channels
from camscope.methods.parameters import Count
from camscope.methods.registry import method
from camscope.methods.shared import shared

_NEEDS = {Need.ACTIVATIONS, Need.MASKED}
_PAPER = "Wang et al., CVPRW 2020, arXiv:1910.01279"
_COST = "1 forward + 1 masked forward per live channel (all targets at once; top=N: at most N)"


@method(
    "scorecam",
    needs=_NEEDS,
    paper=f"{_PAPER}, the authors' code",
    advice="Gradient-free; as its authors' code computes it, not as the paper prints it. Hundreds to thousands of "
    "forwards: top=N keeps the channels of largest spread.",
    cost=_COST,
)
def score_cam(evidence: Evidence, *, top: Count | None = None) -> Float[Array, "batch target *space"]:
    """ReLU(Σ_k p_c(x ⊙ H_k) A^k), H_k = mm(up(A^k)), over the channels that are not constant.

    Args:
        evidence: the evidence at the layer.
        top: how many channels are used, those of largest standard deviation (Faster-Score-CAM); None uses all.
    """

    def weigh(image: int, channels: Int[np.ndarray, " n"]) -> Float[Array, "n target"]:
        return responses_through(evidence, image, channels, normalised).probabilities

    return weighted_channels(evidence, weigh, _worth_a_run(evidence, top))


@method(
    "scorecam-paper",
    needs=_NEEDS,
    paper=f"{_PAPER}, algorithm 1 on probabilities",
    advice="Score-CAM as printed, on probabilities: the softmax over channels leaves nearly even weights, so the map "
    "is close to the mean activation.",
    cost=_COST,
)
def score_cam_paper(evidence: Evidence, *, top: Count | None = None) -> Float[Array, "batch target *space"]:
    """ReLU(Σ_k α_k A^k), α = softmax over k of p_c(x ⊙ H_k) − p_c(baseline); the baseline cancels in the softmax.

    Constant channels are left out. They would only add to the softmax's denominator, which scales the map by a
    positive number, and, where they are not zero, add the same value to every position.

    Args:
        evidence: the evidence at the layer.
        top: how many channels are used, those of largest standard deviation; None uses all.
    """
    return _by_softmax(evidence, top, "probabilities")


@method(
    "scorecam-paper-logit",
    needs=_NEEDS,
    paper=f"{_PAPER}, algorithm 1 on logits",
    advice="Score-CAM as printed, on logits, as pytorch-grad-cam and torch-cam have it: the softmax over channels "
    "leaves few of them, sometimes one.",
    cost=_COST,
)
def score_cam_paper_logit(
    evidence: Evidence, *, top: Count | None = None
) -> Float[Array, "batch target *space"]:
    """ReLU(Σ_k α_k A^k), α = softmax over k of y_c(x ⊙ H_k) − y_c(baseline); constant channels as for scorecam-paper.

    Args:
        evidence: the evidence at the layer.
        top: how many channels are used, those of largest standard deviation; None uses all.
    """
    return _by_softmax(evidence, top, "scores")


@method(
    "gscorecam",
    needs={*_NEEDS, Need.GRADIENTS},
    paper="Chen et al., ACCV 2022",
    advice="Score-CAM on the few hundred channels with the largest mean gradient; made for CLIP. The softmax over "
    "logits leaves few of them.",
    cost="1 forward + 1 short backward per target + 1 masked forward per channel chosen by any target",
)
def gscore_cam(evidence: Evidence, *, top: Count = 300) -> Float[Array, "batch target *space"]:
    """ReLU(Σ_k α_k A^k) over the channels of largest mean gradient, α = softmax over those of y_c(x ⊙ H_k).

    In the authors' code the channels that were not chosen take part in the softmax with a score of 0. Beside CLIP's
    logits of 20 and more that is negligible, for other models it is not; here they do not take part.

    Args:
        evidence: the evidence at the layer.
        top: how many channels are chosen for each target.
    """
    chosen = _steepest(evidence, top)

    def weigh(image: int, channels: Int[np.ndarray, " n"]) -> Float[Array, "n target"]:
        seen = responses_through(evidence, image, channels, normalised)
        return _softmax(seen.scores, chosen[image][:, channels].T)

    return weighted_channels(evidence, weigh, np.any(chosen, axis=1))


def _by_softmax(
    evidence: Evidence, top: int | None, of: Literal["probabilities", "scores"]
) -> Float[Array, "batch target *space"]:
    """Σ_k α_k A^k, α the softmax over channels of the model's answers to the input masked with each (algorithm 1)."""

    def weigh(image: int, channels: Int[np.ndarray, " n"]) -> Float[Array, "n target"]:
        answers = getattr(responses_through(evidence, image, channels, normalised), of)
        return _softmax(answers, np.ones((channels.size, 1), dtype=bool))

    return weighted_channels(evidence, weigh, _worth_a_run(evidence, top))


def _worth_a_run(evidence: Evidence, top: int | None) -> Bool[np.ndarray, "batch channel"]:
    if top is None:
        return varying(evidence)
    live: np.ndarray = varying(evidence) & largest(spread(evidence), top)
    return live


@shared
def _steepest(evidence: Evidence, top: int) -> Bool[np.ndarray, "batch target channel"]:
    """The channels of largest mean gradient for each target, without those that are constant."""
    slopes = to_numpy(reduce(cast(Array, evidence.gradients), "b t c ... -> b t c", "mean"))
    chosen: np.ndarray = largest(slopes, top) & varying(evidence)[:, None]
    return chosen


def _softmax(
    scores: Float[Array, "n target"], among: Bool[np.ndarray, "n target_or_1"]
) -> Float[Array, "n target"]:
    """Softmax along the first axis over the marked entries. The others get 0; if none is marked, all get 0."""
    xp = array_namespace(scores)
    scores = xp.where(xp.asarray(among, device=device(scores)), scores, -xp.inf)
    highest = xp.max(scores, axis=0, keepdims=True)
    powers = xp.exp(scores - xp.where(highest == -xp.inf, xp.zeros_like(highest), highest))
    total = xp.sum(powers, axis=0, keepdims=True)
    return powers / xp.where(total == 0, xp.ones_like(total), total)
