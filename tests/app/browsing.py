"""What tests of the page share: a server in this process, and what a browser has drawn."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import uvicorn

from camscope.app.serving import Session, address, listening
from camscope.app.serving.web_app import web_app


@contextmanager
def served(session: Session) -> Iterator[str]:
    """The address of a server that answers while this is entered."""
    host = "127.0.0.1"
    listener = listening(host, 0)
    app = web_app(session, host=host, port=listener.getsockname()[1])
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield address(session, listener)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@contextmanager
def read_from_file(browser, file: Path, width: int, height: int) -> Iterator[object]:
    """The page of a report as it is opened from its file, in a window of so many pixels; nothing may go wrong in it."""
    opened = browser.new_page(viewport={"width": width, "height": height})
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    opened.goto(file.as_uri())
    yield opened
    opened.close()
    assert errors == []


def grounds(page, row: int = 0) -> list[float]:
    """How strong the ground of each word is, with its sign."""
    styles = (
        page.locator(".words")
        .nth(row)
        .locator(".word")
        .evaluate_all("all => all.map((one) => one.style.background)")
    )
    found = [re.search(r"--(for|against)\) ([\d.]+)%", style) for style in styles]
    return [float(one[2]) * (1 if one[1] == "for" else -1) for one in found if one]


def drawn(page, number: int = 0) -> np.ndarray:
    """The pixels of a pane's map, RGBA."""
    size, values = page.evaluate(
        """number => {
            const canvas = document.querySelectorAll(".pane canvas")[number];
            const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            return [[canvas.height, canvas.width, 4], [...data]];
        }""",
        number,
    )
    return np.array(values).reshape(size)


def eventually(page, holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something holds."""
    for _ in range(int(seconds / 0.05)):
        if holds():
            return
        page.wait_for_timeout(50)
    assert holds()


def set_slider(page, name: str, value: float) -> None:
    """Draw a slider to a value."""
    page.get_by_label(name).evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input', {bubbles: true})); }",
        value,
    )
