"""Grad-CAM of one class on Keras' ResNet50 (random weights), as a multiple of the bare forward of the same backend.

    KERAS_BACKEND=jax python benchmarks/keras_speed.py             # or torch, tensorflow; batch 2
    KERAS_BACKEND=tensorflow python benchmarks/keras_speed.py --batch 8 --rounds 7

The bare forward is `model(x, training=False)`, as a user calls it. Both sides get the same batch, and run in turns:
in_turns.py. At the last stage the head is linear; at the one before it gradients are needed.
On TensorFlow tf-keras-vis stands beside it, if it is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cyclopts
import keras
import numpy as np
from rich.console import Console

import camscope
from in_turns import prices, show


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


def main(batch: int = 2, rounds: int = 10) -> None:
    """Measure and print.

    Args:
        batch: images at a time.
        rounds: how often each is run.
    """
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
        "camscope gradcam": lambda: explainer(x, targets=281, methods="gradcam"),
        "camscope cam": lambda: explainer(x, targets=281, methods="cam"),
        f"camscope gradcam, {STAGE_BEFORE}": lambda: explainer(
            x, targets=281, methods="gradcam", layers=STAGE_BEFORE
        ),
    }
    if (other := peer(model, x, layer)) is not None:
        runs["tf-keras-vis gradcam"] = other
    console = Console(width=100)
    console.print(f"Keras {keras.__version__} on {keras.backend.backend()}, batch {batch}, layer {layer}")
    show(
        prices(forward, runs, rounds),
        console,
        dict.fromkeys(["camscope gradcam", "camscope cam"], "aim: 1.15"),
    )


if __name__ == "__main__":
    cyclopts.run(main)
