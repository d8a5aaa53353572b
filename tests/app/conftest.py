"""A server in a thread of this process: a model that is understood, one that fails, photos, a run and a training."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import camscope
from camscope.errors import ModelError

HOSTILE = "<img src=x onerror=document.title='caught'></script><script>alert('x')</script>"


class Colours(nn.Module):
    """Its maps are the red, the green and the blue of a photo, less a third: there is evidence against, too."""

    def __init__(self) -> None:
        super().__init__()
        self.pooled = nn.Conv2d(3, 3, 8, stride=8, bias=False)
        self.head = nn.Linear(3, 3)
        with torch.no_grad():
            self.pooled.weight.copy_(torch.eye(3)[:, :, None, None].expand(3, 3, 8, 8) / 64)
            self.head.weight.copy_(8 * torch.eye(3))
            self.head.bias.zero_()
        self.forwards = 0
        self.held = threading.Event()
        self.held.set()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.forwards += 1
        self.held.wait(30)
        return self.head(self.pooled(x - 0.33).mean((2, 3)))


def colours() -> camscope.Explainer:
    preprocessing = camscope.Preprocessing(input_size=(32, 32), resize=36, mean=(0.0,) * 3, std=(1.0,) * 3)
    names = ["red", f"green {HOSTILE}", "blue, navy blue"]
    return camscope.Explainer(Colours().eval(), preprocessing=preprocessing, class_names=names)


def module_of(explainer: camscope.Explainer) -> Colours:
    """The network of an explainer of `colours`."""
    return explainer._model.adapter.model


def png(colour: str = "red", size: tuple[int, int] = (60, 40)) -> bytes:
    """A photo whose left half is black."""
    picture = Image.new("RGB", size, colour)
    picture.paste((0, 0, 0), (0, 0, size[0] // 2, size[1]))
    stored = BytesIO()
    picture.save(stored, "PNG")
    return stored.getvalue()


@dataclass
class Served:
    """A server that runs, and what asks it.

    Attributes:
        session: what it holds.
        base: its address, without the token.
        client: asks with the token.
    """

    session: Any
    base: str
    client: Any

    def get(self, path: str, **params: Any) -> Any:
        found = self.client.get(path, params=params)
        assert found.status_code == 200, found.text
        return found.json()

    def post(self, path: str, **body: Any) -> Any:
        found = self.client.post(path, json=body)
        assert found.status_code == 200, found.text
        return found.json()

    def refused(self, path: str, status: int = 422, **body: Any) -> dict[str, str]:
        """What is said where something is refused."""
        found = self.client.post(path, json=body)
        assert found.status_code == status, found.text
        said = found.json()
        assert set(said) == {"error", "kind"}
        return said

    def dropped(self, content: bytes | None = None, name: str = "a.png") -> str:
        """The id of a photo that is dropped."""
        found = self.client.post("/api/photos", files={"files": (name, content or png())})
        assert found.status_code == 200, found.text
        return found.json()["photos"][0]["id"]


@contextmanager
def serving(session: Any) -> Iterator[Served]:
    """A server that runs within the context."""
    import httpx

    from camscope.app.serving import listening, server_of

    listener = listening("127.0.0.1", 0)
    started = threading.Event()
    server = server_of(session, listener, "127.0.0.1", ready=started.set)
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]))
    thread.start()
    assert started.wait(20)
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        with httpx.Client(base_url=base, headers={"X-Camscope-Token": session.token}, timeout=60) as client:
            yield Served(session, base, client)
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory) -> Path:
    """A run of 12 photos, of two methods and two targets: read only."""
    pytest.importorskip("duckdb")
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(12):
        place = folder / ("red", "blue")[number % 2]
        place.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (3, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((50, 40), Image.Resampling.BICUBIC).save(place / f"{number}.png")
    out = tmp_path_factory.mktemp("run") / "a run"
    camscope.runs.run(
        folder,
        model=colours(),
        out=out,
        targets="top2",
        methods=["gradcam", "hirescam"],
        layers="pooled",
        trust=True,
        shard_size=4,
        batch=4,
        workers=1,
        progress=False,
    )
    return out


@pytest.fixture(scope="session")
def training_folder(tmp_path_factory) -> Path:
    """A training of three looks at three samples: read only."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    x, y = torch.rand(3, 1, 12, 12), torch.arange(3)
    optimiser = torch.optim.SGD(model.parameters(), 0.5)
    folder = tmp_path_factory.mktemp("training") / "maps"
    recorder = camscope.Recorder(folder, x, labels=y, class_names=["circle", "square", "cross"])
    recorder.start(model)
    for _ in range(2):
        loss = nn.functional.cross_entropy(model(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        recorder.step(model, loss=loss)
    recorder.epoch(model)
    return folder


@pytest.fixture(scope="session")
def served(run_folder, training_folder, tmp_path_factory) -> Iterator[Served]:
    pytest.importorskip("fastapi")
    from camscope.app.serving import Session

    def fails() -> camscope.Explainer:
        raise ModelError("There is no model 'timm:resnt18'. Did you mean 'timm:resnet18'?")

    session = Session()
    photo = tmp_path_factory.mktemp("given") / "given.png"
    photo.write_bytes(png("lime"))
    session.photos.add_file(str(photo))
    session.models.add("colours", colours)
    session.models.add("broken", fails, spec="timm:resnt18")
    session.models.add("breaks", lambda: 1 / 0)
    for folder in (run_folder, training_folder):
        assert session.folders.add(folder)
    with serving(session) as found:
        yield found


@pytest.fixture
def held(served) -> Iterator[Callable[[], Colours]]:
    """Holds the model in its forward until the test lets it go on."""
    module = module_of(served.session.models.of("m1").explainer)
    module.held.clear()
    yield module
    module.held.set()


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """Chromium; tests that need it are skipped where it is not."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, which drives a browser")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()
