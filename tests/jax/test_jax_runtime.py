"""The runtime in double precision against the same networks, run eagerly and written out layer by layer."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from camscope.models.batch import Batch
from camscope.models.decoding import LogitsDecoder
from camscope.models.jax.doorway import tappable, unwrap
from camscope.models.jax.jax_runtime import JaxRuntime
from camscope.models.runtime import INPUT, Run
from tests.jax.nets import BUILDERS, LAYERS, Built, built

of_each_layer = pytest.mark.parametrize(("kind", "layer"), LAYERS)


@functools.cache
def runtime(kind: str) -> JaxRuntime:
    """What it compiled serves all tests."""
    return JaxRuntime(tappable(unwrap(built(kind).model)), LogitsDecoder())


def batch(net: Built) -> Batch:
    return Batch((net.x,))


@functools.cache
def seen(kind: str) -> Run:
    """A run that keeps all layers."""
    return runtime(kind).run(batch(built(kind)), None)


def eager(net: Built, layer: str, a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The scores, written out."""
    with jax.enable_x64(True):
        return np.asarray(net.after[layer](jnp.asarray(a), jnp.asarray(x)))


def altered(a: np.ndarray, rows: int, seed: int = 3) -> np.ndarray:
    return a[:1] + np.random.default_rng(seed).standard_normal((rows, *a.shape[1:]))


def close(found: Any, expected: Any, tolerance: float = 1e-10) -> None:
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype == np.float64
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


@of_each_layer
def test_what_a_layer_puts_out_leads_to_the_scores(kind: str, layer: str):
    net, run = built(kind), seen(kind)
    close(eager(net, layer, run.values[layer], net.x), run.logits)


@of_each_layer
def test_the_part_after_a_layer_row_by_row(kind: str, layer: str):
    """Each row beside what is made of its own image."""
    net, a = built(kind), seen(kind).values[layer]
    rows = a + np.random.default_rng(0).standard_normal(a.shape)
    found = runtime(kind).after(batch(net), layer)(rows)
    close(found.logits, eager(net, layer, rows, net.x))


@of_each_layer
@pytest.mark.parametrize("count", [1, 2, 5])
def test_any_number_of_rows_of_one_image(kind: str, layer: str, count: int):
    net, a = built(kind), seen(kind).values[layer]
    rows = altered(a, count)
    found = runtime(kind).after(Batch((net.x[:1],)), layer)(rows)
    close(found.logits, eager(net, layer, rows, np.repeat(net.x[:1], count, axis=0)))


@of_each_layer
def test_gradients_of_any_weights_are_those_of_the_part_after_it(kind: str, layer: str):
    """By JAX's own gradient of what is written out; the same pull back serves several weights."""
    net, a = built(kind), seen(kind).values[layer]
    rng = np.random.default_rng(4)
    with runtime(kind).differentiated(batch(net), [layer]) as (run, pull_back):
        np.testing.assert_allclose(run.values[layer], a, rtol=1e-12)
        for _ in range(2):
            weights = rng.standard_normal(run.logits.shape)

            def score(a: Any, weights: Any = weights) -> Any:
                return (net.after[layer](a, jnp.asarray(net.x)) * weights).sum()

            with jax.enable_x64(True):
                expected = np.asarray(jax.grad(score)(jnp.asarray(a)))
            close(pull_back(weights)[layer], expected)


def test_gradients_of_several_layers_count_all_ways():
    """The one by an earlier layer counts those through a later one, too; and the input is among them."""
    net = built("residual")
    layers = ["stem", "blocks.0", INPUT]
    with runtime("residual").differentiated(batch(net), layers) as (run, pull_back):
        weights = np.random.default_rng(5).standard_normal(run.logits.shape)
        together = pull_back(weights)
    assert run.values[INPUT].tobytes() == net.x.tobytes()
    for layer in layers:
        with runtime("residual").differentiated(batch(net), [layer]) as (_, alone):
            close(together[layer], alone(weights)[layer])
    step, change = 1e-6, np.random.default_rng(6).standard_normal(net.x.shape)
    ahead, behind = (runtime("residual").run(Batch((net.x + s * change,))).logits for s in (step, -step))
    slope = ((ahead - behind) * weights).sum() / (2 * step)
    assert slope == pytest.approx((together[INPUT] * change).sum(), rel=1e-6)


