"""Small networks in each of JAX's libraries, and what they compute written out once more.

Each `Built` has the model, an input, and functions from the output of each layer (at its last call) to the scores, in
double precision: what the runtime is held against.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from camscope.models.jax import SplitModel

CLASSES = 4


@dataclass(frozen=True)
class Built:
    """One network.

    Attributes:
        model: as a user gives it.
        x: two inputs.
        after: by layer, from what it puts out and the input to the scores, plain and eager.
    """

    model: Any
    x: np.ndarray
    after: Mapping[str, Callable[[Any, Any], Any]]


def _x(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape)


def _trained(model: nnx.Module) -> nnx.Module:
    """With running statistics and biases that a trained model could have."""
    rng = np.random.default_rng(2)
    for path, variable in nnx.to_flat_state(nnx.state(model, nnx.Not(nnx.RngState))):
        value = variable.get_value()
        if path[-1] in ("bias", "mean"):
            variable.set_value(jnp.asarray(0.3 * rng.standard_normal(value.shape), value.dtype))
        if path[-1] in ("var", "scale"):
            variable.set_value(jnp.asarray(rng.uniform(0.5, 2, value.shape), value.dtype))
    return model


class Block(nnx.Module):
    """x + conv(relu(norm(x)))."""

    def __init__(self, channels: int, rngs: nnx.Rngs) -> None:
        self.norm = nnx.BatchNorm(channels, rngs=rngs, param_dtype=jnp.float64)
        self.conv = nnx.Conv(channels, channels, (3, 3), rngs=rngs, param_dtype=jnp.float64)

    def __call__(self, x: jax.Array) -> jax.Array:
        return x + self.conv(nnx.relu(self.norm(x)))


class Residual(nnx.Module):
    """A stem, two blocks in a list, a dropout, and a head; in training mode, as NNX makes it."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.stem = nnx.Conv(3, 6, (3, 3), strides=2, rngs=rngs, param_dtype=jnp.float64)
        self.blocks = nnx.List([Block(6, rngs) for _ in range(2)])
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(6, CLASSES, rngs=rngs, param_dtype=jnp.float64)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.dropout(nnx.relu(x).mean((1, 2))))


def residual() -> Built:
    """Layers inside of a branch, and behind it."""
    model = _trained(Residual(nnx.Rngs(0)))
    still = nnx.clone(model)
    still.eval()
    first, second = still.blocks

    def head(x: Any) -> Any:
        return still.head(nnx.relu(x).mean((1, 2)))

    return Built(
        model,
        _x(2, 8, 8, 3),
        {
            "stem": lambda a, x: head(second(first(a))),
            "blocks.0": lambda a, x: head(second(a)),
            "blocks.0.conv": lambda a, x: head(second(still.stem(x) + a)),
            "blocks.1.norm": lambda a, x: head(first(still.stem(x)) + second.conv(nnx.relu(a))),
            "head": lambda a, x: a,
        },
    )


class Twice(nnx.Module):
    """One convolution, called twice."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(3, 3, (3, 3), rngs=rngs, param_dtype=jnp.float64)
        self.head = nnx.Linear(3, CLASSES, rngs=rngs, param_dtype=jnp.float64)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(jnp.tanh(self.conv(jnp.tanh(self.conv(x)))).mean((1, 2)))


def called_twice() -> Built:
    """The layer is at its last call."""
    model = _trained(Twice(nnx.Rngs(0)))
    return Built(model, _x(2, 6, 6, 3), {"conv": lambda a, x: model.head(jnp.tanh(a).mean((1, 2)))})


class OneD(nnx.Module):
    """A signal `batch time channel`."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(2, 5, (5,), rngs=rngs, param_dtype=jnp.float64)
        self.norm = nnx.LayerNorm(5, rngs=rngs, param_dtype=jnp.float64)
        self.head = nnx.Linear(5, CLASSES, rngs=rngs, param_dtype=jnp.float64)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(nnx.gelu(self.norm(self.conv(x))).max(1))


def one_d() -> Built:
    model = _trained(OneD(nnx.Rngs(0)))
    return Built(
        model,
        _x(2, 24, 2),
        {"conv": lambda a, x: model.head(nnx.gelu(model.norm(a)).max(1))},
    )


