"""Guided attention inference: what a map leaves should not tell the class any more; and the map should be the mask."""

from __future__ import annotations

from array_api_compat import array_namespace
from jaxtyping import Float, Shaped

from camscope.arrays import Array, over_space, relu, resize
from camscope.training.map_losses import inside
from camscope.training.step_maps import StepMaps


def gain_loss(
    seen: StepMaps, x: Float[Array, "batch channel *size"], *, sigma: float = 0.5, omega: float = 10.0
) -> Float[Array, ""]:
    """Attention mining: mean over labels of s^c(x − T(A^c) ⊙ x), T(A) = 1 / (1 + exp(−ω (A − σ))).

    L_am of Li et al., "Tell Me Where to Look", CVPR 2018 (arXiv:1802.10171), eq. 3 to 5: what is left where the map is
    hidden should not tell the class, so the map has to cover all of it. The label loss plus α times this is L_self
    (eq. 6), α = 1 there. The model is run once more for each label of an image, as it is: in train mode its batch norms
    see these inputs too.

    What the paper leaves open is chosen here: A is the map's ReLU as a share of its maximum, enlarged to the input's
    size; s^c is the probability, which has a least value; and hidden means zero in x, which after the usual
    normalisation is the mean colour.

    Measured (`benchmarks/shortcut.py`, Grad-CAM, α = 1 and the extension times 10, one seed): the mass in the mark
    falls from 0.38 to 0.01 and 3s without the mark are recognised in 0.74 of all cases instead of 0.08, but the
    accuracy falls to 0.72. With these weights it is too much for images as small as these.

        seen = cam(model, x, y, method="gradcam")
        loss = cross_entropy(seen.outputs, y) + gain_loss(seen, x) + 10 * gain_extended_loss(seen.maps, masks)

    Args:
        seen: the maps of this step.
        x: the inputs of this step.
        sigma: σ, from which share of the maximum on a position is hidden.
        omega: ω, how sharply.
    """
    xp = array_namespace(seen.maps)
    hidden = 1 / (1 + xp.exp(-omega * (resize(_shares(seen.maps), x.shape[2:]) - sigma)))
    hidden = xp.astype(hidden, x.dtype)
    total, count = 0.0, xp.sum(xp.astype(seen.present, seen.maps.dtype))
    for t in range(seen.scores.shape[1]):
        of_target = hidden[:, min(t, hidden.shape[1] - 1), None]
        total = total + xp.sum(seen.scored(x - of_target * x)[:, t])
    return total / xp.clip(count, 1, None)


def gain_extended_loss(
    maps: Float[Array, "batch target *space"], masks: Shaped[Array, "batch ..."]
) -> Float[Array, ""]:
    """The supervised extension: mean over labels and positions of (A^c − H^c)².

    L_e of Li et al. 2018 (arXiv:1802.10171), eq. 7, weighed with 10 there. A is the map's ReLU as a share of its
    maximum, H the share of each cell that the mask covers: the map shall be the mask, not only stay inside of it.

    Args:
        maps: as for `outside_loss`.
        masks: as for `outside_loss`.

    Raises:
        InputError: if the masks do not fit the maps.
    """
    return array_namespace(maps).mean((_shares(maps) - inside(masks, maps)) ** 2)


def _shares(maps: Float[Array, "batch target *space"]) -> Float[Array, "batch target *space"]:
    """The positive part of each map as a share of its maximum; zero where there is none."""
    xp = array_namespace(maps)
    positive = relu(maps)
    highest = xp.max(positive, axis=tuple(range(2, maps.ndim)))
    safe = xp.where(highest > 0, highest, xp.ones_like(highest))
    return positive / over_space(safe, maps.ndim - 2)