def test_layers_are_kept_in_the_order_of_their_last_call_under_names_people_know():
    assert list(seen("residual").values) == [
        "stem",
        "blocks.0.norm",
        "blocks.0.conv",
        "blocks.0",
        "blocks.1.norm",
        "blocks.1.conv",
        "blocks.1",
        "dropout",
        "head",
    ]
    assert list(seen("linen").values) == ["stem", "block/norm", "block/conv", "block", "Dropout_0", "head"]
    assert list(seen("equinox").values) == ["stem", "blocks[0]", "blocks[1]", "dropout", "head"]
    assert list(seen("split").values) == ["features", "head"]


def test_a_layer_that_hands_on_what_another_one_put_out_is_the_same_array():
    values = seen("linen").values
    assert values["block"] is values["block/conv"]
    assert values["block"] is not values["stem"]


@pytest.mark.parametrize("kind", BUILDERS)
def test_only_what_is_watched_is_kept(kind: str):
    net = built(kind)
    layer = next(iter(net.after))
    run = runtime(kind).run(batch(net), [layer])
    assert list(run.values) == [layer]
    close(run.values[layer], seen(kind).values[layer])
    assert runtime(kind).run(batch(net)).values == {}
    close(run.raw, run.logits)


def test_a_run_of_many_rows_is_its_rows_one_by_one():
    """Rows are filled up to a number that is compiled already; what fills them up is cut off."""
    net, x = built("residual"), np.random.default_rng(7).standard_normal((5, 8, 8, 3))
    together = runtime("residual").run(Batch((x,)))
    assert together.raw.shape == together.logits.shape == (5, 4)
    alone = [runtime("residual").run(Batch((x[i : i + 1],))).logits for i in range(5)]
    close(together.logits, np.concatenate(alone))
    assert net.x.shape[1:] == x.shape[1:]


def test_what_is_not_differentiable_by_a_layer_is_zero():
    net = built("residual")
    with runtime("residual").differentiated(batch(net), ["head"]) as (run, pull_back):
        weights = np.ones_like(run.logits)
        np.testing.assert_array_equal(pull_back(weights)["head"], weights)


@pytest.mark.parametrize(("layer", "convolutions"), [("stem", 2), ("blocks.0", 1), ("blocks.1", 0)])
def test_what_leads_to_a_layer_is_not_run_again(layer: str, convolutions: int):
    """The compiled part after it holds the convolutions behind it alone; the whole model has three."""
    own, net = runtime("residual"), built("residual")
    call = own._programs.call(batch(net))
    arguments = (call.arrays, list(call.given.arrays))
    with jax.enable_x64(True):
        whole = own._programs.forward(call, frozenset()).run.lower(*arguments)
        after = own._programs.after(call, layer).run.lower(*arguments, seen("residual").values[layer])
        counts = [one.compile().as_text().count(" convolution(") for one in (after, whole)]
    assert counts == [convolutions, 3]


def test_weights_that_change_are_seen():
    """The model is read anew for every run, and nothing is compiled anew for it."""
    with jax.enable_x64(True):
        net = BUILDERS["residual"]()
        own = JaxRuntime(tappable(net.model), LogitsDecoder())
        before, digest = own.run(batch(net)).logits, own.describe()["weights_sha256"]
        programs = own._programs._programs
        known = len(programs)
        net.model.head.bias.set_value(net.model.head.bias.get_value() + 1)
    close(own.run(batch(net)).logits, before + 1)
    assert own.describe()["weights_sha256"] != digest
    assert len(programs) == known
