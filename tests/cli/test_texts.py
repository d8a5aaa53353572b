"""`camscope explain` and `camscope layers` on models that read texts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import camscope
from tests.texts import transformer, wordpiece

FACTORY = """
import torch
from torch import nn
from camscope import Vocabulary


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.embedding(x).relu().mean(1))


def model():
    torch.manual_seed(0)
    made = Model()
    made.class_names = ["negative", "positive"]
    made.tokenizer = {"<unk>": 0, "a": 1, "good": 2, "film": 3, "bad": 4}
    return made
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A BERT with random weights and its tokenizer, as `save_pretrained` leaves them."""
    path = tmp_path_factory.mktemp("bert")
    transformer().save_pretrained(path)
    wordpiece().save_pretrained(path)
    return path


def test_a_text_is_explained_where_a_photo_would_be(run, folder):
    ran = run("explain", "a film I loved, don't miss it", "--model", f"hf:{folder}")
    assert ran.status == 0, ran.err
    said = " ".join(ran.out.split())
    assert "a film I loved, don't miss it" in said
    assert "positive" in said
    assert "negative" in said
    assert "for " in said or "against " in said
    assert any(line.startswith(("positive: for ", "positive: against ")) for line in ran.out.splitlines())
    assert "YOUR-FOLDER" not in said
    written = sorted(path.name for path in Path("camscope-out").iterdir())
    assert [Path(name).suffix for name in written] == [".png", ".html"]
    html = next(Path("camscope-out").glob("*.html")).read_text()
    assert html.startswith("<!doctype html>")
    assert "loved</span>" in html


def test_a_file_gives_one_text_a_line_and_json_has_words(run, folder):
    Path("reviews.txt").write_text(
        "a film I loved\n\nthe plot was dull , so dull\nboring\n", encoding="utf-8"
    )
    ran = run(
        "explain", "reviews.txt", "--model", f"hf:{folder}", "--target", "positive", "--method", "gradcam,legrad",
        "--save", "npz,json", "--json",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    document = json.loads(ran.out)
    assert [one["source"] for one in document["explained"]] == [
        "reviews.txt:1",
        "reviews.txt:3",
        "reviews.txt:4",
    ]
    first = document["explained"][0]
    assert [word[0] for word in first["text"]["words"]] == ["a", "film", "I", "loved"]
    assert {len(values[0]) for values in first["words"].values()} == {4}
    e = camscope.load(next(path for path in first["files"] if path.endswith(".npz")))
    assert [word for word, _ in e.words(0, "legrad")] == ["a", "film", "I", "loved"]


def test_one_text_that_fails_leaves_the_others(run, folder):
    ran = run("explain", "a film", " ".join(["film"] * 80), "a plot", "--model", f"hf:{folder}", "--json")
    assert ran.status == 1
    document = json.loads(ran.out)
    assert len(document["explained"]) == 2
    assert "the model takes 64" in document["failed"][0]["error"]


def test_the_only_text_that_fails_is_counted_as_a_text(run, folder):
    ran = run("explain", " ".join(["film"] * 80), "--model", f"hf:{folder}")
    assert ran.status == 1
    assert "0 of 1 texts explained." in ran.out
    assert "Try next" not in ran.out


def test_a_model_of_your_own_brings_its_tokenizer(run):
    Path("mine.py").write_text(FACTORY)
    ran = run("explain", "A good film", "--model", "mine.py:model", "--target", "positive", "--json")
    assert (ran.status, ran.err) == (0, "")  # nothing is told to people beside it
    (one,) = json.loads(ran.out)["explained"]
    assert [word[0] for word in one["text"]["words"]] == ["A", "good", "film"]


def test_layers_of_a_text_model_are_listed(run, folder):
    ran = run("layers", "--model", f"hf:{folder}", "--all", "--json")
    assert ran.status == 0, ran.err
    layers = json.loads(ran.out)
    assert [layer["name"] for layer in layers if layer["automatic"]] == ["bert.encoder.layer.1"]
    last = next(layer for layer in layers if layer["name"] == "bert.encoder.layer.2")
    assert last["reaches_score"] is False


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.txt"], "missing.txt cannot be read: No such file"),
        (["empty.txt"], "empty.txt holds no text"),
        (["photo.jpg"], "photo.jpg is a file, and this model reads texts"),
        ([" "], "A text that was given is empty"),
        (["a film", "--save", "channels"], "--save channels lays feature maps over photos"),
        (["a film", "--method", "rise"], "rise needs altered inputs, and this input is token numbers"),
    ],
)
def test_wrong_usage_teaches(run, folder, arguments, words):
    Path("empty.txt").write_text("\n \n")
    Path("photo.jpg").write_bytes(b"no photo")
    ran = run("explain", *arguments, "--model", f"hf:{folder}", "--json")
    assert ran.status == 2
    assert ran.out == ""
    assert words in " ".join(ran.err.split())


def test_a_text_has_no_side(run, folder):
    ran = run("layers", "--model", f"hf:{folder}", "--size", 64)
    assert ran.status == 2
    assert "--size 64 is the side of a picture, and this model reads texts" in ran.err
