"""The target layer: chosen well without a name, its grid found whatever the layout, and refused when it cannot work."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import camscope
from camscope.models.torch.layer_finder import LayerFinder
from tests.torch.conftest import build
from tests.torch.nets import (
    ANYWHERE,
    HAND_MADE,
    Apply,
    Net,
    SharedReLU,
    activations_of,
    batch,
    gap_head,
    linear,
    mlp_head,
)

# model, options, input size, the layer, its grid, its channels
CHOICES = [
    ("torchvision:resnet18", {}, (96, 160), "layer4", (3, 5), 512),
    ("torchvision:densenet121", {}, (64, 96), "features+relu", (2, 3), 1024),
    ("torchvision:vgg11", {}, (64, 96), "features.19", (4, 6), 512),
    ("torchvision:mobilenet_v3_small", {}, (64, 96), "features", (2, 3), 576),
    ("torchvision:efficientnet_b0", {}, (64, 96), "features", (2, 3), 1280),
    ("torchvision:swin_t", {}, (64, 96), "norm", (2, 3), 768),
    (
        "torchvision:vit_b_16",
        {"image_size": 64},
        (64, 64),
        "encoder.layers.encoder_layer_11.ln_1",
        (4, 4),
        768,
    ),
    ("timm:resnet10t", {}, (96, 64), "layer4", (3, 2), 512),
    ("timm:convnext_atto", {}, (64, 96), "stages", (2, 3), 320),
    ("timm:vit_tiny_patch16_224", {"img_size": (96, 160)}, (96, 160), "blocks.11.norm1", (6, 10), 192),
    ("timm:vit_tiny_patch16_224", {"img_size": 64, "global_pool": "avg"}, (64, 64), "blocks", (4, 4), 192),
    (
        "timm:deit_tiny_distilled_patch16_224",
        {"img_size": (64, 96)},
        (64, 96),
        "blocks.11.norm1",
        (4, 6),
        192,
    ),
    ("timm:vit_small_patch14_reg4_dinov2", {"img_size": (70, 98)}, (70, 98), "blocks.11.norm1", (5, 7), 384),
    ("timm:mixer_s32_224", {"img_size": 96}, (96, 96), "norm", (3, 3), 512),
    ("timm:coatnet_nano_rw_224", {"img_size": 64}, (64, 64), "norm", (2, 2), 512),
    ("timm:swinv2_tiny_window8_256", {"img_size": 64, "window_size": 2}, (64, 64), "norm", (2, 2), 768),
    ("timm:maxvit_pico_rw_256", {"img_size": 64}, (64, 64), "norm", (2, 2), 256),
]
ZERO_CLASSIFIERS = {"torchvision:vit_b_16", "timm:mixer_s32_224"}
"""Untrained, these start with a classifier of zeros: every gradient is zero, though structurally all is well."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "options", "size", "layer", "grid", "channels"),
    CHOICES,
    ids=[f"{c[0]} {c[2][0]}×{c[2][1]}{' avg' if 'global_pool' in c[1] else ''}" for c in CHOICES],
)
def test_the_deepest_layer_whose_positions_reach_the_score_is_chosen(
    spec, options, size, layer, grid, channels
):
    e = camscope.explain(
        build(spec, **options), batch(1, 3, *size), methods=["gradcam", "hirescam"], targets=[0, 1]
    )
    assert e.layers == (layer,)
    assert e.maps("gradcam").shape == (1, 2, *grid)
    assert e.heatmaps("gradcam").shape == (1, 2, *size)
    layers = e.provenance["layers"]
    assert layers["chosen"] == "automatic"
    assert len(layers["runners_up"]) == 2
    assert f"{channels} channels, {'×'.join(map(str, grid))}" in layers["layers"][layer]
    assert (e.maps("hirescam").abs().max() > 0) == (spec not in ZERO_CLASSIFIERS)


