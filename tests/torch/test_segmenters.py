"""Segmenters, whatever they come from: recognised by their output, explained at their bottleneck, region by region."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import camscope
from camscope import Region

METHODS = [
    "gradcam",
    "hirescam",
    "layercam",
    "ablationcam",
    "scorecam(top=4)",
    "smooth(gradcam, n=2)",
    "eigencam",
]


class UNet(nn.Module):
    """Two steps down, a bottleneck, two steps up with a skip; in 1D, 2D or 3D, with seeded weights."""

    def __init__(self, classes: int = 3, dims: int = 2, end: nn.Module | None = None) -> None:
        super().__init__()
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
        pool = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[dims - 1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.down1 = nn.Sequential(conv(3, 6, 3, padding=1), nn.ReLU())
            self.down2 = nn.Sequential(pool(2), conv(6, 8, 3, padding=1), nn.ReLU())
            self.bottleneck = nn.Sequential(pool(2), conv(8, 8, 3, padding=1), nn.ReLU())
            self.up2 = nn.Sequential(conv(16, 8, 3, padding=1), nn.ReLU())
            self.up1 = nn.Sequential(conv(14, 6, 3, padding=1), nn.ReLU())
            self.head = conv(6, classes, 1)
        self.end = end or nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.down1(x)
        two = self.down2(one)
        up = functional.interpolate(self.bottleneck(two), size=two.shape[2:])
        up = functional.interpolate(self.up2(torch.cat([up, two], 1)), size=one.shape[2:])
        return self.end(self.head(self.up1(torch.cat([up, one], 1))))


def batch(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


X = batch(2, 3, 16, 24)


def by_hand(model: nn.Module, layer: str, x: torch.Tensor, region: Any) -> tuple[torch.Tensor, ...]:
    """The score, and the activations and gradients of the layer; `region` sums some of the output."""
    kept: list[torch.Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(lambda _m, _i, out: kept.append(out))
    score = region(model(x))
    handle.remove()
    (gradient,) = torch.autograd.grad(score.sum(), kept[0])
    return score.detach(), kept[0].detach(), gradient


# ---------------------------------------------------------------------- by hand


def test_score_and_maps_are_those_by_hand():
    model = UNet().eval()
    inside = (model(X).argmax(1) == 2).float().detach()
    score, A, g = by_hand(model, "bottleneck", X, lambda out: (out[:, 2] * inside).sum((1, 2)))
    e = camscope.explain(model, X, methods=["gradcam", "hirescam"], targets=Region(2), layers="bottleneck")
    torch.testing.assert_close(e.scores[:, 0], score)
    torch.testing.assert_close(e.raw["hirescam", "bottleneck"][:, 0], (g * A).sum(1))
    weights = g.mean((2, 3), keepdim=True)
    torch.testing.assert_close(e.raw["gradcam", "bottleneck"][:, 0], (weights * A).sum(1))


def test_a_pixel_and_a_coarser_output():
    """The output has half the input's resolution: pixel (9, 14) of the input is position (4, 7) of it."""
    model = nn.Sequential(UNet(), nn.AvgPool2d(2)).eval()
    score, A, g = by_hand(model, "0.bottleneck", X, lambda out: out[:, 2, 4, 7])
    e = camscope.explain(model, X, methods="hirescam", targets=Region(2, (9, 14)), layers="0.bottleneck")
    torch.testing.assert_close(e.scores[:, 0], score)
    torch.testing.assert_close(e.raw["hirescam", "0.bottleneck"][:, 0], (g * A).sum(1))


def test_a_class_by_itself_is_its_mean_logit_and_its_probability_the_share_of_the_area():
    model = UNet().eval()
    out = model(X).detach()
    e = camscope.explain(model, X, targets=[1, camscope.Class(1, "probability")])
    torch.testing.assert_close(e.scores[:, 0], out.mean((2, 3))[:, 1])
    torch.testing.assert_close(e.scores[:, 1], out.softmax(1).mean((2, 3))[:, 1])
    torch.testing.assert_close(e.probabilities, out.softmax(1).mean((2, 3)))


@pytest.mark.parametrize(("dims", "shape"), [(1, (32,)), (3, (8, 8, 16))])
def test_signals_and_volumes(dims, shape):
    model = UNet(dims=dims).eval()
    x = batch(2, 3, *shape)
    inside = (model(x).argmax(1) == 0).float().detach()
    axes = tuple(range(1, dims + 1))
    score, A, g = by_hand(model, "bottleneck", x, lambda out: (out[:, 0] * inside).sum(axes))
    e = camscope.explain(model, x, methods="hirescam", targets=Region(0))
    ((_, layer),) = e.raw
    assert layer.startswith("bottleneck")
    torch.testing.assert_close(e.scores[:, 0], score)
    torch.testing.assert_close(e.raw["hirescam", layer][:, 0], (g * A).sum(1))
    assert e.heatmaps().shape == (2, 1, *shape)


# ---------------------------------------------------------------------- follows the region


