"""Figures of judgements by what is in them: the map's own pixels, bars and marks at their numbers, tidy texts."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

import camscope
from camscope import render
from camscope.errors import InputError
from camscope.render import Level, Levels, VerdictRow, verdict_figure
from camscope.render.levels import CHANCE, CHOSEN, COMPARED
from camscope.trust import Verdict
from tests.results.made import made, picture_of
from tests.trust.made_judgements import WHY, judgement, row

pytestmark = pytest.mark.filterwarnings("ignore::camscope.CamscopeWarning")


def axes_of(figure: Figure, label: str) -> Any:
    (found,) = [axes for axes in figure.axes if axes.get_label() == label]
    return found


def pictures_of(figure: Figure) -> list[np.ndarray]:
    """The pixels of every photo with its heatmap, from the top."""
    shown = [axes for axes in figure.axes if axes.images and axes.get_label() != "colorbar"]
    return [np.asarray(axes.images[0].get_array()) for axes in shown]


def texts_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def assert_tidy(figure: Figure) -> None:
    """No text leaves the figure, and none lies on another."""
    renderer = figure.canvas.get_renderer()
    width, height = figure.bbox.width, figure.bbox.height
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in figure.texts if text.get_text()]
    for words, box in boxes:
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, words  # noqa: PT018
    for i, (first, a) in enumerate(boxes):
        for second, b in boxes[i + 1 :]:
            apart = a.x1 <= b.x0 + 1 or b.x1 <= a.x0 + 1 or a.y1 <= b.y0 + 2 or b.y1 <= a.y0 + 2
            assert apart, (first, second)


def test_one_map_shows_its_own_pixels_its_bars_and_its_points():
    j = judgement(row(method="layercam", layer="late", target="not cow"))
    figure = j.figure()
    (pixels,) = pictures_of(figure)
    assert np.array_equal(pixels, picture_of(made(), "layercam", "late", 0, 2))
    bars = axes_of(figure, "bars")
    drawn = {
        round(bar.get_y() + bar.get_height() / 2): (
            bar.get_x(),
            bar.get_x() + bar.get_width(),
            bar.get_facecolor(),
        )
        for bar in bars.patches
        if bar.get_facecolor()[3] > 0
    }
    ends = [(0, 0.61), (0, 0.4), (0, 0.52), (-0.3, 0.33)]
    np.testing.assert_allclose([drawn[-i][:2] for i in range(4)], ends)
    from matplotlib.colors import to_rgba

    assert [drawn[-i][2] for i in range(4)] == [to_rgba(c) for c in (CHOSEN, COMPARED, COMPARED, CHANCE)]
    (ceiling,) = [bar for bar in bars.patches if bar.get_facecolor()[3] == 0]
    assert ceiling.get_width() == 0.78
    whiskers = [line.get_xdata() for line in bars.lines if line.get_linewidth() == 0.9]
    assert [0.52, 0.69] in [list(x) for x in whiskers]
    points = axes_of(figure, "points")
    blur, road = [line for line in points.lines if line.get_linestyle() == "None"]
    probed = j.probes[0, (2, 3)]
    cells = np.asarray(j.explanation.raw["layercam", "late"][0, 2], np.float64)
    masses = (probed.removed * cells).sum((1, 2)) / np.abs(cells).sum()
    for line, name in ((blur, "blur"), (road, "road")):
        own = np.array(probed.imputers) == name
        np.testing.assert_allclose(line.get_xdata(), masses[own], rtol=1e-6)
        assert np.array_equal(line.get_ydata(), probed.drops[own, 2])
    assert blur.get_marker() != road.get_marker()
    said = " ".join(texts_of(figure))
    assert "This map says where the evidence against cow is" in said
    assert "78 % of what a heatmap of this grid could explain" in said
    for words in (
        "Made",
        "layercam",
        "late",
        "128 probes",
        "2×3 cells",
        "seed 7",
        "ROAD, ρ = 0.59",
        "ceiling 0.78",
    ):
        assert words in said
    assert_tidy(figure)


def test_several_maps_have_a_row_each_with_marks_at_their_numbers():
    e = made(methods=("gradcam", "layercam", "eigencam"), layers=("early",))[0]
    rows = [
        row(),
        row(Verdict.CHANCE, method="layercam", fidelity=dataclasses.replace(row().fidelity, value=0.3)),
        row(Verdict.UNJUDGED, method="eigencam"),
    ]
    figure = judgement(*rows, e=e).figure()
    for pixels, method in zip(pictures_of(figure), ("gradcam", "layercam", "eigencam"), strict=True):
        assert np.array_equal(pixels, picture_of(made(layers=("early",)), method, "early", 0, 0)), method
    axes = axes_of(figure, "marks")
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in dots] == [0.61, 0.3]
    assert [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "D"] == [0.4, 0.4]
    heights = [line.get_ydata()[0] for line in dots]
    assert heights[0] > heights[1]
    said = " ".join(texts_of(figure))
    for words in (
        "1 of 3 maps says where the evidence for cat is",
        "beats all baselines",
        "cannot be judged",
    ):
        assert words in said
    assert_tidy(figure)


def test_what_cannot_be_judged_has_its_reason_in_place_of_bars():
    figure = judgement(row(Verdict.UNJUDGED)).figure()
    assert not [axes for axes in figure.axes if axes.get_label() in ("bars", "points")]
    assert WHY.split(":")[0] in " ".join(texts_of(figure))
    assert len(pictures_of(figure)) == 1
    assert_tidy(figure)


def test_some_of_the_maps_are_chosen_by_image_target_method_and_layer():
    j = judgement(*(row(method=m, layer=at, target=t) for m in ("gradcam", "eigencam") for at in ("early", "late")
                    for t in ("cat", "dog")), row(image=1, target="hen"))  # fmt: skip
    assert len(pictures_of(j.figure())) == 8
    assert len(pictures_of(j.figure(target=1))) == 4
    assert len(pictures_of(j.figure(target=1, method="eigencam"))) == 2
    (pixels,) = pictures_of(j.figure(target=1, method="eigencam", layer="late"))
    assert np.array_equal(pixels, picture_of(made(), "eigencam", "late", 0, 1))
    (pixels,) = pictures_of(j.figure(1))
    assert np.array_equal(pixels, picture_of(made(), "gradcam", "early", 1, 1))
    with pytest.raises(InputError, match="3 targets were explained"):
        j.figure(target=5)
    with pytest.raises(InputError, match="was not explained"):
        j.figure(method="scorecam")
    with pytest.raises(IndexError, match="There is no image 2"):
        j.figure(2)
    with pytest.raises(InputError, match="Did you mean 'colormap'"):
        j.figure(colourmap="jet")
    with pytest.raises(InputError, match="5 inches and wider"):
        j.figure(width=2)


LONG = "a very long name of a class, as ImageNet has them, with synonyms, and $ signs_in_it"


@pytest.mark.parametrize("count", [1, 3, 10])
@pytest.mark.parametrize("shape", [(300, 300), (120, 600), (600, 120)])
@pytest.mark.parametrize("width", [5.0, 7.0])
def test_long_names_and_photos_of_any_shape_leave_no_text_on_another(count, shape, width):
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8))
    heat = np.random.default_rng(1).random(shape)
    level = Level("this map", 0.61, 0.5, 0.7)
    levels = Levels(level, (Level("centre", -0.4, -0.5, -0.3), Level("mean activation", 0.5, 0.4, 0.6)),
                    Level("chance", 0.0, -0.7, 0.3), 0.8)  # fmt: skip
    x = np.linspace(-0.1, 1.3, 64)
    rows = [
        VerdictRow(render.Panel(photo, heat, ""), "fuse(smooth(layercam, n=16), product)", f"{LONG} · features.28.conv",
                   "no better than mean activation", "78 % of its ceiling · p = 0.0026", levels,
                   (render.Cloud("blur, ρ = −0.63", x, 1000 * x), render.Cloud("ROAD, ρ = 0.58", x, -x)))
    ] * count  # fmt: skip
    figure = verdict_figure(
        rows, title=f"This map says where the evidence for {LONG} is", caption=f"{LONG} · {LONG}", width=width,
        level_label="fidelity (rank correlation)", x_label="evidence removed (share of the map)",
        y_label=f"loss of {LONG}",
    )  # fmt: skip
    assert figure.get_figwidth() == width
    assert_tidy(figure)


class Beat(nn.Module):
    """A network of signals."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.c, self.r, self.h = nn.Conv1d(2, 6, 9, stride=8, padding=4), nn.ReLU(), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.h(self.r(self.c(x)).mean(-1))


