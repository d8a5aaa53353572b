"""Words to hover, in a real browser: a model that reads texts gets a field in place of photos."""

from __future__ import annotations

import functools
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

import camscope
from tests.app.browsing import eventually, grounds, served
from tests.app.conftest import colours, png
from tests.texts import TextCNN, split

pytest.importorskip("fastapi", reason="needs the extra app")
from camscope.app.serving import Session

SLOWEST = 120_000
TEXT = "A film I loved, not hated <img src=x onerror=document.title='caught'>."


@functools.cache  # models are loaded beside each other, and weights drawn by one seed at a time
def reader() -> camscope.Explainer:
    torch.manual_seed(0)
    words = {word: number for number, word in enumerate(["<unk>", *sorted(set(split(TEXT)))])}
    return camscope.Explainer(
        TextCNN(len(words), classes=3).eval(), tokenizer=words, class_names=["bad", "good", "neither"]
    )


@pytest.fixture(scope="module")
def app() -> Iterator[str]:
    """A photo and a model of photos, and one that reads texts."""
    session = Session()
    session.photos.add_bytes(png(), "red.png", max_pixels=10**6).given = True
    session.models.add("colours", colours)
    session.models.add("reader", reader)
    for model in session.models:
        model.worker.begin(lambda: None).result()
    with served(session) as address:
        yield address


@pytest.fixture(scope="module")
def words() -> dict:
    """What the library says: by target, the words and their evidence."""
    e = reader()(TEXT, targets=["0", "1", "2", "not:1"])
    return {
        name: e.words(target=number) for number, name in enumerate(["bad", "good", "neither", "not good"])
    }


@pytest.fixture
def page(browser, app) -> Iterator[object]:
    context = browser.new_context(viewport={"width": 1200, "height": 850})
    context.set_default_timeout(SLOWEST)
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.goto(app)
    opened.get_by_role("button", name="reader").click()
    opened.get_by_label("A text").fill(TEXT)
    opened.wait_for_selector(".words .word")
    yield opened
    assert not wrong
    assert opened.title() != "caught"
    context.close()


def shown(page) -> list[str]:
    """Of what the rows of words are."""
    return page.locator("figcaption strong").all_inner_texts()


def test_words_stand_as_they_are_written_on_the_colour_of_their_evidence(page, words):
    [title] = shown(page)
    expected = [value for _, value in words[title]]
    assert page.locator(".words .word").all_inner_texts() == [word for word, _ in words[title]]
    assert "loved, not" in page.locator(".words").inner_text()
    most = max(map(abs, expected))
    assert grounds(page) == pytest.approx([62 * value / most for value in expected], abs=0.06)


def test_a_word_below_the_pointer_or_an_arrow_key_says_its_value(page, words):
    [title] = shown(page)
    page.locator(".words .word", has_text="loved").hover()
    value = dict(words[title])["loved"]
    said = page.locator(".reading").inner_text().replace("−", "-")
    assert float(said.split()[0]) == pytest.approx(value, rel=0.01)
    assert f"loved speaks {'for' if value > 0 else 'against'} {title}" in said
    page.locator(".words").focus()
    page.mouse.move(5, 5)
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    assert page.locator(".word.pointed").inner_text() == words[title][1][0]


def test_classes_evidence_against_and_a_second_row(page, words):
    page.get_by_role("button", name=re.compile("^good")).click()
    eventually(page, lambda: shown(page) == ["good"])
    page.get_by_role("button", name="evidence against good").click(modifiers=["Shift"])
    eventually(page, lambda: shown(page) == ["good", "not good"])
    assert "%" not in page.locator("figcaption span").nth(1).inner_text()  # that is the probability of good
    assert grounds(page, 1) == pytest.approx([-one for one in grounds(page)], abs=0.06)
    page.locator(".words").nth(1).locator(".word").first.hover()
    assert page.locator(".word.pointed").count() == 2  # one pointer for all rows
    page.get_by_role("button", name=re.compile("^take not good")).click()
    eventually(page, lambda: shown(page) == ["good"])


def test_the_class_that_the_model_says_is_shown_once_and_taken_away_again(page):
    [title] = shown(page)
    page.get_by_role("button", name=re.compile("^evidence against")).first.click(modifiers=["Shift"])
    eventually(page, lambda: len(shown(page)) == 2)
    page.get_by_role("button", name=re.compile(f"^{title}")).click(modifiers=["Shift"])
    eventually(page, lambda: shown(page) == [f"not {title}"])