class Tokens(nnx.Module):
    """Patches of an image as tokens with a class token, one block of attention, the class token's head.

    Args:
        rngs: of the weights.
        at: the number of the class token.
    """

    def __init__(self, rngs: nnx.Rngs, at: int = 0) -> None:
        self.at = at
        self.embed = nnx.Conv(3, 8, (4, 4), strides=4, rngs=rngs, param_dtype=jnp.float64)
        self.cls = nnx.Param(jax.random.normal(rngs.params(), (1, 1, 8), jnp.float64))
        self.norm = nnx.LayerNorm(8, rngs=rngs, param_dtype=jnp.float64)
        self.attention = nnx.MultiHeadAttention(2, 8, decode=False, rngs=rngs, param_dtype=jnp.float64)
        self.head = nnx.Linear(8, CLASSES, rngs=rngs, param_dtype=jnp.float64)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.behind(self.embed(x))

    def behind(self, patches: jax.Array) -> jax.Array:
        tokens = patches.reshape(len(patches), -1, 8)
        cls = jnp.broadcast_to(self.cls.get_value(), (len(tokens), 1, 8))
        tokens = jnp.concatenate([tokens[:, : self.at], cls, tokens[:, self.at :]], axis=1)
        return self.last(tokens, self.norm(tokens))

    def last(self, tokens: jax.Array, normed: jax.Array) -> jax.Array:
        return self.head((tokens + self.attention(normed))[:, self.at])


def tokens() -> Built:
    model = _trained(Tokens(nnx.Rngs(0)))

    def normed(a: Any, x: Any) -> Any:
        patches = model.embed(x).reshape(len(a), -1, 8)
        cls = jnp.broadcast_to(model.cls.get_value(), (len(a), 1, 8))
        return model.last(jnp.concatenate([cls, patches], axis=1), a)

    return Built(model, _x(2, 16, 16, 3), {"embed": lambda a, x: model.behind(a), "norm": normed})


class Dense(nnx.Module):
    """A score of every position."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.body = nnx.Conv(3, 6, (3, 3), rngs=rngs, param_dtype=jnp.float64)
        self.score = nnx.Conv(6, CLASSES, (1, 1), rngs=rngs, param_dtype=jnp.float64)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.score(nnx.relu(self.body(x)))


def dense() -> Built:
    model = _trained(Dense(nnx.Rngs(0)))
    return Built(model, _x(2, 8, 8, 3), {"body": lambda a, x: model.score(nnx.relu(a))})


class Linen(nn.Module):
    """Submodules made while it runs; a batch norm and a dropout that `train` says."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = True) -> jax.Array:
        x = nn.Conv(6, (3, 3), param_dtype=jnp.float64, name="stem")(x)
        x = x + LinenBlock(name="block")(x, train)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(CLASSES, param_dtype=jnp.float64, name="head")(nn.relu(x).mean((1, 2)))


