"""What is given for a model and is none says what it is, and what to give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import nn

import camscope
from tests.conftest import make_tiny_cnn

X = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def named(module: str, name: str) -> Any:
    """An object of a class that is called so, of a package that need not be installed."""
    return type(name, (), {"__module__": module})()


GIVEN = {
    "weights": (
        lambda: make_tiny_cnn().state_dict(),
        r"dictionary of weights.*model\.load_state_dict\(weights\)",
    ),
    "checkpoint": (
        lambda: {"epoch": 1, "state_dict": make_tiny_cnn().state_dict()},
        r"load_state_dict\(weights\['state_dict'\]\)",
    ),
    "class": (lambda: nn.Linear, r"the class Linear.*Linear\(…\)"),
    "function": (lambda: make_tiny_cnn, r"call it: make_tiny_cnn\(\)"),
    "lambda": (lambda: lambda x: x, r"call it: it\(\)"),
    "estimator": (lambda: make_pipeline(LogisticRegression()), "scikit-learn has no layers"),
    "list": (lambda: [make_tiny_cnn(), make_tiny_cnn()], "list of 2: explain one model at a time"),
    "models": (
        lambda: {"body": make_tiny_cnn(), "head": nn.Linear(2, 2)},
        r"models \(body, head\): explain one",
    ),
    "photo first": (
        lambda: np.zeros((8, 8, 3), np.uint8),
        r"model comes first, camscope\.explain\(model, x\)",
    ),
    "tensor first": (lambda: X, r"model comes first"),
    "several tensors": (dict, r"model comes first"),
    "SavedModel": (
        lambda: named("tensorflow.python.trackable", "_UserObject"),
        "tf2onnx.convert --saved-model",
    ),
    "lightning": (lambda: named("lightning.pytorch.trainer", "Trainer"), r"trainer\.lightning_module"),
    "transformers": (lambda: named("transformers.trainer", "Trainer"), r"trainer\.model"),
    "configuration": (lambda: hf.ViTConfig(), "ViTConfig: expected a model"),
    "processor": (lambda: hf.ViTImageProcessor(), "expected a model"),
    "anything": (lambda: 3.5, r"expected a model of .*PyTorch"),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_it_is_said_what_it_is_and_what_to_give(kind):
    make, words = GIVEN[kind]
    with pytest.raises(camscope.ModelError, match=words):
        camscope.explain(make(), X)


@pytest.fixture
def partly_quantised() -> nn.Module:
    """A linear head of whole numbers behind a convolution."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    return torch.ao.quantization.quantize_dynamic(model.eval(), {nn.Linear})


@pytest.mark.filterwarnings("ignore")
def test_of_a_quantised_head_it_is_said_what_still_works(partly_quantised):
    words = r"quantised \(4\), and no gradient.*layers='1', methods='scorecam'"
    with pytest.raises(camscope.LayerError, match=words):
        camscope.explain(partly_quantised, X)
    assert camscope.explain(partly_quantised, X, layers="1", methods="scorecam").maps().isfinite().all()


@pytest.mark.filterwarnings("ignore")
def test_a_quantised_network_is_refused_with_what_to_give():
    model = nn.Sequential(
        torch.ao.quantization.QuantStub(),
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        torch.ao.quantization.DeQuantStub(),
    ).eval()
    model.qconfig = torch.ao.quantization.get_default_qconfig("x86")
    prepared = torch.ao.quantization.prepare(model)
    prepared(X)
    with pytest.raises(
        camscope.LayerError, match=r"It is quantised \(0, 1.*before it was quantised.*in ONNX"
    ):
        camscope.explain(torch.ao.quantization.convert(prepared), X)
