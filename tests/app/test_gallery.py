"""The page of a run and of a training in a real browser: rows are those of the library, and what people do does it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import camscope
from camscope.arrays import scaled
from camscope.arrays.resize import place
from camscope.render.colour import lut
from tests.app.browsing import eventually
from tests.app.conftest import Served, colours, serving

pytest.importorskip("fastapi", reason="needs the extra app")
pytest.importorskip("duckdb", reason="needs the extra runs")

KIND = "method = 'gradcam' AND target_number = 0"


def opened(browser, served: Served):
    page = browser.new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(f"{served.base}/?token={served.session.token}")
    return page


@pytest.fixture
def page(browser, served) -> Iterator[object]:
    """The page of the run."""
    found = opened(browser, served)
    found.get_by_role("button", name="a run run").click()
    found.wait_for_selector("button.tile canvas")
    yield found
    assert found.title() != "caught"
    assert found.errors == []
    found.close()


@pytest.fixture(scope="module")
def rows(run_folder):
    return camscope.runs.open(run_folder)


def names(page) -> list[str]:
    """The photos of the tiles, in their order."""
    return [
        one.split(":")[0]
        for one in page.locator("button.tile").evaluate_all("all => all.map(t => t.ariaLabel)")
    ]


def of(rows) -> list[str]:
    return [Path(source).name for source in rows.to_arrow()["source"].to_pylist()]


def canvas(page, selector: str) -> np.ndarray:
    size, values = page.locator(selector).first.evaluate(
        """canvas => [[canvas.height, canvas.width, 4],
            [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]]"""
    )
    return np.array(values).reshape(size)


def test_rows_are_sorted_filtered_and_asked_as_the_library_does(page, rows):
    assert "12 of 48 rows" in page.locator(".rows-title").inner_text()
    assert names(page) == of(rows.where(KIND))
    page.get_by_role("combobox", name="Sort").select_option("evidence at the edge")
    eventually(page, lambda: names(page) == of(rows.where(KIND).sort("ring_share", descending=True)))
    page.get_by_role("button", name="turn around").click()
    eventually(page, lambda: names(page) == of(rows.where(KIND).sort("ring_share")))
    page.get_by_role("combobox", name="Sort").select_option("least to be trusted")
    eventually(page, lambda: names(page) == of(rows.where(KIND).sort("trust")))
    assert "trust" in page.locator(".tile .words").first.inner_text()
    page.get_by_role("combobox", name="Sort").select_option("evidence at the edge")
    page.get_by_role("button", name="turn around").click()
    page.get_by_role("checkbox", name="wrong only").check()
    eventually(page, lambda: names(page) == of(rows.where(f"{KIND} AND label != top1").sort("ring_share")))
    page.get_by_role("checkbox", name="wrong only").uncheck()
    page.get_by_role("combobox", name="Sort").select_option("wrong and sure of it")
    wrong = rows.where(f"{KIND} AND label != top1").sort("top1_probability", descending=True)
    eventually(page, lambda: names(page)[: len(wrong)] == of(wrong))
    page.locator(".class-counts").get_by_role("button", name="red").click()
    eventually(page, lambda: len(names(page)) == 6)
    page.get_by_role("button", name="labelled red: take it off").click()
    sql = page.get_by_label("A condition in SQL")
    sql.fill("area > 0.5 OR top1 = 'red'")
    sql.press("Enter")
    eventually(
        page,
        lambda: sorted(names(page)) == sorted(of(rows.where(f"{KIND} AND (area > 0.5 OR top1 = 'red')"))),
    )
    page.get_by_text("The lines that make this").click()
    python, command = page.locator(".rows-foot pre").all_inner_texts()
    assert """(area > 0.5 OR top1 = 'red')")""" in python
    assert command.startswith("camscope browse 'a run' --where")


def test_a_wrong_condition_says_what_is_meant_and_the_rows_stay_askable(page):
    sql = page.get_by_label("A condition in SQL")
    sql.fill("ring_shar > 1")
    sql.press("Enter")
    assert "Did you mean 'ring_share'" in page.locator(".rows-main [role=alert]").inner_text()
    assert "none of 48 rows" in page.locator(".rows-title").inner_text()
    assert page.locator(".pending").count() == 0
    sql.fill("ring_share > 99")
    sql.press("Enter")
    page.wait_for_selector("text=No row is so.")
    page.get_by_role("button", name="without").click()
    page.wait_for_selector("button.tile")


