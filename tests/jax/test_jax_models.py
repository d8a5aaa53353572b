"""What a user does with a JAX model: photos and arrays in, maps out, the model as it was; and what is refused."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path
from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import camscope
from camscope.models.jax import SplitModel, doorway
from camscope.models.registry import framework_of
from tests.jax.nets import BUILDERS, Tokens, WithBatchNorm, built
from tests.jax.test_jax_runtime import seen


class Net(nnx.Module):
    """Single precision, channels last; as NNX makes it, in training."""

    def __init__(self, end: Any = None, classes: int = 3, seed: int = 0) -> None:
        rngs = nnx.Rngs(seed)
        self.stem = nnx.Conv(3, 6, (3, 3), strides=2, rngs=rngs)
        self.norm = nnx.BatchNorm(6, rngs=rngs)
        self.body = nnx.Conv(6, 8, (3, 3), rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(8, classes, rngs=rngs)
        self.end = end

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.body(nnx.relu(self.norm(self.stem(x)))))
        z = self.head(self.dropout(x.mean((1, 2))))
        return z if self.end is None else self.end(z)


PREPARED = camscope.Preprocessing(input_size=(16, 16), mean=(0.5,) * 3, std=(0.25,) * 3)
X = np.random.default_rng(0).standard_normal((2, 16, 16, 3)).astype(np.float32)


def maps(model: Any, x: Any = X, **options: Any) -> np.ndarray:
    return np.asarray(camscope.Explainer(model, **options)(x, methods="gradcam", targets=1).maps())


# ------------------------------------------------------------------ arrays and photos


def test_arrays_of_jax_and_numpy_give_the_same_map_over_height_and_width():
    x = X[:, :, :12]  # not square, so that axes cannot be exchanged unseen
    of_jax, of_numpy = maps(Net(), jnp.asarray(x)), maps(Net(), x)
    assert of_jax.shape == (2, 1, 8, 6)
    np.testing.assert_array_equal(of_jax, of_numpy)


def test_a_photo_is_prepared_and_handed_over_with_its_channels_last():
    photo = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    e = camscope.Explainer(Net(), preprocessing=PREPARED)(photo, methods="gradcam", targets=1)
    x = (photo[None] / np.float32(255) - 0.5) / 0.25
    np.testing.assert_allclose(e.maps(), maps(Net(), x.astype(np.float32)), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    "kind", ["residual", "linen", "equinox", "equinox with state", "split", "1D", "tokens", "dense"]
)
def test_every_kind_of_model_is_explained(kind: str):
    """Grad-CAM at the first layer that is written out, by JAX's own gradient of what comes after it."""
    net = built(kind)
    layer, after = next(iter(net.after.items()))
    target = camscope.Region(1, where="all") if kind == "dense" else 1
    options = {"space": (1, 2)} if kind == "split" else {}
    e = camscope.Explainer(net.model, **options)(net.x, methods="gradcam", targets=target, layers=layer)
    with jax.enable_x64(True):
        x = jnp.asarray(net.x)
        a = jnp.asarray(seen(kind).values[layer])

        def score(a: Any) -> Any:
            z = after(a, x)
            return z[..., 1].sum() if kind == "dense" else z[:, 1].sum()

        last = not kind.startswith("equinox")
        axes = tuple(range(1, a.ndim - 1)) if last else tuple(range(2, a.ndim))
        expected = np.asarray((jax.grad(score)(a).mean(axes, keepdims=True) * a).sum(-1 if last else 1))
    np.testing.assert_allclose(e.maps()[:, 0], expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("at", [0, 8, 16])
def test_a_class_token_may_stand_anywhere_among_the_patches(at: int):
    """HiResCAM is gradient times activation, each patch's own."""
    with jax.enable_x64(True):
        net = Tokens(nnx.Rngs(0), at)
        x = jax.random.normal(jax.random.key(0), (2, 16, 16, 3), jnp.float64)
        e = camscope.Explainer(net)(np.asarray(x), methods="hirescam", targets=1, layers="norm")
        patches = net.embed(x).reshape(2, -1, 8)
        cls = jnp.broadcast_to(net.cls.get_value(), (2, 1, 8))
        tokens = jnp.concatenate([patches[:, :at], cls, patches[:, at:]], axis=1)
        a = net.norm(tokens)
        gradient = jax.grad(lambda a: net.last(tokens, a)[:, 1].sum())(a)
    expected = np.delete(np.asarray((gradient * a).sum(-1)), at, axis=1).reshape(2, 1, 4, 4)
    np.testing.assert_allclose(e.maps(), expected, rtol=1e-6, atol=1e-9)


def test_a_photo_without_preprocessing_is_refused_saying_what_to_pass():
    photo = np.zeros((16, 16, 3), dtype=np.uint8)
    with pytest.raises(camscope.InputError, match=r"a Flax module carries nothing.*camscope.Pre"):
        camscope.Explainer(Net())(photo)


def test_an_input_that_does_not_fit_is_refused_in_words():
    with pytest.raises(
        camscope.InputError, match=r"Net, which is called with \(x.*does not run.*\(1, 16, 16, 4\)"
    ):
        camscope.Explainer(Net())(np.zeros((1, 16, 16, 4), np.float32))


# ------------------------------------------------------------------ the end


def by_hand(z: Any) -> Any:
    powers = jnp.exp(z - z.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def hidden(z: Any) -> Any:
    """Probabilities whose making cannot be read off the last equations."""
    p = jax.nn.softmax(z)
    return jnp.concatenate([p[:, :1], p[:, 1:]], axis=1)


ENDS = {
    "softmax": jax.nn.softmax,
    "by hand": by_hand,
    "jitted": jax.jit(jax.nn.softmax),
    "exp of log": lambda z: jnp.exp(jax.nn.log_softmax(z)),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_logits_before_a_softmax_are_found_however_it_is_written(end: str):
    e = camscope.Explainer(Net(ENDS[end]))(X, methods="gradcam", targets=1)
    plain = camscope.Explainer(Net())(X, methods="gradcam", targets=1)
    np.testing.assert_allclose(e.logits, plain.logits, rtol=1e-5)
    np.testing.assert_allclose(e.maps(), plain.maps(), rtol=1e-4, atol=1e-7)
    assert not any("log" in note for note in e.notes)


def test_before_a_sigmoid_are_the_logits_of_many_labels():
    e = camscope.Explainer(Net(jax.nn.sigmoid))(X, methods="gradcam", targets=1)
    plain = camscope.Explainer(Net())(X, methods="gradcam", targets=1)
    np.testing.assert_allclose(e.logits, plain.logits, rtol=1e-5)
    np.testing.assert_allclose(e.probabilities, 1 / (1 + np.exp(-np.asarray(plain.logits))), rtol=1e-5)


def test_probabilities_whose_making_is_not_seen_are_read_as_logits_less_their_mean_with_a_note():
    e = camscope.Explainer(Net(hidden))(X, methods="gradcam", targets=1)
    plain = camscope.Explainer(Net())(X, methods="gradcam", targets=1)
    logits = np.asarray(plain.logits)
    np.testing.assert_allclose(e.logits, logits - logits.mean(1, keepdims=True), atol=1e-5)
    assert any("probabilities" in note for note in e.notes)


def test_an_end_that_only_looks_like_a_softmax_is_none():
    """exp(z) is no softmax: found by its form, and not confirmed by the numbers."""
    e = camscope.Explainer(Net(jnp.exp))(X, methods="gradcam", targets=1)
    plain = camscope.Explainer(Net())(X, methods="gradcam", targets=1)
    np.testing.assert_allclose(e.logits, np.exp(plain.logits), rtol=1e-5)


def test_of_a_regression_nothing_is_taken_off():
    e = camscope.Explainer(Net(jax.nn.sigmoid), task="regression")(X, methods="gradcam", targets=1)
    plain = camscope.Explainer(Net())(X, methods="gradcam", targets=1)
    np.testing.assert_allclose(e.logits, 1 / (1 + np.exp(-np.asarray(plain.logits))), rtol=1e-5)


# ------------------------------------------------------------------ the model


def everything(model: nnx.Module) -> dict[str, Any]:
    flat = nnx.to_flat_state(nnx.state(model))
    modules = {path: inner for path, inner in nnx.iter_graph(model) if isinstance(inner, nnx.Module)}
    return {
        "identities": {path: id(v.get_value()) for path, v in flat},
        "numbers": {path: np.asarray(_plain(v.get_value())).tobytes() for path, v in flat},
        "classes": {path: type(inner) for path, inner in modules.items()},
        "modes": {
            path: {k: v for k, v in vars(inner).items() if isinstance(v, bool)}
            for path, inner in modules.items()
        },
        "attributes": {path: sorted(vars(inner)) for path, inner in modules.items()},
    }


def _plain(value: Any) -> Any:
    return jax.random.key_data(value) if jnp.issubdtype(value.dtype, jax.dtypes.prng_key) else value


def test_an_nnx_model_is_left_as_it_came_its_random_numbers_and_mode_too():
    model = Net()
    before = everything(model)
    assert any("key" in path or "count" in path for path in before["numbers"]), "it draws random numbers"
    camscope.Explainer(model)(
        X, methods=["gradcam", "ablationcam", "scorecam", "opticam(steps=1)"], targets=[0, 1]
    )
    assert everything(model) == before
    model(X)  # training goes on, and draws
    assert everything(model) != before


def test_linen_variables_and_equinox_leaves_are_left_as_they_came():
    for kind in ("linen", "equinox with state"):
        model = built(kind).model
        leaves = jax.tree_util.tree_leaves(model, is_leaf=eqx.is_array)
        classes = [type(leaf) for leaf in leaves]
        before = [np.asarray(leaf).tobytes() for leaf in leaves if eqx.is_array(leaf)]
        camscope.Explainer(model)(built(kind).x, methods=["gradcam", "ablationcam"])
        after = jax.tree_util.tree_leaves(model, is_leaf=eqx.is_array)
        assert all(one is other for one, other in zip(leaves, after, strict=True))
        assert [type(leaf) for leaf in after] == classes
        assert [np.asarray(leaf).tobytes() for leaf in after if eqx.is_array(leaf)] == before
    assert type(model[0].conv) is eqx.nn.Conv2d


def test_a_model_in_training_gives_the_maps_of_evaluation():
    still = Net()
    still.eval()
    np.testing.assert_array_equal(maps(Net()), maps(still))


def test_layers_are_named_by_paths_and_by_the_users_own_objects():
    model = Net()
    explainer = camscope.Explainer(model)
    by_name = explainer(X, methods="gradcam", targets=1, layers="stem").maps()
    np.testing.assert_array_equal(
        explainer(X, methods="gradcam", targets=1, layers=model.stem).maps(), by_name
    )
    with pytest.raises(camscope.LayerError, match="is no layer of the model"):
        explainer(X, layers=Net().stem)
    with pytest.raises(camscope.LayerError, match=r"'stam'.*Did you mean 'stem'"):
        explainer(X, layers="stam")


def test_what_is_behind_a_checkpoint_is_not_a_layer_and_the_rest_is():
    """No traced array leaves the inner trace."""

    class Checkpointed(Net):
        def __call__(self, x: jax.Array) -> jax.Array:
            x = jax.checkpoint(lambda x: nnx.relu(self.stem(x)))(x)
            return self.head(nnx.relu(self.body(x)).mean((1, 2)))

    explainer = camscope.Explainer(Checkpointed())
    assert [layer.name for layer in explainer.layers(X)[0]] == ["body"]
    with pytest.raises(camscope.LayerError, match=r"'stem'.*inside of a transformation \(a checkpoint"):
        explainer(X, layers="stem")


def test_code_that_looks_at_values_is_refused_saying_what_to_use():
    class Looks(Net):
        def __call__(self, x: jax.Array) -> jax.Array:
            return super().__call__(x if x.sum() > 0 else -x)

    with pytest.raises(camscope.ModelError, match=r"Looks cannot be compiled by jax.jit.*jax.numpy.where"):
        camscope.Explainer(Looks())(X)


# ------------------------------------------------------------------ the doorway


@pytest.mark.parametrize("kind", BUILDERS)
def test_every_kind_is_recognised(kind: str):
    framework = framework_of(built(kind).model)
    assert framework is not None
    assert framework.name == "JAX"


@pytest.mark.parametrize(
    "given", [None, 1, "demo", (1, 2), ({}, {}), (None, {"params": {}}), jnp.zeros(3), {}, nn, jax]
)
def test_nothing_else_is(given: Any):
    assert not doorway.owns(given)


def test_a_linen_module_without_variables_says_how_to_give_them():
    with pytest.raises(
        camscope.ModelError, match=r"without its variables.*Explainer\(\(module, variables\)\)"
    ):
        camscope.Explainer(built("linen").model[0])


def test_an_equinox_module_without_its_state_says_how_to_give_it():
    model, _ = eqx.nn.make_with_state(WithBatchNorm)(jax.random.key(0))
    with pytest.raises(camscope.ModelError, match=r"keep a state.*Explainer\(\(model, state\)\)"):
        camscope.Explainer(model)


@pytest.mark.parametrize("parts", [{}, {"all": len}, {"a": len, "b": 3}, [len, len]])
def test_a_split_model_needs_functions_by_name(parts: Any):
    with pytest.raises(camscope.ModelError, match=r"two or more functions by name"):
        SplitModel(parts)


def test_a_model_stays_where_its_arrays_are():
    model = Net()
    assert doorway.move(model, "cpu") is model
    assert doorway.move(model, "cpu:0") is model
    with pytest.raises(camscope.ModelError, match="'moon'"):
        doorway.move(model, "moon")
    with pytest.raises(camscope.ModelError, match=r"'cpu:7'.*are on cpu:0"):
        doorway.move(model, "cpu:7")


def test_there_is_no_optimised_copy():
    with pytest.raises(camscope.ModelError, match="no optimised copy"):
        camscope.Explainer(Net(), optimised=True)


def test_what_it_is_says_the_libraries_and_the_weights():
    of_one, of_another = (camscope.Explainer(Net(seed=seed))._model.adapter.describe() for seed in (0, 1))
    assert of_one["framework"] == f"jax {jax.__version__}, flax {_version('flax')}"
    assert of_one["device"] == "cpu:0"
    assert of_one["weights_sha256"] != of_another["weights_sha256"]
    assert of_one == camscope.Explainer(Net())._model.adapter.describe()


def _version(name: str) -> str:
    return importlib.metadata.version(name)


FILE = """
import jax, jax.numpy as jnp, numpy as np
from flax import linen as nn

class Small(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(nn.relu(nn.Conv(4, (3, 3), strides=2, name="conv")(x)).mean((1, 2)))

def model():
    return Small(), Small().init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))

def nothing():
    return 3
"""


def test_a_file_with_a_factory_gives_a_model(tmp_path: Path):
    (tmp_path / "mine.py").write_text(FILE)
    explainer = camscope.Explainer(f"{tmp_path}/mine.py:model")
    photo = np.random.default_rng(1).integers(0, 256, (300, 260, 3), dtype=np.uint8)
    e = explainer(photo, methods="gradcam")
    assert e.layers == ("conv",)
    assert e.maps().shape == (1, 1, 112, 112)
    with pytest.raises(camscope.ModelError, match=r"nothing gave int.*JAX"):
        camscope.Explainer(f"{tmp_path}/mine.py:nothing")


def test_the_doorway_loads_neither_flax_nor_equinox():
    code = """
import jax, sys
from camscope.models.registry import framework_of
assert framework_of(object()) is None
from camscope.models.jax import SplitModel
assert framework_of(SplitModel({"a": len, "b": len})).name == "JAX"
print([name for name in ("flax", "equinox", "torch") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (
            (2, 3, 16, 16),
            r"Its channels come first; if the model wants them last, pass np\.moveaxis\(x, 1, -1\)",
        ),
        (
            (2, 16, 16, 4),
            r"Its channels come last; if the model wants them first, pass np\.moveaxis\(x, -1, 1\)",
        ),
        ((2, 16, 16, 5), r"but 5 // 1 != 3\.$"),
    ],
)
def test_channels_that_do_not_fit_are_told_of_the_other_place(shape: Any, said: str):
    with pytest.raises(camscope.errors.InputError, match=said):
        camscope.Explainer(Net())(np.zeros(shape, np.float32))


def test_a_tensor_of_another_library_is_an_input_like_any_other():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((2, 16, 16, 3)).astype(np.float32)
    explainer = camscope.Explainer(Net())
    assert np.array_equal(explainer(torch.from_numpy(x)).maps(), explainer(x).maps())
