"""The examples in the docstrings of what `import camscope` offers run, and each of these names has one.

In all of them `model` is a ResNet-18, `x` two images, and the folder holds what the pages' code finds in its own.
"""

from __future__ import annotations

import doctest
import inspect

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

import camscope
from camscope.methods import registry
from tests.documented_world import prepared


def offered() -> list[str]:
    """The classes and functions of the first rank; an error's own example is whatever raises it."""
    found = []
    for name in camscope.__all__:
        thing = getattr(camscope, name)
        raised = isinstance(thing, type) and issubclass(thing, Exception)
        if (inspect.isclass(thing) or callable(thing)) and not raised:
            found.append(name)
    return found


def examples_of(text: str | None) -> list[doctest.Example]:
    return doctest.DocTestParser().get_examples(inspect.cleandoc(text or ""))


def failures(text: str, names: dict[str, object], name: str = "example") -> str:
    """What does not come out as it says there; empty if all does."""
    test = doctest.DocTestParser().get_doctest(inspect.cleandoc(text), names, name, None, 0)
    said: list[str] = []
    doctest.DocTestRunner().run(test, out=said.append)
    return "".join(said)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    prepared(folder)
    torch.manual_seed(0)
    model = torchvision.models.resnet18().eval()
    names = {"camscope": camscope, "torch": torch, "np": np, "Image": Image}
    return folder, {**names, "model": model, "x": torch.randn(2, 3, 96, 96)}


@pytest.mark.parametrize("name", offered())
def test_a_public_name_has_an_example(name):
    assert examples_of(getattr(camscope, name).__doc__), (
        f"{name} has no lines that begin with >>> in its docstring"
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::camscope.CamscopeWarning")
@pytest.mark.parametrize("name", offered())
def test_an_example_comes_out_as_it_says(name, world, monkeypatch):
    folder, names = world
    monkeypatch.chdir(folder)
    monkeypatch.setattr(registry, "_methods", dict(registry._methods))  # an example may add a method
    said = failures(getattr(camscope, name).__doc__, dict(names), name)
    assert not said, said


def test_an_example_that_does_not_come_out_is_seen():
    assert "Expected:\n    3\nGot:\n    2" in failures(">>> 1 + 1\n3", {})
    assert not failures(">>> 1 + 1\n2", {})


def test_what_is_offered_is_more_than_a_handful():
    assert {"explain", "Explainer", "Explanation", "Class", "overlay", "Recorder"} <= set(offered())
    assert "ImageError" not in offered()