def test_tiles_have_the_stored_maps_on_their_photos(page, rows):
    page.wait_for_selector("button.tile img")
    page.get_by_label("Opacity of the maps").fill("1")
    page.wait_for_timeout(100)
    pixels = canvas(page, "button.tile canvas")
    e = rows.explanation(0)
    geometry = e.input_images.geometry(0)
    raw = np.maximum(np.asarray(e.raw["gradcam", "pooled"])[:, :1], 0)
    scale = [
        s * old / new for s, old, new in zip(geometry.scale, geometry.photo_size, pixels.shape, strict=False)
    ]
    heat = np.asarray(
        scaled(place(raw, pixels.shape[:2], scale, geometry.offset, geometry.input_size), "map")
    )[0, 0]
    seen = np.isfinite(heat)
    levels = (np.where(seen, heat, 0) * 255 + 0.5).astype(int)
    table = lut("inferno").astype(int)
    steps = np.abs(np.diff(table, axis=0)).max() + 1
    assert 0.5 < seen.mean() < 1
    assert np.abs(pixels[..., :3][seen] - table[levels][seen]).max() <= steps
    assert page.locator("button.tile img").first.evaluate("one => one.naturalWidth") == 50


def test_keys_go_through_the_rows_and_enter_opens_the_photo_with_its_stored_maps(page, rows):
    for key in ("j", "j", "j", "k", "ArrowRight"):
        page.keyboard.press(key)
    chosen = names(page)[3]
    assert page.locator("button.tile[aria-current=true]").get_attribute("aria-label").startswith(chosen)
    page.wait_for_selector("button.tile[aria-current=true]:focus")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"h1:has-text('{chosen}')")
    assert page.locator(".pane").count() == 1
    assert "gradcam · pooled" in page.locator(".pane figcaption").inner_text()
    assert np.ptp(canvas(page, ".pane canvas")[..., 0]) > 50
    page.get_by_role("button", name="a run run").click()
    assert page.locator("button.tile[aria-current=true]").get_attribute("aria-label").startswith(chosen)


def test_mean_maps_are_those_of_the_library_and_lead_to_their_photos(page, rows):
    page.get_by_role("tab", name="Mean maps").click()
    page.wait_for_selector(".mean-list li")
    own = rows.where(KIND).mean_maps(by="label")
    assert {
        one.split("\n")[0]: one.split("\n")[-1] for one in page.locator(".mean-list li").all_inner_texts()
    } == {label: f"{mean.count} maps" for label, mean in own.items()}
    page.locator(".mean-list").get_by_role("button", name="blue").click()
    eventually(page, lambda: names(page) == of(rows.where(f"{KIND} AND label = 'blue, navy blue'")))


def test_what_is_drawn_around_is_shown(page, rows):
    page.get_by_role("tab", name="What it looked at").click()
    page.wait_for_selector(".plot canvas")
    assert "how these maps differ" in page.locator(".components").inner_text()
    page.get_by_role("combobox", name="Across").select_option("centroid_x")
    page.get_by_role("combobox", name="Upward").select_option("top1_probability")
    page.wait_for_timeout(300)
    table = rows.where(KIND).to_arrow()
    x = np.array(table["centroid_x"].to_pylist())
    low, high = x.min() - 0.04 * np.ptp(x), x.max() + 0.04 * np.ptp(x)
    middle = np.sort(x)[4:6].mean()
    box = page.locator(".plot canvas").bounding_box()
    edge = box["x"] + 46 + (middle - low) / (high - low) * (box["width"] - 46 - 12)
    top, bottom = box["y"] + 2, box["y"] + box["height"] - 2
    page.mouse.move(box["x"] + 2, top)
    page.mouse.down()
    for to in ((edge, top), (edge, bottom), (box["x"] + 2, bottom)):
        page.mouse.move(*to, steps=3)
    page.mouse.up()
    inside = [name for name, at in zip(of(rows.where(KIND)), x, strict=True) if at < middle]
    page.wait_for_selector(f"text={len(inside)} chosen")
    eventually(page, lambda: names(page) == inside[: len(names(page))] != [])
    page.get_by_role("button", name="wrong", exact=True).click()
    wrong = of(rows.where(f"{KIND} AND label != top1"))
    page.wait_for_selector(f"text={len(wrong)} chosen")
    eventually(page, lambda: names(page)[:1] == wrong[:1])
    assert names(page) == wrong[: len(names(page))]  # those in sight
    page.get_by_role("button", name="show them as photos").click()
    assert "drawn around" in page.locator(".chips").inner_text()


