"""How fast the page is in Chromium, on this machine: medians of `--times` tries, in milliseconds.

    python -m benchmarks.page_speed                   # slider, start, bundle
    python -m benchmarks.page_speed --rows 1000000    # and pages of a run of so many rows, which is made first
    python -m benchmarks.page_speed --run FOLDER      # the same of a run that is there

A slider is timed from its event to the last of 12 canvases of 512 px that is painted; a page of rows from a jump of the
scroll bar to the last tile in sight that is there.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from playwright.sync_api import sync_playwright

import camscope
from benchmarks.app_speed import many_rows, serving
from camscope.app import View, write_report
from camscope.app.serving import Session

PANES, SIDE = 12, 512

SLIDER = """async (times) => {
  const slider = document.querySelector('input[type=range][aria-label="Opacity"], label.row input[type=range]');
  const put = CanvasRenderingContext2D.prototype.putImageData;
  let last = 0;
  CanvasRenderingContext2D.prototype.putImageData = function (...given) {
    put.apply(this, given);
    last = performance.now();
  };
  const taken = [];
  for (let i = 0; i < times; i++) {
    const began = performance.now();
    slider.value = i % 2 ? 0.4 : 0.7;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await new Promise((go) => setTimeout(go, 150));
    taken.push(last - began);
  }
  return taken;
}"""

STARTED = """
const page = new MutationObserver(() => {
  if (window.started || !document.querySelector("#page button, #page input")) return;
  window.started = performance.now();
});
page.observe(document, { childList: true, subtree: true });
"""

JUMP = """async ([share]) => {
  const tiles = document.querySelector(".tiles");
  const began = performance.now();
  tiles.scrollTop = share * tiles.scrollHeight;
  const frame = () => new Promise((go) => requestAnimationFrame(go));
  await frame();
  await frame();
  while (document.querySelector(".tile.waiting") || !document.querySelector("button.tile")) await frame();
  return performance.now() - began;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--rows", type=int, default=0, help="rows of a run, whose pages are timed too")
    parser.add_argument("--run", type=Path, help="a run that is there, in place of a made-up one")
    given = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for what, size in bundle():
            print(f"| {what} | {size} |", flush=True)
        for what, taken in measured(browser, Path(folder), given):
            print(f"| {what} | {statistics.median(taken):.0f} ms |", flush=True)
        browser.close()


def bundle() -> Iterator[tuple[str, str]]:
    for name in ("page.js", "page.css"):
        content = (files("camscope.app") / "page" / name).read_bytes()
        yield f"{name}, compressed", f"{len(gzip.compress(content, 9)) / 1000:.0f} kB"


def measured(browser: Any, folder: Path, given: argparse.Namespace) -> Iterator[tuple[str, list[float]]]:
    report = twelve_panes(folder)
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.goto(report)
    page.wait_for_function(f"document.querySelectorAll('.pane canvas').length === {PANES}")
    yield f"slider to picture, {PANES} panes of {SIDE} px", page.evaluate(SLIDER, given.times)
    page.close()
    session = Session()
    run = given.run or (many_rows(folder, given.rows) if given.rows else None)
    if run is not None:
        session.folders.add(run)
    with serving(session) as client:
        address = f"{client.base_url}/?token={session.token}"
        taken = []
        for _ in range(given.times):
            context = browser.new_context(viewport={"width": 1280, "height": 900}, bypass_csp=True)
            page = context.new_page()
            page.add_init_script(STARTED)
            page.goto(address)
            page.wait_for_function("window.started")
            taken.append(page.evaluate("window.started"))
            context.close()
        yield "until the page can be used", taken
        if run is not None:
            yield from gallery(browser, address, given.times)


def twelve_panes(folder: Path) -> str:
    """A report of one photo with twelve maps, all of which are shown."""
    e = camscope.explain("demo", "sample:cat", targets=f"top{PANES}")
    view = View("", "demo", SIDE)
    view.add(e)
    (file,) = write_report(view, folder / "panes.html")
    method, layer = next(iter(e.raw))
    shown = [{"model": 0, "method": method, "layer": layer, "target": number} for number in range(PANES)]
    return f"{file.as_uri()}#{quote(json.dumps({'shown': shown}))}"


def gallery(browser: Any, address: str, times: int) -> Iterator[tuple[str, list[float]]]:
    page = browser.new_page(viewport={"width": 1280, "height": 900}, bypass_csp=True)
    page.set_default_timeout(120_000)
    page.goto(address)
    page.wait_for_selector("button.tile")
    count = page.locator(".rows-title p").first.inner_text().split(" rows")[0]
    for what, order in (
        ("a page of the gallery", None),
        ("the same sorted by a number", "evidence at the edge"),
    ):
        if order is not None:
            page.get_by_role("combobox", name="Sort").select_option(order)
            page.wait_for_function(
                "!document.querySelector('.tile.waiting') && document.querySelector('button.tile')"
            )
        taken = [page.evaluate(JUMP, [((7 * number + 3) % 97) / 97]) for number in range(times)]
        yield f"{what}, {count} rows", taken
    page.close()


if __name__ == "__main__":
    main()
