"""What is in a model's file or folder, by its first bytes, for messages to whoever gave it where another was due."""

from __future__ import annotations

import zipfile
from pathlib import Path

from camscope.errors import nearest

PROGRAM = ".pt2"
"""The suffix of programs that `torch.export` wrote."""

_LOOKED_AT = 4096
"""Bytes at the beginning of a file that tell what it is."""

_READ_BY_ONNX = ", or give the ONNX file it was made of, 'onnx:FILE.onnx'"

_WHAT = {
    "empty": "{file} is empty: its download or its saving broke off. Fetch or save it again.",
    "pointer": "{file} is a pointer of Git LFS, and not the file itself. Fetch that: git lfs pull.",
    "page": "{file} is a web page: what was to be downloaded was not there, or asked for a login. Fetch it again.",
    "torchscript": (
        "{file} is a TorchScript program, whose layers give nothing out. Its weights are those of the nn.Module that "
        "it was made of: build that, model.load_state_dict(torch.jit.load('{file}').state_dict()), and explain it "
        "(on the command line by a file of yours: --model FILE.py:build)."
    ),
    "savedmodel": (
        "{file} is a SavedModel of TensorFlow, a program without layers. Save the Keras model that it was made of, "
        "model.save('FILE.keras'), and give 'keras:FILE.keras'; or convert it: python -m tf2onnx.convert --saved-model "
        "{file} --output FILE.onnx, and give 'onnx:FILE.onnx'."
    ),
    "tflite": (
        "{file} is a model for TensorFlow Lite, mostly quantised. Give the Keras model that it was made of, "
        "'keras:FILE.keras'; or convert it: python -m tf2onnx.convert --tflite {file} --output FILE.onnx."
    ),
    "sklearn": (
        "{file} holds an estimator of scikit-learn, which has no layers that see places of an image, so it has no "
        "class activation map. Give a network: PyTorch, Keras, JAX or ONNX."
    ),
    "keras weights": (
        "{file} holds the weights of a Keras model, and not the model. Give both: --model keras:NAME --weights {file}, "
        "or --model FILE.py:FACTORY --weights {file} (weights='{file}' in Python)."
    ),
    "pytorch": (
        "{file} is a checkpoint of PyTorch. Its weights go with the model they are of: --model timm:NAME --weights "
        "{file} (weights='{file}' in Python); a whole model in it is --model {file} --trust-pickle."
    ),
    "keras": "{file} is a model of Keras: 'keras:{file}'.",
    "hdf5": (
        "{file} is a file of Keras (HDF5). A whole model is 'keras:{file}'; weights alone go with the model they are "
        "of: --model keras:NAME --weights {file}."
    ),
    "onnx": "{file} is a model in ONNX: 'onnx:{file}'.",
    "arrays": (
        "{file} holds arrays of NumPy, as JAX's vision transformers are published. timm reads those: in a file of "
        "yours, def build(): model = timm.create_model(…); model.load_pretrained('{file}'); return model, and give "
        "--model FILE.py:build."
    ),
    "gguf": "{file} is a language model in GGUF, for llama.cpp. Give the folder of Hugging Face's that it was made of.",
    "built": (
        "{file} is a model built for one machine or runtime (TensorRT, OpenVINO, Core ML), without layers to look at. "
        "Give the PyTorch or Keras model that it was made of" + _READ_BY_ONNX + "."
    ),
    "paddle": "{file} is of PaddlePaddle. Convert it with paddle2onnx, and give 'onnx:FILE.onnx'.",
    "msgpack": (
        "{file} holds the parameters of a JAX model. Build the model in Python, fill it, and give that: Flax NNX, "
        "linen bound to its parameters, or Equinox."
    ),
    "settings": (
        "{file} holds settings, and no model. The folder it lies in may be one: 'hf:{folder}' if save_pretrained wrote "
        "it, '{folder}' if camscope trained it."
    ),
}
"""What to say of each kind of file or folder."""

