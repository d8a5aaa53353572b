"""Tiny classifiers of sounds with random weights, saved with their feature extractors, and sounds for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf

NAMES = {0: "dog", 1: "bell", 2: "speech"}
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "id2label": NAMES,
    "label2id": {name: number for number, name in NAMES.items()},
}
WAVES: dict[str, Any] = {
    **SIZES,
    "conv_dim": (16,) * 7,
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "conv_stride": (5, 2, 2, 2, 2, 2, 2),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 8,
}
LABELS = {key: SIZES[key] for key in ("id2label", "label2id")}

OF_WAVES = (
    "Wav2Vec2",
    "Hubert",
    "WavLM",
    "UniSpeech",
    "UniSpeechSat",
    "Data2VecAudio",
    "Wav2Vec2Conformer",
    "SEW",
    "SEWD",
)
KINDS = (*OF_WAVES, "masked", "Wav2Vec2Bert", "AST", "Whisper")


def built(kind: str) -> tuple[Any, Any]:
    """A model and its feature extractor; `masked` is a Wav2Vec2 that is told what is padding."""
    if kind == "Wav2Vec2Bert":
        config = hf.Wav2Vec2BertConfig(**SIZES, feature_projection_input_dim=160, classifier_proj_size=8)
        return hf.Wav2Vec2BertForSequenceClassification(config), hf.SeamlessM4TFeatureExtractor()
    if kind == "AST":
        config = hf.ASTConfig(**SIZES, max_length=256, num_mel_bins=64)
        return hf.ASTForAudioClassification(config), hf.ASTFeatureExtractor(max_length=256, num_mel_bins=64)
    if kind == "Whisper":
        config = hf.WhisperConfig(
            **LABELS, d_model=32, encoder_layers=2, encoder_attention_heads=2, decoder_layers=1,
            decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_source_positions=200,
            vocab_size=100, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
        )  # fmt: skip
        return hf.WhisperForAudioClassification(config), hf.WhisperFeatureExtractor(chunk_length=4)
    more: dict[str, Any] = {"squeeze_factor": 2} if kind.startswith("SEW") else {}
    if kind == "masked":
        kind, more = "Wav2Vec2", {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
    config = getattr(hf, f"{kind}Config")(**WAVES, **more)
    extractor = hf.Wav2Vec2FeatureExtractor(return_attention_mask=bool(more) and "SEW" not in kind)
    return getattr(hf, f"{kind}ForSequenceClassification")(config), extractor


def saved(kind: str, folder: Path) -> str:
    """The model's name: a folder with model and feature extractor."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, extractor = built(kind)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return f"hf:{folder}"


def noise(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """A sound from −1 to 1."""
    random = np.random.default_rng(seed)
    return (random.normal(size=int(seconds * rate)) * 0.1).astype(np.float32)
