"""What pytorch-grad-cam's own suite asks of its classes, asked of camscope by the same calls (`tests/parity/shims.py`).

Its networks (ResNet-18 at two blocks at once, VGG-11) and its options; where it looks at shapes only, the numbers are
looked at too. Its photos of 32 × 32 leave one position at these layers: no map, and refused here. The peer's own values
are compared in `test_pytorch_grad_cam.py` and `test_family.py`.
"""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget, FasterRCNNBoxScoreTarget
from torchvision.models import get_model

import camscope
from tests.parity.shims import PytorchGradCam

pytestmark = pytest.mark.filterwarnings("ignore::camscope.CamscopeWarning")

OF_A_LAYER = [
    "gradcam",
    "gradcam++",
    "xgradcam",
    "layercam",
    "eigencam",
    "eigengradcam",
    "kpcacam",
    "hirescam",
    "gradcam-elementwise",
    "shapleycam",
    "fem",
    "ablationcam",
    "scorecam-paper-logit(top=16)",
]
OF_THE_MODEL = ["fullgrad"]


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    resnet, vgg = (get_model(name, weights=None).eval() for name in ("resnet18", "vgg11"))
    return {"resnet18": (resnet, [resnet.layer4[-1], resnet.layer4[-2]]), "vgg11": (vgg, [vgg.features[-1]])}


def photos(batch: int, width: int, height: int) -> torch.Tensor:
    """The same photo several times, as in the peer's suite."""
    one = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(3))
    return one.repeat(batch, 1, 1, 1)


def sane(heat: np.ndarray, x: torch.Tensor) -> None:
    assert heat.shape == (len(x), *x.shape[2:])
    assert np.isfinite(heat).all()
    assert heat.min() >= 0
    assert heat.max() <= 1 + 1e-6
    np.testing.assert_allclose(
        heat, np.broadcast_to(heat[:1], heat.shape), atol=1e-5
    )  # the same photo each time


@pytest.mark.slow
@pytest.mark.parametrize("method", [*OF_A_LAYER, *OF_THE_MODEL])
@pytest.mark.parametrize("name", ["resnet18", "vgg11"])
def test_every_method_on_both_networks(networks, name, method):
    """Two photos of 96 × 96 with a class, and one of 96 × 128 without; the state of the model is as it was."""
    model, layers = networks[name]
    layers = [] if method in OF_THE_MODEL else layers
    state = {key: value.clone() for key, value in model.state_dict().items()}
    for batch, width, height, category in ((2, 96, 96, 100), (1, 96, 128, None)):
        x = photos(batch, width, height)
        targets = None if category is None else [ClassifierOutputTarget(category) for _ in range(batch)]
        with PytorchGradCam(method, model, layers) as cam:
            sane(cam(x, targets), x)
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(m._forward_hooks or m.training for m in model.modules())


@pytest.mark.parametrize("name", ["resnet18", "vgg11"])
def test_one_position_is_no_map(networks, name):
    model, layers = networks[name]
    with pytest.raises(camscope.LayerError, match=r"no spatial grid.*1, 1\).* has one: 2×2"):
        PytorchGradCam("gradcam", model, layers[:1])(photos(1, 32, 32))


@pytest.mark.parametrize("eigen_smooth", [False, True])
@pytest.mark.parametrize("aug_smooth", [False, True])
def test_smoothing(networks, aug_smooth, eigen_smooth):
    model, layers = networks["resnet18"]
    x = photos(2, 96, 96)
    plain, smoothed = (
        PytorchGradCam("gradcam", model, layers)(
            x, [ClassifierOutputTarget(7)] * 2, aug_smooth=a, eigen_smooth=e
        )
        for a, e in ((False, False), (aug_smooth, eigen_smooth))
    )
    sane(smoothed, x)
    assert np.allclose(plain, smoothed) == (not aug_smooth and not eigen_smooth)


def test_the_mean_over_layers_is_that_of_each_alone(networks):
    model, layers = networks["resnet18"]
    x, target = photos(1, 96, 96), [ClassifierOutputTarget(100)]
    both = PytorchGradCam("gradcam", model, layers)(x, target)
    alone = [PytorchGradCam("gradcam", model, [layer])(x, target) for layer in layers]
    np.testing.assert_allclose(both, np.mean(alone, axis=0), atol=1e-6)


def test_one_channel_and_a_batch_of_sixteen():
    model = get_model("resnet18", weights=None, num_classes=10)
    model.conv1 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    x = photos(16, 64, 64)[:, :1]
    heat = PytorchGradCam("gradcam", model.eval(), [model.layer4])(x)
    assert heat.shape == (16, 64, 64)


def test_a_loop_keeps_nothing(networks):
    """What was explained before is gone, also without the collector of garbage."""
    model, layers = networks["resnet18"]
    x = photos(1, 96, 96)
    kept = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(4):
            with PytorchGradCam("gradcam", model, layers) as cam:
                e = cam.explainer(x, layers=layers, targets=100)
                kept.append(weakref.ref(e))
                del e
        assert [one() is None for one in kept] == [True] * 4
    finally:
        gc.enable()


def test_a_detectors_box_target(rng):
    """The peer's target takes one image's dictionary; its score is that of the boxes that overlap what was given."""
    torch.manual_seed(0)
    model = get_model(
        "fasterrcnn_mobilenet_v3_large_320_fpn", weights=None, weights_backbone=None, box_score_thresh=0.0
    ).eval()
    x = torch.from_numpy(rng.random((1, 3, 96, 96))).float()
    with torch.no_grad():
        said = model(x)[0]
    assert len(said["boxes"]) > 0
    target = FasterRCNNBoxScoreTarget(
        labels=said["labels"][:1].tolist(), bounding_boxes=said["boxes"][:1].numpy()
    )
    e = camscope.explain(model, x, targets=camscope.PerImage([target]), methods="gradcam")
    assert float(e.scores[0, 0]) == pytest.approx(float(target(said)), rel=1e-4)