def test_a_classifier_of_zeros_does_not_hide_the_layer():
    """torchvision's ViT starts with one: everything is structurally fine, though every gradient is zero."""
    model = Net()
    nn.init.zeros_(model.head[-1].weight)
    e = camscope.explain(model, batch(1, 3, 16, 16))
    assert e.layers == ("body",)
    assert e.status["gradcam", "body"] in ((("flat",),), (("no-gradient",),))


def test_the_choice_is_not_the_map_of_class_scores_itself():
    """A fully convolutional classifier: its own score map says nothing that the features before it do not."""
    head = nn.Sequential(nn.Conv2d(12, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert camscope.explain(Net(head), batch(1, 3, 16, 16)).layers == ("body",)


def test_pooling_is_not_chosen():
    head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), linear(48, 5, 0))
    assert camscope.explain(Net(head), batch(1, 3, 32, 32)).layers == ("body",)


@pytest.mark.parametrize(
    "last",
    [
        nn.AvgPool2d(3, stride=1, padding=1),  # the shape stays, so only its kind tells
        nn.AvgPool2d(2),
        nn.Upsample(scale_factor=2),
        nn.ZeroPad2d(1),
        Apply(lambda x: torch.nn.functional.avg_pool2d(x, 2)),
        Apply(lambda x: x.flatten(2).mT),
    ],
    ids=lambda module: type(module).__name__,
)
def test_what_computes_no_new_features_is_not_chosen(last):
    """Pooling, enlarging and rearranging, whatever the class is called."""
    head = Apply(lambda x: x.flatten(1).square().sum(1, keepdim=True) * torch.arange(1.0, 6))
    assert camscope.explain(Net(nn.Sequential(last, head)), batch(1, 3, 32, 32)).layers == ("body",)


