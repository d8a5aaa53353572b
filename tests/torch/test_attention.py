"""What is seen of a transformer's attention: against a ViT written out by hand, and on every library's models."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import _get_current_function_mode_stack

from camscope.errors import ModelError, TargetError
from camscope.models.torch.attention.calls import AttentionCalls
from camscope.models.torch.attention.observe import attention_of
from camscope.models.torch.backwards.libragrad import balanced_gradients
from camscope.models.torch.hooks.state import explaining
from camscope.outputs import Outputs
from camscope.targets import resolve

STYLES = ["matmul", "operator", "fused", "einsum", "einsum-tokens-first", "multi-head"]


class HandAttention(nn.Module):
    """Self-attention in one of the ways people write it. `noise` is added to the probabilities of the first way."""

    def __init__(self, width, heads, style):
        super().__init__()
        self.heads, self.style = heads, style
        self.inner = nn.MultiheadAttention(width, heads, batch_first=True)
        nn.init.normal_(self.inner.in_proj_bias, 0, 0.3)
        self.noise = 0.0
        self.weights = None

    def forward(self, x):
        if self.style == "multi-head":
            return self.inner(x, x, x, need_weights=False)[0]
        qkv = functional.linear(x, self.inner.in_proj_weight, self.inner.in_proj_bias)
        q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).unbind(2)  # b n h d
        width = q.shape[-1]
        if self.style == "einsum-tokens-first":
            scores = torch.einsum("bnhd,bmhd->bhnm", q, k) / width**0.5
            o = torch.einsum("bhnm,bmhd->bnhd", functional.softmax(scores, dim=-1), v)
            return self.inner.out_proj(o.flatten(2))
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        if self.style == "fused":
            o = functional.scaled_dot_product_attention(q, k, v)
        elif self.style == "einsum":
            scores = torch.einsum("b h i d, b h j d -> b h i j", q, k) * width**-0.5
            o = torch.einsum("b h i j, b h j d -> b h i d", torch.softmax(scores, -1), v)
        elif self.style == "operator":
            weights = ((q * width**-0.5) @ k.transpose(-2, -1)).softmax(dim=-1)
            o = functional.dropout(weights, 0.5, self.training) @ v
        else:
            self.weights = torch.softmax(torch.matmul(q, k.mT) / width**0.5, dim=-1) + self.noise
            o = torch.matmul(self.weights, v)
        return self.inner.out_proj(o.transpose(1, 2).flatten(2))


class HandBlock(nn.Module):
    def __init__(self, width, heads, style):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = HandAttention(width, heads, style)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class HandViT(nn.Module):
    """A ViT on 4×4 patches with a CLS token and a register, in float64. `pooling` is what its head reads."""

    def __init__(self, style="matmul", pooling="cls", width=8, depth=3, heads=2, classes=5, grid=(2, 3)):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.patch = nn.Conv2d(3, width, 4, 4)
            self.front = nn.Parameter(torch.randn(1, 2, width))
            self.position = nn.Parameter(torch.randn(1, 2 + grid[0] * grid[1], width))
            self.blocks = nn.ModuleList(HandBlock(width, heads, style) for _ in range(depth))
            self.norm = nn.LayerNorm(width)
            self.fc = nn.Linear(width, classes)
            for parameter in self.parameters():
                nn.init.normal_(parameter, 0, 0.4)
        self.pooling = pooling
        self.double().eval()

    def head(self, x):
        x = self.norm(x)
        if self.pooling == "sum":
            return self.fc(x[:, 0] + x[:, 2:].mean(1))
        pooled = {"cls": x[:, 0], "patches": x[:, 2:].mean(1), "all": x.mean(1)}
        return self.fc(pooled[self.pooling])

    def embed(self, x):
        x = self.patch(x).flatten(2).mT
        return torch.cat([self.front.expand(len(x), -1, -1), x], 1) + self.position

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


X = torch.randn(2, 3, 8, 12, generator=torch.Generator().manual_seed(1))
X64 = X.double()


def runner(model):
    def run(x):
        raw = model(x)
        return Outputs(raw if isinstance(raw, torch.Tensor) else raw.logits, "multiclass", raw)

    return run


def attend(model, x, targets=(0, 1), **options):
    run = runner(model)
    with explaining(model):
        with torch.no_grad():
            table = None if targets is None else resolve(list(targets), run(x))
        return attention_of(model, run, x, table, **options)


def close(a, b, tolerance=1e-9):
    torch.testing.assert_close(a, b, rtol=0, atol=float(tolerance * b.abs().max()))


# ------------------------------------------------------------------ against the ViT by hand, float64


@pytest.mark.parametrize("style", STYLES)
def test_every_way_to_attend_gives_the_same_evidence(style):
    """Probabilities and gradients are those the explicit model has, by autograd through its own tensors."""
    reference = HandViT()
    logits = reference(X64)
    weights = [block.attn.weights for block in reference.blocks]
    seen = attend(HandViT(style), X64)
    assert (seen.space, seen.prefix, len(seen.layers)) == ((2, 3), 2, 3)
    for t in range(2):
        expected = torch.autograd.grad(logits[:, t].sum(), weights, retain_graph=True)
        for layer, own, by in zip(seen.layers, weights, expected, strict=True):
            close(layer.weights, own.detach())
            close(layer.gradients[:, t], by)


@pytest.mark.parametrize("style", STYLES)
def test_queries_keys_values_and_what_flows_to_the_outputs(style):
    """They make the probabilities, up to a scale of the queries, and the gradients: ∇A = ∇o · vᵀ."""
    model = HandViT(style)
    for layer in attend(model, X64).layers:
        raw = layer.queries @ layer.keys.mT
        close(
            layer.weights,
            min((raw.softmax(-1), (raw / 2).softmax(-1)), key=lambda w: (w - layer.weights).abs().max()),
        )
        close(layer.gradients, layer.output_gradients @ layer.values[:, None].mT)


def test_gradients_by_finite_differences():
    model = HandViT()
    seen = attend(model, X64, (3,))
    generator = torch.Generator().manual_seed(2)
    step = 1e-5
    for block, layer in zip(model.blocks, seen.layers, strict=True):
        direction = torch.randn(layer.weights.shape, generator=generator, dtype=torch.float64)
        ends = []
        for sign in (1, -1):
            block.attn.noise = sign * step * direction
            with torch.no_grad():
                ends.append(model(X64)[:, 3])
        block.attn.noise = 0.0
        slope = (ends[0] - ends[1]) / (2 * step)
        close((layer.gradients[:, 0] * direction).sum((1, 2, 3)), slope, 1e-6)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("pooling", ["cls", "patches", "all"])
def test_one_backward_of_all_blocks_is_a_backward_of_each(style, pooling):
    model = HandViT(pooling=pooling)
    seen = attend(HandViT(style, pooling), X64, (0, 2), blocks=True)
    tokens = model.embed(X64)
    for block, found in zip(model.blocks, seen.blocks, strict=True):
        tokens = block(tokens.detach())
        for t, target in enumerate((0, 2)):
            score = model.head(tokens)[:, target].sum()
            (expected,) = torch.autograd.grad(score, block.attn.weights, retain_graph=True)
            close(found[:, t], expected)
    close(seen.blocks[-1], seen.layers[-1].gradients)  # the last block's own score is the score


def test_blocks_alone_cost_no_gradients_of_layers():
    both, alone = (attend(HandViT(), X64, blocks=True, gradients=wanted) for wanted in (True, False))
    assert all(layer.gradients is None for layer in alone.layers)
    for a, b in zip(both.blocks, alone.blocks, strict=True):
        close(a, b)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("cls", [1, 0] + [0] * 6),
        ("patches", [0, 0] + [1 / 6] * 6),
        ("all", [1 / 8] * 8),
        ("sum", [1 / 2, 0] + [1 / 12] * 6),
    ],
)
def test_what_the_head_reads(pooling, expected):
    close(attend(HandViT(pooling=pooling), X64).readout, torch.tensor(expected, dtype=torch.float64))


def test_a_classifier_of_zeros_does_not_hide_what_the_head_reads():
    model = HandViT()
    nn.init.zeros_(model.fc.weight)
    seen = attend(model, X64)
    assert seen.readout.tolist() == [1, *[0] * 7]
    assert not seen.layers[-1].gradients.any()


def test_without_targets_there_is_no_graph():
    seen = attend(HandViT(), X64, None)
    for layer, graded in zip(seen.layers, attend(HandViT(), X64).layers, strict=True):
        assert not layer.weights.requires_grad
        assert layer.gradients is None
        close(layer.weights, graded.weights)


def test_the_backward_ends_at_the_first_attention():
    """Nothing before it is part of the graph, and all that comes back is free of it."""
    model = HandViT()
    embedded = []
    model.blocks[0].attn.register_forward_pre_hook(lambda _module, inputs: embedded.append(inputs[0]))
    seen = attend(model, X64)
    assert not any(tensor.requires_grad for tensor in embedded)
    for layer in seen.layers:
        assert not any(tensor.requires_grad for tensor in vars(layer).values())


def test_a_batch_is_as_its_images_one_by_one():
    model = HandViT()
    together = attend(model, X64, blocks=True)
    for b in range(2):
        alone = attend(model, X64[b : b + 1], blocks=True)
        for one, all_of_them in zip(alone.layers, together.layers, strict=True):
            close(one.gradients[0], all_of_them.gradients[b])
        for one, all_of_them in zip(alone.blocks, together.blocks, strict=True):
            close(one[0], all_of_them[b])


def test_balanced_gradients_hold_the_attention_after_each_layer_constant():
    """∂score/∂weights of each layer, with the weights of all others constants; as autograd has it by hand."""
    model = HandViT()
    run = runner(model)
    with explaining(model), balanced_gradients(model):
        seen = attention_of(model, run, X64, resolve([1], run(X64)))
    for i, layer in enumerate(seen.layers):
        leaf = layer.weights.clone().requires_grad_()
        for j, block in enumerate(model.blocks):
            block.attn.forward = fixed(block.attn, leaf if i == j else seen.layers[j].weights)
        with explaining(model), balanced_gradients(model):
            score = model(X64)[:, 1].sum()
        close(layer.gradients[:, 0], torch.autograd.grad(score, leaf)[0])
        assert layer.gradients.any()
        for block in model.blocks:
            del block.attn.forward


def fixed(attention, weights):
    """The forward of an attention layer with given probabilities."""

    def forward(x):
        qkv = functional.linear(x, attention.inner.in_proj_weight, attention.inner.in_proj_bias)
        v = qkv.unflatten(-1, (3, attention.heads, -1)).unbind(2)[2].transpose(1, 2)
        return attention.inner.out_proj((weights @ v).transpose(1, 2).flatten(2))

    return forward


def test_half_precision_is_widened():
    model = HandViT("fused").to(torch.bfloat16)
    seen = attend(model, X.to(torch.bfloat16))
    exact = attend(HandViT("fused"), X64)
    for layer, true in zip(seen.layers, exact.layers, strict=True):
        assert {tensor.dtype for tensor in vars(layer).values()} == {torch.float32}
        close(layer.weights.double(), true.weights, 0.1)


# ------------------------------------------------------------------ the fused function, as torch computes it


@pytest.mark.parametrize(
    "options", [{}, {"is_causal": True}, {"scale": 0.3}, {"mask": "bool"}, {"mask": "bias"}]
)
def test_fused_attention_is_what_torch_computes(options):
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 2, 4, 5, 6, generator=generator, dtype=torch.float64)
    options = dict(options)
    kind = options.pop("mask", None)
    if kind:
        bias = torch.randn(2, 1, 5, 5, generator=generator, dtype=torch.float64)
        options["attn_mask"] = bias if kind == "bias" else (bias > -1) | torch.eye(5, dtype=torch.bool)
    expected = functional.scaled_dot_product_attention(q, k, v, **options)
    with AttentionCalls() as seen:
        close(functional.scaled_dot_product_attention(q, k, v, **options), expected)
    (call,) = seen.calls
    close(call.weights.detach().sum(-1), torch.ones(2, 4, 5, dtype=torch.float64))


def test_grouped_queries():
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(2, 4, 5, 6, generator=generator)
    k, v = torch.randn(2, 2, 2, 5, 6, generator=generator)
    expected = functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    with AttentionCalls() as seen:
        close(functional.scaled_dot_product_attention(q, k, v, enable_gqa=True), expected, 1e-5)
    assert seen.calls[0].weights.shape == (2, 4, 5, 5)


@pytest.mark.parametrize("average", [True, False])
def test_multi_head_attention_still_returns_its_weights(average):
    layer = HandAttention(8, 2, "multi-head").inner.eval()
    x = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    expected = layer(x, x, x, average_attn_weights=average)
    with AttentionCalls() as seen:
        found = layer(x, x, x, average_attn_weights=average)
    close(found[0].detach(), expected[0].detach(), 1e-5)
    close(found[1].detach(), expected[1].detach(), 1e-5)
    assert seen.calls[0].weights.shape == (2, 2, 5, 5)


# ------------------------------------------------------------------ models of the libraries

TINY = {"img_size": (32, 48), "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 5}
WIDE = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(3))
SQUARE = WIDE[..., :32]
HF = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
TIMM = {
    "vit_tiny_patch16_224": (1, [1]),
    "deit_tiny_distilled_patch16_224": (2, [1 / 2, 1 / 2]),
    "vit_small_patch14_reg4_dinov2": (5, [1, 0, 0, 0, 0]),
    "beit_base_patch16_224": (1, [0]),
    "eva02_tiny_patch14_224": (1, [0]),
}
HUGGING_FACE = {
    "ViTForImageClassification": ("ViTConfig", {}, 1, [1]),
    "DeiTForImageClassification": ("DeiTConfig", {}, 2, [1, 0]),
    "DeiTForImageClassificationWithTeacher": ("DeiTConfig", {}, 2, [1 / 2, 1 / 2]),
    "BeitForImageClassification": ("BeitConfig", {"use_relative_position_bias": True}, 1, [0]),
    "Dinov2ForImageClassification": ("Dinov2Config", {}, 1, [1 / 2]),
    "Dinov2WithRegistersForImageClassification": ("Dinov2WithRegistersConfig", {}, 5, [1 / 2, 0, 0, 0, 0]),
    "CLIPVisionModelWithProjection": ("CLIPVisionConfig", {}, 1, [1]),
}


def hugging_face(name, attention):
    transformers = pytest.importorskip("transformers")
    config, options, _, _ = HUGGING_FACE[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = getattr(transformers, config)(
            **HF, **options, num_labels=5, attn_implementation=attention, projection_dim=5
        )
        return getattr(transformers, name)(made).eval()


class ImageEmbeddings(nn.Module):
    """A CLIP image tower whose logits are its embeddings."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x).image_embeds


