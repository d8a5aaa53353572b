"""Balanced gradients: the same values forward; backward, input and biases add up to the score."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import _get_current_function_mode_stack

from camscope.models.torch.backwards.libragrad import balanced_gradients
from camscope.models.torch.hooks.state import explaining


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Function(nn.Module):
    """A function as a model, with the module it may use."""

    def __init__(self, function, inner=None):
        super().__init__()
        self.function, self.inner = function, inner

    def forward(self, x):
        return self.function(x)


def gradient(function, x, *, balanced=True, weights=None):
    """The value, and the gradient of its (weighted) sum."""
    model = function if isinstance(function, nn.Module) else Function(function)
    leaf = x.clone().requires_grad_()
    with explaining(model):
        if balanced:
            with balanced_gradients(model):
                value = model(leaf * 1)  # models work on what depends on their input
        else:
            value = model(leaf * 1)
    (found,) = torch.autograd.grad(value, leaf, torch.ones_like(value) if weights is None else weights)
    return value.detach(), found


# ------------------------------------------------------------------ each rule by itself

ACTIVATIONS = {
    "GELU": nn.GELU(),
    "GELU by tanh": nn.GELU("tanh"),
    "SiLU": nn.SiLU(),
    "SiLU in place": nn.SiLU(inplace=True),
    "Mish": nn.Mish(),
    "Hardswish": nn.Hardswish(),
    "Hardswish in place": nn.Hardswish(inplace=True),
    "ELU": nn.ELU(0.7),
    "CELU": nn.CELU(0.7),
    "SELU": nn.SELU(),
    "functional GELU": functional.gelu,
    "functional SiLU": functional.silu,
    "SiLU written out": lambda x: x * torch.sigmoid(x),
    "SiLU by its method, in place": lambda x: x.mul(x.sigmoid()),
    "quick GELU": lambda x: x * torch.sigmoid(1.702 * x),
    "GELU by erf": lambda x: x * 0.5 * (1.0 + torch.erf(x / 2**0.5)),
    "GELU written out by tanh": lambda x: 0.5 * x * (1 + torch.tanh(0.8 * (x + 0.04 * x**3))),
}
HOMOGENEOUS = {
    "ReLU": nn.ReLU(),
    "leaky ReLU": nn.LeakyReLU(0.1),
    "GLU": lambda x: functional.silu(x[:, :3]) * x[:, 3:],
    "gated by sigmoid": lambda x: x[:, :3] * torch.sigmoid(x[:, 3:]),
    "squeeze-and-excitation": lambda x: x * torch.sigmoid(x.mean(1, keepdim=True)).expand_as(x),
    "its gate in several steps": lambda x: x * (torch.sigmoid(x.mean(1)).view(-1, 1).to(x.dtype) * 2 + 1),
    "hard gate": lambda x: functional.hardsigmoid(x.mean(1, keepdim=True)) * x,
    "square": lambda x: x * x,
    "RMS norm": nn.RMSNorm(6).double(),
    "RMS norm written out": lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6),
    "by a power": lambda x: x * (x.pow(2).mean(-1, keepdim=True) + 1e-6) ** -0.5,
    "by a quotient": lambda x: x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt(),
    "normalize": lambda x: functional.normalize(x, dim=1),
    "layer norm": nn.LayerNorm(6, bias=False).double(),
    "layer norm written out": lambda x: (
        (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + 1e-5).sqrt()
    ),
    "group norm": nn.GroupNorm(3, 6).double(),
    "fused attention": lambda x: functional.scaled_dot_product_attention(
        *(x[:, None, :, None],) * 2, x[:, None, :, None]
    ),
    "explicit attention": lambda x: torch.softmax(x[:, :, None] @ x[:, None, :], -1) @ x[:, :, None],
    "linear attention": lambda x: torch.einsum("bi,bj->bij", x, x) @ functional.elu(x)[:, :, None],
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_its_input_times_a_constant_gate(name):
    """f(x) = x · gate, so the gradient is f(x)/x; also at zero, where it is the limit."""
    x = torch.cat([noise(40), torch.tensor([0.0, 1e-9, -1e-9, 30, -30], dtype=torch.float64)])
    plain, _ = gradient(ACTIVATIONS[name], x, balanced=False)
    value, found = gradient(ACTIVATIONS[name], x)
    assert torch.equal(value, plain)
    torch.testing.assert_close(found * x, value, rtol=1e-12, atol=1e-14)
    assert bool(found.isfinite().all())
    if "LU" in name and not name.endswith(
        "ELU"
    ):  # ELU and its kin have a kink there, or a slope of their own
        near = found[x.abs() < 1e-8]
        torch.testing.assert_close(near, near[1:2].expand(3), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", HOMOGENEOUS)
def test_what_has_no_bias_is_its_gradient_times_its_input(name):
    """And the value is the same to the last bit."""
    x = noise(4, 6)
    with torch.no_grad():
        weights = noise(*HOMOGENEOUS[name](x).shape, seed=1)
    plain, unbalanced = gradient(HOMOGENEOUS[name], x, balanced=False, weights=weights)
    value, found = gradient(HOMOGENEOUS[name], x, weights=weights)
    assert torch.equal(value, plain)
    torch.testing.assert_close((found * x).sum(), (value * weights).sum(), rtol=1e-10, atol=1e-12)
    if "ReLU" in name:
        assert torch.equal(found, unbalanced)
    else:
        assert not torch.allclose(found, unbalanced)


def test_layer_norm_by_its_formula():
    norm = nn.LayerNorm(6, eps=1e-3).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x, weights = noise(4, 6), noise(4, 6, seed=1)
    _, found = gradient(norm, x, weights=weights)
    sigma = (x.var(-1, correction=0, keepdim=True) + 1e-3).sqrt()
    through = weights * norm.weight.detach() / sigma
    torch.testing.assert_close(found, through - through.mean(-1, keepdim=True))


@pytest.mark.parametrize("affine", [True, False])
def test_group_and_instance_norms_have_the_same_rule(affine):
    """One group per channel is an instance norm; one group is a layer norm of all."""
    x, weights = noise(2, 6, 3, 4), noise(2, 6, 3, 4, seed=1)
    instance = gradient(nn.InstanceNorm2d(6, affine=affine).double(), x, weights=weights)
    groups = gradient(nn.GroupNorm(6, 6, affine=affine).double(), x, weights=weights)
    layer = gradient(nn.LayerNorm((6, 3, 4), elementwise_affine=affine).double(), x, weights=weights)
    one = gradient(nn.GroupNorm(1, 6, affine=affine).double(), x, weights=weights)
    torch.testing.assert_close(instance, groups)
    torch.testing.assert_close(layer, one)


def test_attention_weights_are_constants():
    """By fused attention, explicitly, and by the module either way: the values' gradient and nothing else."""
    q, k, v = noise(3, 2, 1, 5, 4).unbind(0)
    weights = torch.softmax(q @ k.mT / 2, -1)
    leaves = [t.clone().requires_grad_() for t in (q, k, v)]
    for explicit in (False, True):
        with balanced_gradients(nn.Identity()):
            a, b, c = (leaf * 1 for leaf in leaves)
            if explicit:
                value = functional.dropout((a @ b.mT / 2).softmax(-1), 0.3, False) @ c
            else:
                value = functional.scaled_dot_product_attention(a, b, c)
        found = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
        assert found[0] is None
        assert found[1] is None
        torch.testing.assert_close(found[2], weights.mT @ torch.ones_like(v))


