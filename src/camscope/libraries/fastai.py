"""fastai: a Learner's model, its transforms for photos, its vocabulary, and what its loss says of its outputs.

A network made of fastai's `Module` (XResNet, a bare DynamicUnet, one of the user's own) is a module like any other.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from einops import rearrange
from PIL import Image

from camscope.errors import InputError
from camscope.images import Photo
from camscope.libraries.info import ModelInfo, Prepared
from camscope.outputs import Task

_TASKS: dict[str, Task] = {
    "CrossEntropyLossFlat": "multiclass",
    "LabelSmoothingCrossEntropyFlat": "multiclass",
    "LabelSmoothingCrossEntropy": "multiclass",
    "FocalLossFlat": "multiclass",
    "BCEWithLogitsLossFlat": "multilabel",
    "BCELossFlat": "multilabel",
    "MSELossFlat": "regression",
    "L1LossFlat": "regression",
    "CrossEntropyLoss": "multiclass",
    "BCEWithLogitsLoss": "multilabel",
    "BCELoss": "multilabel",
    "MSELoss": "regression",
    "L1Loss": "regression",
    "SmoothL1Loss": "regression",
}
"""What the outputs mean, by the name of fastai's or PyTorch's loss."""


def recognise(given: Any) -> tuple[Any, ModelInfo]:
    """A Learner's model, and what the Learner says of it; of anything else of fastai's, a network say, nothing is said.

    Args:
        given: a Learner, or another object of one of fastai's classes.
    """
    return _of_learner(given) if hasattr(given, "dls") else (given, ModelInfo())


def _of_learner(learner: Any) -> tuple[Any, ModelInfo]:
    vocab = getattr(learner.dls, "vocab", None) or _codes(learner.dls)
    # a model with several target blocks has a vocabulary for each, a regression has none: both give no class names
    names = [str(name) for name in vocab] if vocab is not None and not _nested(vocab) else None
    return learner.model, ModelInfo(
        class_names=names or None,
        name="fastai Learner",
        task=_TASKS.get(type(learner.loss_func).__name__),
        prepare=functools.partial(_prepare, learner.dls),
    )


def _codes(dls: Any) -> Any:
    """The names of a segmentation's classes, which stand in one of the transforms."""
    steps = getattr(getattr(dls, "after_item", None), "fs", ())
    return next((step.codes for step in steps if getattr(step, "codes", None) is not None), None)


def _nested(vocab: Any) -> bool:
    return any(isinstance(name, (list, tuple)) or hasattr(name, "items") for name in vocab)


def _prepare(dls: Any, photos: Sequence[Photo]) -> Prepared:
    """Prepare photos as the validation set's are, and decode them again to be looked at.

    Raises:
        InputError: if the Learner's inputs are not pictures.
    """
    import torch
    from fastai.vision.core import PILImage

    kind = _kind(dls, PILImage)
    mode = getattr(kind, "_open_args", {}).get("mode", "RGB")
    items = [kind.create(np.asarray(photo.pixels.convert(mode))) for photo in photos]
    loader = dls.test_dl(items, num_workers=0)
    inputs, pictures = [], []
    for batch in _undisturbed(loader):
        x = batch[0]
        if not isinstance(x, torch.Tensor) or x.ndim != 4:
            raise InputError(
                f"This Learner's transforms make {type(x).__name__} of a photo, not a batch of pictures; give the "
                "model's own input as a tensor."
            )
        inputs.append(x.as_subclass(torch.Tensor))
        pictures += [_picture(one.as_subclass(torch.Tensor)) for one in loader.decode(batch)[0]]
    return Prepared(torch.cat(inputs), pictures)


def _kind(dls: Any, otherwise: type) -> Any:
    """The class of the Learner's own pictures, which says whether they are in colour or grey."""
    try:
        kind = type(dls.valid_ds[0][0])
    except (IndexError, AttributeError, FileNotFoundError):  # an exported Learner brings no data
        return otherwise
    return kind if hasattr(kind, "create") else otherwise


def _undisturbed(loader: Any) -> list[Any]:
    """All batches of a loader, without the change that drawing its seed makes to the random states."""
    import torch

    state = random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            return list(loader)
    finally:
        random.setstate(state)


def _picture(decoded: Any) -> Image.Image:
    """The picture in a decoded array `channel height width`, whose values go up to 255 or up to 1."""
    values = np.asarray(decoded.cpu(), dtype=np.float32)
    values = values if values.max() > 1 else values * 255
    pixels = rearrange(np.clip(np.rint(values), 0, 255).astype(np.uint8), "channel h w -> h w channel")
    return Image.fromarray(np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels)
