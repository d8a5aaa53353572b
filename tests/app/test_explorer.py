"""The page with its engine, in a real browser: everything that people do with one photo is done as they do it."""

from __future__ import annotations

import json
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from io import BytesIO
from urllib.parse import quote

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import camscope
from tests.app.browsing import drawn, eventually, served, set_slider
from tests.libraries import look_alikes

pytest.importorskip("fastapi", reason="needs the extra app")
from camscope.app.serving import Session

HOSTILE = "<img src=x onerror=document.title='caught'>"
SLOWEST = 120_000
"""Milliseconds that a machine with much else to do may take for anything."""
COPIED = """async () => {
    const copied = [];
    navigator.clipboard.writeText = async (words) => copied.push(words);
    [...document.querySelectorAll("button")].find((one) => one.textContent === "copy the link").click();
    await new Promise((go) => setTimeout(go, 50));
    return copied[0];
}"""
PREPROCESSING = camscope.Preprocessing(input_size=(64, 64), resize=64, mean=(0.0,) * 3, std=(1.0,) * 3)


def squares(side: int, less: float = 0.0) -> nn.Conv2d:
    """The mean of red, of green and of blue over squares of that side, less a number."""
    weight = torch.eye(3)[..., None, None].expand(3, 3, side, side) / side**2
    made = nn.Conv2d(3, 3, side, side)
    made.bias.data.fill_(-less)
    made.weight.data = weight.clone()
    return made


class Colours(nn.Module):
    """Its maps are the red, the green and the blue of a photo, less a little of all three."""

    def __init__(self) -> None:
        super().__init__()
        self.pooled = squares(8, 0.33)
        self.head = nn.Linear(3, 3)
        self.head.weight.data = torch.eye(3) * 8 - 1
        self.head.bias.data.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.pooled(x).mean((2, 3)))


class Dense(nn.Module):
    """A segmenter: each position is of the colour that it has most of."""

    def __init__(self) -> None:
        super().__init__()
        self.pooled = squares(4)
        self.head = nn.Conv2d(3, 3, 1)
        self.head.weight.data = torch.eye(3)[..., None, None] * 9
        self.head.bias.data.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(self.head(self.pooled(x)), x.shape[-2:], mode="nearest")


def colours() -> camscope.Explainer:
    names = ["red", f"green {HOSTILE}", "blue"]
    return camscope.Explainer(Colours().eval(), preprocessing=PREPROCESSING, class_names=names)


def dense() -> camscope.Explainer:
    return camscope.Explainer(
        Dense().eval(), preprocessing=PREPROCESSING, class_names=["red", "green", "blue"]
    )


def broken() -> camscope.Explainer:
    raise camscope.errors.ModelError(f"No weights are called {HOSTILE}.")


def png(pixels: np.ndarray) -> bytes:
    stored = BytesIO()
    Image.fromarray(pixels).save(stored, "PNG")
    return stored.getvalue()


def street() -> bytes:
    """Red squares and a blue one on black, as the planted detector knows them."""
    pixels = np.zeros((128, 128, 3), dtype=np.uint8)
    pixels[40:50, 40:50, 0] = 255
    pixels[40:50, 70:80, 2] = 255
    pixels[90:100, 90:100, 0] = 255
    return png(pixels)


@pytest.fixture(scope="module")
def two() -> tuple[bytes, bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 6, 9, 3), dtype=np.uint8)
    large = [Image.fromarray(one).resize((90, 60), Image.Resampling.BICUBIC) for one in pixels]
    first, second = (png(np.asarray(one)) for one in large)
    return first, second


@pytest.fixture(scope="module")
def app(two) -> Iterator[str]:
    """Two photos; the demo model, one of three colours, a segmenter, a detector, and one that fails."""
    session = Session()
    session.photos.add_file("sample:cat")
    session.photos.add_bytes(two[0], f"{HOSTILE}.png", max_pixels=10**6).given = True
    for name, make in [
        ("demo", lambda: camscope.Explainer("demo")),
        ("colours", colours),
        ("dense", dense),
        ("detector", lambda: camscope.Explainer(look_alikes.planted_for_photos())),
        ("broken", broken),
    ]:
        session.models.add(name, make, spec=None if name != "demo" else "demo")
    for model in session.models:
        model.worker.begin(lambda: None).result()  # it is loaded
    with served(session) as address:
        yield address


