"""`camscope app` as a process of its own: what it prints, ports, models that fail, and how it ends."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.app.conftest import png

pytest.importorskip("fastapi", reason="needs the app extra")
httpx = pytest.importorskip("httpx")

FACTORY = """
import torch
from torch import nn
import camscope

def small():
    torch.manual_seed(0)
    pooled = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    model = nn.Sequential(nn.Conv2d(3, 4, 8, stride=8), nn.ReLU(), *pooled, nn.Linear(4, 3))
    model.preprocessing = camscope.Preprocessing(input_size=(32, 32), resize=36)
    model.class_names = ["a", "b", "c"]
    return model.eval()

def fails():
    raise RuntimeError("no such weights")
"""


@contextmanager
def command(*arguments: str, cwd: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    """The command, until it has printed its address; gives the process and what it printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "camscope", "app", "--no-browser", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = ""
    try:
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        yield process, said
    finally:
        process.kill()
        process.wait(20)
        process.stdout.close()


def address(said: str) -> tuple[str, dict[str, str]]:
    found = re.search(r"(http://\S+)/\?token=(\S+)", said)
    assert found, said
    return found[1], {"X-Camscope-Token": found[2]}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("app")
    (folder / "small.py").write_text(FACTORY)
    (folder / "a.png").write_bytes(png())
    return folder


def test_it_prints_where_it_is_explains_and_ends_with_ctrl_c(place):
    models = ("--model", "small.py:small", "--model", "small.py:fails")
    with usual_port_taken(), command("a.png", *models, cwd=place) as (process, said):
        base, headers = address(said)
        assert not base.endswith(":8765")
        assert "Port 8765 is taken" in said
        with httpx.Client(base_url=base, headers=headers, timeout=60) as client:
            photo = client.get("/api/state").json()["photos"][0]["id"]
            view = client.post("/api/explain", json={"model": "m1", "photo": photo}).json()
            assert view["spec"] == "small.py:small"
            assert view["photos"][0]["name"] == "a.png"
            said = client.post("/api/explain", json={"model": "m2", "photo": photo}).json()
            assert "no such weights" in said["error"]
            assert client.get("/api/state").json()["models"][1]["status"] == "failed"
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        assert "Traceback" not in process.stdout.read()


@contextmanager
def usual_port_taken() -> Iterator[None]:
    """The usual port is taken: by us, or by somebody else already."""
    with socket.socket() as taken:
        with suppress(OSError):
            taken.bind(("127.0.0.1", 8765))
            taken.listen()
        yield


def _refused(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "camscope", "app", "--no-browser", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def test_what_is_said_wrongly_is_refused_before_anything_is_served(place):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = _refused("a.png", "--port", port, cwd=place)
        assert f"--port {port}" in said
        assert "Leave it out" in said
    assert "does not exist" in _refused("b.png", cwd=place)
    assert "write there" in _refused("A film I loved", cwd=place)
    assert "no-such-host" in _refused("--host", "no-such-host.invalid", cwd=place)
    assert "65535" in _refused("--port", "70000", cwd=place)