class LinenBlock(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = nn.BatchNorm(use_running_average=not train, param_dtype=jnp.float64, name="norm")(x)
        return nn.Conv(6, (3, 3), param_dtype=jnp.float64, name="conv")(nn.relu(x))


def linen() -> Built:
    """Given as the pair of module and variables."""
    module, x = Linen(), _x(2, 8, 8, 3)
    variables = module.init({"params": jax.random.key(0), "dropout": jax.random.key(1)}, jnp.asarray(x))
    params, stats = variables["params"], variables["batch_stats"]

    def head(a: Any) -> Any:
        return nn.Dense(CLASSES, param_dtype=jnp.float64).apply(
            {"params": params["head"]}, nn.relu(a).mean((1, 2))
        )

    def stem(x: Any) -> Any:
        return nn.Conv(6, (3, 3), param_dtype=jnp.float64).apply({"params": params["stem"]}, x)

    def block(a: Any) -> Any:
        return LinenBlock().apply({"params": params["block"], "batch_stats": stats["block"]}, a, False)

    return Built(
        (module, variables),
        x,
        {
            "stem": lambda a, x: head(a + block(a)),
            "block": lambda a, x: head(stem(x) + a),
            "block/conv": lambda a, x: head(stem(x) + a),
        },
    )


class Equinox(eqx.Module):
    """One example, channels first; a key that dropout would use."""

    stem: eqx.nn.Conv2d
    blocks: list
    dropout: eqx.nn.Dropout
    head: eqx.nn.Linear

    def __init__(self, key: Any) -> None:
        keys = jax.random.split(key, 3)
        self.stem = eqx.nn.Conv2d(3, 6, 3, padding=1, dtype=jnp.float64, key=keys[0])
        self.blocks = [
            eqx.nn.Lambda(jax.nn.relu),
            eqx.nn.Conv2d(6, 6, 3, padding=1, dtype=jnp.float64, key=keys[1]),
        ]
        self.dropout = eqx.nn.Dropout(0.5)
        self.head = eqx.nn.Linear(6, CLASSES, dtype=jnp.float64, key=keys[2])

    def __call__(self, x: jax.Array, key: Any) -> jax.Array:
        first, _ = jax.random.split(key)
        x = self.stem(x)
        y = x
        for block in self.blocks:
            y = block(y)
        return self.head(self.dropout(jax.nn.relu(x + y).mean((1, 2)), key=first))


def equinox() -> Built:
    model = Equinox(jax.random.key(0))

    def head(a: Any) -> Any:
        return model.head(jax.nn.relu(a).mean((1, 2)))

    one = {
        "stem": lambda a, x: head(a + model.blocks[1](jax.nn.relu(a))),
        "blocks[0]": lambda a, x: head(model.stem(x) + model.blocks[1](a)),
        "blocks[1]": lambda a, x: head(model.stem(x) + a),
    }
    return Built(model, _x(2, 3, 8, 8), {name: jax.vmap(after) for name, after in one.items()})


class WithBatchNorm(eqx.Module):
    """A model with a state."""

    conv: eqx.nn.Conv2d
    norm: eqx.nn.BatchNorm
    head: eqx.nn.Linear

    def __init__(self, key: Any) -> None:
        self.conv = eqx.nn.Conv2d(3, 6, 3, dtype=jnp.float64, key=key)
        self.norm = eqx.nn.BatchNorm(6, "batch", mode="batch", dtype=jnp.float64)
        self.head = eqx.nn.Linear(6, CLASSES, dtype=jnp.float64, key=key)

    def __call__(self, x: jax.Array, state: eqx.nn.State) -> tuple[jax.Array, eqx.nn.State]:
        x, state = self.norm(self.conv(x), state)
        return self.head(jax.nn.relu(x).mean((1, 2))), state


def equinox_with_state() -> Built:
    """Given as the pair that `make_with_state` makes."""
    model, state = eqx.nn.make_with_state(WithBatchNorm)(jax.random.key(0))
    still = eqx.nn.inference_mode(model)

    def after_conv(a: Any, x: Any) -> Any:
        return still.head(jax.nn.relu(still.norm(a, state)[0]).mean((1, 2)))

    return Built(
        (model, state),
        _x(2, 3, 8, 8),
        {
            "conv": jax.vmap(after_conv),
            "norm": jax.vmap(lambda a, x: still.head(jax.nn.relu(a).mean((1, 2)))),
        },
    )


def split() -> Built:
    """Plain functions with their variables."""
    rng = np.random.default_rng(0)
    kernel, matrix = (jnp.asarray(rng.standard_normal(shape)) for shape in ((3, 3, 3, 6), (6, CLASSES)))

    def features(variables: Any, x: Any) -> Any:
        return jax.nn.relu(
            jax.lax.conv_general_dilated(x, variables["k"], (1, 1), "SAME", dimension_numbers=_NHWC)
        )

    def head(variables: Any, a: Any) -> Any:
        return a.mean((1, 2)) @ variables["m"]

    variables = {"k": kernel, "m": matrix}
    return Built(
        SplitModel({"features": features, "head": jax.jit(head)}, variables),
        _x(2, 8, 8, 3),
        {"features": lambda a, x: head(variables, a)},
    )


_NHWC = ("NHWC", "HWIO", "NHWC")

BUILDERS: dict[str, Callable[[], Built]] = {
    "residual": residual,
    "called twice": called_twice,
    "1D": one_d,
    "tokens": tokens,
    "dense": dense,
    "linen": linen,
    "equinox": equinox,
    "equinox with state": equinox_with_state,
    "split": split,
}

LAYERS = [
    *(("residual", layer) for layer in ("stem", "blocks.0", "blocks.0.conv", "blocks.1.norm", "head")),
    ("called twice", "conv"),
    ("1D", "conv"),
    *(("tokens", layer) for layer in ("embed", "norm")),
    ("dense", "body"),
    *(("linen", layer) for layer in ("stem", "block", "block/conv")),
    *(("equinox", layer) for layer in ("stem", "blocks[0]", "blocks[1]")),
    *(("equinox with state", layer) for layer in ("conv", "norm")),
    ("split", "features"),
]
"""All layers that are written out."""


@functools.cache
def built(kind: str) -> Built:
    """The network of this name, in double precision; read only."""
    with jax.enable_x64(True):
        return BUILDERS[kind]()
