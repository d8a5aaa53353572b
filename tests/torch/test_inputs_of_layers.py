"""`layer4:input`: what goes into a layer is what the layer before it puts out, to the bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

import camscope
from camscope.errors import InputError, LayerError
from tests.conftest import make_tiny_cnn
from tests.torch.conftest import build
from tests.torch.nets import Net, batch, mlp_head

METHODS = ["gradcam", "layercam"]


@pytest.mark.parametrize(
    ("make", "shape", "pairs"),
    [
        (
            make_tiny_cnn,
            (3, 32, 32),
            {"body:input": "stem_relu", "body_relu:input": "body_norm", "pool:input": "last_relu"},
        ),
        (lambda: Net(mlp_head(16)).eval(), (3, 16, 16), {"body:input": "stem", "head.0:input": "body"}),
        (
            lambda: build("timm:test_resnet"),
            (3, 64, 64),
            {"layer4:input": "layer3", "layer2.0.conv1:input": "layer1"},
        ),
        (
            lambda: build("timm:test_vit", img_size=64),
            (3, 64, 64),
            {"blocks.3:input": "blocks.2", "blocks.4.attn:input": "blocks.4.norm1"},
        ),
    ],
    ids=["sequential", "in place", "ResNet", "ViT"],
)
def test_it_is_the_output_of_the_layer_before(make, shape, pairs):
    model, x = make(), batch(2, *shape)
    explainer = camscope.Explainer(model)
    for asked, same in pairs.items():
        found = explainer(x, methods=METHODS, layers=asked, targets=1)
        expected = explainer(x, methods=METHODS, layers=same, targets=1)
        assert found.raw.keys() == expected.raw.keys() == {(method, same) for method in METHODS}
        assert all(maps.equal(expected.raw[key]) for key, maps in found.raw.items())
        assert found.maps("gradcam", asked).equal(expected.maps("gradcam"))
        assert found["layercam", asked].layers == (same,)
        assert found.provenance["layers"]["inputs"] == {asked: same}


def test_it_is_what_a_hook_before_the_layer_sees():
    """Grad-CAM by hand from a module's own input."""
    model, x = build("timm:test_resnet"), batch(2, 3, 64, 64)
    seen: list[torch.Tensor] = []
    handle = model.layer4.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    output = model(x)
    handle.remove()
    (gradient,) = torch.autograd.grad(output[:, 7].sum(), seen[0])
    expected = (gradient.mean((2, 3), keepdim=True) * seen[0]).sum(1, keepdim=True).detach()
    found = camscope.explain(model, x, layers="layer4:input", targets=7).maps()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


def test_beside_other_layers_and_dropout_that_does_nothing():
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(6, 4, 3), nn.Flatten(), nn.Linear(784, 3)
    ).eval()  # fmt: skip
    x = batch(2, 3, 16, 16)
    e = camscope.explain(model, x, layers=["3:input", "3"], targets=0)
    assert len(e.layers) == 2
    assert e.maps(layer="3:input").equal(camscope.explain(model, x, layers="1", targets=0).maps())


def test_with_a_grid_that_is_said_and_in_a_forward_that_is_watched():
    model, x = make_tiny_cnn(), batch(2, 3, 32, 32)
    explainer = camscope.Explainer(model, grid={"stem_relu": (16, 16)})
    assert explainer(x, layers="body:input").layers == ("stem_relu",)
    with explainer.watching(layers="body:input") as seen:
        model(x)
    found, expected = explainer.from_output(seen), explainer(x, layers="stem_relu")
    assert found.maps().equal(expected.maps())


class ByFunctions(nn.Module):
    """Between its layers are functions; and one layer is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 4, 3, padding=1)
        self.fc, self.unused = nn.Linear(4, 3), nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu_(self.one(x))
        return self.fc(functional.relu(self.two(x)).mean((2, 3)))


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        ("one:input", "the model's own input"),
        ("two:input", "put out by no layer.*Before it ran 'one'"),  # written to after it was put out
        ("unused:input", "not called"),
        ("tow:input", "no layer 'tow'.*'two'"),
        ("two:inputs", "no layer 'two:inputs'"),
    ],
)
def test_what_no_layer_puts_out_says_so(layer, says):
    model = ByFunctions().eval()
    with pytest.raises(LayerError, match=says):
        camscope.explain(model, batch(2, 3, 16, 16), layers=layer)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_an_input_that_was_not_explained_is_no_layer_of_the_explanation():
    e = camscope.explain(make_tiny_cnn(), batch(1, 3, 32, 32), layers="body:input")
    with pytest.raises(InputError, match="'last:input' was not explained; stem_relu was"):
        e.maps(layer="last:input")
