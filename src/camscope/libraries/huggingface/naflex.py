"""SigLIP 2 of any shape (NaFlex), which takes pictures cut into patches in a row: they are cut up here."""

from __future__ import annotations

from typing import Any

from einops import rearrange
from jaxtyping import Float

from camscope.arrays import Array
from camscope.errors import InputError


def takes_patches(model: Any) -> bool:
    """Whether a model takes its pictures as patches in a row."""
    return bool(model.config.model_type == "siglip2")


def in_patches(pictures: Float[Array, "batch channel height width"], patch: int) -> dict[str, Array]:
    """The model's arguments for pictures of one size, as its processor makes them.

    Args:
        pictures: prepared.
        patch: side of a patch, in pixels.

    Raises:
        InputError: if they are patches already, or no whole number of patches.
    """
    if pictures.ndim != 4:
        raise InputError(
            f"Expected pictures (batch, channel, height, width), which are cut into patches of {patch}×{patch} here; "
            f"got shape {tuple(pictures.shape)}. Give the photo itself, with preprocessing= and the model's image "
            "processor, and not what that makes of it."
        )
    height, width = pictures.shape[2:]
    if height % patch or width % patch:
        down = f"{max(1, height // patch) * patch}×{max(1, width // patch) * patch}"
        raise InputError(
            f"A picture of {height}×{width} pixels is no whole number of patches of {patch}×{patch}. Resize it, to "
            f"{down} for instance."
        )
    patches = rearrange(pictures, "b c (h y) (w x) -> b (h w) (y x c)", y=patch, x=patch)
    shape = patches.new_tensor([[height // patch, width // patch]]).long()
    return {
        "pixel_values": patches,
        "pixel_attention_mask": patches.new_ones(patches.shape[:2]).long(),
        "spatial_shapes": shape.repeat(len(patches), 1),
    }
