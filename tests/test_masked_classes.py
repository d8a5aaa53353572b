"""A model that masks classes out by a logit of −∞: the others are explained as if it had no more than these."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

import camscope
from camscope import AllClasses, Contrast, PerImage, TopK
from camscope.errors import ModelError, TargetError
from tests.conftest import make_tiny_cnn

NEVER = -torch.inf
NAMES = ["a", "b", "c", "d", "e"]
METHODS = ["gradcam", "cam", "layercam", "gradcam++", "ablationcam", "fullgrad", "shapley"]


class Masked(nn.Module):
    """The tiny network, of whose five classes only some are allowed.

    Args:
        allowed: for all images, or for each.
        how: how the mask is applied.
        value: what the others get.
    """

    def __init__(self, allowed, how: str = "fill", value: float = NEVER) -> None:
        super().__init__()
        self.net = make_tiny_cnn()
        self.how, self.value = how, value
        self.register_buffer("allowed", torch.tensor(allowed, dtype=torch.bool))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.net(x)
        if self.how == "fill":
            return y.masked_fill(~self.allowed, self.value)
        return y + torch.where(self.allowed, 0.0, self.value)


def masked(*allowed, **options) -> nn.Module:
    return Masked(allowed or [1, 1, 0, 1, 0], **options).eval()


@pytest.mark.parametrize("how", ["fill", "add"])
def test_logits_are_explained_as_without_a_mask(how, tiny_batch):
    options = {"methods": METHODS, "targets": [0, "-3", 1], "layers": None}
    e = camscope.explain(masked(how=how), tiny_batch, **options)
    plain = camscope.explain(make_tiny_cnn(), tiny_batch, **options)
    for ours, theirs in zip(e.raw.values(), plain.raw.values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert torch.equal(e.scores, plain.scores)
    assert e.probabilities[:, [2, 4]].eq(0).all()
    torch.testing.assert_close(e.probabilities.sum(1), torch.ones(2))


def test_probabilities_are_among_the_classes_that_are_left(tiny_batch):
    """The same maps as of a network that has only these classes."""
    three = make_tiny_cnn()
    kept = nn.Linear(16, 3)
    kept.load_state_dict({k: v[[0, 1, 3]] for k, v in three.head.state_dict().items()})
    three.head = kept
    options = {"methods": ["gradcam", "scorecam", "finercam"]}
    ours = camscope.explain(masked(), tiny_batch, targets=["probability:3", "rest:1"], **options)
    theirs = camscope.explain(three, tiny_batch, targets=["probability:2", "rest:1"], **options)
    for (method, _), maps in ours.raw.items():
        torch.testing.assert_close(maps, theirs.maps(method), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.scores, theirs.scores)


@pytest.mark.parametrize(
    ("target", "label"),
    [
        (2, "c"),
        ("-c", "not c"),
        ("probability:c", "probability of c"),
        (AllClasses(), "c"),
        (TopK(4), "c|e"),
        (Contrast("a", "e"), "a vs e"),
        (PerImage([0, "c"]), "c"),
    ],
)
def test_a_class_that_is_masked_out_is_refused_with_those_that_are_left(target, label, tiny_batch):
    with pytest.raises(TargetError, match=f"'({label})' cannot be explained in image .*are: a, b, d\\."):
        camscope.explain(masked(), tiny_batch, targets=target, class_names=NAMES)


def test_similar_and_top_classes_are_among_those_that_are_left(tiny_batch):
    mask = [[1, 1, 0, 1, 0], [1, 0, 0, 1, 0]]  # two others in one image, one in the other
    e = camscope.explain(
        masked(*mask), tiny_batch, targets=[Contrast("a"), TopK(5, or_fewer=True)], class_names=NAMES
    )
    assert [row[0].against for row in e.targets][1] == ("d",)
    assert all(set(row[0].against) <= {"b", "d"} for row in e.targets)
    assert len(e.targets[0]) == 3  # the contrast and two classes
    assert {t.name for t in e.targets[1][1:]} == {"a", "d"}
    assert torch.isfinite(e.scores).all()


def test_json_has_null_where_a_logit_is_no_number(tiny_batch, tmp_path):
    e = camscope.explain(masked(), tiny_batch, class_names=NAMES)
    with np.load(e.save(tmp_path / "e.npz")) as file:
        document = json.loads(str(file["json"]), parse_constant=pytest.fail)
    top = document["images"][0]["top"]
    assert [entry["logit"] is None for entry in top] == [False] * 3 + [True] * 2
    assert [entry["probability"] for entry in top[3:]] == [0, 0]
    assert np.isneginf(camscope.load(tmp_path / "e.npz").logits[:, [2, 4]]).all()


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_anything_else_that_is_no_number_is_an_error(value, tiny_batch):
    with pytest.raises(ModelError, match="it overflows"):
        camscope.explain(masked(value=value), tiny_batch)


def test_all_classes_of_an_image_cannot_be_masked_out(tiny_batch):
    with pytest.raises(ModelError, match="it overflows"):
        camscope.explain(masked([1, 1, 1, 1, 1], [0, 0, 0, 0, 0]), tiny_batch)


def test_a_regression_masks_nothing_out(tiny_batch):
    with pytest.raises(ModelError, match="it overflows"):
        camscope.explain(masked(), tiny_batch, task="regression")


def test_concepts_need_no_class(tiny_batch):
    concepts = camscope.Explainer(masked()).concepts(tiny_batch, count=2)
    assert torch.isfinite(concepts.explanation.maps()).all()
