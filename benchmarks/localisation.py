"""Do the maps point at the right thing? Mosaics of four known photos, real ImageNet weights, every method.

    python -m benchmarks.localisation             # the methods that take seconds
    python -m benchmarks.localisation --markdown  # all of them (about an hour on one core), as the site's table
    python -m benchmarks.localisation --markdown --json-file benchmarks/kept/localisation.json

prints, for each method, the share of the positive map's mass that lies on the photo of the class it explains. A 2×2
mosaic gives that truth without any annotation; chance is 0.25. `tests/test_localisation.py` holds the bounds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data

import camscope
from camscope.evidence import ATTENDED

SIDE = 224
CLASSES = {
    "cat": "Egyptian cat",
    "coffee": "espresso",
    "camera": "tripod",
    "rocket": "missile",
    "motorcycle": "moped",
}
"""What the demo model says of each photo by itself. The astronaut has no fitting class: he only distracts."""

MOSAICS = [
    ("cat", "coffee", "camera", "astronaut"),
    ("coffee", "cat", "rocket", "camera"),
    ("camera", "rocket", "cat", "coffee"),
    ("motorcycle", "camera", "coffee", "cat"),
    ("astronaut", "cat", "motorcycle", "coffee"),
    ("coffee", "camera", "rocket", "motorcycle"),
]
"""Top left, top right, bottom left, bottom right: every photo with a class stands in several places."""

FEW = (1, 5)
"""Two mosaics that hold every class, for methods that take minutes for one."""


@dataclass(frozen=True)
class Run:
    """How a method is measured.

    Attributes:
        call: methods of one name here are explained by one call, in which they share their passes.
        expression: what runs, where that is not the method itself.
        few: on the mosaics of `FEW` only.
        optimised: on the copy of the model made for inference, which gives the same map in less time.
    """

    call: str = "quick"
    expression: str = ""
    few: bool = False
    optimised: bool = False


RUNS = {
    **{name: Run(name) for name in ("guided-gradcam", "fullgrad", "smoothgradcam++")},
    "smooth-fullgrad": Run("smooth-fullgrad", few=True),
    "groupcam": Run("groupcam", optimised=True),
    "cameras": Run("cameras", few=True),
    **{name: Run(name, few=True, optimised=True) for name in ("rise", "opticam")},
    **{
        name: Run("scorecam", few=True, optimised=True)
        for name in ("scorecam", "scorecam-paper", "scorecam-paper-logit", "gscorecam")
    },
    **{
        name: Run("polycam", few=True, optimised=True)
        for name in ("pcam+", "pcam-", "pcam", "polycam+", "polycam-", "polycam")
    },
    "sscam": Run("sscam", "smooth(scorecam-paper(top=256), n=4)", few=True, optimised=True),
    "iscam": Run("iscam", "path(scorecam-paper(top=256), baseline=zero, n=4)", few=True, optimised=True),
}
"""The methods of many forwards or much memory. All others run in one call, on all mosaics."""

COMPOSITIONS = (
    "finer(layercam)",
    "finer(hirescam)",
    "rest(gradcam)",
    "balanced(gradcam)",
    "smooth(hirescam)",
    "fuse(gradcam, how=mean)",
)
"""Measured beside what has a name."""


def places(of: Sequence[int]) -> list[tuple[int, int, int]]:
    """Every class that is in one of these mosaics: the mosaic's place among them, the target, the quadrant."""
    return [
        (place, t, MOSAICS[m].index(photo))
        for place, m in enumerate(of)
        for t, photo in enumerate(CLASSES)
        if photo in MOSAICS[m]
    ]


ALL = tuple(range(len(MOSAICS)))
PLACES = places(ALL)
"""Every class that is in a mosaic: the mosaic, the target, and the quadrant its photo is in."""


def mosaics() -> torch.Tensor:
    """The mosaics as the demo model's input, normalised as it wants, none of it cropped: `mosaic 3 448 448`."""
    photos = {
        "cat": data.chelsea(),
        "coffee": data.coffee(),
        "camera": data.camera(),
        "rocket": data.rocket(),
        "motorcycle": data.stereo_motorcycle()[0],
        "astronaut": data.astronaut(),
    }
    squares = {name: _as_input(_square(photo)) for name, photo in photos.items()}

    def row(names: tuple[str, ...]) -> torch.Tensor:
        return torch.cat([squares[name] for name in names], dim=2)

    return torch.stack([torch.cat([row(mosaic[:2]), row(mosaic[2:])], dim=1) for mosaic in MOSAICS])