@pytest.fixture(scope="module")
def context(browser, app) -> Iterator[object]:
    opened = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    opened.set_default_timeout(SLOWEST)
    first = opened.new_page()
    first.goto(app)  # from here on the cookie is there
    first.close()
    yield opened
    opened.close()


def open_page(context, app: str, **state: object):
    """A page that shows this state, with the errors of its script."""
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(f"{app.split('?')[0]}#{quote(json.dumps(state))}" if state else app)
    return opened, errors


@pytest.fixture
def page(context, app):
    """The second photo by the model of three colours, which answers at once."""
    opened, errors = open_page(context, app, photo=1, shown=[shown(1)])
    opened.wait_for_selector(".reading")
    yield opened
    opened.close()
    assert errors == []


def shown(model: int, method: str = "", layer: str = "", target: int | str = 0) -> dict[str, object]:
    return {"model": model, "method": method, "layer": layer, "target": target}


def choices(page):
    return page.locator("section[aria-labelledby=classes]")


# ---------------------------------------------------------------------- opening


def test_the_first_page_explains_the_first_photo_and_says_by_what(context, app):
    page, errors = open_page(context, app)
    page.wait_for_selector(".reading")
    assert "token" not in page.url
    assert page.locator("h1").inner_text() == "sample:cat"
    assert "tiger cat" in page.locator(".pane figcaption").inner_text()
    said = page.locator("section[aria-labelledby=methods]").inner_text()
    assert "gradcam at bn2" in said
    assert "the layer was chosen for you" in said
    assert "Selvaraju et al." in said
    page.close()
    assert errors == []


def test_photos_are_picked_dropped_and_pasted(page, two):
    choices(page).locator(".main").nth(2).click()
    eventually(page, lambda: page.locator(".meanwhile").count() == 0)
    page.locator("input[type=file]").first.set_input_files(
        {"name": f"picked {HOSTILE}.png", "mimeType": "image/png", "buffer": two[1]}
    )
    eventually(page, lambda: page.locator("h1").inner_text().startswith("picked"))
    page.wait_for_selector(".reading")
    first = choices(page).locator(".main span").first.inner_text()
    eventually(page, lambda: page.locator(".pane strong").inner_text() == first)  # not the class from before
    for event in ("drop", "paste"):
        page.evaluate(
            """([event, bytes]) => {
                const data = new DataTransfer();
                data.items.add(new File([new Uint8Array(bytes)], `${event}.png`, {type: "image/png"}));
                const made = event === "drop"
                    ? new DragEvent("drop", {dataTransfer: data, bubbles: true})
                    : new ClipboardEvent("paste", {clipboardData: data, bubbles: true});
                document.body.dispatchEvent(made);
            }""",
            [event, list(two[1])],
        )
        eventually(page, lambda event=event: page.locator("h1").inner_text() == f"{event}.png")
        page.wait_for_selector(".reading")
    assert page.title() == "camscope"


def test_what_is_no_photo_is_said_and_the_page_stays(page, two):
    files = [
        {"name": "notes.png", "mimeType": "image/png", "buffer": b"no picture at all"},
        {"name": "good.png", "mimeType": "image/png", "buffer": two[1]},
    ]
    page.locator("input[type=file]").first.set_input_files(files)
    eventually(page, lambda: page.locator("h1").inner_text() == "good.png")
    assert "notes.png" in page.locator(".notices").inner_text()
    page.get_by_label("put this away").click()
    assert page.locator(".notices p").count() == 0
    page.wait_for_selector(".reading")


def test_a_hundred_and_one_photos_are_too_many(page):
    files = [{"name": f"{i}.png", "mimeType": "image/png", "buffer": b""} for i in range(101)]
    page.locator("input[type=file]").first.set_input_files(files)
    eventually(page, lambda: "at most 100" in page.locator(".notices").inner_text())


