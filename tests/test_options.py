"""Options that mean nothing are refused before any work, with the valid values and the nearest."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

import camscope
from camscope.errors import InputError
from camscope.models.decoding import LogitsDecoder
from camscope.models.torch.adapter import TorchAdapter


@pytest.fixture
def unrun(shared_tiny_cnn) -> Iterator[nn.Module]:
    """A model that must not be run."""
    handle = shared_tiny_cnn.register_forward_pre_hook(lambda *_: pytest.fail("the model was run"))
    yield shared_tiny_cnn
    handle.remove()


@pytest.mark.parametrize(
    ("option", "given", "says"),
    [
        ("task", "nonsense", "'multiclass', 'multilabel', 'binary', 'regression', or None"),
        ("task", "multi-label", "Did you mean 'multilabel'"),
        ("task", 3, "task=3: expected 'multiclass'"),
        ("optimised", "float8", "expected False, True .* or 'bfloat16'"),
        ("optimised", "bfloat", "Did you mean 'bfloat16'"),
        ("optimised", "true", "Did you mean 'True'"),
        ("optimised", 1, "optimised=1: expected False"),
        ("optimised", None, "optimised=None: expected False"),
    ],
)
def test_an_explainers_option(unrun, option, given, says):
    with pytest.raises(InputError, match=f"{option}={given!r}: .*{says}|{says}"):
        camscope.Explainer(unrun, **{option: given})


def test_it_is_refused_before_the_model_is_loaded():
    with pytest.raises(InputError, match="task='nonsense'"):
        camscope.explain("timm:there-is-no-such-model", "no-photo.jpg", task="nonsense")


def test_an_adapter_refuses_a_task_too(unrun):
    with pytest.raises(InputError, match="task='nonsense'"):
        TorchAdapter(unrun, task="nonsense")
    with pytest.raises(InputError, match="Did you mean 'binary'"):
        TorchAdapter(unrun, LogitsDecoder(task="binnary"))


@pytest.mark.parametrize("channels", [-1, 2.5, 16.0, True, "16", None, np.int64(-3), float("inf")])
def test_channels_that_are_no_number_of_channels(unrun, tiny_batch, channels):
    with pytest.raises(InputError, match="a whole number such as 16; 0 keeps none") as caught:
        camscope.explain(unrun, tiny_batch, channels=channels)
    assert f"channels={channels!r}" in str(caught.value)


def test_a_whole_number_of_numpys_is_one(shared_tiny_cnn, tiny_batch):
    e = camscope.explain(shared_tiny_cnn, tiny_batch, channels=np.int64(3))
    assert e.channels[e.layers[0]].index.shape == torch.Size([2, 1, 3])
