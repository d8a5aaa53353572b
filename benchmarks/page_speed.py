"""From a slider to the picture, how large the page is, and how soon it can be used: in Chromium, on this machine.

    python -m benchmarks.page_speed

Beside the time that passes stands the processor time of the page's thread, from Chromium's trace: a busy machine hardly
changes it.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import shutil
import statistics
import tempfile
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import numpy as np
import torch
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from torch import nn

import camscope
from camscope.app import View, write_report

PANES = 12
SIDE = 512
MOVES = 60
WARM = 5

_DRAW = """async ([name, moves]) => {
    const row = [...document.querySelectorAll(".row")].find((one) => one.textContent.includes(name));
    const slider = row.querySelector("input");
    const times = [];
    for (let i = 0; i < moves; i++) {
        await new Promise((go) => requestAnimationFrame(() => setTimeout(go)));
        slider.value = 0.3 + 0.5 * (i % 2) + i / 1000;
        performance.mark(`moved ${i}`);
        const began = performance.now();
        slider.dispatchEvent(new Event("input", { bubbles: true }));
        await new Promise((go) => {
            const way = new MessageChannel();
            way.port1.onmessage = go;
            way.port2.postMessage(0);
        });
        times.push(performance.now() - began);
        performance.mark(`painted ${i}`);
    }
    return times;
}"""


class Many(nn.Module):
    """A network with as many classes as there are panes."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 16, 16, 16), nn.ReLU())
        self.head = nn.Linear(16, PANES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).mean((2, 3)))


def report(folder: Path) -> Path:
    """A report of one photo with a map for each pane."""
    torch.manual_seed(0)
    preprocessing = camscope.Preprocessing(input_size=(224, 224), resize=224, mean=(0.0,) * 3, std=(1.0,) * 3)
    explainer = camscope.Explainer(Many().eval(), preprocessing=preprocessing)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    photo = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    view = View("", "demo", SIDE)
    view.add(explainer(photo, methods="gradcam", targets=list(range(PANES)), layers="features"))
    return write_report(view, folder / "r.html")[0]


def milliseconds(browser: Browser, page: Page, slider: str) -> tuple[list[float], list[float]]:
    """From a slider's move to the painted panes, for each move: the time that passes, and the processor's."""
    browser.start_tracing(page=page, categories=["blink.user_timing"])
    times = page.evaluate(_DRAW, [slider, MOVES])
    events = json.loads(browser.stop_tracing())["traceEvents"]
    marks = {event["name"]: event["tts"] / 1000 for event in events if "tts" in event}
    busy = [marks[f"painted {i}"] - marks[f"moved {i}"] for i in range(MOVES)]
    return times[WARM:], busy[WARM:]


def said(times: list[float]) -> str:
    """The median, and the slowest twentieth."""
    return f"{statistics.median(times):.1f} ms (95 %: {np.quantile(times, 0.95):.1f} ms)"


def main() -> None:
    """Print all of it."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    page_files = files("camscope.app") / "page"
    size = sum(len(gzip.compress((page_files / name).read_bytes())) for name in ("page.js", "page.css"))
    print(f"the page, compressed: {size / 1000:.1f} kB")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        path = report(Path(folder))
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1600, "height": 1200})
        one = {"model": 0, "method": "gradcam", "layer": "features"}
        state = {"shown": [{**one, "target": target} for target in range(PANES)]}
        page.goto(f"{path.as_uri()}#{quote(json.dumps(state))}")
        page.wait_for_selector(".reading")
        assert page.locator(".pane canvas").count() == PANES
        for slider in ("Opacity", "Hide below"):
            passed, busy = milliseconds(browser, page, slider)
            print(f"{slider}, {PANES} panes at {SIDE} px: {said(passed)}; processor {said(busy)}")
        page.goto("about:blank")
        page.goto(path.as_uri())
        ready = page.evaluate("performance.getEntriesByType('navigation')[0].domInteractive")
        print(f"interactive after {ready:.0f} ms")
        browser.close()


if __name__ == "__main__":
    main()
