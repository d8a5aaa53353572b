"""`camscope layers` and `camscope methods`: what there is to choose from, for people and for programs."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path

import pytest

import camscope.cli
from camscope.cli.app import app
from camscope.composition import COMPOSITIONS, NAMED, list_methods, parse, split
from camscope.evidence import in_words
from camscope.methods import get_method, registry
from tests.cli.brightness import SPEC

SMALL = ("--model", "timm:test_efficientnet", "--weights", "random")


def layers(run, *arguments: object) -> list[dict]:
    ran = run("layers", "--json", *arguments)
    assert ran.status == 0
    return json.loads(ran.out)


def automatic(found: list[dict]) -> dict:
    (chosen,) = [layer for layer in found if layer["automatic"]]
    return chosen


@pytest.mark.slow
def test_the_demo_model_is_explained_where_it_is_pooled(run):
    chosen = automatic(layers(run))
    assert (chosen["name"], chosen["grid"], chosen["channels"]) == ("bn2", [7, 7], 1280)
    assert chosen["reaches_score"] is True


def test_a_vit_shows_its_tokens_and_which_layers_do_not_reach_the_score(run):
    listed = layers(run, "--model", "timm:test_vit", "--weights", "random")
    found = {layer["name"]: layer for layer in listed}
    chosen = automatic(listed)
    assert chosen["name"].endswith("norm1")
    assert (chosen["layout"], chosen["grid"], chosen["prefix_tokens"]) == ("tokens", [10, 10], 1)
    assert chosen["reaches_score"] is True
    assert found["norm"]["reaches_score"] is False


def test_a_model_of_ones_own(run):
    found = layers(run, "--model", SPEC)
    assert [layer["name"] for layer in found] == ["cells", "seen"]
    assert automatic(found)["name"] == "seen"
    assert all(layer["grid"] == [16, 16] and layer["channels"] == 4 for layer in found)


@pytest.mark.parametrize(("size", "grid"), [(32, 8), (100, 25)])
def test_another_input_size_gives_other_grids(run, size, grid):
    assert automatic(layers(run, "--model", SPEC, "--size", size))["grid"] == [grid, grid]


def test_all_shows_more_and_leaves_the_choice(run):
    few, every = layers(run, *SMALL), layers(run, *SMALL, "--all")
    assert {layer["name"] for layer in few} < {layer["name"] for layer in every}
    assert automatic(few) == automatic(every)
    assert "Layers inside blocks: --all." in " ".join(run("layers", *SMALL).out.split())


@pytest.mark.parametrize("columns", [60, 80])
def test_the_table_fits_the_terminal_and_marks_one_layer(run, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = run("layers", *SMALL).out.splitlines()
    assert max(map(len, lines)) <= columns
    marked = [line for line in lines if line.startswith("→  ")]
    assert [line.split()[1] for line in marked] == [automatic(layers(run, *SMALL))["name"]]


def test_methods_json_is_what_python_lists(run):
    ran = run("methods", "--json")
    assert ran.status == 0
    listed = json.loads(ran.out)
    assert [(m["name"], m["paper"], m["formula"], m["cost"], m["advice"]) for m in listed] == [
        (m.name, m.paper, m.formula, m.cost, m.advice) for m in list_methods()
    ]
    assert {m["name"]: m["needs"] for m in listed}["cam"] == ["activations", "linear head"]
    for m in listed:  # what is listed can be asked for, and is what is said of it
        e = parse(m["name"])
        assert (e.class_specific, e.rectified) == (m["class_specific"], m["signed"])


def test_methods_of_a_model_are_those_that_it_offers(run):
    """A network without attention, with a linear head, on a picture of its own size or another."""
    listed = json.loads(run("methods", "--json", "--model", SPEC).out)
    assert [m["name"] for m in listed] == [m.name for m in list_methods()]
    refused = {m["name"]: m["why_not"] for m in listed if not m["offered"]}
    assert {"rollout", "chefer", "legrad"} <= refused.keys()
    assert refused.keys().isdisjoint({"cam", "gradcam", "rise", "fullgrad"})
    assert all("attention" in why for why in refused.values())
    text = " ".join(run("methods", "--model", SPEC, "--size", "32").out.split())
    offered, _, rest = text.partition("Not of this model")
    assert "gradcam ReLU" in offered
    assert "rollout" not in offered
    assert rest.startswith(" " + ", ".join(refused))


def test_methods_of_a_model_are_of_its_size(run):
    assert "--size 0: expected a number of pixels" in run("methods", "--model", SPEC, "--size", "0").err


def test_methods_shows_compositions_by_their_names_and_as_words(run):
    """What each name stands for can be pasted; around any method goes what stands at the end, with its parameters."""
    ran = run("methods")
    text = " ".join(ran.out.split())
    for name, named in NAMED.items():
        assert f"{name} {' '.join(named.formula.split())}" in text
        assert parse(named.formula) == named.inner
    around = text.partition("Around any of them")[2]
    for word, kind in COMPOSITIONS.items():
        assert f"{word}(METHOD" in around
        assert all(f"{parameter}=" in around for parameter in kind.parameters())
        assert " ".join((kind.__doc__ or "").strip().splitlines()[0].split()) in around
    examples = split(around.partition("For instance")[2].partition(". ")[0].removesuffix("."))
    assert len(examples) == 3
    for example in examples:
        parse(example)


def test_methods_shows_parameters(run):
    listed = {m["name"]: m for m in json.loads(run("methods", "--json").out)}
    assert listed["scorecam"]["parameters"] == {"top": None}
    assert listed["finercam"]["parameters"] == {}
    text = " ".join(run("methods").out.split())
    assert "Parameters: top=None." in text
    assert "Parameters: of=probability." in text


def test_which_methods_are_the_same_behind_a_linear_head_is_read_from_the_register(run, monkeypatch):
    """Also of one that joins it, and a method that is the same as no other is left out."""
    facts = registry.BehindLinearHead("cam", of_logits=True, of_nonnegative=True)
    joined = replace(get_method("gradcam"), base="mycam", behind_linear_head=facts)
    alone = replace(joined, base="alonecam", behind_linear_head=registry.BehindLinearHead("alonecam"))
    for m in (joined, alone):
        monkeypatch.setitem(registry._methods, m.base, m)
    text = " ".join(run("methods").out.split())
    sentence = text.partition("the same map up to a constant: ")[2].partition(". That")[0]
    groups = sentence.split("; ")
    assert groups[0].startswith("cam, gradcam, hirescam, xgradcam, shapley (of logits)")
    assert groups[0].endswith("mycam (of logits, where activations are ≥ 0)")
    assert "layercam, gradcam++-official, gradcam-elementwise (where activations are ≥ 0)" in groups
    assert "alonecam" not in sentence
    assert "eigencam" not in sentence


@pytest.mark.parametrize("columns", [60, 80])
def test_methods_tells_paper_needs_and_cost_of_each(run, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    ran = run("methods")
    assert ran.status == 0
    assert max(map(len, ran.out.splitlines())) <= columns
    text = " ".join(ran.out.split())
    for method in list_methods():
        needs = in_words(method.needs, method.instead)
        words = (
            f"{method.name} {method.formula}",
            method.advice,
            method.paper,
            f"Needs {needs}: {method.cost}.",
        )
        assert all(" ".join(word.split()) in text for word in words)


@pytest.mark.parametrize("name", ["layercam", "gradcam++"])
def test_methods_that_drop_negative_weights_say_what_that_costs(run, name):
    (method,) = [m for m in json.loads(run("methods", "--json").out) if m["name"] == name]
    assert "0.3–0.5" in method["advice"]
    assert "mosaic" in method["advice"]


def test_no_command_imports_a_framework():
    """Not even inside a function: which framework a model is of is for the adapters to know."""
    files = list(Path(camscope.cli.__file__).parent.glob("*.py"))
    assert len(files) > 5
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            roots = {name.partition(".")[0] for name in names}
            assert not roots & {"torch", "jax", "keras", "tensorflow", "onnxruntime", "timm"}, file.name


@pytest.mark.parametrize(
    "command", ["explain", "report", "concepts", "trust", "choose", "run", "layers", "methods"]
)
def test_how_a_model_is_opened_is_said_alike_to_every_command(command):
    said = "--model onnx:a.onnx --preprocessing 0-1@64 --classes a.txt --task multilabel --device cpu --num-classes 3"
    _, bound, _ = app.parse_args([command, *said.split()], print_error=False, exit_on_error=False)
    model = bound.arguments["model"]
    assert (model.preprocessing, model.task, model.device) == ("0-1@64", "multilabel", "cpu")


def test_layers_are_looked_at_as_photos_are_prepared(run):
    ran = run("layers", "--model", "timm:resnet18", "--weights", "random", "--preprocessing", "0-1@64")
    assert "512×2×2" in ran.out


def test_methods_of_the_demo_are_asked_for_by_its_name(run):
    every, of_demo = (json.loads(run("methods", *words, "--json").out) for words in ([], ["--model", "demo"]))
    assert "offered" not in every[0]
    assert "offered" in of_demo[0]
