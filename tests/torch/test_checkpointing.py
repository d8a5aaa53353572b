"""Gradient checkpointing runs parts of a model again in the backward: it is off while the model is explained."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import camscope
from tests.torch.conftest import build
from tests.torch.nets import batch, gap_head

X = batch(2, 3, 64, 64)


def checkpointing_flags(model: nn.Module) -> list[bool]:
    names = ("grad_checkpointing", "gradient_checkpointing")
    return [getattr(module, name) for module in model.modules() for name in names if hasattr(module, name)]


def of_huggingface() -> nn.Module:
    import transformers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = transformers.ViTConfig(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=64,
            patch_size=16,
            num_labels=5,
        )
        return transformers.ViTForImageClassification(config).eval()


@pytest.fixture(
    scope="module", params=["timm:test_resnet", "timm:test_vit", "transformers"], ids=lambda name: name
)
def plain_and_checkpointed(request) -> tuple[nn.Module, nn.Module]:
    if request.param == "transformers":
        plain = of_huggingface()
        checkpointed = copy.deepcopy(plain)
        checkpointed.gradient_checkpointing_enable()
    else:
        options = {"img_size": 64} if "vit" in request.param else {}
        plain = build(request.param, num_classes=5, **options)
        checkpointed = copy.deepcopy(plain)
        checkpointed.set_grad_checkpointing()
    assert True in checkpointing_flags(checkpointed)
    return plain, checkpointed


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("method", ["gradcam", "layercam-fused", "fullgrad"])
def test_the_map_is_the_one_without_checkpointing(method, training, plain_and_checkpointed):
    plain, checkpointed = (model.train(training) for model in plain_and_checkpointed)
    flags = checkpointing_flags(checkpointed)
    expected = camscope.explain(plain, X, methods=method, targets=1)
    found = camscope.explain(checkpointed, X, methods=method, targets=1)
    assert found.layers == expected.layers
    assert torch.equal(found.maps(), expected.maps())
    assert checkpointing_flags(checkpointed) == flags


class CheckpointedByItself(nn.Module):
    """Checkpoints its parts in its forward, whatever is asked for."""

    def __init__(self, *, reentrant: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(8, 12, 3, 2), nn.ReLU())
        self.head = gap_head()
        self.reentrant = reentrant

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in (self.stem, self.body):
            x = checkpoint(part, x, use_reentrant=self.reentrant)
        return self.head(x)


def test_a_part_that_is_checkpointed_all_the_same_is_said_to_be(untouched):
    model = CheckpointedByItself(reentrant=False)
    with (
        untouched(model),
        pytest.raises(camscope.ModelError, match=r"checkpoints its gradients.*'use_checkpoint'"),
    ):
        camscope.explain(model, X, targets=1)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({}, camscope.LayerError, "use_reentrant=True in its forward"),
        ({"methods": "fullgrad"}, camscope.ModelError, "checkpoints its gradients"),
    ],
)
def test_reentrant_checkpoints_cut_the_graph_and_the_error_names_them(options, error, words):
    model = CheckpointedByItself(reentrant=True)
    with pytest.raises(error, match=words):
        camscope.explain(model, X, **options)