def test_points_are_taken_by_keys_alone(page, rows):
    page.get_by_role("tab", name="What it looked at").click()
    page.wait_for_selector(".plot canvas")
    for name, number in (("Across", "centroid_x"), ("Upward", "top1_probability")):
        page.get_by_role("combobox", name=name).select_option(number)
    page.wait_for_timeout(300)
    plot, said = page.locator(".plot"), page.locator(".plot + p")
    plot.focus()
    for key in (
        "ArrowLeft",
        *["ArrowLeft"] * 30,
        *["ArrowUp"] * 30,
        "Enter",
        *["ArrowDown"] * 30,
        *["ArrowRight"] * 12,
    ):
        page.keyboard.press(key)
    x = np.array(rows.where(KIND).to_arrow()["centroid_x"].to_pylist())
    middle = (x.max() + x.min()) / 2
    inside = [name for name, at in zip(of(rows.where(KIND)), x, strict=True) if at < middle]
    assert 0 < len(inside) < 12
    assert said.inner_text().startswith(f"{len(inside)} points in the box")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"text={len(inside)} chosen")
    eventually(page, lambda: names(page) == inside[: len(names(page))] != [])
    page.keyboard.press("Escape")
    assert "Enter for a corner" in said.inner_text()


def test_going_back_goes_back_to_the_rows_and_to_the_class(page, rows):
    page.wait_for_timeout(400)
    page.locator(".class-counts").get_by_role("button", name="red").click()
    eventually(page, lambda: len(names(page)) == 6)
    page.wait_for_timeout(400)
    chosen = names(page)[0]
    page.locator("button.tile").first.click()
    page.wait_for_selector(f"h1:has-text('{chosen}')")
    page.wait_for_timeout(400)
    page.go_back()
    page.wait_for_selector("button.tile")
    eventually(page, lambda: len(names(page)) == 6)
    page.go_back()
    eventually(page, lambda: names(page) == of(rows.where(KIND)))
    page.go_forward()
    eventually(page, lambda: len(names(page)) == 6)


def test_going_back_leads_from_a_training_to_the_run_where_there_is_no_photo(
    browser, run_folder, training_folder
):
    from camscope.app.serving import Session

    session = Session()
    for folder in (run_folder, training_folder):
        session.folders.add(folder)
    with serving(session) as alone:
        page = opened(browser, alone)
        page.wait_for_selector("button.tile")
        page.wait_for_timeout(400)
        page.get_by_role("button", name="maps training").click()
        page.wait_for_selector(".step-pane")
        page.wait_for_timeout(400)
        page.go_back()
        page.wait_for_selector("button.tile")
        words = page.locator(".tile .words").first  # nothing of the page of texts is on it
        assert words.evaluate("one => getComputedStyle(one).borderTopWidth") == "0px"
        page.close()


def test_a_link_restores_the_rows(page, browser, served):
    page.get_by_role("combobox", name="Sort").select_option("least sure")
    page.get_by_role("checkbox", name="wrong only").check()
    page.wait_for_timeout(500)
    again = opened(browser, served)
    again.goto(page.url)
    again.reload()
    again.wait_for_selector("button.tile")
    eventually(again, lambda: names(again) == names(page))
    assert again.get_by_role("checkbox", name="wrong only").is_checked()
    again.close()


def first(page) -> int:
    """The number of the first tile of made-up rows; −1 while there is none."""
    return int((names(page) or ["row--1"])[0][4:])


def test_a_million_rows_are_scrolled_through(page):
    def answer(route):
        asked = route.request.post_data_json
        row = {
            "row": 0,
            "label": "red",
            "status": "ok",
            "reason": None,
            "top1": "red",
            "top1_probability": 0.5,
        }
        row |= {"target": "red", "target_number": 0, "method": "gradcam", "layer": "pooled"}
        found = [
            {**row, "id": id, "source": f"row-{id}"}
            for id in range(asked["offset"], asked["offset"] + asked["limit"])
        ]
        route.fulfill(json={"count": 1_000_000, "complete": True, "columns": [], "rows": found})

    page.route("**/api/runs/r1/rows", answer)
    page.get_by_role("combobox", name="Sort").select_option("most sure")
    eventually(page, lambda: names(page)[:1] == ["row-0"])
    assert page.locator("button.tile").count() < 60
    page.locator(".tiles").evaluate("one => { one.scrollTop = one.scrollHeight; }")
    eventually(page, lambda: names(page)[-1:] == ["row-999999"])
    page.locator(".tiles").evaluate("one => { one.scrollTop = one.scrollHeight / 2; }")
    eventually(page, lambda: abs(first(page) - 500_000) < 2_000)
    before = first(page)
    page.locator(".tiles").hover()
    page.mouse.wheel(0, 900)  # a few rows, and not thousands
    eventually(page, lambda: 0 < first(page) - before < 100)
    page.keyboard.press("End")
    eventually(page, lambda: "row-999999" in names(page))
    page.keyboard.press("k")
    current = page.locator("button.tile[aria-current=true]")
    assert current.get_attribute("aria-label").startswith("row-999998")


