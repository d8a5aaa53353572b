"""Smooth maps that know nothing, probes of a model that is written down, and the same statistics by other code."""

import numpy as np
from scipy.ndimage import gaussian_filter

from camscope.trust.judged_maps import Baseline, Claim
from camscope.trust.probed import Probed
from camscope.trust.probes import drawn
from camscope.trust.verdict import Verdict

GRID = (7, 7)
CENTRE, MEAN = "centre", "mean-activation"


def centre_blob(grid=GRID):
    u, v = (((np.arange(n) + 0.5) / n - 0.5) / 0.25 for n in grid)
    return np.exp(-(u[:, None] ** 2 + v**2) / 2)


def smooth_maps(random, count, sigma, grid=GRID):
    noise = random.normal(size=(count, *grid))
    return np.stack([gaussian_filter(one, sigma, mode="nearest") for one in noise])


def probed_by(score, *, grid=GRID, count=128, noise=0.0, seed=0, changed=0.0):
    """Probes of a score that is a function of what is removed: `probe *grid` booleans to `probe target`."""
    removed = drawn(grid, count, 0.2, seed)
    drops = np.asarray(score(removed), np.float64)
    spread = drops.std(axis=0)
    drops = drops + noise * spread * np.random.default_rng(seed + 1).normal(size=drops.shape)
    targets = drops.shape[1]
    return Probed(
        removed=removed,
        imputers=("blur", "road") * (count // 2),
        drops=drops,
        top=np.zeros(count, np.int64),
        changed=changed,
        kept_probability=np.ones(targets),
        share=0.2,
        clean=np.ones(targets),
    )


def additive(truth):
    """The score of a model that is additive in cells: `target *grid` is what each cell is worth."""
    return lambda removed: removed.reshape(len(removed), -1) @ truth.reshape(len(truth), -1).T


def claim(cells, column=0, mean=None, **facts):
    grid = cells.shape
    mean = np.indices(grid).sum(0).astype(float) if mean is None else mean
    baselines = (
        Baseline(CENTRE, centre_blob(grid), Verdict.NO_BETTER_THAN_CENTRE),
        Baseline(MEAN, mean, Verdict.NO_BETTER_THAN_MEAN),
    )
    return Claim("gradcam", "layer4", f"class {column}", column, cells, baselines, **facts)