class Patches(nn.Module):
    """Bright patches are class 1, dark ones class 2: a bottleneck of 8² means, and a class score for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 3, 4, 4), nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()
        )
        self.decoder = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1))
        with torch.no_grad():
            self.encoder[0].weight.copy_(
                torch.tensor([0.01, 1.0, -1.0]).reshape(3, 1, 1, 1).expand(3, 1, 4, 4) / 16
            )
            for conv in (self.encoder[2], self.decoder[0]):
                conv.weight.zero_()
                for k in range(3):
                    conv.weight[k, k] = 0.05
                    conv.weight[k, k, 1, 1] = 1
            self.decoder[1].weight.copy_(torch.eye(3)[:, :, None, None])
            for p in self.parameters():
                if p.ndim == 1:
                    p.zero_()
            self.decoder[1].bias[0] = 0.3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.interpolate(self.decoder(self.encoder(x)), size=x.shape[2:])


@pytest.fixture
def patches() -> tuple[nn.Module, torch.Tensor]:
    """Bright at the left and at the right, dark in the middle."""
    x = torch.zeros(1, 1, 32, 32)
    x[..., 8:16, 0:8] = x[..., 16:24, 24:32] = 1
    x[..., 4:12, 12:20] = -1
    return Patches().eval(), x


@pytest.mark.parametrize("method", METHODS[:6])
def test_the_map_is_where_the_class_is(method, patches):
    model, x = patches
    heat = torch.as_tensor(
        camscope.explain(model, x, methods=method, targets=[Region(1), Region(2)]).heatmaps()
    )[0]
    assert share(heat[1], slice(8, 24)) > 0.85
    assert share(heat[0], slice(0, 12)) > 0.3
    assert share(heat[0], slice(20, 32)) > 0.3


@pytest.mark.parametrize("method", ["hirescam", "layercam", "smooth(hirescam, n=2)"])
def test_the_map_is_where_the_region_is(method, patches):
    """Of methods that weigh each position: Grad-CAM has one weight per channel, so it shows all that is bright."""
    model, x = patches
    left, right = np.zeros((32, 32), bool), np.zeros((32, 32), bool)
    left[:, :10], right[:, 22:] = True, True
    e = camscope.explain(model, x, methods=method, targets=[Region(1, left), Region(1, right)])
    heat = torch.as_tensor(e.heatmaps())[0]
    assert share(heat[0], slice(0, 12)) > 0.9
    assert share(heat[1], slice(20, 32)) > 0.9


def share(heat: torch.Tensor, columns: slice) -> float:
    return float(heat[:, columns].sum() / heat.sum())


def test_eigencam_knows_no_region(patches):
    model, x = patches
    e = camscope.explain(model, x, methods="eigencam", targets=[Region(1), Region(2)])
    maps = next(iter(e.raw.values()))
    assert torch.equal(maps[:, 0], maps[:, 1])


# ---------------------------------------------------------------------- as every model


def test_a_batch_is_its_images_one_by_one():
    model = UNet().eval()
    masks = torch.zeros(2, 16, 24, dtype=torch.bool)
    masks[0, :8], masks[1, 8:] = True, True
    every = {"methods": METHODS, "targets": [Region(), Region(1, masks), Region(0, (3, 5))]}
    whole = camscope.explain(model, X, **every)
    for image in range(2):
        alone = camscope.explain(
            model,
            X[image : image + 1],
            methods=METHODS,
            targets=[Region(), Region(1, masks[image]), Region(0, (3, 5))],
        )
        torch.testing.assert_close(alone.scores[0], whole.scores[image])
        for key, maps in alone.raw.items():
            torch.testing.assert_close(maps[0], whole.raw[key][image], rtol=1e-4, atol=1e-5)


def test_the_model_is_left_as_it_came(untouched):
    model = UNet().train()
    with untouched(model):
        camscope.explain(model, X, methods=METHODS, targets=[Region(), Region(1, "all")])
        with pytest.raises(camscope.TargetError):
            camscope.explain(model, X, targets=Region(1, (99, 99)))


def test_a_flipped_copy_has_the_region_elsewhere_and_is_refused():
    model = UNet().eval()
    with pytest.raises(camscope.MethodError, match="flips or turns"):
        camscope.explain(model, X, methods="augment(gradcam)", targets=Region(2))
    bright = camscope.explain(model, X, methods="augment(gradcam, transforms=[0.9, 1.1])", targets=Region(2))
    assert bright.scores.shape == (2, 1)
    camscope.explain(model, X, methods="augment(gradcam)", targets=Region(1, "all"))


def test_at_other_sizes_of_the_input_the_region_is_the_same_part_of_it(patches):
    model, x = patches
    mask = np.zeros((32, 32))
    mask[:, :10] = 1
    heat = torch.as_tensor(
        camscope.explain(
            model, x, methods="multiscale(hirescam, sizes=[1, 2])", targets=Region(1, mask)
        ).heatmaps()
    )[0, 0]
    assert float(heat[:, :12].sum() / heat.sum()) > 0.9


# ---------------------------------------------------------------------- what the output means


def test_a_final_softmax_or_sigmoid_is_looked_behind():
    plain = UNet().eval()
    expected = camscope.explain(plain, X, targets=Region(1, "all"))
    for end, task in ((nn.Softmax(1), "multiclass"), (nn.Sigmoid(), "multilabel")):
        e = camscope.explain(UNet(end=end).eval(), X, targets=Region(1, "all"))
        assert e.provenance["task"] == task
        torch.testing.assert_close(e.scores, expected.scores)
    shares = camscope.explain(UNet(end=nn.Sigmoid()).eval(), X).probabilities
    torch.testing.assert_close(shares, plain(X).sigmoid().mean((2, 3)).detach())


def test_one_logit_is_a_question_of_yes_or_no():
    model = UNet(classes=1).eval()
    z = model(X).detach()[:, 0]
    e = camscope.explain(model, X, targets=[Region(1, "all"), Region(0, "all"), Region(1)])
    torch.testing.assert_close(e.scores[:, 0], z.sum((1, 2)))
    torch.testing.assert_close(e.scores[:, 1], -z.sum((1, 2)))
    torch.testing.assert_close(e.scores[:, 2], z.clamp(min=0).sum((1, 2)))
    torch.testing.assert_close(e.probabilities[:, 1], z.sigmoid().mean((1, 2)))


def test_a_classifier_is_none(shared_tiny_cnn, tiny_batch):
    with pytest.raises(camscope.TargetError, match="score every position"):
        camscope.explain(shared_tiny_cnn, tiny_batch, targets=Region(1))


def test_class_names_are_used():
    e = camscope.Explainer(UNet().eval(), class_names=["background", "cat", "dog"])
    assert e(X, targets=Region("dog", (2, 3))).targets[0][0].label == "dog at (2, 3)"
    assert e(X).targets[0][0].label in ("cat where predicted", "dog where predicted")
    with pytest.raises(camscope.TargetError, match="Did you mean 'dog'"):
        e(X, targets=Region("dgo"))


# ---------------------------------------------------------------------- the layer


def chosen(model: nn.Module, x: torch.Tensor) -> str:
    e = camscope.explain(model.eval(), x)
    (maps,) = e.raw.values()
    assert bool((maps != 0).any())
    assert bool(maps.isfinite().all())
    choice: str = e.provenance["layers"]["choice"]
    return choice


def test_the_automatic_layer_is_the_bottleneck():
    assert chosen(UNet(), X) == "bottleneck"


class Pyramid(nn.Module):
    """A backbone whose output is pooled to 2² on a side branch, as PSPNet's is."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU()
        )
        self.branch = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Conv2d(8, 8, 1), nn.ReLU())
        self.head = nn.Sequential(nn.Conv2d(16, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        deep = self.backbone(x)
        wide = functional.interpolate(self.branch(deep), size=deep.shape[2:])
        return self.head(torch.cat([deep, wide], 1))


def test_a_side_branch_that_pools_further_is_no_bottleneck():
    assert chosen(Pyramid(), X) == "backbone"


class Gated(Pyramid):
    """A side branch of one channel, pooled further, that weighs positions, as PAN's pyramid does."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.MaxPool2d(4), nn.Conv2d(8, 1, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        deep = self.backbone(x)
        gate = functional.interpolate(self.branch(deep), size=deep.shape[2:])
        return self.head(torch.cat([deep, deep * gate], 1))


def test_a_gate_that_is_pooled_further_is_no_bottleneck():
    assert chosen(Gated(), batch(1, 3, 64, 96)) == "backbone"


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("fcn_resnet50", "backbone.layer4"),
        ("deeplabv3_mobilenet_v3_large", "backbone.16"),
        ("lraspp_mobilenet_v3_large", "backbone.16"),
    ],
)
def test_torchvision(name, layer):
    torchvision = pytest.importorskip("torchvision")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        options: dict[str, Any] = {"aux_loss": True} if name != "lraspp_mobilenet_v3_large" else {}
        build = getattr(torchvision.models.segmentation, name)
        model = build(weights=None, weights_backbone=None, num_classes=4, **options).eval()
    x = batch(2, 3, 64, 96)
    e = camscope.explain(model, x, targets=[Region(), Region(1, "all"), Region(2, (40, 50))])
    out = model(x)["out"].detach()
    torch.testing.assert_close(e.scores[:, 1], out[:, 1].sum((1, 2)))
    torch.testing.assert_close(e.scores[:, 2], out[:, 2, 40, 50])
    assert e.provenance["layers"]["choice"] == layer
    assert all(status != "non-finite" for maps in e.status.values() for row in maps for status in row)


@pytest.mark.parametrize("name", ["Unet", "FPN", "DeepLabV3Plus"])
def test_segmentation_models_pytorch(name):
    smp = pytest.importorskip("segmentation_models_pytorch")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(smp, name)("resnet18", encoder_weights=None, classes=3).eval()
    x = batch(1, 3, 64, 96)
    assert chosen(model, x) == "encoder.layer4"
    e = camscope.explain(model, x, targets=Region(1, "all"))
    torch.testing.assert_close(e.scores[:, 0], model(x).detach()[:, 1].sum((1, 2)))
