"""Hugging Face models that find things by queries: detectors of the DETR family, and segmenters of masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from camscope.arrays import Array
from camscope.errors import ModelError
from camscope.models.batch import Batch
from camscope.models.decoding import LogitsDecoder, OutputDecoder
from camscope.outputs import Detections, Task

_SOFTMAX = ("detr", "table-transformer", "yolos")
"""Model types with a softmax over the classes, the last of which is the background; other types have sigmoids."""

_FIXED = (*_SOFTMAX, "conditional_detr", "dab-detr", "deformable_detr")
"""Model types whose queries are the same for every image; others take each image's most likely positions as queries."""

_MASKS = {
    **dict.fromkeys(("maskformer", "mask2former", "oneformer"), "model.pixel_level_module.encoder"),
    **dict.fromkeys(("eomt", "eomt_dinov3"), "layers"),
}
"""Model types whose queries each have a class and a mask, and where each encodes the image."""


def decoder_of(model: Any) -> OutputDecoder | None:
    """The output decoder of a detector or a segmenter that works by queries; None for any other model.

    Raises:
        ModelError: for VidEoMT, which runs on one frame after the other; and for detectors of other families.
    """
    name, config = type(model).__name__, model.config
    if config.model_type in _MASKS and "Segmentation" in name:
        return Masks(_MASKS[config.model_type])
    if config.model_type == "videomt":
        raise ModelError(
            f"{name} segments a video frame by frame, with queries that one frame hands to the next, and has no layer "
            "with the positions of all frames. Explain a frame by EomtForUniversalSegmentation, whose layers these are."
        )
    inside = _detector_inside(model)
    if inside is None:
        return None
    if hasattr(config, "text_config"):
        raise ModelError(
            f"{name} detects what texts beside the image name, in a way that is not explained yet. Of its kind "
            "OWL-ViT, OWLv2, Grounding DINO and OmDet-Turbo can be explained, and detectors of fixed classes (DETR …)."
        )
    # what finds text by a map of probabilities, as PP-OCR does, is a segmenter
    queries = hasattr(config, "num_queries") or hasattr(config, "num_detection_tokens")
    return Queries(model.get_submodule(inside), inside) if queries else None


def _detector_inside(model: Any) -> str | None:
    """The name of the detector: empty for the model itself, or of the part that DETR's segmenters give masks to."""
    parts = [("", model), *model.named_children()]
    return next((name for name, part in parts if type(part).__name__.endswith("ForObjectDetection")), None)


class Queries:
    """The output decoder of a detector of the DETR family: every query, with its box and logits, is a candidate.

    Args:
        model: a model of a class `…ForObjectDetection`.
        name: its name in the model that is explained, if that gives masks to what is detected; else empty.
    """

    def __init__(self, model: Any, name: str = "") -> None:
        kind = model.config.model_type
        self.task: Task = "multiclass" if kind in _SOFTMAX else "multilabel"
        self._fixed = kind in _FIXED and not getattr(model.config, "two_stage", False)
        inside = "vit" if kind == "yolos" else "model"
        # Deformable DETR's encoder has tokens of several resolutions at once, which are no grid
        encoder = hasattr(getattr(model, inside, model), "encoder") and kind != "deformable_detr"
        self._within = f"{name}.{inside}".lstrip(".") + (".encoder" if encoder else ".backbone")

    def call(self, model: Any, batch: Batch) -> Any:
        """Run the model."""
        return LogitsDecoder().call(model, batch)

    def logits(self, raw: Any) -> Array:
        """The logit of each class: that of its best query."""
        return self._detections(raw, (1, 1)).scores

    def predictions(self, raw: Any, batch: Batch) -> Detections:
        """All queries as candidates."""
        height, width = batch.space
        return self._detections(raw, (height, width))

    def within(self, model: Any) -> Sequence[str]:
        """The module before the decoder, whose tokens are queries and have no position."""
        return (self._within,)

    def fpn_levels(self, model: Any) -> Sequence[str]:
        """None: every query sees the whole image."""
        return ()

    def stages(self, model: Any) -> Sequence[str]:
        """None: there is no pyramid that they would make."""
        return ()

    def _found(self, raw: Any) -> tuple[Array, Array]:
        """The logits of each query, and where its object is, in shares of the image."""
        return raw.logits, raw.pred_boxes

    def _detections(self, raw: Any, size: tuple[int, int]) -> Detections:
        logits, where = self._found(raw)
        low, high = _ends(where.detach())
        boxes = where.new_empty((*where.shape[:-1], 4))
        scale = boxes.new_tensor([size[1], size[0]])
        boxes[..., :2], boxes[..., 2:] = low * scale, high * scale
        return Detections(
            logits=logits,
            boxes=boxes[:, :, None],
            size=size,
            task=self.task,
            background=-1 if self.task == "multiclass" else None,
            fixed=self._fixed,
        )


_QUADRILATERAL = 10
"""Numbers of a quadrilateral: its centre, and from there its four corners."""


def _ends(where: Array) -> tuple[Array, Array]:
    """The lowest and the highest x and y of a box or a quadrilateral, in shares of the image.

    Args:
        where: a box as its centre and its sides; or, as PP-DocLayoutV4 has them, a centre and the way to each of four
            corners, plus a half.
    """
    centres, rest = where[..., :2], where[..., 2:]
    if where.shape[-1] == _QUADRILATERAL:
        corners = centres[..., None, :] + rest.reshape(*rest.shape[:-1], 4, 2) - 0.5
        return corners.amin(-2), corners.amax(-2)
    return centres - rest / 2, centres + rest / 2


class Masks:
    """The output decoder of a segmenter whose queries have a class and a mask (MaskFormer …, EoMT).

    A class's score at a position is Σ_q p_q(c) · σ(m_q), as these models have it for semantic segmentation. Its
    logarithm is taken as the logit, so that a class's probability is its share in the sum over classes.

    Args:
        within: the name of what encodes the image.
    """

    task: Task = "multiclass"

    def __init__(self, within: str) -> None:
        self._within = within

    def call(self, model: Any, batch: Batch) -> Any:
        """Run the model."""
        return LogitsDecoder().call(model, batch)

    def logits(self, raw: Any) -> Array:
        """The logits at each position, `batch class height width`."""
        classes = raw.class_queries_logits.softmax(-1)[..., :-1]
        masks = raw.masks_queries_logits.sigmoid()
        scores = (classes.mT @ masks.flatten(2)).unflatten(2, masks.shape[2:])
        tiny = 1e-12
        return scores.clamp(min=tiny).log()

    def predictions(self, raw: Any, batch: Batch) -> None:
        """None: the logits at each position are all there is."""

    def within(self, model: Any) -> Sequence[str]:
        """The encoder, since the tokens of the decoder are queries and have no position."""
        return (self._within,)

    def fpn_levels(self, model: Any) -> Sequence[str]:
        """None: every query sees the whole image."""
        return ()

    def stages(self, model: Any) -> Sequence[str]:
        """None: there is no pyramid that they would make."""
        return ()
