"""How targets' scores change with the logits: what a model's own gradients are weighted with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from camscope.arrays import to_numpy
from camscope.errors import TargetError
from camscope.outputs import Outputs
from camscope.outputs.slopes import score_slopes
from camscope.targets.scores import OutputScore
from camscope.targets.table import Targets

_STEP = 1e-4
"""Of central differences in double precision, as a share of a logit's size: their error is of its square."""


def target_slopes(targets: Targets, outputs: Outputs) -> Float[np.ndarray, "batch target class *space"]:
    """∂score/∂logit of each target, in double precision; of dense outputs by the logits at every position.

    In closed form for classes and regions. A function of the user's own is differentiated by central differences, which
    takes two calls of it for each class.

    Args:
        targets: of the batch.
        outputs: of the model, for that batch.

    Raises:
        TargetError: if a target is a function of an output that is not the logits themselves.
    """
    return np.stack([_of_column(targets, t, outputs) for t in range(len(targets))], axis=1)


def slopes_through(
    targets: Targets,
    outputs: Outputs,
    weight: Float[np.ndarray, "class channel"],
    slopes: Callable[[], Float[np.ndarray, "batch target class"]],
) -> Float[np.ndarray, "batch target channel"]:
    """The slopes by what the logits are linear in: Σ_c ∂score/∂logit_c · w_c.

    Of logits of single classes, of which there may be thousands, it is a row of the weights each.

    Args:
        targets: of the batch.
        outputs: of the model, for that batch.
        weight: of each class.
        slopes: gives the slopes by the logits, if they are needed.
    """
    found: np.ndarray
    if not targets.all_logits or outputs.predictions is not None:
        found = slopes() @ weight
        return found
    classes, signs = targets.classes, targets.signs.astype(weight.dtype)
    if (classes == classes[:1]).all() and (signs == signs[:1]).all():  # the same for every image: once
        every = len(classes[0]) == len(weight) and np.array_equal(classes[0], np.arange(len(weight)))
        rows = weight if every else weight[classes[0]]
        rows = rows if (signs[0] == 1).all() else rows * signs[0, :, None]
        return np.broadcast_to(rows, (len(classes), *rows.shape))
    found = weight[classes] * signs[..., None]
    return found


def _of_column(targets: Targets, t: int, outputs: Outputs) -> Float[np.ndarray, "batch class *space"]:
    function, signs = targets.functions[t], targets.signs[:, t].astype(np.float64)
    if isinstance(function, OutputScore):
        found = function.slopes(outputs)
        return found * signs.reshape(-1, *(1,) * (found.ndim - 1))
    if function is not None:
        return _by_differences(
            lambda raw: targets[t : t + 1].scores(Outputs(outputs.logits, outputs.task, raw)), outputs
        )
    weights = np.zeros(tuple(outputs.logits.shape))
    rows = np.arange(len(weights))
    weights[rows, targets.classes[:, t]] = 1
    against = targets.against[t]
    if against is not None:
        np.subtract.at(weights, (rows[:, None], against.classes), against.shares)
    return score_slopes(outputs, targets.of[t], weights * signs[:, None])


def _by_differences(
    scores: Callable[[np.ndarray], Float[np.ndarray, "batch 1"]], outputs: Outputs
) -> Float[np.ndarray, "batch class"]:
    """Of a function of the model's output: its logits or its probabilities, alone or among other arrays."""
    logits = to_numpy(outputs.logits).astype(np.float64)
    raw, scores = _alone(outputs.raw, scores, logits)
    given = raw.reshape(len(logits), -1) if isinstance(raw, np.ndarray) and raw.ndim <= 2 else None
    if given is not None and given.shape[1] == 1 and logits.shape[1] == 2:  # both classes of one logit
        given = np.concatenate([-given, given], axis=1) if np.array_equal(given[:, 0], logits[:, 1]) else None
        by_raw = _differences(scores, raw) if given is not None else None
        if by_raw is not None:
            return np.concatenate([np.zeros_like(by_raw), by_raw], axis=1)
    if given is not None and given.shape == logits.shape:
        if np.array_equal(given, logits):
            return _differences(scores, raw)
        likely = outputs.probabilities
        if likely is not None and np.allclose(given, to_numpy(likely), atol=1e-6):
            return score_slopes(outputs, "probability", _differences(scores, raw))
    raise TargetError(
        "A target that is a function of the model's output can be differentiated here only where it reads the logits "
        "or the probabilities of all classes, and no other of its arrays. Name a class instead (targets='tabby', "
        "targets=281)."
    )


def _alone(
    raw: Any, scores: Callable[[Any], Float[np.ndarray, "batch 1"]], logits: Float[np.ndarray, "batch class"]
) -> tuple[Any, Callable[[Any], Float[np.ndarray, "batch 1"]]]:
    """Of several arrays by name the one that holds the logits, and the function as one of it; else both as they are.

    Whole numbers stay as they are: whatever is chosen by these is so in small steps too. A function that reads another
    array of real numbers is found out by putting NaN in its place.
    """
    if not isinstance(raw, Mapping):
        return raw, scores
    own = next(
        (name for name, value in raw.items() if np.array_equal(np.squeeze(value), np.squeeze(logits))), None
    )
    if own is None:
        return raw, scores
    others = {
        name: np.full_like(value, np.nan) if value.dtype.kind == "f" else value for name, value in raw.items()
    }
    if not np.array_equal(scores({**others, own: raw[own]}), scores(raw)):
        return raw, scores
    return raw[own], lambda value: scores({**raw, own: value})


def _differences(
    scores: Callable[[np.ndarray], Float[np.ndarray, "batch 1"]], raw: np.ndarray
) -> Float[np.ndarray, "batch output"]:
    """Central differences by each output of every image at once."""
    z = raw.astype(np.float64)
    found = np.empty((len(z), z[0].size))
    for k in range(found.shape[1]):
        step = np.zeros((len(z), found.shape[1]))
        step[:, k] = _STEP * np.maximum(1, np.abs(z.reshape(step.shape)[:, k]))
        by = step.reshape(z.shape)
        higher, lower = (np.asarray(scores(moved), np.float64)[:, 0] for moved in (z + by, z - by))
        found[:, k] = (higher - lower) / (2 * step[:, k])
    return found
