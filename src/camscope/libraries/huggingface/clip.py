"""Hugging Face models that compare images with captions, such as CLIP, SigLIP, ALIGN and AltCLIP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from camscope.errors import InputError, ModelError
from camscope.libraries.huggingface.naflex import in_patches, takes_patches


def is_captioned(model: Any) -> bool:
    """Whether a model has vectors for images and for captions in one space, whose cosines it scales."""
    towers = hasattr(model, "get_image_features") and hasattr(model, "get_text_features")
    return towers and (hasattr(model, "logit_scale") or hasattr(model, "temperature"))


def caption_decoder_of(model: Any, saved: Any, tokenizer: Any) -> Any:
    """The output decoder that makes a model a classifier whose classes are captions.

    Args:
        model: a model with `get_image_features` and `get_text_features`.
        saved: the tokenizer that came with the model; None if none did.
        tokenizer: the user's tokenizer, or a processor that has one; None takes the saved one.

    Raises:
        ModelError: if there is no tokenizer.
    """
    from camscope.models.torch.zero_shot import Towers, ZeroShot

    own = getattr(tokenizer, "tokenizer", tokenizer) or saved
    if own is None:
        raise ModelError(
            f"A {type(model).__name__} reads captions, and no tokenizer came with it. Pass Explainer(model, "
            "tokenizer=AutoTokenizer.from_pretrained(…)), its processor, or a folder that holds both."
        )
    by_itself = hasattr(model, "logit_bias")

    def text(model: Any, texts: Sequence[str]) -> Any:
        limit = _limit(model)
        padding: dict[str, Any] = {"padding": True}
        if (
            by_itself
        ):  # SigLIP was trained on captions that are all padded to one length, which few tokenizers know
            most = min(filter(None, (limit, getattr(own, "model_max_length", None))), default=None)
            padding = {"padding": "max_length", "max_length": most}
        tokens = own(list(texts), **padding, return_tensors="pt")
        _check_length(model, own, texts, tokens["input_ids"].shape[1])
        device = next(model.parameters()).device
        takes = {name: value.to(device) for name, value in tokens.items() if name != "token_type_ids"}
        return _vectors(model.get_text_features(**takes))

    def image(model: Any, x: Any) -> Any:
        given = {"pixel_values": x}
        if takes_patches(model):
            given = in_patches(x, model.config.vision_config.patch_size)
        return _vectors(model.get_image_features(**given))

    def scaled(model: Any, cosines: Any) -> Any:
        scale = model.logit_scale.exp() if hasattr(model, "logit_scale") else 1 / model.temperature
        return cosines * scale + (model.logit_bias if by_itself else 0)

    return ZeroShot(
        Towers(
            image=image,
            text=text,
            scaled=scaled,
            task="multilabel" if by_itself else "multiclass",
        )
    )


def _vectors(features: Any) -> Any:
    """The vectors, which are returned alone or, depending on the version, as the pooled part of an output."""
    return features if hasattr(features, "shape") else features.pooler_output


def _limit(model: Any) -> int | None:
    """How many tokens of a caption the model takes, if it says so."""
    limit: int | None = getattr(getattr(model.config, "text_config", None), "max_position_embeddings", None)
    return limit


def _check_length(model: Any, tokenizer: Any, texts: Sequence[str], longest: int) -> None:
    limit = _limit(model)
    if limit is None or longest <= limit:
        return
    length, text = max((len(tokenizer(text)["input_ids"]), text) for text in texts)
    raise InputError(
        f"The caption {text[:60] + '…' if len(text) > 60 else text!r} has {length} tokens; the model takes {limit}. "
        "Give a shorter caption."
    )
