"""Files and folders given for a model or its weights that are something else: each says what it is and what works."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from camscope.errors import ModelError
from camscope.libraries.loading import load_model
from camscope.models.file_kinds import kind_of


def scripted(path: Path) -> None:
    torch.jit.trace(nn.Conv2d(3, 2, 1), torch.ones(1, 3, 4, 4)).save(path)


def archive(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, "{}")


FILES = {
    "torchscript": ("m.pt", scripted, r"TorchScript program.*torch\.jit\.load"),
    "tflite": ("m.tflite", lambda path: path.write_bytes(b"\0\0\0\0TFL3rest"), "TensorFlow Lite.*tf2onnx"),
    "sklearn": ("m.pkl", lambda path: path.write_bytes(pickle.dumps(LogisticRegression())), "scikit-learn"),
    "keras weights": (
        "m.weights.h5",
        lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"),
        "Give both: --model keras:",
    ),
    "hdf5": (
        "m.h5",
        lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"),
        r"A whole model is 'keras:\S+m\.h5'",
    ),
    "keras": (
        "m.keras",
        lambda path: archive(path, "config.json", "model.weights.h5"),
        r"'keras:\S+m\.keras'",
    ),
    "onnx": ("m.onnx", lambda path: path.write_bytes(b"\x08\x07"), r"'onnx:\S+m\.onnx'"),
    "arrays": ("m.npz", lambda path: np.savez(path, one=np.ones(1)), r"arrays of NumPy.*load_pretrained"),
    "gguf": ("m.gguf", lambda path: path.write_bytes(b"GGUF\x03"), "GGUF"),
    "built": ("m.engine", lambda path: path.write_bytes(b"\x00ftrt"), "built for one machine"),
    "paddle": ("m.pdparams", lambda path: path.write_bytes(b"\x80\x02}"), "paddle2onnx"),
    "msgpack": ("m.msgpack", lambda path: path.write_bytes(b"\x81"), "parameters of a JAX model"),
    "settings": ("config.json", lambda path: path.write_text("{}"), r"settings.*'hf:\S+'"),
    "empty": ("m.pth", Path.touch, "is empty"),
    "pointer": (
        "m.pth",
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"),
        "git lfs pull",
    ),
    "page": ("m.pth", lambda path: path.write_text("\n<!DOCTYPE html><html>"), "is a web page"),
}


@pytest.mark.parametrize("kind", FILES)
def test_it_is_named_where_it_is_given_for_a_model_or_for_weights(kind, tmp_path):
    name, write, words = FILES[kind]
    path = tmp_path / name
    write(path)
    assert kind_of(path) == kind
    for options in ({}, {"trust_pickle": True}):
        with pytest.raises(ModelError, match=words):
            load_model(str(path), **options)
        with pytest.raises(ModelError, match=words):
            load_model("timm:test_resnet", weights=path, **options)


def test_a_savedmodel_of_tensorflow_is_a_folder(tmp_path):
    (tmp_path / "saved_model.pb").touch()
    for spec, weights in ((str(tmp_path), None), ("timm:test_resnet", tmp_path)):
        with pytest.raises(ModelError, match=r"SavedModel of TensorFlow.*tf2onnx.convert --saved-model"):
            load_model(spec, weights=weights)


def test_a_folder_given_for_weights_says_what_is_in_it(tmp_path):
    (tmp_path / "best.ckpt").touch()
    with pytest.raises(
        ModelError, match=r"is a folder, and no file of weights\. In it there are: best\.ckpt"
    ):
        load_model("timm:test_resnet", weights=tmp_path)
    with pytest.raises(ModelError, match=r"no training run.* Files in it are for --weights.*: best\.ckpt"):
        load_model(str(tmp_path))


@pytest.mark.parametrize("reader", ["onnx", "keras"])
def test_a_checkpoint_given_to_another_reader_is_named(reader, tmp_path):
    torch.save({"weight": torch.ones(1)}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"is a checkpoint of PyTorch.*--model timm:NAME --weights"):
        load_model(f"{reader}:{tmp_path}/w.pth")


def test_a_mistyped_file_is_answered_with_its_neighbours(tmp_path):
    (tmp_path / "resnet.pth").touch()
    for spec, weights in ((f"{tmp_path}/restnet.pth", None), ("timm:test_resnet", tmp_path / "restnet.pth")):
        with pytest.raises(ModelError, match=r"There is no .*restnet\.pth.*Did you mean 'resnet\.pth'"):
            load_model(spec, weights=weights)
    with pytest.raises(ModelError, match="There is no folder"):
        load_model("timm:test_resnet", weights=tmp_path / "none" / "w.pth")