@pytest.mark.parametrize("need_weights", [False, True])
def test_multi_head_attention_is_complete(need_weights):
    layer = nn.MultiheadAttention(6, 2, bias=False, batch_first=True).double().eval()
    model = Function(lambda x: layer(x, x, x, need_weights=need_weights)[0], layer)
    x = noise(2, 5, 6)
    value, found = gradient(model, x)
    torch.testing.assert_close(value, gradient(model, x, balanced=False)[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close((found * x).sum((1, 2)), value.sum((1, 2)))


def test_a_last_sigmoid_keeps_its_gradient():
    """A gate is a gate only where it is a factor."""
    x = noise(2, 3)
    for last in (nn.Sigmoid(), nn.Softmax(1), nn.Tanh()):
        weights = noise(2, 3, seed=1)
        plain = gradient(last, x, balanced=False, weights=weights)
        torch.testing.assert_close(gradient(last, x, weights=weights), plain)
        assert plain[1].any()


def test_parameters_that_learn_are_no_second_value():
    """x·γ is linear in x, whether or not γ is frozen."""
    model = nn.Linear(3, 3, bias=False).double()
    scale = nn.Parameter(noise(3))
    model.register_parameter("scale", scale)
    leaf = noise(2, 3).requires_grad_()
    with balanced_gradients(model):
        value = (leaf * 1) * scale
        last = torch.sigmoid(leaf * 1) * scale
    torch.testing.assert_close(torch.autograd.grad(value.sum(), leaf)[0], scale.detach().expand(2, 3))
    # and a sigmoid times a parameter is no gated value: its own gradient stays
    assert torch.autograd.grad(last.sum(), leaf)[0].all()


# ------------------------------------------------------------------ whole networks: completeness (FullGrad, eq. 3)


def completeness(model, x, target=1):
    """Σ x·∂y/∂x + Σ b·∂y/∂b over all that is added, and y; parameters that multiply are left out."""
    added = [
        parameter
        for name, parameter in model.named_parameters()
        if name.endswith("bias") or any(word in name for word in ("token", "pos_", "position", "front"))
    ]
    leaf = x.clone().requires_grad_()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for parameter in added:
        parameter.requires_grad_(True)
    with balanced_gradients(model):
        score = model(leaf)[:, target].sum()
    found = torch.autograd.grad(score, [leaf, *added], allow_unused=True)
    parts = [
        (value.detach() * g).sum() for value, g in zip([leaf, *added], found, strict=True) if g is not None
    ]
    return torch.stack(parts).sum(), score.detach()


TINY = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 5}
MODELS = {
    "timm:vit_tiny_patch16_224": TINY,
    "timm:vit_small_patch14_reg4_dinov2": TINY,
    "timm:vit_giant_patch14_dinov2": {**TINY, "mlp_ratio": 2.0},  # SwiGLU
    "timm:beit_base_patch16_224": TINY,
    "timm:eva02_tiny_patch14_224": TINY,
    "timm:convnext_atto": {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 16), "num_classes": 5},
    "timm:convnextv2_atto": {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 16), "num_classes": 5},
    "timm:efficientnet_b0": {"num_classes": 5},
    "torchvision:mobilenet_v3_small": {"num_classes": 5},
    "timm:resnet18": {"num_classes": 5},
}


