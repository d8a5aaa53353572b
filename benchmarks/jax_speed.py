"""Maps of a JAX model: time as a multiple of its bare jitted forward, on a ResNet-50 in Flax NNX.

    python benchmarks/jax_speed.py                   # batch 8, 224², 10 rounds
    python benchmarks/jax_speed.py --batch 2 --size 128 --repeats 5

The weights are random, which costs the same. Both sides get the same batch, and run in turns: in_turns.py. The first
call, which compiles, is told apart.
"""

from __future__ import annotations

import time

import cyclopts
import flax
import jax
import numpy as np
from flax import nnx
from rich.console import Console

import camscope
from in_turns import prices, show

WORKS = {
    "gradcam, the top class, last stage": {"methods": "gradcam"},
    "gradcam, five classes, last stage": {"methods": "gradcam", "targets": [1, 17, 99, 340, 985]},
    "layercam, the top class, third stage": {"methods": "layercam", "layers": "stages.2.5"},
    "layercam, five classes, third stage": {
        "methods": "layercam",
        "layers": "stages.2.5",
        "targets": [1, 17, 99, 340, 985],
    },
}


class Bottleneck(nnx.Module):
    def __init__(self, n_in: int, width: int, stride: int, rngs: nnx.Rngs) -> None:
        out = 4 * width
        sizes = [(n_in, width, 1, 1), (width, width, 3, stride), (width, out, 1, 1)]
        self.convs = nnx.List([_conv(*size, rngs) for size in sizes])
        self.norms = nnx.List([nnx.BatchNorm(size[1], rngs=rngs) for size in sizes])
        fits = stride == 1 and n_in == out
        down = (
            None if fits else nnx.Sequential(_conv(n_in, out, 1, stride, rngs), nnx.BatchNorm(out, rngs=rngs))
        )
        self.down = down

    def __call__(self, x: jax.Array) -> jax.Array:
        y = x
        for number, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = norm(conv(y))
            y = nnx.relu(y) if number < 2 else y
        return nnx.relu(y + (x if self.down is None else self.down(x)))


class ResNet50(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.stem = nnx.Sequential(_conv(3, 64, 7, 2, rngs), nnx.BatchNorm(64, rngs=rngs))
        channels, self.stages = 64, nnx.List([])
        for number, depth in enumerate((3, 4, 6, 3)):
            width, blocks = 64 * 2**number, []
            for block in range(depth):
                blocks.append(Bottleneck(channels, width, 2 if number and not block else 1, rngs))
                channels = 4 * width
            self.stages.append(nnx.List(blocks))
        self.head = nnx.Linear(channels, 1000, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.max_pool(nnx.relu(self.stem(x)), (3, 3), (2, 2), "SAME")
        for blocks in self.stages:
            for block in blocks:
                x = block(x)
        return self.head(x.mean((1, 2)))


def _conv(n_in: int, n_out: int, size: int, stride: int, rngs: nnx.Rngs) -> nnx.Conv:
    return nnx.Conv(n_in, n_out, (size, size), stride, use_bias=False, rngs=rngs)


def main(*, batch: int = 8, size: int = 224, repeats: int = 10) -> None:
    """Print how long each work takes, as a multiple of the bare forward.

    Args:
        batch: how many images.
        size: of each, in pixels.
        repeats: rounds that count.
    """
    model = ResNet50(nnx.Rngs(0))
    model.eval()
    x = np.random.default_rng(0).standard_normal((batch, size, size, 3)).astype(np.float32)
    graph, state = nnx.split(model)
    bare = jax.jit(lambda state, x: nnx.merge(graph, state)(x))
    explainer = camscope.Explainer(model)
    console = Console(width=100)
    devices = ", ".join(sorted({device.device_kind for device in jax.devices()}))
    console.print(f"jax {jax.__version__}, flax {flax.__version__} on {devices}, batch {batch} of {size}²")
    start = time.perf_counter()
    jax.block_until_ready(bare(state, x))
    console.print(f"{'bare forward, first call':40} {time.perf_counter() - start:8.2f} s")
    for name, options in WORKS.items():
        start = time.perf_counter()
        explainer(x, **options)
        console.print(f"{name + ', first call':40} {time.perf_counter() - start:8.2f} s")
    works = {name: lambda options=options: explainer(x, **options) for name, options in WORKS.items()}
    found = prices(lambda: jax.block_until_ready(bare(state, x)), works, repeats)
    show(found, console, {name: "aim: 1.1" for name in WORKS if name.endswith("last stage")})


if __name__ == "__main__":
    cyclopts.run(main)
