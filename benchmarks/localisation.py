"""Do the maps point at the right thing? Mosaics of four known photos, real ImageNet weights, last layer.

    python benchmarks/localisation.py

prints, for each method, the share of the positive map's mass that lies on the photo of the class it explains. A 2×2
mosaic gives that truth without any annotation; chance is 0.25. `tests/test_localisation.py` holds the bounds.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from skimage import data

import camscope

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

PLACES = [
    (m, t, mosaic.index(photo))
    for m, mosaic in enumerate(MOSAICS)
    for t, photo in enumerate(CLASSES)
    if photo in mosaic
]
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
    """The mass of maps `… height width` in each quadrant, in reading order, as shares of the whole."""
    height, width = maps.shape[-2:]
    halves = maps.unflatten(-1, (2, width // 2)).unflatten(-3, (2, height // 2))  # … row y column x
    mass = halves.sum(dim=(-3, -1)).flatten(-2)
    return mass / mass.sum(-1, keepdim=True)


def on_the_right_photo(maps: torch.Tensor) -> np.ndarray:
    """The share of each positive map in the quadrant of its class, for every class that is in the mosaic."""
    share = quarters(maps.clamp(min=0))
    return np.array([float(share[place]) for place in PLACES])


def measure(methods: list[str]) -> dict[str, np.ndarray]:
    """Each method's shares, one for each of `PLACES`, with the demo model at its last layer."""
    e = camscope.explain("demo", mosaics(), methods=methods, targets=list(CLASSES.values()))
    return {method: on_the_right_photo(e.maps(method)) for method in e.methods}


def _square(photo: np.ndarray) -> np.ndarray:
    image = Image.fromarray(photo).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    crop = image.crop((left, top, left + side, top + side))
    return np.asarray(crop.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _as_input(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy((picture.astype(np.float32) - 127) / 128).permute(2, 0, 1)


def main() -> None:
    shares = measure([method.name for method in camscope.list_methods()])
    print(f"| method | lowest | mean | highest |  ({len(PLACES)} maps, chance 0.25)")
    for method, values in shares.items():
        print(f"| `{method}` | {values.min():.2f} | {values.mean():.2f} | {values.max():.2f} |")


if __name__ == "__main__":
    main()
