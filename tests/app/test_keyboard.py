"""Without a pointer: Tab reaches whatever can be clicked, wherever one is, and Enter or the space bar does it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.app.browsing import eventually
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
