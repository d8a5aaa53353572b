"""The attention of a transformer by runs alone: its probabilities, its grid, and which tokens the head reads."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from camscope.errors import ModelError
from camscope.evidence import Attention, AttentionLayer
from camscope.models.batch import Batch
from camscope.models.observing import slices_of
from camscope.models.runtime.finding import LayersByRuns
from camscope.models.runtime.runs import Run, Runtime, ShowsAttention
from camscope.models.runtime.scoring import Scoring, widened

_AT_A_TIME = 64
"""Tokens that are altered in one run, each in a row of its own."""


def attention_of(runtime: Runtime, scoring: Scoring, layers: LayersByRuns, batch: Batch) -> Attention:
    """The attention probabilities of every layer of a transformer over one grid of patches.

    Args:
        runtime: of the model.
        scoring: tells its scores.
        layers: of the model.
        batch: the inputs.

    Raises:
        ModelError: if the layers do not all attend over all tokens of one grid, or the tokens that the head reads
            cannot be found.
    """
    assert isinstance(runtime, ShowsAttention)
    names = runtime.attention_layers
    run = runtime.run(batch, names)
    weights = [_per_head(run.values[name], len(batch)) for name in names if name in run.values]
    counts = sorted({shape for one in weights for shape in one.shape[2:]})
    if len(counts) != 1:
        raise ModelError(
            f"The attention of this model is over {', '.join(map(str, counts)) or 'no'} tokens in turn: windows, or "
            "attention pooling. Methods that follow it through all layers need one grid of tokens."
        )
    (count,) = counts
    grids = [layer.grid for layer in layers.shown(batch).layers if layer.grid.layout == "tokens"]
    grid = next((one for one in grids if one.prefix + math.prod(one.space) == count), None)
    if grid is None or grid.order is not None:
        raise ModelError(
            f"No layer shows where the {count} tokens that attend to one another are on the input, so their attention "
            "cannot be drawn."
        )
    readout = _readout(runtime, scoring, batch.images(slice(1)), names[-1], count)
    return Attention(
        layers=tuple(AttentionLayer(one) for one in weights),
        space=grid.space,
        prefix=grid.prefix,
        readout=_shares(readout, grid.prefix).astype(weights[-1].dtype),
    )


def _per_head(weights: np.ndarray, rows: int) -> Float[np.ndarray, "batch head query key"]:
    """Probabilities whose heads have an axis of their own, or stand side by side with the batch."""
    return widened(weights.reshape(rows, -1, *weights.shape[-2:]))


def _readout(
    runtime: Runtime, scoring: Scoring, image: Batch, last: str, count: int
) -> Float[np.ndarray, " token"]:
    """How much the logits of an image change with each token of the last layer of tokens.

    Args:
        runtime: of the model.
        scoring: tells its scores.
        image: a batch of one.
        last: the last attention layer, behind which no token reads another.
        count: of tokens.
    """
    run: Run = runtime.run(image, None)
    names = list(run.values)
    behind = names[names.index(last) + 1 :]
    for name in reversed([one for one in behind if run.values[one].shape[:2] == (1, count)]):
        tokens = run.values[name]
        if tokens.ndim != 3:
            continue
        after = runtime.after(image, name)
        clean = scoring.logits(after(tokens), image).astype(np.float64)
        size = float(tokens.std()) or 1.0
        noise = (np.random.default_rng(0).standard_normal((tokens.shape[2],)) * size).astype(tokens.dtype)
        found = np.empty(count)
        for some in slices_of(count, _AT_A_TIME):
            numbers = np.arange(some.start, some.stop)
            rows = np.repeat(tokens, len(numbers), axis=0)
            rows[np.arange(len(numbers)), numbers] += noise
            logits = scoring.logits(after(rows), image.images(np.zeros(len(rows), np.int64)))
            found[some] = np.abs(logits - clean).reshape(len(rows), -1).max(axis=1)
        if found.max() > 0:
            return found
    raise ModelError(
        "The scores depend on no layer that puts out the tokens behind the last attention, so which tokens the head "
        "reads cannot be found."
    )


def _shares(changes: Float[np.ndarray, " token"], prefix: int) -> Float[np.ndarray, " token"]:
    """The share of each token in what the head reads; the shares sum to one.

    A token that changes nothing is not read. Those that are read count alike; but where the head reads tokens in front
    of the patches beside the patches' mean (they weigh far more than one patch), each of the two sides is half.

    Args:
        changes: of the logits with each token.
        prefix: how many tokens stand in front of the patches.
    """
    read = (changes > 1e-5 * changes.max()).astype(np.float64)
    front, patches = read.copy(), read.copy()
    front[prefix:], patches[:prefix] = 0, 0
    if front.any() and patches.any():
        ratio = (changes * front).sum() / front.sum() / ((changes * patches).sum() / patches.sum())
        if ratio >= math.sqrt(patches.sum()):
            both: np.ndarray = (front / front.sum() + patches / patches.sum()) / 2
            return both
    shares: np.ndarray = read / read.sum()
    return shares
