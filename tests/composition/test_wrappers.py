"""Wrappers and changed targets against their formulas, written out with plain calls of the method inside."""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import camscope
from camscope import Preprocessing
from camscope.composition import MultiScale, PathIntegral, Setting, Smooth, parse
from camscope.errors import InputError, MethodError, TargetError
from camscope.models.torch.backwards.full_gradients import full_gradients
from camscope.models.torch.backwards.libragrad import balanced_gradients
from camscope.models.torch.hooks.state import explaining
from camscope.outputs import Outputs
from camscope.targets import Class, Contrast, PerImage, TopK, resolve
from tests.torch.nets import Apply, Net, batch, explainer_of, gap_head, linear, mlp_head

pytestmark = pytest.mark.filterwarnings("ignore::camscope.errors.CamscopeWarning")
X = batch(3, 3, 16, 16, dtype=torch.float64)
GRADIENT = ["gradcam", "hirescam", "layercam", "gradcam++", "gradcam++-official", "xgradcam", "eigengradcam"]
BY_CLASS = [
    *GRADIENT,
    "gradcam-elementwise",
    "shapley",
    "guided-gradcam",
    "ablationcam",
    "reciprocam",
    "reciprocam-gaussian",
    "vit-reciprocam",
    "scorecam",
    "scorecam-paper",
    "scorecam-paper-logit(top=3)",
    "gscorecam(top=3)",
    "groupcam(groups=3)",
    "pcam+",
    "pcam-",
    "pcam",
    "opticam(steps=3)",
    "rise(n=8)",
    "fullgrad",
]
ANY_CLASS = ["eigencam", "kpcacam", "fem(k=1)", "mean-activation", "centre"]


def net(*, linear: bool = False) -> Net:
    return Net(gap_head() if linear else mlp_head(16)).double().eval()


def maps(
    model: nn.Module, x: torch.Tensor, method: Any, *, of: str | None = None, **call: Any
) -> torch.Tensor:
    """The only raw map there is (of that layer, where several are asked for)."""
    options = {name: call.pop(name) for name in ("preprocessing", "task") if name in call}
    e = explainer_of(model, **options)(x, methods=method, **call)
    found = [m for (_, layer), m in e.raw.items() if of in (None, layer)]
    (only,) = found
    return only


def all_maps(model: nn.Module, x: torch.Tensor, names: Sequence[str], **call: Any) -> dict[str, torch.Tensor]:
    """The raw maps of many methods from one call, by name."""
    raw = explainer_of(model)(x, methods=list(names), **call).raw
    by_name = {method: m for (method, _), m in raw.items()}
    return {name: by_name[parse(name).name] for name in names}


def close(found: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-12, *, name: str = "") -> None:
    assert found.shape == expected.shape, name
    assert expected.abs().max() > 0, name
    assert (found - expected).abs().max() <= tolerance * expected.abs().max(), name


def each_the_same(
    model: nn.Module, wrapped: str, names: Sequence[str], tolerance: float = 1e-12, *, heatmaps: bool = False
) -> None:
    """Each method wrapped like this is the method itself (its negative values left out, for heatmaps)."""
    outer = [wrapped.format(name) for name in names]
    found = all_maps(model, X, [*outer, *names], targets=[1, 4])
    for name, around in zip(names, outer, strict=True):
        plain = found[name].relu() if heatmaps and parse(name).rectified else found[name]
        close(found[around], plain, tolerance, name=name)


def nearest(logits: torch.Tensor, c: int, count: int) -> torch.Tensor:
    """The classes with the closest logits, `batch count`."""
    far = (logits - logits[:, c : c + 1]).abs()
    far[:, c] = torch.inf
    return far.argsort(1)[:, :count]