def test_dropped_photos_are_in_the_list_after_a_reload_and_in_other_tabs(page, context, app, two):
    other, _ = open_page(context, app)
    page.locator("input[type=file]").first.set_input_files(
        {"name": "kept.png", "mimeType": "image/png", "buffer": two[1]}
    )
    eventually(page, lambda: page.locator("h1").inner_text() == "kept.png")
    page.reload()  # at once: the address follows a moment later
    eventually(page, lambda: page.locator(".list b", has_text="kept.png").count() == 1)
    eventually(page, lambda: page.locator("h1").inner_text() == "kept.png")
    other.evaluate("dispatchEvent(new Event('focus'))")
    eventually(other, lambda: other.locator(".list b", has_text="kept.png").count() == 1)
    other.close()


def test_many_photos_come_at_once_and_each_gets_its_own_map(page):
    """Nobody waits for one before the next: what is passed by is given up, and nothing is shown on another's photo."""
    rng = np.random.default_rng(5)
    pixels = [rng.integers(0, 256, (4, 4, 3), dtype=np.uint8).repeat(20, 0).repeat(20, 1) for _ in range(8)]
    files = [
        {"name": f"many-{number}.png", "mimeType": "image/png", "buffer": png(one)}
        for number, one in enumerate(pixels)
    ]
    page.locator("input[type=file]").first.set_input_files(files)
    eventually(page, lambda: page.locator("h1").inner_text() == "many-0.png")
    page.locator("h1").click()
    for _ in range(7):
        page.keyboard.press("j")
    for number in (7, 6, 0, 3):
        page.locator(".list button", has_text=f"many-{number}.png").click()
        eventually(
            page,
            lambda number=number: (
                page.locator("h1").inner_text() == f"many-{number}.png"
                and page.locator(".reading").count() == 1
            ),
        )
        e = colours()(Image.fromarray(pixels[number]))
        expected = np.asarray(e.raw["gradcam", "pooled"])[0, 0]
        facts = json.loads(downloaded(page, "JSON"))
        assert facts["photo"] == f"many-{number}.png"
        (one,) = facts["maps"]
        np.testing.assert_allclose(np.reshape(one["values"], one["shape"]), expected, atol=1e-4)


def test_what_was_changed_at_the_last_moment_is_there_after_a_reload(page):
    page.wait_for_timeout(300)
    set_slider(page, "Opacity", 0.35)
    page.get_by_label("evidence against blue").click()
    page.reload()
    eventually(page, lambda: page.locator(".pane strong").all_inner_texts() == ["not blue"])
    assert page.get_by_label("Opacity").input_value() == "0.35"
    page.reload()  # and once more, now from the address
    eventually(page, lambda: page.locator(".pane strong").all_inner_texts() == ["not blue"])


def test_going_back_goes_back_to_the_class_and_the_photo_before(page):
    def at() -> list[str]:
        return [page.locator("h1").inner_text(), *page.locator(".pane strong").all_inner_texts()]

    seen = [at()]
    page.wait_for_timeout(300)
    for step in (
        lambda: choices(page).get_by_role("button", name="blue").first.click(),
        lambda: page.get_by_label("evidence against blue").click(modifiers=["Shift"]),
        lambda: page.locator(".list button").first.click(),
    ):
        step()
        eventually(page, lambda: at() != seen[-1] and page.locator(".meanwhile").count() == 0)
        seen.append(at())
        page.wait_for_timeout(300)
        set_slider(page, "Opacity", 0.3 + 0.1 * len(seen))  # nobody wants to go back through these
        page.wait_for_timeout(300)
    for before in reversed(seen[:-1]):
        page.go_back()
        eventually(page, lambda before=before: at() == before)
    assert page.get_by_label("Opacity").input_value() == "0.6"
    for after in seen[1:]:
        page.go_forward()
        eventually(page, lambda after=after: at() == after)


# ---------------------------------------------------------------------- classes, methods, layers, models


def test_classes_are_chosen_compared_searched_and_turned_around(page):
    first = drawn(page)
    choices(page).get_by_role("button", name="blue").first.click()
    eventually(page, lambda: page.locator(".pane strong").inner_text() == "blue")
    page.wait_for_function("document.querySelectorAll('.meanwhile').length === 0")
    assert not np.array_equal(drawn(page), first)
    page.get_by_label("evidence against blue").click(modifiers=["Shift"])
    eventually(page, lambda: page.locator(".reading").count() == 2)
    assert page.locator(".pane strong").all_inner_texts() == ["blue", "not blue"]
    with_share, without = page.locator(".pane figcaption span").all_inner_texts()
    assert "%" in with_share
    assert "%" not in without
    page.get_by_label("compare several").check()
    choices(page).get_by_role("button", name="green").first.click()
    eventually(page, lambda: page.locator(".reading").count() == 3)
    assert page.title() == "camscope"  # a name that is HTML stays text
    page.get_by_label("take not blue").click()
    assert page.locator(".pane").count() == 2


