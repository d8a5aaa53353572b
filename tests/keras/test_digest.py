"""The digest of the weights: the same as long as they are, another where one has changed, in whatever way."""

from __future__ import annotations

import keras

from camscope.models.keras.digest import weights_digest
from tests.keras import nets


def test_it_follows_the_weights():
    model = nets.functional().model
    first = weights_digest(model)
    assert weights_digest(model) == first
    bias = model.get_layer("b").bias
    before = keras.ops.copy(bias.value)
    bias.assign_add(keras.ops.ones_like(bias.value))
    changed = weights_digest(model)
    assert changed != first
    bias.assign(before)
    assert weights_digest(model) == first
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.train_on_batch(nets.noise(2, 9, 9, 2), keras.ops.zeros(2))
    assert weights_digest(model) != first
    assert weights_digest(nets.functional().model) == first