def up(m: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    return functional.interpolate(m, tuple(size), mode="bilinear", antialias=False)


# ------------------------------------------------------------------ finer


def test_finer_with_gamma_zero_is_the_method_itself():
    """Oracle 9."""
    each_the_same(net(), "finer({}, gamma=0)", BY_CLASS)


@pytest.mark.parametrize("head", ["linear", "other"])
def test_finer_is_the_method_of_a_contrasted_target(head):
    """And not the method itself."""
    model = net(linear=head == "linear")
    names = [f"finer({name}, gamma=0.7, count=2, weighting=softmax)" for name in BY_CLASS]
    found = all_maps(model, X, names, targets=[1, 4])
    contrasts = [Contrast(c, gamma=0.7, count=2, weighting="softmax") for c in (1, 4)]
    expected = all_maps(model, X, BY_CLASS, targets=contrasts)
    plain = all_maps(model, X, BY_CLASS, targets=[1, 4])
    for name, finer in zip(BY_CLASS, names, strict=True):
        close(found[finer], expected[name], name=name)
        assert not torch.allclose(found[finer], plain[name]), name


@pytest.mark.parametrize("name", ["cam", "gradcam", "hirescam", "xgradcam"])
@pytest.mark.parametrize(("gamma", "count"), [(0.6, 3), (1.0, 2), (0.25, 4)])
@pytest.mark.parametrize("weighting", ["mean", "softmax"])
def test_behind_a_linear_head_finer_is_class_maps_recombined(name, gamma, count, weighting):
    """METHODS §1.0: (CAM_c − γ · mean_d CAM_d) / N, d the classes with the closest logits, image by image."""
    model = net(linear=True)
    with torch.no_grad():
        A, logits = model.body(model.stem(X)), model(X)
    W = model.head[-1].weight.detach()
    d = nearest(logits, 1, count)
    shares = torch.full(d.shape, 1 / count, dtype=torch.float64)
    if weighting == "softmax":
        shares = logits.gather(1, d).softmax(1)
    weights = W[1] - gamma * torch.einsum("bd,bdk->bk", shares, W[d])
    expected = torch.einsum("bk,bkhw->bhw", weights, A)[:, None]
    found = maps(model, X, f"finer({name}, {gamma}, {count}, {weighting})", targets=1, layers="body")
    close(found, expected / (1 if name == "cam" else 16))
    assert len({tuple(row) for row in d.tolist()}) > 1 or count == 4, (
        "the images have the same similar classes"
    )


def test_finercam_is_what_its_name_says():
    close(
        maps(net(), X, "finercam", targets=1),
        maps(net(), X, "gradcam", targets=Contrast(1, gamma=0.6, count=3)),
    )


@pytest.mark.parametrize(
    "targets", [None, TopK(2), -Class(3), PerImage([0, -Class(2), 4]), Class(2, "probability")]
)
def test_finer_of_any_target(targets):
    """Of each image's own classes, their sign and score kept: the contrast of that very score."""
    model = net()
    with torch.no_grad():
        logits = model(X)
    asked = {
        "None": [[Class(int(c))] for c in logits.argmax(1)],
        "TopK": [[Class(int(c)) for c in row] for row in logits.argsort(1, descending=True)[:, :2]],
        "Class": [[targets]] * 3,
        "PerImage": [[Class(0)], [-Class(2)], [Class(4)]],
    }["None" if targets is None else type(targets).__name__]
    rows = [
        [
            Contrast(t.which, [int(d) for d in nearest(logits, t.which, 3)[b]], of=t.of, sign=t.sign)
            for t in row
        ]
        for b, row in enumerate(asked)
    ]
    close(
        maps(model, X, "finer(gradcam)", targets=targets), maps(model, X, "gradcam", targets=PerImage(rows))
    )


def test_a_callable_cannot_be_contrasted():
    with pytest.raises(TargetError, match="no similar classes"):
        maps(net(), X, "finercam", targets=lambda raw: raw[:, 0])


def test_a_contrast_is_not_contrasted_again():
    with pytest.raises(TargetError, match="contrasted with other classes already"):
        maps(net(), X, "finercam", targets=Contrast(1, against=2))


def test_more_similar_classes_than_there_are_means_all_of_them():
    few = maps(net(), X, "finer(gradcam, count=9)", targets=1)
    close(few, maps(net(), X, "gradcam", targets=Contrast(1, against=[0, 2, 3, 4])))


# ------------------------------------------------------------------ rest, balanced


def test_rest_is_the_method_of_logit_plus_log_probability():
    found = all_maps(net(), X, [f"rest({name})" for name in BY_CLASS], targets=[1, 4])
    expected = all_maps(net(), X, BY_CLASS, targets=[Class(1, "rest"), Class(4, "rest")])
    for name in BY_CLASS:
        close(found[f"rest({name})"], expected[name], name=name)


def test_rest_of_a_contrast_contrasts_the_rest_scores():
    model = net()
    found = maps(model, X, "finer(rest(gradcam), gamma=0.5, count=2)", targets=1)
    close(found, maps(model, X, "gradcam", targets=Contrast(1, gamma=0.5, count=2, of="rest")))
    close(found, maps(model, X, "rest(finer(gradcam, gamma=0.5, count=2))", targets=1))


def test_balanced_changes_nothing_where_all_is_balanced():
    """Convolutions, batch norm, ReLU and linear layers."""
    head = nn.Sequential(nn.Flatten(), linear(192, 20, 1), nn.ReLU(), linear(20, 5, 2))
    each_the_same(
        Net(head).double().eval(), "balanced({})", [*GRADIENT, "shapley", "guided-gradcam", "fullgrad"]
    )


def test_balanced_changes_gradients_through_gates():
    """A GELU's gate is a constant: the gradient is that of x · Φ(x₀)."""
    model = Net(nn.Sequential(nn.GELU(), nn.Flatten(), linear(192, 5, 1))).double().eval()
    with torch.no_grad():
        A = model.body(model.stem(X))
    gradients = model.head[2].weight.detach()[1].reshape(12, 4, 4) * torch.special.ndtr(A)
    found = maps(model, X, "balanced(hirescam)", targets=1, layers="body")
    close(found, (gradients * A).sum(1, keepdim=True))
    assert not torch.allclose(found, maps(model, X, "hirescam", targets=1, layers="body"), rtol=1e-2)


# ------------------------------------------------------------------ modifiers inside and outside


OUTER = ["smooth({}, n=3)", "augment({}, [flip, 0.5])", "path({}, zero, 3)", "multiscale({}, [1, 1.5])"]


@pytest.mark.parametrize("change", ["finer({}, count=2)", "rest({})", "balanced({})"])
@pytest.mark.parametrize("outer", [*OUTER, "smooth({}, n=3, average=gradients)"])
def test_what_changes_the_target_may_stand_outside_or_inside(change, outer):
    model = net(linear=True)
    a = maps(model, X, change.format(outer.format("layercam")), targets=[1, 2])
    b = maps(model, X, outer.format(change.format("layercam")), targets=[1, 2])
    assert torch.equal(a, b)
    if "balanced" not in change:
        assert not torch.allclose(a, maps(model, X, outer.format("layercam"), targets=[1, 2]))


@pytest.mark.parametrize("outer", OUTER)
def test_similar_classes_are_those_of_the_image_not_of_its_copies(outer):
    """Noise, sizes and the way from black may make other classes similar."""
    model = net(linear=True)
    with torch.no_grad():
        logits = model(X)
    fixed = PerImage([[Contrast(1, [int(d) for d in nearest(logits, 1, 2)[b]])] for b in range(3)])
    close(
        maps(model, X, outer.format("finer(layercam, count=2)"), targets=1),
        maps(model, X, outer.format("layercam"), targets=fixed),
    )


@pytest.mark.parametrize("outer", OUTER)
def test_the_top_class_is_that_of_the_image_not_of_its_copies(outer):
    model = net(linear=True)
    with torch.no_grad():
        top = model(X).argmax(1).tolist()
    close(
        maps(model, X, outer.format("layercam")),
        maps(model, X, outer.format("layercam"), targets=PerImage(top)),
    )


# ------------------------------------------------------------------ smooth


def test_smooth_without_noise_is_the_method_itself():
    each_the_same(net(), "smooth({}, n=2, sigma=0)", [*BY_CLASS, *ANY_CLASS], 1e-10)


@pytest.mark.parametrize("head", ["linear", "other"])
def test_smooth_gradients_without_noise_is_the_method_itself(head):
    each_the_same(
        net(linear=head == "linear"), "smooth({}, n=2, sigma=0, average=gradients)", GRADIENT, 1e-10
    )


def noisy(x: torch.Tensor, n: int, sigma: float, seed: int = 0) -> list[torch.Tensor]:
    """x + N(0, (σ · range)²), n times."""
    extent = x.flatten(1).max(1).values - x.flatten(1).min(1).values
    rngs = [np.random.default_rng([seed, i]) for i in range(n)]
    noise = [torch.from_numpy(rng.standard_normal(x.shape[1:], dtype=np.float32)).to(x.dtype) for rng in rngs]
    return [x + sigma * extent[:, None, None, None] * one for one in noise]


@pytest.mark.parametrize(
    "name", ["gradcam", "layercam", "scorecam(top=3)", "ablationcam", "eigencam", "rise(n=8)", "fullgrad"]
)
@pytest.mark.parametrize("n", [1, 7])  # one, and more than fit into a batch
def test_smooth_is_the_mean_over_noisy_copies(name, n):
    model = net()
    each = [maps(model, one, name, targets=[1, 4], seed=3) for one in noisy(X, n, 0.2, seed=3)]
    expected = torch.stack(each).mean(0)
    found = maps(model, X, f"smooth({name}, n={n}, sigma=0.2)", targets=[1, 4], seed=3)
    close(found, expected, 1e-10)
    assert not torch.allclose(found, maps(model, X, name, targets=[1, 4]), rtol=1e-2)


@pytest.mark.parametrize("linear", [True, False])
def test_smoothgradcam_plus_plus_is_its_formula(linear):
    """METHODS §1.4: α = D2 / (2 D2 + S_k D3), w_k = Σ_ij α relu(D1), Σ_k w_k A^k, A the clean activations."""
    model = net(linear=linear)
    with torch.no_grad():
        A = model.body(model.stem(X))
    powers = torch.zeros(3, *A.shape, dtype=torch.float64)
    for one in noisy(X, 16, 0.15):
        with torch.no_grad():
            a = model.body(model.stem(one))
        a.requires_grad_()
        (g,) = torch.autograd.grad(model.head(a)[:, 1].sum(), a)
        powers += torch.stack([g, g**2, g**3]) / 16
    D1, D2, D3 = powers
    S = A.sum((2, 3), keepdim=True)
    denominator = 2 * D2 + S * D3
    alpha = torch.where(D2 == 0, 0, D2 / torch.where(D2 == 0, 1, denominator))
    crossing = (denominator / D2).abs() < 1e-3  # where the formula has no meaning, α is 0
    alpha = torch.where(crossing, 0, alpha)
    expected = torch.einsum("bkhw,bk->bhw", A, (alpha * D1.relu()).sum((2, 3)))[:, None]
    close(maps(model, X, "smoothgradcam++", targets=1, layers="body"), expected, 1e-10)


@pytest.mark.parametrize("name", ["gradcam", "hirescam", "layercam"])
def test_averaging_gradients_is_the_method_on_clean_activations_and_mean_gradients(name):
    model = net()
    with torch.no_grad():
        A = model.body(model.stem(X))
    mean = torch.zeros_like(A)
    for one in noisy(X, 3, 0.15):
        with torch.no_grad():
            a = model.body(model.stem(one))
        a.requires_grad_()
        mean += torch.autograd.grad(model.head(a)[:, 1].sum(), a)[0] / 3
    weights = {"gradcam": mean.mean((2, 3), keepdim=True), "hirescam": mean, "layercam": mean.relu()}[name]
    expected = (weights * A).sum(1, keepdim=True)
    close(maps(model, X, f"smooth({name}, n=3, average=gradients)", targets=1, layers="body"), expected)


@pytest.mark.parametrize("balanced", [False, True])
def test_smooth_fullgrad_takes_absolute_values_of_the_mean_parts(balanced):
    """METHODS §1.16: signed parts averaged over noisy inputs, the input's summed over its channels, then ψ."""
    model = Net(nn.Sequential(nn.GELU(), *mlp_head(16))).double().eval()
    targets = resolve([1, 4], Outputs(model(X).detach(), "multiclass"))
    parts: list[torch.Tensor] = []
    with explaining(model), balanced_gradients(model) if balanced else contextlib.nullcontext():
        for one in noisy(X, 3, 0.15):
            full = full_gradients(model, lambda x: Outputs(model(x), "multiclass"), one, targets)
            terms = [full.inputs.sum(2, keepdim=True), *full.biases]
            parts = [a + b / 3 for a, b in zip(parts or [0] * len(terms), terms, strict=True)]
    expected = torch.zeros(3, 2, 16, 16, dtype=torch.float64)
    for part in parts:
        scaled = part.abs() - part.abs().amin((2, 3, 4), keepdim=True)
        scaled = scaled / scaled.amax((2, 3, 4), keepdim=True).clamp(min=1e-300)
        expected += up(scaled.sum(2), (16, 16))
    name = "smooth(fullgrad, n=3, average=gradients)"
    found = maps(model, X, f"balanced({name})" if balanced else name, targets=[1, 4])
    close(found, expected, 1e-9)
    assert not torch.allclose(found, maps(model, X, "smooth(fullgrad, n=3)", targets=[1, 4]), rtol=0.05)


def test_more_targets_than_are_summed_at_a_time_are_all_there():
    model = net()
    found = maps(model, X, "smooth(fullgrad, n=2, average=gradients)", targets=[0, 1, 2, 3, 4])
    alone = maps(model, X, "smooth(fullgrad, n=2, average=gradients)", targets=4)
    close(found[:, 4:], alone, 1e-9)


def test_noise_is_a_share_of_each_images_own_range():
    x = torch.stack([X[0], 10 * X[0] + 5, torch.zeros_like(X[0])])
    made = torch.stack([c.build(x) - x for c in Smooth("gradcam", n=200, sigma=0.3).copies(Setting(0, None))])
    spread = (X[0].max() - X[0].min()) * 0.3
    torch.testing.assert_close(made[:, 0].std(), spread, rtol=0.02, atol=0)
    torch.testing.assert_close(made[:, 1], 10 * made[:, 0], rtol=1e-9, atol=1e-9)
    assert not made[:, 2].any()
    assert made[:, 0].mean().abs() < 0.02 * spread
    assert len({float(one[0, 0, 0, 0]) for one in made}) == 200


# ------------------------------------------------------------------ augment


@pytest.mark.parametrize("transforms", ["[identity]", "[1, identity, 1.0]"])
def test_augment_with_nothing_is_the_method_itself(transforms):
    each_the_same(net(), f"augment({{}}, {transforms})", [*BY_CLASS, *ANY_CLASS], 1e-10)


TURNS = {
    "flip": (lambda x: x.flip(-1), lambda m: m.flip(-1)),
    "flipud": (lambda x: x.flip(-2), lambda m: m.flip(-2)),
    "rot90": (lambda x: torch.rot90(x, 1, (-2, -1)), lambda m: torch.rot90(m, -1, (-2, -1))),
    "0.5": (lambda x: 0.5 * x, lambda m: m),
    "flip*0.9": (lambda x: 0.9 * x.flip(-1), lambda m: m.flip(-1)),
    "1.1*rot90*0.5": (lambda x: 0.55 * torch.rot90(x, 1, (-2, -1)), lambda m: torch.rot90(m, -1, (-2, -1))),
}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("name", ["layercam", "reciprocam", "rise(n=8)", "guided-gradcam"])
def test_each_map_is_turned_back(turn, name):
    """A photo that is not square, a map at the layer's or at the input's resolution."""
    model = net(linear=True)
    x = batch(2, 3, 16, 24, dtype=torch.float64)
    there, back = TURNS[turn]
    expected = back(maps(model, there(x), name, targets=[1, 4]))
    found = maps(model, x, f"augment({name}, [{turn}])", targets=[1, 4])
    close(found, expected, 1e-10)
    direct = maps(model, x, name, targets=[1, 4])
    assert found.shape == direct.shape
    assert not torch.allclose(found, direct, rtol=1e-3)


def test_augment_is_the_mean_over_its_transforms():
    model, x = net(linear=True), batch(2, 3, 16, 24, dtype=torch.float64)
    turns = ["flip", "rot90", "0.5", "flipud"]
    each = [maps(model, x, f"augment(layercam, [{turn}])", targets=1) for turn in turns]
    close(maps(model, x, f"augment(layercam, [{', '.join(turns)}])", targets=1), sum(each) / 4)


def test_augmented_gradcam_is_two_flips_in_three_lights():
    model = net()
    each = [
        maps(model, factor * (X.flip(-1) if flip else X), "gradcam", targets=1).flip(-1 if flip else ())
        for flip, factor in itertools.product([False, True], [0.9, 1.0, 1.1])
    ]
    close(maps(model, X, "augmented-gradcam", targets=1), sum(each) / 6)


def symmetric(model: Net) -> Net:
    """Its kernels made the same under every flip and quarter turn."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                w = module.weight
                turned = [torch.rot90(v, k, (-2, -1)) for v in (w, w.flip(-1)) for k in range(4)]
                w.copy_(sum(turned) / 8)
    return model


@pytest.mark.parametrize("turn", ["flip", "flipud", "rot90"])
@pytest.mark.parametrize(
    "name", ["gradcam", "layercam", "gradcam++", "ablationcam", "reciprocam", "eigencam"]
)
def test_a_symmetric_network_gives_the_same_map_turned_or_not(turn, name):
    """Oracle 10. Odd sizes, at which a stride of two is symmetric."""
    x = batch(2, 3, 17, 25, dtype=torch.float64)
    plain = maps(net(linear=True), x, name, targets=[1, 4])
    close(
        maps(symmetric(net(linear=True)), x, f"augment({name}, [{turn}])", targets=[1, 4]),
        maps(symmetric(net(linear=True)), x, name, targets=[1, 4]),
        1e-10,
    )
    assert not torch.allclose(
        maps(net(linear=True), x, f"augment({name}, [{turn}])", targets=[1, 4]), plain, rtol=1e-2
    )


@pytest.mark.parametrize("turn", ["flipud", "rot90"])
def test_a_signal_has_no_second_axis_to_turn_about(turn):
    model = Net(gap_head(dims=1), dims=1).double().eval()
    with pytest.raises(InputError, match=f"{turn} needs an input with two spatial axes"):
        maps(model, batch(2, 3, 16, dtype=torch.float64), f"augment(gradcam, [{turn}])")


@pytest.mark.parametrize("dims", [1, 3])
def test_flips_in_every_number_of_dimensions(dims):
    model = Net(gap_head(dims=dims), dims=dims).double().eval()
    x = batch(2, 3, *(8, 12, 16)[:dims], dtype=torch.float64)
    close(
        maps(model, x, "augment(layercam, [flip])", targets=1),
        maps(model, x.flip(-1), "layercam", targets=1).flip(-1),
    )


# ------------------------------------------------------------------ multiscale


@pytest.mark.parametrize("head", ["linear", "other"])
def test_multiscale_of_one_size_is_the_method_itself(head):
    each_the_same(net(linear=head == "linear"), "multiscale({}, [1])", GRADIENT, 1e-10)


@pytest.mark.parametrize("name", ["gradcam", "hirescam", "layercam"])
def test_at_the_inputs_size_behind_a_linear_head_it_is_the_map_resized(name):
    """There the gradient is the same everywhere, and resizing and summing over channels may change places."""
    model = net(linear=True)
    expected = up(maps(model, X, name, targets=[1, 4]), (16, 16))
    close(maps(model, X, f"multiscale({name}, [1], input)", targets=[1, 4]), expected)


class Sized(nn.Module):
    """Takes any size, and every position counts differently."""

    def __init__(self) -> None:
        super().__init__()
        self.net = net(linear=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        A = self.net.body(self.net.stem(x))
        place = torch.linspace(0.1, 1, A.shape[-1], dtype=x.dtype)
        return self.net.head(torch.tanh(A * place))


def evidence_at(x: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A, ∂y_c/∂A and the top class of each image."""
    model = Sized()
    with torch.no_grad():
        A = model.net.body(model.net.stem(x))
    A.requires_grad_()
    place = torch.linspace(0.1, 1, A.shape[-1], dtype=x.dtype)
    logits = model.net.head(torch.tanh(A * place))
    (g,) = torch.autograd.grad(logits.gather(1, c[:, None]).sum(), A)
    return A.detach(), g, logits.argmax(1)


@pytest.mark.parametrize("at", ["layer", "input"])
@pytest.mark.parametrize("name", ["gradcam", "hirescam", "layercam"])
def test_multiscale_is_its_formula(at, name):
    """CAMERAS: mean A ⊙ mean g, over the sizes whose top class is the explained one; over all where none is."""
    x = batch(6, 3, 16, 24, dtype=torch.float64)
    factors = (1, 1.5, 2.25)
    with torch.no_grad():
        clean = Sized()(x).argmax(1)
    c = clean.clone()
    c[0] = (c[0] + 1) % 5  # a class that is on top at no size
    seen = [evidence_at(x if f == 1 else up(x, (round(16 * f), round(24 * f))), c) for f in factors]
    space = (16, 24) if at == "input" else seen[-1][0].shape[2:]
    counts = torch.stack([top == c for *_, top in seen]).double()
    assert 0 < counts[1:, 1:].mean() < 1, "some sizes count and some do not"
    counts[:, counts.sum(0) == 0] = 1
    shares = (counts / counts.sum(0))[..., None, None, None]
    A = sum(share * up(a, space) for share, (a, _, _) in zip(shares, seen, strict=True))
    g = sum(share * up(g, space) for share, (_, g, _) in zip(shares, seen, strict=True))
    weights = {"gradcam": g.mean((2, 3), keepdim=True), "hirescam": g, "layercam": g.relu()}[name]
    expected = (weights * A).sum(1, keepdim=True)
    sizes = f"[{', '.join(map(str, factors))}]"
    found = maps(
        Sized(), x, f"multiscale({name}, {sizes}, {at})", targets=PerImage(c.tolist()), layers="net.body"
    )
    close(found, expected, 1e-10)


def test_a_callable_counts_at_every_size():
    x = batch(2, 3, 16, 24, dtype=torch.float64)
    found = maps(
        Sized(), x, "multiscale(hirescam, [1, 1.5])", targets=lambda raw: raw[:, 1], layers="net.body"
    )
    a, b = (evidence_at(one, torch.tensor([1, 1])) for one in (x, up(x, (24, 36))))
    A, g = (up(a[i], (6, 9)) / 2 + b[i] / 2 for i in (0, 1))
    close(found, (A * g).sum(1, keepdim=True))


def test_cameras_runs_up_to_four_times_the_size():
    assert (
        MultiScale("hirescam", tuple(s / 224 for s in range(224, 925, 100)), "input")
        == parse("cameras").inner
    )
    built = [
        c.build(torch.zeros(1, 3, 224, 224)).shape[-1]
        for c in parse("cameras").inner.copies(Setting(0, None))
    ]
    assert built == [224, 324, 424, 524, 624, 724, 824, 924]


def test_a_model_of_one_size_says_so():
    """In the model's own words."""
    with pytest.raises(
        InputError,
        match=r"multiscale\(hirescam, sizes=\[1, 0\.5\]\) runs the model at \(8, 8\), a size it does not take",
    ):
        maps(net(), X, "multiscale(hirescam, [1, 0.5])")


def test_a_turned_photo_may_be_of_a_size_the_model_does_not_take():
    """And what fails at the input's own size fails as it would without a wrapper."""
    model, x = Net(nn.Sequential(Apply(only_wide), *mlp_head(24))).double().eval(), batch(2, 3, 16, 24)
    words = r"augment\(gradcam, transforms=\[rot90\]\) runs the model at \(24, 16\), a size it does not take; gradcam"
    with pytest.raises(InputError, match=words):
        maps(model, x.double(), "augment(gradcam, [rot90])")
    for method in ("augment(gradcam, [flip])", "multiscale(gradcam, [1])"):
        with pytest.raises(ValueError, match="mine"):
            maps(model, x.double(), method, targets=trouble)


def only_wide(x: torch.Tensor) -> torch.Tensor:
    assert x.shape[-1] > x.shape[-2], "too tall"
    return x


def trouble(_raw: torch.Tensor) -> torch.Tensor:
    raise ValueError("mine")


@pytest.mark.parametrize("dims", [1, 3])
def test_multiscale_in_every_number_of_dimensions(dims):
    model = Net(gap_head(dims=dims), dims=dims).double().eval()
    x = batch(2, 3, *(8, 12, 16)[:dims], dtype=torch.float64)
    found = maps(model, x, "multiscale(hirescam, [1, 2])", targets=1)
    assert found.shape == (2, 1, *(4, 6, 8)[:dims])
    assert found.isfinite().all()


# ------------------------------------------------------------------ path


@pytest.mark.parametrize("baseline", ["zero", "blur"])
def test_a_path_of_one_step_is_the_methods_heatmap(baseline):
    """The last image on the path is the input itself."""
    each_the_same(net(), f"path({{}}, {baseline}, 1)", [*BY_CLASS, *ANY_CLASS], 1e-10, heatmaps=True)


@pytest.mark.parametrize("name", ["gradcam", "hirescam", "layercam", "xgradcam", "ablationcam"])
@pytest.mark.parametrize("n", [1, 4, 20])
def test_a_model_that_grows_with_its_input(name, n):
    """Without biases A(s x) = s A(x), and so is the map: the mean is Σ_i i/n² = (n + 1) / 2n of it."""

    class Homogeneous(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                self.conv = nn.Conv2d(3, 6, 3, 2, 1, bias=False)
                self.fc = nn.Linear(6 * 64, 4, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(functional.relu(self.conv(x)).flatten(1))

    model = Homogeneous().double().eval()
    plain = maps(model, X, name, targets=1).relu()
    found = maps(model, X, f"path({name}, zero, {n})", targets=1)
    close(found, plain * (n + 1) / (2 * n), 1e-10)


@pytest.mark.parametrize("name", ["gradcam", "reciprocam", "rise(n=8)"])
def test_a_path_is_the_mean_of_heatmaps_on_its_way(name):
    """ReLU inside the sum, for the methods whose formula ends in one."""
    model = net()
    black = torch.tensor([-1.0, -2.0, -3.0], dtype=torch.float64)[None, :, None, None]
    each = [maps(model, black + i / 5 * (X - black), name, targets=[1, 4]) for i in range(1, 6)]
    if parse(name).rectified:
        assert any((one < 0).any() for one in each)
        each = [one.relu() for one in each]
    preprocessing = Preprocessing((16, 16), 16, mean=(0.5, 1.0, 1.5), std=(0.5, 0.5, 0.5))
    found = maps(model, X, f"path({name}, n=5)", targets=[1, 4], preprocessing=preprocessing)
    close(found, sum(each) / 5, 1e-10)


def test_integrated_gradcam_starts_at_black():
    preprocessing = Preprocessing((16, 16), 16, mean=(0.5, 1.0, 1.5), std=(0.5, 0.5, 0.5))
    assert parse("integrated-gradcam").inner == PathIntegral("gradcam", "black", 20)
    close(
        maps(net(), X, "integrated-gradcam", targets=1, preprocessing=preprocessing),
        maps(net(), X, "path(gradcam, black, 20)", targets=1, preprocessing=preprocessing),
    )


def test_a_tensor_alone_does_not_tell_what_black_is():
    with pytest.raises(
        InputError, match=r"Pass photos, or Explainer\(model, preprocessing=…\), or use baseline=zero"
    ):
        maps(net(), X, "path(gradcam)")


def test_a_photo_knows_what_black_is(photos):
    preprocessing = Preprocessing((16, 16), 16, mean=(0.5,) * 3, std=(0.25,) * 3)
    model = Net(mlp_head(16)).eval()
    explainer = camscope.Explainer(model, preprocessing=preprocessing)
    found = explainer(photos["cat"], methods="path(gradcam, n=2)", targets=1)
    x = explainer(photos["cat"], methods="mean-activation", targets=1)
    assert x.input_size == (16, 16)
    black_photo = np.zeros_like(photos["cat"])
    seen = []
    handle = model.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    explainer(black_photo, methods="mean-activation", targets=1)
    (black,) = {float(v) for v in seen[-1].unique()}
    explainer(photos["cat"], methods="mean-activation", targets=1)
    own = seen[-1]
    handle.remove()
    assert black == -2.0
    each = [maps(model, black + s * (own - black), "gradcam", targets=1).relu() for s in (0.5, 1.0)]
    close(found.raw["path(gradcam, n=2)", found.layers[0]], sum(each) / 2, 1e-5)


def test_a_blurred_image_keeps_its_colours_and_loses_its_detail():
    way = PathIntegral("gradcam", "blur", n=100).copies(Setting(0, None))
    plain = torch.full((1, 3, 64, 48), 0.7, dtype=torch.float64)
    torch.testing.assert_close(way[0].build(plain), plain)
    checks = (torch.arange(64)[:, None] + torch.arange(48)) % 2 * torch.ones(1, 3, 1, 1, dtype=torch.float64)
    blurred = way[0].build(checks) - 0.01 * checks
    torch.testing.assert_close(blurred / 0.99, torch.full_like(blurred, 0.5), rtol=0, atol=1e-12)
    torch.testing.assert_close(way[-1].build(checks), checks)
    turned = way[0].build(X.flip(-1)).flip(-1)
    torch.testing.assert_close(way[0].build(X), turned, rtol=0, atol=1e-12)


# ------------------------------------------------------------------ seeds, batches, several at once


DRAWN = ["smooth(gradcam, n=3)", "smoothgradcam++", "rise(n=8)", "smooth(rise(n=8), n=2)", "random"]


@pytest.mark.parametrize("name", DRAWN)
def test_a_seed_decides_what_is_drawn(name):
    """The same again, another for another, said in the provenance, and the world's own draws untouched."""
    model = net()
    torch.manual_seed(1)
    np.random.seed(1)
    first = maps(model, X, name, targets=1, seed=5)
    drawn = torch.rand(1), np.random.rand()
    assert torch.equal(first, maps(model, X, name, targets=1, seed=5))
    assert not torch.allclose(first, maps(model, X, name, targets=1, seed=6), rtol=1e-3)
    torch.manual_seed(1)
    np.random.seed(1)
    assert (torch.rand(1), np.random.rand()) == drawn
    assert camscope.explain(model, X, methods=name, targets=1, seed=5).provenance["seed"] == 5


NO_BATCH = [
    "smooth({}, n=7)",
    "smooth({}, n=7, average=gradients)",
    "augment({})",
    "augment({}, [rot90, flip, identity])",
    "multiscale({}, [1, 1.25])",
    "multiscale({}, [1, 1.25], input)",
    "path({}, blur, 5)",
    "smooth(path({}, zero, 2), n=2)",
    "finer({})",
    "rest({})",
    "balanced({})",
]


@pytest.mark.parametrize("wrapper", NO_BATCH)
@pytest.mark.parametrize("count", [2, 17])  # more than run at a time
def test_an_images_map_does_not_depend_on_the_rest_of_the_batch(wrapper, count):
    """Oracle 11, for classes of its own."""
    model, x = Sized(), batch(count, 3, 16, 16, dtype=torch.float64)
    classes = [i % 5 for i in range(count)]
    method = wrapper.format("layercam")
    together = maps(model, x, method, targets=PerImage(classes), layers="net.body")
    for image in {0, 1, count - 1}:
        alone = maps(model, x[image : image + 1], method, targets=classes[image], layers="net.body")
        close(together[image : image + 1], alone, 1e-10)


@pytest.mark.parametrize(
    "name",
    [
        "scorecam",
        "groupcam(groups=3)",
        "opticam(steps=3)",
        "pcam",
        "rise(n=8)",
        "fullgrad",
        "shapley",
        "eigencam",
        "kpcacam",
        "fem(k=1)",
        "eigengradcam",
        "guided-gradcam",
    ],
)
@pytest.mark.parametrize("wrapper", ["{}", "smooth({}, n=3)"])
def test_nor_does_any_methods(name, wrapper):
    model = net()
    method = wrapper.format(name)
    together = maps(model, X, method, targets=PerImage([1, 4, 2]))
    alone = [maps(model, X[i : i + 1], method, targets=c) for i, c in enumerate((1, 4, 2))]
    close(together, torch.cat(alone), 1e-8)


def test_several_wrappers_in_one_call_are_the_same_as_one_by_one():
    model = net(linear=True)
    names = [
        *(w.format("layercam") for w in NO_BATCH),
        "smooth(gradcam, n=7)",
        "gradcam",
        "smooth(eigencam, n=7)",
    ]
    call = {"targets": [1, TopK(1)], "layers": ["stem", "body"]}
    together = explainer_of(model)(X, methods=names, **call)
    for name in names:
        alone = explainer_of(model)(X, methods=name, **call)
        for key, expected in alone.raw.items():
            close(together.raw[key], expected)
    assert list(together.raw) == [
        (name, layer) for name in (parse(n).name for n in names) for layer in ("stem", "body")
    ]


def test_nested_wrappers_are_wrappers_of_wrappers():
    model = net(linear=True)
    expected = [maps(model, one, "augment(layercam, [flip, 0.5])", targets=1) for one in noisy(X, 3, 0.15)]
    close(maps(model, X, "smooth(augment(layercam, [flip, 0.5]), n=3)", targets=1), sum(expected) / 3, 1e-10)
    turned = [
        maps(model, X, "smooth(layercam, n=3)", targets=1),
        maps(model, X.flip(-1), "smooth(layercam, n=3)", targets=1).flip(-1),
    ]
    close(
        maps(model, X, "augment(smooth(layercam, n=3), [identity, flip])", targets=1), sum(turned) / 2, 1e-10
    )


@pytest.mark.parametrize(
    "wrapper", ["smooth({}, n=2)", "augment({})", "path({}, zero, 2)", "multiscale({})", "balanced({})"]
)
def test_the_model_is_left_as_it_came(wrapper):
    model = net(linear=True).train()
    before = copy.deepcopy(model.state_dict())
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    maps(model, X, wrapper.format("layercam"), targets=1)
    assert all(m.training for m in model.modules())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert hooks == sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_a_wrapper_of_a_method_that_fails_fails():
    """No failure becomes a blank map."""
    with pytest.raises(MethodError, match="needs a head that is global average pooling"):
        maps(net(), X, "smooth(cam, n=2)")


def test_an_error_of_the_model_at_a_copy_comes_through():
    class TroubleError(Exception):
        pass

    def trouble(x: torch.Tensor) -> torch.Tensor:
        if len(x) > 3:
            raise TroubleError
        return x

    model = net()
    model.stem = nn.Sequential(Apply(trouble), *model.stem)
    with pytest.raises(TroubleError):
        maps(model, X, "smooth(gradcam, n=2)")
