"""Maps of the whole model, from the gradients by its input and by all its biases."""

from __future__ import annotations

from array_api_compat import array_namespace
from einops import reduce
from jaxtyping import Float

from camscope.arrays import Array, resize
from camscope.evidence import ModelEvidence, Need
from camscope.methods.registry import method


@method(
    "fullgrad",
    needs={Need.INPUT_GRADIENTS},
    paper="Srinivas & Fleuret, NeurIPS 2019, arXiv:1905.00780",
    advice="The whole model instead of one layer: sharp edges of what it responds to. Its parts add up to the score in "
    "ReLU networks, not with LayerNorm, attention or squeeze-and-excitation. By its absolute values it does not tell "
    "evidence for from evidence against.",
    cost="1 forward + 1 full backward per target",
    rectified=False,
    scope="model",
)
def full_grad(evidence: ModelEvidence) -> Float[Array, "batch target *size"]:
    """Σ_l Σ_k ψ(b_l ⊙ g_l)_k + Σ_k ψ(x ⊙ g_x)_k, ψ = resize ∘ (min-max over channels and positions jointly) ∘ |·|.

    The authors' code resizes with corners aligned; here, as in the whole house, pixels are areas (half-pixel).
    """
    full = evidence.full_gradients
    assert full is not None
    by_grid: dict[tuple[int, ...], Float[Array, "batch target *space"]] = {}
    for term in (full.inputs, *full.biases):
        scaled = _joint_scale(term)
        space = scaled.shape[2:]
        by_grid[space] = by_grid[space] + scaled if space in by_grid else scaled
    # resizing is linear: once for each resolution is enough
    size = evidence.inputs.shape[2:]
    first, *others = (resize(total, size) for total in by_grid.values())
    return sum(others, start=first)


def _joint_scale(
    term: Float[Array, "batch target channel *space"],
) -> Float[Array, "batch target *space"]:
    """Σ_k (|f_k| − min) / (max − min), min and max over channels and positions; zero where they are the same."""
    xp = array_namespace(term)
    magnitude = xp.abs(term)
    axes = tuple(range(2, term.ndim))
    low = xp.min(magnitude, axis=axes, keepdims=True)[:, :, 0]
    extent = xp.max(magnitude, axis=axes, keepdims=True)[:, :, 0] - low
    above = reduce(magnitude, "b t c ... -> b t ...", "sum") - term.shape[2] * low
    return xp.where(
        extent > 0, above / xp.where(extent > 0, extent, xp.ones_like(extent)), xp.zeros_like(above)
    )
