"""What can be given: files, protos and sessions; and what is refused, in words."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from camscope.errors import ModelError
from camscope.libraries import load_model
from camscope.models.decoding import LogitsDecoder
from camscope.models.onnx import doorway
from camscope.models.onnx.onnx_model import read_model
from camscope.models.onnx.onnx_runtime import OnnxRuntime
from camscope.models.registry import framework_of
from tests.onnx.graphs import RESIDUAL_WEIGHTS, batch, graph, node, random_x, residual, residual_values

X = random_x(2, 3, 6, 6)
LOGITS = residual_values(X)["logits"]


def logits(model):
    return OnnxRuntime(model, LogitsDecoder()).run(batch(X)).logits


@pytest.fixture
def file(tmp_path):
    onnx.save(residual(), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def test_a_file(file):
    model = load_model(f"onnx:{file}").model
    assert doorway.owns(model)
    assert doorway.unwrap(model) is model
    assert np.abs(logits(model) - LOGITS).max() < 1e-5


def test_a_proto():
    proto = residual()
    assert framework_of(proto).name == "ONNX"
    assert np.abs(logits(doorway.unwrap(proto)) - LOGITS).max() < 1e-5


@pytest.mark.parametrize("given", ["path", "bytes"])
def test_a_session(file, given):
    session = onnxruntime.InferenceSession(str(file) if given == "path" else file.read_bytes())
    assert doorway.owns(session)
    model = doorway.unwrap(session)
    assert [name for name, _ in model.providers] == ["CPUExecutionProvider"]
    assert np.abs(logits(model) - LOGITS).max() < 1e-5
    assert OnnxRuntime(model, LogitsDecoder()).describe()["device"] == "cpu"


def test_nothing_else_is_owned():
    for given in (None, 3, "net.onnx", np.zeros(3), Path("net.onnx"), onnx.GraphProto(), onnx.ModelProto):
        assert not doorway.owns(given)


def test_a_session_that_does_not_tell_where_it_comes_from(file):
    session = onnxruntime.InferenceSession(str(file))
    session._model_path = session._model_bytes = None
    with pytest.raises(ModelError, match="does not tell which file"):
        doorway.unwrap(session)


def test_a_session_of_another_format(file):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(file.with_suffix(".ort"))
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(file), options)
    session = onnxruntime.InferenceSession(file.with_suffix(".ort").read_bytes())
    with pytest.raises(ModelError, match="own format"):
        doorway.unwrap(session)
    with pytest.raises(ModelError, match="own format"):
        read_model(file.with_suffix(".ort"))


# ------------------------------------------------------------------ weights in other files


@pytest.fixture
def outside(tmp_path):
    """A file whose weights are in another."""
    onnx.save(
        residual(),
        tmp_path / "net.onnx",
        save_as_external_data=True,
        location="net.onnx.data",
        size_threshold=0,
    )
    assert (tmp_path / "net.onnx.data").is_file()
    return tmp_path / "net.onnx"


def test_weights_in_another_file(outside, file, tmp_path, monkeypatch):
    monkeypatch.chdir(os.sep)
    model = read_model(outside)
    assert np.abs(logits(model) - LOGITS).max() < 1e-5
    run = OnnxRuntime(model, LogitsDecoder())
    A = residual_values(X)["left"] * 2
    found = run.after(batch(X), "/left")(A)
    assert np.abs(found.logits - residual_values(X, left=A)["logits"]).max() < 1e-5
    assert len(run.describe()["weights_sha256"]) == 64


def test_such_weights_are_part_of_the_digest(outside):
    before = OnnxRuntime(read_model(outside), LogitsDecoder()).describe()["weights_sha256"]
    data = outside.with_name("net.onnx.data")
    content = bytearray(data.read_bytes())
    content[3] ^= 1
    data.write_bytes(bytes(content))
    assert OnnxRuntime(read_model(outside), LogitsDecoder()).describe()["weights_sha256"] != before


def test_such_a_file_that_is_missing(outside):
    outside.with_name("net.onnx.data").unlink()
    with pytest.raises(ModelError, match=r"'net.onnx.data', which is not beside it"):
        read_model(outside)


def test_a_proto_without_its_weights(outside):
    with pytest.raises(ModelError, match=r"onnx:FILE\.onnx"):
        doorway.unwrap(onnx.load(outside, load_external_data=False))


# ------------------------------------------------------------------ what is no model, or none that can be explained


def test_no_file(file):
    with pytest.raises(ModelError, match=r"There is no file '.*nett.onnx'. In .* there are: net.onnx"):
        load_model(f"onnx:{file.with_name('nett.onnx')}")
    with pytest.raises(
        ModelError, match=r"is a folder; name a file, 'onnx:FILE\.onnx'\. In .* there are: net\.onnx"
    ):
        load_model(f"onnx:{file.parent}")


@pytest.mark.parametrize("content", [b"not a model, but a text\n" * 9, b"\x08\x07", b"\x00\xff" * 40])
def test_no_onnx_file(content, tmp_path):
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="is not an ONNX file"):
        read_model(tmp_path / "x.onnx")


def test_a_file_of_another_framework(tmp_path):
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(ModelError, match="is empty"):
        read_model(tmp_path / "empty.onnx")
    (tmp_path / "x.pth").write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelError, match="PyTorch checkpoint"):
        read_model(tmp_path / "x.pth")


def test_other_weights_are_refused(file):
    with pytest.raises(ModelError, match="comes with its weights"):
        load_model(f"onnx:{file}", weights="random")


def branching(operator: str) -> onnx.ModelProto:
    yes = helper.make_graph([node("Relu", "x", "y1")], "yes", [], [helper.make_empty_tensor_value_info("y1")])
    no = helper.make_graph([node("Neg", "x", "y2")], "no", [], [helper.make_empty_tensor_value_info("y2")])
    nodes = [
        node("ReduceMax", "x", "largest", keepdims=0),
        node("Cast", "largest", "positive", to=onnx.TensorProto.BOOL),
        node("If", "positive", "y", "decide", then_branch=yes, else_branch=no),
    ]
    return graph(nodes, {}, ["n", 3, "h", "w"], ["y"])


def test_control_flow_is_refused():
    with pytest.raises(
        ModelError, match=r"holds an If \(node 'decide'\).*Export the model without control flow"
    ):
        doorway.unwrap(branching("If"))


def test_operators_that_the_runtime_does_not_know():
    model = graph([node("Foo", "x", "y", domain="mine")], {}, ["n", 3, "h", "w"], ["y"], domains=["mine"])
    with pytest.raises(ModelError, match=r"ONNX Runtime .* does not run net: .*Foo"):
        logits(doorway.unwrap(model))


def test_local_functions_are_written_out():
    function = helper.make_function(
        "mine", "Twice", ["a"], ["b"], [node("Add", "a a", "b")], [helper.make_opsetid("", 17)]
    )
    proto = residual()
    proto.graph.node[-1].output[0] = "half"
    proto.graph.node.append(node("Twice", "half", "logits", domain="mine"))
    proto.opset_import.append(helper.make_opsetid("mine", 1))
    proto.functions.append(function)
    model = doorway.unwrap(proto)
    assert np.abs(logits(model) - 2 * LOGITS).max() < 1e-5
    assert "Add" in {part.kind for part in OnnxRuntime(model, LogitsDecoder()).parts()[-1:]}


def test_weights_that_are_listed_as_inputs():
    """As in files of old."""
    proto = residual()
    proto.graph.input.extend(
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in RESIDUAL_WEIGHTS.items()
    )
    assert np.abs(logits(doorway.unwrap(proto)) - LOGITS).max() < 1e-5


def test_weights_as_nodes():
    proto = residual()
    for tensor in list(proto.graph.initializer):
        proto.graph.initializer.remove(tensor)
        proto.graph.node.insert(0, helper.make_node("Constant", [], [tensor.name], value=tensor))
    run = OnnxRuntime(doorway.unwrap(proto), LogitsDecoder())
    assert np.abs(run.run(batch(X)).logits - LOGITS).max() < 1e-5
    A = residual_values(X)["left"] * 2
    assert np.abs(run.after(batch(X), "/left")(A).logits - residual_values(X, left=A)["logits"]).max() < 1e-5
    assert not {"stem.w", "zero"} & {part.name for part in run.parts()}


# ------------------------------------------------------------------ devices


def test_devices(file):
    model = doorway.move(read_model(file), "cpu")
    assert model.providers == ("CPUExecutionProvider",)
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(ModelError, match=r"'cuda:0': .*CPUExecutionProvider.*onnxruntime-gpu"):
            doorway.move(model, "cuda:0")
    with pytest.raises(ModelError, match="'tpu'"):
        doorway.move(model, "tpu")


def test_optimised_has_no_sense(file):
    with pytest.raises(ModelError, match="leave optimised out"):
        doorway.adapt(read_model(file), LogitsDecoder(), task=None, optimised=True)


def test_numbers_of_a_weight_that_are_listed_one_by_one():
    """Not all writers use raw bytes; the digest sees these too."""
    one, other = residual(), residual()
    for proto, value in ((one, 1.0), (other, 2.0)):
        proto.graph.initializer[-4].CopyFrom(
            helper.make_tensor("fc.b", onnx.TensorProto.FLOAT, [4], [value] * 4)
        )
        assert not proto.graph.initializer[-4].raw_data
        assert (numpy_helper.to_array(proto.graph.initializer[-4]) == value).all()
    digests = [
        OnnxRuntime(doorway.unwrap(p), LogitsDecoder()).describe()["weights_sha256"] for p in (one, other)
    ]
    assert digests[0] != digests[1]
