"""The anchors of a detector, a cell of each level's map, and boxes in pixels of the input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int

from camscope.libraries.found_candidates import levels_of_anchors


def listed(maps: Sequence[torch.Tensor]) -> Float[torch.Tensor, "batch anchor class"]:
    """The logits of all anchors: level by level, each row by row."""
    return torch.cat([one.flatten(2) for one in maps], dim=2).mT


def levels(maps: Sequence[torch.Tensor]) -> Int[np.ndarray, "batch anchor"]:
    """The level of each anchor."""
    counts = [one.shape[2] * one.shape[3] for one in maps]
    return levels_of_anchors(counts, len(maps[0]))


def centres(maps: Sequence[torch.Tensor], size: tuple[int, int]) -> Float[torch.Tensor, "anchor 2"]:
    """The middle of each anchor's cell, (x, y) in pixels of the input."""
    found = []
    for one in maps:
        rows, columns = one.shape[2:]
        down = (torch.arange(rows, device=one.device) + 0.5) * (size[0] / rows)
        across = (torch.arange(columns, device=one.device) + 0.5) * (size[1] / columns)
        found.append(torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1).flatten(0, 1))
    return torch.cat(found)


def corners(
    boxes: Float[torch.Tensor, "batch box 4"], turned: Float[torch.Tensor, "batch box 1"] | None = None
) -> Float[torch.Tensor, "batch box 4"]:
    """x0, y0, x1, y1 of boxes by centre and size; of turned ones, of the upright box around each.

    Args:
        boxes: x, y, width, height.
        turned: by how much, in radians.
    """
    middles, sides = boxes[..., :2], boxes[..., 2:]
    if turned is not None:
        along, across = turned.cos().abs(), turned.sin().abs()
        sides = sides * along + sides.flip(-1) * across
    return torch.cat([middles - sides / 2, middles + sides / 2], dim=-1)


def cut(
    boxes: Float[torch.Tensor, "batch box 4"], size: tuple[int, int]
) -> Float[torch.Tensor, "batch box 4"]:
    """Boxes without what lies outside of the input."""
    limits = boxes.new_tensor([size[1], size[0]] * 2)
    return torch.minimum(boxes.clamp(min=0), limits)
