"""Hugging Face transformers: models, pipelines, names and folders; their image processors and labels."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camscope.errors import InputError, MissingExtraError, ModelError, nearest
from camscope.libraries.huggingface.audio import (
    classifies_moments,
    scores_of_moments,
    sound_reader_of,
    takes_sounds,
)
from camscope.libraries.huggingface.clip import caption_decoder_of, is_captioned
from camscope.libraries.huggingface.oneformer import TaskMasks, task_tokens
from camscope.libraries.huggingface.queries import Masks, Queries
from camscope.libraries.huggingface.queries import decoder_of as query_decoder_of
from camscope.libraries.huggingface.tokenizers import (
    TextClassifier,
    is_text_model,
    reader_of,
    saved_tokenizer,
)
from camscope.libraries.huggingface.worded import WORDED, worded_decoder_of
from camscope.libraries.info import ModelInfo, PhotoInput
from camscope.libraries.network import cached_from_hub, hub_unreachable, models_in_hub_cache
from camscope.libraries.processors import with_processor
from camscope.models.decoding import LogitsDecoder
from camscope.outputs import Task
from camscope.text import TextReader, Unread

_TASKS: dict[str | None, Task] = {
    "single_label_classification": "multiclass",
    "multi_label_classification": "multilabel",
    "regression": "regression",
}


def recognise(given: Any) -> tuple[Any, ModelInfo]:
    """A model and its info, from the model itself or from a pipeline around it.

    Args:
        given: a `PreTrainedModel`, or a pipeline around one. Nothing is known of anything else.
    """
    _transformers()
    if isinstance(given, _transformers().Pipeline):
        model, processor = given.model, getattr(given, "image_processor", None)
    elif not hasattr(given, "config") or not hasattr(
        given, "name_or_path"
    ):  # a trainer, a processor, a configuration
        return given, ModelInfo()
    else:
        model, processor = given, _saved_processor(given.name_or_path)
    info = ModelInfo(
        class_names=_class_names(model.config),
        name=f"hf:{model.name_or_path}" if model.name_or_path else None,
        task=_TASKS.get(getattr(model.config, "problem_type", None)),
    )
    if is_captioned(model):
        tokenizer = given.tokenizer if given is not model else saved_tokenizer(model.name_or_path)
        info = dataclasses.replace(
            info, class_names=None, caption_decoder=functools.partial(caption_decoder_of, model, tokenizer)
        )
    if model.config.model_type in WORDED and "ObjectDetection" in type(model).__name__:
        tokenizer = given.tokenizer if given is not model else saved_tokenizer(model.name_or_path)
        find = functools.partial(worded_decoder_of, model, tokenizer)
        info = dataclasses.replace(info, class_names=None, caption_decoder=find, explained="instance")
        return model, _prepared(info, processor, model)
    if is_text_model(model) and not takes_sounds(model):
        return model, dataclasses.replace(
            info, texts=_reader(given, model), decoder=TextClassifier(task=info.task)
        )
    if (decoder := query_decoder_of(model)) is not None:
        if isinstance(decoder, Masks) and model.config.model_type == "oneformer":
            tokenizer = given.tokenizer if given is not model else saved_tokenizer(model.name_or_path)
            decoder = TaskMasks(decoder, task_tokens(tokenizer, model.config))
        info = dataclasses.replace(info, decoder=decoder)
        if isinstance(decoder, Queries):
            info = dataclasses.replace(info, explained="instance")
        return model, _prepared(info, processor, model)
    if takes_sounds(model):
        extractor = given.feature_extractor if given is not model else None
        sounds, space = sound_reader_of(model, extractor)
        info = dataclasses.replace(info, sounds=sounds, space=space, keeps_sizes=True)
        if classifies_moments(model):
            return model, dataclasses.replace(info, decoder=LogitsDecoder(scores_of_moments, info.task))
    headed = not _is_headless(model)
    if headed and info.caption_decoder is None:
        info = dataclasses.replace(info, decoder=LogitsDecoder(_scores, info.task))
    of_frames = hasattr(model.config, "num_frames") and model.main_input_name == "pixel_values"
    if of_frames or model.main_input_name == "pixel_values_videos":
        info = dataclasses.replace(info, space=_OF_VIDEOS, decoder=LogitsDecoder(_scores_of_clip, info.task))
    elif not headed and info.caption_decoder is None:
        info = dataclasses.replace(info, class_names=None, task="regression", decoder=LogitsDecoder(_pooled))
    return model, info if info.sounds is not None else _prepared(info, processor, model)


_OF_VIDEOS = (1, 3, 4)
"""Frame, height and width: a processor makes `batch frame channel height width`."""


def _scores(raw: Any) -> Any:
    """What a head puts out: the logits, or those of an image and each text (BLIP-2).

    Some call it the last hidden state, and return nothing else (PP-LCNet, PP-OCR). What VideoPrism calls logits are
    shares in the batch's videos, or in the texts; they are made of the products of a video's and each text's vector.
    """
    if isinstance(raw, Mapping) and "logits_per_video" in raw:
        return raw["video_embeds"] @ raw["text_embeds"].mT
    if isinstance(raw, Mapping) and "logits_per_image" in raw:
        return raw["logits_per_image"]
    if isinstance(raw, Mapping) and set(raw) == {"last_hidden_state"}:
        return raw["last_hidden_state"]
    return LogitsDecoder().logits(raw)


def _scores_of_clip(raw: Any) -> Any:
    """The logits of a video, without the axis that VideoPrism keeps between batch and class."""
    found = _scores(raw)
    return found[:, 0] if found.ndim == 3 and found.shape[1] == 1 else found


def _pooled(raw: Any) -> Any:
    """The embedding of a model without a head: its own, or the mean over its positions."""
    for name in ("image_embeds", "pooler_output"):
        pooled = getattr(raw, name, None)
        if pooled is not None:
            return pooled.flatten(1)
    # `batch token channel`, or `batch channel height width`
    features = getattr(raw, "last_hidden_state", None)
    if features is None:
        features = (getattr(raw, "feature_maps", None) or (None,))[-1]  # of a backbone
    if features is None:
        raise ModelError(
            f"The model has no head, and no embedding is in the {type(raw).__name__} that it returns. Say what is "
            "explained: Explainer(model, output=…), a key, or a function such as lambda out: out.logits[:, -1] for the "
            "next token."
        )
    return features.mean(1) if features.ndim == 3 else features.flatten(2).mean(2)


def _is_headless(model: Any) -> bool:
    """Whether a model is one of the library's own that have no head: …ForImageClassification has one."""
    kind = type(model)
    return kind.__module__.startswith("transformers.") and not re.search(r"For[A-Z]", kind.__name__)


