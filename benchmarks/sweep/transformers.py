"""Every class of transformers that sees or hears, by the mappings of its `Auto` classes, with a small configuration."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
import transformers as hf
from torch import Tensor, nn
from transformers.models.auto import modeling_auto

from benchmarks.sweep import tiny
from benchmarks.sweep.rows import Candidate, Case, NotBuiltError, enliven, noise, settle
from camscope.libraries.huggingface.naflex import in_patches

TASKS = (
    "IMAGE_CLASSIFICATION",
    "ZERO_SHOT_IMAGE_CLASSIFICATION",
    "IMAGE_SEGMENTATION",
    "SEMANTIC_SEGMENTATION",
    "UNIVERSAL_SEGMENTATION",
    "INSTANCE_SEGMENTATION",
    "OBJECT_DETECTION",
    "ZERO_SHOT_OBJECT_DETECTION",
    "VIDEO_CLASSIFICATION",
    "AUDIO_CLASSIFICATION",
)
CAPTIONS = ["a photo of a cat", "a photo of a dog"]
MOST_PARAMETERS = 150_000_000
SECOND = 16_000
LABELS = {i: f"class {i}" for i in range(5)}

Config = dict[str, Any]


def candidates(library: str) -> list[Candidate]:
    """The classes of the mappings; the family is the task. A class in two mappings is of the first."""
    found: dict[str, Candidate] = {}
    for task in TASKS:
        mapping = getattr(modeling_auto, f"MODEL_FOR_{task}_MAPPING_NAMES")
        for names in mapping.values():
            for name in (names,) if isinstance(names, str) else names:
                found.setdefault(name, Candidate(library, task.lower().replace("_", " "), name))
    return list(found.values())


def build(candidate: Candidate) -> Case:
    """The smallest of the class's configurations that can be built and run, as a user would have it explained."""
    kind = getattr(hf, candidate.name, None)
    if kind is None:
        raise NotBuiltError(f"transformers {hf.__version__} does not export {candidate.name}")
    usual = _usual_config(candidate.name, kind)
    reasons: list[str] = []
    for words, values in tiny.attempts(_laid_over(usual.to_dict(), OVERRIDES.get(candidate.name, {}))):
        try:
            config = type(usual).from_dict(_labelled(values))
            with torch.device("meta"):
                size = sum(p.numel() for p in kind(config).parameters())
            if size > MOST_PARAMETERS:
                reasons.append(f"{words}: {size / 1e6:.0f} million parameters")
                continue
            model = kind(config).eval()
            enliven(model)
            case = _case(candidate, model)
            settle(case)
            case.run()
        except Exception as error:  # whatever a configuration that does not fit leads to
            reasons.append(f"{words}: {type(error).__name__}: {' '.join(str(error).split())[:160]}")
        else:
            return case
    raise NotBuiltError(f"{reasons[0]}; {reasons[-1]}")


def _laid_over(config: Config, over: Config) -> Config:
    """A configuration with other values, also inside the configurations that it holds."""
    both = {**config, **over}
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            both[key] = _laid_over(config[key], value)
    return both


def _usual_config(name: str, kind: Any) -> Any:
    if name in CONFIGS:
        return CONFIGS[name]()
    return kind.config_class()


def _labelled(values: Config) -> Config:
    return {**values, "id2label": dict(LABELS), "label2id": {v: k for k, v in LABELS.items()}}