def test_all_classes_are_searched(context, app):
    page, errors = open_page(context, app)
    page.wait_for_selector(".reading")
    search = page.get_by_label("Search among all classes")
    search.fill("zebra")
    choices(page).locator(".found").get_by_role("button", name="zebra", exact=True).click()
    eventually(page, lambda: page.locator(".pane strong").inner_text() == "zebra")
    page.wait_for_selector(".reading")
    search.fill("qzxqzx")
    eventually(page, lambda: "No class is called that." in choices(page).inner_text())
    page.close()
    assert errors == []


def test_a_method_that_is_refused_says_why_and_others_their_line_and_price(page):
    methods = page.locator("section[aria-labelledby=methods]")
    eventually(page, lambda: methods.locator(".refused").count() > 0)
    refused = methods.locator(
        ".refused", has_text="rollout"
    )  # one reason, once, of all methods that it is true of
    assert {"rollout", "chefer", "legrad"} <= set(refused.locator("b").inner_text().split(", "))
    assert refused.locator(".why").inner_text() == "refused: No attention was seen in this model's forward"
    refused.locator("summary").click()
    assert "Methods that need no attention work here" in refused.inner_text()
    page.get_by_label("Search among the methods").fill("hirescam")
    methods.locator(".methods").get_by_role("button").first.click(modifiers=["Shift"])
    eventually(page, lambda: page.locator(".reading").count() == 2)
    assert "Draelos" in methods.inner_text()
    assert "Costs 1 forward" in methods.inner_text()
    assert "correlate by r =" in page.locator(".agreement").inner_text()


def test_an_unknown_method_in_a_link_is_refused_in_the_pane(context, app):
    page, errors = open_page(context, app, photo=1, shown=[shown(1, f"gradcamm{HOSTILE}")])
    page.wait_for_selector(".meanwhile.wrong")
    assert "gradcam" in page.locator(".meanwhile").inner_text()
    choices(page)  # the page stays
    page.close()
    assert errors == []


def test_the_layers_are_scrubbed_through(context, app):
    page, errors = open_page(context, app)
    page.wait_for_selector(".scrubber")
    slider = page.locator(".scrubber input")
    for number in (3, 7, 5):  # what is passed over is given up
        slider.evaluate(
            "(s, v) => { s.value = v; s.dispatchEvent(new Event('input', {bubbles: true})) }", number
        )
    layer = slider.get_attribute("aria-valuetext").split(",")[0]
    eventually(page, lambda: layer in page.locator(".pane figcaption").inner_text())
    page.wait_for_selector(".reading")
    page.locator("h1").click()
    page.keyboard.press("]")
    eventually(page, lambda: slider.input_value() == "6")
    page.get_by_text("compare with the one before").click()
    eventually(page, lambda: page.locator(".reading").count() == 2)
    page.close()
    assert errors == []


def test_two_models_are_compared_and_one_that_failed_says_so(page):
    models = page.locator("section[aria-labelledby=models]")
    models.get_by_role("button", name="dense").click(modifiers=["Shift"])
    eventually(page, lambda: page.locator(".reading").count() == 2)
    assert "correlate" in page.locator(".agreement").inner_text()
    models.get_by_role("button", name="broken").click()
    eventually(page, lambda: models.locator(".warning").count() == 1)
    assert f"No weights are called {HOSTILE}." in models.inner_text()
    models.get_by_role("button", name="colours").click()
    page.wait_for_selector(".reading")


# ---------------------------------------------------------------------- looking


def test_a_cell_says_its_value_and_for_which_classes_it_speaks(page):
    box = page.locator(".picture").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
    reading = page.locator(".reading")
    eventually(page, lambda: "speaks for" in reading.inner_text())
    assert "in cell 4, 4 of 8×8" in reading.inner_text()
    page.mouse.move(0, 0)
    page.locator(".picture").focus()
    page.keyboard.press("ArrowLeft")  # from the middle on, without a pointer
    page.keyboard.press("ArrowLeft")
    assert "in cell 4, 3 of 8×8" in reading.inner_text()


