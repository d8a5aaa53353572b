"""A tiny CLIP with random weights, and a tokenizer of letters for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from torch import nn

TINY = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
VISION = {"image_size": 64, "patch_size": 8, **TINY}
TEXT = {
    "vocab_size": 60,
    "max_position_embeddings": 24,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
    **TINY,
}


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """With random weights, drawn wide enough that captions and images differ."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make().eval()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.15)
    return model


def clip() -> nn.Module:
    """Hugging Face's."""
    return seeded(
        lambda: hf.CLIPModel(hf.CLIPConfig(vision_config=VISION, text_config=TEXT, projection_dim=16))
    )


def letters(place: Path) -> Any:
    """CLIP's own kind of tokenizer, with letters for words.

    Args:
        place: a folder for its two files.
    """
    pieces = [*"abcdefghijklmnopqrstuvwxyz,", *(f"{c}</w>" for c in "abcdefghijklmnopqrstuvwxyz,")]
    words = {w: i for i, w in enumerate(["<|startoftext|>", "<|endoftext|>", "<|unk|>", *pieces])}
    (place / "vocab.json").write_text(json.dumps(words))
    (place / "merges.txt").write_text("#version: 0.2\n")
    vocabulary, merges = str(place / "vocab.json"), str(place / "merges.txt")
    return hf.CLIPTokenizer(vocabulary, merges, unk_token="<|unk|>", pad_token="<|endoftext|>")


def saved(place: Path) -> None:
    """Model, tokenizer and preprocessing in a folder."""
    place.mkdir(exist_ok=True)
    clip().save_pretrained(place)
    letters(place).save_pretrained(place)
    size = {"shortest_edge": 64}
    hf.CLIPImageProcessor(size=size, crop_size={"height": 64, "width": 64}).save_pretrained(place)
