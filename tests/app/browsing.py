"""What tests of the page share: a server in this process, and what a browser has drawn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
