"""Models of complex weights: explained where they put out real numbers, else told what to do, by an error of ours."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import camscope
from tests.torch.nets import Apply, batch, linear

X = batch(2, 4, 12, 12)


def complexly(seed: int = 0) -> nn.Sequential:
    """Convolutions whose weights are complex, then the size of what they put out."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(2, 6, 3, dtype=torch.complex64),
            Apply(torch.tanh),
            nn.Conv2d(6, 6, 3, dtype=torch.complex64),
            Apply(torch.abs),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ).eval()


class Around(nn.Module):
    """What the messages advise: real channels made complex, and real scores."""

    def __init__(self, model: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.model, self.head = model, head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.model(torch.complex(*x.chunk(2, 1))))


def test_where_layers_put_out_real_numbers_there_are_maps():
    model = Around(complexly(), linear(6, 3, 0)).eval()
    e = camscope.explain(model, X, methods=["gradcam", "eigencam", "ablationcam"], targets=1)
    assert e.layers == ("model.3",)
    with torch.no_grad():
        A = model.model[:4](torch.complex(*X.chunk(2, 1)))
    expected = torch.einsum("c,bcij->bij", model.head.weight[1] / A[0, 0].numel(), A)
    torch.testing.assert_close(e.raw["gradcam", "model.3"][:, 0], expected.detach())


def test_a_complex_layer_is_refused_naming_a_real_one_behind_it():
    model = Around(complexly(), linear(6, 3, 0)).eval()
    for method in ("gradcam", "eigencam", "ablationcam"):
        with pytest.raises(camscope.LayerError, match=r"'model.2' puts out complex numbers.*'model.3'"):
            camscope.explain(model, X, methods=method, layers="model.2")


def test_a_model_without_any_real_layer_says_which_are_complex():
    model = Around(
        nn.Sequential(*complexly()[:3], nn.AdaptiveAvgPool2d(1), nn.Flatten()), Apply(torch.abs)
    ).eval()
    with pytest.raises(camscope.LayerError, match=r"complex ones \(.*model.2.*\).*abs"):
        camscope.explain(model, X)


def test_complex_scores_are_none():
    head = nn.Sequential(Apply(lambda x: x.to(torch.complex64)), nn.Linear(6, 3, dtype=torch.complex64))
    with pytest.raises(camscope.ModelError, match=r"puts out complex numbers \(torch.complex64\).*abs"):
        camscope.explain(Around(complexly(), head).eval(), X)


def test_weights_that_do_not_take_real_numbers_are_told_as_that():
    with pytest.raises(camscope.ModelError, match=r"weights are complex.*torch.complex.*It said: ") as raised:
        camscope.explain(complexly(), X[:, :2])
    assert isinstance(raised.value.__cause__, RuntimeError)


def test_complex_inputs_are_refused_with_the_way_to_give_their_parts():
    for model in (complexly(), Around(complexly(), linear(6, 3, 0))):
        with pytest.raises(camscope.InputError, match=r"complex numbers.*torch.cat\(\[x.real, x.imag\], 1\)"):
            camscope.explain(model, torch.complex(*X.chunk(2, 1)))


def test_an_error_of_another_kind_stays_the_models_own():
    with pytest.raises(RuntimeError, match="channels"):
        camscope.explain(Around(complexly(), linear(6, 3, 0)).eval(), batch(1, 6, 12, 12))