def test_a_gate_that_halves_the_channels_computes_new_features():
    head = nn.Sequential(nn.GLU(1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear(6, 5, 0))
    assert camscope.explain(Net(head), batch(1, 3, 16, 16)).layers == ("head.0",)


class Windows(nn.Module):
    """Works inside windows, on which there is no grid; a module without weights puts them together."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = linear(12, 12, 0)
        self.together = Apply(
            lambda w: w.reshape(-1, 2, 2, 4, 4, 12).permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        windows = x.unflatten(3, (2, 4)).unflatten(2, (2, 4)).permute(0, 2, 4, 3, 5, 1).reshape(-1, 4, 16, 12)
        return self.together(self.mix(windows) + windows)


def test_windows_that_are_put_together_are_a_layer():
    head = nn.Sequential(Windows(), *gap_head())
    assert camscope.explain(Net(head), batch(1, 3, 32, 32)).layers == ("head.0",)


class PoolFormerBlock(nn.Module):
    """No pooling, though its class says so: the sum at its end is the block's own."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(12, 12, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mix(x)


def test_a_block_with_pooling_in_its_name_is_chosen():
    head = nn.Sequential(PoolFormerBlock(), *gap_head())
    assert camscope.explain(Net(head), batch(1, 3, 16, 16)).layers == ("head.0",)


class Ends(nn.Module):
    """A sum of two branches, which no module puts out, goes on through one module."""

    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        self.net = Net(nn.Identity())
        self.branch = nn.Conv2d(12, 12, 1)
        self.last = last
        self.head = gap_head()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.net(x)
        return self.head(self.last(x + self.branch(x)))


class MonteCarloDropout(nn.Dropout):
    """Drops in eval mode too."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(x, self.p, training=True)


@pytest.mark.parametrize(
    ("last", "layer"),
    [
        (nn.ReLU(), "last"),
        (nn.ReLU(inplace=True), "last"),  # the tensor it got, but written to
        (nn.Identity(), "branch"),
        (nn.Dropout(0.5), "branch"),
        (MonteCarloDropout(0.5), "branch"),
        (nn.Sequential(), "branch"),
    ],
    ids=["relu", "relu in place", "identity", "dropout", "dropout in eval mode", "empty"],
)
def test_what_only_gives_a_tensor_on_is_not_chosen(last, layer):
    assert camscope.explain(Ends(last), batch(1, 3, 16, 16)).layers == (layer,)


class Mixer(nn.Module):
    """Self-attention, though its class does not say so."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = linear(16, 48, 0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        return (q @ k.mT).softmax(-1) @ v


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(16)
        self.attn = Mixer()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.attn(self.norm(x))


class ClassToken(nn.Module):
    """Patches, one block, and a score of the class token."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 8, 8)
        self.block = Block()
        self.head = linear(16, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x).flatten(2).mT
        x = torch.cat([x.mean(1, keepdim=True), x], 1)
        return self.head(self.block(x)[:, 0])


def test_the_inside_of_attention_is_not_chosen_whatever_its_class_is_called():
    """ConViT's query-key-value projection is the deepest layer that reaches the score; what goes into it is meant."""
    assert camscope.explain(ClassToken(), batch(1, 3, 32, 32)).layers == ("block.norm",)


def test_a_network_with_attention_in_its_name_is_no_attention():
    class AttentionNet(Net):
        pass

    assert camscope.explain(nn.Sequential(AttentionNet()), batch(1, 3, 16, 16)).layers == ("0.body",)


def test_the_relu_of_a_layer_is_not_offered_beside_the_module_that_applies_it():
    """`body` ends in a ReLU and is what the head pools, so the ReLU of the norm before it is `body` once more."""
    layers = camscope.explain(Net(), batch(1, 3, 16, 16)).provenance["layers"]
    assert layers["choice"] == "body"
    assert layers["runners_up"] == ["body.1", "body.0"]


# ---------------------------------------------------------------------- grids


class Shift(nn.Module):
    """Patch mean as features, tokens first to last with `prefix` tokens in front, a score of the patches."""

    def __init__(self, patch: int, size: tuple[int, int], prefix: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 32, patch, patch)
        self.norm = nn.LayerNorm(32, elementwise_affine=False)
        self.block = nn.Identity()
        self.tokens = nn.Parameter(torch.zeros(1, prefix, 32))
        self.head = linear(32, 4, 0)
        self.wide = nn.Linear(32, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x).flatten(2).mT
        x = torch.cat([self.tokens.expand(len(x), -1, -1), x], 1)
        x = x + self.wide(x)
        x = self.norm(x)
        return self.head(x[:, self.tokens.shape[1] :].mean(1))


@pytest.mark.parametrize("prefix", [0, 1, 2, 5])
@pytest.mark.parametrize("size", [(64, 64), (48, 80), (80, 48), (16, 112)], ids=str)
def test_tokens_become_the_grid_whatever_stands_in_front_of_them(prefix, size):
    """A strong patch shows up at its own place, with any count of prefix tokens and any aspect."""
    model = Shift(16, size, prefix)
    grid = (size[0] // 16, size[1] // 16)
    x = torch.zeros(1, 3, *size)
    row, column = grid[0] - 1, grid[1] - 2
    x[..., 16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = 50
    quiet = camscope.explain(model, torch.zeros_like(x), methods="mean-activation", layers="wide")
    loud = camscope.explain(model, x, methods="mean-activation", layers="wide")
    assert loud.maps().shape == (1, 1, *grid)
    moved = (loud.maps() - quiet.maps())[0, 0]
    assert moved.abs().flatten().argmax() == row * grid[1] + column
    assert (moved != 0).sum() == 1


@pytest.mark.parametrize("columns", [False, True], ids=["rows", "columns"])
@pytest.mark.parametrize(("front", "behind"), [(0, 1), (1, 1), (0, 4), (1, 4), (2, 3), (3, 0)])
def test_tokens_behind_the_grid_move_no_map(front, behind, columns):
    """The class token at the end, registers behind: against autograd, each position's own token."""
    model, x = Between(front, behind, columns).double().eval(), batch(2, 3, 24, 40, dtype=torch.float64)
    layers = ["block", "mixed"]
    e = camscope.explain(model, x, methods="hirescam", layers=layers, targets=[1])
    for name in layers:
        with torch.enable_grad():
            tokens = []
            handle = model.get_submodule(name).register_forward_hook(lambda _m, _i, o: tokens.append(o))  # noqa: B023
            (gradient,) = torch.autograd.grad(model(x)[:, 1].sum(), tokens)
            handle.remove()
        products = (gradient * tokens[0]).sum(2).detach()[:, front : front + 60]
        expected = products.unflatten(1, (10, 6)).mT if columns else products.unflatten(1, (6, 10))
        torch.testing.assert_close(e.raw["hirescam", name][:, 0], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cut", [False, True], ids=["convolution", "cut into patches"])
@pytest.mark.parametrize(
    "others", [(0,), (30,), (60,), (0, 31, 61), tuple(range(10, 66, 11)), (7, 19, 20, 44)], ids=str
)
def test_tokens_that_are_no_position_may_stand_anywhere(others, cut):
    """A class token in the middle (Vim), one at the end of each row: against autograd and channel after channel."""
    model, x = Among(others, cut).double().eval(), batch(2, 3, 24, 40, dtype=torch.float64)
    layers, methods = ["block", "mixed"], ["hirescam", "ablationcam"]
    e = camscope.explain(model, x, methods=methods, layers=layers, targets=[1])
    positions = [n for n in range(60 + len(others)) if n not in others]
    for name in layers:
        module = model.get_submodule(name)
        with torch.enable_grad():
            tokens = []
            handle = module.register_forward_hook(lambda _m, _i, o: tokens.append(o))  # noqa: B023
            scores = model(x)[:, 1]
            (gradient,) = torch.autograd.grad(scores.sum(), tokens)
            handle.remove()
        A = tokens[0].detach()
        expected = (gradient * A).sum(2).detach()[:, positions].unflatten(1, (6, 10))
        torch.testing.assert_close(e.raw["hirescam", name][:, 0], expected, rtol=1e-9, atol=1e-12)
        expected = torch.zeros(2, 60, dtype=torch.float64)
        for channel in range(A.shape[2]):
            without = A.clone()
            without[:, positions, channel] = 0
            handle = module.register_forward_hook(lambda _m, _i, _o: without)  # noqa: B023
            drop = (scores - model(x)[:, 1]).detach() / scores.detach().abs()
            handle.remove()
            expected += drop[:, None] * A[:, positions, channel]
        found = e.raw["ablationcam", name][:, 0].flatten(1)
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize(("others", "words"), [((60,), "1 behind"), ((30,), "1 in between")])
def test_attention_methods_refuse_a_class_token_that_is_not_in_front(others, words):
    x = batch(1, 3, 24, 40, dtype=torch.float64)
    with pytest.raises(camscope.ModelError, match=rf"6×10 tokens \+ {words}.*in front of the patches"):
        camscope.explain(Among(others, False).double().eval(), x, methods="rollout")


class Among(nn.Module):
    """Patches of 4, with learned tokens anywhere among them, in two layers of attention."""

    def __init__(self, others: tuple[int, ...], cut: bool) -> None:
        super().__init__()
        count = 60 + len(others)
        self.others, self.cut = list(others), cut
        self.positions = [n for n in range(count) if n not in others]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            self.embed = nn.Linear(48, 16) if cut else nn.Conv2d(3, 16, 4, 4)
            self.learned = nn.Parameter(torch.randn(1, len(others), 16))
            self.position = nn.Parameter(0.3 * torch.randn(1, count, 16))
            self.block = nn.TransformerEncoderLayer(16, 4, 32, 0.0, batch_first=True, norm_first=True)
            self.mixed = nn.TransformerEncoderLayer(16, 4, 32, 0.0, batch_first=True, norm_first=True)
        self.head = linear(16, 4, 0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        patches = (
            self.embed(nn.functional.unfold(x, 4, stride=4).mT) if self.cut else self.embed(x).flatten(2).mT
        )
        tokens = torch.empty(len(x), self.position.shape[1], 16, dtype=x.dtype)
        tokens[:, self.positions], tokens[:, self.others] = patches, self.learned.expand(len(x), -1, -1)
        return self.head(self.mixed(self.block(tokens + self.position)).mean(1))


class Between(nn.Module):
    """Patches of 4, with learned tokens in front of them and behind, in two layers of attention."""

    def __init__(self, front: int, behind: int, columns: bool) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            self.embed = nn.Conv2d(3, 16, 4, 4)
            self.front = nn.Parameter(torch.randn(1, front, 16))
            self.behind = nn.Parameter(torch.randn(1, behind, 16))
            self.position = nn.Parameter(0.3 * torch.randn(1, 60 + front + behind, 16))
            self.block = nn.TransformerEncoderLayer(16, 4, 32, 0.0, batch_first=True, norm_first=True)
            self.mixed = nn.TransformerEncoderLayer(16, 4, 32, 0.0, batch_first=True, norm_first=True)
        self.head, self.columns = linear(16, 4, 0), columns

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        x = (x.mT if self.columns else x).flatten(2).mT
        some = [self.front.expand(len(x), -1, -1), x, self.behind.expand(len(x), -1, -1)]
        return self.head(self.mixed(self.block(torch.cat(some, 1) + self.position)).mean(1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "options", "size", "stride"),
    [
        ("torchvision:resnet18", {}, (96, 160), 16),
        ("timm:deit_tiny_distilled_patch16_224", {"img_size": (160, 96)}, (160, 96), 16),
        ("timm:vit_small_patch14_reg4_dinov2", {"img_size": (70, 98)}, (70, 98), 14),
    ],
)
def test_what_changes_in_the_input_changes_at_its_place_in_the_map(spec, options, size, stride):
    """Early enough in the network that a patch is still itself: non-square, prefix and register tokens."""
    explainer = camscope.Explainer(build(spec, **options))
    layer = "layer1" if "resnet" in spec else "blocks.0.norm1"
    plain = batch(1, 3, *size, seed=3) * 0.01
    grid = (size[0] // stride, size[1] // stride)
    for row, column in ((0, 0), (grid[0] - 1, 1), (1, grid[1] - 1), (grid[0] // 2, grid[1] // 2)):
        x = plain.clone()
        x[..., stride * row : stride * (row + 1), stride * column : stride * (column + 1)] += (
            batch(3, 1, 1) * 5
        )
        before, after = (activations_of(explainer, y, layer) for y in (plain, x))
        change = (after - before).abs().sum(1)[0]
        cell = change.flatten().argmax().item()
        found = (
            cell // change.shape[1] * grid[0] // change.shape[0],
            cell % change.shape[1] * grid[1] // change.shape[1],
        )
        assert found == (row, column)


class Sorted(nn.Module):
    """Tokens put in another order by a module, as Hiera does for its pooling, and back again."""

    def __init__(self) -> None:
        super().__init__()
        order = torch.randperm(48, generator=torch.Generator().manual_seed(0))
        self.embed = nn.Conv2d(3, 16, 8, 8)
        self.sort = Apply(lambda x: x[:, order])
        self.among = linear(16, 16, 0)
        self.back = Apply(lambda x: x[:, order.argsort()])
        self.last = linear(16, 16, 1)
        self.head = linear(16, 4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.among(self.sort(self.embed(x).flatten(2).mT))
        return self.head(self.last(self.back(x)).tanh().mean(1))


def test_tokens_in_an_order_of_their_own_are_no_grid():
    model, x = Sorted(), batch(1, 3, 48, 64)
    e = camscope.explain(model, x)
    assert e.layers == ("last",)
    assert e.maps().shape == (1, 1, 6, 8)
    for layer in ("sort", "among"):
        with pytest.raises(camscope.LayerError, match=rf"'{layer}' has no spatial grid.*'last' has one: 6×8"):
            camscope.explain(model, x, layers=layer)


@pytest.mark.slow
def test_hieras_blocks_have_a_grid_once_its_tokens_are_in_order_again():
    layers, chosen = camscope.Explainer(build("timm:hiera_tiny_224")).layers(batch(1, 3, 224, 224))
    assert chosen.name == "blocks.11"
    assert {"patch_embed", "blocks.10"} <= {layer.name for layer in layers}
    assert not {f"blocks.{i}" for i in range(10)} & {layer.name for layer in layers}


class Plants(nn.Module):
    """The score of class i is the light in the i-th quadrant, so the map's hot spot must lie there."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.ReLU())
        nn.init.constant_(self.features[0].weight, 1 / 64)
        nn.init.zeros_(self.features[0].bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        A = self.features(x)
        h, w = A.shape[2] // 2, A.shape[3] // 2
        quadrants = [A[:, :, :h, :w], A[:, :, :h, w:], A[:, :, h:, :w], A[:, :, h:, w:]]
        return torch.stack([q.mean((1, 2, 3)) for q in quadrants], 1)


@pytest.mark.parametrize("size", [(64, 64), (64, 128), (160, 48)], ids=str)
def test_each_classs_evidence_lies_in_its_own_quadrant(size):
    e = camscope.explain(
        Plants(), torch.rand(1, 3, *size), methods=["hirescam", "layercam"], targets=[0, 1, 2, 3]
    )
    for method in e.methods:
        heat = e.heatmaps(method)[0]
        h, w = size[0] // 2, size[1] // 2
        for i, (rows, columns) in enumerate(
            [
                (slice(h), slice(w)),
                (slice(h), slice(w, None)),
                (slice(h, None), slice(w)),
                (slice(h, None), slice(w, None)),
            ]
        ):
            assert heat[i, rows, columns].sum() >= 0.9 * heat[i].sum()
            assert heat[i, rows, columns].max() == 1


@pytest.mark.parametrize("axis", [2, 3])
def test_a_symmetric_networks_map_of_a_mirrored_input_is_the_mirrored_map(axis):
    """Oracle 10: kernels made symmetric, stride 1 and pooling by 2 on even sizes."""
    body = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
    )
    model = nn.Sequential(
        body, nn.Flatten(2), Apply(lambda x: torch.cat([x.square().mean(2), x.amax(2)], 1)), linear(16, 4, 0)
    )
    model = model.double()
    with torch.no_grad():
        for module in body:
            if isinstance(module, nn.Conv2d):
                module.weight.add_(module.weight.flip(axis)).div_(2)
    x = batch(2, 3, 16, 24, dtype=torch.float64)
    methods = [m for m in ANYWHERE if m != "random"]
    call = {"methods": methods, "layers": ["0.1", "0.4", "0"], "targets": [0, 3]}
    plain, mirrored = camscope.explain(model, x, **call), camscope.explain(model, x.flip(axis), **call)
    for key, maps in plain.raw.items():
        torch.testing.assert_close(mirrored.raw[key], maps.flip(axis), rtol=1e-9, atol=1e-12)
    for key in plain.raw:
        torch.testing.assert_close(
            mirrored.heatmaps(*key), plain.heatmaps(*key).flip(axis), rtol=1e-7, atol=1e-9
        )


@pytest.mark.parametrize(
    ("dims", "size"), [(1, (64,)), (2, (32, 48)), (3, (16, 24, 16))], ids=["1D", "2D", "3D"]
)
def test_signals_and_volumes_get_their_layer_and_grid_by_themselves(dims, size):
    e = camscope.explain(Net(gap_head(dims=dims), dims=dims), batch(2, 3, *size))
    assert e.layers == ("body",)
    grid = tuple(n // 4 for n in size)
    assert e.maps().shape == (2, 1, *grid)
    assert f"12 channels, {'×'.join(map(str, grid))}" in e.provenance["layers"]["layers"]["body"]


# ---------------------------------------------------------------------- layers by name


def test_a_layer_may_be_given_as_the_module_itself():
    model = Net(mlp_head(16))
    by_name, by_module = (
        camscope.explain(model, batch(1, 3, 16, 16), layers=one) for one in ("body", model.body)
    )
    assert by_module.layers == ("body",)
    assert torch.equal(by_name.maps(), by_module.maps())
    both = camscope.explain(model, batch(1, 3, 16, 16), layers=[model.stem, "body", model.body])
    assert both.layers == ("stem", "body")
    assert both.provenance["layers"]["chosen"] == "by name"


def test_a_shared_layer_is_explained_at_its_last_call():
    model = SharedReLU()
    e = camscope.explain(
        model, batch(1, 3, 16, 16), methods=["hirescam", "mean-activation"], layers="relu", targets=1
    )
    x = batch(1, 3, 16, 16)
    A = model.three(model.two(model.one(x).relu()).relu()).relu().detach()
    torch.testing.assert_close(e.maps("mean-activation")[:, 0], A.mean(1))


@pytest.fixture(scope="module")
def vit():
    return build("timm:vit_tiny_patch16_224", img_size=(64, 96))


def test_the_last_block_of_a_class_token_vit_is_refused_naming_a_layer_that_works(vit):
    """Oracle 14."""
    x = batch(1, 3, 64, 96)
    with pytest.raises(
        camscope.LayerError, match=r"'blocks.11' do not reach the score.*exactly zero.*'blocks.11.norm1'"
    ):
        camscope.explain(vit, x, layers="blocks.11")
    with pytest.raises(camscope.LayerError, match=r"'blocks.11.norm1'"):
        camscope.explain(vit, x, methods=HAND_MADE, layers=["blocks.5", "norm"], targets=[0, 1])
    e = camscope.explain(vit, x, methods=["eigencam", "mean-activation"], layers="blocks.11")
    assert e.maps("eigencam").shape == (1, 1, 4, 6)
    assert e.maps("eigencam").abs().max() > 0
    assert camscope.explain(vit, x, layers="blocks.11.norm1").maps().abs().max() > 0


def test_the_layers_are_listed_with_whether_they_reach_the_score(vit):
    layers, chosen = camscope.Explainer(vit).layers(batch(1, 3, 64, 96), every=True)
    reaches = {layer.name: layer.reaches for layer in layers}
    assert chosen.name == "blocks.11.norm1"
    assert reaches["blocks.10"]
    assert reaches["blocks.11.norm1"]
    assert not reaches["blocks.11"]
    assert not reaches["norm"]


def test_a_layer_without_a_grid_is_refused_naming_one_that_has():
    with pytest.raises(
        camscope.LayerError, match=r"'head.3' has no spatial grid.*\(1, 5\).*'body' has one: 4×4"
    ):
        camscope.explain(Net(), batch(1, 3, 16, 16), layers="head.3")
    with pytest.raises(camscope.LayerError, match="does not call the layer 'unused'"):
        camscope.explain(SharedReLU(), batch(1, 3, 16, 16), layers="unused")


@pytest.mark.parametrize(
    ("given", "nearest"), [("layer5", "layer4"), ("Layer4", "layer4"), ("layer4.1.bn3", "layer4.1.bn2")]
)
def test_a_misspelt_layer_names_the_nearest(given, nearest, zoo):
    with pytest.raises(camscope.LayerError, match=rf"no layer '{given}' in this ResNet.*'{nearest}'"):
        camscope.explain(zoo("torchvision:resnet18"), batch(1, 3, 64, 64), layers=given)


def test_what_is_no_layer_is_refused():
    for layer, words in ((3, "not as int"), (nn.ReLU(), "no submodule")):
        with pytest.raises(camscope.LayerError, match=words):
            camscope.explain(Net(), batch(1, 3, 16, 16), layers=layer)


def test_a_model_with_no_spatial_layer_is_refused_saying_what_it_has():
    mlp = nn.Sequential(nn.Flatten(), linear(768, 10, 0), nn.ReLU(), linear(10, 3, 1))
    with pytest.raises(camscope.LayerError, match=r"no layer with a spatial grid.*3: \(1, 3\)"):
        camscope.explain(mlp, batch(1, 3, 16, 16))


def test_a_model_that_cuts_its_graph_or_ignores_its_input_is_refused():
    class Cuts(Net):
        def forward(self, x):
            return self.head(self.body(self.stem(x)).detach())

    class Ignores(Net):
        def forward(self, x):
            self.body(self.stem(x))
            return torch.ones(len(x), 5)

    for model in (Cuts(mlp_head(16)), Ignores()):
        with pytest.raises(camscope.LayerError, match="No layer's positions reach the score"):
            camscope.explain(model, batch(1, 3, 16, 16))


def test_an_image_whose_score_happens_not_to_depend_on_the_layer_is_a_status_not_an_error():
    """A dead ReLU for one image of the batch: structurally all is well."""
    model = Net(nn.Sequential(*mlp_head(16, 5), Apply(torch.relu)))
    with torch.no_grad():
        model.head[4].bias.fill_(-100)
    e = camscope.explain(
        model, batch(2, 3, 16, 16), layers="body", targets=[0], methods=["gradcam", "eigencam"]
    )
    assert e.status["gradcam", "body"] == (("no-gradient",),) * 2
    assert e.status["eigencam", "body"] == (("ok",),) * 2
    assert not e.heatmaps("gradcam").any()


@pytest.mark.parametrize(("name", "layer"), [("resnet18", "layer4"), ("mobilenetv2_050", "bn2")])
def test_the_channels_of_an_embedding_are_no_map_of_scores(name, layer):
    """Pooling takes channel k to output k, as behind a classifier; but no classifier put the channels out."""
    timm = pytest.importorskip("timm")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = timm.create_model(name, num_classes=0).eval()
    _, chosen = camscope.Explainer(model).layers(torch.randn(1, 3, 64, 64))
    assert chosen.name == layer


class ByLight(nn.Module):
    """One convolution for light photos, another for dark ones."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.light = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.dark, self.fc = nn.Conv2d(8, 8, 1), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        way = self.light if x.mean() > 0 else self.dark
        return self.fc(way(self.stem(x)).relu().mean((2, 3)))


def test_a_layer_that_the_first_photo_did_not_call_is_found_on_one_that_does():
    noise = batch(1, 3, 12, 12)
    light, dark = noise - noise.mean() + 0.7, noise - noise.mean() - 0.7
    model = ByLight().eval()
    explainer = camscope.Explainer(model)
    assert explainer(light).layers == ("light+relu",)
    with pytest.raises(camscope.LayerError, match="does not call the layer 'dark' for any image"):
        explainer(light, layers="dark")
    for layers in ("dark", "stem"):
        known = explainer(dark, layers=layers, methods=["gradcam", "ablationcam"])
        alone = camscope.Explainer(model)(dark, layers=layers, methods=["gradcam", "ablationcam"])
        for method in ("gradcam", "ablationcam"):
            assert torch.equal(known.maps(method), alone.maps(method))
    for layers in (None, "light"):
        with pytest.raises(
            camscope.LayerError, match="For this batch the model does not call the layer 'light"
        ):
            explainer(dark, layers=layers)
    assert explainer(light, methods="layercam-fused").layers == ("stem, light+relu",)
    assert explainer(torch.cat([light, dark - 1]), layers="dark").layers == ("dark",)


def test_a_named_layer_that_does_nothing_is_looked_for_on_no_more_than_eight_images(monkeypatch):
    looks = []
    look = LayerFinder._look
    monkeypatch.setattr(LayerFinder, "_look", lambda self, batch: looks.append(batch) or look(self, batch))
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1),
        nn.ReLU(),
        nn.Conv2d(4, 4, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    nn.init.constant_(model[0].bias, -1e3)
    camscope.explain(model.eval(), batch(12, 3, 8, 8), layers="1", targets=0)
    assert len(looks) == 1 + 8


class RectifiedByFunction(nn.Module):
    """A ReLU by function before the pooling, of a layer that is positive wherever the picture is black."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 4)
        nn.init.constant_(self.body.bias, 0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).relu().mean((2, 3)))


@pytest.mark.parametrize("first", ["black", "photo"])
def test_a_black_first_frame_hides_no_relu(first: str):
    x = batch(2, 3, 16, 16)
    x[0 if first == "black" else 1] = 0
    assert camscope.explain(RectifiedByFunction(), x).layers == ("body+relu",)
