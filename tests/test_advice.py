"""Advice in messages fits where it is read, and works: what it names is there."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

import camscope
from camscope.cli import main
from camscope.cli.app import app
from camscope.cli.option_words import OPTIONS
from camscope.composition import COMPOSITIONS, list_methods, parse
from camscope.errors import MethodError, TargetError, either, keyword, nearest, read_as_options
from camscope.libraries.imagenet import imagenet_names
from camscope.methods.registry import get_method, spelt
from camscope.targets.class_names import class_index
from tests.cli.brightness import SPEC

SOURCE = Path(camscope.__file__).parent

# ---------------------------------------------------------------- what is named is there


@cache
def messages() -> tuple[tuple[str, str], ...]:
    """The file and the text of every string in the package that is no docstring."""
    return tuple(
        (path.relative_to(SOURCE).as_posix(), text)
        for path in sorted(SOURCE.rglob("*.py"))
        for text in strings(ast.parse(path.read_text(encoding="utf-8")))
    )


def strings(tree: ast.AST) -> Iterator[str]:
    described = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in described:
            yield node.value


def named(pattern: str) -> set[tuple[str, str]]:
    return {(found, file) for file, text in messages() for found in re.findall(pattern, text) if " " in text}


def test_every_name_of_camscope_in_a_message_is_there():
    assert len(named(r"\bcamscope\.([A-Za-z_]\w*)")) > 5
    for name, file in named(r"\bcamscope\.([A-Za-z_]\w*)"):
        if not hasattr(camscope, name):
            importlib.import_module(f"camscope.{name}"), file


def test_every_command_in_a_message_is_there():
    commands = {name for name in app if not name.startswith("-")}
    found = named(r"(?:`|: )camscope ([a-z]+)")
    assert {name for name, _ in found} >= {"explain", "methods", "layers"}
    assert {(name, file) for name, file in found if name not in commands} == set()


def options_of_commands() -> set[str]:
    found: set[str] = {"--help", "--version"}
    groups = [app]
    for group in groups:
        for command in (group[name] for name in group if not name.startswith("-")):
            if command.default_command is None:
                groups.append(command)
            else:
                found |= {word for one in command.assemble_argument_collection() for word in one.names}
    return found


def test_every_option_in_a_message_is_there():
    known = options_of_commands()
    found = named(r"(?<![\w-])(--[a-z][a-z-]+)")
    assert len(found) > 20
    others = {"--upgrade", "--no-deps", "--saved-model", "--tflite", "--output"}  # of pip and tf2onnx
    assert {(option, file) for option, file in found if option not in known | others} == set()


def test_every_keyword_in_a_message_is_an_option_of_the_command():
    """Of those that `keyword` tells as options where a command line is read."""
    known = options_of_commands()
    calls = [
        node.args[0].value
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "keyword"
        if isinstance(node.args[0], ast.Constant)
    ]
    assert len(calls) > 10
    with read_as_options(OPTIONS):
        for name in calls:
            assert keyword(name) in known, name


def test_no_function_that_nobody_can_import_is_recommended():
    """`find_photos` once was: a function's name in a message is one of the package's own, or of what it gives."""
    ours = {
        node.name
        for path in SOURCE.rglob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and "_" in node.name.strip("_")
    }
    public = {
        *camscope.__all__,
        *dir(camscope.Explainer),
        *dir(camscope.Explanation),
        *dir(camscope.Recorder),
    }
    written = {
        (name, file) for name, file in named(r"(?<![\w.=-])([a-z]+(?:_[a-z0-9]+)+)(?![\w=])") if name in ours
    }
    fields = {"photo_size"}
    assert {(name, file) for name, file in written if name not in public | fields} == set()


# ---------------------------------------------------------------- it fits who reads it


def test_a_keyword_is_an_option_in_the_command_and_only_there():
    ways = (
        ("separator", {"value": "|"}, "separator='|'", "--separator '|'"),
        ("separator", {"value": ""}, "separator=''", "--separator ''"),
        ("labels", {"like": "NAME"}, "labels=NAME", "--label NAME"),
        ("multilabel", {"value": True}, "multilabel=True", "--multilabel"),
        ("frozen_epochs", {"value": 0}, "frozen_epochs=0", "--frozen-epochs 0"),
        ("classes", {}, "classes=", "--classes"),
    )
    for name, how, in_python, in_the_command in ways:
        assert keyword(name, **how) == in_python
        with read_as_options(OPTIONS):
            assert keyword(name, **how) == in_the_command
    assert either("a", "b") == "a"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--method", "gradcm"], "`camscope methods` lists all."),
        (["--target", "drak"], "Did you mean 'dark'"),
        (["--method", "fuse(layercam)", "--layer", "seen"], "Name some: --layer cells,seen."),
        (["--classes", "two.txt"], "--classes holds 2 names, the model has 3 classes."),
        (["--save", "figure", "--target", "all", "--model", "many.py:model"], "say --save json instead"),
    ],
)
def test_an_error_of_the_command_has_no_python_in_it(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 64)).save("p.png")
    Path("two.txt").write_text("one\ntwo\n")
    Path("many.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def model():\n    return nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), "
        "nn.Flatten(), nn.Linear(4, 200)).eval()\n"
    )
    model = [] if "--model" in arguments else ["--model", SPEC]
    assert main(["explain", "p.png", *model, *arguments]) == 2
    words = capsys.readouterr().err
    assert said in words
    assert "camscope." not in words
    assert not re.search(r"\b[a-z_]+=", words), words


def test_in_python_the_same_error_names_what_python_has():
    with pytest.raises(MethodError, match=r"camscope\.list_methods\(\) lists all"):
        get_method("gradcm")
    with pytest.raises(TargetError, match=r"-camscope\.Class\(2\)"):
        class_index(-2, 3, None)
    with read_as_options(OPTIONS), pytest.raises(TargetError, match="write not:2; for the class"):
        class_index(-2, 3, None)


# ---------------------------------------------------------------- near names


def test_classes_that_hold_the_word_come_before_those_that_look_like_it():
    synonyms = [name.strip() for names in imagenet_names() for name in names.split(",")]
    assert nearest("cat", synonyms) == " Did you mean 'tabby cat' or 'tiger cat' or 'Persian cat'?"
    assert nearest("cat", ["cab", "bobcat", "a cat"]) == " Did you mean 'a cat' or 'cab' or 'bobcat'?"
    assert nearest("Tiger Cat", ["lion", "tiger cat"]) == " Did you mean 'tiger cat'?"
    assert nearest("", ["a"]) == ""


WAYS = {
    "gradcam": ("gradcam", "Grad-CAM", "GradCAM", "grad_cam", "GRAD-CAM", " gradcam "),
    "gradcam++": ("gradcam++", "Grad-CAM++", "GradCAMpp", "grad_cam_pp", "gradcam_plusplus"[:7] + "pp"),
    "smoothgradcam++": ("SmoothGradCAM++", "smooth-gradcam-pp"),
    "scorecam": ("Score-CAM", "ScoreCAM"),
    "polycam-": ("polycam-", "PolyCAM-"),
}


@pytest.mark.parametrize("name", WAYS)
def test_a_method_may_be_written_in_any_usual_way(name):
    for way in WAYS[name]:
        assert parse(way).name == name, way
    assert parse(f"smooth({WAYS[name][1]}, n=2)").name == f"smooth({name}, n=2)"


def test_no_way_of_writing_means_two_methods():
    names = [*(m.name for m in list_methods()), *COMPOSITIONS]
    assert [spelt(name.upper().replace("+", "p"), names) for name in names] == names


def test_a_typo_is_answered_by_three_names_not_by_all():
    with pytest.raises(MethodError) as caught:
        parse("gradcamm")
    assert sum(f"'{m.name}'" in str(caught.value) for m in list_methods()) <= 3
    assert len(str(caught.value)) < 160
