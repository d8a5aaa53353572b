"""What a verdict costs beside the masked forwards that it is made of.

    python -m benchmarks.trust_price      # the demo model, one photo, ten methods, three layers, three classes

The same number of masked forwards is run bare: as many copies of the photo in chunks of the same size, nothing made of
them. The rest is explaining, imputing, ranking, moves and bootstrap, each by its own processor time in one thread: on a
shared machine two runs differ by more than that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import cyclopts
import torch
from rich.console import Console
from skimage import data

import camscope
from camscope.engine import probing, trusting

METHODS = [
    "gradcam",
    "gradcam++",
    "hirescam",
    "layercam",
    "xgradcam",
    "eigencam",
    "gradcam-elementwise",
    "mean-activation",
    "fem",
    "centre",
]


class Clock:
    """Processor time by what it was spent for."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        start = time.process_time()
        try:
            yield
        finally:
            self.spent[what] = self.spent.get(what, 0.0) + time.process_time() - start

    def around(self, what: str, function: Callable) -> Callable:
        """The same function, timed."""

        def timed(*args: object, **kwargs: object) -> object:
            with self(what):
                return function(*args, **kwargs)

        return timed


app = cyclopts.App(help=__doc__)


@app.default
def main(methods: int = 10, layers: int = 3, classes: int = 3) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    explainer = camscope.Explainer("demo")
    x = explainer.prepare(data.coffee())
    batch = explainer._model.prepared(x)[1]
    at = [layer.name for layer in explainer._model.adapter.stages(batch)][-layers:]
    clock = Clock()
    options = {"methods": METHODS[:methods], "layers": at, "targets": f"top{classes}", "checks": "fidelity"}
    explainer.trust(x, **{**options, "probes": 32})  # loads what is loaded once
    fills = {name: clock.around(f"imputing by {name}", fill) for name, fill in probing.IMPUTERS.items()}
    explained = clock.around("explaining", trusting._explained)
    judged = clock.around("ranks, moves, bootstrap", trusting.judged)
    with (
        patch.object(probing, "IMPUTERS", fills),
        patch.object(trusting, "_explained", explained),
        patch.object(trusting, "judged", judged),
        clock("all"),
    ):
        found = explainer.trust(x, **options)
    count = sum(len(probed.imputers) for probed in found.probes.values())
    with explainer.altering(x) as seen, clock("bare forwards"):
        seen.masked(0, count, lambda some: batch.x.repeat(len(some), 1, 1, 1))
    console, bare = Console(), clock.spent["bare forwards"]
    console.print(f"{len(found.rows)} maps at {at}, {count} probes on {[grid for _, grid in found.probes]}")
    for what, seconds in clock.spent.items():
        console.print(
            f"{what:26} {seconds:7.2f} s of processor time, {seconds / bare:6.1%} of the bare forwards"
        )


if __name__ == "__main__":
    app()