def test_words_are_left_out_or_kept_alone_and_the_scores_change(page, words):
    [title] = shown(page)
    number = [word for word, _ in words[title]].index("loved")
    with reader().altering(TEXT, targets=[title]) as seen:
        left = seen.inputs.copy()
        left[..., number] = False
        without = seen.masked(0, 1, lambda _: left)
        alone = seen.masked(0, 1, lambda _: ~left)
    panel = page.locator("section[aria-labelledby=brush]")

    def says(told) -> bool:
        row = panel.locator("tbody tr").first.inner_text()
        return row.split("\t")[-1].strip() == f"{100 * float(told.probabilities[0, 0]):.1f} %"

    page.locator(".words .word").nth(number).click()
    eventually(page, lambda: panel.locator(".change").count() == 1 and says(without))
    assert page.locator(".word.gone").all_inner_texts() == ["loved"]
    panel.get_by_role("button", name="keep alone").click()
    eventually(page, lambda: says(alone))
    assert page.locator(".word.gone").count() == len(words[title]) - 1
    page.keyboard.press("Control+z")
    eventually(page, lambda: panel.locator(".change").count() == 0)
    panel.get_by_role("button", name="redo").click()
    eventually(page, lambda: says(alone))
    panel.get_by_role("button", name="leave out").click()
    panel.get_by_role("button", name="clear").click()
    page.locator(".words").focus()
    page.mouse.move(5, 5)
    for key in ["ArrowRight"] * (number + 1) + ["Enter"]:  # without a pointer, too
        page.keyboard.press(key)
    eventually(page, lambda: panel.locator(".change").count() == 1 and says(without))
    page.get_by_label("A text").fill("A film")
    assert page.locator(".word.gone").count() == 0  # they were words of another text


def test_two_rows_are_swiped_and_taken_from_one_another(page, words):
    page.get_by_role("button", name=re.compile("^good")).click()
    eventually(page, lambda: shown(page) == ["good"])
    page.get_by_role("button", name=re.compile("^bad")).click(modifiers=["Shift"])
    eventually(page, lambda: shown(page) == ["good", "bad"])
    own = {
        name: [v / max(abs(w) for _, w in words[name]) for _, v in words[name]] for name in ("good", "bad")
    }
    page.get_by_role("button", name="difference").click()
    expected = [62 * (a - b) / 2 for a, b in zip(own["good"], own["bad"], strict=True)]
    assert grounds(page) == pytest.approx(expected, abs=0.06)
    assert shown(page) == ["good less bad"]
    page.get_by_role("button", name="swipe").click()
    page.get_by_label("How many words are coloured").fill("0.25")
    first = round(0.25 * len(own["good"]))
    expected = [62 * one for one in own["good"][:first] + own["bad"][first:]]
    assert grounds(page) == pytest.approx(expected, abs=0.06)
    page.get_by_role("button", name="row by row").click()
    page.get_by_label("Hide below").fill("0.5")
    expected = [62 * one if abs(one) >= 0.5 else 0 for one in own["good"]]
    assert grounds(page) == pytest.approx(expected, abs=0.06)
    kept = sum(abs(one) >= 0.5 for one in own["good"])
    assert f"shown: {kept} of {len(expected)} words" in page.locator(".reading").first.inner_text()


def test_words_are_judged(page):
    page.get_by_role("button", name="judge this map").click()
    page.wait_for_selector(".verdict")
    assert "fidelity" in page.locator("section[aria-labelledby=trust]").inner_text().lower()


def test_words_are_saved(page, words):
    [title] = shown(page)

    def saved(name: str) -> bytes:
        with page.expect_download() as found:
            page.get_by_role("button", name=name, exact=True).click()
        return found.value.path().read_bytes()

    with np.load(BytesIO(saved("npz"))) as arrays:
        (name,) = arrays.files
        np.testing.assert_allclose(arrays[name], [value for _, value in words[title]], rtol=1e-5)
    assert name == f"gradcam|relu|{title}"
    (told,) = json.loads(saved("JSON"))["maps"]
    assert told["words"] == [word for word, _ in words[title]]
    figure = ElementTree.fromstring(saved("SVG"))
    written = [one.text for one in figure.iter("{http://www.w3.org/2000/svg}text")]
    assert [one for one in written if one in told["words"]] == told["words"]
    assert Image.open(BytesIO(saved("PNG"))).width == 1200


