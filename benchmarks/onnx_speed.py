"""CAM for all classes on ONNX Runtime: time as a multiple of the bare session, on EfficientNet-Lite0.

    python benchmarks/onnx_speed.py                  # batch 8, 224², 20 rounds

The model is the demo's, exported by PyTorch. Both sides get the same batch, and run in turns: measure.py.
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
from measure import paired

METHODS = ("cam", "eigencam", "reciprocam")


def main(*, batch: int = 8, repeats: int = 20, file: Path | None = None) -> None:
    """Print how long each method takes, as a multiple of the bare session.

    Args:
        batch: how many images.
        repeats: rounds that count.
        file: another model that takes `batch 3 224 224`.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = file or exported(Path(folder) / "lite0.onnx")
        x = np.random.default_rng(0).standard_normal((batch, 3, 224, 224)).astype(np.float32)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        explainer = camscope.Explainer(f"onnx:{path}")
        works = {
            f"{method}, all classes": lambda method=method: explainer(x, methods=method, targets="all")
            for method in METHODS
        }
        times = paired(lambda: session.run(None, {name: x}), works, repeats, torch.device("cpu"))
    console = Console(width=100)
    console.print(f"onnxruntime {onnxruntime.__version__}, {Path(path).name}, batch {batch}")
    for work, found in times.items():
        console.print(f"{work:28} {found.ratio:6.2f} × the session  {found.seconds:7.3f} s")


def exported(path: Path) -> Path:
    """The demo model as an ONNX file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's older exporter, which takes a tenth of the time
        torch.onnx.export(
            load_model("demo").model.eval(),
            (torch.zeros(1, 3, 224, 224),),
            path,
            input_names=["x"],
            dynamic_axes={"x": {0: "n"}},
            dynamo=False,
        )
    return path


if __name__ == "__main__":
    cyclopts.run(main)
