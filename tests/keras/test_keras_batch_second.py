"""A Keras model that holds its tokens with the batch second has the maps of its twin with the batch first."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

import camscope
from camscope.models.keras.backends import to_numpy
from tests.keras.nets import noise, seeded

METHODS = ["hirescam", "gradcam++", "eigencam", "ablationcam", "reciprocam", "scorecam"]


@keras.saving.register_keras_serializable()
class Block(layers.Layer):
    """Attention with one head, then a layer of each token by itself; both are added to what came in."""

    def __init__(self, width, second, **options):
        super().__init__(**options)
        self.second = second
        self.q, self.k, self.v, self.mlp = (layers.Dense(width) for _ in range(4))

    def build(self, shape):
        for one in (self.q, self.k, self.v, self.mlp):
            one.build(shape)

    def call(self, tokens):
        q, k, v = (self.turned(one(tokens)) for one in (self.q, self.k, self.v))
        share = ops.softmax(ops.matmul(q, ops.transpose(k, (0, 2, 1))))
        tokens = tokens + self.turned(ops.matmul(share, v))
        return tokens + ops.tanh(self.mlp(tokens))

    def turned(self, tokens):
        return ops.transpose(tokens, (1, 0, 2)) if self.second else tokens


def transformer(second):
    x = keras.Input((24, 20, 3))
    patches = layers.Conv2D(8, 4, 4, name="patches")(x)
    tokens = ops.reshape(patches, (-1, 30, 8))
    if second:
        tokens = ops.transpose(tokens, (1, 0, 2))
    first = Block(8, second, name="first")(tokens)
    last = Block(8, second, name="last")(layers.Add(name="both")([first, tokens]))
    read = layers.Activation("tanh", name="read")(layers.Add(name="sum")([last, first]))
    read = ops.mean(read, 0 if second else 1)
    return seeded(keras.Model(x, layers.Dense(4, name="head")(read)))


@pytest.mark.parametrize("images", [1, 3])
def test_the_maps_are_those_of_the_same_with_its_batch_first(images):
    x, maps = noise(images, 24, 20, 3), []
    for second in (False, True):
        explainer = camscope.Explainer(transformer(second))
        chosen = explainer(x)
        assert chosen.layers == ("read",)
        named = explainer(x, methods=METHODS, layers=["patches", "first", "last"], targets=[0, 3]).raw
        maps.append({**named, "chosen": chosen.raw["gradcam", "read"]})
        by_name = {layer.name: layer.grid for layer in explainer.layers(x)[0]}
        assert by_name["first"].describe() == "6×5 tokens" + " (batch second)" * second
    for key, first in maps[0].items():
        first, found = to_numpy(first), to_numpy(maps[1][key])
        assert np.abs(found - first).max() <= 2e-4 * max(np.abs(first).max(), 1e-6), key
