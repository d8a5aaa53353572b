"""A blank image, for which nothing reaches the score, does not decide which layer explains the others."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import camscope
from tests.torch.nets import Apply, batch, linear

PHOTO = batch(1, 3, 16, 16)
BLACK = torch.zeros_like(PHOTO)
POOL = Apply(lambda x: x.mean((2, 3)))


def unbiased() -> nn.Module:
    """Without biases a black image gives zeros at every layer, and the ReLU in its head sends no gradient back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, bias=False),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, stride=2, bias=False),
            nn.ReLU(),
            Apply(lambda x: x.mean((2, 3))),
            nn.Linear(8, 6, bias=False),
            nn.ReLU(),
            linear(6, 3, 0),
        ).eval()


class Bright(nn.Module):
    """The deeper layer counts for bright images only."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Tanh())
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, 2), nn.Tanh())
        self.head = linear(8, 3, 0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem = self.stem(x)
        bright = (x.mean((1, 2, 3)) > 0.1).float()[:, None]
        return self.head(stem.mean((2, 3)) + bright * self.deep(stem).mean((2, 3)))


def first(found: camscope.Explanation) -> list[str]:
    return [str(of_image[0]) for of_image in found.status[found.key()]]


def test_the_order_of_the_images_does_not_matter():
    model = unbiased()
    forwards = camscope.explain(model, torch.cat([PHOTO, BLACK]), targets=1)
    backwards = camscope.explain(model, torch.cat([BLACK, PHOTO]), targets=1)
    assert forwards.layers == backwards.layers == ("3",)
    assert torch.equal(forwards.maps().flip(0), backwards.maps())
    assert first(backwards) == ["no-gradient", "ok"]


def test_a_blank_image_first_does_not_decide_for_later_calls():
    explainer = camscope.Explainer(unbiased())
    assert explainer(BLACK).layers == explainer(PHOTO).layers == ("3",)


def test_a_layer_that_counts_for_another_image_than_the_first_is_found():
    dark, bright = BLACK - 1, BLACK + 1
    model = Bright()
    assert camscope.explain(model, torch.cat([dark, bright])).layers == ("deep",)
    explainer = camscope.Explainer(model)
    assert explainer(dark).layers == explainer(bright).layers == ("deep",)


def test_another_image_than_noise_can_show_the_layer():
    class Far(Bright):
        """Noise between 0 and 1 is not bright enough."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x - 5)

    assert camscope.explain(Far(), torch.cat([BLACK, BLACK + 9])).layers == ("deep",)
    assert camscope.explain(Far(), BLACK).layers == ("stem",)


def test_zeros_do_not_tell_whether_a_relu_follows():
    """Where all is zero the layer's mean is that of its ReLU, and `maximum` sends a gradient back from zero."""
    pooled = Apply(lambda x: torch.maximum(x, torch.zeros(())).mean((2, 3)))
    model = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.Tanh(), pooled, linear(8, 3, 0))
    assert camscope.explain(model, PHOTO).layers == ("1+relu",)
    explainer = camscope.Explainer(model)
    assert explainer(BLACK).layers == explainer(PHOTO).layers == ("1+relu",)


def test_layers_are_listed_and_fused_as_for_a_photo():
    explainer, other = camscope.Explainer(unbiased()), camscope.Explainer(unbiased())
    reaching = [(layer.name, layer.reaches) for layer in explainer.layers(BLACK)[0]]
    assert reaching == [(layer.name, layer.reaches) for layer in other.layers(PHOTO)[0]]
    fused = explainer(BLACK, methods="fuse(layercam, max)")
    assert (
        fused.provenance["layers"]["fused"]
        == other(PHOTO, methods="fuse(layercam, max)").provenance["layers"]["fused"]
    )


@pytest.mark.parametrize(
    ("model", "x", "words"),
    [
        (
            unbiased(),
            BLACK,
            "What 3 puts out is zero everywhere, so there is nothing that a map of it could show",
        ),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), POOL),
            BLACK,
            "What 1 puts out is the same at every position",
        ),
    ],
    ids=["zeros", "the same everywhere"],
)
def test_a_flat_map_of_a_blank_layer_is_noted_as_that(model, x, words):
    found = camscope.explain(model, x, targets=1)
    assert any(note.startswith(words) for note in found.notes)
    assert not any("puts out is" in note for note in camscope.explain(model, PHOTO, targets=1).notes)
