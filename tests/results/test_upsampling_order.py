"""`order=`: how the cells of a map become a picture, the same in heatmaps, overlays and every figure."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import camscope
from camscope.arrays import to_numpy


@pytest.fixture(scope="module")
def explanation(shared_tiny_cnn) -> camscope.Explanation:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    prepared = camscope.Preprocessing(
        input_size=(32, 32), resize=(32, 32), crop="squash", mean=(0.5,) * 3, std=(0.25,) * 3
    )
    explainer = camscope.Explainer(shared_tiny_cnn, preprocessing=prepared)
    return explainer(Image.fromarray(pixels), methods="cam", targets=0, channels=2)


def test_order_0_shows_the_cells(explanation):
    heat = to_numpy(explanation.heatmaps(order=0))[0, 0]
    cells = heat.reshape(8, 4, 8, 4)
    assert (cells == cells[:, :1, :, :1]).all()
    assert len(np.unique(heat)) > 10


def test_the_highest_cell_is_1_at_its_centre_at_every_order(explanation):
    raw = to_numpy(explanation.maps())[0, 0]
    row, column = np.unravel_index(raw.argmax(), raw.shape)
    for order in range(6):
        for heat in (
            to_numpy(explanation.heatmaps(order=order))[0, 0],
            explanation.photo_heatmaps(order=order)[0],
        ):
            assert heat.min() >= 0
            assert heat[4 * row : 4 * row + 4, 4 * column : 4 * column + 4].max() == pytest.approx(
                1, abs=1e-5
            )


def test_linear_is_what_nobody_asked_for(explanation):
    np.testing.assert_array_equal(explanation.heatmaps(), explanation.heatmaps(order=1))
    assert explanation.overlay() == explanation.overlay(order=1)


@pytest.mark.parametrize("by", ["targets", "methods", "channels"])
def test_every_figure_takes_it(explanation, by):
    def pixels(**options):
        figure = explanation.figure(by=by, **options)
        figure.canvas.draw()
        return np.asarray(figure.canvas.buffer_rgba())

    assert (pixels() == pixels(order=1)).all()
    assert (pixels(order=0) != pixels(order=1)).any()
    assert explanation.overlay(order=0) != explanation.overlay()
    with pytest.raises(camscope.InputError, match="order=7"):
        explanation.figure(by=by, order=7)


def test_galleries_and_comparisons_take_it(explanation):
    def pixels(figure):
        figure.canvas.draw()
        return np.asarray(figure.canvas.buffer_rgba())

    assert (pixels(explanation.gallery(order=0)) != pixels(explanation.gallery())).any()
    compared = [camscope.compare(explanation, explanation, order=order) for order in (0, 1)]
    assert (pixels(compared[0]) != pixels(compared[1])).any()
