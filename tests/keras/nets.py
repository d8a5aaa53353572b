"""Small Keras models of every kind, each with the part after one of its layers written out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import layers, ops


@dataclass(frozen=True)
class Net:
    """A model and one of its layers.

    Attributes:
        model: it.
        layer: the name of the layer.
        inputs: two images, as arguments by position.
        prefix: from the inputs to what the layer puts out at its last call.
        suffix: from that and the inputs to the logits.
        names: keywords for the inputs; empty if they are given by position.
    """

    model: Any
    layer: str
    inputs: tuple[np.ndarray, ...]
    prefix: Callable[..., Any]
    suffix: Callable[..., Any]
    names: tuple[str, ...] = field(default=())


def seeded(model: Any, seed: int = 0) -> Any:
    """The model with weights that make classes differ, batch norm's statistics too."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if "seed" in variable.path:
            continue
        values = rng.standard_normal(variable.shape) / max(1.0, np.prod(variable.shape[:-1])) ** 0.5
        if "variance" in variable.path:
            values = 0.5 + rng.random(variable.shape)
        variable.assign(values.astype(np.float32))
    return model


def noise(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def by_hand(*steps: Any) -> Callable[..., Any]:
    """Layers one after the other, in inference."""

    def run(x: Any, *_: Any) -> Any:
        for step in steps:
            x = step(x, training=False) if isinstance(step, layers.Layer) else step(x)
        return x

    return run


def functional() -> Net:
    a, bn, b = (
        layers.Conv2D(4, 3, name="a"),
        layers.BatchNormalization(name="bn"),
        layers.Conv2D(5, 3, name="b"),
    )
    gap, drop, head = (
        layers.GlobalAveragePooling2D(),
        layers.Dropout(0.5),
        layers.Dense(3, activation="softmax"),
    )
    x = keras.Input((9, 9, 2))
    model = seeded(keras.Model(x, head(drop(gap(ops.tanh(b(ops.tanh(bn(a(x)))))))), name="flat.1"))
    suffix = by_hand(ops.tanh, b, ops.tanh, gap, lambda v: ops.matmul(v, head.kernel) + head.bias)
    return Net(model, "bn", (noise(2, 9, 9, 2),), by_hand(a, bn), suffix)


def in_a_branch() -> Net:
    a, b, c = (layers.Conv2D(4, 3, padding="same", activation="tanh", name=n) for n in "abc")
    gap, head = layers.GlobalAveragePooling2D(), layers.Dense(3)
    x = keras.Input((6, 6, 2))
    stem = a(x)
    model = seeded(keras.Model(x, head(gap(layers.Add(name="sum")([c(b(stem)), stem])))))
    end = by_hand(gap, head)
    return Net(model, "b", (noise(2, 6, 6, 2),), by_hand(a, b), lambda value, x: end(c(value) + a(x)))


def sequential() -> Net:
    a, b, c = (layers.Conv2D(4, 3, activation="tanh", name=n) for n in "abc")
    gap, head = layers.GlobalAveragePooling2D(), layers.Dense(3)
    model = seeded(keras.Sequential([keras.Input((9, 9, 2)), a, b, c, gap, head, layers.Softmax()]))
    return Net(model, "b", (noise(2, 9, 9, 2),), by_hand(a, b), by_hand(c, gap, head))


def nested() -> Net:
    a, b, c = (layers.Conv2D(4, 3, activation="tanh", name=n) for n in "abc")
    gap, head = layers.GlobalAveragePooling2D(), layers.Dense(1)
    y = keras.Input((9, 9, 2))
    body = keras.Model(y, b(a(y)), name="body.v1")
    rest = keras.Sequential([c, gap], name="rest")
    x = keras.Input((9, 9, 2))
    model = seeded(keras.Model(x, layers.Activation("sigmoid")(head(rest(body(x * 0.5))))))
    return Net(model, "body.v1/a", (noise(2, 9, 9, 2),), lambda x: a(x * 0.5), by_hand(b, c, gap, head))


@keras.saving.register_keras_serializable()
class Subclassed(keras.Model):
    """Adds its own input again after a layer, by no layer at all, and ends in a function."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.a = layers.Conv2D(4, 3, padding="same", name="a")
        self.blocks = [layers.Conv2D(4, 3, padding="same", name="b"), layers.Dropout(0.5)]
        self.head = layers.Dense(3, name="head")

    def call(self, x: Any, training: bool = False) -> Any:
        x = ops.tanh(self.a(x))
        y = x
        for block in self.blocks:
            y = block(y, training=training)
        return ops.softmax(self.head(ops.mean(x + ops.tanh(y), axis=(1, 2))))


def subclassed() -> Net:
    model = Subclassed(name="own")
    model(ops.zeros((1, 6, 6, 2)))
    seeded(model)
    a, b = model.a, model.blocks[0]

    def suffix(value: Any, x: Any) -> Any:
        return model.head(ops.mean(ops.tanh(a(x)) + ops.tanh(value), axis=(1, 2)))

    return Net(model, "b", (noise(2, 6, 6, 2),), lambda x: b(ops.tanh(a(x))), suffix)


def shared() -> Net:
    """A layer called twice: its last call counts."""
    a = layers.Conv2D(4, 3, padding="same", activation="tanh", name="a")
    again = layers.Conv2D(4, 3, padding="same", activation="tanh", name="again")
    gap, head = layers.GlobalAveragePooling2D(), layers.Dense(3)
    x = keras.Input((6, 6, 2))
    once = again(a(x))
    model = seeded(keras.Model(x, head(gap(layers.Add()([again(once), once])))))

    def suffix(value: Any, x: Any) -> Any:
        return head(gap(value + again(a(x))))

    return Net(model, "again", (noise(2, 6, 6, 2),), lambda x: again(again(a(x))), suffix)


def several_inputs() -> Net:
    a, b = (layers.Conv2D(4, 3, activation="tanh", name=n) for n in "ab")
    mix, gap, head = layers.Dense(4, name="mix"), layers.GlobalAveragePooling2D(), layers.Dense(3)
    x, extra = keras.Input((7, 7, 2), name="photo"), keras.Input((5,), name="extra")
    m = mix(extra)
    y = layers.Multiply()([b(a(x)), layers.Reshape((1, 1, 4))(m)])
    model = seeded(keras.Model({"photo": x, "extra": extra}, head(gap(y))))

    def suffix(value: Any, x: Any, extra: Any) -> Any:
        return head(gap(b(value) * ops.reshape(mix(extra), (-1, 1, 1, 4))))

    inputs = (noise(2, 7, 7, 2), noise(2, 5))
    return Net(model, "a", inputs, lambda x, extra: a(x), suffix, ("photo", "extra"))


def channels_first() -> Net:
    first = {"data_format": "channels_first"}
    a, b = (layers.Conv2D(4, 3, activation="tanh", name=n, **first) for n in "ab")
    gap, head = layers.GlobalAveragePooling2D(**first), layers.Dense(3)
    x = keras.Input((2, 7, 7))
    model = seeded(keras.Model(x, head(gap(b(a(x))))))
    return Net(model, "a", (noise(2, 2, 7, 7),), by_hand(a), by_hand(b, gap, head))


def one_dimensional() -> Net:
    a, b = (layers.Conv1D(4, 3, activation="tanh", name=n) for n in "ab")
    gap, head = layers.GlobalAveragePooling1D(), layers.Dense(3)
    model = seeded(keras.Sequential([keras.Input((12, 2)), a, b, gap, head]))
    return Net(model, "a", (noise(2, 12, 2),), by_hand(a), by_hand(b, gap, head))


def three_dimensional() -> Net:
    a, b = (layers.Conv3D(4, 2, activation="tanh", name=n) for n in "ab")
    gap, head = layers.GlobalAveragePooling3D(), layers.Dense(3)
    model = seeded(keras.Sequential([keras.Input((5, 6, 4, 2)), a, b, gap, head]))
    return Net(model, "a", (noise(2, 5, 6, 4, 2),), by_hand(a), by_hand(b, gap, head))


def tokens() -> Net:
    """Token numbers with a mask, through attention."""
    embed = layers.Embedding(11, 6, mask_zero=True, name="embed")
    attend = layers.MultiHeadAttention(2, 3, name="attend")
    norm, head = layers.LayerNormalization(name="norm"), layers.Dense(3)
    pool = layers.GlobalAveragePooling1D(name="pool")
    x = keras.Input((7,), dtype="int32")
    e = embed(x)
    model = seeded(keras.Model(x, head(pool(norm(layers.Add()([e, attend(e, e)]))))))
    numbers = np.random.default_rng(3).integers(1, 11, (2, 7))
    numbers[0, 5:] = 0

    def suffix(value: Any, x: Any) -> Any:
        keep = ops.not_equal(x, 0)
        seen = attend(value, value, query_mask=keep, value_mask=keep, key_mask=keep)
        return head(pool(norm(value + seen), mask=keep))

    return Net(model, "embed", (numbers,), by_hand(embed), suffix)


def masked_tokens() -> Net:
    """Nothing counts for what follows the layer but what it puts out, and which tokens each text has."""
    embed, norm = layers.Embedding(11, 6, mask_zero=True), layers.LayerNormalization(name="norm")
    act, pool, head = layers.Activation("tanh"), layers.GlobalAveragePooling1D(), layers.Dense(3)
    x = keras.Input((7,), dtype="int32")
    model = seeded(keras.Model(x, head(pool(act(norm(embed(x)))))))
    numbers = np.random.default_rng(3).integers(1, 11, (2, 7))
    numbers[1, 4:] = 0

    def suffix(value: Any, x: Any) -> Any:
        return head(pool(act(value), mask=ops.not_equal(x, 0)))

    return Net(model, "norm", (numbers,), by_hand(embed, norm), suffix)


def segmenter() -> Net:
    a = layers.Conv2D(4, 3, padding="same", activation="tanh", name="a")
    score = layers.Conv2D(3, 1, name="score", activation="softmax")
    x = keras.Input((6, 6, 2))
    model = seeded(keras.Model(x, score(a(x))))

    def suffix(value: Any, x: Any) -> Any:
        return ops.matmul(value, score.kernel[0, 0]) + score.bias

    return Net(model, "a", (noise(2, 6, 6, 2),), by_hand(a), suffix)


NETS = [
    functional,
    in_a_branch,
    sequential,
    nested,
    subclassed,
    shared,
    several_inputs,
    channels_first,
    one_dimensional,
    three_dimensional,
    tokens,
    masked_tokens,
    segmenter,
]
