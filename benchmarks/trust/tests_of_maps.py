"""What is measured of maps: each test with its methods, its numbers, and how many photos it is run on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

import camscope
from benchmarks.trust.in_mosaics import share_in_mosaic
from camscope import metrics
from camscope.arrays import to_numpy

BASELINES = ("centre", "mean-activation", "random")
"""What knows nothing of the class; every one of them is judged like a method too."""

ONE_PASS = (
    "gradcam",
    "hirescam",
    "xgradcam",
    "layercam",
    "gradcam++",
    "gradcam++-official",
    "gradcam-elementwise",
    "shapley",
    "shapleycam",
    "finercam",
    "ablationcam",
    "liftcam",
    "reciprocam",
    "reciprocam-gaussian",
    "vit-reciprocam",
    "eigengradcam",
    "eigencam",
    "kpcacam",
    "fem",
)
"""What a pass or a few give, at the layer that camscope chooses."""

CONVOLUTIONAL = (*ONE_PASS, "integrated-gradcam", "augmented-gradcam")

TRANSFORMER = (
    "gradcam",
    "hirescam",
    "layercam",
    "gradcam++",
    "finercam",
    "vit-reciprocam",
    "eigencam",
    "fem",
    "rollout",
    "attention",
    "chefer",
    "legrad",
    "grad-eclip",
)

FINER = ("gradcam", "layercam-fused", "refinecam", "zoomcam", "fullgrad", "guided-gradcam")
"""Maps of finer grids, whose 14 × 14 cells take 256 probes of their own; and one of the usual grid beside them."""

SLOW = ("gradcam", "smoothgradcam++", "groupcam", "opticam", "gscorecam", "scorecam(top=64)", "rise(n=500)")
"""Methods of many forwards, some of them made short; and one of one pass beside them."""

FEW = ("gradcam", "layercam", "gradcam++", "finercam", "ablationcam", "vit-reciprocam", "eigencam", "fem")
"""Methods for tests that alter each input some dozen times for every single map."""

CHECKED = (*FEW, "guided-gradcam")
"""Methods that are made again some twenty times: of other weights, of other classes, of nearly the same photo."""

Numbers = Mapping[str, Mapping[str, float | str | None]]
Measure = Callable[
    [camscope.Explainer, Image.Image, Sequence[str]], tuple[camscope.Explanation, Numbers, dict[str, float]]
]


@dataclass(frozen=True)
class Test:
    """One sitting: several numbers of the same maps of one photo.

    Attributes:
        name: of the sitting.
        measure: makes the numbers.
        methods: by the name of the model; of any other model those under "".
        photos: on how many, at most.
    """

    __test__ = False  # pytest's own are named so

    name: str
    measure: Measure
    methods: Mapping[str, Sequence[str]]
    photos: int

    def methods_of(self, model: str) -> tuple[str, ...]:
        """Those that are measured, the baselines last; none where the test is not for this model."""
        own = self.methods.get(model, self.methods[""])
        return (*own, *BASELINES) if own else ()


def _trusted(
    explainer: camscope.Explainer, image: Image.Image, methods: Sequence[str]
) -> tuple[camscope.Explanation, Numbers, dict[str, float]]:
    """The verdict on each map, and what it is made of."""
    judgement = explainer.trust(image, methods=list(methods), checks="fidelity")
    values: dict[str, dict[str, float | str | None]] = {}
    for name, row in zip(_names(judgement.explanation, methods), judgement.rows, strict=True):
        values[name] = {
            "fidelity": _short(row.fidelity.value),
            "ceiling": _short(row.ceiling),
            "p": _short(row.p),
            **{f"over {other}": _short(one.difference.low) for other, one in row.baselines.items()},
            "verdict": row.verdict.name,
        }
    facts = {
        f"{what} {'×'.join(map(str, grid))}": _short(number) or 0.0
        for (_, grid), probed in judgement.probes.items()
        for what, number in (("changed", probed.changed), ("removed", probed.share))
    }
    return judgement.explanation, values, facts


def _seen(
    explainer: camscope.Explainer, image: Image.Image, methods: Sequence[str]
) -> tuple[camscope.Explanation, Numbers, dict[str, float]]:
    """Confidence in what the map shows, SRG, and what the map is like."""
    e, maps, same = _distinct(explainer, image, methods)
    measured = [
        metrics.srg(explainer, image, maps),
        metrics.average_drop(explainer, image, maps),
        metrics.average_gain(explainer, image, maps),
        metrics.average_increase(explainer, image, maps),
        metrics.complexity(maps),
        metrics.gini(maps),
    ]
    return e, _all(measured, same), {}


def _curves(
    explainer: camscope.Explainer, image: Image.Image, methods: Sequence[str]
) -> tuple[camscope.Explanation, Numbers, dict[str, float]]:
    """What is left of the probability while pixels go or come; insertion and deletion in 32 steps."""
    e, maps, same = _distinct(explainer, image, methods)
    measured = [
        metrics.insertion(explainer, image, maps, steps=32),
        metrics.deletion(explainer, image, maps, steps=32),
        metrics.road(explainer, image, maps),
    ]
    return e, _all(measured, same), {}


def _checked(
    explainer: camscope.Explainer, image: Image.Image, methods: Sequence[str]
) -> tuple[camscope.Explanation, Numbers, dict[str, float]]:
    """Whether a map follows the class and the weights, and stays where the photo hardly changes."""
    judgement = explainer.trust(
        image, methods=list(methods), checks=("class", "weights", "stability"), progress=False
    )
    values: dict[str, dict[str, float | str | None]] = {}
    for name, row in zip(_names(judgement.explanation, methods), judgement.rows, strict=True):
        found = {check.name: check for check in row.checks}
        passed = found["weights"].passed
        values[name] = {
            "other_class": _short(found["class"].number.value),
            "other_weights": _short(found["weights"].number.value),
            "follows_weights": None if passed is None else float(passed),
            "stability": _short(found["stability"].number.value),
        }
    return judgement.explanation, values, {}


def _in_mosaic(
    explainer: camscope.Explainer, image: Image.Image, methods: Sequence[str]
) -> tuple[camscope.Explanation, Numbers, dict[str, float]]:
    """How much of the map is on the photo, in a mosaic of it and three others."""
    e, shares = share_in_mosaic(explainer, image, methods)
    return e, {name: {"in_mosaic": _short(share)} for name, share in shares.items()}, {}


TESTS = (
    Test("verdict", _trusted, {"": CONVOLUTIONAL, "dinov2": TRANSFORMER}, photos=1000),
    Test("seen", _seen, {"": CONVOLUTIONAL, "dinov2": TRANSFORMER}, photos=60),
    Test("verdict, finer", _trusted, {"": FINER, "dinov2": ()}, photos=40),
    Test("curves", _curves, {"": FEW, "dinov2": TRANSFORMER}, photos=12),
    Test("mosaics", _in_mosaic, {"": CONVOLUTIONAL, "dinov2": TRANSFORMER}, photos=60),
    Test("checks", _checked, {"": CHECKED, "dinov2": TRANSFORMER}, photos=20),
    Test("verdict, slow", _trusted, {"": SLOW, "dinov2": ()}, photos=12),
)
"""In the order of what is asked first."""


# ---------------------------------------------------------------------- helpers


def _names(e: camscope.Explanation, methods: Sequence[str]) -> list[str]:
    """The methods as they were asked for, in the order of the explanation's."""
    assert len(e.methods) == len(methods), (e.methods, methods)
    return list(methods)


def _distinct(
    explainer: camscope.Explainer, image: Image.Image, methods: Sequence[str]
) -> tuple[camscope.Explanation, dict[str, Any], dict[str, str]]:
    """The explanation, its maps without those that are a positive multiple of another, and whose each method's is."""
    e = explainer(image, methods=list(methods))
    maps: dict[str, Any] = {}
    same: dict[str, str] = {}
    for name, raw in zip(_names(e, methods), e.raw.values(), strict=True):
        one = np.asarray(to_numpy(raw), np.float64)
        scaled = one / max(np.abs(one).max(), np.finfo(float).tiny)
        twin = next(
            (k for k, m in maps.items() if m.shape == one.shape and np.allclose(m, scaled, atol=1e-5)), name
        )
        maps.setdefault(twin, scaled)
        same[name] = twin
    return e, maps, same


def _all(measured: Sequence[metrics.Measured], same: Mapping[str, str]) -> Numbers:
    return {
        name: {m.metric.name: _short(float(m[twin].squeeze())) for m in measured}
        for name, twin in same.items()
    }


def _short(number: float) -> float | None:
    """Four digits behind the point; None of what cannot be judged."""
    return round(float(number), 4) if np.isfinite(number) else None
