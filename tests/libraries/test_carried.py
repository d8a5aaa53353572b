"""What the user put on a model, `preprocessing` and `class_names`, comes before what its library says of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
import transformers as hf
from torch import nn

import camscope
from camscope import Preprocessing
from camscope.libraries.registry import recognise
from tests.conftest import make_tiny_cnn
from tests.libraries.test_huggingface import TINY, build

OWN = Preprocessing(input_size=(64, 64), resize=70, mean=(0.5,) * 3, std=(0.25,) * 3, source="mine")
NAMES = ["one, uno", "two", "three"]


def plain_hf() -> nn.Module:
    return build("ViT", **TINY)


def pipeline() -> Any:
    processor = hf.ViTImageProcessor(size={"height": 32, "width": 32})
    return hf.pipeline("image-classification", model=plain_hf(), image_processor=processor)


MODELS: dict[str, Callable[[], Any]] = {
    "timm": lambda: timm.create_model("test_efficientnet", num_classes=3),
    "torchvision": lambda: torchvision.models.squeezenet1_1(num_classes=3),
    "segmenter": lambda: torchvision.models.segmentation.lraspp_mobilenet_v3_large(
        weights_backbone=None, num_classes=3
    ),
    "transformers": plain_hf,
    "own": lambda: make_tiny_cnn(classes=3),
}


@pytest.mark.parametrize("library", MODELS)
def test_it_wins_and_nothing_is_presumed(library):
    model = MODELS[library]().eval()
    model.preprocessing, model.class_names = OWN, NAMES
    explainer = camscope.Explainer(model)
    assert explainer.preprocessing == OWN
    e = explainer(np.random.default_rng(0).integers(0, 256, (90, 80, 3), dtype=np.uint8))
    assert e.class_names == NAMES
    assert e.input_size == (64, 64)
    assert e.provenance["preprocessing"]["source"] == "mine"
    assert not any("presumed" in note or "class names" in note for note in e.notes)


def test_each_of_the_two_by_itself():
    names, photos = (MODELS["torchvision"]() for _ in range(2))
    names.class_names, photos.preprocessing = tuple(NAMES), OWN
    _, with_names = recognise(names)
    _, with_photos = recognise(photos)
    assert with_names.class_names == NAMES
    assert "presumed" in with_names.note
    assert with_photos.preprocessing == OWN
    assert (with_photos.class_names, with_photos.note) == (None, "")


@pytest.mark.parametrize("on", ["pipeline", "model"])
def test_on_a_pipeline_or_on_the_model_in_it(on):
    given = pipeline()
    owner = given if on == "pipeline" else given.model
    owner.preprocessing, owner.class_names = OWN, np.array(NAMES)
    _, info = recognise(given)
    assert info.preprocessing == OWN
    assert info.class_names == NAMES


def test_what_explainer_is_given_wins_over_both():
    model = MODELS["torchvision"]().eval()
    model.class_names, model.preprocessing = NAMES, OWN
    other = Preprocessing(input_size=(96, 96), resize=96)
    explainer = camscope.Explainer(model, class_names=list("abc"), preprocessing=other)
    e = explainer(torch.rand(1, 3, 96, 96))
    assert e.class_names == list("abc")
    assert explainer.preprocessing == other


def test_a_step_of_the_model_that_has_such_a_name_is_none():
    """`self.preprocessing = nn.BatchNorm2d(3)` is a layer."""
    model = MODELS["torchvision"]()
    model.preprocessing = nn.BatchNorm2d(3)
    _, info = recognise(model)
    assert "presumed" in info.preprocessing.source


def test_names_that_do_not_fit_are_left_out_and_that_is_said():
    model = MODELS["torchvision"]().eval()
    model.class_names = ["a", "b"]
    e = camscope.explain(model, torch.rand(1, 3, 64, 64))
    assert e.class_names is None
    assert "The 2 class names that came with the model do not fit its 3 outputs and were left out." in e.notes


def test_a_file_that_makes_a_librarys_model(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torchvision\n"
        "def build():\n"
        "    model = torchvision.models.squeezenet1_1(num_classes=2).eval()\n"
        "    model.class_names = ['cat, black', 'cat, white']\n"
        "    return model\n"
    )
    e = camscope.explain(f"{tmp_path}/mine.py:build", torch.rand(1, 3, 64, 64), targets="cat, white")
    assert e.titles == (("cat, white",),)
