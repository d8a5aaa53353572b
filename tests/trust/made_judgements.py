"""Judgements made by hand, whose numbers are known: on the explanations of `tests.results.made`."""

from __future__ import annotations

import dataclasses

import numpy as np

from camscope.results import Explanation
from camscope.trust import Check, Compared, Interval, Judged, Judgement, Probed, Verdict
from tests.results.made import made

COUNT = 128
WHY = "The map is flat: it is the same everywhere, so it says nothing of where."


def row(verdict: Verdict = Verdict.BEATS, **facts) -> Judged:
    """One map: fidelity 0.61 of a ceiling of 0.78, centre 0.4, mean activation 0.52, chance −0.3 to 0.33."""
    nan = float("nan")
    given = {
        "image": 0,
        "method": "gradcam",
        "layer": "early",
        "target": "cat",
        "verdict": verdict,
        "why": "",
        "fidelity": Interval(0.61, 0.52, 0.69),
        "by_imputer": {"blur": 0.63, "road": 0.59},
        "ceiling": 0.78,
        "p": 0.0026,
        "chance": Interval(0.02, -0.3, 0.33),
        "cells": np.zeros((4, 6)),
        "baselines": {
            "centre": Compared(Interval(0.4, 0.28, 0.5), Interval(0.21, 0.1, np.inf)),
            "mean-activation": Compared(Interval(0.52, 0.42, 0.6), Interval(0.09, 0.01, np.inf)),
        },
        "checks": (),
        "notes": (),
    }
    if verdict is Verdict.UNJUDGED:
        given |= {"why": WHY, "fidelity": Interval(nan, nan, nan), "chance": Interval(nan, nan, nan)}
        given |= {"by_imputer": {}, "baselines": {}, "ceiling": nan, "p": nan}
    return Judged(**{**given, **facts})


def probed(e: Explanation, image: int, key: tuple[str, str]) -> tuple[tuple[int, tuple[int, ...]], Probed]:
    """Probes of one image on the grid of a map, half by each imputer."""
    grid, targets = e.raw[key].shape[2:], len(e.targets[image])
    random = np.random.default_rng(image)
    return (image, grid), Probed(
        removed=random.random((COUNT, *grid)) < 0.2,
        imputers=("blur", "road") * (COUNT // 2),
        drops=random.normal(size=(COUNT, targets)),
        top=random.integers(0, 5, COUNT),
        changed=0.25,
        kept_probability=np.full(targets, 0.7),
        share=0.2,
        clean=np.full(targets, -0.5),
    )


def judgement(*rows: Judged, e: Explanation | None = None) -> Judgement:
    """These rows, and probes of all grids of all images."""
    e = made() if e is None else e
    rows = tuple(
        dataclasses.replace(
            one,
            cells=e.raw[one.method, one.layer][one.image, e.titles[one.image].index(one.target)].astype(
                float
            ),
        )
        for one in rows
    )
    probes = dict(probed(e, image, key) for image in range(len(e)) for key in e.raw)
    return Judgement(e, rows, probes, "log-probability", 7)


CLASS = Check("class", Interval(0.25, 0.25, 0.25), None, "between the maps of a and b")