@pytest.mark.parametrize("methods", [["gradcam"], ["gradcam", "eigencam", "layercam"]])
def test_signals_stand_on_the_colours_of_their_evidence(methods):
    x = torch.randn(1, 2, 256, generator=torch.Generator().manual_seed(0))
    j = camscope.Explainer(Beat().eval()).trust(x, methods=methods, probes=32)
    figure = j.figure()
    lines = [axes for axes in figure.axes if len(axes.lines) == 2 and len(axes.lines[0].get_xdata()) == 256]
    assert len(lines) == len(methods)
    assert_tidy(figure)


def test_what_is_no_picture_has_its_bars_alone():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv3d(2, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    j = camscope.Explainer(model.eval()).trust(torch.randn(1, 2, 6, 8, 8), probes=32)
    figure = j.figure()
    assert not pictures_of(figure)
    axes_of(figure, "bars")
    assert_tidy(figure)


def test_a_notebook_shows_the_sentence_the_figure_and_the_table():
    j = judgement(row(target="cat"))
    html = j._repr_html_()
    assert j.verdict in html
    assert "data:image/png;base64," in html
    assert "beats all baselines" in html
    escaped = judgement(row(Verdict.UNJUDGED, why="<script>"))._repr_html_()
    assert "<script>" not in escaped
