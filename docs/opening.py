"""The README's picture, made: a photo and three classes, a detector's instances, a training's steps, a review's words.

    python docs/opening.py                   # runs three recipes, some minutes, and writes docs/opening.jpg

Photo: the demo's weights of ImageNet. Instances, steps and words: the networks that recipes 9, 5 and 6 train, as they
stand.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image, ImageChops

import camscope

HERE = Path(__file__).parent
WIDTH = 1400
GAP = 24


def main() -> None:
    """Make the parts, and write them one below the other."""
    with tempfile.TemporaryDirectory() as folder:
        parts = [
            (photo(), 1.0),
            (instances(Path(folder)), 1.0),
            (training(Path(folder)), 1.0),
            (review(Path(folder)), 0.62),
        ]
    sized = [scaled(part, round(share * WIDTH)) for part, share in parts]
    whole = Image.new(
        "RGB", (WIDTH, sum(part.height + GAP for part in sized) - GAP), "white"
    )
    top = 0
    for part in sized:
        whole.paste(part, (0, top))
        top += part.height + GAP
    whole.save(HERE / "opening.jpg", quality=88, optimize=True)


def photo() -> Image.Image:
    """The demo's photo with its three likeliest classes."""
    return drawn(camscope.explain("demo", "sample:cat", targets="top3").figure(width=9))


def instances(folder: Path) -> Image.Image:
    """Three boxes of a detector, two of one class, and why each."""
    recipe("09_why_this_box.py", folder / "detector")
    return Image.open(folder / "detector" / "instances.png").convert("RGB")


def training(folder: Path) -> Image.Image:
    """Two pictures at six moments of a training."""
    recipe("05_gap_network.py", folder / "network")
    (run,) = {path.parent for path in folder.rglob("run.json")}
    history = camscope.History.open(run)
    return drawn(history.figure(samples=[2, 4], steps=history.chosen_steps(7), width=9))


def review(folder: Path) -> Image.Image:
    """A sentence with words for and against."""
    recipe("06_film_reviews.py", folder / "reviews")
    return Image.open(folder / "reviews" / "mixed.png").convert("RGB")


def recipe(name: str, out: Path) -> None:
    """Run a recipe as a reader would."""
    subprocess.run(
        [sys.executable, name, "--out", str(out)], cwd=HERE / "recipes", check=True
    )


def scaled(part: Image.Image, width: int) -> Image.Image:
    """A part in its width, without the white below it."""
    low = ImageChops.difference(part, Image.new("RGB", part.size, "white")).getbbox()
    part = part.crop((0, 0, part.width, part.height if low is None else low[3]))
    return part.resize(
        (width, round(part.height * width / part.width)), Image.Resampling.LANCZOS
    )


def drawn(figure: Figure) -> Image.Image:
    """A figure as a picture."""
    stored = io.BytesIO()
    figure.savefig(stored, dpi=200)
    return Image.open(stored).convert("RGB")


if __name__ == "__main__":
    main()
