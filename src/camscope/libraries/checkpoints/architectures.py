"""Which model of timm or torchvision a file's weights are of: found by building those that could be, without memory."""

from __future__ import annotations

import fnmatch
import importlib.util
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

from camscope.libraries.checkpoints.matching import fit
from camscope.libraries.checkpoints.reading import Checkpoint
from camscope.libraries.checkpoints.stand_ins import parts_of

_SECONDS = 3.0
"""How long is looked for; a model takes about 50 milliseconds."""

_MARKS = {
    "layer1.0.conv1.weight": "resnet* wide_resnet* resnext* seresnet* res2net* ecaresnet*",
    "layer1.0.conv2.conv.weight": "resnest*",
    "features.denseblock1.denselayer1.conv1.weight": "densenet*",
    "Mixed_5b.branch1x1.conv.weight": "inception*",
    "inception3a.branch1.conv.weight": "googlenet",
    "conv_stem.weight": "efficientnet* mobilenetv* tf_efficientnet* mnasnet* mixnet* lcnet* fbnet*",
    "stages.0.blocks.0.conv_dw.weight": "convnext*",
    "stages.0.blocks.0.norm.weight": "convnext*",
    "layers.0.blocks.0.attn.qkv.weight": "swin*",
    "features.1.0.attn.qkv.weight": "swin*",
    "encoder.layers.encoder_layer_0.ln_1.weight": "vit_*",
    "blocks.0.attn.qkv.weight": "vit_* deit* beit*",
    "blocks.0.mlp_tokens.fc1.weight": "mixer* resmlp*",
    "stages.0.blocks.0.token_mixer.scale": "poolformer* metaformer* caformer*",
    "trunk_output.block1.block1-0.f.a.0.weight": "regnet*",
    "s1.b1.conv1.conv.weight": "regnet*",
    "features.0.0.weight": "mobilenet_v* efficientnet_* convnext_* shufflenet*",
    "features.0.weight": "vgg* alexnet squeezenet*",
    "conv1.0.weight": "shufflenet*",
    "layers.0.weight": "mnasnet*",
}
"""Weights that tell a family of models, and how its members are called in both libraries."""

_DEEPEST = 3
"""How many dictionaries in one another are looked through for the name of a model."""

_WIDTHS = {192: "tiny", 384: "small", 768: "base", 1024: "large"}
"""How vision transformers are called by their channels, which narrows down the many there are."""


def architectures_of(checkpoint: Checkpoint) -> list[str]:
    """The models, by name, that a file's weights fit, in each library the first that was found; empty if none was.

    Args:
        checkpoint: what was read.
    """
    patterns = [*(word for _, word in _said(checkpoint.content, _DEEPEST)), *_patterns(checkpoint)]
    until = time.monotonic() + _SECONDS
    found = (
        _first(checkpoint, candidates, until)
        for candidates in (_of_timm(patterns), _of_torchvision(patterns))
    )
    return [name for name in found if name]


_KEYS = ("arch", "architecture", "model", "model_name")
"""Under which trainers say what they trained."""


def said_otherwise(checkpoint: Checkpoint, spec: str) -> str:
    """The model that a file says its weights are of, if that is another one of the same library; else empty.

    Models that differ in a padding, an activation or an epsilon have weights of the same names and shapes.

    Args:
        checkpoint: what was read.
        spec: the model that they were loaded into, `timm:NAME` or `torchvision:NAME`.
    """
    scheme, _, name = spec.partition(":")
    known = _NAMES[scheme]() if scheme in _NAMES else []
    said = [
        word.partition(".")[0]
        for key, word in _said(checkpoint.content, _DEEPEST)
        if key in _KEYS and word.partition(".")[0] in known
    ]
    return f"{scheme}:{said[0]}" if said and name.partition(".")[0] not in said else ""


def _said(content: Any, depth: int) -> Iterator[tuple[str, str]]:
    """Words in what is saved beside the weights that could name a model, with where they stand: `arch`, say."""
    for key, one in parts_of(content).items():
        if isinstance(one, str) and re.fullmatch(r"[a-z][\w.]*", one):
            yield str(key), one
        elif depth and not hasattr(one, "shape"):
            yield from _said(one, depth - 1)


def _patterns(checkpoint: Checkpoint) -> list[str]:
    names = checkpoint.tensors
    found = [pattern for mark, pattern in _MARKS.items() if any(_ends(name, mark) for name in names)]
    patterns = " ".join(found).split()
    patch = next((one for name, one in names.items() if _ends(name, "patch_embed.proj.weight")), None)
    if patch is not None and patch.ndim == 4 and (width := _WIDTHS.get(patch.shape[0])):
        sized = f"{width}_patch{patch.shape[-1]}*"
        patterns = [f"{one.rstrip('_*')}_{sized}" if one in _OF_PATCHES else one for one in patterns]
    return patterns


_OF_PATCHES = ("vit_*", "deit*", "beit*")


def _ends(name: str, mark: str) -> bool:
    return name == mark or name.endswith(f".{mark}")


def _first(checkpoint: Checkpoint, candidates: Iterator[tuple[str, Any]], until: float) -> str:
    """The first model that all of the weights fit."""
    for name, model in candidates:
        found = fit(checkpoint, model)
        if found.whole and not set(found.state) - set(model.state_dict()):
            return name
        if time.monotonic() > until:
            break
    return ""


def _timm_names() -> list[str]:
    if importlib.util.find_spec("timm") is None:
        return []
    import timm

    names: list[str] = timm.list_models()
    return names


def _torchvision_names() -> list[str]:
    if importlib.util.find_spec("torchvision") is None:
        return []
    from torchvision import models

    names: list[str] = models.list_models(module=models)
    return names


_NAMES = {"timm": _timm_names, "torchvision": _torchvision_names}
"""What models a library has, none if it is not installed."""


def _of_timm(patterns: Sequence[str]) -> Iterator[tuple[str, Any]]:
    names = _ordered(_timm_names(), patterns)
    if not names:
        return
    import timm
    import torch

    for name in names:
        with torch.device("meta"):
            model = timm.create_model(name)
        yield f"timm:{name}", model


def _of_torchvision(patterns: Sequence[str]) -> Iterator[tuple[str, Any]]:
    names = _ordered(_torchvision_names(), patterns)
    if not names:
        return
    import torch
    from torchvision import models

    for name in names:
        options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        with torch.device("meta"):
            model = models.get_model(name, weights=None, **options)
        yield f"torchvision:{name}", model


def _ordered(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """The names of some patterns, those of the first pattern first, the plain ones before those with more words."""
    found = [
        sorted(fnmatch.filter(names, pattern), key=lambda name: (len(name), name)) for pattern in patterns
    ]
    return list(dict.fromkeys(name for some in found for name in some))
