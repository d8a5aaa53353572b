"""Detectors with ultralytics' structure: every anchor or query as a candidate, before anything is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from camscope.errors import InputError
from camscope.libraries.found_candidates import OfCandidates, WithCandidates
from camscope.libraries.ultralytics.head_branches import watched
from camscope.libraries.ultralytics.returned_forms import all_candidates
from camscope.models.batch import Batch
from camscope.models.decoding import LogitsDecoder
from camscope.outputs import Detections, Task


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


class Found(WithCandidates, tuple[Any, ...]):
    """What the network returned, with all candidates."""

    @classmethod
    def of(cls, returned: Any, detections: Detections) -> Found:
        """What was returned, with what was found in it."""
        found = cls(returned if isinstance(returned, (tuple, list)) else (returned,))
        found.detections = detections
        return found


class Candidates(OfCandidates):
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
        with watched(model.get_submodule(self._plan.head)) as branches:
            returned = LogitsDecoder().call(model, batch)
        size = (batch.space[0], batch.space[1])
        return Found.of(returned, all_candidates(returned, branches, size))

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
