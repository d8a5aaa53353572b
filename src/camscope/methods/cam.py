"""Class activation mapping proper: the closed form behind a linear head."""

from __future__ import annotations

from jaxtyping import Float

from camscope.arrays import Array, channel_sum
from camscope.evidence import Evidence, Need
from camscope.methods.registry import BehindLinearHead, method


@method(
    "cam",
    needs={Need.ACTIVATIONS, Need.LINEAR_HEAD},
    paper="Zhou et al., CVPR 2016, arXiv:1512.04150",
    advice="The original; exact and free for all classes, but only on a layer pooled by GAP into one linear layer.",
    behind_linear_head=BehindLinearHead("cam"),
)
def cam(evidence: Evidence) -> Float[Array, "batch target *space"]:
    """Σ_k w_k A^k, w_k the weight of pooled channel k for the class (Zhou et al., eq. 2; the bias only shifts)."""
    assert evidence.head is not None
    return channel_sum(evidence.head.weights, evidence.head.features)
