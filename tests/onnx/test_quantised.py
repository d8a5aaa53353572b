"""Quantised graphs: exact runs, real numbers as layers, and maps that say how far from exact they are."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime import quantization

import camscope
from camscope.arrays import to_numpy
from camscope.errors import MethodError
from camscope.models.observing import Ending
from tests.conformance import onnx_twin
from tests.conformance.networks import Flatten, Softmax, classifier, hidden_head, random_batch
from tests.onnx.graphs import batch, runtime

X = random_batch(3, seed=100)
FORMATS = {"qdq": quantization.QuantFormat.QDQ, "qoperator": quantization.QuantFormat.QOperator}


class Calibration(quantization.CalibrationDataReader):
    def __init__(self):
        self.left = iter([{"x": random_batch(4, seed=seed)} for seed in range(4)])

    def get_next(self):
        return next(self.left, None)


@pytest.fixture(scope="module")
def quantised(tmp_path_factory):
    """Quantises a network, statically."""
    folder = tmp_path_factory.mktemp("quantised")
    made = {}

    def quantise(network, kind):
        key = (kind, len(network.layers), *network.layers)
        if key not in made:
            onnx.save(onnx_twin.built(network), folder / "float.onnx")
            quantization.quantize_static(
                folder / "float.onnx", folder / "whole.onnx", Calibration(), quant_format=FORMATS[kind]
            )
            made[key] = onnx.load(folder / "whole.onnx")
        return made[key]

    return quantise


@pytest.fixture(params=FORMATS)
def kind(request):
    return request.param


def test_it_puts_out_the_very_same(quantised, kind):
    model = quantised(classifier(), kind)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    ready = runtime(model)
    for watched in ((), None):
        assert (ready.run(batch(X), watched).logits == session.run(None, {"x": X})[0]).all()


def test_layers_are_real_numbers_near_those_of_the_network(quantised, kind):
    ready = runtime(quantised(classifier(), kind))
    values = ready.run(batch(X), None).values
    name = {"qdq": "body_relu_out_DequantizeLinear", "qoperator": "body_quant"}[kind]
    true = classifier().outputs(X)["body_relu"]
    assert np.quantile(np.abs(values[name] - true), 0.99) < 0.02 * true.max(), "but where its range ends"
    parts = {part.name: part for part in ready.parts()}
    assert parts[name].kind == {"qdq": "DequantizeLinear", "qoperator": "QLinearConv"}[kind]


def test_the_part_after_a_layer(quantised, kind):
    ready = runtime(quantised(classifier(), kind))
    run = ready.run(batch(X), None)
    name = {"qdq": "body_relu_out_DequantizeLinear", "qoperator": "body_quant"}[kind]
    assert (ready.after(batch(X), name)(run.values[name]).logits == run.logits).all()
    half = run.values[name] * 0.5
    true = list(classifier().outputs(X, "body_relu", half).values())[-1]
    assert np.abs(ready.after(batch(X), name)(half).logits - true).max() < 0.05 * np.abs(true).max()


def test_before_a_quantised_softmax(quantised, kind):
    model = quantised(classifier(end=Softmax()), kind)
    run = runtime(model).run(batch(X))
    assert run.ending == Ending(softmax=True)
    true = classifier()(X)
    assert np.abs(run.logits - true).max() < 0.05 * np.abs(true).max()


def test_maps_come_with_their_measured_correlation(quantised, kind):
    explainer = camscope.Explainer(quantised(classifier(), kind))
    e = explainer(X, methods=["cam", "ablationcam"], targets="all")
    network = classifier()
    expected = np.einsum("tc,bchw->bthw", network.layers["head"].weight, network.outputs(X)["last_relu"])
    found = to_numpy(e.maps("cam"))
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()
    said = found.mean((2, 3)) + network.layers["head"].bias
    correlation = np.corrcoef(said.ravel(), to_numpy(e.logits).ravel())[0, 1]
    (note,) = e.notes
    assert "the maps of cam are not exact" in note
    told = float(note.split("correlation of ")[1].split(" ")[0])
    assert told == pytest.approx(correlation, abs=2e-4)
    assert told < 1


def test_what_ablation_says_is_asked_of_the_model_and_not_of_the_formula(quantised):
    """Its closed form holds behind an exact head only."""
    model = quantised(classifier(), "qdq")
    e = camscope.Explainer(model)(X[:1], methods=["ablationcam", "cam"], targets=[0])
    ready = runtime(model)
    name = e.layers[0]
    A = ready.run(batch(X[:1]), [name]).values[name]
    after = ready.after(batch(X[:1]), name)
    clean = after(A).logits[0, 0]
    without = np.stack(
        [np.where(np.arange(A.shape[1])[:, None, None] == k, 0, A[0]) for k in range(A.shape[1])]
    )
    shares = (clean - after(without).logits[:, 0]) / clean
    expected = np.einsum("c,chw->hw", shares, A[0])
    found = to_numpy(e.maps("ablationcam"))[0, 0]
    ratio = (found * expected).sum() / (expected**2).sum()
    assert np.abs(found - ratio * expected).max() < 1e-4 * np.abs(found).max()


@pytest.mark.parametrize("network", [hidden_head(), classifier(classes=7)], ids=["two layers", "fits not"])
def test_what_is_no_head_stays_none(quantised, network):
    """Two linear layers; and a head that reads what was flattened with its positions."""
    if "hidden" not in network.layers:
        network.layers.pop("pool")
        network.layers["head"] = type(network.layers["head"])(
            np.random.default_rng(0).standard_normal((7, 8 * 16)).astype(np.float32), np.zeros(7, np.float32)
        )
        assert isinstance(network.layers["flat"], Flatten)
    with pytest.raises(MethodError, match="checked in numbers"):
        camscope.Explainer(quantised(network, "qdq"))(X, methods="cam")


def test_a_linear_layer_that_fits_and_says_little_of_the_scores_is_no_head(quantised):
    """It reads as many numbers as the layer has channels, but others."""
    network, rng = hidden_head(), np.random.default_rng(0)
    linear = type(network.layers["head"])
    network.layers["hidden"] = linear(rng.standard_normal((8, 8)).astype(np.float32), np.zeros(8, np.float32))
    network.layers["head"] = linear(rng.standard_normal((5, 8)).astype(np.float32), np.zeros(5, np.float32))
    network.layers["again"] = network.layers.pop("head")
    with pytest.raises(MethodError, match="checked in numbers"):
        camscope.Explainer(quantised(network, "qdq"))(X, methods="cam")