def test_the_report_of_a_text_opens_offline_with_all_maps_there_were(page, browser, tmp_path):
    page.get_by_role("button", name=re.compile("^good")).click()
    eventually(page, lambda: shown(page) == ["good"])
    page.get_by_role("button", name="evidence against good").click(modifiers=["Shift"])
    eventually(page, lambda: shown(page) == ["good", "not good"])
    with page.expect_download() as found:
        page.get_by_role("button", name="report", exact=True).click()
    (tmp_path / "r.html").write_bytes(found.value.path().read_bytes())
    offline = browser.new_page()
    offline.goto((tmp_path / "r.html").as_uri())
    assert offline.title() == "Which words reader goes by"
    offline.get_by_role("button", name=re.compile("^good")).click()
    offline.get_by_role("button", name="evidence against good").click(modifiers=["Shift"])
    assert shown(offline) == ["good", "not good"]
    assert [grounds(offline, row) for row in (0, 1)] == [grounds(page, row) for row in (0, 1)]
    assert "Selvaraju" in offline.locator("section[aria-labelledby=methods]").inner_text()
    offline.get_by_text("The lines that make this").click()
    assert json.dumps(TEXT) in offline.locator(".lines pre").first.inner_text()
    offline.close()


def test_a_text_file_is_dropped(page):
    page.get_by_role("button", name=re.compile("^colours")).click()
    page.wait_for_selector(".pane canvas:not(.before)")
    page.wait_for_timeout(400)  # what one passes by faster is not gone back to
    page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.items.add(new File(["I hated it"], "review.txt", {type: "text/plain"}));
            document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
        }"""
    )
    eventually(page, lambda: page.locator(".words .word").all_inner_texts() == ["I", "hated", "it"])
    page.go_back()
    page.wait_for_selector(".pane canvas:not(.before)")


def test_methods_and_layers_are_chosen_as_for_photos_and_the_lines_say_them(page):
    assert "the layer was chosen for you" in page.locator(".said").inner_text()
    page.get_by_role("button", name=re.compile("^hirescam")).click()
    eventually(page, lambda: "hirescam · relu" in page.locator("figcaption").inner_text())
    page.keyboard.press("[")
    eventually(page, lambda: "hirescam · conv" in page.locator("figcaption").inner_text())
    page.get_by_text("The lines that make this").click()
    line = page.locator(".lines pre").inner_text().splitlines()[-2]
    assert line == f'e = explainer({json.dumps(TEXT)}, methods="hirescam", layers="conv")'


def test_a_changed_text_is_read_again_an_empty_one_is_not_and_a_link_restores_all(page):
    page.get_by_role("button", name=re.compile("^neither")).click()
    eventually(page, lambda: shown(page) == ["neither"])
    now = ["A", "film", "I", "hated"]
    page.get_by_label("A text").fill("A film I hated")
    eventually(page, lambda: page.locator(".words .word").all_inner_texts() == now)
    page.reload()
    eventually(
        page,
        lambda: (
            page.locator(".words .word").all_inner_texts() == ["A", "film", "I", "hated"]
            and shown(page) == ["neither"]
        ),
    )
    page.get_by_label("A text").fill("  ")
    eventually(page, lambda: page.locator(".words").count() == 0)
    assert page.locator(".warning").count() == 0


def test_a_photo_can_be_looked_at_again(page):
    page.get_by_role("button", name=re.compile("^colours")).click()
    page.wait_for_selector(".pane canvas:not(.before)")
    assert page.get_by_label("A text").count() == 0
    page.get_by_role("button", name="reader").click()
    eventually(page, lambda: page.locator(".words .word").count() > 3)


def test_a_text_that_is_refused_says_why(page):
    page.get_by_label("A text").fill("​")
    page.wait_for_selector("[role=alert]:not(:empty), .words")
    page.get_by_label("A text").fill("x" * 100_001)
    page.wait_for_selector("[role=alert]:not(:empty)")
