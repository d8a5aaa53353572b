"""Keeping a judgement: as plain values, or with maps and probes as one `.npz` that opens without camscope."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from camscope.results import load, saving
from camscope.results.npz import Archive
from camscope.results.reading_saved import (
    document_in,
    is_number,
    list_in,
    reading,
    require,
    strings_in,
    whole_number,
)
from camscope.trust.findings import Findings
from camscope.trust.probed import Probed
from camscope.trust.verdict import Check, Compared, Interval, Judged, Verdict

FORMAT = 1
"""The version of the plain values, and of the file."""

_NAME = "judgement"
_ARRAYS = ("removed", "drops", "top", "kept_probability", "clean")
"""Of the probes, as fields of `Probed`; the other fields are plain values."""


def to_dict(maps: Findings, *, probes: bool = True) -> dict[str, Any]:
    """All that was found, as plain values that JSON can store; NaN and infinity are null.

    Args:
        maps: the judged maps.
        probes: whether what the model said of each altered input is part of it.
    """
    document = {
        **_document(maps),
        "images": [
            {
                "source": saving.summary(maps.explanation, image)["source"],
                "targets": list(maps.explanation.titles[image]),
            }
            for image in range(len(maps.explanation))
        ],
        "notes": list(maps.explanation.notes),
        "provenance": dict(maps.explanation.provenance),
    }
    if probes:
        for one, probed in zip(document["probes"], maps.probes.values(), strict=True):
            cells = probed.removed.reshape(len(probed.removed), -1)
            one |= {
                "removed": [np.flatnonzero(row).tolist() for row in cells],
                "drops": probed.drops.tolist(),
                "top": probed.top.tolist(),
                "kept_probability": probed.kept_probability.tolist(),
                "clean": probed.clean.tolist(),
            }
    plain: dict[str, Any] = saving.finite(document)
    return plain


def save(maps: Findings, path: str | Path) -> Path:
    """Write a judgement; see `Judgement.save`.

    Args:
        maps: the judged maps.
        path: where to write; `.npz` is added if it has no suffix.

    Raises:
        InputError: if the suffix is another than `.npz`, or there is no such folder.
    """
    path = saving.path_of(path, "a judgement")
    arrays = saving.arrays_of(maps.explanation)
    for (image, grid), probed in maps.probes.items():
        for field in _ARRAYS:
            arrays[_place(image, grid, field)] = getattr(probed, field)
    arrays[_NAME] = saving.text_of(_document(maps))
    return saving.write(path, arrays)


def fields_of_saved(path: str | Path) -> dict[str, Any]:
    """The fields of a judgement that was saved, by their names.

    Args:
        path: the file.

    Raises:
        InputError: if the file is missing or holds no judgement.
    """
    explanation = load(path)
    with reading(path, "a judgement") as file:
        require(_NAME in file, "it holds maps, but nothing that was found about them")
        document = document_in(file, _NAME, FORMAT)
        score, _ = strings_in([document["score"], document["verdict"]])
        probes = [_probed(file, one) for one in list_or_none(document["probes"])]
        rows = tuple(_row(one) for one in list_in(document["rows"], "rows"))
        for row in rows:
            require(0 <= row.image < len(explanation), f"it judges image {row.image} of {len(explanation)}")
            require((row.method, row.layer) in explanation.raw, f"it judges {row.method} at {row.layer}")
            require(row.target in explanation.titles[row.image], f"it judges a map of {row.target!r}")
        seed = whole_number(document["seed"], "seed")
        return {
            "explanation": explanation,
            "rows": rows,
            "probes": dict(probes),
            "score": score,
            "seed": seed,
        }


def list_or_none(value: Any) -> list[Any]:
    """A list, which may be empty (ValueError if it is none)."""
    require(isinstance(value, list), "its probes are no list")
    return list(value)


def _document(maps: Findings) -> dict[str, Any]:
    """What is not an array."""
    return {
        "format": FORMAT,
        "verdict": maps.verdict,
        "score": maps.score,
        "seed": maps.seed,
        "rows": [_plain_row(row, maps) for row in maps.rows],
        "probes": [
            {
                "image": image,
                "grid": list(grid),
                "count": len(probed.imputers),
                "share": probed.share,
                "changed": probed.changed,
                "imputers": list(probed.imputers),
            }
            for (image, grid), probed in maps.probes.items()
        ],
    }


def _plain_row(row: Judged, maps: Findings) -> dict[str, Any]:
    return {
        "image": row.image,
        "target": row.target,
        "method": row.method,
        "layer": row.layer,
        "verdict": str(row.verdict),
        "says": maps.sentence(row),
        "why": row.why,
        "probes": maps.probes_of(row),
        "fidelity": _plain(row.fidelity),
        "ceiling": row.ceiling,
        "of_ceiling": row.of_ceiling,
        "p": row.p,
        "chance": _plain(row.chance),
        "cells": row.cells.tolist(),
        "by_imputer": dict(row.by_imputer),
        "baselines": {
            name: {"fidelity": _plain(one.fidelity), "difference": _plain(one.difference)}
            for name, one in row.baselines.items()
        },
        "checks": [
            {"name": one.name, "number": _plain(one.number), "passed": one.passed, "says": one.says}
            for one in row.checks
        ],
        "notes": list(row.notes),
        "mistake": row.mistake,
    }


def _plain(given: Interval) -> dict[str, float]:
    return {"value": given.value, "low": given.low, "high": given.high, "level": given.level}


def _place(image: int, grid: tuple[int, ...], field: str) -> str:
    return f"probes/{image}/{'x'.join(map(str, grid))}/{field}"


# ---------------------------------------------------------------------------------------- reading


def _probed(file: Archive, one: Mapping[str, Any]) -> tuple[tuple[int, tuple[int, ...]], Probed]:
    """The probes of one image on one grid, by these."""
    image = whole_number(one["image"], "image")
    grid = tuple(whole_number(n, "grid", 1) for n in list_in(one["grid"], "grid"))
    removed, drops, top, kept, clean = (file[_place(image, grid, field)] for field in _ARRAYS)
    imputers = tuple(strings_in(one["imputers"]))
    require(removed.shape == (len(imputers), *grid), "its masks are not of the grid")
    require(removed.dtype.kind == "b", "its masks are none")
    require(
        drops.shape == (len(imputers), len(kept))
        and top.shape == (len(imputers),)
        and clean.shape == kept.shape,
        "some of its probes are missing",
    )
    changed, share = _number(one["changed"]), _number(one["share"])
    return (image, grid), Probed(removed, imputers, drops, top, changed, kept, share, clean)


def _row(one: Mapping[str, Any]) -> Judged:
    words = ("method", "layer", "target", "why", "mistake")
    method, layer, target, why, mistake = strings_in([one[name] for name in words])
    return Judged(
        image=whole_number(one["image"], "image"),
        method=method,
        layer=layer,
        target=target,
        verdict=Verdict(one["verdict"]),
        why=why,
        fidelity=_interval(one["fidelity"]),
        by_imputer={str(name): _number(value) for name, value in one["by_imputer"].items()},
        ceiling=_number(one["ceiling"]),
        p=_number(one["p"]),
        chance=_interval(one["chance"]),
        cells=_cells(one["cells"]),
        baselines={
            str(name): Compared(_interval(about["fidelity"]), _interval(about["difference"]))
            for name, about in one["baselines"].items()
        },
        checks=tuple(_check(about) for about in one["checks"]),
        notes=tuple(strings_in(one["notes"])),
        mistake=mistake,
    )


def _cells(given: Any) -> np.ndarray:
    """A map on its grid; what is not finite was written as null."""
    cells = np.array(given, np.float64)
    require(cells.ndim > 0, f"a map of it is {given!r}")
    return cells


def _check(one: Mapping[str, Any]) -> Check:
    name, says = strings_in([one["name"], one["says"]])
    require(one["passed"] in (None, True, False), f"a check has passed={one['passed']!r}")
    return Check(name, _interval(one["number"]), one["passed"], says)


def _interval(one: Mapping[str, Any]) -> Interval:
    """A number with its interval; an open end was written as null."""
    value, low, high = (_number(one[name]) for name in ("value", "low", "high"))
    if np.isfinite(value):
        low, high = (-np.inf if np.isnan(low) else low), (np.inf if np.isnan(high) else high)
    return Interval(value, low, high, _number(one["level"]))


def _number(value: Any) -> float:
    require(value is None or is_number(value), f"{value!r} is no number")
    return float("nan") if value is None else float(value)
