"""How fast the gallery of a run is in Chromium, on this machine: medians of `--times` jumps, in milliseconds.

    python -m benchmarks.gallery_speed                   # a run of 1,000,000 rows, which is made first (minutes)
    python -m benchmarks.gallery_speed --run FOLDER      # a run that is there

A page is timed from a jump of the scroll bar to the last tile in sight that is there with its map.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from benchmarks.app_speed import many_rows, serving
from camscope.app.serving import Session

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

READY = "!document.querySelector('.tile.waiting') && document.querySelector('button.tile')"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the run that is made")
    parser.add_argument("--run", type=Path, help="a run that is there, in place of a made-up one")
    given = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    session = Session()
    with tempfile.TemporaryDirectory() as folder:
        session.folders.add(given.run or many_rows(Path(folder), given.rows))
        with serving(session) as client, sync_playwright() as started:
            browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            address = f"{client.base_url}/?token={session.token}"
            for what, taken in measured(browser, address, given.times):
                print(f"| {what} | {statistics.median(taken):.0f} ms |", flush=True)
            browser.close()


def measured(browser: Any, address: str, times: int) -> Iterator[tuple[str, list[float]]]:
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
            page.wait_for_function(READY)
        taken = [page.evaluate(JUMP, [((7 * number + 3) % 97) / 97]) for number in range(times)]
        yield f"{what}, {count} rows", taken
    page.close()


if __name__ == "__main__":
    main()
