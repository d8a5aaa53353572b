"""The values that captum's own suite has worked out by hand, asked of camscope.

The networks are captum's (`captum.testing`); its calls are `tests/parity/shims.py`.
"""

from __future__ import annotations

import pytest
import torch
from captum.testing.helpers.basic_models import (
    BasicModel_ConvNet_One_Conv as OneConvolution,
)
from captum.testing.helpers.basic_models import (
    BasicModel_MultiLayer as Layers,
)
from captum.testing.helpers.basic_models import (
    BasicModel_MultiLayer_MultiInput as SeveralInputs,
)

import camscope
from tests.parity.shims import GuidedGradCam, LayerGradCam, LayerGradientXActivation

COUNTED = torch.arange(16.0).view(1, 1, 4, 4)
ONES = torch.ones(1, 1, 4, 4)
RELU_CAM = [[0.0, 4.0], [28.0, 32.5]]
SUMMED = [[14.5, 19.0], [32.5, 37.0]]


def close(found, expected):
    torch.testing.assert_close(found, torch.tensor(expected), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("layer", "inputs", "options", "expected"),
    [
        ("conv1", COUNTED, {}, [[[[11.25, 13.5], [20.25, 22.5]]]]),
        ("relu1", COUNTED, {}, [[RELU_CAM]]),
        ("conv1", (COUNTED, ONES), {}, [[SUMMED]]),
        ("conv1", (COUNTED, ONES), {"relu_attributions": True}, [[SUMMED]]),
        (
            "conv1",
            COUNTED,
            {"attr_dim_summation": False},
            [[[[-3.75, 3.0], [23.25, 30.0]], [[15.0, 10.5], [-3.0, -7.5]]]],
        ),
    ],
)
@pytest.mark.parametrize("frozen", [False, True], ids=["trainable", "frozen"])
def test_gradcam(layer, inputs, options, expected, frozen):
    net = OneConvolution().requires_grad_(not frozen)
    close(LayerGradCam(net, getattr(net, layer)).attribute(inputs, 0, **options).detach(), expected)


@pytest.mark.parametrize("relu", [False, True])
def test_what_goes_into_a_layer(relu):
    """The map of what goes into the convolution: 0.5625 times it, negative where it is.

    The model's own input is no layer's activations, and refused as such; behind an identity it is.
    """
    x = COUNTED.clone()
    x[0, 0, 1, 1] = -4
    net = OneConvolution()
    into = {"attribute_to_layer_input": True, "relu_attributions": relu}
    with pytest.raises(camscope.LayerError, match="the model's own input"):
        LayerGradCam(net, net.conv1).attribute(x, 0, **into)
    behind = torch.nn.Sequential(torch.nn.Identity(), net)
    found = LayerGradCam(behind, net.conv1).attribute(x, 0, **into)
    torch.testing.assert_close(found.detach(), (0.5625 * x).clamp(min=0 if relu else -1e9))


@pytest.mark.filterwarnings("ignore:guided-gradcam fails")
@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize(
    ("layer", "inputs", "expected"),
    [
        (
            "relu1",
            COUNTED,
            [[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 12.0, 8.0], [28.0, 84.0, 97.5, 65.0], [28.0, 56.0, 65.0, 32.5]],
        ),
        (
            "conv1",
            (COUNTED, ONES),
            [
                [14.5, 29.0, 38.0, 19.0],
                [29.0, 58.0, 76.0, 38.0],
                [65.0, 130.0, 148.0, 74.0],
                [32.5, 65.0, 74.0, 37.0],
            ],
        ),
    ],
)
def test_guided_gradcam(layer, inputs, expected, inplace):
    net = OneConvolution(inplace=inplace)
    close(GuidedGradCam(net, getattr(net, layer)).attribute(inputs, 0).detach(), [[expected]])
    if layer == "conv1":  # what comes out of it goes into the ReLU, whether or not that overwrites it
        relu = GuidedGradCam(net, net.relu1).attribute(inputs, 0, attribute_to_layer_input=True)
        close(relu.detach(), [[expected]])


HUNDRED = torch.tensor([[0.0, 100.0, 0.0]])
SEVEN = torch.tensor([[3.0, 4.0, 0.0]])
EIGHTS = [[0.0, 8.0, 8.0, 8.0]]


@pytest.mark.parametrize("frozen", [False, True], ids=["trainable", "frozen"])
@pytest.mark.parametrize(
    ("layer", "x", "expected"),
    [
        ("linear0", HUNDRED, [[0.0, 400.0, 0.0]]),
        ("linear1", HUNDRED, [[90.0, 101.0, 101.0, 101.0]]),
        ("linear2", HUNDRED, [[392.0, 0.0]]),
        ("relu", SEVEN, EIGHTS),
    ],
)
def test_gradient_times_activation_of_layers_that_have_no_space(layer, x, expected, frozen):
    """No map can be of them; their activations and gradients can be asked for, also under `no_grad`."""
    net = Layers().requires_grad_(not frozen)
    with torch.no_grad():
        found = LayerGradientXActivation(net, getattr(net, layer)).attribute(x, 0)
    close(found.detach(), expected)
    with pytest.raises(camscope.LayerError, match="no spatial grid"):
        camscope.explain(net, x, layers=layer, targets=0)


def test_a_layer_that_puts_out_several_tensors_and_another_one_at_once():
    net = Layers(multi_input_module=True)
    several, one = LayerGradientXActivation(net, [net.multi_relu, net.linear0]).attribute(SEVEN, 0)
    for part in several:
        close(part.detach(), EIGHTS)
    close(one.detach(), [[9.0, 12.0, 0.0]])


def test_models_of_several_inputs():
    net = SeveralInputs()
    ten, five = torch.tensor([[0.0, 10.0, 0.0]]), torch.tensor([[0.0, 5.0, 0.0]])
    found = LayerGradientXActivation(net, net.model.linear2).attribute((ten, ten, five), 0, (4,))
    close(found.detach(), [[392.0, 0.0]])
    first, second = torch.tensor([[0.0, 10.0, 1.0]]), torch.tensor([[0.0, 4.0, 5.0]])
    found = LayerGradientXActivation(net, net.model.relu).attribute((first, second), 0, (0 * ten, 5))
    close(found.detach(), [[90.0, 101.0, 101.0, 101.0]])
