"""A blank or faint image, for which little reaches the score, does not decide which layer explains the others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import camscope
from camscope.models.batch import Batch
from camscope.models.torch.layer_finder import LayerFinder
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


class Faint(nn.Module):
    """The deeper layer puts out nothing where there is little contrast."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), Apply(torch.tanh))
            self.deep = nn.Sequential(
                nn.Conv2d(8, 8, 3, 2, bias=False), Apply(lambda x: (x.abs() - 0.01).relu())
            )
        self.head = linear(8, 3, 0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem = self.stem(x)
        return self.head(stem.mean((2, 3)) + self.deep(stem).mean((2, 3)))


FAINT = 1e-3 * batch(1, 3, 16, 16, seed=1)


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


def test_a_faint_image_does_not_decide_wherever_it_stands():
    model = Faint().eval()
    assert camscope.explain(model, FAINT).layers != ("deep",)
    orders = [[FAINT, PHOTO, BLACK], [PHOTO, FAINT, BLACK], [BLACK, FAINT, PHOTO]]
    found = [camscope.explain(model, torch.cat(order)) for order in orders]
    assert {e.layers for e in found} == {("deep",)}
    grids = [
        [(layer.name, layer.grid) for layer in camscope.Explainer(model).layers(torch.cat(order))[0]]
        for order in orders
    ]
    assert grids[0] == grids[1] == grids[2]


def test_after_faint_images_a_photo_is_looked_at_anew_and_nothing_more(monkeypatch):
    looks = []
    look = LayerFinder._look
    monkeypatch.setattr(
        LayerFinder, "_look", lambda self, batch: looks.append(len(batch)) or look(self, batch)
    )
    explainer = camscope.Explainer(Faint().eval())
    explainer(FAINT)
    assert explainer(1.5 * FAINT).layers != ("deep",)
    assert looks == [1]
    assert explainer(PHOTO).layers == ("deep",)
    assert looks == [1, 1]
    for x in (PHOTO, 1.5 * PHOTO, FAINT, BLACK, torch.cat([BLACK, PHOTO])):
        assert explainer(x).layers == ("deep",)
    assert explainer(PHOTO, layers="deep").layers == ("deep",)
    assert looks == [1, 1]


def test_what_there_is_to_see_is_measured_over_space():
    colours = torch.tensor([-2.1, -2.0, -1.8])[None, :, None, None]
    x = torch.cat([BLACK + colours, 0.5 * PHOTO, PHOTO, PHOTO.flip(3) + colours])
    spreads = Batch((x,)).spreads
    assert spreads[0] == 0  # black, as a photo is normalised
    expected = x.double().var((2, 3), correction=0).mean(1).sqrt()
    np.testing.assert_allclose(spreads, expected, rtol=1e-6)
    np.testing.assert_allclose(Batch((x.bfloat16(),)).spreads, expected, rtol=2e-2, atol=1e-2)
    assert torch.equal(Batch((x,)).most_telling(4).x[2:], x[[1, 0]])
    assert len(Batch((x,)).most_telling(9)) == 4


def test_of_texts_those_with_the_most_kinds_of_tokens_tell_most():
    ids = torch.tensor([[7, 7, 7], [5, 2, 1], [3, 4, 3], [5, 1, 2]])
    orders = [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]]
    for order in orders:
        assert Batch((ids[order],)).most_telling(4).x.tolist() == ids[[1, 3, 2, 0]].tolist()


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
