"""The page in a real browser: what is drawn is what Python draws, and what people do does what it says."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import camscope
from camscope.app import View, write_report
from camscope.render.colour import lut
from tests.app.browsing import drawn, eventually, read_from_file, set_slider

HOSTILE = "<img src=x onerror=document.title='caught'>"


class Colours(nn.Module):
    """Its maps are the red and the green of a photo, less a third."""

    def __init__(self) -> None:
        super().__init__()
        self.pooled = nn.AvgPool2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.pooled(x - 0.33)[:, :2] * 8).mean((2, 3))


def explained_by(preprocessing: camscope.Preprocessing) -> camscope.Explanation:
    explainer = camscope.Explainer(
        Colours().eval(), preprocessing=preprocessing, class_names=["red", f"green {HOSTILE}"]
    )
    pixels = np.random.default_rng(0).integers(0, 256, (3, 6, 9, 3), dtype=np.uint8)
    photos = [Image.fromarray(one).resize((90, 60), Image.Resampling.BICUBIC) for one in pixels]
    return explainer(photos, methods=["gradcam", "hirescam"], targets=[0, 1], layers="pooled")


@pytest.fixture(scope="module")
def explained() -> camscope.Explanation:
    preprocessing = camscope.Preprocessing(input_size=(32, 32), resize=36, mean=(0.0,) * 3, std=(1.0,) * 3)
    return explained_by(preprocessing)


@pytest.fixture(scope="module")
def report(explained, tmp_path_factory) -> Path:
    view = View("A report", "demo")
    view.add(explained)
    for number, photo in enumerate(view.photos):
        photo["label"], photo["wrong"] = "red", number == 1
    return write_report(view, tmp_path_factory.mktemp("report") / "r.html")[0]


@pytest.fixture
def page(browser, report):
    with read_from_file(browser, report, 1400, 900) as opened:
        yield opened


@pytest.mark.parametrize(
    ("scale", "target"), [("map", 0), ("map", 1), ("photo", 1), ("signed", 0), ("all", 1)]
)
def test_maps_are_drawn_as_python_draws_them(browser, report, explained, scale, target):
    page = browser.new_page()
    state = {
        "photo": 1,
        "shown": [{"method": "hirescam", "layer": "pooled", "target": target}],
        "opacity": 1,
        "threshold": 0,
        "scale": scale,
    }
    page.goto(f"{report.as_uri()}#{quote(json.dumps(state))}")
    pixels = drawn(page)
    page.close()
    raw = explained.raw["hirescam", "pooled"].clamp(min=0)
    python = {"photo": "image", "all": (float(raw.min()), float(raw.max()))}.get(scale, scale)
    heat = explained.photo_heatmaps(1, "hirescam", scale=python)[target]
    assert 0 < np.isfinite(heat).mean() < 1
    check_drawn(pixels, heat, "cmasher:iceburn" if scale == "signed" else "inferno")


def check_drawn(pixels: np.ndarray, heat: np.ndarray, colours: str) -> None:
    """The colours are those of the heatmap, and dark where the model did not see."""
    seen = np.isfinite(heat)
    levels = (np.where(seen, heat, 0) * 255 + 0.5).astype(int)
    table = lut(colours).astype(int)
    steps = np.abs(np.diff(table, axis=0)).max() + 1
    assert np.abs(pixels[..., :3][seen] - table[levels][seen]).max() <= steps  # a level apart, by rounding
    assert (pixels[..., 3][seen] == 255).all()
    assert (pixels[..., 3][~seen] < 255).all()


def test_the_map_of_a_stretched_photo_lies_where_python_puts_it(browser, tmp_path):
    squashed = camscope.Preprocessing(
        input_size=(32, 32), resize=(32, 32), crop="squash", mean=(0.0,) * 3, std=(1.0,) * 3
    )
    explained = explained_by(squashed)
    view = View("A report", "demo")
    view.add(explained)
    (path,) = write_report(view, tmp_path / "r.html")
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(f"{path.as_uri()}#{quote(json.dumps({'opacity': 1}))}")
    heat = explained.photo_heatmaps(0, "gradcam")[0]
    assert heat.shape == (60, 90)
    assert np.isfinite(heat).all()  # all of it is seen, wide as it is
    check_drawn(drawn(page), heat, "inferno")
    box = page.locator(".picture").bounding_box()
    page.mouse.move(box["x"] + 0.99 * box["width"], box["y"] + 0.3 * box["height"])
    assert "in cell 2, 7 of 8×8" in page.locator(".reading").inner_text()
    page.close()


def test_names_are_text(page):
    assert page.get_by_role("button", name=HOSTILE).count() >= 1
    assert page.title() == "A report"


def test_a_class_is_chosen_and_another_compared(page):
    choices = page.get_by_label("What is shown")
    choices.get_by_role("button", name="green").click()
    assert page.locator(".pane").count() == 1
    choices.get_by_role("button", name="red").click(modifiers=["Shift"])
    assert page.locator(".pane").count() == 2
    assert "correlate by r =" in page.locator(".agreement").inner_text()
    a, b = (drawn(page, number) for number in (0, 1))
    page.get_by_role("button", name="difference").click()
    assert page.locator(".pane").count() == 1
    assert "less" in page.locator(".pane figcaption").inner_text()
    assert not np.array_equal(a, b)
    alpha = drawn(page)[..., 3]  # where both maps say the same, the photo is seen
    assert alpha.min() < 20
    assert alpha.max() > 140
    page.get_by_role("button", name="swipe").click()
    assert page.locator(".pane canvas").count() == 2
    choices.get_by_role("button", name="red").click()
    assert page.locator(".pane canvas").count() == 1


def test_the_threshold_hides_what_is_below_and_says_how_much_is_left(page, explained):
    set_slider(page, "Hide below", 0.5)
    page.wait_for_function("document.querySelector('.reading').textContent.includes('shown:')")
    heat = explained.photo_heatmaps(0, "gradcam")[0]
    seen = np.isfinite(heat)
    left = seen & (np.where(seen, heat, 0) >= 0.5)
    area = 100 * left.sum() / seen.sum()
    mass = 100 * heat[left].sum() / heat[seen].sum()
    assert f"{area:.0f} % of the area, {mass:.0f} % of the mass" in page.locator(".reading").inner_text()
    shown = drawn(page)[..., 3] > 0
    assert (shown & seen).sum() == pytest.approx(left.sum(), abs=0.01 * seen.sum())


def test_the_value_below_the_pointer_is_that_of_the_heatmap(page, explained):
    box = page.locator(".picture img").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.6)
    heat = explained.photo_heatmaps(0, "gradcam")[0]
    value = heat[int(0.6 * heat.shape[0]), int(0.4 * heat.shape[1])]
    words = page.locator(".reading b").inner_text()
    assert float(words) == pytest.approx(value, abs=0.03)
    assert "of 8×8" in page.locator(".reading").inner_text()
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    assert "not seen" in page.locator(".reading").inner_text()


def test_keys_go_on_and_back_and_show_the_photo(page):
    names = page.locator(".list button b").all_inner_texts()
    assert page.locator("h1").inner_text() == names[0]
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.locator("h1").inner_text() == names[2]
    page.keyboard.press("k")
    assert page.locator("h1").inner_text() == names[1]
    before = drawn(page)
    page.locator("h1").click()
    page.keyboard.down(" ")
    eventually(page, lambda: drawn(page)[..., 3].max() == 0)
    page.keyboard.up(" ")
    eventually(page, lambda: np.array_equal(drawn(page), before))


def test_the_list_is_searched_sorted_and_filtered(page):
    page.get_by_label("wrong only").check()
    assert page.locator(".list button b").all_inner_texts() == ["image 1"]
    page.get_by_label("wrong only").uncheck()
    page.get_by_label("Search by name").fill("image 2")
    assert page.locator(".list button b").all_inner_texts() == ["image 2"]
    page.get_by_label("Search by name").fill("")
    page.get_by_label("Order of the photos").select_option("unsure")
    shares = [float(t.rsplit(" ", 2)[-2]) for t in page.locator(".list small").all_inner_texts()]
    assert shares == sorted(shares)


def test_a_link_restores_what_is_shown(page, browser):
    page.keyboard.press("j")
    page.get_by_role("button", name="hirescam").click()
    set_slider(page, "Opacity", 0.9)
    page.wait_for_timeout(50)
    before = drawn(page)
    again = browser.new_page()
    again.goto(page.url)
    assert again.locator("h1").inner_text() == page.locator("h1").inner_text()
    np.testing.assert_array_equal(drawn(again), before)
    again.goto("about:blank")
    again.goto(page.url.split("#")[0] + "#%7Bbroken")  # somebody cut the link
    assert again.locator(".pane").count() == 1
    again.close()


def test_the_lines_that_make_it_name_model_method_layer_and_target(page):
    page.get_by_role("button", name="hirescam").click()
    page.get_by_text("The lines that make this").click()
    python, command = page.locator("pre").all_inner_texts()
    assert 'methods="hirescam"' in python
    assert 'camscope.Explainer("demo")' in python
    assert command == "camscope explain 'image 0' --method hirescam --layer pooled --target 0"
