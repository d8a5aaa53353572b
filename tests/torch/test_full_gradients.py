"""A score is taken apart completely: input times gradient, and every bias times its gradient, add up to it."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from camscope.errors import TargetError
from camscope.evidence import FullGradients, ModelEvidence, Responses
from camscope.methods import get_method
from camscope.models.torch.backwards.full_gradients import completeness_gap, full_gradients
from camscope.models.torch.hooks.state import explaining
from camscope.outputs import Outputs
from camscope.targets import Class, Targets, resolve
from tests.torch.nets import batch


def exact(model: nn.Module, seed: int = 0) -> nn.Module:
    """A copy in double precision, with statistics, weights and biases that a trained net could have."""
    model = copy.deepcopy(model).double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(0, 0.2, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
                if module.affine:
                    module.weight.uniform_(0.5, 1.5, generator=generator)
            elif isinstance(module, (nn.modules.conv._ConvNd, nn.Linear)):
                module.weight.normal_(0, (2 / module.weight[0].numel()) ** 0.5, generator=generator)
            if isinstance(getattr(module, "bias", None), nn.Parameter):
                module.bias.normal_(0, 0.2, generator=generator)
    return model


def targets_of(model: nn.Module, x: torch.Tensor, wanted) -> Targets:
    with torch.no_grad():
        return resolve(wanted, Outputs(model(x.clone()), "multiclass"))


def take_apart(model: nn.Module, x: torch.Tensor, wanted=(1, 3)) -> FullGradients:
    targets = targets_of(model, x, list(wanted))
    with explaining(model):
        return full_gradients(model, lambda x: Outputs(model(x), "multiclass"), x, targets)


def total(full: FullGradients, x: torch.Tensor) -> torch.Tensor:
    parts = [
        full.rest,
        full.inputs.flatten(2).sum(2),
        *(b.flatten(2).sum(2) for b in full.biases),
    ]
    return sum(parts)


def assert_complete(model: nn.Module, x: torch.Tensor, wanted=(1, 3)) -> FullGradients:
    full = take_apart(model, x, wanted)
    with torch.no_grad():
        scores = model(x.clone())[:, list(wanted)]
    assert scores.abs().min() > 1e-3
    torch.testing.assert_close(total(full, x), scores, rtol=1e-10, atol=1e-10)
    assert float(full.gap.max()) < 1e-12
    return full


# ------------------------------------------------------------------ by hand


class ByHand(nn.Module):
    """score_c = v_c · mean(relu(w x + b)) + d_c, one weight each."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv1d(1, 1, 1), nn.Linear(1, 2)
        with torch.no_grad():
            self.conv.weight.fill_(2.0)
            self.conv.bias.fill_(-3.0)
            self.fc.weight.copy_(torch.tensor([[5.0], [-1.0]]))
            self.fc.bias.copy_(torch.tensor([0.5, 7.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(functional.relu(self.conv(x)).mean(2))


def test_a_net_small_enough_to_do_by_hand():
    """x = (1, 2, 4): 2x − 3 = (−1, 1, 5), so positions 2 and 3 pass, each a third of the mean."""
    full = take_apart(ByHand().double(), torch.tensor([[[1.0, 2.0, 4.0]]]).double(), (0, 1))
    third = 1 / 3
    expected = torch.tensor([[0, 2 * 10 * third, 4 * 10 * third], [0, 2 * -2 * third, 4 * -2 * third]])
    torch.testing.assert_close(full.inputs[0, :, 0], expected.double())
    expected = -3 * torch.tensor([[0, 5 * third, 5 * third], [0, -third, -third]])
    assert len(full.biases) == 1
    torch.testing.assert_close(full.biases[0][0, :, 0], expected.double())
    torch.testing.assert_close(full.rest, torch.tensor([[0.5, 7.0]]).double())
    torch.testing.assert_close(full.gap, torch.zeros(1, 2).double())


# ------------------------------------------------------------------ complete


def vgg() -> nn.Module:
    """VGG-11 with norms and a small classifier."""
    from torchvision.models.vgg import cfgs, make_layers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = [nn.Flatten(), nn.Linear(512, 16), nn.ReLU(True), nn.Dropout(), nn.Linear(16, 10)]
        return nn.Sequential(make_layers(cfgs["A"], batch_norm=True), nn.AdaptiveAvgPool2d(1), *head)


def real(zoo, name: str) -> nn.Module:
    return exact(vgg() if name == "vgg11_bn" else zoo(f"torchvision:{name}"))


@pytest.mark.parametrize("name", ["resnet18", "vgg11_bn", "densenet121", "mobilenet_v2"])
def test_real_networks_are_taken_apart_completely(zoo, untouched, name):
    """In-place ReLUs, skips, biases before norms, several linear layers; ReLU6 with what it cuts off."""
    model, x = real(zoo, name), batch(2, 3, 64, 64, dtype=torch.float64)
    with untouched(model):
        full = assert_complete(model, 3 * x)
    assert len(full.biases) > 5


@pytest.mark.parametrize("spec", ["timm:efficientnet_lite0", "timm:regnetx_002"])
def test_norms_fused_with_their_activation_are_seen_before_it(zoo, spec):
    """timm's BatchNormAct2d: one module whose output is behind its ReLU."""
    model = exact(zoo(spec))
    assert any(type(module).__name__ == "BatchNormAct2d" for module in model.modules())
    assert_complete(model, 3 * batch(2, 3, 64, 64, dtype=torch.float64))


class Net(nn.Module):
    """Something that adds a bias, between two convolutions without one."""

    def __init__(self, *middle: nn.Module, dims: int = 2) -> None:
        super().__init__()
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first = conv(3, 6, 3, 2, 1, bias=False)
            self.middle = nn.Sequential(*middle)
            self.last = conv(6, 4, 3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.last(self.middle(self.first(x)))
        return functional.leaky_relu(x, 0.2).flatten(2).mean(2)  # never dead


class Function(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("c", torch.tensor([0.3, -0.2, 0.5, 0.1, -0.4, 0.2]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x, self.c.to(x.dtype).reshape(-1, 1, 1))


class ChannelsLast(nn.Module):
    """A linear layer on `batch height width channel`."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.linear(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


class FrozenNorm(nn.Module):
    """A batch norm folded into a product and a sum, as torchvision's detectors have it."""

    def __init__(self) -> None:
        super().__init__()
        import torchvision

        self.norm = torchvision.ops.FrozenBatchNorm2d(6)
        self.norm.bias.normal_(generator=torch.Generator().manual_seed(3))
        self.norm.running_mean.normal_(generator=torch.Generator().manual_seed(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x)


def twice() -> list[nn.Module]:
    block = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(inplace=True))
    return [block, block]


ADDS_A_BIAS = {
    "conv": (1, [nn.Conv2d(6, 6, 3, padding=1)]),
    "transposed conv": (1, [nn.ConvTranspose2d(6, 6, 2)]),
    "called twice": (2, twice()),
    "norm": (1, [nn.BatchNorm2d(6), nn.ReLU(inplace=True)]),
    "norm without weights": (1, [nn.BatchNorm2d(6, affine=False), nn.ReLU()]),
    "channels last": (1, [ChannelsLast()]),
    "frozen norm": (1, [FrozenNorm(), nn.ReLU()]),
    "functional norm": (
        1,
        [Function(lambda x, c: functional.batch_norm(x, c.flatten(), c.flatten().abs() + 1)), nn.ReLU(True)],
    ),
    "torch.batch_norm": (
        1,
        [
            Function(
                lambda x, c: torch.batch_norm(
                    x, None, c.flatten(), c.flatten(), c.flatten().abs() + 1, False, 0.1, 1e-5, False
                )
            )
        ],
    ),
    "sum": (1, [Function(lambda x, c: c + x), nn.ReLU()]),
    "sum in place": (1, [Function(lambda x, c: x.clone().add_(c, alpha=2)), nn.ReLU(True)]),
    "difference": (1, [Function(lambda x, c: x - c), nn.ReLU()]),
    "difference the other way": (1, [Function(lambda x, c: c - x), nn.ReLU()]),
    "difference by rsub": (1, [Function(lambda x, c: torch.rsub(c, x, alpha=2)), nn.ReLU()]),
    "number": (0, [Function(lambda x, c: 0.3 - (x - 1.5)), nn.ReLU()]),
    "over space": (
        0,
        [Function(lambda x, c: x + torch.linspace(0, 1, x.shape[-1], dtype=x.dtype)), nn.ReLU()],
    ),
    "saturated": (2, [nn.BatchNorm2d(6), nn.ReLU6(inplace=True)]),
    "clamped": (1, [Function(lambda x, c: x.clamp(-0.1, 0.2))]),
    "smooth": (4, [nn.Conv2d(6, 6, 1), nn.GELU(), nn.SiLU(inplace=True), nn.Hardswish()]),
    "leaky": (0, [nn.LeakyReLU(0.1), nn.PReLU()]),
}


@pytest.mark.parametrize("what", ADDS_A_BIAS)
def test_whatever_adds_a_bias_is_counted(what):
    """… with a map of its own where it has channels on the grid."""
    maps, middle = ADDS_A_BIAS[what]
    full = assert_complete(exact(Net(*middle)), 2 * batch(2, 3, 16, 16, dtype=torch.float64))
    assert len(full.biases) == maps
    assert all(bias.shape[:3] == (2, 2, 6) for bias in full.biases)


@pytest.mark.parametrize("dims", [1, 3])
def test_signals_and_volumes(dims):
    norm = (nn.BatchNorm1d, None, nn.BatchNorm3d)[dims - 1]
    model = exact(Net(norm(6), nn.ReLU(inplace=True), dims=dims))
    full = assert_complete(model, batch(2, 3, *[12] * dims, dtype=torch.float64))
    assert full.biases[0].shape == (2, 2, 6, *[6] * dims)


def test_the_bias_gradient_of_a_norm_is_that_of_its_output_before_an_in_place_relu():
    model, x = exact(Net(nn.BatchNorm2d(6), nn.ReLU(inplace=True))), batch(2, 3, 16, 16, dtype=torch.float64)
    (product,) = take_apart(model, x, (2,)).biases
    norm = model.middle[0]
    z = norm(model.first(x)).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(
        functional.leaky_relu(model.last(torch.relu(z)), 0.2).mean((2, 3))[:, 2].sum(), z
    )
    shift = norm.bias - norm.weight * norm.running_mean / (norm.running_var + norm.eps).sqrt()
    torch.testing.assert_close(product[:, 0], (shift[:, None, None] * gradient).detach())


def test_the_first_layer_may_work_in_place():
    x = batch(1, 3, 16, 16, dtype=torch.float64)
    before = x.clone()
    assert_complete(exact(nn.Sequential(nn.ReLU(inplace=True), Net(nn.BatchNorm2d(6)))), x)
    assert torch.equal(x, before)
    assert not x.requires_grad


def test_an_infinite_constant_is_a_mask():
    """−inf + x passes nothing on, and must not become NaN."""
    mask = torch.zeros(8, dtype=torch.float64)
    mask[3] = -torch.inf
    model = exact(Net(Function(lambda x, c: x + mask), nn.ReLU()))
    assert_complete(model, batch(2, 3, 16, 16, dtype=torch.float64))


def test_each_image_by_itself_and_each_target_by_itself(zoo):
    model, x = exact(zoo("torchvision:resnet18")), batch(3, 3, 64, 64, dtype=torch.float64)
    together = take_apart(model, x, (1, 3, 7))
    alone = take_apart(model, x[1:2], (3,))
    torch.testing.assert_close(together.inputs[1:2, 1:2], alone.inputs)
    torch.testing.assert_close(together.rest[1:2, 1:2], alone.rest)
    for many, one in zip(together.biases, alone.biases, strict=True):
        torch.testing.assert_close(many[1:2, 1:2], one)


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.used, self.auxiliary = Net(nn.BatchNorm2d(6)), nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.body(x)
        return self.used(features), self.auxiliary(features)


def test_heads_that_the_score_does_not_use_are_left_out():
    model, x = exact(TwoHeads()), batch(2, 3, 16, 16, dtype=torch.float64)
    targets = targets_of(model.body, x, [1])
    with explaining(model):
        full = full_gradients(model, lambda x: Outputs(model(x)[0], "multiclass"), x, targets)
    assert float(full.gap.max()) < 1e-12


def test_targets_that_use_different_parts_of_the_model():
    model, x = exact(TwoHeads()), batch(2, 3, 16, 16, dtype=torch.float64)
    wanted = [lambda heads: heads[0][:, 0], lambda heads: heads[1][:, 2]]
    with explaining(model):
        outputs = Outputs(model(x)[0], "multiclass", raw=model(x))
        targets = resolve(wanted, outputs)

        def run(x: torch.Tensor) -> Outputs:
            heads = model(x)
            return Outputs(heads[0], "multiclass", raw=heads)

        full = full_gradients(model, run, x, targets)
        heads = model(x)
    torch.testing.assert_close(total(full, x), torch.stack([heads[0][:, 0], heads[1][:, 2]], dim=1))


# ------------------------------------------------------------------ not complete, and it says so


class Gate(nn.Module):
    """Squeeze and excitation: features times what is made of them."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Conv2d(6, 6, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.fc(x.mean((2, 3), keepdim=True)))


@pytest.mark.parametrize("middle", [Gate(), nn.GroupNorm(2, 6), nn.InstanceNorm2d(6, affine=True)])
def test_the_gap_tells_where_the_parts_do_not_add_up(middle):
    model, x = exact(Net(middle, nn.ReLU())), batch(2, 3, 16, 16, dtype=torch.float64)
    full = take_apart(model, x)
    scores = model(x)[:, [1, 3]].detach()
    assert float(full.gap.min()) > 0.02
    assert (total(full, x) - scores).abs().min() > 1e-3 * scores.abs().min()


def test_a_probability_is_no_sum_of_such_parts():
    model, x = exact(Net(nn.BatchNorm2d(6))), batch(2, 3, 16, 16, dtype=torch.float64)
    assert float(take_apart(model, x, (Class(1, "probability"),)).gap.min()) > 0.02


def test_the_gap_by_hand():
    parts = [torch.tensor([[3.0, 1.0, 0.0]]), torch.tensor([[-1.0, 1.0, 0.0]])]
    gap = completeness_gap(torch.tensor([[2.0, 0.0, 0.0]]), parts)
    torch.testing.assert_close(gap, torch.tensor([[0.0, 1.0, 0.0]]))


def test_single_and_half_precision():
    model, x = exact(Net(nn.BatchNorm2d(6), nn.ReLU(inplace=True))), batch(2, 3, 16, 16, dtype=torch.float64)
    fine = take_apart(model, x)
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 0.05)):
        coarse = take_apart(copy.deepcopy(model).to(dtype), x.to(dtype))
        assert coarse.inputs.dtype == coarse.biases[0].dtype == coarse.gap.dtype == torch.float32
        scale = float(fine.biases[0].abs().max())
        assert (coarse.biases[0] - fine.biases[0]).abs().mean() < tolerance * scale
        assert float(coarse.gap.max()) < tolerance


def test_a_score_cut_off_from_the_input_is_refused():
    model = nn.Sequential(Net(), Cut())
    with pytest.raises(TargetError, match="do not depend on its input"):
        take_apart(model, batch(1, 3, 16, 16))


class Cut(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.detach()


def test_nothing_is_left_behind_by_an_exception(untouched):
    model, x = Net(nn.BatchNorm2d(6)).eval(), batch(1, 3, 16, 16)
    targets = targets_of(model, x, [1])

    def run(x: torch.Tensor) -> Outputs:
        model(x)
        raise KeyboardInterrupt

    with untouched(model), pytest.raises(KeyboardInterrupt), explaining(model):
        full_gradients(model, run, x, targets)
    assert not torch.overrides._get_current_function_mode_stack()


# ------------------------------------------------------------------ the map


def literal_fullgrad(model: nn.Module, x: torch.Tensor, target: int) -> np.ndarray:
    """The definition word for word: hooks on modules, one map at a time, resized one by one (conv–BN–ReLU nets)."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    seen: list[tuple[nn.Module, torch.Tensor]] = []

    def keep(module: nn.Module, _inputs, output: torch.Tensor) -> torch.Tensor:
        output = output.clone()
        output.retain_grad()
        seen.append((module, output))
        return output.clone()

    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d)):
            module.register_forward_hook(keep)
    x = x.clone().requires_grad_()
    model(x)[:, target].sum().backward()

    def psi(term: torch.Tensor) -> np.ndarray:
        """`channel height width` → `height width`, at the input's size."""
        term = term.abs()
        term = (term - term.min()) / (term.max() - term.min())
        up = functional.interpolate(term[None], x.shape[2:], mode="bilinear", align_corners=False)
        return up[0].sum(0).detach().numpy()

    maps = []
    for b in range(len(x)):
        out = psi(x[b] * x.grad[b])
        for module, output in seen:
            bias = module.bias
            if isinstance(module, nn.BatchNorm2d):
                bias = bias - module.weight * module.running_mean / (module.running_var + module.eps).sqrt()
            if bias is not None:
                out = out + psi(bias[:, None, None] * output.grad[b])
        maps.append(out)
    return np.stack(maps)


def fullgrad(model: nn.Module, x: torch.Tensor, wanted) -> torch.Tensor:
    nothing = torch.zeros(len(x), len(wanted), dtype=x.dtype)
    evidence = ModelEvidence(
        inputs=x, responses=Responses(nothing, nothing, nothing), full_gradients=take_apart(model, x, wanted)
    )
    return get_method("fullgrad")(evidence)


@pytest.mark.parametrize("name", ["resnet18", "vgg11_bn"])
def test_fullgrad_is_its_definition_word_for_word(zoo, name):
    model, x = real(zoo, name), batch(2, 3, 64, 48, dtype=torch.float64)
    maps = fullgrad(model, x, (4, 9))
    assert maps.shape == (2, 2, 64, 48)
    for t, target in enumerate((4, 9)):
        np.testing.assert_allclose(maps[:, t], literal_fullgrad(model, x, target), rtol=1e-9, atol=1e-9)


def test_fullgrad_scales_each_layer_by_all_its_channels_together():
    """A channel a hundred times weaker stays so: pytorch-grad-cam stretches each by itself."""
    weak, strong = torch.zeros(1, 1, 1, 4), torch.zeros(1, 1, 1, 4)
    weak[..., 1], strong[..., 2] = 0.01, -1.0
    full = FullGradients(
        inputs=torch.zeros(1, 1, 1, 4),
        biases=(torch.cat([weak, strong], dim=2),),
        rest=torch.zeros(1, 1),
        gap=torch.zeros(1, 1),
    )
    x, nothing = torch.ones(1, 1, 4), torch.zeros(1, 1)
    maps = get_method("fullgrad")(ModelEvidence(x, Responses(nothing, nothing, nothing), full_gradients=full))
    torch.testing.assert_close(maps, torch.tensor([[[0.0, 0.01, 1.0, 0.0]]]))
