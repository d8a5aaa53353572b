"""Writes the small file that `test_kept_file.py` reads where PyTorch is not: `python -m tests.exporting.make_kept`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.conftest import make_tiny_cnn

HERE = Path(__file__).parent


def make(folder: Path) -> None:
    """Export the tiny network with its maps, and keep an input with what camscope says of it in PyTorch."""
    import camscope  # behind the run-time check of shapes
    from tests.exporting.programs import explained
    from tests.torch.nets import batch

    model = make_tiny_cnn()
    model.preprocessing = camscope.Preprocessing(
        input_size=(32, 32), resize=36, mean=(0.5,) * 3, std=(0.25,) * 3
    )
    model.class_names = ["cat", "dog", "ski", "été", "tea"]
    camscope.export(model, folder / "kept.onnx", top=2)
    x = batch(3, 3, 32, 32, seed=7)
    own = camscope.explain(model, x, methods="cam", targets=[camscope.TopK(2)])
    classes = np.array([[target.index for target in row] for row in own.targets])
    maps = explained(model, x, classes, methods="cam").maps()
    np.savez_compressed(
        folder / "kept.npz", x=x.numpy(), logits=own.logits.numpy(), classes=classes, maps=maps.numpy()
    )


if __name__ == "__main__":
    make(HERE)
