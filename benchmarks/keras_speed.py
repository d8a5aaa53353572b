"""Grad-CAM of one class on Keras' ResNet50 (random weights), as a multiple of the bare forward of the same backend.

    KERAS_BACKEND=jax python benchmarks/keras_speed.py             # or torch, tensorflow; batch 2
    KERAS_BACKEND=tensorflow python benchmarks/keras_speed.py --batch 8 --rounds 7
    KERAS_BACKEND=jax python benchmarks/keras_speed.py --cpu       # seconds of the processor: for a busy machine

The bare forward is `model(x, training=False)`, as a user calls it. Rounds take turns; the median of the quotients
counts. At the last stage the head is linear; at the one before it gradients are needed.
On TensorFlow tf-keras-vis stands beside it, if it is installed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import cyclopts
import keras
import numpy as np
from rich.console import Console

import camscope


def peer(model: Any, x: np.ndarray, layer: str) -> Callable[[], Any] | None:
    """tf-keras-vis at the same layer, where it runs."""
    if keras.backend.backend() != "tensorflow":
        return None
    try:
        from tf_keras_vis.gradcam import Gradcam
        from tf_keras_vis.utils.model_modifiers import ReplaceToLinear
    except ImportError:
        return None
    cam = Gradcam(model, model_modifier=ReplaceToLinear(), clone=True)
    return lambda: cam(lambda out: out[:, 281], x, penultimate_layer=layer)


STAGE_BEFORE = "conv4_block6_out"


def main(batch: int = 2, rounds: int = 5, *, cpu: bool = False) -> None:
    """Measure and print.

    Args:
        batch: images at a time.
        rounds: how often each is run.
        cpu: count the processor's seconds of this process, and not those on the clock.
    """
    clock = time.process_time if cpu else time.perf_counter
    keras.utils.set_random_seed(0)
    model = keras.applications.ResNet50(weights=None)
    x = np.random.default_rng(0).standard_normal((batch, 224, 224, 3)).astype(np.float32)
    tensor = keras.ops.convert_to_tensor(x)

    def forward() -> Any:
        if keras.backend.backend() == "torch":
            import torch

            with torch.no_grad():
                return model(tensor, training=False)
        return keras.ops.convert_to_numpy(model(tensor, training=False))

    explainer = camscope.Explainer(model)
    layer = explainer(x, targets=281, methods="gradcam").layers[0]
    runs: dict[str, Callable[[], Any]] = {
        "bare forward": forward,
        "camscope gradcam": lambda: explainer(x, targets=281, methods="gradcam"),
        "camscope cam": lambda: explainer(x, targets=281, methods="cam"),
        f"camscope gradcam, {STAGE_BEFORE}": lambda: explainer(
            x, targets=281, methods="gradcam", layers=STAGE_BEFORE
        ),
    }
    if (other := peer(model, x, layer)) is not None:
        runs["tf-keras-vis gradcam"] = other
    for run in (*runs.values(), *runs.values()):
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = clock()
            run()
            seconds[name].append(clock() - start)
    console = Console()
    console.print(f"Keras {keras.__version__} on {keras.backend.backend()}, batch {batch}, layer {layer}")
    for name, times in seconds.items():
        ratio = statistics.median(t / b for t, b in zip(times, seconds["bare forward"], strict=True))
        console.print(f"{name:36} {statistics.median(times):7.3f} s  {ratio:5.2f} ×")


if __name__ == "__main__":
    cyclopts.run(main)