def build(spec, options):
    library, name = spec.split(":")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if library == "timm":
            import timm

            model = timm.create_model(name, **options)
        else:
            import torchvision

            model = torchvision.models.get_model(name, weights=None, **options)
        for parameter in model.parameters():
            if parameter.ndim < 2:  # biases and scales that are not zero and one
                nn.init.normal_(parameter, 0.3, 0.3)
        if hasattr(model, "head") and isinstance(model.head, nn.Linear):
            nn.init.normal_(model.head.weight)
    return model.double().eval()


def statistics_are_biases(model):
    """Whether the running means of batch norms are zero, as in a network that has not learned: no bias of theirs."""
    return all(not m.running_mean.any() for m in model.modules() if isinstance(m, nn.BatchNorm2d))


@pytest.mark.parametrize("spec", MODELS)
def test_input_and_biases_add_up_to_the_logit(spec):
    model = build(spec, MODELS[spec])
    assert statistics_are_biases(model)
    x = noise(1, 3, MODELS[spec].get("img_size", 64), MODELS[spec].get("img_size", 64))
    total, score = completeness(model, x)
    torch.testing.assert_close(total, score, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("spec", ["timm:vit_tiny_patch16_224", "timm:convnext_atto", "timm:efficientnet_b0"])
def test_without_balance_they_do_not(spec, monkeypatch):
    """A test of the one above."""
    import contextlib

    monkeypatch.setattr(f"{__name__}.balanced_gradients", lambda _model: contextlib.nullcontext())
    size = MODELS[spec].get("img_size", 64)
    total, score = completeness(build(spec, MODELS[spec]), noise(1, 3, size, size))
    assert abs(float(total - score)) > 1e-3 * abs(float(score))


@pytest.mark.parametrize("spec", MODELS)
def test_values_are_the_same_to_the_last_bit_and_the_model_is_untouched(spec, untouched):
    model = build(spec, MODELS[spec])
    size = MODELS[spec].get("img_size", 64)
    x = noise(2, 3, size, size).requires_grad_()
    with explaining(model):
        plain = model(x)
    with untouched(model), explaining(model), balanced_gradients(model):
        value = model(x)
    assert value.requires_grad
    assert torch.equal(value, plain)
    assert _get_current_function_mode_stack() == []


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", ["ViT", "Beit", "Dinov2"])
def test_hugging_face(name, attention):
    transformers = pytest.importorskip("transformers")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = getattr(transformers, f"{name}Config")(
            image_size=16,
            patch_size=8,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            num_labels=5,
            attn_implementation=attention,
        )
        inner = getattr(transformers, f"{name}ForImageClassification")(config)
        for parameter in inner.parameters():
            nn.init.normal_(parameter, 0, 0.3)
    inner.double().eval()
    total, score = completeness(Function(lambda x: inner(x).logits, inner), noise(1, 3, 16, 16))
    torch.testing.assert_close(total, score, rtol=1e-9, atol=1e-9)


# ------------------------------------------------------------------ the context


def test_nothing_is_left_behind_by_an_exception():
    with pytest.raises(RuntimeError, match="boom"), balanced_gradients(nn.Identity()):
        raise RuntimeError("boom")
    assert _get_current_function_mode_stack() == []
    x = noise(3).requires_grad_()
    expected = torch.autograd.grad(nn.GELU()(x).sum(), x)[0]
    gate = functional.gelu(x.detach()) / x.detach()
    assert not torch.allclose(expected, gate)


def test_without_a_graph_it_does_nothing():
    x = noise(2, 6)
    with balanced_gradients(nn.Identity()), torch.no_grad():
        assert torch.equal(functional.gelu(x), nn.GELU()(x))
        assert not functional.layer_norm(x, (6,)).requires_grad


def test_the_backward_may_be_differentiated_and_batched():
    """Second derivatives exist (the score is linear in the pieces, so they vanish), and many targets at once."""
    model = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.LayerNorm(6), nn.Linear(6, 3)).double()
    x = noise(1, 4).requires_grad_()
    with explaining(model), balanced_gradients(model):
        out = model(x)
    rows = torch.autograd.grad(
        out, x, torch.eye(3, dtype=x.dtype)[:, None], is_grads_batched=True, retain_graph=True
    )
    for t in range(3):
        one = torch.autograd.grad(out[0, t], x, retain_graph=True, create_graph=True)[0]
        torch.testing.assert_close(rows[0][t], one.detach())
