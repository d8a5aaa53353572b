"""CAM for all classes on ONNX Runtime: time as a multiple of the bare session.

    python benchmarks/onnx_speed.py                             # EfficientNet-Lite0, batch 8, 224², 20 rounds
    python benchmarks/onnx_speed.py --model torchvision:resnet50

The model is exported by PyTorch, Lite0 with its weights and any other with random ones, which costs the same. Both
sides get the same batch and as many threads, and run in turns: in_turns.py. The floor is the bare session and the one
product of matrices that all maps are, with nothing around it: of a small network with many classes the maps of all are
a part of the work that no program can leave out.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import cyclopts
import numpy as np
import onnxruntime
import torch
from rich.console import Console

import camscope
from camscope.libraries import load_model
from in_turns import prices, show

METHODS = ("cam", "eigencam", "reciprocam")


def main(
    *,
    batch: int = 8,
    repeats: int = 20,
    model: str = "demo",
    methods: tuple[str, ...] = METHODS,
    file: Path | None = None,
) -> None:
    """Print how long each method takes, as a multiple of the bare session.

    Args:
        batch: how many images.
        repeats: rounds that count.
        model: which model is exported.
        methods: that are timed, for all classes.
        file: another model that takes `batch 3 224 224`.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = file or exported(model, Path(folder) / "model.onnx")
        x = np.random.default_rng(0).standard_normal((batch, 3, 224, 224)).astype(np.float32)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        explainer = camscope.Explainer(f"onnx:{path}")
        _, layer = explainer.layers(x)
        assert layer is not None
        channels, positions = layer.grid.channels, int(np.prod(layer.grid.space))
        classes = explainer(x[:1], methods="cam").logits.shape[1]
        weights = np.ones((classes, channels), np.float32)
        columns = np.ones((channels, batch * positions), np.float32)

        def bare() -> object:
            return session.run(None, {name: x})

        works = {
            f"{method}, all classes": lambda method=method: explainer(x, methods=method, targets="all")
            for method in methods
        }
        floor = {"floor: with the product": lambda: (bare(), weights @ columns)}
        found = prices(bare, {**floor, **works}, repeats)
    console = Console(width=100)
    console.print(
        f"onnxruntime {onnxruntime.__version__}, {file or model}, batch {batch}; {classes} × {channels} weights at "
        f"{positions} positions"
    )
    show(found, console, {"cam, all classes": "aim: 1.1, or the floor"})


def exported(model: str, path: Path) -> Path:
    """A model as an ONNX file."""
    net = load_model(model, weights=None if model == "demo" else "random").model.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's older exporter, which takes a tenth of the time
        torch.onnx.export(
            net,
            (torch.zeros(1, 3, 224, 224),),
            path,
            input_names=["x"],
            dynamic_axes={"x": {0: "n"}},
            dynamo=False,
        )
    return path


if __name__ == "__main__":
    cyclopts.run(main)
