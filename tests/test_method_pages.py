"""The pages of methods: all methods stand on one, as they say of themselves, with the gallery's pictures."""

from __future__ import annotations

import re

import numpy as np
import pytest
from benchmarks.gallery import (
    GAP,
    LAST,
    MODELS,
    PER_CHANNEL,
    PHOTOS,
    PICTURES,
    SIDE,
    chosen,
    kept,
    made,
    strip_file,
)
from benchmarks.methods_page import FAMILIES, NAME, PAGES, members, parts, trusted
from benchmarks.page_parts import marked
from PIL import Image

import camscope

AGAIN = "run: python -m benchmarks.methods_page"
METHODS = [m.name for m in camscope.list_methods()]


@pytest.mark.parametrize("page", ["index", "gallery", *FAMILIES])
def test_a_page_says_what_its_methods_say_of_themselves(page):
    assert marked(NAME, parts()[page]) in (PAGES / f"{page}.md").read_text("utf-8"), AGAIN


def test_every_method_stands_on_one_page():
    assert sorted(m.name for page in FAMILIES for m in members(page)) == sorted(METHODS)


@pytest.mark.parametrize("page", FAMILIES)
def test_a_page_of_a_family_answers_the_same_questions(page):
    headings = re.findall(r"^## (.+)$", (PAGES / f"{page}.md").read_text("utf-8"), re.MULTILINE)
    asked = ["The idea", "When it equals another", "What it costs", "What it gets wrong", "The methods"]
    assert headings == asked


def test_every_picture_is_shown_and_every_one_that_is_shown_is_there():
    pages = "\n".join(page.read_text("utf-8") for page in PAGES.glob("*.md"))
    shown = set(re.findall(r"\]\(pictures/([^)]+)\)", pages))
    there = {str(file.relative_to(PICTURES)) for file in PICTURES.rglob("*.webp")}
    assert shown == there
    assert set(re.findall(r"!\[([^\]]{0,30})\]", pages)) == set(), (
        "a picture without a text that says what it shows"
    )


@pytest.mark.parametrize("model", MODELS)
def test_every_method_was_run_or_refused_with_a_reason(model):
    row = kept()[model]
    assert set(METHODS) - {*row.ran, *row.refused} <= {*PER_CHANNEL, *(() if model == "demo" else LAST)}, (
        "run: python -m benchmarks.gallery"
    )
    assert not set(row.ran) & set(row.refused)
    assert all(len(why) > 20 for why in row.refused.values())
    assert all((PICTURES / strip_file(model, method)).is_file() for method in row.ran)


def test_the_pictures_are_small():
    assert sum(file.stat().st_size for file in PICTURES.rglob("*")) < 2.5e6


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gradcam", "layercam", "eigencam"])
def test_a_strip_is_what_the_method_gives_today(method):
    here = [place for place, name in enumerate(PHOTOS) if name.startswith("scikit-image/")]
    _, picture = made("demo", method, [chosen()[place] for place in here])
    kept_strip = np.asarray(Image.open(PICTURES / strip_file("demo", method)), float)
    starts = [place * (SIDE + GAP) for place in here]
    theirs = [kept_strip[:, start : start + SIDE] for start in starts]
    ours = [np.asarray(picture, float)[:, i * (SIDE + GAP) :][:, :SIDE] for i in range(len(here))]
    assert np.abs(np.array(ours) - theirs).mean() < 6, "run: python -m benchmarks.gallery --again"
    assert np.abs(np.array(ours) - theirs[::-1]).mean() > 18  # the measure sees another picture


def test_the_trust_of_a_method_is_the_leaderboards():
    board = (PAGES.parent / "leaderboard.md").read_text("utf-8")
    row = next(line for line in board.splitlines() if line.startswith("|") and "finercam" in line)
    fidelity, beats, judged = trusted("demo")["finercam"]
    assert f"{fidelity:.2f}" in row
    assert f"{beats} of {judged}" in row.replace("\u00a0", " ")
