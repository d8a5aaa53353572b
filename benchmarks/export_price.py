"""What maps cost in an exported model: ONNX files with them, beside PyTorch's plain ONNX export of the same model.

    python benchmarks/export_price.py                # ResNet-50, random weights, batch 2, 224²; some minutes
    python benchmarks/export_price.py --model torchvision:mobilenet_v3_large --layers features.12

Every file is run in ONNX Runtime on the CPU, in turns with the plain one, so that a machine that is slow for a while
slows both. CAM should cost at most 1.05 times the plain model.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import cyclopts
import numpy as np
import onnxruntime
import torch
from rich.console import Console
from rich.table import Table

import camscope
from camscope.libraries import load_model
from measure import paired
from speed import describe


def main(
    *,
    model: str = "torchvision:resnet50",
    layers: list[str] | None = None,
    batch: int = 2,
    size: int = 224,
    top: int = 5,
    repeats: int = 15,
    threads: int = 1,
) -> None:
    """Export, run in turns, and print the ratios."""
    torch.set_num_threads(threads)
    net = load_model(model, weights="random").model.eval()
    x = np.random.default_rng(0).standard_normal((batch, 3, size, size), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        start = time.perf_counter()
        torch.onnx.export(
            net,
            (torch.from_numpy(x),),
            plain,
            dynamo=True,
            verbose=False,
            external_data=False,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            input_names=["input"],
        )
        seconds = {"plain": time.perf_counter() - start}
        files, about = {"plain": plain}, {"plain": ""}
        wanted = [(None, None), *(("gradcam", layer) for layer in layers or ["layer3"])]
        for method, layer in wanted:
            start = time.perf_counter()
            done = camscope.export(
                net,
                Path(folder) / f"{method}-{layer}.onnx",
                method=method,
                layer=layer,
                top=top,
                size=(size, size),
            )
            name = f"{done.method} at {done.layer}"
            files[name], seconds[name] = done.path, time.perf_counter() - start
            about[name] = f"{done.verified.maps:.0e}"
        runs = {name: _runner(path, x, threads) for name, path in files.items()}
        times = paired(runs["plain"], runs, repeats, torch.device("cpu"))
        table = Table("file", "MB", "export, s", "run, ms", "× plain", "maps differ by")
        for name, path in files.items():
            table.add_row(
                name,
                f"{path.stat().st_size / 1e6:.1f}",
                f"{seconds[name]:.0f}",
                f"{times[name].seconds * 1e3:.0f}",
                f"{times[name].ratio:.3f}",
                about[name],
            )
    console = Console()
    machine = describe(torch.device("cpu"), batch, repeats)
    console.print(f"{model}, maps of the top {top} classes, onnxruntime {onnxruntime.__version__}; {machine}")
    console.print(table)


def _runner(path: Path, x: np.ndarray, threads: int):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"input": x})


if __name__ == "__main__":
    cyclopts.run(main)
