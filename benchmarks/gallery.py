"""All methods × six photos × three models with real weights, as the pictures of the site's pages of methods.

    python -m benchmarks.gallery                           # hours on one core; it goes on where it was stopped
    python -m benchmarks.gallery --models demo --methods gradcam finercam --again

makes a strip for each model and method, the map of each photo's top class in the model's own choice of layer, and keeps
beside the strips what was run, or why it was refused. `python -m benchmarks.methods_page` puts them into the pages.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

import camscope
from benchmarks.photos import Photo, check, photos
from benchmarks.real_models import REAL_MODELS

PICTURES = Path(__file__).parents[1] / "docs" / "methods" / "pictures"
"""Where the site finds the strips."""

MODELS = ("demo", "lite1", "dinov2")
PHOTOS = {
    "scikit-image/chelsea.png": "a cat's face",
    "scikit-image/coffee.png": "a cup of coffee",
    "scikit-image/motorcycle_left.png": "a motorcycle in a garage",
    "foolbox/imagenet_16_251.jpg": "a dalmatian from the front",
    "foolbox/imagenet_15_99.jpg": "three geese on grass",
    "foolbox/imagenet_17_22.jpg": "an eagle in flight",
}
"""What is explained, and what is seen there."""

SIDE, GAP = 112, 4
"""Of a tile, and between two, in pixels."""

QUALITY = 62
"""Of the WebP files: all of them together stay below two megabytes."""

SHOWN = 0.875
"""The share of a photo's side that the models see; the rest is not shown."""

CHEAPER = {
    "scorecam": "scorecam(top=32)",
    "scorecam-paper": "scorecam-paper(top=32)",
    "scorecam-paper-logit": "scorecam-paper-logit(top=32)",
    "gscorecam": "gscorecam(top=32)",
    "groupcam": "groupcam(groups=16)",
    "sscam": "smooth(scorecam-paper(top=16), n=4)",
    "iscam": "path(scorecam-paper(top=16), baseline=zero, n=4)",
    "smooth-fullgrad": "smooth(fullgrad, n=8, average=gradients)",
    "opticam": "opticam(steps=20)",
    "cameras": "multiscale(hirescam, sizes=[1, 2, 3], at=input)",
    "rise": "rise(n=300)",
}
"""What runs here in place of a method at its defaults, which would take hours."""

LINES = {"guided-gradcam": "around mid-grey, and scaled to its 99th percentile, as papers show it"}
"""Maps of single pixels, which a heatmap would show as a few bright dots, and how they are drawn in its place."""

PER_CHANNEL = ("pcam+", "pcam-", "pcam", "polycam+", "polycam-", "polycam")
"""A forward and more for each channel of each layer: hours for all of them."""

LAST = (*CHEAPER, *PER_CHANNEL)
"""The methods of many forwards are made after all others."""


@dataclass
class Kept:
    """What is known of the strips, by model.

    Attributes:
        ran: of each method, what was run.
        refused: of each method that the model does not offer, why.
        lines: the methods whose strips are drawn as `LINES` says.
        layer: where the maps of single layers were made.
        said: of each photo, the class that is explained and its probability.
    """

    ran: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    layer: str = ""
    said: list[tuple[str, float]] = field(default_factory=list)


def kept(folder: Path = PICTURES) -> dict[str, Kept]:
    """What lies beside the strips."""
    file = folder / "gallery.json"
    rows = json.loads(file.read_text("utf-8")) if file.exists() else {}
    return {name: Kept(**row) for name, row in rows.items()}


def strip_file(model: str, method: str) -> str:
    """Where the strip lies, seen from the folder of pictures: no sign in it that an address would have to escape."""
    return f"{model}/{method.replace('+', 'p')}.webp"


def described(model: str, method: str) -> str:
    """What a strip shows, for who does not see it."""
    return f"Maps of {method} by {REAL_MODELS[model].what}: {', '.join(PHOTOS.values())}"


def chosen() -> list[Photo]:
    """The six photos."""
    by_name = {photo.name: photo for photo in photos()}
    return [by_name[name] for name in PHOTOS]


