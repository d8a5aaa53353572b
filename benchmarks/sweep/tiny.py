"""A small configuration of any transformers model: every width divided by the same number, few layers, small images.

Dividing all widths alike keeps what must agree in agreement (a decoder's width and its backbone's, a width and its
heads), and says nothing of any one model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

LONGEST_SIDE = 224
"""Of an image, in pixels: a multiple of the usual patches, and of the usual strides times a window of 7."""

_WIDTH = re.compile(
    r"((hidden|intermediate|embedding|feature|projection|pooler_output|output_hidden|codevector|proj_size|mlp|latent)"
    r"_?(size|dim)s?|.*_(dim|dims|channels|width|hidden_size|embed_dim|ffn_dim|proj_size|latents)|d_model|d_latents"
    r"|d_kv|d_ff|width|hidden_sizes|embed_dims|dim|dims|channels|fusion_hidden_size|head_dim|attention_head_size"
    r"|neck_hidden_sizes|hidden_size|embed_dim|vision_hidden_size|feature_size|mask_feature_size"
    r"|dim_feedforward|text_hidden_size|class_embed_dim|task_encoder_hidden_dim|feature_maps_size)"
)
_NO_WIDTH = re.compile(r"num_channels|in_chans|query_dim|key_dim|.*vocab.*|input_feat_per_channel|num_mel.*")
_DEPTH = re.compile(
    r"num_hidden_layers|num_layers|.*(encoder|decoder)_(num_)?layers|depths|num_block_repeats|n_layer|.*num_layers"
    r"|num_self_attends_per_block|num_blocks|layers|query_dec_layers|vision_layers"
)
_SIDE = re.compile(r"(image|img|anchor_image|input|crop)_size")
_COUNT = re.compile(r"num_frames|frames_per_clip|num_queries")
FEWEST = 2
MOST = 8
"""As many frames, and queries of a detector."""


def attempts(config: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Ever less shrunk configurations with a word on each, the last with the widths and depths that are usual.

    Args:
        config: a configuration's `to_dict()`.
    """
    for divisor in (8, 4, 2, 1):
        for shallow in (True, False):
            depth = f", {FEWEST} layers" if shallow else ""
            yield f"widths ÷ {divisor}{depth}", shrunk(config, divisor, shallow=shallow)


def shrunk(config: dict[str, Any], divisor: int, *, shallow: bool) -> dict[str, Any]:
    """A configuration with its widths divided, its sides at most `LONGEST_SIDE` and, if wanted, few layers."""
    small = {}
    for key, value in config.items():
        if isinstance(value, dict):
            small[key] = shrunk(value, divisor, shallow=shallow) if not _is_labels(key) else value
        elif _SIDE.fullmatch(key):
            small[key] = _each(value, lambda n: min(n, LONGEST_SIDE))
        elif _DEPTH.fullmatch(key) and shallow:
            small[key] = _each(value, lambda n: min(n, FEWEST))
        elif _COUNT.fullmatch(key):
            small[key] = _each(value, lambda n: min(n, MOST))
        elif _WIDTH.fullmatch(key) and not _NO_WIDTH.fullmatch(key):
            small[key] = _each(value, lambda n: n // divisor if n % divisor == 0 and n >= 32 else n)
        else:
            small[key] = deepcopy(value)
    return small


def find(config: Any, *names: str) -> Any:
    """The first value of one of these names in a configuration or those inside it; None if there is none."""
    values = config if isinstance(config, dict) else config.to_dict()
    for name in names:
        if values.get(name) is not None:
            return values[name]
    inner = (
        find(value, *names)
        for key, value in values.items()
        if isinstance(value, dict) and not _is_labels(key)
    )
    return next((value for value in inner if value is not None), None)


def _is_labels(key: str) -> bool:
    return key in ("id2label", "label2id")


def _each(value: Any, change: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_each(v, change) for v in value]
    return change(value) if isinstance(value, int) and not isinstance(value, bool) else value