def test_all_panes_share_one_cursor_one_zoom_and_a_divider(page):
    page.get_by_label("evidence against blue").click(modifiers=["Shift"])
    eventually(page, lambda: page.locator(".reading").count() == 2)
    box = page.locator(".picture").first.bounding_box()
    at = (box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.5)
    page.mouse.move(*at)
    assert page.locator(".cursor").count() == 2
    page.mouse.dblclick(*at)
    transforms = page.locator(".moved").evaluate_all("all => all.map(one => one.style.transform)")
    assert len(set(transforms)) == 1
    assert "scale(3)" in transforms[0]
    page.keyboard.press("0")
    page.get_by_role("button", name="swipe").click()
    box = page.locator(".picture").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.5)
    page.mouse.up()
    left = page.locator(".divider").evaluate("one => parseFloat(one.style.left)")
    assert left == pytest.approx(30, abs=0.5)


# ---------------------------------------------------------------------- asking


def brush(page, *shares: tuple[float, float]) -> None:
    """Draw with the brush through points, given as shares (across, down)."""
    box = page.locator(".picture").first.bounding_box()
    points = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in shares]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()


def test_what_is_brushed_is_hidden_and_the_scores_change(page):
    page.locator("h1").click()
    page.keyboard.press("b")
    panel = page.locator(".brush[aria-labelledby]")
    answers = []
    page.on("requestfinished", lambda one: answers.append(one) if one.url.endswith("/api/scores") else None)
    brush(page, (0.3, 0.3), (0.7, 0.6))

    def is_said() -> bool:  # the last answer; there are some of the stroke as it was drawn
        if not answers or panel.locator(".measuring").count():
            return False
        percent = answers[-1].response().json()["targets"][0]["after"]["probability"]
        return f"{100 * percent:.1f} %" in panel.inner_text()

    eventually(page, is_said)
    first = answers[-1].response().json()["removed"]
    assert "–" not in panel.locator("tbody").inner_text()  # each class is known before and after
    assert 0 < first < 1
    with page.expect_response("**/api/scores") as answer:
        page.get_by_role("button", name="keep it alone").click()
    assert answer.value.json()["removed"] == pytest.approx(1 - first, abs=0.02)
    with page.expect_response("**/api/scores") as answer:
        page.get_by_role("button", name="mean colour").click()
    assert answer.value.json()["fill"] == "mean"
    brush(page, (0.2, 0.8), (0.8, 0.8))
    page.keyboard.press("Control+z")
    page.get_by_role("button", name="redo").click()
    assert page.get_by_role("button", name="redo").is_disabled()
    page.get_by_role("button", name="clear").click()
    eventually(page, lambda: page.locator(".change").count() == 0)
    assert page.locator(".brushed").count() == 0
    with page.expect_response("**/api/scores"):
        page.get_by_role("button", name="brush what the map shows").click()  # without a pointer, too
    page.get_by_role("button", name="clear").click()
    eventually(page, lambda: page.locator(".change").count() == 0)
    page.locator(".picture").first.focus()
    page.keyboard.press("ArrowLeft")
    with page.expect_response("**/api/scores"):
        page.keyboard.press("Enter")


def test_a_map_is_judged_in_words_with_its_bar(page):
    with page.expect_request("**/api/trust"):
        page.get_by_role("button", name="judge this map").click()
    page.wait_for_selector(".verdict")
    trust = page.locator("section[aria-labelledby=trust]")
    assert "fidelity" in trust.locator(".verdict").inner_text()
    assert "this map" in trust.locator(".bounds").inner_text()
    assert "centre" in trust.locator(".bounds").inner_text()


def test_a_judgement_is_stopped(context, app):
    page, errors = open_page(context, app, photo=0, shown=[shown(0)])
    page.wait_for_selector(".reading")
    page.get_by_role("button", name="judge this map").click()
    page.wait_for_selector("progress")
    page.get_by_role("button", name="stop", exact=True).click()
    eventually(page, lambda: "nothing is left running" in page.locator("aside").inner_text())
    page.close()
    assert errors == []


