"""Detectors with ultralytics' structure: every anchor or query as a candidate, before anything is left out.

What such a network returns differs by task and version. So the class logits are found in numbers: they are what, after
a sigmoid, the scores are that it returned.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

from camscope.errors import InputError, ModelError
from camscope.models.batch import Batch
from camscope.models.decoding import LogitsDecoder
from camscope.models.torch.hooks.modules import tensors_of
from camscope.models.torch.hooks.session import hook_after, hook_before
from camscope.outputs import Detections, Task

_SAME = 1e-5
"""Scores that differ by no more than this share are the same; in half precision, `_SAME_IN_HALF`."""

_SAME_IN_HALF = 1e-2

_OVERLAP = 0.7
"""The intersection over union above which the package leaves out the less likely of two boxes."""


@dataclass(frozen=True)
class Plan:
    """Where in a detector what is; modules by name.

    Attributes:
        head: what makes boxes and scores.
        levels: what it reads, the finest level of the pyramid first.
        backbone: the modules before the first that enlarges.
        stages: those of them that the rest of the network reads.
        stride: the coarsest level's pixels per cell, of which the input's sides must be multiples.
    """

    head: str
    levels: tuple[str, ...]
    backbone: tuple[str, ...]
    stages: tuple[str, ...]
    stride: int


class Found(tuple[Any, ...]):
    """What the network returned.

    Attributes:
        detections: all candidates.
    """

    detections: Detections | None = None

    @classmethod
    def of(cls, returned: Any, detections: Detections) -> Found:
        """What was returned, with what was found in it."""
        found = cls(returned if isinstance(returned, (tuple, list)) else (returned,))
        found.detections = detections
        return found


class Candidates:
    """The output decoder of a detector: YOLO from version 8 on (boxes, masks, poses, turned boxes), and RT-DETR.

    Args:
        plan: where what is.
    """

    task: Task = "multilabel"

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def call(self, model: nn.Module, batch: Batch) -> Found:
        """Run the network and decode all candidates.

        Raises:
            InputError: if the input's sides are no multiples of the coarsest stride.
            ModelError: if the scores that it returns are made of no logits that it computes.
        """
        _check_size(batch.space, self._plan.stride)
        with _watched(model.get_submodule(self._plan.head)) as branches:
            returned = LogitsDecoder().call(model, batch)
        size = (batch.space[0], batch.space[1])
        return Found.of(returned, _detections(returned, branches, size))

    def logits(self, raw: Found) -> Float[torch.Tensor, "batch class"]:
        """The logit of each class: that of its best candidate."""
        assert raw.detections is not None
        scores: torch.Tensor = raw.detections.scores
        return scores

    def predictions(self, raw: Found, batch: Batch) -> Detections | None:
        """All candidates."""
        return raw.detections

    def within(self, model: nn.Module) -> Sequence[str]:
        """The backbone."""
        return self._plan.backbone

    def fpn_levels(self, model: nn.Module) -> Sequence[str]:
        """What the head reads."""
        return self._plan.levels

    def stages(self, model: nn.Module) -> Sequence[str]:
        """What the pyramid is made from."""
        return self._plan.stages


def _check_size(size: tuple[int, ...], stride: int) -> None:
    if any(side % stride for side in size):
        near = "×".join(str(max(1, round(side / stride)) * stride) for side in size)
        raise InputError(
            f"The input is {'×'.join(map(str, size))}, and this network halves it until a cell is {stride} pixels, so "
            f"both sides must be multiples of {stride}: {near}, say. A photo is fitted by itself."
        )


Branches = dict[str, list[torch.Tensor]]
"""What the branches of a head put out, level by level, by the names of their lists."""


@contextmanager
def _watched(head: nn.Module) -> Iterator[Branches]:
    """Keep what each branch of a head puts out for each level, while the network runs once.

    Heads that need no suppression were trained by a branch that reads the features without their graph, so that only
    the other branch teaches the backbone. The numbers are the same; here it is given the graph back.
    """
    found: Branches = {}
    levels: list[torch.Tensor] = []

    def enters(_module: nn.Module, inputs: Any) -> None:
        levels[:] = tensors_of(inputs)

    def with_graph(_module: nn.Module, inputs: Any) -> Any:
        return tuple(_own(levels, one) if isinstance(one, torch.Tensor) else one for one in inputs)

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor) and output.ndim == 4:
                found.setdefault(name, []).append(output)

        return hook

    with ExitStack() as stack:
        stack.callback(hook_before(head, enters).remove)
        for name, branch in head.named_children():
            for level in branch if isinstance(branch, nn.ModuleList) else ():
                stack.callback(hook_before(level, with_graph).remove)
                stack.callback(hook_after(level, keep(name)).remove)
        yield found


def _own(levels: Sequence[torch.Tensor], given: torch.Tensor) -> torch.Tensor:
    """The level whose numbers these are, in the same memory; what was given, if it has a graph or is none of them."""
    if given.requires_grad:
        return given
    same = (one for one in levels if one.data_ptr() == given.data_ptr() and one.shape == given.shape)
    return next((one for one in same if one.stride() == given.stride()), given)


def _detections(returned: Any, branches: Branches, size: tuple[int, int]) -> Detections:
    """All candidates, by whichever of the forms fits in numbers what was returned."""
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
    logits = _listed(maps)
    _, anchors, classes = logits.shape
    if y.shape[2] != anchors or y.shape[1] < 4 + classes:
        return None
    if not _same(logits.detach().sigmoid(), y[:, 4 : 4 + classes].mT):
        return None
    turned = y[:, 4 + classes :].mT if y.shape[1] == 5 + classes else None
    return Detections(
        logits=logits,
        boxes=_cut(_corners(y[:, :4].mT, turned), size)[:, :, None],
        size=size,
        task="multilabel",
        fpn_levels=_levels(maps),
        overlap=_OVERLAP,
    )


def _of_ranked_anchors(
    y: Float[torch.Tensor, "batch detection value"], maps: Sequence[torch.Tensor], size: tuple[int, int]
) -> Detections | None:
    """(batch, detection, 6 …): corners, score and class of the most likely, and what else the task has.

    Which anchor each comes from is told by its score, which is that of its class there; among several with the same
    score, by which is next to its box. An anchor that is none of them has no box, so it is no detection.
    """
    logits = _listed(maps)
    if y.shape[2] < 6 or y.shape[1] > logits.shape[1] * logits.shape[2]:
        return None
    scores, classes = y[:, :, 4], y[:, :, 5].long()
    if bool((classes < 0).any() or (classes >= logits.shape[2]).any()):
        return None
    turned = y[:, :, 6:] if y.shape[2] == 7 else None
    boxes = y[:, :, :4] if turned is None else _corners(y[:, :, :4], turned)
    middles, centres = (boxes[..., :2] + boxes[..., 2:]) / 2, _centres(maps, size)
    found = []
    for image, likely in enumerate(
        logits.detach().sigmoid()
    ):  # one by one: detections times anchors are many
        fits = _fits(likely.mT[classes[image]], scores[image, :, None])
        if not bool(fits.any(1).all()):
            return None
        away = torch.cdist(middles[image].float(), centres).masked_fill(~fits, float("inf"))
        found.append(away.argmin(1))
    anchors = torch.stack(found)
    placed = boxes.new_zeros(*logits.shape[:2], 4)
    placed.scatter_(1, anchors[:, :, None].expand(-1, -1, 4), _cut(boxes, size))
    return Detections(
        logits=logits,
        boxes=placed[:, :, None],
        size=size,
        task="multilabel",
        fpn_levels=_levels(maps),
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
                boxes=_cut(_corners(boxes.detach() * sides), size)[:, :, None],
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


def _listed(maps: Sequence[torch.Tensor]) -> Float[torch.Tensor, "batch anchor class"]:
    """The logits of all anchors: level by level, each row by row."""
    return torch.cat([one.flatten(2) for one in maps], dim=2).mT


def _levels(maps: Sequence[torch.Tensor]) -> Int[np.ndarray, "batch anchor"]:
    """The level of each anchor."""
    counts = [one.shape[2] * one.shape[3] for one in maps]
    return np.broadcast_to(np.repeat(np.arange(len(counts)), counts), (len(maps[0]), sum(counts)))


def _centres(maps: Sequence[torch.Tensor], size: tuple[int, int]) -> Float[torch.Tensor, "anchor 2"]:
    """The middle of each anchor's cell, (x, y) in pixels of the input."""
    found = []
    for one in maps:
        rows, columns = one.shape[2:]
        down = (torch.arange(rows, device=one.device) + 0.5) * (size[0] / rows)
        across = (torch.arange(columns, device=one.device) + 0.5) * (size[1] / columns)
        found.append(torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1).flatten(0, 1))
    return torch.cat(found)


def _corners(
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


def _cut(
    boxes: Float[torch.Tensor, "batch box 4"], size: tuple[int, int]
) -> Float[torch.Tensor, "batch box 4"]:
    """Boxes without what lies outside of the input."""
    limits = boxes.new_tensor([size[1], size[0]] * 2)
    return torch.minimum(boxes.clamp(min=0), limits)


def _same(these: torch.Tensor, those: torch.Tensor) -> bool:
    return these.shape == those.shape and bool(_fits(these, those).all())


def _fits(these: torch.Tensor, those: torch.Tensor) -> torch.Tensor:
    """Where two probabilities are the same but for rounding."""
    share = _SAME if those.dtype in (torch.float32, torch.float64) else _SAME_IN_HALF
    return (these - those).abs() <= share * those + torch.finfo(those.dtype).tiny
