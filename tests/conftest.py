"""Shared by all tests: the run-time check of every shape, and a few small things to explain.

The hook goes in before camscope is imported: every shape in camscope's annotations is then a check
(jaxtyping + beartype), in every test. A function that is given a wrong shape must refuse it by an error of
its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import sys
from collections import OrderedDict
from pathlib import Path

# Small networks gain nothing from threads, and lose much where several test runs share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Nor do they run long enough for JAX's optimisations to pay.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# Keras has one backend in a process; tests/keras runs on each of them by `make keras`.
os.environ.setdefault("KERAS_BACKEND", "torch")
if os.environ["KERAS_BACKEND"] != "torch":  # Triton, where it is loaded after TensorFlow, ends the process
    with contextlib.suppress(ImportError):
        importlib.import_module("torch._dynamo")

import numpy as np
import pytest

from tests import shapes

_early = [name for name in sys.modules if name == "camscope" or name.startswith("camscope.")]
assert not _early, f"imported before the shapes could be checked: {_early}"
shapes.install()


def make_tiny_cnn(classes: int = 5, channels: int = 3, seed: int = 0):
    """A seeded CNN in eval mode: convolutions `stem`, `body`, `last`, each with a ReLU; GAP; linear `head`.

    An input of 32² gives grids of 16² (`stem_relu`), 8² (`body_relu`) and 8² (`last_relu`, which is pooled).
    """
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(
            OrderedDict(
                stem=nn.Conv2d(channels, 8, 3, stride=2, padding=1),
                stem_relu=nn.ReLU(),
                body=nn.Conv2d(8, 12, 3, stride=2, padding=1),
                body_norm=nn.BatchNorm2d(12),
                body_relu=nn.ReLU(),
                last=nn.Conv2d(12, 16, 3, padding=1),
                last_relu=nn.ReLU(),
                pool=nn.AdaptiveAvgPool2d(1),
                flat=nn.Flatten(),
                head=nn.Linear(16, classes),
            )
        )
        with torch.no_grad():  # statistics and weights a trained net could have, so that classes differ
            model.body_norm.running_mean.normal_(0, 0.1)
            model.body_norm.running_var.uniform_(0.5, 1.5)
            model.head.weight.normal_(0, 1)
    return model.eval()


_LARGE = 3 * 2**30
"""Bytes of memory from which on a process gives back what it no longer uses."""


@pytest.fixture(scope="module", autouse=True)
def _memory_is_given_back():
    """One process runs hundreds of modules: what they compiled and freed would add up to many gigabytes."""
    yield
    statm = Path("/proc/self/statm")
    if not statm.exists() or int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") < _LARGE:
        return
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # only glibc has it
        ctypes.CDLL("libc.so.6").malloc_trim(0)


@pytest.fixture
def tiny_cnn():
    """A fresh tiny CNN with five classes: this test may do with it what it likes."""
    return make_tiny_cnn()


@pytest.fixture(scope="session")
def shared_tiny_cnn():
    """One tiny CNN for the whole session: read only."""
    return make_tiny_cnn()


@pytest.fixture(scope="session")
def tiny_batch():
    """Two seeded inputs for the tiny CNN, `(2, 3, 32, 32)`, float32."""
    import torch

    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def photos() -> dict[str, np.ndarray]:
    """Real photos from scikit-image, uint8 `height width 3`, none of them square but the astronaut."""
    from skimage import data

    return {
        "cat": data.chelsea(),
        "coffee": data.coffee(),
        "astronaut": data.astronaut(),
        "rocket": data.rocket(),
    }


@pytest.fixture
def rng() -> np.random.Generator:
    """A fresh seeded generator."""
    return np.random.default_rng(0)
