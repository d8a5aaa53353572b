"""A copy with weights drawn anew: what is drawn, what stays, and that the user's model is left bit for bit."""

import pytest
import torch
from torch import nn

import camscope
from camscope.models.torch.hooks.modules import versions


def seeded(build):
    torch.manual_seed(0)
    return build().eval()


def small(*, norm=nn.BatchNorm2d, wrapped=lambda first: first):
    return nn.Sequential(
        wrapped(nn.Conv2d(3, 8, 3, padding=1)),
        norm(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


class Tied(nn.Module):
    """One convolution that is called twice, and a second name for a weight of it."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.shared = nn.Conv2d(6, 6, 3, padding=1)
        self.twin = nn.Conv2d(6, 6, 3, padding=1)
        self.twin.weight = self.shared.weight
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = self.stem(x).relu()
        for layer in (self.shared, self.shared, self.twin):
            x = layer(x).relu()
        return self.head(x.mean((2, 3)))


def with_old_weight_norm():
    net = small()
    nn.utils.weight_norm(net[3])
    net.train()(torch.randn(2, 3, 8, 8))  # leaves a weight with a graph, which deepcopy does not take
    return net


def with_spectral_norm(old):
    net = small()
    (nn.utils.spectral_norm if old else nn.utils.parametrizations.spectral_norm)(net[3])
    return net


def pruned():
    from torch.nn.utils import prune

    net = small()
    prune.l1_unstructured(net[3], "weight", 0.5)
    net.train()(torch.randn(2, 3, 8, 8))
    return net


def with_frozen_norm():
    from torchvision.ops import FrozenBatchNorm2d

    net = small(norm=FrozenBatchNorm2d)
    net[1].weight.uniform_(0.5, 2)
    return net


def timm_model(name, **options):
    import timm

    return lambda: timm.create_model(name, pretrained=False, num_classes=5, **options)


MODELS = {
    "batch norm": small,
    "layer norm": lambda: small(norm=lambda c: nn.LayerNorm([c, 32, 32])),
    "group norm": lambda: small(norm=lambda c: nn.GroupNorm(2, c)),
    "instance norm": lambda: small(
        norm=lambda c: nn.InstanceNorm2d(c, track_running_stats=True, affine=True)
    ),
    "frozen norm": with_frozen_norm,
    "tied": Tied,
    "old weight norm": with_old_weight_norm,
    "weight norm": lambda: small(wrapped=nn.utils.parametrizations.weight_norm),
    "old spectral norm": lambda: with_spectral_norm(True),
    "spectral norm": lambda: with_spectral_norm(False),
    "pruned": pruned,
    "efficientnet": timm_model("efficientnet_lite0"),
    "vit": timm_model("vit_tiny_patch16_224", img_size=32, depth=2),
    "convnext": timm_model("convnext_atto"),
}


def state(model):
    """All that must stay: values to the bit, where they lie, flags, hooks."""
    return (
        versions(model),
        {name: (value.data_ptr(), value.clone()) for name, value in model.state_dict().items()},
        [
            (name, m.training, len(m._forward_pre_hooks), len(m._forward_hooks))
            for name, m in model.named_modules()
        ],
        [(name, p.requires_grad, p.grad is None) for name, p in model.named_parameters()],
    )


def same(a, b):
    values = all(
        a[1][name][0] == b[1][name][0] and torch.equal(a[1][name][1], b[1][name][1]) for name in a[1]
    )
    return values and a[1].keys() == b[1].keys() and (a[0], *a[2:]) == (b[0], *b[2:])


@pytest.mark.parametrize("name", MODELS)
def test_every_weight_is_drawn_anew_in_a_copy_and_the_model_stays_bit_for_bit(name):
    model = seeded(MODELS[name])
    x = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        model(x)  # weights that are made at each call are there
    explainer, before, random = camscope.Explainer(model), state(model), torch.get_rng_state()
    other = explainer.randomised(x, seed=3)
    assert same(before, state(model))
    assert torch.equal(random, torch.get_rng_state())
    twin = other._model.adapter.model
    own, drawn = dict(model.named_parameters()), dict(twin.named_parameters())
    assert own.keys() == drawn.keys()
    for key, weight in own.items():
        assert drawn[key].data_ptr() != weight.data_ptr()
        if bool((weight != 0).any()):
            assert not torch.equal(weight, drawn[key]), key
    with torch.no_grad():
        said, was = twin(x), model(x)
    assert said.isfinite().all()
    assert not torch.allclose(said, was)
    assert said.std() > 1e-3 * was.std()  # signals have not died
    e = other(x)
    assert "weights drawn anew (seed 3)" in " ".join(e.notes)
    assert same(before, state(model))


def test_the_same_seed_draws_the_same_and_another_one_other_weights():
    model = seeded(small)
    x = torch.randn(2, 3, 16, 16)
    explainer = camscope.Explainer(model)
    a, b, c = (
        dict(explainer.randomised(x, seed=s)._model.adapter.model.named_parameters()) for s in (0, 0, 1)
    )
    for key in a:
        assert torch.equal(a[key], b[key])
        assert not a[key].any() or not torch.equal(a[key], c[key])  # what is zero everywhere stays


def test_tensors_of_one_shape_get_different_weights_with_the_mean_and_deviation_of_their_own():
    """As others' cascades do not: a generator that is seeded once for each layer gives layers of one shape the same."""
    model = nn.Sequential(
        *[nn.Conv2d(32, 32, 3, padding=1) for _ in range(3)], nn.Flatten(), nn.Linear(32 * 16, 2)
    )
    with torch.no_grad():
        model[1].weight.mul_(5).add_(2)
    twin = camscope.Explainer(model.eval()).randomised(torch.randn(2, 32, 4, 4))._model.adapter.model
    first, second, third = (twin[i].weight.flatten() for i in range(3))
    for i in range(3):
        assert float(twin[i].weight.detach().mean()) == pytest.approx(float(model[i].weight.mean()), abs=0.02)
        assert float(twin[i].weight.detach().std()) == pytest.approx(float(model[i].weight.std()), rel=0.05)
    for a, b in ((first, second), (first, third), (second, third)):
        assert abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 0.05


def test_tied_weights_stay_tied_and_are_drawn_once():
    model = seeded(Tied)
    twin = camscope.Explainer(model).randomised(torch.randn(2, 3, 16, 16))._model.adapter.model
    assert twin.twin.weight is twin.shared.weight
    assert model.twin.weight is model.shared.weight


def test_class_tokens_and_positions_are_drawn():
    model = seeded(MODELS["vit"])
    twin = camscope.Explainer(model).randomised(torch.randn(2, 3, 32, 32))._model.adapter.model
    for name in ("cls_token", "pos_embed"):
        assert not torch.equal(getattr(model, name), getattr(twin, name))


@pytest.mark.parametrize("name", ["batch norm", "frozen norm", "efficientnet"])
def test_statistics_of_batch_norms_are_those_of_the_batch(name):
    model = seeded(MODELS[name])
    x = torch.randn(4, 3, 32, 32)
    twin = camscope.Explainer(model).randomised(x)._model.adapter.model
    seen = {}

    def see(module, given):
        seen[module] = given[0].transpose(0, 1).flatten(1)

    norms = [m for m in twin.modules() if getattr(m, "running_mean", None) is not None]
    for norm in norms:
        norm.register_forward_pre_hook(see)
    with torch.no_grad():
        twin(x)
    assert norms
    for norm in norms:
        scale = float(seen[norm].std()) + 1e-6
        torch.testing.assert_close(norm.running_mean, seen[norm].mean(1), atol=1e-4 * scale, rtol=1e-4)
        torch.testing.assert_close(
            norm.running_var, seen[norm].var(1, unbiased=False), atol=1e-4 * scale**2, rtol=1e-3
        )


@pytest.mark.parametrize("old", [True, False])
def test_a_spectral_norm_of_new_weights_is_one(old):
    model = seeded(lambda: with_spectral_norm(old))
    twin = camscope.Explainer(model).randomised(torch.randn(2, 3, 16, 16))._model.adapter.model
    with torch.no_grad():
        twin(torch.randn(2, 3, 16, 16))
    assert torch.linalg.matrix_norm(twin[3].weight.flatten(1), 2) == pytest.approx(1, abs=0.02)


# ------------------------------------------------------------------ some layers alone


def test_weighted_layers_stand_in_the_order_they_run_with_the_head_last():
    model = seeded(small)
    assert camscope.Explainer(model).weighted_layers(torch.randn(1, 3, 16, 16)) == ("0", "1", "3", "7")
    vit = camscope.Explainer(seeded(MODELS["vit"])).weighted_layers(torch.randn(1, 3, 32, 32))
    assert (vit[0], vit[1], vit[-1]) == ("", "patch_embed.proj", "head")
    assert camscope.Explainer(seeded(Tied)).weighted_layers(torch.randn(1, 3, 16, 16))[-1] == "head"
    norm = camscope.Explainer(seeded(MODELS["weight norm"])).weighted_layers(torch.randn(1, 3, 16, 16))
    assert norm == ("0", "1", "3", "7")


def test_attentions_projections_belong_to_the_attention_that_reads_them():
    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 4, 4)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            x = self.patches(x).flatten(2).transpose(1, 2)
            return self.head(self.attention(x, x, x)[0].mean(1))

    model = seeded(Attending)
    explainer, x = camscope.Explainer(model), torch.randn(2, 3, 16, 16)
    assert explainer.weighted_layers(x) == ("patches", "attention", "head")
    twin = explainer.randomised(x, layers="attention")._model.adapter.model
    assert not torch.equal(twin.attention.out_proj.weight, model.attention.out_proj.weight)
    assert torch.equal(twin.patches.weight, model.patches.weight)


def test_the_head_alone_changes_the_head_alone_and_no_statistics():
    model = seeded(small)
    twin = (
        camscope.Explainer(model).randomised(torch.randn(2, 3, 16, 16), head_only=True)._model.adapter.model
    )
    own, drawn = model.state_dict(), twin.state_dict()
    assert {key for key in own if not torch.equal(own[key], drawn[key])} == {"7.weight", "7.bias"}


def test_a_layer_keeps_its_draw_whichever_others_are_drawn():
    model = seeded(small)
    explainer, x = camscope.Explainer(model), torch.randn(2, 3, 16, 16)
    every, some = (
        explainer.randomised(x, layers=layers)._model.adapter.model.state_dict()
        for layers in (None, ["3", "7"])
    )
    for key in ("3.weight", "7.weight"):
        assert torch.equal(every[key], some[key])
    assert torch.equal(some["0.weight"], model.state_dict()["0.weight"])


# ------------------------------------------------------------------ wrappers, and what is refused


def test_compiled_and_parallel_wrappers_are_taken_off():
    model, x = seeded(small), torch.randn(2, 3, 16, 16)
    plain = camscope.Explainer(model).randomised(x)._model.adapter.model
    for wrapped in (torch.compile(model), nn.DataParallel(model)):
        twin = camscope.Explainer(wrapped).randomised(x)._model.adapter.model
        assert torch.equal(twin[0].weight, plain[0].weight)
    model.compile()
    assert torch.equal(
        camscope.Explainer(model).randomised(x)._model.adapter.model[0].weight, plain[0].weight
    )


@pytest.mark.filterwarnings("ignore")
def test_quantised_and_scripted_weights_are_refused_by_name():
    model, x = seeded(small), torch.randn(2, 3, 16, 16)
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear})
    with pytest.raises(camscope.ModelError, match=r"'7' keeps its weights as whole numbers"):
        camscope.Explainer(quantised).randomised(x)
    scripted = seeded(small)
    scripted[3] = torch.jit.script(scripted[3])
    with pytest.raises(camscope.ModelError, match="TorchScript, so no others can be drawn"):
        camscope.Explainer(scripted).randomised(x)


def test_a_model_that_cannot_be_copied_says_so():
    class Holding(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.held = small(), (i for i in range(3))

        def forward(self, x):
            return self.net(x)

    with pytest.raises(camscope.ModelError, match=r"Holding cannot be copied \(copy.deepcopy: "):
        camscope.Explainer(seeded(Holding)).randomised(torch.randn(2, 3, 16, 16))


def test_layers_without_weights_are_refused_and_the_nearest_is_named():
    explainer, x = camscope.Explainer(seeded(Tied)), torch.randn(2, 3, 16, 16)
    with pytest.raises(
        camscope.InputError, match=r"no layer 'haed' with weights. Did you mean 'shared' or 'head'"
    ):
        explainer.randomised(x, layers="haed")
    with pytest.raises(camscope.InputError, match="or have the head alone drawn; not both"):
        explainer.randomised(x, layers="head", head_only=True)


def test_half_precision_and_complex_weights_are_drawn_in_their_own_type():
    model = seeded(small).to(torch.bfloat16)
    twin = camscope.Explainer(model).randomised(torch.randn(2, 3, 16, 16))._model.adapter.model
    assert twin[0].weight.dtype == torch.bfloat16
    assert not torch.equal(twin[0].weight, model[0].weight)
