"""Every configuration of open_clip, its towers made shallow and narrow."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import open_clip as library
import torch
from torch import nn

from benchmarks.sweep.rows import Candidate, Case, NotBuiltError, enliven, noise, settle

CAPTIONS = ["a photo of a cat", "a photo of a dog"]
MOST_PARAMETERS = 150_000_000
LAYERS = 2


def candidates(library_name: str) -> list[Candidate]:
    """Every configuration that differs from those before once it is small; the family is its kind of image tower."""
    found: dict[str, Candidate] = {}
    for name in library.list_models():
        config = library.get_model_config(name)
        small = repr(_small(config))
        found.setdefault(small, Candidate(library_name, _family(config), name))
    return sorted(found.values(), key=lambda c: (c.family, c.name))


def _family(config: dict[str, Any]) -> str:
    vision = config["vision_cfg"]
    if "timm_model_name" in vision:
        return str(vision["timm_model_name"]).split("_")[0]
    return "ResNet" if isinstance(vision["layers"], list) else "ViT"


def build(candidate: Candidate) -> Case:
    """The small model, with its own tokenizer where that is in the package."""
    config = library.get_model_config(candidate.name)
    if config.get("text_cfg", {}).get("hf_model_name"):
        raise NotBuiltError(
            f"its text tower and tokenizer are {config['text_cfg']['hf_model_name']}, from the hub"
        )
    if config.get("text_cfg", {}).get("hf_tokenizer_name"):
        raise NotBuiltError(f"its tokenizer is {config['text_cfg']['hf_tokenizer_name']}, from the hub")
    small = _small(config)
    custom = small.pop("custom_text", False)
    kind: Any = (
        library.CoCa if "multimodal_cfg" in small else library.CustomTextCLIP if custom else library.CLIP
    )
    try:
        with torch.device("meta"):
            size = sum(p.numel() for p in kind(**small).parameters())
    except RuntimeError:  # it needs numbers while it is built
        size = 0
    if size > MOST_PARAMETERS:
        raise NotBuiltError(f"{size / 1e6:.0f} million parameters")
    model: nn.Module = kind(**small).eval()
    enliven(model)
    side = small["vision_cfg"]["image_size"]
    case = Case(
        model,
        noise(1, 3, side, side),
        options={"tokenizer": library.SimpleTokenizer(context_length=model.context_length)},
        call={"targets": list(CAPTIONS)},
        forward=lambda model, x: model.encode_image(x),
    )
    settle(case)
    return case


def _small(config: dict[str, Any]) -> dict[str, Any]:
    small = deepcopy(config)
    vision, text = small["vision_cfg"], small.get("text_cfg", {})
    if isinstance(vision.get("layers"), int):
        vision["layers"] = LAYERS
        heads = 4
        vision["width"], vision["head_width"] = 64, 64 // heads
        vision["image_size"] = 8 * vision.get("patch_size", 16)
    elif isinstance(vision.get("layers"), list):
        vision["layers"], vision["width"], vision["head_width"] = [1, 1, 1, 1], 16, 16
        vision["image_size"] = 224
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    for part in (text, small.get("multimodal_cfg", {})):
        if "layers" in part or "width" in part:
            part["layers"], part["width"], part["heads"] = LAYERS, 64, 4
    return small
