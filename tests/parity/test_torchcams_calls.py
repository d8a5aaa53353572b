"""What torch-cam's own suite asks of its extractors, asked of camscope by the same calls (`tests/parity/shims.py`).

Where its suite looks at shapes only, the numbers are looked at too.
"""

from __future__ import annotations

import weakref
from operator import itemgetter

import pytest
import torch
from torch import nn
from torchvision.models import get_model

import camscope
from tests.parity.shims import TorchCam

pytestmark = pytest.mark.filterwarnings("ignore:.*negative activations:camscope.CamscopeWarning")

METHODS = ["gradcam", "gradcam++", "xgradcam", "layercam"]


def hooks_of(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.fixture(scope="module")
def mobilenet():
    torch.manual_seed(0)
    return get_model("mobilenet_v2", weights=None).eval().requires_grad_(False)


def small(classes: int = 3, *, inplace: bool = False, dimension: int = 2) -> nn.Sequential:
    torch.manual_seed(1)
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dimension - 1]
    pool = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[dimension - 1]
    layers = [conv(3, 4, 3, padding=1), nn.ReLU(), conv(4, 4, 3, padding=1), nn.ReLU(inplace)]
    return nn.Sequential(*layers, pool(1), nn.Flatten(1), nn.Linear(4, classes)).eval()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("batch", [1, 2])
def test_images_of_a_frozen_model(mobilenet, method, batch, rng):
    x = torch.from_numpy(rng.standard_normal((batch, 3, 64, 64))).float()
    with TorchCam(method, mobilenet, "features.18.0") as extractor:
        scores = mobilenet(x)
        (of_one,) = extractor(int(scores[0].argmax()), scores)
        (of_each,) = extractor(list(range(batch)), scores)
    for maps in (of_one, of_each):
        assert maps.shape == (batch, 2, 2)
        assert not maps.isnan().any()
    assert not any(p.requires_grad for p in mobilenet.parameters())
    assert hooks_of(mobilenet) == 0


@pytest.mark.parametrize("method", METHODS)
def test_an_in_place_relu_after_the_layer_changes_nothing(method, rng):
    x = torch.from_numpy(rng.standard_normal((2, 3, 8, 8))).float()
    found = []
    for inplace in (False, True):
        model = small(inplace=inplace).requires_grad_(False)
        with TorchCam(method, model, "2") as extractor:
            found += extractor(1, model(x))
    assert found[0].shape == (2, 8, 8)
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("method", METHODS)
def test_videos(method, rng):
    model = small(dimension=3)
    x = torch.from_numpy(rng.standard_normal((1, 3, 4, 8, 8))).float()
    with TorchCam(method, model, "3") as extractor:
        (maps,) = extractor(0, model(x))
    assert maps.shape == (1, 4, 8, 8)
    assert 0 <= float(maps.min()) <= float(maps.max()) <= 1


class Structured(nn.Module):
    """Puts out a dictionary for each image."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(1, 2, 1)

    def forward(self, x):
        scores = self.features(x).flatten(2).mean(-1)
        return [{"primary": row[0], "secondary": row[1]} for row in scores]


def both(output):
    """Where the scores are in it, which camscope does not guess."""
    return torch.stack([torch.stack([one["primary"], one["secondary"]]) for one in output])


def test_a_target_for_each_image_of_what_is_no_array_and_gradients_of_parameters_stay(rng):
    torch.manual_seed(0)
    model = Structured().eval()
    x = torch.from_numpy(rng.random((2, 1, 4, 4))).float()
    weights = model.features.weight.detach()
    with TorchCam("gradcam", model, "features", output=both) as extractor:
        output = model(x)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        (maps,) = extractor(
            scores=output, targets=[itemgetter("primary"), itemgetter("secondary")], normalized=False
        )
    assert all(torch.equal(p.grad, torch.ones_like(p)) for p in model.parameters())
    activations = x * weights[:, 0].view(1, 2, 1, 1) + model.features.bias.detach().view(1, 2, 1, 1)
    expected = torch.stack([activations[0, 0], activations[1, 1]]) / 16  # ∂mean/∂A is 1/16 at its own channel
    torch.testing.assert_close(maps, expected.clamp(min=0))


def test_what_no_layer_reaches_says_so(rng):
    model = Structured().eval()
    x = torch.from_numpy(rng.random((1, 1, 4, 4))).float()
    with TorchCam("gradcam", model, "features", output=both) as extractor:
        output = model(x)
        extractor(scores=output, targets=[lambda one: one["primary"].detach()])
    assert [
        [status.value for status in row] for row in extractor.explanation.status["gradcam", "features"]
    ] == [["no-gradient"]]


def test_what_is_no_number_for_each_image_says_so(rng):
    model = small()
    x = torch.from_numpy(rng.random((1, 3, 4, 4))).float()
    with TorchCam("gradcam", model, "2") as extractor:
        scores = model(x)
        with pytest.raises(camscope.TargetError, match="one number"):
            extractor(scores=scores, targets=itemgetter(slice(2)))
        for wrong in (-1, [-1], 3):
            with pytest.raises(camscope.TargetError):
                extractor(wrong, scores)


def test_an_error_in_the_block_leaves_no_hook():
    model = small()
    before = hooks_of(model)
    with pytest.raises(RuntimeError, match="boom"), TorchCam("gradcam", model, "2"):
        raise RuntimeError("boom")
    assert hooks_of(model) == before


def test_a_block_without_a_forward_says_so():
    with (
        TorchCam("gradcam", small(), "2") as extractor,
        pytest.raises(camscope.InputError, match=r"forward|run"),
    ):
        extractor(0)


@pytest.mark.parametrize("wrong", ["3.x", "nope", 3, nn.ReLU()])
def test_a_layer_that_there_is_not_is_refused_by_name(wrong, rng):
    model = small()
    x = torch.from_numpy(rng.random((1, 3, 4, 4))).float()
    with (
        pytest.raises(camscope.CamscopeError, match=r"layer|submodule"),
        TorchCam("gradcam", model, wrong) as extractor,
    ):
        extractor(0, model(x))


def test_modes_of_single_modules_stay(rng):
    model = small().train()
    model[1].eval()
    modes = [m.training for m in model.modules()]
    x = torch.from_numpy(rng.random((2, 3, 4, 4))).float()
    with TorchCam("gradcam", model, "2") as extractor:
        extractor(0, model(x))
    assert [m.training for m in model.modules()] == modes


def test_several_layers_in_one_forward_are_those_of_each_alone(rng):
    model = small()
    x = torch.from_numpy(rng.random((2, 3, 6, 6))).float()
    with TorchCam("layercam", model, ["0", "2"]) as extractor:
        both = extractor([0, 2], model(x))
    for layer, maps in zip(("0", "2"), both, strict=True):
        with TorchCam("layercam", model, layer) as extractor:
            torch.testing.assert_close(extractor([0, 2], model(x))[0], maps)


def test_nothing_is_kept_when_it_is_over(rng):
    model = small()
    x = torch.from_numpy(rng.random((1, 3, 6, 6))).float()
    with TorchCam("gradcam", model, "2") as extractor:
        extractor(0, model(x))
    gone = weakref.ref(extractor.seen)
    del extractor
    assert gone() is None
    assert hooks_of(model) == 0
