"""What a file says of its photos and its classes, in its graph and in its metadata."""

from __future__ import annotations

import json

import onnx
import pytest

import camscope
from camscope.errors import ModelError
from camscope.libraries import load_model, recognise
from camscope.models.onnx.image_input import image_input
from camscope.models.onnx.onnx_model import model_of
from camscope.models.registry import unwrapped
from tests.onnx.graphs import conv, graph, node, residual, weights


def info(model):
    return recognise(unwrapped(model), wrapper=model)[1]


def info_of_file(model, folder):
    onnx.save(model, folder / "net.onnx")
    return load_model(f"onnx:{folder}/net.onnx").info


def taking(shape, *, channels_last=False, channels=3):
    """A network that takes photos of this shape."""
    first = (
        [node("Transpose", "x", "y", perm=[0, 3, 1, 2])] if channels_last else [node("Identity", "x", "y")]
    )
    nodes = [*first, conv("y", "c"), node("ReduceMean", "c", "logits", axes=[2, 3], keepdims=0)]
    return graph(nodes, {"c.w": weights(5, channels, 3, 3)}, shape, ["logits"])


@pytest.mark.parametrize(
    ("shape", "last", "channels", "found"),
    [
        (["n", 3, 32, 24], False, 3, (3, False, (32, 24))),
        (["n", 32, 24, 3], True, 3, (3, True, (32, 24))),
        (["n", 1, 32, 32], False, 1, (1, False, (32, 32))),
        (["n", 32, 32, 1], True, 1, (1, True, (32, 32))),
        (["n", "c", "h", "w"], False, 3, (3, False, None)),
        (["n", "h", "w", "c"], True, 3, (3, True, None)),
        ([None, None, None, None], True, 1, (1, True, None)),
        (["n", 3, 32, 3], False, 3, (3, False, (32, 3))),
        ([2, 32, 24, 4], True, 4, (4, True, (32, 24))),
    ],
)
def test_where_the_channels_are(shape, last, channels, found):
    image = image_input(model_of(taking(shape, channels_last=last, channels=channels)))
    assert (image.channels, image.channels_last, image.size) == found


def test_a_model_that_takes_no_photos():
    flat = graph([node("Relu", "x", "y")], {}, ["n", 7], ["y"])
    assert image_input(model_of(flat)) is None
    assert info(flat).preprocessing is None
    assert "takes no photos" in info(flat).unprepared
    many = graph([node("Relu", "x", "y")], {}, ["n", 7, 9, 9], ["y"])
    assert image_input(model_of(many)) is None


def test_axes_of_space():
    assert info(taking(["n", 8, 8, 3], channels_last=True)).space == (1, 2)
    assert info(taking(["n", 3, 8, 8])).space is None


def test_presumed_preprocessing_says_so(tmp_path):
    found = info_of_file(taking(["n", 3, 96, 128]), tmp_path)
    assert found.preprocessing.input_size == (96, 128)
    assert "presumed" in found.preprocessing.source
    assert "does not say how its photos are prepared" in found.note
    assert info_of_file(residual(), tmp_path).preprocessing.input_size == (224, 224)
    grey = info_of_file(taking(["n", 1, 32, 32], channels=1), tmp_path)
    assert grey.preprocessing is None
    assert "1 channels" in grey.unprepared
    assert info(residual()).preprocessing is None, "of a model that is given as such, nothing is presumed"


def test_camscopes_own_metadata():
    how = camscope.Preprocessing(
        (6, 6), 8, mean=(0.5,) * 3, std=(0.25,) * 3, interpolation="bicubic", bgr=True
    )
    said = {
        "camscope.preprocessing": json.dumps(how.to_dict()),
        "camscope.class_names": json.dumps(["a", "b", "c", "d"]),
        "names": "{0: 'other'}",
    }
    found = info(residual(metadata=said))
    assert found.preprocessing == how
    assert list(found.class_names) == ["a", "b", "c", "d"]
    assert found.note == ""


def test_metadata_that_cannot_be_read():
    for text in ("not json", "[1, 2]", '{"input_size": [6, 6], "sharpen": 3}', '{"input_size": [0, 6]}'):
        with pytest.raises(ModelError, match=r"camscope\.preprocessing"):
            info(residual(metadata={"camscope.preprocessing": text}))


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("names", "{0: 'cat', 1: 'dog', 2: 'cow'}"),
        ("names", '["cat", "dog", "cow"]'),
        ("id2label", '{"0": "cat", "1": "dog", "2": "cow"}'),
        ("character", "cat\ndog\ncow"),
        ("labels", "cat\ndog\ncow"),
    ],
)
def test_class_names(key, text):
    assert info(residual(metadata={key: text})).class_names == ["cat", "dog", "cow"]


@pytest.mark.parametrize("text", ["{1: 'cat', 2: 'dog'}", "{'a': 3.5}", "17", "[[1], [2]]"])
def test_what_is_no_list_of_class_names(text):
    assert info(residual(metadata={"names": text})).class_names is None


def test_ultralytics():
    said = {"author": "Ultralytics", "task": "classify", "names": "{0: 'a', 1: 'b', 2: 'c', 3: 'd'}"}
    found = info(residual(size=32, metadata=said))
    assert found.preprocessing.mean == (0, 0, 0)
    assert found.preprocessing.std == (1, 1, 1)
    assert found.preprocessing.input_size == (32, 32)
    assert found.note == ""


def test_by_name(tmp_path):
    onnx.save(residual(size=16), tmp_path / "net.onnx")
    loaded = load_model(f"onnx:{tmp_path}/net.onnx")
    assert loaded.info.name == "onnx:net.onnx"
    assert not loaded.info.untrained


def test_several_ways_to_take_a_photo_are_run_only_where_there_is_one_input():
    inputs = {"x": (1, ["n", "a", "b", "c"]), "y": (1, ["n", 4])}
    nodes = [conv("x", "c"), node("ReduceMean", "c", "p", axes=[2, 3], keepdims=0), node("Add", "p y", "z")]
    image = image_input(model_of(graph(nodes, {"c.w": weights(4, 3, 3, 3)}, inputs, ["z"])))
    assert (image.channels, image.channels_last) == (3, False)
