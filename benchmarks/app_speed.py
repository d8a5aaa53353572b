"""How long the app's engine takes to answer, over HTTP on this machine: medians of `--times` requests.

    python -m benchmarks.app_speed                  # the demo model
    python -m benchmarks.app_speed --rows 1000000   # and pages of a run of so many rows, which is made first

The first map after dropping a photo is the time from the first byte of the upload to the last of the maps, with the
model loaded and the photo new to the server.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from PIL import Image, ImageEnhance
from tests.runs.many_rows import write_many

from camscope import runs
from camscope.app.serving import Session, listening, server_of
from camscope.cli.model_options import ModelOptions
from camscope.images import sample_path
from camscope.runs.finishing import finish
from camscope.runs.run_plan import Plan
from camscope.runs.run_store import RunStore


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="demo")
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--rows", type=int, default=0, help="rows of a run, whose pages are timed too")
    given = parser.parse_args()
    session = Session()
    began = time.perf_counter()
    session.models.add(given.model, ModelOptions(given.model).open, spec=given.model)
    with tempfile.TemporaryDirectory() as folder:
        if given.rows:
            session.folders.add(many_rows(Path(folder), given.rows))
        with serving(session) as client:
            wait(client)
            print("| | until it is there | processor time, of engine and asker |\n|---|---|---|")
            print(f"| until the model is ready | {1000 * (time.perf_counter() - began):.0f} ms | |")
            for what, (taken, worked) in measured(client, given.times, rows=bool(given.rows)):
                print(f"| {what} | {1000 * taken:.0f} ms | {1000 * worked:.0f} ms |", flush=True)


def many_rows(folder: Path, count: int) -> Path:
    """A run of two photos, and its plan with so many rows of made-up maps."""
    (folder / "photos").mkdir()
    for number, content in zip(range(2), new_photos(), strict=False):
        (folder / "photos" / f"{number}.jpg").write_bytes(content)
    runs.run(folder / "photos", model="demo", out=folder / "small", progress=False)
    out = write_many(folder / "small", folder / "run", count)
    store = RunStore(out)
    finish(store, Plan.read(out))
    return out


@contextmanager
def serving(session: Session) -> Iterator[httpx.Client]:
    listener = listening("127.0.0.1", 0)
    ready = threading.Event()
    server = server_of(session, listener, "127.0.0.1", ready=ready.set)
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]))
    thread.start()
    ready.wait()
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with httpx.Client(base_url=base, headers={"X-Camscope-Token": session.token}, timeout=300) as client:
        yield client
    server.should_exit = True
    thread.join()


def wait(client: httpx.Client) -> None:
    while (model := client.get("/api/state").json()["models"][0])["status"] == "loading":
        time.sleep(0.05)
    if model["error"]:
        raise SystemExit(model["error"])
    client.get("/api/models/m1/layers")


def measured(client: httpx.Client, times: int, *, rows: bool) -> Iterator[tuple[str, tuple[float, float]]]:
    photos = iter(new_photos())

    def drop() -> str:
        answer = client.post("/api/photos", files={"files": ("photo.jpg", next(photos))})
        return str(answer.json()["photos"][0]["id"])

    def first_map() -> None:
        ask("/api/explain", photo=drop())

    def ask(path: str, **body: object) -> dict:
        answer = client.post(path, json={"model": "m1", **body})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    first_map()
    yield "first map after dropping a photo", median(first_map, times)
    photo, seeds = drop(), iter(range(1, 10**6))
    yield "a map again (remembered)", median(lambda: ask("/api/explain", photo=photo), times)
    layers = [one["name"] for one in client.get("/api/models/m1/layers").json()["layers"]][-3:]
    six = {"methods": ["gradcam", "layercam"], "layers": layers}
    yield (
        f"2 methods × {len(layers)} layers × 3 classes",
        median(lambda: ask("/api/explain", photo=photo, seed=next(seeds), **six), times),
    )
    yield "classes of every cell", median(lambda: ask("/api/cells", photo=drop()), times)
    mask = [[float(3 <= y < 8 and 3 <= x < 8) for x in range(12)] for y in range(12)]
    ask("/api/scores", photo=photo, mask=mask)
    strokes = iter(range(10**6))

    def stroke() -> None:
        mask[0][0] = next(strokes) / 10**7
        ask("/api/scores", photo=photo, mask=mask)

    yield "scores with a part hidden", median(stroke, times)
    picture = lambda: client.get(f"/api/photos/{photo}/picture")  # noqa: E731
    yield "a photo of 1024 px", median(picture, times)
    if rows:
        count = client.get("/api/state").json()["runs"][0]["rows"]
        offsets = iter(range(0, 10**9, max(1, count // 50)))
        for what, query in {
            "a page of 60 rows": {},
            "the same with maps": {"maps": True},
            "the same sorted": {"sort": "ring_share", "descending": True},
            "the same chosen and sorted": {"where": "label != top1", "sort": "ring_share"},
        }.items():
            page = lambda query=query: client.get(  # noqa: E731
                "/api/runs/r1/rows", params={"limit": 60, "offset": next(offsets) % count, **query}
            ).raise_for_status()
            page()
            yield f"{what}, of {count:,}", median(page, times)
        yield f"facets of {count:,}", median(lambda: client.get("/api/runs/r1/facets"), 3)
        yield f"20,000 points of {count:,}", median(lambda: client.get("/api/runs/r1/scatter"), 3)


def new_photos() -> Iterator[bytes]:
    """Photos of 1200 × 900 pixels, none like another."""
    photo = Image.open(sample_path("cat")).convert("RGB").resize((1200, 900))
    for number in range(10**6):
        stored = io.BytesIO()
        ImageEnhance.Brightness(photo).enhance(0.8 + 0.001 * (number % 400)).save(stored, "JPEG", quality=90)
        yield stored.getvalue()


def median(call: Callable[[], object], times: int) -> tuple[float, float]:
    taken, worked = [], []
    for _ in range(times):
        began, before = time.perf_counter(), time.process_time()
        call()
        taken.append(time.perf_counter() - began)
        worked.append(time.process_time() - before)
    return statistics.median(taken), statistics.median(worked)


if __name__ == "__main__":
    main()
