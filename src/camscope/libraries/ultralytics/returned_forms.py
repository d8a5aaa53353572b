"""The forms in which a detector returns its boxes and scores, told in numbers.

What such a network returns differs by task and version. So the class logits are found in numbers: they are what, after
a sigmoid, the scores are that it returned.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float

from camscope.errors import ModelError
from camscope.libraries.ultralytics.cells_and_corners import centres, corners, cut, levels, listed
from camscope.libraries.ultralytics.head_branches import Branches
from camscope.models.torch.hooks.modules import tensors_of
from camscope.outputs import Detections

_SAME = 1e-5
"""Scores that differ by no more than this share are the same; in half precision, `_SAME_IN_HALF`."""

_SAME_IN_HALF = 1e-2

_OVERLAP = 0.7
"""The intersection over union above which the package leaves out the less likely of two boxes."""


def all_candidates(returned: Any, branches: Branches, size: tuple[int, int]) -> Detections:
    """All candidates, by whichever of the forms fits in numbers what was returned.

    Args:
        returned: by the network.
        branches: what those of its head put out.
        size: of the input, (height, width).

    Raises:
        ModelError: if none of the forms fits.
    """
    y = next(tensors_of(returned), None)
    if y is not None and y.ndim == 3:
        y = y.detach()
        for maps in branches.values():
            if len({one.shape[1] for one in maps}) == 1:
                form = _of_anchors(y, maps, size) or _of_ranked_anchors(y, maps, size)
                if form is not None:
                    return form
        form = _of_queries(y, returned, size)
        if form is not None:
            return form
    shapes = ", ".join(str(tuple(one.shape)) for one in tensors_of(returned))
    raise ModelError(
        f"This network returns tensors of shape {shapes}, and no class logits that it computes are, after a sigmoid, "
        "the scores in them. Known are (batch, 4 + classes …, anchor), (batch, detection, 6 …) and RT-DETR's (batch, "
        "query, 4 + classes). If it is an export or was changed by hand, give the network as it was trained."
    )


def _of_anchors(
    y: Float[torch.Tensor, "batch row anchor"], maps: Sequence[torch.Tensor], size: tuple[int, int]
) -> Detections | None:
    """(batch, 4 + classes …, anchor): boxes by centre and size, scores, and what else the task has."""
    logits = listed(maps)
    _, anchors, classes = logits.shape
    if y.shape[2] != anchors or y.shape[1] < 4 + classes:
        return None
    if not _same(logits.detach().sigmoid(), y[:, 4 : 4 + classes].mT):
        return None
    turned = y[:, 4 + classes :].mT if y.shape[1] == 5 + classes else None
    return Detections(
        logits=logits,
        boxes=cut(corners(y[:, :4].mT, turned), size)[:, :, None],
        size=size,
        task="multilabel",
        fpn_levels=levels(maps),
        overlap=_OVERLAP,
    )


def _of_ranked_anchors(
    y: Float[torch.Tensor, "batch detection value"], maps: Sequence[torch.Tensor], size: tuple[int, int]
) -> Detections | None:
    """(batch, detection, 6 …): corners, score and class of the most likely, and what else the task has.

    Which anchor each comes from is told by its score, which is that of its class there; among several with the same
    score, by which is next to its box. An anchor that is none of them has no box, so it is no detection.
    """
    logits = listed(maps)
    if y.shape[2] < 6 or y.shape[1] > logits.shape[1] * logits.shape[2]:
        return None
    scores, classes = y[:, :, 4], y[:, :, 5].long()
    if bool((classes < 0).any() or (classes >= logits.shape[2]).any()):
        return None
    turned = y[:, :, 6:] if y.shape[2] == 7 else None
    boxes = y[:, :, :4] if turned is None else corners(y[:, :, :4], turned)
    middles, cells = (boxes[..., :2] + boxes[..., 2:]) / 2, centres(maps, size)
    found = []
    for image, likely in enumerate(
        logits.detach().sigmoid()
    ):  # one by one: detections times anchors are many
        fits = _fits(likely.mT[classes[image]], scores[image, :, None])
        if not bool(fits.any(1).all()):
            return None
        away = torch.cdist(middles[image].float(), cells).masked_fill(~fits, float("inf"))
        found.append(away.argmin(1))
    anchors = torch.stack(found)
    placed = boxes.new_zeros(*logits.shape[:2], 4)
    placed.scatter_(1, anchors[:, :, None].expand(-1, -1, 4), cut(boxes, size))
    return Detections(
        logits=logits,
        boxes=placed[:, :, None],
        size=size,
        task="multilabel",
        fpn_levels=levels(maps),
    )


def _of_queries(
    y: Float[torch.Tensor, "batch row value"], returned: Any, size: tuple[int, int]
) -> Detections | None:
    """(batch, query, 4 + classes), or (batch, detection, 6) with the score and class of the most likely pairs.

    Beside it are the logits and boxes of all queries that it was made from, in shares of the input by centre and size.
    """
    beside = [
        one[-1] if one.ndim == 4 else one for one in tensors_of(returned)
    ]  # the last layer of the decoder's
    beside = [one for one in beside[1:] if one.ndim == 3 and len(one) == len(y)]
    for logits, boxes in itertools.permutations(beside, 2):
        if boxes.shape != (*logits.shape[:2], 4):
            continue
        if _made_of(y, logits.detach().sigmoid(), boxes.detach()):
            sides = boxes.new_tensor([size[1], size[0]] * 2)
            return Detections(
                logits=logits,
                boxes=cut(corners(boxes.detach() * sides), size)[:, :, None],
                size=size,
                task="multilabel",
                fixed=False,
            )
    return None


def _made_of(
    y: Float[torch.Tensor, "batch row value"],
    scores: Float[torch.Tensor, "batch query class"],
    boxes: Float[torch.Tensor, "batch query 4"],
) -> bool:
    """Whether what was returned is all of these scores and boxes, or the most likely pairs of a query and a class."""
    if y.shape[:2] == boxes.shape[:2] and _same(scores, y[:, :, 4:]):
        return bool(torch.equal(boxes, y[:, :, :4]))
    if y.shape[2] != 6 or y.shape[1] > scores[0].numel():
        return False
    return _same(scores.flatten(1).topk(y.shape[1]).values, y[:, :, 4])


def _same(these: torch.Tensor, those: torch.Tensor) -> bool:
    return these.shape == those.shape and bool(_fits(these, those).all())


def _fits(these: torch.Tensor, those: torch.Tensor) -> torch.Tensor:
    """Where two probabilities are the same but for rounding."""
    share = _SAME if those.dtype in (torch.float32, torch.float64) else _SAME_IN_HALF
    return (these - those).abs() <= share * those + torch.finfo(those.dtype).tiny
