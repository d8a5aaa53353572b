"""Against captum: the same raw, signed maps; and what it does where the layout is not channels first."""

import pytest
import torch
from captum.attr import LayerGradCam, LayerGradientXActivation

from tests.parity.nets import CASES, assert_same, by_autograd, columns, net, ours

CONVOLUTIONAL = [(name, layer) for name, layer in CASES if name != "vit"]
VIT = [(name, layer) for name, layer in CASES if name == "vit"]
QUIET = pytest.mark.filterwarnings("ignore::camscope.CamscopeWarning")


def attributed(method, case, layer, **options):
    """What captum's method gives, one class per image at a time: `batch target …`."""
    attribute = method(case.model, case.layer(layer)).attribute
    given = [attribute(case.x, target=column, **options).detach() for column in columns()]
    case.model.zero_grad()
    return torch.stack(given, dim=1)


@pytest.mark.slow
@pytest.mark.parametrize("relu", [False, True], ids=["signed", "rectified"])
@pytest.mark.parametrize(("name", "layer"), CONVOLUTIONAL)
def test_gradcam(name, layer, relu):
    """Signed by default: that is our raw map. With its ReLU: what our heatmap is made of."""
    case = net(name)
    mine = ours(case, layer, ["gradcam"]).maps()
    raw = attributed(LayerGradCam, case, layer, relu_attributions=relu)[:, :, 0]
    assert_same(mine.clamp(min=0) if relu else mine, raw, rectify=False)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layer"), CONVOLUTIONAL)
def test_hirescam_is_gradient_times_activation_summed_over_channels(name, layer):
    case = net(name)
    mine = ours(case, layer, ["hirescam"]).maps()
    raw = attributed(LayerGradientXActivation, case, layer).sum(2)
    assert_same(mine, raw, rectify=False)


@pytest.mark.parametrize(("name", "layer"), VIT)
def test_hirescam_of_tokens(name, layer):
    """Gradient times activation knows no layout: its channel sum, cut to the grid, is ours."""
    case = net(name)
    mine = ours(case, layer, ["hirescam"]).maps()
    tokens = attributed(LayerGradientXActivation, case, layer).sum(-1)  # batch target token
    assert_same(mine, tokens[..., case.prefix :].unflatten(-1, (6, 6)), rectify=False)


def test_raw_maps_are_equal_without_any_scaling():
    case = net("resnet18")
    e = ours(case, "layer3", ["gradcam", "hirescam"])
    raw = attributed(LayerGradCam, case, "layer3")[:, :, 0]
    torch.testing.assert_close(e.maps("gradcam"), raw, rtol=1e-4, atol=1e-5 * float(raw.abs().max()))
    raw = attributed(LayerGradientXActivation, case, "layer3").sum(2)
    torch.testing.assert_close(e.maps("hirescam"), raw, rtol=1e-4, atol=1e-5 * float(raw.abs().max()))


@QUIET
@pytest.mark.parametrize(("name", "layer"), [("resnet18", "layer4.1.bn2"), ("densenet121", "features.norm5")])
def test_safe_from_in_place_followers_as_we_are(name, layer):
    """A second witness for the layers where the other two peers read overwritten activations."""
    case = net(name)
    mine = ours(case, layer, ["gradcam"]).maps()
    assert_same(mine, attributed(LayerGradCam, case, layer)[:, :, 0], rectify=False)


def test_defect_gradcam_of_tokens_averages_the_channels():
    """It averages all axes behind the first two, which for tokens (batch, token, channel) are the channels."""
    case = net("vit")
    layer = "blocks.5"
    raw = attributed(LayerGradCam, case, layer, attr_dim_summation=False)[:, 0]
    A, g = by_autograd(case, layer)
    grid = case.reshape_transform
    right = (grid(g).mean((2, 3), keepdim=True) * grid(A)).sum(1)
    assert_same(ours(case, layer, ["gradcam"]).maps()[:, 0], right)
    if not torch.allclose(raw, g.mean(2, keepdim=True) * A, rtol=1e-3, atol=1e-6):
        pytest.skip("fixed upstream: it no longer averages over the channels of tokens")