def _blocks() -> Config:
    """The kernels, strides and paddings of PP-OCR's server models."""
    sides = {"longratio": 7, "midratio": 5, "shortratio": 3}
    found: Config = {"reduce_channel": [1, 1, 0], "return_channel": [1, 1, 0]}
    for words, n in sides.items():
        found[f"vertical_long_to_small_conv_{words}"] = [[n, 1], [1, 1], [n // 2, 0]]
        found[f"horizontal_small_to_long_conv_{words}"] = [[1, n], [1, 1], [0, n // 2]]
        found[f"symmetric_conv_long_{words}"] = [[n, n], [1, 1], [n // 2, n // 2]]
    return {
        "intraclass_block_config": found,
        "scale_factor_list": [1, 2, 4, 8],
        "kernel_list": [3, 2, 2],
    }


OVERRIDES: dict[str, Config] = {
    "BeitForSemanticSegmentation": {"out_indices": [3, 5, 7, 11], "out_features": None},
    "Blip2ForImageTextRetrieval": {
        "qformer_config": {"use_qformer_text_input": True},
        "text_config": {"ffn_dim": 2048, "word_embed_proj_dim": 2048},
    },
    "LwDetrForObjectDetection": {"backbone_config": {"image_size": 128}},
    "PPDocLayoutV2ForObjectDetection": {
        "class_thresholds": [0.5] * len(LABELS),
        "class_order": list(range(len(LABELS))),
    },
    "PPOCRV5ServerDetForObjectDetection": _blocks(),
    "PPOCRV6MediumDetForObjectDetection": _blocks(),
    "PerceiverForImageClassificationConvProcessing": {"num_cross_attention_heads": 1},
    "PerceiverForImageClassificationFourier": {"num_cross_attention_heads": 1},
    "Sapiens2ForSemanticSegmentation": {
        "num_hidden_layers": 12,
        "out_features": ["stage12"],
        "out_indices": None,
        "head_config": {
            "upsample_out_channels": [64, 64],
            "upsample_kernel_sizes": [4, 4],
            "conv_out_channels": [64],
            "conv_kernel_sizes": [1],
        },
    },
}
"""What the rules of `tiny` cannot know, by class: laid over the default configuration before it is shrunk."""

CONFIGS: dict[str, Callable[[], Any]] = {
    "TimmWrapperForImageClassification": lambda: hf.TimmWrapperConfig(architecture="resnet10t"),
}
"""Configurations for classes whose default is of no model."""


# ---------------------------------------------------------------------- how a user would call it


def _case(candidate: Candidate, model: nn.Module) -> Case:
    config: Any = model.config
    takes = inspect.signature(model.forward).parameters
    if candidate.family == "zero shot image classification":
        return _captioned(model, config)
    x = _input(candidate, model, takes)
    if "input_ids" in takes and "pixel_values" in takes:
        return Case(model, {"pixel_values": x, **_texts(model, takes)}, explained="pixel_values")
    if candidate.name.startswith("OmDet"):
        return _omdet(model, x)
    if candidate.name.startswith("OneFormer"):
        tasks = torch.ones(1, find_int(config, "task_seq_len"), dtype=torch.int64)
        return Case(model, {"pixel_values": x, "task_inputs": tasks}, explained="pixel_values")
    if candidate.name == "Siglip2ForImageClassification":
        side = int(x.shape[1] ** 0.5)
        inputs = {
            "pixel_values": x,
            "pixel_attention_mask": torch.ones(1, x.shape[1], dtype=torch.int64),
            "spatial_shapes": torch.tensor([[side, side]]),
        }
        return Case(model, inputs, explained="pixel_values")
    return Case(model, x)


def _captioned(model: Any, config: Any) -> Case:
    def image_features(model: Any, x: Tensor) -> Any:
        return model.get_image_features(pixel_values=x)

    case = Case(
        model,
        noise(1, *_image(config)),
        options={"tokenizer": _tokenizer(config)},
        call={"targets": list(CAPTIONS)},
        forward=image_features if hasattr(model, "get_image_features") else None,
    )
    if type(model).__name__ == "Siglip2Model":  # which takes patches in a row
        patch = find_int(config, "patch_size")
        side = int(find_int(config, "num_patches") ** 0.5) * patch
        case.inputs = noise(1, 3, side, side)
        case.forward = lambda model, x: model.get_image_features(**in_patches(x, patch))
    if type(model).__name__ == "VideoPrismClipModel":
        frames = tiny.find(config, "num_frames") or 8
        case.inputs = {
            "pixel_values_videos": noise(1, frames, *_image(config)),
            "input_ids": torch.tensor([[5, 6, 7], [5, 8, 7]]),
        }
        case.explained, case.options, case.call = "pixel_values_videos", {}, {}
    if type(model).__name__ == "Blip2ForImageTextRetrieval":
        ids = torch.tensor([[5, 6, 7]])
        case.inputs, case.explained, case.forward = (
            {"pixel_values": case.inputs, "input_ids": ids},
            "pixel_values",
            None,
        )
        case.options, case.call = {}, {}
    return case


def _omdet(model: Any, x: Tensor) -> Case:
    words = torch.tensor([[5, 6, 7, 8], [5, 9, 7, 8]])
    inputs = {
        "pixel_values": x,
        "classes_input_ids": words,
        "classes_attention_mask": torch.ones_like(words),
        "tasks_input_ids": words[:1],
        "tasks_attention_mask": torch.ones_like(words[:1]),
        "classes_structure": torch.tensor([2]),
    }
    return Case(model, inputs, explained="pixel_values")


def _input(candidate: Candidate, model: Any, takes: Any) -> Tensor:
    config = model.config
    if "pixel_values_videos" in takes or candidate.family == "video classification":
        frames = tiny.find(config, "num_frames", "frames_per_clip") or 8
        if "crop_size" in config.to_dict():
            return noise(1, frames, 3, config.crop_size, config.crop_size)
        return noise(1, frames, *_image(config))
    if candidate.family == "audio classification":
        return _sound(config, takes)
    if candidate.name == "ImageGPTForImageClassification":
        return torch.randint(0, config.vocab_size - 1, (1, config.n_positions))
    if candidate.name == "Siglip2ForImageClassification":
        return noise(1, find_int(config, "num_patches"), 3 * find_int(config, "patch_size") ** 2)
    return noise(1, *_image(config))


def _image(config: Any) -> tuple[int, int, int]:
    size = tiny.find(config, "image_size", "img_size") or tiny.LONGEST_SIDE
    height, width = size if isinstance(size, list | tuple) else (size, size)
    channels = tiny.find(config, "num_channels", "in_channels")
    return channels if isinstance(channels, int) else 3, height, width


def _sound(config: Any, takes: Any) -> Tensor:
    if "input_features" in takes:
        mels = tiny.find(config, "num_mel_bins")
        if mels and tiny.find(config, "max_source_positions"):
            return noise(1, mels, 2 * config.max_source_positions)
        return noise(1, 200, find_int(config, "feature_projection_input_dim"))
    if tiny.find(config, "num_mel_bins"):
        return noise(1, find_int(config, "max_length"), find_int(config, "num_mel_bins"))
    return noise(1, SECOND)


def _texts(model: Any, takes: Any) -> dict[str, Tensor]:
    ids = torch.tensor([[5, 6, 7, 8], [5, 9, 7, 8]])
    if "owl" not in type(model).__name__.lower():
        ids = ids[:1]
    texts = {"input_ids": ids}
    if "attention_mask" in takes:
        texts["attention_mask"] = torch.ones_like(ids)
    return texts


def find_int(config: Any, name: str) -> int:
    """A number of a configuration.

    Raises:
        NotBuiltError: if there is none of the name.
    """
    value = tiny.find(config, name)
    if not isinstance(value, int):
        raise NotBuiltError(f"the configuration has no {name}")
    return value


def _tokenizer(config: Any) -> Any:
    """One word, one number, with the end that the model looks for."""
    import tokenizers

    text = config.to_dict().get("text_config", {})
    last = (tiny.find(text, "vocab_size") or 1000) - 1
    eos = min(tiny.find(text, "eos_token_id") or 2, last)
    bos = min(tiny.find(text, "bos_token_id") or 1, last)
    words = dict(zip(["a", "photo", "of", "cat", "dog"], range(10, 15), strict=True))
    vocabulary = {"[PAD]": 0, "[UNK]": 3, "[EOS]": eos, "[BOS]": bos, **words}
    own = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    own.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    own.post_processor = tokenizers.processors.TemplateProcessing(
        single="[BOS] $A [EOS]", special_tokens=[("[BOS]", bos), ("[EOS]", eos)]
    )
    longest = tiny.find(text, "max_position_embeddings") or 16
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=own, pad_token="[PAD]", eos_token="[EOS]", model_max_length=min(longest, 64)
    )
