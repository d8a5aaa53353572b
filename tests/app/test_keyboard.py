"""Without a pointer: Tab reaches whatever can be clicked, wherever one is, and Enter or the space bar does it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.app.browsing import eventually
from tests.app.conftest import png
from tests.app.test_gallery import opened

pytest.importorskip("fastapi", reason="needs the extra app")
pytest.importorskip("duckdb", reason="needs the extra runs")

MARKED = """() => {
    const all = [...document.querySelectorAll("button, input, select, textarea, summary, a[href], [tabindex='0']")];
    return all.filter((one, at) => {
        one.dataset.reached = String(at);
        return one.tabIndex >= 0 && !one.disabled && one.checkVisibility({visibilityProperty: true});
    }).map((one) => [one.dataset.reached, one.outerHTML.slice(0, 120)]);
}"""


def unreached(page) -> list[str]:
    """What can be clicked and is not reached by Tab, once around the page."""
    page.evaluate("document.activeElement.blur(); window.getSelection().removeAllRanges()")
    wanted = dict(page.evaluate(MARKED))
    assert len(wanted) > 5
    seen = set()
    for _ in range(len(wanted) + 10):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.dataset.reached ?? null"))
    return [html for number, html in wanted.items() if number not in seen]


def brushing(page) -> None:
    page.wait_for_selector(".scrubber, .choices.methods .main")
    page.locator("h1").click()
    page.keyboard.press("b")
    page.wait_for_selector("section.brush")
    page.get_by_text("The lines that make this").click()


def gallery(page) -> None:
    page.get_by_role("button", name="a run run").click()
    page.wait_for_selector("button.tile canvas")


def points(page) -> None:
    gallery(page)
    page.get_by_role("tab", name="What it looked at").click()
    page.wait_for_selector(".plot canvas")


def training(page) -> None:
    page.get_by_role("button", name="training", exact=False).last.click()
    page.wait_for_selector("input[type=range]")


@pytest.mark.parametrize("go", [brushing, gallery, points, training], ids=lambda one: one.__name__)
def test_tab_reaches_all_that_can_be_clicked(browser, served, go: Callable[[object], None]):
    page = opened(browser, served)
    go(page)
    eventually(page, lambda: unreached(page) == [], seconds=5)
    assert page.errors == []
    page.close()


def test_a_class_is_compared_a_layer_changed_and_a_run_opened_by_keys(browser, served):
    page = opened(browser, served)
    page.wait_for_selector(".reading")

    def press(name: str, key: str) -> None:
        found = page.get_by_role("button", name=name).first
        found.focus()
        page.keyboard.press(key)

    press("evidence against", "Shift+Enter")
    eventually(page, lambda: page.locator(".reading").count() == 2)
    for mode, panes in (("swipe", 1), ("difference", 1), ("side by side", 2)):
        press(mode, "Enter")
        eventually(page, lambda panes=panes: page.locator(".pane").count() == panes)
    press("a run run", "Enter")
    page.wait_for_selector("button.tile canvas")
    page.keyboard.press("j")
    eventually(page, lambda: page.evaluate("document.activeElement.matches('.tile[aria-current=true]')"))
    page.keyboard.press("Enter")
    page.wait_for_selector(".reading")
    assert page.locator(".places [aria-current=page]").inner_text() == "Photos"
    page.close()


def tab_to(page, name: str) -> int:
    """Press Tab until what has the focus is called so; gives how often."""
    said = (
        "() => { const one = document.activeElement; if (one === document.body) return '';"
        " const label = one.labels?.[0]?.innerText ?? '';"
        r" return (one.ariaLabel || label || one.innerText || '').replace(/\s+/g, ' '); }"
    )
    for count in range(1, 150):
        page.keyboard.press("Tab")
        if re.search(name, page.evaluate(said)):
            return count
    raise AssertionError(f"Tab does not come to {name!r}")


def test_the_methods_are_one_stop_and_arrow_keys_go_through_them(browser, served):
    page = opened(browser, served)
    page.wait_for_selector(".choices.methods .main")
    methods = page.locator(".choices.methods .main span:first-child").all_inner_texts()
    chosen = page.locator(".choices.methods .main[aria-pressed=true] span").first.inner_text()
    tab_to(page, f"^{chosen}")
    page.keyboard.press("ArrowDown")
    following = methods[methods.index(chosen) + 1]
    assert page.evaluate("document.activeElement.innerText").startswith(following)
    page.keyboard.press("Enter")
    eventually(page, lambda: f"{following} at" in page.locator(".said").first.inner_text())
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.innerText").startswith(methods[-1])
    page.keyboard.press("Home")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.innerText").startswith(methods[0])
    assert tab_to(page, "^Opacity") < len(methods) / 2
    page.close()


def test_a_map_is_looked_at_judged_and_shared_by_keys_alone(browser, served):
    page = opened(browser, served)
    page.wait_for_selector(".reading")
    tab_to(page, "^Opacity")
    page.keyboard.press("Home")
    assert page.locator("label", has_text="Opacity").inner_text().split()[-2:] == ["0", "%"]
    tab_to(page, "^Hide below")
    for _ in range(40):
        page.keyboard.press("ArrowRight")
    page.wait_for_selector("text=/shown: .* of the area/")
    tab_to(page, "^Colours")
    page.keyboard.press("ArrowDown")
    eventually(page, lambda: page.evaluate("document.activeElement.value") == "viridis")
    tab_to(page, "judge this map")
    page.keyboard.press("Enter")
    page.wait_for_selector(".verdict")
    assert page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.tagName") == "SECTION"
    assert tab_to(page, "copy the link") == 1
    tab_to(page, "^SVG")
    with page.expect_download() as saved:
        page.keyboard.press("Enter")
    assert saved.value.suggested_filename.endswith(".svg")
    tab_to(page, "The lines that make this")
    page.keyboard.press("Enter")
    assert "camscope.Explainer(model)" in page.locator("pre").first.inner_text()
    assert page.errors == []
    page.close()


def test_photos_are_picked_by_keys(browser, served):
    page = opened(browser, served)
    page.wait_for_selector(".reading")
    tab_to(page, "^open photos")
    with page.expect_file_chooser() as picking:
        page.keyboard.press("Enter")
    picking.value.set_files({"name": "picked.png", "mimeType": "image/png", "buffer": png("blue")})
    eventually(page, lambda: page.locator("h1").inner_text() == "picked.png")
    page.close()


def test_what_is_brushed_is_brushed_by_keys(browser, served):
    page = opened(browser, served)
    page.wait_for_selector(".reading")
    tab_to(page, "^brush")
    page.keyboard.press("Enter")
    tab_to(page, "arrow keys point at")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_selector(".cursor")
    page.keyboard.press("Enter")
    page.wait_for_selector("section.brush table")
    assert "of the input is gone" in page.locator("section.brush").inner_text()
    page.keyboard.press("Control+z")
    eventually(page, lambda: "of the input is gone" not in page.locator("section.brush").inner_text())
    page.close()


def test_rows_are_sorted_and_asked_and_a_training_played_by_keys(browser, served):
    page = opened(browser, served)
    page.wait_for_selector(".reading")
    tab_to(page, "a run run")
    page.keyboard.press("Enter")
    page.wait_for_selector("button.tile canvas")
    tab_to(page, "SQL")
    page.keyboard.type("label = 'red'")
    page.keyboard.press("Enter")
    eventually(page, lambda: page.locator("button.tile").count() == 6)
    tab_to(page, "Mean maps")
    page.keyboard.press("Enter")
    page.wait_for_selector(".mean, .means")
    tab_to(page, "^maps training")
    page.keyboard.press("Enter")
    page.wait_for_selector("input[type=range]")
    tab_to(page, "^[Ss]tep")
    page.keyboard.press("End")
    page.close()