def create(name: str, *, pretrained: bool, classes: int | None = None) -> tuple[Any, ModelInfo]:
    """A model from the hub or a folder, and its info.

    Args:
        name: its name on the hub, or the folder.
        pretrained: whether it has its published weights or is untrained.
        classes: how many classes a new head has; None leaves the published one.

    Raises:
        ModelError: if there is no such model, its class is not known, or it cannot be fetched.
        MissingExtraError: if transformers is not installed.
    """
    options = _where(name)
    transformers = _transformers()
    try:
        config = transformers.AutoConfig.from_pretrained(name, **options)
        kind = _kind(transformers, config)
        if classes is not None:
            config.num_labels = classes  # which forgets the labels
            options |= {"config": config, "ignore_mismatched_sizes": True}
        model, missing = _pretrained(kind, name, options) if pretrained else (kind(config), True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(
            f"transformers could not open {name!r} ({type(error).__name__}: {_first_line(error)}). Is it the name of a "
            "model on the hub, or a folder saved by save_pretrained? Offline, only folders and what was fetched before "
            f"can be opened.{_nearest_folder(name)}"
        ) from error
    model, info = recognise(model)
    return model, dataclasses.replace(info, untrained=missing)


def _where(name: str) -> dict[str, Any]:
    """What makes transformers take a model from the cache, where there is no network.

    Raises:
        ModelError: if a folder holds no model, or there is no network and the model was never fetched.
        MissingExtraError: if transformers is not installed.
    """
    if Path(name).is_dir():
        if not (Path(name) / "config.json").is_file():
            raise ModelError(
                f"The folder {name} has no config.json, so it is no model saved by save_pretrained."
            )
        return {}
    if name.count("/") > 1 or name.startswith((".", "/", "~")):  # a model of the hub is NAME or SOMEBODY/NAME
        raise ModelError(f"There is no folder {name}.{_nearest_folder(name)}")
    if importlib.util.find_spec("transformers") is None:  # it takes seconds to import, and may not be needed
        raise MissingExtraError("Hugging Face models", "transformers")
    reason = hub_unreachable()
    if reason and cached_from_hub(name, "config.json") is None:
        cached = models_in_hub_cache()
        there = f" one that was fetched before (hf:{', hf:'.join(cached[:4])});" if cached else ""
        raise ModelError(
            f"hf:{name} is no folder here, was not fetched before, and {reason}.{_nearest_folder(name)} What works "
            f"without a network: a folder saved by save_pretrained, hf:FOLDER;{there} or demo, which comes with its "
            "weights."
        )
    return {"local_files_only": True} if reason else {}


def _pretrained(kind: Any, name: str, options: Mapping[str, Any]) -> tuple[Any, bool]:
    """A model with its weights, and whether some were missing and are random: a head, say, that was never trained."""
    model, report = kind.from_pretrained(name, output_loading_info=True, **options)
    return model, bool(report["missing_keys"] or report["mismatched_keys"])


def _nearest_folder(name: str) -> str:
    """A hint at folders in the same place that hold a model, in case the name is mistyped."""
    return nearest(name, [config.parent.as_posix() for config in Path(name).parent.glob("*/config.json")])


def _kind(transformers: Any, config: Any) -> Any:
    """The class that the weights were saved from."""
    for name in getattr(config, "architectures", None) or ():
        if kind := getattr(transformers, name, None):
            return kind
    return transformers.AutoModelForImageClassification._model_mapping[type(config)]


def _class_names(config: Any) -> list[str] | None:
    """The labels in the order of the outputs; None if they are only numbered (`LABEL_0`)."""
    labels = getattr(config, "id2label", None) or {}
    names = [str(labels.get(i, "")) for i in range(len(labels))]
    given = all(names) and any(name != f"LABEL_{i}" for i, name in enumerate(names))
    return names if given else None


def _prepared(info: ModelInfo, processor: Any, model: Any) -> ModelInfo:
    """The info with how the image processor prepares photos, or with the reason why that is not known."""
    if processor is None:
        return dataclasses.replace(
            info,
            photo=_photo(model.config),
            unprepared="no image processor came with it: processor.save_pretrained(FOLDER) puts one beside the "
            "weights; in Python also preprocessing=AutoImageProcessor.from_pretrained(…)",
        )
    try:
        return with_processor(info, processor, model)
    except InputError as error:
        return dataclasses.replace(info, unprepared=str(error))


def _photo(config: Any) -> PhotoInput:
    """What photos are prepared for, as far as a configuration says it."""
    size = getattr(config, "image_size", None)
    pair = (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, (list, tuple)) else None
    return PhotoInput(
        int(getattr(config, "num_channels", 3)), pair if pair is None or len(pair) == 2 else None
    )


def _saved_processor(name: str) -> Any:
    """The image processor beside the model's weights, in its folder or the cache. Nothing is downloaded."""
    if not name:
        return None
    try:
        return _transformers().AutoImageProcessor.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError):  # raised if there is none; that is allowed
        return None


def _reader(given: Any, model: Any) -> TextReader:
    """The text reader with the pipeline's tokenizer, or with the one that lies beside the weights."""
    tokenizer = given.tokenizer if given is not model else saved_tokenizer(model.name_or_path)
    if tokenizer is not None:
        return reader_of(tokenizer, model)
    return Unread(
        f"no tokenizer came with this {type(model).__name__}. Pass Explainer(model, tokenizer="
        "AutoTokenizer.from_pretrained(…)), or save one beside the weights: tokenizer.save_pretrained(folder)."
    )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else "no message"


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError("Hugging Face models", "transformers") from error
    return transformers
