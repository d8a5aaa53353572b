"""A sound in a real browser: its picture, when the pointer is, what is silenced; and its report, offline."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

import camscope
from camscope.cli.app import main
from tests.app.browsing import drawn, eventually, served
from tests.app.test_report import Read

pytest.importorskip("fastapi", reason="needs the extra app")
pytest.importorskip("transformers", reason="needs the extra transformers")
from camscope.app.serving import Session
from tests.libraries.sounds import saved

RATE = 16000


@pytest.fixture(scope="module")
def spec(tmp_path_factory) -> str:
    return saved("Hubert", tmp_path_factory.mktemp("hubert"))


@pytest.fixture(scope="module")
def wav() -> bytes:
    stored = io.BytesIO()
    samples = np.random.default_rng(0).normal(size=2 * RATE) / 10
    wavfile.write(stored, RATE, samples.astype(np.float32))
    return stored.getvalue()


@pytest.fixture(scope="module")
def app(spec, wav) -> Iterator[str]:
    session = Session()
    session.photos.add_bytes(wav, "speech.wav", max_pixels=10**6).given = True
    session.models.add("hearing", lambda: camscope.Explainer(spec))
    for model in session.models:
        model.worker.begin(lambda: None).result()
    with served(session) as address:
        yield address


@pytest.fixture
def page(browser, app) -> Iterator[object]:
    opened = browser.new_page(viewport={"width": 1200, "height": 850})
    opened.set_default_timeout(120_000)
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.goto(app)
    opened.wait_for_selector(".reading")
    yield opened
    opened.close()
    assert wrong == []


def test_a_sound_is_pointed_at_and_parts_of_it_are_silenced(page):
    assert page.locator("h1").inner_text() == "speech.wav"
    assert page.locator(".time-axis").inner_text().split() == ["0.00", "s", "2.00", "s"]
    box = page.locator(".picture").bounding_box()
    assert box["width"] > 2 * box["height"]
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    assert "at 0.50 s" in page.locator(".reading").inner_text()
    page.keyboard.press("b")
    with page.expect_response("**/api/scores") as answer:
        page.mouse.down()
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"], steps=4)
        page.mouse.up()
    eventually(page, lambda: page.locator(".change").count() == 1 and not page.locator(".measuring").count())
    assert 0 < answer.value.json()["removed"] < 1
    # a model of waves knows no above and below: what is silenced is silenced at all heights
    gone = page.locator("canvas.brushed").evaluate(
        """canvas => [canvas.height, canvas.width,
            [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]]"""
    )
    alpha = np.array(gone[2]).reshape(gone[0], gone[1], 4)[..., 3] > 0
    assert 0 < alpha.mean() < 1
    assert (alpha == alpha[:1]).all()


def test_a_report_of_a_sound_is_made_by_the_command_and_shows_the_same(
    page, browser, spec, wav, tmp_path, capsys
):
    file, out = tmp_path / "speech.wav", tmp_path / "r.html"
    file.write_bytes(wav)
    assert main(["report", str(file), "--model", spec, "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"sounds": 1, "failed": [], "files": [str(out)]}
    (photo,) = Read(out.read_text("utf-8")).view["photos"]
    assert photo["axes"]["time"] == [0, 2]
    offline = browser.new_page(viewport={"width": 1200, "height": 850})
    offline.goto(Path(out).as_uri())
    assert offline.locator(".time-axis").inner_text() == page.locator(".time-axis").inner_text()
    assert offline.locator(".pane strong").inner_text() == page.locator(".pane strong").inner_text()
    np.testing.assert_array_equal(drawn(offline), drawn(page))
    offline.close()