_BY_SUFFIX = {
    ".onnx": "onnx",
    ".keras": "keras",
    ".tflite": "tflite",
    ".engine": "built",
    ".plan": "built",
    ".mlmodel": "built",
    ".mlpackage": "built",
    ".xml": "built",
    ".pdparams": "paddle",
    ".pdmodel": "paddle",
    ".pdiparams": "paddle",
    ".msgpack": "msgpack",
    ".json": "settings",
    ".yaml": "settings",
    ".yml": "settings",
}

_BY_BYTES = (
    (b"version https://git-lfs", "pointer"),
    (b"\x89HDF\r\n", "hdf5"),
    (b"GGUF", "gguf"),
)


def kind_of(path: Path) -> str:
    """What a file or a folder is, if it is one of the kinds that `what_it_is` speaks of; else empty.

    Args:
        path: of the file or folder.
    """
    if path.is_dir():
        return "savedmodel" if (path / "saved_model.pb").is_file() else _BY_SUFFIX.get(path.suffix, "")
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT)
    if not start:
        return "empty"
    if path.name.endswith(".weights.h5"):
        return "keras weights"
    told = next((kind for mark, kind in _BY_BYTES if start.startswith(mark)), "")
    if told or start[4:8] == b"TFL3":
        return told or "tflite"
    if start.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "page"
    if start.startswith(b"PK"):
        return _of_archive(path)
    if start.startswith(b"\x80") and (b"sklearn." in start or b"sklearn\n" in start):
        return "sklearn"
    return _BY_SUFFIX.get(path.suffix, "")


def _of_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return ""
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        return "torchscript"
    if "model.weights.h5" in names:
        return "keras"
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        return "pytorch"
    return "arrays" if names and all(name.endswith(".npy") for name in names) else ""


def what_it_is(path: Path, *, no: str = "") -> str:
    """What a file or a folder is that was given for a model or its weights, and how to go on; empty if not seen.

    Args:
        path: of the file or folder; it need not be there.
        no: a kind that it is not, whatever its name says.
    """
    if path.suffix == PROGRAM:
        return why_no_program(path)
    kind = kind_of(path) if path.exists() else ""
    return _WHAT[kind].format(file=path, folder=path.parent) if kind not in ("", no) else ""


def why_no_weights(path: Path) -> str:
    """Why a file or folder holds no weights of a PyTorch model; empty if it may.

    Args:
        path: of the file or folder.
    """
    if path.suffix == PROGRAM:
        return (
            f"{path} is a program of torch.export, and no weights file. Save those of the model that it was made of: "
            "torch.save(model.state_dict(), 'weights.pth')."
        )
    told = what_it_is(path, no="pytorch")
    if told or not path.is_dir():
        return told
    inside = sorted(one.name for one in path.iterdir() if one.suffix in WEIGHTS)
    named = f" In it there are: {', '.join(inside[:5])}." if inside else ""
    return f"{path} is a folder, and no file of weights.{named}"


def nearest_file(path: Path) -> str:
    """A hint at files in the same folder, in case a name is mistyped; starts with a space.

    Args:
        path: of no file.
    """
    if not path.parent.is_dir():
        return f" There is no folder {path.parent}."
    return nearest(path.name, [one.name for one in path.parent.iterdir() if one.suffix == path.suffix])


WEIGHTS = (".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".pkl", ".tar")
"""Suffixes of files that mostly hold weights alone."""


def why_no_program(file: object) -> str:
    """Why a program of `torch.export` cannot be explained, and what works.

    Args:
        file: its path, or another name for it.
    """
    return (
        f"{file} is a program of torch.export: a list of operations without the layers that maps are made at. It gives "
        "what it was exported with (torch.export.load(FILE).module()(x)), and nothing more can be made of it. To have "
        "a file that can be explained, export to .onnx, and give that as 'onnx:FILE.onnx'; or give the model that it "
        "was made of."
    )