def point_by_keys(page, down: float, across: float) -> None:
    """Bring the pointer by arrow keys to a point, in per cent of the picture."""
    page.keyboard.press("ArrowDown")
    for side, wanted, keys in (("top", down, ("Up", "Down")), ("left", across, ("Left", "Right"))):
        for _ in range(60):
            at = page.locator(".cursor").first.evaluate(f"one => parseFloat(one.style.{side})")
            if abs(at - wanted) > 1.5:
                page.keyboard.press(f"Shift+Arrow{keys[at < wanted]}")


def test_a_detectors_instances_are_chosen_by_name_and_by_a_drawn_box(context, app):
    page, errors = open_page(context, app, photo=0, shown=[shown(3)])
    page.wait_for_selector(".photo-head")
    page.locator("input[type=file]").first.set_input_files(
        {"name": "street.png", "mimeType": "image/png", "buffer": street()}
    )
    eventually(page, lambda: page.locator("h1").inner_text() == "street.png")
    page.wait_for_selector("section[aria-labelledby=places] .main")
    found = page.locator("section[aria-labelledby=places] .main")
    assert page.locator(".box").count() == min(found.count(), 8) > 1
    assert found.first.get_attribute("aria-pressed") == "true"
    found.nth(1).click()
    eventually(page, lambda: " at (" in page.locator(".pane strong").inner_text())
    page.get_by_role("button", name="draw a box", exact=True).first.click()
    brush(page, (0.66, 0.66), (0.83, 0.83))
    eventually(page, lambda: page.locator(".meanwhile").count() == 0)
    assert page.locator(".pane strong").inner_text().startswith("cat at (")
    by_pointer = page.locator(".pane strong").inner_text()
    found.first.click()
    eventually(page, lambda: page.locator(".pane strong").inner_text() != by_pointer)
    page.get_by_role("button", name="draw a box", exact=True).first.click()
    page.mouse.move(5, 5)
    page.locator(".picture").focus()
    point_by_keys(page, 66, 66)
    page.keyboard.press("Enter")
    point_by_keys(page, 83, 83)
    assert page.locator(".box.drawn").count() == 1
    page.keyboard.press("Escape")
    assert page.locator(".box.drawn").count() == 0
    page.get_by_role("button", name="draw a box", exact=True).first.click()
    page.locator(".picture").focus()
    for corner in (66, 83):
        point_by_keys(page, corner, corner)
        page.keyboard.press("Enter")
    eventually(page, lambda: page.locator(".pane strong").inner_text() == by_pointer)
    page.close()
    assert errors == []


def test_a_segmenters_regions_are_chosen_and_brushed(context, app):
    page, errors = open_page(context, app, photo=1, shown=[shown(2)])
    page.wait_for_selector("section[aria-labelledby=places] .main")
    page.locator("section[aria-labelledby=places] .main").first.click()
    eventually(page, lambda: page.locator(".meanwhile").count() == 0)
    assert page.locator(".pane strong").inner_text().endswith("where predicted")
    page.get_by_role("button", name="brush a region").click()
    brush(page, (0.4, 0.4), (0.6, 0.6))
    page.get_by_role("button", name="explain the brushed region").click()
    eventually(page, lambda: page.locator(".pane strong").inner_text().endswith("in the mask"))
    page.close()
    assert errors == []


# ---------------------------------------------------------------------- sharing


def test_a_link_restores_classes_brush_and_drawing(page, context, app):
    page.get_by_label("evidence against blue").click(modifiers=["Shift"])
    eventually(page, lambda: page.locator(".reading").count() == 2)
    set_slider(page, "Opacity", 0.9)
    page.locator("select").filter(has_text="viridis").select_option("viridis")
    page.keyboard.press("b")
    page.locator("h1").click()
    page.keyboard.press("b")
    brush(page, (0.3, 0.3), (0.7, 0.6))
    page.wait_for_selector(".change")
    link = page.evaluate(COPIED)
    assert "token" not in link
    again = context.new_page()
    again.goto(link)
    again.wait_for_selector(".change")
    eventually(again, lambda: again.locator(".reading").count() == 2)
    assert again.locator(".pane strong").all_inner_texts() == page.locator(".pane strong").all_inner_texts()
    for number in (0, 2):  # each pane's map; what is brushed lies between
        np.testing.assert_array_equal(drawn(again, number), drawn(page, number))
    again.close()


