"""Models that move positions by themselves: no map is drawn where the picture is not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import camscope
from camscope.errors import LayerError
from tests.torch.nets import batch, linear

X = batch(2, 3, 48, 64)


class Convolutions(nn.Module):
    """Patches of 8², a convolution, a classifier; and what a model may do between them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.patches, self.conv = nn.Conv2d(3, 16, 8, 8), nn.Conv2d(16, 16, 3, padding=1)
        self.head = linear(16, 4, 0)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(self.moved(self.patches(x).relu())).relu()

    def moved(self, found: torch.Tensor) -> torch.Tensor:
        return found

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).mean((2, 3)))


class Averaged(Convolutions):
    """Test-time augmentation: the mean of a photo's logits and of its mirror image's."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (super().forward(x) + super().forward(x.flip(3))) / 2


def test_maps_are_not_of_a_mirror_image_that_the_model_makes():
    """The first of both calls is in place, and maps are of the last."""
    with pytest.raises(
        LayerError, match=r"'patches' 2 times, and its last call is the one that counts.*augment"
    ):
        camscope.explain(Averaged().eval(), X)
    with pytest.raises(LayerError, match=r"'conv' has no spatial grid.*'conv' 2 times"):
        camscope.explain(Averaged().eval(), X, layers="conv")
    assert camscope.explain(Convolutions().eval(), X).layers == ("conv+relu",)


def test_maps_are_not_of_frequencies():
    class OfFrequencies(Convolutions):
        def features(self, x: torch.Tensor) -> torch.Tensor:
            return super().features(torch.fft.fft2(x).abs().log1p())

    with pytest.raises(LayerError, match="no layer with a spatial grid"):
        camscope.explain(OfFrequencies().eval(), X)


class Tokens(Convolutions):
    """Patches as tokens, in a block of attention, and convolutions of what it puts out.

    Args:
        turned: whether channels are put in front again before they are taken for these.
    """

    def __init__(self, turned: bool) -> None:
        super().__init__()
        self.turned = turned
        self.block = nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True, norm_first=True)

    def moved(self, found: torch.Tensor) -> torch.Tensor:
        tokens = self.block(found.flatten(2).mT)
        return (tokens.mT if self.turned else tokens).reshape(found.shape)


def test_tokens_that_are_taken_for_channels_have_lost_their_places():
    assert camscope.explain(Tokens(True).eval(), X).layers == ("conv+relu",)
    wrong = Tokens(False).eval()
    assert camscope.explain(wrong, X).layers == ("block",)
    with pytest.raises(LayerError, match="'conv' has no spatial grid"):
        camscope.explain(wrong, X, layers="conv")


@pytest.mark.parametrize("move", [lambda x: x.roll((3, 4), (2, 3)), lambda x: x.flip(2), lambda x: x.mT])
def test_what_is_behind_moved_positions_is_not_chosen(move):
    class Moved(Convolutions):
        def moved(self, found: torch.Tensor) -> torch.Tensor:
            return move(found)

    assert camscope.explain(Moved().eval(), X).layers == ("patches",)
