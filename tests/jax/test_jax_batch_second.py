"""A JAX model that holds its tokens with the batch second has the maps of its twin with the batch first."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import camscope
from camscope.arrays import to_numpy

METHODS = ["hirescam", "gradcam++", "eigencam", "ablationcam", "reciprocam", "scorecam"]


class Block(nnx.Module):
    """Attention with one head, then a layer of each token by itself; both are added to what came in."""

    def __init__(self, second, rngs):
        self.second = second
        self.q, self.k, self.v, self.mlp = (nnx.Linear(8, 8, rngs=rngs) for _ in range(4))

    def __call__(self, tokens):
        q, k, v = (self.turned(one(tokens)) for one in (self.q, self.k, self.v))
        share = nnx.softmax(q @ k.transpose(0, 2, 1))
        tokens = tokens + self.turned(share @ v)
        return tokens + jnp.tanh(self.mlp(tokens))

    def turned(self, tokens):
        return tokens.transpose(1, 0, 2) if self.second else tokens


class Transformer(nnx.Module):
    """Patches of 4², two blocks, and a head behind the mean of both."""

    def __init__(self, second):
        rngs = nnx.Rngs(0)
        self.second = second
        self.patches = nnx.Conv(3, 8, (4, 4), 4, padding="VALID", rngs=rngs)
        self.first, self.last = Block(second, rngs), Block(second, rngs)
        self.head = nnx.Linear(8, 4, rngs=rngs)

    def __call__(self, x):
        tokens = self.patches(x).reshape(len(x), 30, 8)
        if self.second:
            tokens = tokens.transpose(1, 0, 2)
        first = self.first(tokens)
        last = self.last(first + tokens)
        return self.head(jnp.tanh(last + first).mean(0 if self.second else 1))


@pytest.mark.parametrize("images", [1, 3])
def test_the_maps_are_those_of_the_same_with_its_batch_first(images):
    x = np.random.default_rng(0).standard_normal((images, 24, 20, 3)).astype(np.float32)
    maps = []
    for second in (False, True):
        explainer = camscope.Explainer(Transformer(second))
        chosen = explainer(jnp.asarray(x))
        assert chosen.layers == ("last",)
        layers = ["patches", "first", "last"]
        named = explainer(jnp.asarray(x), methods=METHODS, layers=layers, targets=[0, 3]).raw
        maps.append({**named, "chosen": chosen.raw["gradcam", "last"]})
        by_name = {layer.name: layer.grid for layer in explainer.layers(jnp.asarray(x))[0]}
        assert by_name["first"].describe() == "6×5 tokens" + " (batch second)" * second
    for key, first in maps[0].items():
        first, found = to_numpy(first), to_numpy(maps[1][key])
        assert np.abs(found - first).max() <= 2e-4 * max(np.abs(first).max(), 1e-6), key
