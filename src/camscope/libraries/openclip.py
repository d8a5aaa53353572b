"""open_clip: CLIP, SigLIP and CoCa models as it builds them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from camscope.errors import ModelError
from camscope.images import Preprocessing
from camscope.libraries.info import ModelInfo

_WORDS = 49408
"""The size of CLIP's own vocabulary, which most of open_clip's models use."""


def recognise(model: Any) -> tuple[Any, ModelInfo]:
    """An open_clip model and its info.

    Raises:
        ModelError: if it is only a part of such a model, which cannot compare images with captions.
    """
    if not hasattr(model, "encode_image") or not hasattr(model, "encode_text"):
        raise ModelError(
            f"A {type(model).__name__} is a part of an open_clip model. Pass the whole model, which compares images "
            "with captions."
        )
    return model, ModelInfo(
        preprocessing=_preprocessing(model),
        name=f"open_clip {type(model).__name__}",
        caption_decoder=functools.partial(_caption_decoder, model),
    )


def _caption_decoder(model: Any, tokenizer: Callable[[Sequence[str]], Any] | None) -> Any:
    """The output decoder that makes the model a classifier whose classes are captions.

    Raises:
        ModelError: if no tokenizer was given, and CLIP's own does not fit.
    """
    from camscope.models.torch.zero_shot import Towers, ZeroShot

    tokens = tokenizer or _tokenizer(model)

    def text(model: Any, texts: Sequence[str]) -> Any:
        return model.encode_text(tokens(list(texts)).to(next(model.parameters()).device))

    bias = getattr(model, "logit_bias", None)
    return ZeroShot(
        Towers(
            image=lambda model, x: model.encode_image(x),
            text=text,
            scaled=lambda model, cosines: cosines * model.logit_scale.exp() + (0 if bias is None else bias),
            task="multiclass" if bias is None else "multilabel",
        )
    )


def _tokenizer(model: Any) -> Any:
    import open_clip

    if getattr(model, "vocab_size", None) != _WORDS:
        raise ModelError(
            "This open_clip model does not use CLIP's own tokenizer. Pass Explainer(model, "
            "tokenizer=open_clip.get_tokenizer(NAME))."
        )
    return open_clip.SimpleTokenizer(context_length=model.context_length)


def _preprocessing(model: Any) -> Preprocessing | None:
    """What `open_clip.image_transform` does for evaluation; None where `Preprocessing` cannot do the same."""
    import open_clip

    config = open_clip.get_model_preprocess_cfg(model)
    size = config.get("size")
    if size is None or config.get("resize_mode", "shortest") == "longest":
        return None
    height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    squash = config.get("resize_mode") == "squash" or height != width
    return Preprocessing(
        input_size=(height, width),
        resize=(height, width) if squash else height,
        crop="squash" if squash else "center",
        interpolation=config.get("interpolation") or "bicubic",
        mean=tuple(config.get("mean") or open_clip.OPENAI_DATASET_MEAN),
        std=tuple(config.get("std") or open_clip.OPENAI_DATASET_STD),
        source="open_clip",
    )