def quarters(maps: torch.Tensor) -> torch.Tensor:
    """The mass of maps `… height width` in each quadrant, in reading order, as shares of the whole (0 of nothing)."""
    height, width = maps.shape[-2:]
    halves = maps.unflatten(-1, (2, width // 2)).unflatten(-3, (2, height // 2))  # … row y column x
    mass = halves.sum(dim=(-3, -1)).flatten(-2)
    return mass / mass.sum(-1, keepdim=True).clamp(min=torch.finfo(mass.dtype).tiny)


def on_the_right_photo(maps: torch.Tensor, of: Sequence[int] = ALL) -> np.ndarray:
    """The share of each positive map in the quadrant of its class, for every class that is in its mosaic."""
    share = quarters(maps.clamp(min=0))
    return np.array([float(share[place]) for place in places(of)])


@dataclass(frozen=True)
class Result:
    """How one method did.

    Attributes:
        name: the method.
        ran: the expression, if it is not the name.
        class_specific: whether it knows classes at all.
        shares: of the positive mass on the right photo, map by map.
        shown: the same of the heatmap, whose lowest value is 0.
        heaviest: whether the right quadrant is the heaviest of the heatmap, map by map.
    """

    name: str
    ran: str
    class_specific: bool
    shares: np.ndarray
    shown: np.ndarray
    heaviest: np.ndarray


def measure(names: Sequence[str]) -> list[Result]:
    """Measure some methods, at the demo model's last layer (a fusion: at its stages)."""
    calls: dict[str, list[str]] = {}
    for name in names:
        calls.setdefault(RUNS.get(name, Run()).call, []).append(name)
    found: dict[str, Result] = {}
    for together in calls.values():
        runs = [RUNS.get(name, Run()) for name in together]
        expressions = [run.expression or name for name, run in zip(together, runs, strict=True)]
        of = FEW if runs[0].few else ALL
        explainer = camscope.Explainer("demo", optimised=runs[0].optimised)
        start = time.perf_counter()
        e = explainer(mosaics()[list(of)], methods=expressions, targets=list(CLASSES.values()))
        print(f"{time.perf_counter() - start:7.1f} s  {', '.join(together)}", file=sys.stderr, flush=True)
        found |= {name: _result(name, ran, e, of) for name, ran in zip(together, e.methods, strict=True)}
    return [found[name] for name in names]


def _result(name: str, ran: str, e: camscope.Explanation, of: Sequence[int]) -> Result:
    share = quarters(e.heatmaps(ran))
    return Result(
        name=name,
        ran="" if ran == name else ran,
        class_specific=e.facts[ran].class_specific,
        shares=on_the_right_photo(e.maps(ran), of),
        shown=np.array([float(share[place]) for place in places(of)]),
        heaviest=np.array([int(share[m, t].argmax()) == quadrant for m, t, quadrant in places(of)]),
    )


def _square(photo: np.ndarray) -> np.ndarray:
    image = Image.fromarray(photo).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    crop = image.crop((left, top, left + side, top + side))
    return np.asarray(crop.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _as_input(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy((picture.astype(np.float32) - 127) / 128).permute(2, 0, 1)


def applicable() -> list[str]:
    """All methods and named compositions that the demo model can give, and a few more compositions."""
    return [*(m.name for m in camscope.list_methods() if not m.needs & ATTENDED), *COMPOSITIONS]


def table(results: Sequence[Result]) -> str:
    """Markdown, best first; what knows no class, below."""
    lines = [
        "| method | mean | lowest | as shown | heaviest | maps |",
        "|---|---|---|---|---|---|",
    ]
    for r in sorted(results, key=lambda r: (not r.class_specific, -r.shares.mean())):
        name = (
            f"`{r.name}`"
            + (f" as `{r.ran}`" if r.ran else "")
            + ("" if r.class_specific else " (knows no class)")
        )
        lines.append(
            f"| {name} | {r.shares.mean():.2f} | {r.shares.min():.2f} | {r.shown.mean():.2f} | "
            f"{r.heaviest.mean():.0%} | {len(r.shares)} |"
        )
    return "\n".join(lines)


def kept(results: Sequence[Result]) -> str:
    """The same as JSON, of which `benchmarks.kept_numbers` makes what README and site say."""
    rows = [
        {
            "name": r.name,
            "ran": r.ran,
            "class_specific": r.class_specific,
            "mean": float(r.shares.mean()),
            "lowest": float(r.shares.min()),
            "shown": float(r.shown.mean()),
            "heaviest": float(r.heaviest.mean()),
            "maps": len(r.shares),
        }
        for r in results
    ]
    machine = f"torch {torch.__version__}; no number depends on the machine's speed"
    return json.dumps({"machine": machine, "rows": rows}, indent=1, ensure_ascii=False) + "\n"


LEGEND = f"""
Share of the positive map's mass on the photo of the class it explains, in 2×2 mosaics of known photos (chance 0.25),
EfficientNet-Lite0 with ImageNet's weights at its last layer, a fusion over the last layer of each resolution. *As
shown*: the same of the heatmap, whose lowest value is 0 (what stays above a floor, as RISE does, looks better there).
*Heaviest*: how often the right quadrant has most of the heatmap. *Maps*: {len(PLACES)} in {len(MOSAICS)} mosaics,
{len(places(FEW))} in {len(FEW)} of them where a method takes minutes for each."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--markdown", action="store_true", help="all methods, as the site's table")
    parser.add_argument("--json-file", type=Path, metavar="FILE", help="also keep the rows there")
    parser.add_argument("methods", nargs="*", help="only these")
    given = parser.parse_args()
    names = given.methods or applicable()
    if not (given.markdown or given.methods):
        names = [name for name in names if name not in RUNS]
    results = measure(names)
    if given.json_file:
        given.json_file.write_text(kept(results), "utf-8")
    print(table(results))
    print(LEGEND)


if __name__ == "__main__":
    main()