def downloaded(page, name: str) -> bytes:
    with page.expect_download() as found:
        page.get_by_role("button", name=name, exact=True).click()
    return found.value.path().read_bytes()


def test_what_is_shown_is_saved(page, browser, tmp_path):
    picture = Image.open(BytesIO(downloaded(page, "PNG")))
    assert picture.width > 800
    figure = ElementTree.fromstring(downloaded(page, "SVG"))
    title = page.locator(".pane strong").inner_text()
    assert title in [one.text for one in figure.iter("{http://www.w3.org/2000/svg}text")]
    with np.load(BytesIO(downloaded(page, "npz"))) as arrays:
        (name,) = arrays.files
        values = arrays[name]
    assert name.startswith("gradcam|pooled|")
    facts = json.loads(downloaded(page, "JSON"))
    np.testing.assert_array_equal(
        np.float32(facts["maps"][0]["values"]).reshape(facts["maps"][0]["shape"]), values
    )
    (tmp_path / "r.html").write_bytes(downloaded(page, "report"))
    offline = browser.new_page()
    offline.goto((tmp_path / "r.html").as_uri())
    assert offline.locator("h1").inner_text() == page.locator("h1").inner_text()
    np.testing.assert_array_equal(drawn(offline), drawn(page))
    assert offline.get_by_role("button", name="brush").count() == 0  # what needs an engine is not offered
    assert offline.title() == "Where Colours looks"
    offline.close()


def test_the_lines_that_make_it_make_it(context, app):
    page, errors = open_page(context, app, photo=0, shown=[shown(0, "layercam", "bn2", "281")])
    page.wait_for_selector(".reading")
    page.get_by_text("The lines that make this").click()
    python, command = page.locator("pre").all_inner_texts()
    assert command == "camscope explain sample:cat --method layercam --layer bn2 --target 281"
    made: dict[str, object] = {}
    exec(python, made)
    heat = made["e"].photo_heatmaps(0, "layercam")[0]
    pixels = drawn(page)
    assert heat.shape[0] / heat.shape[1] == pytest.approx(pixels.shape[0] / pixels.shape[1], rel=0.01)
    page.close()
    assert errors == []


# ---------------------------------------------------------------------- for everyone


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_people_out(browser, app, scheme):
    axe = pytest.importorskip("axe_core_python.sync_playwright", reason="needs axe-core-python")
    context = browser.new_context(
        color_scheme=scheme, bypass_csp=True, viewport={"width": 1280, "height": 900}
    )
    page = context.new_page()
    page.set_default_timeout(SLOWEST)
    page.goto(app)
    page.wait_for_selector(".scrubber")
    page.keyboard.press("b")
    page.get_by_text("The lines that make this").click()
    found = axe.Axe().run(page)["violations"]
    context.close()
    assert [
        (one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")
    ] == []


def test_all_is_in_reach_on_a_narrow_window(browser, app):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.set_default_timeout(SLOWEST)
    page.goto(app)
    page.wait_for_selector(".reading")
    wide = page.evaluate("document.documentElement.scrollWidth")
    context.close()
    assert wide <= 390


def test_a_server_that_is_gone_is_said(browser, two):
    session = Session()
    session.models.add("colours", colours)
    with served(session) as address:
        page = browser.new_page()
        page.set_default_timeout(SLOWEST)
        page.goto(address)
        page.wait_for_selector(".drop")
        assert "Drop a photo here" in page.locator("main").inner_text()
    page.locator("input[type=file]").first.set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": two[0]}
    )
    eventually(page, lambda: "Is it still running?" in page.locator(".notices").inner_text())
    page.close()


def test_a_model_that_is_being_loaded_is_waited_for(browser, two):
    go = threading.Event()

    def slow() -> camscope.Explainer:
        assert go.wait(60)
        return colours()

    session = Session()
    session.photos.add_bytes(two[0], "a.png", max_pixels=10**6).given = True
    session.models.add("slow", slow)
    with served(session) as address:
        page = browser.new_page()
        page.set_default_timeout(SLOWEST)
        page.goto(address)
        eventually(page, lambda: "slow is being loaded" in page.locator("main").inner_text())
        go.set()
        page.wait_for_selector(".reading")
        page.close()
