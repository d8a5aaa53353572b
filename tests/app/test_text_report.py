"""Reports of texts: what is in them, the command that makes them, and how they are read offline."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import camscope
from camscope.app import View, write_report
from camscope.cli.app import main
from tests.app.browsing import eventually, grounds, read_from_file
from tests.app.test_report import HOSTILE, Read

TEXTS = ["A film I loved", f"hated {HOSTILE} not"]

FACTORY = """
import torch
from tests.texts import TextCNN

def reader():
    torch.manual_seed(0)
    words = ["<unk>", "A", "film", "I", "loved", "hated", "not"]
    model = TextCNN(len(words), classes=3).eval()
    model.tokenizer = {word: number for number, word in enumerate(words)}
    model.class_names = ["bad", "good", "so"]
    return model
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    (folder / "reader.py").write_text(FACTORY)
    return folder


@pytest.fixture(scope="module")
def reader() -> camscope.Explainer:
    namespace: dict[str, object] = {}
    exec(FACTORY, namespace)
    return camscope.Explainer(namespace["reader"]())


@pytest.fixture(scope="module")
def explained(reader) -> camscope.Explanation:
    return reader(TEXTS, methods=["gradcam", "hirescam"], targets=[0, 1, "not:1"])


@pytest.fixture(scope="module")
def report(explained, tmp_path_factory) -> Path:
    view = View("", "hf:some/model")
    view.add(explained, written=TEXTS)
    (path,) = write_report(view, tmp_path_factory.mktemp("report") / "r.html")
    return path


def test_a_report_of_texts_holds_the_words_and_their_evidence(explained, report):
    view = Read(report.read_text("utf-8")).view
    assert view["photos"] == []
    assert [text["text"] for text in view["texts"]] == TEXTS
    assert view["title"] == "Which words TextCNN goes by"
    for number, text in enumerate(view["texts"]):
        assert [target["spec"] for target in text["targets"]] == ["0", "1", "not:1"]
        for one in text["maps"]:
            own = explained.words(number, one["method"], one["layer"], target=one["target"])
            assert [word["text"] for word in text["words"]] == [word for word, _ in own]
            np.testing.assert_allclose(one["evidence"], [value for _, value in own], rtol=1e-6)


def test_an_explanation_keeps_the_words_alone_and_these_are_joined(explained, tmp_path):
    (path,) = camscope.report(explained, tmp_path / "r.html")
    texts = Read(path.read_text("utf-8")).view["texts"]
    assert [text["text"] for text in texts] == [explained.text(number).readable for number in (0, 1)]


def test_many_texts_become_several_files(explained, tmp_path):
    view = View("")
    for _ in range(4):
        view.add(explained)
    size = len(json.dumps(view.texts[0]))
    written = write_report(view, tmp_path / "r.html", largest=int(4.5 * size))
    assert len(written) > 1
    assert sum(len(Read(one.read_text("utf-8")).view["texts"]) for one in written) == 8


def test_the_command_takes_texts_and_files_of_texts(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(place)
    (place / "reviews.txt").write_text("A film I loved\n\nnot loved\n")
    out = tmp_path / "r.html"
    words = ["report", "I hated it " * 40, "reviews.txt", "--model", "reader.py:reader", "--out", str(out)]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"texts": 3, "failed": [], "files": [str(out)]}
    view = Read(out.read_text("utf-8")).view
    names = [text["name"] for text in view["texts"]]
    assert names[1:] == ["reviews.txt:1", "reviews.txt:3"]
    assert names[0].startswith("I hated it")
    assert len(names[0]) < 70
    assert view["title"] == "Which words reader.py:reader goes by"
    assert view["spec"] == "reader.py:reader"


@pytest.fixture
def page(browser, report):
    with read_from_file(browser, report, 1280, 850) as opened:
        yield opened
        assert opened.title() == "Which words TextCNN goes by"


def titles(page) -> list[str]:
    return page.locator("figcaption strong").all_inner_texts()


def strengths(explained, text: int, method: str, target: int) -> list[float]:
    values = [value for _, value in explained.words(text, method, target=target)]
    return [62 * value / max(map(abs, values)) for value in values]


def test_a_text_is_read_offline_as_in_the_app(page, explained):
    assert page.locator("h1").inner_text() == TEXTS[0]
    assert page.locator("textarea").count() == 0
    assert grounds(page) == pytest.approx(strengths(explained, 0, "gradcam", 0), abs=0.06)
    page.get_by_role("button", name=re.compile("^good")).click()
    assert titles(page) == ["good"]
    page.get_by_role("button", name="evidence against good").click(modifiers=["Shift"])
    assert titles(page) == ["good", "not good"]
    assert grounds(page, 1) == pytest.approx(strengths(explained, 0, "gradcam", 2), abs=0.06)
    page.get_by_role("button", name="difference").click()
    assert titles(page) == ["good less not good"]
    page.get_by_role("button", name="row by row").click()
    page.get_by_role("button", name=re.compile("^hirescam")).click()
    assert "hirescam" in page.locator("figcaption").inner_text()
    page.keyboard.press("j")
    assert page.locator("h1").inner_text() == TEXTS[1]
    assert page.locator(".list button").count() == 2
    words = [word for word, _ in explained.words(1, "gradcam")]
    assert page.locator(".words").first.locator(".word").all_inner_texts() == words
    page.locator(".words").first.focus()
    page.keyboard.press("ArrowRight")
    assert words[0] in page.locator(".reading").first.inner_text()
    page.keyboard.press("Enter")  # leaves nothing out: there is no engine
    assert page.locator(".word.gone").count() == 0


def test_a_link_into_a_report_of_texts_restores_it_and_its_lines_make_it(page, browser, explained):
    page.get_by_role("button", name=re.compile("^good")).click()
    page.keyboard.press("j")
    page.get_by_text("The lines that make this").click()
    python, command = page.locator(".lines pre").all_inner_texts()
    assert f"explainer({json.dumps(TEXTS[1])}, " in python
    assert "targets=1)" in python
    assert "--model hf:some/model --method gradcam" in command
    eventually(page, lambda: "%22photo%22%3A1" in page.url)
    again = browser.new_page()
    again.goto(page.url)
    assert again.locator("h1").inner_text() == TEXTS[1]
    assert titles(again) == ["good"]
    again.close()


def test_axe_finds_nothing_serious_in_a_report_of_texts(browser, report):
    axe = pytest.importorskip("axe_core_python.sync_playwright", reason="needs axe-core-python")
    context = browser.new_context(bypass_csp=True)
    opened = context.new_page()
    opened.goto(report.as_uri())
    found = axe.Axe().run(opened)["violations"]
    context.close()
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


def test_a_notebook_has_texts_as_the_same_page(explained):
    pytest.importorskip("anywidget", reason="needs the extra notebook")
    view = Read(camscope.app.widget(explained).page).view
    assert [len(text["words"]) for text in view["texts"]] == [
        len(explained.words(n, "gradcam")) for n in (0, 1)
    ]