@pytest.fixture(scope="module")
def growing(tmp_path_factory) -> Iterator[tuple[Served, Path, list[tuple[Path, bytes]]]]:
    """A run that is being written, whose photos are gone; the parts that are still to come."""
    from camscope.app.serving import Session

    folder = tmp_path_factory.mktemp("growing")
    photos = folder / "red"
    photos.mkdir()
    for number in range(8):
        Image.effect_noise((50, 40), 90 + number).convert("RGB").save(photos / f"{number}.png")
    out = folder / "run"
    camscope.runs.run(
        photos, model=colours(), out=out, targets="top1", shard_size=4, workers=1, progress=False
    )
    shutil.rmtree(photos)
    (out / "index.parquet").unlink()
    late = sorted((out / "shards").iterdir())[1:]
    parts = [(one, one.read_bytes()) for one in late]
    for one in late:
        one.unlink()
    session = Session()
    session.models.add("colours", colours)
    assert session.folders.add(out)
    with serving(session) as served:
        yield served, out, parts


def test_a_run_that_is_written_is_followed_and_maps_stand_without_their_photos(browser, growing):
    served, _, parts = growing
    page = opened(browser, served)  # there is no photo, so it begins with the run
    page.wait_for_selector("text=being written: 1 of 2 parts")
    eventually(page, lambda: len(names(page)) == 4)
    page.wait_for_selector("text=Their maps are shown without them.")
    page.get_by_role("combobox", name="Sort").select_option("least to be trusted")
    page.wait_for_selector("text=camscope run … --trust")  # it was not asked for
    page.get_by_role("combobox", name="Sort").select_option("as in the run")
    eventually(page, lambda: len(names(page)) == 4)
    assert np.ptp(canvas(page, "button.tile canvas")[..., 0]) > 50
    page.keyboard.press("j")
    for file, content in parts:
        file.write_bytes(content)
    eventually(page, lambda: len(names(page)) == 8)
    assert page.locator("button.tile[aria-current=true]").get_attribute("aria-label").startswith("1.png")
    assert page.locator("text=being written").count() == 0
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('1.png')")
    assert "The photo is not there any more" in page.locator(".note").first.inner_text()
    assert page.errors == []
    page.close()


def test_a_training_is_played_step_by_step(browser, served, training_folder):
    history = camscope.History.open(training_folder)
    page = opened(browser, served)
    page.get_by_role("button", name="training", exact=False).last.click()
    page.wait_for_selector(".step-pane canvas")
    assert page.locator(".step-pane").count() == 3
    page.get_by_label("Opacity of the maps").fill("1")
    slider = page.get_by_label("Step of the training")
    table = lut("inferno").astype(int)
    steps = np.abs(np.diff(table, axis=0)).max() + 1
    for at in (0, len(history) - 1):
        slider.fill(str(at))
        page.wait_for_timeout(100)
        pixels = canvas(page, ".step-pane canvas")
        heat = camscope.watching.heat.heatmaps(history.maps, history.samples, size=pixels.shape[:2])[at, 0, 0]
        drawn = table[(heat * 255 + 0.5).astype(int)]
        assert np.abs(pixels[..., :3] - drawn).max() <= steps
        said = page.locator(".step-pane").first.inner_text()
        share = 100 * history.probabilities[at, 0, 0]
        assert f"{share:.0f} %" in said
    slider.fill("0")
    page.get_by_role("combobox", name="Pace").select_option("fast")
    page.get_by_role("button", name="Play").click()
    eventually(page, lambda: slider.input_value() == str(len(history) - 1))
    page.wait_for_selector("[aria-label=Play]")
    page.keyboard.press("k")
    assert slider.input_value() == str(len(history) - 2)
    page.locator(".samples").get_by_role("button", name="square").click()
    assert page.locator(".step-pane").count() == 2
    assert page.locator(".curves polyline").count() == 2
    page.get_by_role("combobox", name="Curve").select_option("loss")
    assert page.locator(".curves polyline").count() == 1
    assert page.errors == []
    page.close()


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_axe_finds_nothing_serious(browser, served, width, dark):
    axe = pytest.importorskip("axe_core_python.sync_playwright", reason="needs axe-core-python")
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", bypass_csp=True
    )
    page = opened(context, served)
    page.get_by_role("button", name="a run run").click()
    page.wait_for_selector("button.tile")
    for tab in ("Photos", "Mean maps", "What it looked at", "training"):
        if tab == "training":
            page.get_by_role("button", name="training", exact=False).last.click()
            page.wait_for_selector(".step-pane")
        else:
            page.get_by_role("tab", name=tab).click()
            page.wait_for_timeout(300)
        found = axe.Axe().run(page)["violations"]
        serious = [
            (one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")
        ]
        assert serious == [], tab
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
