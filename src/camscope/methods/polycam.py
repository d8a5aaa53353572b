"""The maps of one layer that Poly-CAM multiplies over layers.

They weigh a channel by what the model says of the input seen through its mask, and through the mask's opposite.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Float, Int

from camscope.arrays import Array, relu
from camscope.evidence import Evidence, ModelEvidence, Need
from camscope.methods.channels import nonzero
from camscope.methods.masks import clipped, responses_through, weighted_channels, without
from camscope.methods.registry import method

_NEEDS = {Need.ACTIVATIONS, Need.MASKED}
_PAPER = "Englebert et al., ICPR 2022, arXiv:2204.13359"
_COST = "1 forward + 1 masked forward per live channel (all targets at once)"


@method(
    "pcam+",
    needs=_NEEDS,
    paper=_PAPER,
    advice="One layer of Poly-CAM: Score-CAM with masks clipped at percentiles. Made to be multiplied over layers.",
    cost=_COST,
)
def pcam_plus(evidence: Evidence) -> Float[Array, "batch target *space"]:
    """ReLU(Σ_k p_c(x ⊙ H_k) A^k), H_k the channel clipped at its percentiles 0.1 and 99.9, resized."""

    def weigh(image: int, channels: Int[np.ndarray, " n"]) -> Float[Array, "n target"]:
        return responses_through(evidence, image, channels, clipped).probabilities

    return weighted_channels(evidence, weigh, nonzero(evidence))


@method(
    "pcam-",
    needs=_NEEDS,
    paper=_PAPER,
    advice="One layer of Poly-CAM: weights are what the probability loses without a channel's region. Made to be "
    "multiplied over layers.",
    cost=_COST,
)
def pcam_minus(evidence: Evidence) -> Float[Array, "batch target *space"]:
    """ReLU(Σ_k w_k A^k), w_k = relu(p_c(x) − p_c(x ⊙ (1 − H_k)))."""

    def weigh(image: int, channels: Int[np.ndarray, " n"]) -> Float[Array, "n target"]:
        return relu(_lost(evidence, image, channels))

    return weighted_channels(evidence, weigh, nonzero(evidence))


@method(
    "pcam",
    needs=_NEEDS,
    paper=_PAPER,
    advice="One layer of Poly-CAM±, both tests at once; its authors' best. Made to be multiplied over layers.",
    cost="1 forward + 2 masked forwards per live channel (all targets at once)",
)
def pcam(evidence: Evidence) -> Float[Array, "batch target *space"]:
    """ReLU(Σ_k w_k A^k), w_k = relu(p_c(x ⊙ H_k) + p_c(x) − p_c(x ⊙ (1 − H_k)))."""

    def weigh(image: int, channels: Int[np.ndarray, " n"]) -> Float[Array, "n target"]:
        kept = responses_through(evidence, image, channels, clipped).probabilities
        return relu(kept + _lost(evidence, image, channels))

    return weighted_channels(evidence, weigh, nonzero(evidence))


def _lost(evidence: Evidence, image: int, channels: Int[np.ndarray, " n"]) -> Float[Array, "n target"]:
    """What the probability loses without each channel's region: p_c(x) − p_c(x ⊙ (1 − H_k))."""
    rest = responses_through(evidence, image, channels, without).probabilities
    clean = cast(ModelEvidence, evidence.model).responses.probabilities[image]
    return array_namespace(rest).astype(clean, rest.dtype)[None] - rest
