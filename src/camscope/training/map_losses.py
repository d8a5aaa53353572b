"""Losses on maps, by masks of where the model may look."""

from __future__ import annotations

from array_api_compat import array_namespace, device
from jaxtyping import Float, Shaped

from camscope.arrays import Array, area_shares, relu
from camscope.errors import InputError

_ROUNDING = 1e-3
"""How far resized shares may be outside of 0 and 1."""


def outside_loss(
    maps: Float[Array, "batch target *space"], masks: Shaped[Array, "batch ..."]
) -> Float[Array, ""]:
    """The squared map outside of its mask: mean over all positions of (M · (1 − m))².

    M is the raw map, its negative values included, and m the share of each cell that the mask covers. Where M is a CAM
    its size is that of the logit, so the loss has a scale and λ = 1 a meaning: whatever logit comes from outside costs
    its square.

    Give it the maps of all classes, `cam(model, x, "all")`. With the true class alone a way out is left: what is
    outside may speak against all other classes, whose maps nobody looks at.

    Measured (`benchmarks/shortcut.py`: digits on a canvas, a mark of 10² pixels in the corner of every "3"; λ = 1,
    three seeds, on digits held out): the mass of the 3's map in the mark falls from 0.36–0.43 to 0.00, that in the
    digit's box rises from 0.09–0.14 to 0.99; 3s without the mark are recognised in 0.97–1.00 of all cases instead of
    0.00–0.08, at an accuracy of 0.97–0.99 (0.99–1.00 without the loss). With the true class alone 0.00 and 0.03 of
    them are (two seeds), and 0.87 where the mark is 6² pixels.

    Args:
        maps: raw maps, as `camscope.training.cam` gives them. Those that an image has not are zero, and cost nothing.
        masks: where the model may look, of truth values or shares, at any resolution (the input's): `batch *size` for
            all targets of an image, or `batch target *size`. They are brought to the maps' resolution by area.

    Returns:
        A number, on the maps' graph. The caller adds it to the loss of the labels, times λ.

    Raises:
        InputError: if the masks do not fit the maps.
    """
    return array_namespace(maps).mean((maps * (1 - inside(masks, maps))) ** 2)


def energy_loss(
    maps: Float[Array, "batch target *space"], masks: Shaped[Array, "batch ..."]
) -> Float[Array, ""]:
    """The share of the positive map outside of its mask: mean over maps of Σ M⁺ (1 − m) / Σ M⁺.

    Rao et al., "Studying How to Efficiently and Effectively Guide Models with Explanations", ICCV 2023
    (arXiv:2303.11932), there one minus it, as the energy pointing game's score (Wang et al. 2020). A map without
    positive values counts as zero.

    On the planted shortcut it fails (`benchmarks/shortcut.py`, λ = 1, one seed): the map gets clean, its mass in the
    mark 0.00, and the shortcut stays: 0.21 of the 3s are recognised without the mark, and 0.66 of the others with it.
    A share has no scale, so nothing keeps a small map from deciding, and the maps of other classes are free. It is
    here to be compared with: take `outside_loss`.

    Args:
        maps: as for `outside_loss`.
        masks: as for `outside_loss`.

    Raises:
        InputError: if the masks do not fit the maps.
    """
    xp = array_namespace(maps)
    positive, space = relu(maps), tuple(range(2, maps.ndim))
    total = xp.sum(positive, axis=space)
    outside = xp.sum(positive * (1 - inside(masks, maps)), axis=space)
    return xp.mean(outside / xp.where(total > 0, total, xp.ones_like(total)))


def inside(
    masks: Shaped[Array, "batch ..."], maps: Float[Array, "batch target *space"]
) -> Float[Array, "batch ..."]:
    """The share of each cell of the maps that the masks cover, ready to be multiplied with the maps.

    Args:
        masks: see `outside_loss`.
        maps: to whose resolution, device and precision they are brought.

    Raises:
        InputError: if they do not fit, or are no shares.
    """
    targets = masks.shape[1:2] if masks.ndim == maps.ndim else (1,)
    if (
        masks.ndim not in (maps.ndim - 1, maps.ndim)
        or masks.shape[0] != maps.shape[0]
        or targets[0] not in (1, maps.shape[1])
    ):
        raise InputError(
            f"Masks of shape {tuple(masks.shape)} do not fit maps of shape {tuple(maps.shape)}: expected "
            "(batch, *size), one for each image, or (batch, target, *size), one for each map, with the same batch and "
            "as many axes of space."
        )
    xp = array_namespace(masks)
    if not xp.isdtype(masks.dtype, "bool"):
        low, high = float(xp.min(masks)), float(xp.max(masks))
        if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):
            raise InputError(
                f"Masks are truth values, or shares between 0 and 1; these have values from {low:g} to {high:g}. "
                "Of a picture that is white inside, take masks > 127."
            )
    given = array_namespace(maps).asarray(masks, dtype=maps.dtype, device=device(maps))
    shares = area_shares(given, maps.shape[2:])
    return shares if masks.ndim == maps.ndim else shares[:, None]