def square(photo: Photo) -> Image.Image:
    """Its middle, as large as it is."""
    image = photo.image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def tile(picture: Image.Image) -> Image.Image:
    """What the model saw of a square picture, as large as a tile."""
    edge = round((1 - SHOWN) / 2 * picture.width) + 1
    inner = picture.crop((edge, edge, picture.width - edge, picture.height - edge))
    return inner.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def lines(raw: np.ndarray) -> Image.Image:
    """A map of single pixels as a tile: zero is mid-grey, light speaks for the class."""
    highest = float(np.quantile(np.abs(raw), 0.99))
    grey = 127.5 * (1 + (raw / max(highest, 1e-12)).clip(-1, 1))
    return Image.fromarray(grey.round().astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def strip(tiles: Sequence[Image.Image]) -> Image.Image:
    """Tiles beside each other."""
    whole = Image.new("RGB", (len(tiles) * (SIDE + GAP) - GAP, SIDE), "white")
    for place, one in enumerate(tiles):
        whole.paste(one, (place * (SIDE + GAP), 0))
    return whole


@functools.cache
def explainer_of(model: str) -> camscope.Explainer:
    """One of the three, ready."""
    return REAL_MODELS[model].explainer()


def made(model: str, method: str, some: Sequence[Photo]) -> tuple[camscope.Explanation, Image.Image]:
    """The maps of one method, and their strip."""
    e = explainer_of(model)([square(photo) for photo in some], methods=CHEAPER.get(method, method))
    if method in LINES:
        return e, strip([lines(np.asarray(raw[0])) for raw in e.maps()])
    return e, strip([tile(e.overlay(place)) for place in range(len(some))])


def main() -> None:
    """Make what is not there."""
    names = [m.name for m in camscope.list_methods()]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS, metavar="NAME")
    parser.add_argument("--methods", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--out", type=Path, default=PICTURES, metavar="FOLDER")
    parser.add_argument("--again", action="store_true", help="also what is there")
    given = parser.parse_args()
    some = chosen()
    check(some)
    strip([tile(square(photo)) for photo in some]).save(given.out / "photos.webp", quality=QUALITY, method=6)
    for late in (False, True):
        for model in given.models:
            for method in given.methods:
                if (method in LAST) == late:
                    _keep(given.out, model, method, some, again=given.again)


def _keep(folder: Path, model: str, method: str, some: Sequence[Photo], *, again: bool) -> None:
    """Make a strip, or note why there is none; what is known of it is written with it."""
    known, file = kept(folder).get(model, Kept()), folder / strip_file(model, method)
    there = method in known.ran and file.exists() and (method in known.lines or method not in LINES)
    if not again and (method in known.refused or there):
        return
    start, row = time.process_time(), Kept()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", camscope.CamscopeWarning)
            e, picture = made(model, method, some)
    except camscope.CamscopeError as error:
        row.refused[method] = str(error)
    else:
        row.ran[method] = e.methods[0]
        row.lines = [method] if method in LINES else []
        if method == "gradcam":
            row.layer = e.layers[0]
            row.said = [
                (e.targets[i][0].name, round(float(e.probability(i, 0) or 0), 3)) for i in range(len(some))
            ]
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.save(file, quality=QUALITY, method=6)
    _write(folder, model, row)
    print(f"{time.process_time() - start:7.1f} s  {model}  {method}", file=sys.stderr, flush=True)


def _write(folder: Path, model: str, new: Kept) -> None:
    """Add what is new to what lies there by now: several may be at work."""
    rows = kept(folder)
    row = rows.setdefault(model, Kept())
    for method in (*new.ran, *new.refused):
        row.ran.pop(method, None)
        row.refused.pop(method, None)
    row.lines = sorted({*row.lines, *new.lines})
    row.ran |= new.ran
    row.refused |= new.refused
    row.layer, row.said = new.layer or row.layer, new.said or row.said
    text = json.dumps({name: asdict(row) for name, row in rows.items()}, indent=1, ensure_ascii=False)
    (folder / "gallery.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
