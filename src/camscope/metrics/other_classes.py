"""Does the map follow the class? Maps of other classes of the same input."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float

from camscope.arrays import to_numpy
from camscope.errors import InputError
from camscope.metrics.explains import Explains
from camscope.metrics.made_again import Again, again
from camscope.metrics.measured_maps import Maps
from camscope.metrics.metric import Found, metric
from camscope.metrics.similar_maps import rank_correlation
from camscope.results import Explanation
from camscope.targets import Class, PerImage, TargetsLike


@metric(
    higher_is_better=True,
    high=2.0,
    paper="camscope's own; cf. Sixt et al., ICML 2020",
    cost="that of the map of two classes",
)
def class_sensitivity(
    explainer: Explains,
    inputs: Any,
    maps: Maps,
    *,
    targets: TargetsLike = None,
    baselines: Iterable[str] = (),
) -> Found:
    """1 − the rank correlation of the raw maps of an image's top class and of its runner-up; one number an image.

    0: the same map for both, 1: unrelated maps, 2: each shows against the other. A map that knows no class has 0.

    Args:
        explainer: of the model.
        inputs: see `camscope.Explainer.__call__`.
        maps: an explanation of them: its methods and layers count, and not its targets.
        targets: see `camscope.Explainer.__call__`: those that the maps are of, where they are no single classes.
        baselines: names of baselines, such as ("centre", "mean-activation").

    Raises:
        InputError: if maps and inputs do not fit, or the model has no two classes.
    """
    make = again(explainer, inputs, maps, targets, baselines)
    scores = class_scores(make.explained)
    two = np.argsort(-scores, axis=1, kind="stable")[:, :2]
    made, _ = make.made(explainer, targets=PerImage([[Class(c) for c in row] for row in two.tolist()]))
    values = {
        name: np.array([[1 - rank_correlation(first, second)] for first, second in own])
        for name, own in made.items()
    }
    return values, make.baselines


@metric(
    higher_is_better=False,
    low=-1.0,
    paper="Sixt et al., ICML 2020, arXiv:1912.09818; there by SSIM",
    cost="that of the map",
)
def random_logit(
    explainer: Explains,
    inputs: Any,
    maps: Maps,
    *,
    targets: TargetsLike = None,
    baselines: Iterable[str] = (),
    seed: int = 0,
) -> Found:
    """The rank correlation of the raw map of a class with that of another class, drawn at random.

    Args:
        explainer: of the model.
        inputs: see `camscope.Explainer.__call__`.
        maps: an explanation of them, of classes.
        targets: not needed: the classes are those of the maps.
        baselines: names of baselines, such as ("centre", "mean-activation").
        seed: of the draw.

    Raises:
        InputError: if maps and inputs do not fit, or the maps are of no classes, or there is but one.
    """
    make = again(explainer, inputs, maps, targets, baselines)
    others = _others(make, seed)
    return make.compared(explainer, rank_correlation, targets=others), make.baselines


def _others(make: Again, seed: int) -> PerImage:
    """Another class for each target of each image."""
    count, random = class_scores(make.explained).shape[1], np.random.default_rng(seed)
    found = []
    for row in make.explained.targets:
        if any(info.index is None for info in row):
            raise InputError(
                f"{row[0].label}: that is no single class, so there is no other class to compare it with. Explain "
                "classes: targets=[281], or leave targets out."
            )
        shifts = random.integers(1, count, len(row))
        found.append(
            [
                Class((info.index + int(shift)) % count, of=info.of or "logit", sign=info.sign)
                for info, shift in zip(row, shifts, strict=True)
                if info.index is not None
            ]
        )
    return PerImage(found)


def class_scores(e: Explanation) -> Float[np.ndarray, "batch class"]:
    """The scores of all classes, of which there are two at least.

    Args:
        e: an explanation.

    Raises:
        InputError: if the model has no two classes, or is a detector.
    """
    scores = to_numpy(e.logits)
    if any(info.box is not None for row in e.targets for info in row):
        raise InputError(
            "The maps are of a detector, whose classes are seen at different places: another class has another map "
            "because it is elsewhere. It can be asked of the weights: metrics.model_randomisation."
        )
    if scores.ndim != 2 or scores.shape[1] < 2 or e.provenance.get("task") == "regression":
        raise InputError(
            "The model has no two classes, so it cannot be asked whether a map follows the class. It can be asked of "
            "its weights: metrics.model_randomisation."
        )
    return scores
