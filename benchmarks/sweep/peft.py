"""PEFT's adapters around image models of transformers, torchvision and timm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peft as library
import timm
import torchvision
import transformers as hf
from torch import nn

from benchmarks.sweep.rows import Candidate, Case, NotBuiltError, enliven, noise, settle

CLASSES = 5


def _vit() -> nn.Module:
    config = hf.ViTConfig(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96)
    return hf.ViTForImageClassification(config)


def _swin() -> nn.Module:
    return hf.SwinForImageClassification(hf.SwinConfig(embed_dim=12, depths=[1, 1, 1, 1]))


def _convnext() -> nn.Module:
    return hf.ConvNextForImageClassification(
        hf.ConvNextConfig(hidden_sizes=[12, 24, 48, 96], depths=[1, 1, 1, 1])
    )


MODELS: dict[str, tuple[Callable[[], nn.Module], list[str], list[str]]] = {
    "ViT (transformers)": (_vit, ["q_proj", "v_proj"], ["classifier"]),
    "Swin (transformers)": (_swin, ["q_proj", "v_proj"], ["classifier"]),
    "ConvNeXt (transformers)": (_convnext, ["pwconv1", "pwconv2"], ["classifier"]),
    "ResNet-18 (torchvision)": (
        lambda: torchvision.models.resnet18(num_classes=CLASSES),
        ["conv1", "conv2"],
        ["fc"],
    ),
    "ViT (timm)": (
        lambda: timm.create_model("vit_tiny_patch16_224", depth=2, num_classes=CLASSES),
        ["qkv", "fc1"],
        ["head"],
    ),
    "ResNet-18 (timm)": (
        lambda: timm.create_model("resnet18", num_classes=CLASSES),
        ["conv1", "conv2"],
        ["fc"],
    ),
}
"""The model, and the names of the modules that are adapted and that are trained whole."""

ADAPTERS: dict[str, Callable[[list[str], list[str]], Any]] = {
    "LoRA": lambda to, save: library.LoraConfig(r=4, target_modules=to, modules_to_save=save),
    "DoRA": lambda to, save: library.LoraConfig(r=4, target_modules=to, modules_to_save=save, use_dora=True),
    "LoHa": lambda to, save: library.LoHaConfig(r=4, target_modules=to, modules_to_save=save),
    "LoKr": lambda to, save: library.LoKrConfig(r=4, target_modules=to, modules_to_save=save),
    "OFT": lambda to, save: library.OFTConfig(r=0, oft_block_size=3, target_modules=to, modules_to_save=save),
    "IA3": lambda to, save: library.IA3Config(
        target_modules=to, feedforward_modules=to, modules_to_save=save
    ),
}


def candidates(library_name: str) -> list[Candidate]:
    """Every adapter around every model; the adapter is the family."""
    return [
        Candidate(library_name, adapter, f"{adapter} on {model}") for adapter in ADAPTERS for model in MODELS
    ]


def build(candidate: Candidate) -> Case:
    """The model in its adapter, both untrained."""
    make, to, save = MODELS[candidate.name.split(" on ", 1)[1]]
    try:
        base = make()
        enliven(base)
        names = [name.rsplit(".", 1)[-1] for name, _ in base.named_modules()]
        missing = [name for name in to if name not in names]
        if missing:
            raise NotBuiltError(f"the model has no {missing}, but {sorted(set(names))}")
        model = library.get_peft_model(base, ADAPTERS[candidate.family](to, save)).eval()
        case = Case(model, noise(1, 3, 224, 224))
        settle(case)
        case.run()
    except (ValueError, TypeError, ImportError, RuntimeError, NotImplementedError) as error:
        raise NotBuiltError(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
    return case
