"""torchvision's detectors: all candidates of one forward, before non-maximum suppression."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torchvision.models.detection import FCOS, FasterRCNN
from torchvision.models.detection.ssd import SSD
from torchvision.ops import clip_boxes_to_image

from camscope.libraries.found_candidates import OfCandidates, WithCandidates, levels_of_anchors
from camscope.models.batch import Batch
from camscope.models.torch.hooks.session import hook_after, hook_before
from camscope.outputs import Detections, Task


class Found(WithCandidates, list[Any]):
    """What the model returns, a dictionary for each image, with what it was made from.

    Attributes:
        parts: the outputs of some modules in that forward, by name; for `roi_heads` its inputs.
    """

    def __init__(self, returned: Sequence[Any], parts: dict[str, Any]) -> None:
        super().__init__(returned)
        self.parts = parts


class Detector(OfCandidates):
    """The output decoder of a torchvision detector.

    Args:
        model: Faster, Mask or Keypoint R-CNN, RetinaNet, FCOS, SSD or SSDlite.
    """

    def __init__(self, model: nn.Module) -> None:
        self.task: Task = "multiclass" if isinstance(model, (FasterRCNN, SSD)) else "multilabel"

    def call(self, model: nn.Module, batch: Batch) -> Found:
        """Run the model on a list of images, and decode all candidates."""
        with _seen(model) as parts:
            returned = model(list(batch.x))
        found = Found(returned, parts)
        decode = _two_stages if isinstance(model, FasterRCNN) else _one_stage
        found.detections = decode(model, parts, batch.space)
        return found

    def within(self, model: nn.Module) -> Sequence[str]:
        """The trunk that every FPN level is made from."""
        backbone = model.backbone
        if hasattr(backbone, "body"):
            return ("backbone.body",)
        return self.fpn_levels(model)[:1]

    def fpn_levels(self, model: nn.Module) -> Sequence[str]:
        """The layers that are the FPN levels which candidates come from, finest first."""
        backbone: Any = model.backbone
        if hasattr(backbone, "fpn"):
            names = [f"fpn.layer_blocks.{i}" for i in range(len(backbone.fpn.layer_blocks))]
            if hasattr(backbone.fpn.extra_blocks, "p6"):
                names += ["fpn.extra_blocks.p6", "fpn.extra_blocks.p7"]
        elif hasattr(backbone, "extra"):
            # SSD's first level is rescaled after its last module, inside the backbone's own forward
            lite = not hasattr(backbone, "scale_weight")
            names = [f"features.{i}" for i in range(len(backbone.features))] if lite else ["features"]
            names += [f"extra.{i}" for i in range(len(backbone.extra))]
        else:
            return ["backbone"]
        if isinstance(model, FasterRCNN):
            names = names[
                : len(model.roi_heads.box_roi_pool.featmap_names)
            ]  # the coarsest level gives proposals only
        return [f"backbone.{name}" for name in names]

    def stages(self, model: nn.Module) -> Sequence[str]:
        """None: what a candidate depends on shows at its level, as far as the proposal or 11 cells (SSD: 3) reach."""
        return ()


@contextmanager
def _seen(model: nn.Module) -> Iterator[dict[str, Any]]:
    """Keep the outputs of some modules while the model runs once."""
    parts: dict[str, Any] = {}

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            parts[name] = output

        return hook

    def keep_inputs(_module: nn.Module, inputs: Any) -> None:
        parts["roi_heads"] = inputs

    with ExitStack() as stack:
        names = ("transform", "backbone", "head", "anchor_generator", "roi_heads.box_predictor")
        for name, module in model.named_modules():
            if name in names:
                stack.callback(hook_after(module, keep(name)).remove)
            elif name == "roi_heads":
                stack.callback(hook_before(module, keep_inputs).remove)
        yield parts


def _one_stage(model: Any, parts: dict[str, Any], size: tuple[int, ...]) -> Detections:
    """The candidates of a detector of one stage: its anchors, which are the same in every image."""
    logits, codes = parts["head"]["cls_logits"], parts["head"]["bbox_regression"].detach()
    anchors = parts["anchor_generator"]
    images = parts["transform"][0]
    if isinstance(model, FCOS):
        decoded = [model.box_coder.decode(c, a) for c, a in zip(codes, anchors, strict=True)]
    else:
        decoded = [model.box_coder.decode_single(c, a) for c, a in zip(codes, anchors, strict=True)]
    boxes = [_in_pixels(b, shape, size) for b, shape in zip(decoded, images.image_sizes, strict=True)]
    centerness = parts["head"].get("bbox_ctrness")
    return Detections(
        logits=logits,
        boxes=torch.stack(boxes)[:, :, None],
        size=(size[0], size[1]),
        task="multiclass" if isinstance(model, SSD) else "multilabel",
        background=0 if isinstance(model, SSD) else None,
        centerness=None if centerness is None else centerness.detach()[..., 0].sigmoid(),
        fpn_levels=_anchor_levels(model, parts, logits.shape[0], logits.shape[1]),
        overlap=float(model.nms_thresh),
        padded=_padded(images),
    )


def _anchor_levels(
    model: Any, parts: dict[str, Any], batch: int, count: int
) -> Int[np.ndarray, "batch candidate"]:
    """The FPN level of each anchor: anchors are listed level by level, several for each position of a level."""
    features = parts["backbone"]
    maps = [features] if isinstance(features, torch.Tensor) else list(features.values())
    each = model.anchor_generator.num_anchors_per_location()
    counts = [m.shape[2] * m.shape[3] * n for m, n in zip(maps, each, strict=True)]
    assert sum(counts) == count
    return levels_of_anchors(counts, batch)


def _two_stages(model: Any, parts: dict[str, Any], size: tuple[int, ...]) -> Detections:
    """The candidates of a detector of two stages: its proposals, whose places and number differ between images."""
    features, proposals, shapes = parts["roi_heads"][:3]
    logits, codes = parts["roi_heads.box_predictor"]
    heads = model.roi_heads
    counts = [len(p) for p in proposals]
    decoded = heads.box_coder.decode(codes.detach(), list(proposals)).split(counts)
    boxes = [
        _in_pixels(b.flatten(0, 1), shape, size).reshape(b.shape)
        for b, shape in zip(decoded, shapes, strict=True)
    ]
    pixels = [_in_pixels(p, shape, (1, 1)) for p, shape in zip(proposals, shapes, strict=True)]
    fpn_levels = heads.box_roi_pool.map_levels(list(proposals)).split(counts)

    def again(
        wanted: Float[np.ndarray, "row 4"], images: Int[np.ndarray, " row"]
    ) -> Float[torch.Tensor, "row output"]:
        order = np.argsort(images, kind="stable")
        rois = []
        for b, (height, width) in enumerate(shapes):
            own = torch.as_tensor(wanted[order][images[order] == b]).to(proposals[0])
            rois.append(own * own.new_tensor([width, height, width, height]))
        pooled = heads.box_roi_pool(features, rois, shapes)
        found: torch.Tensor = heads.box_predictor(heads.box_head(pooled))[0]
        return found[torch.as_tensor(np.argsort(order), device=found.device)]

    return Detections(
        logits=_stacked(logits.split(counts)),
        boxes=_stacked(boxes),
        size=(size[0], size[1]),
        task="multiclass",
        background=0,
        present=_stacked([torch.ones(n, dtype=torch.bool, device=logits.device) for n in counts]),
        fpn_levels=_stacked(fpn_levels).cpu().numpy(),
        overlap=float(heads.nms_thresh),
        fixed=False,
        proposals=_stacked(pixels).cpu().double().numpy(),
        again=again,
        padded=_padded(parts["transform"][0]),
    )


def _stacked(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """The rows as one tensor, the shorter ones filled up with zeros."""
    return pad_sequence(list(rows), batch_first=True)


def _in_pixels(
    boxes: Float[torch.Tensor, "n 4"], shape: tuple[int, int], size: tuple[int, ...]
) -> Float[torch.Tensor, "n 4"]:
    """Boxes on the image as the model resized it, cut off at its edges and scaled to another size of the image.

    Args:
        boxes: x0, y0, x1, y1 in pixels of the resized image.
        shape: the (height, width) of the resized image.
        size: the (height, width) that boxes are scaled to.
    """
    down, across = size[0] / shape[0], size[1] / shape[1]
    cut = clip_boxes_to_image(boxes.detach(), shape)
    scaled: torch.Tensor = cut * cut.new_tensor([across, down, across, down])
    return scaled


def _padded(images: Any) -> tuple[float, ...]:
    """The share of the model's padded input that is the image, along each axis; padding is at the right and below."""
    height, width = images.image_sizes[0]
    return height / images.tensors.shape[-2], width / images.tensors.shape[-1]
