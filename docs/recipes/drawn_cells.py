"""Made-up microscope pictures of cells: what is where is known, because it was drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

STRUCTURES = (
    "nucleoplasm",
    "nuclear membrane",
    "nucleoli",
    "golgi apparatus",
    "filaments",
    "plasma membrane",
    "vesicles",
    "cytosol",
)


def write(folder: Path, count: int, *, side: int = 96, seed: int = 0) -> Path:
    """Write `jpgs/ID.jpg`, `train.csv` with columns ID and Label (`0|5`), and the structures' places, `truth/ID.npz`.

    Returns:
        the table.
    """
    rng = np.random.default_rng(seed)
    for name in ("jpgs", "truth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    lines = ["ID,Label"]
    for number in range(count):
        chosen = sorted(
            rng.choice(len(STRUCTURES), rng.integers(1, 4), replace=False).tolist()
        )
        picture, masks = draw(rng, chosen, side)
        name = f"cell-{number:05}"
        Image.fromarray(picture).save(folder / "jpgs" / f"{name}.jpg", quality=95)
        np.savez_compressed(folder / "truth" / f"{name}.npz", masks=masks)
        lines.append(f"{name},{'|'.join(map(str, chosen))}")
    table = folder / "train.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def draw(
    rng: np.random.Generator, chosen: list[int], side: int
) -> tuple[np.ndarray, np.ndarray]:
    """One cell: blue its nucleus, red its body, green the protein in the chosen structures.

    Returns:
        The picture, uint8 `side side 3`, and where each structure is, bool `structure side side`.
    """
    rows, columns = np.mgrid[:side, :side] / side
    cell, body = _ellipse(
        rng, rows, columns, centre=(0.5, 0.5), spread=0.05, radius=(0.34, 0.40)
    )
    nucleus, _ = _ellipse(
        rng, rows, columns, centre=body, spread=0.05, radius=(0.14, 0.17)
    )
    inside, in_cytosol = nucleus < 1, (cell < 0.95) & (nucleus > 1.1)
    green = np.zeros((side, side))
    masks = np.zeros((len(STRUCTURES), side, side), dtype=bool)
    for number in chosen:
        mask = {
            0: lambda: inside,
            1: lambda: np.abs(nucleus - 1) < 0.13,
            2: lambda: _dots(rng, nucleus < 0.7, 3, 0.030, rows, columns),
            3: lambda: _ribbon(rng, nucleus, in_cytosol, rows, columns),
            4: lambda: _lines(rng, in_cytosol, rows, columns),
            5: lambda: np.abs(cell - 1) < 0.05,
            6: lambda: _dots(rng, in_cytosol, 22, 0.014, rows, columns),
            7: lambda: in_cytosol,
        }[number]()
        masks[number] = mask
        green = np.maximum(
            green, mask * rng.uniform(0.35, 0.5) * (1.0 if number in (0, 7) else 2.0)
        )
    picture = np.stack([0.28 * (cell < 1), green, 0.5 * inside], axis=2)
    picture = ndimage.gaussian_filter(picture, (0.7, 0.7, 0)) * rng.uniform(0.8, 1.2)
    picture += rng.normal(0, 0.03, picture.shape)
    return np.clip(picture * 255, 0, 255).astype(np.uint8), masks


def _ellipse(rng, rows, columns, *, centre, spread, radius):
    """How far each pixel is from a centre, 1 on the outline of a wobbly ellipse; and the centre."""
    y, x = np.array(centre) + rng.uniform(-spread, spread, 2)
    angle = np.arctan2(rows - y, columns - x)
    wobble = (
        1
        + 0.08 * np.cos(2 * angle + rng.uniform(0, 6.3))
        + 0.04 * np.cos(3 * angle + rng.uniform(0, 6.3))
    )
    return np.hypot(rows - y, columns - x) / (rng.uniform(*radius) * wobble), (y, x)


def _dots(rng, where, count, radius, rows, columns):
    """Dots of one size somewhere in an area."""
    places = np.argwhere(where)
    chosen = places[rng.choice(len(places), count)] / len(rows)
    return np.any([np.hypot(rows - y, columns - x) < radius for y, x in chosen], axis=0)


def _ribbon(rng, nucleus, where, rows, columns):
    """Blobs in an arc beside the nucleus."""
    centre = np.argwhere(nucleus < 0.2).mean(0) / len(rows)
    angle = np.arctan2(rows - centre[0], columns - centre[1])
    turned = np.angle(np.exp(1j * (angle - rng.uniform(-np.pi, np.pi))))
    uneven = ndimage.gaussian_filter(rng.normal(size=rows.shape), 1.2) > -0.1
    return (np.abs(turned) < 0.8) & (nucleus > 1.15) & (nucleus < 1.5) & where & uneven


def _lines(rng, where, rows, columns):
    """Thin lines through an area."""
    drawn = np.zeros(rows.shape, dtype=bool)
    for _ in range(9):
        turn, bend = rng.uniform(0, np.pi), rng.uniform(-0.6, 0.6)
        y, x = rng.uniform(0.25, 0.75, 2)
        along = (columns - x) * np.cos(turn) + (rows - y) * np.sin(turn)
        across = (rows - y) * np.cos(turn) - (columns - x) * np.sin(turn)
        drawn |= np.abs(across - bend * along**2) < 0.007
    return drawn & where
