"""How well `camscope train` does on the packaged sets of images at its defaults, on what it held out.

    python benchmarks/trained.py                     # seed 0, a minute or two on one core
    python benchmarks/trained.py --seeds 3

The same as `camscope train sample:digits` and so on; the maps are not watched, which changes no weight.
"""

from __future__ import annotations

import os
import tempfile
import time

import cyclopts
import torch
from rich.console import Console
from rich.table import Table

from camscope.training import fit

SETS = ("digits", "faces", "silhouettes")


def main(*, seeds: int = 1) -> None:
    """Train and print the accuracies.

    Args:
        seeds: how many, from 0.
    """
    table = Table("set", "held out", *(f"seed {seed}" for seed in range(seeds)), "processor time")
    with tempfile.TemporaryDirectory() as folder:
        for name in SETS:
            start, accuracies, held_out = time.process_time(), [], 0
            for seed in range(seeds):
                run = fit(f"sample:{name}", out=folder, name=f"{name}-{seed}", seed=seed, watch=False)
                performance = run.judged.performance
                accuracies.append(f"{performance.accuracy:.1%}")
                held_out = int(performance.images.sum())
            table.add_row(name, str(held_out), *accuracies, f"{(time.process_time() - start) / seeds:.0f} s")
    console = Console(width=100)
    console.print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), {os.cpu_count()} cores")
    console.print(table)


if __name__ == "__main__":
    cyclopts.run(main)
