"""Figures drawn without matplotlib: the same as matplotlib draws, to the eye."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from camscope import render
from camscope.errors import InputError
from camscope.render import Panel, figure, picture
from camscope.render.colour import colours
from camscope.render.sheet import Sheet

DPI = 100
NOISE = np.random.default_rng(0)


def smooth(height: int, width: int) -> np.ndarray:
    """A photo with no edges, so that it looks the same at any place between pixels."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return np.stack([120 + 100 * x, 200 - 150 * y, 90 + 60 * x * y], -1).astype(np.uint8)


def heat(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    values = (x * (1 - y)).astype(np.float32)
    values[:, : width // 5] = np.nan
    return values


def panel(title: str = "tabby", height: int = 300, width: int = 420, **more) -> Panel:
    return Panel(smooth(height, width), heat(height, width), title, **more)


def by_matplotlib(panels, **options) -> np.ndarray:
    with Image.open(io.BytesIO(render.png(figure(panels, **options), DPI))) as drawn:
        return np.asarray(drawn.convert("RGB"))


FIGURES = {
    "a photo and two maps": (
        [
            [
                Panel(smooth(300, 420), None, "Photo"),
                panel(subtitle="39.5%"),
                panel("tiger cat", subtitle="2 %"),
            ]
        ],
        {"caption": "demo · gradcam · bn2", "title": "A figure"},
    ),
    "rows and columns": (
        [[panel(""), panel("")], [panel(""), panel("")]],
        {"row_labels": ["gradcam", "layercam"], "column_labels": ["early", "late"], "signed": True},
    ),
    "boxes and a note": ([[panel(boxes=[(30, 100, 200, 300)], note="flat: nothing to see")]], {}),
    "a tall photo": ([[panel(height=700, width=100), panel(height=90, width=700)]], {"colormap": "jet"}),
    "long texts": ([[panel("a long name of a class " * 4)]], {"caption": "word " * 60, "width": 3.5}),
}


@pytest.mark.parametrize("name", FIGURES)
def test_it_is_what_matplotlib_draws(name):
    panels, options = FIGURES[name]
    drawn, expected = np.asarray(picture(panels, dpi=DPI, **options)), by_matplotlib(panels, **options)
    assert np.abs(np.subtract(drawn.shape[:2], expected.shape[:2])).max() <= 2
    height, width = np.minimum(drawn.shape[:2], expected.shape[:2])
    # letters and edges may be a pixel apart: means over small squares are compared
    small = [
        np.asarray(Image.fromarray(one[:height, :width]).reduce(8), dtype=float) for one in (drawn, expected)
    ]
    difference = np.abs(small[0] - small[1]).max(-1)
    assert difference.mean() < 4
    assert np.quantile(difference, 0.98) < 30
    ink = [(one[:height, :width].mean(-1) < 250).mean() for one in (drawn, expected)]
    assert ink[0] == pytest.approx(ink[1], rel=0.05), "as much is drawn"


def test_a_photo_is_shown_with_its_own_pixels_where_it_is_as_large():
    """At 300 dots per inch a cell has as many pixels as this photo, so nothing is resampled."""
    height = width = round(2.6 * 100)
    photo = NOISE.integers(0, 256, (height, width, 3), dtype=np.uint8)
    sheet = np.asarray(picture([[Panel(photo, None, "")]], dpi=100))
    inside = photo[1:-1, 1:-1]  # a thin line is around it
    places = np.argwhere((sheet[:, :, None] == inside[0, 0]).all(-1).any(-1))
    found = [
        (y, x) for y, x in places if np.array_equal(sheet[y : y + height - 2, x : x + width - 2], inside)
    ]
    assert len(found) == 1


def test_the_pixels_of_a_tiny_photo_stay_squares():
    photo = NOISE.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    sheet = np.asarray(picture([[Panel(photo, None, "")]], dpi=100))
    shown = {tuple(colour) for colour in sheet[10:-10:7, 10:-10:7].reshape(-1, 3)}
    assert shown == {tuple(colour) for colour in photo.reshape(-1, 3)}


def test_a_box_is_white_between_dark_lines():
    photo = np.full((260, 260, 3), 120, np.uint8)
    sheet = np.asarray(picture([[Panel(photo, None, "", boxes=[(50, 60, 200, 190)])]], dpi=100)).astype(int)
    row = sheet[sheet.shape[0] // 2].mean(-1)
    (white,) = [np.flatnonzero(row == 255)]
    inside = white[(white > 20) & (white < 250)]
    assert len(inside) == 4  # two lines of two pixels
    for edge in (inside[0], inside[3]):
        assert min(row[edge - 2 : edge]) < 60
        assert min(row[edge + 1 : edge + 3]) < 60


def test_the_colour_bar_runs_from_its_first_colour_up():
    sheet = np.asarray(picture([[panel("")]], dpi=100, colormap="viridis"))
    table = {tuple(colour) for colour in colours(np.array([[0.0, 1.0]], np.float32), "viridis")[0]}
    low, high = colours(np.array([[0.0, 1.0]], np.float32), "viridis")[0].astype(int)
    right = sheet[:, 270:].astype(int)
    rows = [np.abs(right - colour).sum(-1).min(1).argmin() for colour in (high, low)]
    assert rows[0] < rows[1], table


def test_equal_figures_are_equal_to_the_byte():
    panels, options = FIGURES["a photo and two maps"]
    assert picture(panels, **options).tobytes() == picture(panels, **options).tobytes()


@pytest.mark.parametrize(
    "options", [{"dpi": 0}, {"panel_inches": 0.1}, {"row_labels": ["a", "b"]}, {"width": 0.2}]
)
def test_what_a_figure_refuses_a_picture_refuses(options):
    with pytest.raises(InputError):
        picture([[panel()]], **options)


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (300, 421)])
def test_a_png_written_quickly_is_the_same_picture(tmp_path, shape):
    pixels = NOISE.integers(0, 256, (*shape, 3), dtype=np.uint8)
    for suffix in (".png", ".webp"):
        render.save_picture(Image.fromarray(pixels), tmp_path / f"a{suffix}")
    with Image.open(tmp_path / "a.png") as read:
        assert (read.format, read.mode) == ("PNG", "RGB")
        assert np.array_equal(read, pixels)
    with Image.open(tmp_path / "a.webp") as read:
        assert (read.format, read.size) == ("WEBP", shape[::-1])
    Image.fromarray(pixels).save(tmp_path / "other.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    ours = {path.name for path in tmp_path.iterdir() if render.was_saved_here(path)}
    assert ours == {"a.png", "a.webp"}


def written(**how) -> np.ndarray:
    """The ink of a word on a sheet, without the white around it."""
    sheet = Sheet(3, 3, DPI)
    sheet.text(["Label"], 1.5, 1.5, 20, **how)
    ink = 255 - np.asarray(sheet.image.convert("L"))
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def test_a_label_at_the_side_reads_upwards():
    level, upright = written(), written(upright=True)
    assert level.shape[1] > 2 * level.shape[0]
    assert upright.shape == level.shape[::-1]
    turned = np.rot90(level)  # against the clock
    assert (
        np.abs(turned.astype(float) - upright).mean()
        < 15
        < np.abs(turned[::-1].astype(float) - upright).mean()
    )


def test_bold_is_bold():
    assert written(weight="bold").sum() > 1.2 * written().sum()