def check(seen, x, prefix, front, patch=8):
    assert seen.space == tuple(size // patch for size in x.shape[2:])
    assert seen.prefix == prefix
    torch.testing.assert_close(seen.readout[:prefix], torch.tensor(front, dtype=torch.float32))
    patches = seen.readout[prefix:]
    torch.testing.assert_close(patches, torch.full_like(patches, (1 - sum(front)) / len(patches)))
    for layer, block in zip(seen.layers, seen.blocks, strict=True):
        torch.testing.assert_close(layer.weights.sum(-1), torch.ones(layer.weights.shape[:-1]))
        assert layer.gradients.shape == block.shape == (2, 2, *layer.weights.shape[1:])
        assert layer.queries is not None
        assert layer.output_gradients is not None


def same(a, b, tolerance=2e-4):
    for one, other in zip(a.layers, b.layers, strict=True):
        close(one.weights, other.weights, tolerance)
        close(one.gradients, other.gradients, tolerance)
        close(one.output_gradients, other.output_gradients, tolerance)
    for one, other in zip(a.blocks, b.blocks, strict=True):
        close(one, other, tolerance)


@pytest.mark.parametrize("name", TIMM)
def test_timm_fused_is_unfused_on_an_oblong_input(name, zoo, untouched):
    model = zoo(f"timm:{name}", **TINY)
    fused = [module for module in model.modules() if hasattr(module, "fused_attn")]
    assert len(fused) == 2
    seen = []
    for flag in (False, True):
        for module in fused:
            module.fused_attn = flag
        with untouched(model):
            seen.append(attend(model, WIDE, blocks=True))
        assert all(module.fused_attn is flag for module in fused)
        check(seen[-1], WIDE, *TIMM[name])
    same(*seen)


@pytest.mark.parametrize("name", HUGGING_FACE)
def test_hugging_face_fused_is_eager_and_what_it_returns_itself(name, untouched):
    seen = []
    for attention in ("sdpa", "eager"):
        model = hugging_face(name, attention)
        told = model(SQUARE, output_attentions=True).attentions if attention == "eager" else None
        wrapped = ImageEmbeddings(model).eval() if name.startswith("CLIP") else model
        with untouched(wrapped):
            seen.append(attend(wrapped, SQUARE, blocks=True))
        check(seen[-1], SQUARE, *HUGGING_FACE[name][2:])
    same(*seen)
    for layer, own in zip(seen[-1].layers, told, strict=True):
        close(layer.weights, own.detach(), 1e-5)


def test_torchvision(untouched):
    import torchvision

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = torchvision.models.VisionTransformer(32, 8, 2, 2, 32, 64, num_classes=5).eval()
        nn.init.normal_(model.heads.head.weight)  # zeros as they come
    with untouched(model):
        seen = attend(model, SQUARE, blocks=True)
    check(seen, SQUARE, 1, [1])
    block = model.encoder.layers[0]
    told = []
    block.self_attention.register_forward_pre_hook(lambda _module, inputs: told.append(inputs[0]))
    model(SQUARE)
    own = block.self_attention(told[0], told[0], told[0], average_attn_weights=False)[1]
    close(seen.layers[0].weights, own.detach(), 1e-5)


def test_a_model_that_was_training_and_learning_leaves_as_it_came(untouched):
    model = HandViT().train()
    model(X64).sum().backward()
    with untouched(model):
        attend(model, X64, blocks=True)


# ------------------------------------------------------------------ refusals


def refusals():
    small = {"num_classes": 5}
    return {
        "windows": (
            "swin_tiny_patch4_window7_224",
            {
                "img_size": 64,
                "embed_dim": 16,
                "depths": (1, 1, 1, 1),
                "num_heads": (1, 1, 2, 2),
                "window_size": 4,
                **small,
            },
            64,
            "windows",
        ),
        "class attention": (
            "cait_xxs24_224",
            {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2, **small},
            32,
            "1 queries over 17 keys",
        ),
        "attention pooling": (
            "vit_tiny_patch16_224",
            {**TINY, "img_size": 32, "global_pool": "map", "class_token": False},
            32,
            "1 queries over 16 keys",
        ),
        "reduced keys": ("pvt_v2_b0", small, 64, "256 queries over 4 keys"),
        "no attention": ("resnet18", small, 64, "No attention was seen"),
    }


@pytest.mark.parametrize("what", refusals())
def test_what_has_no_attention_over_one_grid_is_refused_and_told_why(what, zoo, untouched):
    name, options, size, reason = refusals()[what]
    model = zoo(f"timm:{name}", **options)
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with untouched(model), pytest.raises(ModelError, match=reason) as error:
        attend(model, x)
    assert "gradcam" in str(error.value)


class ChannelAttention(HandViT):
    """Attention among channels, as many as there are."""

    def forward(self, x):
        tokens = self.embed(x)[:, :7]  # 7 tokens of 8 channels
        weights = (tokens.mT @ tokens).softmax(-1)
        return self.head((weights @ tokens.mT).mT)


def test_attention_over_channels_is_refused():
    with pytest.raises(ModelError, match="8 elements"):
        attend(ChannelAttention(grid=(2, 3)), X64)


class TwoCounts(HandViT):
    def forward(self, x):
        tokens = self.blocks[0](self.embed(x))
        return self.head(self.blocks[1](tokens[:, :4]))


def test_a_count_of_tokens_that_changes_is_refused():
    with pytest.raises(ModelError, match="8, 4 tokens"):
        attend(TwoCounts(), X64)


class Branches(HandViT):
    """The residual stream passes beside the modules that attend, as some write it."""

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = x + block.attn(block.norm1(x))
            x = x + block.mlp(block.norm2(x))
        return self.head(x)


def test_without_blocks_the_attention_is_seen_but_no_block_has_a_score_of_its_own():
    plain = attend(HandViT(), X64)
    seen = attend(Branches(), X64)
    assert seen.readout.tolist() == plain.readout.tolist()
    for a, b in zip(seen.layers, plain.layers, strict=True):
        close(a.gradients, b.gradients)
    with pytest.raises(ModelError, match="legrad"):
        attend(Branches(), X64, blocks=True)


class Noisy(HandAttention):
    def forward(self, x):
        q = x[:, None]
        return functional.scaled_dot_product_attention(q, q, q, dropout_p=0.9)[:, 0]


def test_a_model_that_does_not_come_out_the_same_is_refused(untouched):
    model = HandViT()
    for block in model.blocks:
        block.attn = Noisy(8, 2, "fused")
    model.double()
    with untouched(model), pytest.raises(ModelError, match="does not reproduce"):
        attend(model, X64)


def test_a_score_that_cuts_the_graph_says_so():
    model = HandViT()
    with pytest.raises(TargetError, match="cuts the graph"):
        attend(model, X64, [lambda raw: raw.detach().sum(1)])


@pytest.mark.parametrize("at", range(1, 8))
def test_an_exception_at_any_run_leaves_the_model_as_it_came(at, untouched):
    """The model fails at its n-th run; or late enough that it never does."""
    model = HandViT()
    runs = itertools.count(1)
    whole = runner(model)

    def run(x):
        outputs = whole(x)
        if next(runs) >= at:
            raise RuntimeError("out of memory")
        return outputs

    with untouched(model), explaining(model):
        table = resolve([0], whole(X64))
        with pytest.raises(RuntimeError, match="out of memory"):
            attention_of(model, run, X64, table, blocks=True)
    assert _get_current_function_mode_stack() == []


def test_an_own_forward_of_a_block_stays():
    """A forward set on the instance, as some libraries patch it, is put back and not lost."""
    model = HandViT()
    block = model.blocks[1]
    patched = SimpleNamespace(calls=0)
    plain = type(block).forward

    def forward(x):
        patched.calls += 1
        return plain(block, x)

    block.forward = forward
    attend(model, X64, blocks=True)
    assert block.forward is forward
    assert patched.calls
