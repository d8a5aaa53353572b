"""Hugging Face models that say where things are: detectors of the DETR family, and segmenters by queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from camscope.arrays import Array
from camscope.errors import ModelError
from camscope.models.batch import Batch
from camscope.models.decoding import LogitsDecoder, OutputDecoder
from camscope.outputs import Detections, Task

_SOFTMAX = ("detr", "table-transformer")
"""Model types whose classes exclude one another, the last one being no object; the others' have a sigmoid each."""

_FIXED = (*_SOFTMAX, "conditional_detr", "dab-detr", "deformable_detr")
"""Those whose queries are the same for every image; the others take the most likely positions of each."""

_MASKS = ("maskformer", "mask2former", "oneformer")
"""Those whose queries have a class and a mask each."""


def decoder_of(model: Any) -> OutputDecoder | None:
    """How a detector or a segmenter by queries is read; None for any other model.

    Raises:
        ModelError: for YOLOS, whose tokens are not only the image's.
    """
    name, kind = type(model).__name__, model.config.model_type
    if kind == "yolos":
        raise ModelError(
            "YOLOS keeps its detection tokens behind those of the image, in all its layers, which are no grid. DETR, "
            "Conditional and Deformable DETR and RT-DETR can be explained."
        )
    if name.endswith("ForObjectDetection"):
        return Queries(model)
    return Masks() if kind in _MASKS and "Segmentation" in name else None


class Queries:
    """A detector of the DETR family: boxes and class logits of a set of queries, all of which are candidates.

    Args:
        model: `…ForObjectDetection`.
    """

    def __init__(self, model: Any) -> None:
        kind = model.config.model_type
        self.task: Task = "multiclass" if kind in _SOFTMAX else "multilabel"
        self._fixed = kind in _FIXED and not getattr(model.config, "two_stage", False)
        # of several resolutions at once the encoder's tokens are no grid
        encoder = hasattr(model.model, "encoder") and kind != "deformable_detr"
        self._within = "model.encoder" if encoder else "model.backbone"

    def call(self, model: Any, batch: Batch) -> Any:
        """Run the model."""
        return LogitsDecoder().call(model, batch)

    def logits(self, raw: Any) -> Array:
        """The best query's logit of each class."""
        return self._detections(raw, (1, 1)).scores

    def predictions(self, raw: Any, batch: Batch) -> Detections:
        """All queries."""
        height, width = batch.space
        return self._detections(raw, (height, width))

    def within(self, model: Any) -> str:
        """What the decoder, whose tokens are queries and no positions, reads from."""
        return self._within

    def fpn_levels(self, model: Any) -> Sequence[str]:
        """None: every query sees the whole image."""
        return ()

    def _detections(self, raw: Any, size: tuple[int, int]) -> Detections:
        centres, sides = raw.pred_boxes.detach()[..., :2], raw.pred_boxes.detach()[..., 2:]
        boxes = raw.pred_boxes.new_empty(raw.pred_boxes.shape)
        scale = boxes.new_tensor([size[1], size[0]])
        boxes[..., :2], boxes[..., 2:] = (centres - sides / 2) * scale, (centres + sides / 2) * scale
        return Detections(
            logits=raw.logits,
            boxes=boxes[:, :, None],
            size=size,
            task=self.task,
            background=-1 if self.task == "multiclass" else None,
            fixed=self._fixed,
        )


class Masks:
    """A segmenter whose queries have a class and a mask each (MaskFormer, Mask2Former, OneFormer).

    A class's score at a position is Σ_q p_q(c) · σ(m_q), as for the semantic segmentation of these models. Its
    logarithm is taken as the logit, so that a class's probability is its share among the classes.
    """

    task: Task = "multiclass"

    def call(self, model: Any, batch: Batch) -> Any:
        """Run the model."""
        return LogitsDecoder().call(model, batch)

    def logits(self, raw: Any) -> Array:
        """`batch class height width`."""
        classes = raw.class_queries_logits.softmax(-1)[..., :-1]
        masks = raw.masks_queries_logits.sigmoid()
        scores = (classes.mT @ masks.flatten(2)).unflatten(2, masks.shape[2:])
        tiny = 1e-12
        return scores.clamp(min=tiny).log()

    def predictions(self, raw: Any, batch: Batch) -> None:
        """Scores at positions are all there is."""

    def within(self, model: Any) -> str:
        """The encoder: the tokens of the decoder are queries, and no positions."""
        return "model.pixel_level_module.encoder"

    def fpn_levels(self, model: Any) -> Sequence[str]:
        """None: every query sees the whole image."""
        return ()
