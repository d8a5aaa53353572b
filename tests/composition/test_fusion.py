"""Fusions of layers against their formulas, position by position, and as a whole from the model on."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import camscope
from camscope.composition import parse
from camscope.composition.fusion import fuse_maps
from camscope.errors import LayerError
from tests.torch.nets import Net, batch, explainer_of, gap_head, mlp_head

X = batch(3, 3, 32, 32, dtype=torch.float64)
HOW = ["max", "product", "mean", "cascade"]


def as_jax(values: np.ndarray) -> Any:
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax.numpy.asarray(values)


@pytest.fixture(autouse=True)
def _jax_as_it_was():
    yield
    import jax

    jax.config.update("jax_enable_x64", False)


def up(m: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Linear, half-pixel, by torch's own hand."""
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(size)]
    return functional.interpolate(torch.from_numpy(m), size, mode=mode, align_corners=False).numpy()


def over_space(m: np.ndarray, reduction: Any) -> np.ndarray:
    return reduction(m, axis=tuple(range(2, m.ndim)), keepdims=True)


def by_hand(maps: list[np.ndarray], how: str, gamma: float = 2.0) -> np.ndarray:
    """METHODS §1.8 (max), §1.28 (product), §1.25 (cascade)."""
    maps = [np.maximum(m, 0) for m in maps]
    finest = max((m.shape[2:] for m in maps), key=np.prod)
    if how == "max":
        maps = [m / over_space(m, np.max) for m in maps]
        shallow = [np.tanh(gamma * m) for m in maps[:-1]]
        return np.maximum.reduce([up(m, finest) for m in (*shallow, maps[-1])])
    if how == "cascade":
        result = maps[-1]
        for m in maps[-2::-1]:
            coarse = up(up(m, result.shape[2:]), m.shape[2:])
            normed = np.divide(m, coarse, out=np.zeros_like(m), where=coarse > 0)
            result = normed * up(result, m.shape[2:])
        return result
    units = [(m - over_space(m, np.min)) / (over_space(m, np.max) - over_space(m, np.min)) for m in maps]
    units = [up(m, finest) for m in units]
    return np.multiply.reduce(units) if how == "product" else sum(units) / len(units)


def drawn(shapes: list[tuple[int, ...]], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((2, 3, *shape)) + 0.3 for shape in shapes]


SHAPES = [
    [(8, 12), (4, 6), (2, 3)],
    [(8, 8), (8, 8)],
    [(4, 6), (8, 12)],  # the later layer is the finer one
    [(15, 10), (7, 5), (7, 5), (3, 2)],
    [(16,), (4,)],
    [(4, 6, 8), (2, 3, 4)],
]


CASES = [
    *itertools.product(["numpy", "torch"], HOW, SHAPES),
    *(
        ("jax", HOW[i % len(HOW)], shapes) for i, shapes in enumerate(SHAPES)
    ),  # which compiles for every shape
]
LIBRARIES = {"numpy": np.asarray, "torch": torch.from_numpy, "jax": as_jax}


@pytest.mark.parametrize(("library", "how", "shapes"), CASES, ids=str)
def test_a_fusion_is_its_formula(library, how, shapes):
    """Every formula and every number of dimensions on every library; all pairs of them where it costs nothing."""
    convert = LIBRARIES[library]
    maps = drawn(shapes)
    found = np.asarray(fuse_maps([convert(m) for m in maps], how))
    expected = by_hand(maps, how)
    assert found.shape == expected.shape == (2, 3, *max(shapes, key=np.prod)) if how != "cascade" else True
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("gamma", [0.0, 0.5, 10.0])
def test_the_tanhs_gamma(gamma):
    maps = drawn(SHAPES[0])
    found = fuse_maps([torch.from_numpy(m) for m in maps], "max", gamma).numpy()
    np.testing.assert_allclose(found, by_hand(maps, "max", gamma), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("how", HOW)
def test_each_target_of_each_image_is_fused_by_itself(how):
    maps = [torch.from_numpy(m) for m in drawn(SHAPES[0])]
    together = fuse_maps(maps, how)
    for b, t in itertools.product(range(2), range(3)):
        one = fuse_maps([m[b : b + 1, t : t + 1] for m in maps], how)
        torch.testing.assert_close(one, together[b : b + 1, t : t + 1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("how", ["max", "product", "mean"])
def test_no_layers_scale_counts(how):
    """Gradients differ by orders of magnitude from layer to layer."""
    maps = [torch.from_numpy(m) for m in drawn(SHAPES[0])]
    other = [m * factor for m, factor in zip(maps, (1e-8, 1.0, 1e6), strict=True)]
    torch.testing.assert_close(fuse_maps(other, how), fuse_maps(maps, how), rtol=1e-9, atol=1e-12)


def test_nor_does_the_scale_of_a_cascades_shallow_layers():
    """Also where a detail falls between the positions of the coarse map, which then has nothing there."""
    maps = [torch.from_numpy(m) for m in drawn([(16,), (4,)])]
    lost = fuse_maps([maps[0] * 1e6, maps[1]], "cascade")
    torch.testing.assert_close(lost, fuse_maps(maps, "cascade"), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("how", ["max", "product", "mean"])
def test_a_fused_map_is_a_heatmap(how):
    found = fuse_maps([torch.from_numpy(m) for m in drawn(SHAPES[0])], how)
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("blank", [0, 1, 2])
@pytest.mark.filterwarnings("error")
def test_a_blank_map_gives_no_nan(how, blank):
    """All zero, or all negative: in a product and in a cascade it blanks the whole, in a maximum it adds nothing."""
    maps = [torch.from_numpy(m) for m in drawn(SHAPES[0])]
    maps[blank] = -maps[blank].abs()
    found = fuse_maps(maps, how)
    assert found.isfinite().all()
    rest = [m for i, m in enumerate(maps) if i != blank]
    if how in ("product", "cascade"):
        assert not found.any()
    if how == "mean":
        size = tuple(maps[0].shape[2:])
        expected = sum(up(u, size) for u in map(unit, rest)) / 3
        np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)
    if how == "max":
        assert found.any()


def unit(m: torch.Tensor) -> np.ndarray:
    m = m.relu()
    low, high = m.amin((2, 3), True), m.amax((2, 3), True)
    return ((m - low) / (high - low)).numpy()


def test_a_cascade_keeps_the_deep_map_where_the_shallow_one_is_even():
    deep = torch.from_numpy(drawn([(2, 3)])[0]).relu()
    even = torch.full((2, 3, 8, 12), 0.7, dtype=torch.float64)
    found = fuse_maps([even, deep], "cascade")
    np.testing.assert_allclose(found.numpy(), up(deep.numpy(), (8, 12)), rtol=0, atol=1e-12)


# ------------------------------------------------------------------ from the model on


def deep(*, linear: bool = False) -> nn.Module:
    """Three resolutions: stem 16², body 8², last 4²."""
    net = Net(gap_head(channels=12) if linear else mlp_head(16)).double().eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        last = nn.Sequential(nn.Conv2d(12, 12, 3, 2, 1), nn.ReLU()).double()
    model = nn.Sequential()
    for name, part in (("stem", net.stem), ("body", net.body), ("last", last), ("head", net.head)):
        model.add_module(name, part)
    return model.eval()


LAYERS = ["stem", "body", "last"]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(
    "inner", ["layercam", "finer(gradcam)", "smooth(gradcam, n=2)", "scorecam(top=3)", "eigencam"]
)
def test_a_fusion_is_of_the_maps_there_are(how, inner):
    model = deep()
    plain = explainer_of(model)(X, methods=inner, targets=[1, 4], layers=LAYERS)
    maps = [plain.raw[plain.methods[0], layer].numpy() for layer in LAYERS]
    e = explainer_of(model)(X, methods=f"fuse({inner}, {how})", targets=[1, 4], layers=LAYERS)
    (found,) = e.raw.values()
    np.testing.assert_allclose(found.numpy(), by_hand(maps, how), rtol=1e-9, atol=1e-12)
    assert found.shape == (3, 2, 16, 16)
    assert e.layers == ("stem, body, last",)


@pytest.mark.parametrize("order", list(itertools.permutations(LAYERS)), ids=" ".join)
@pytest.mark.parametrize("how", ["max", "cascade"])
def test_layers_are_fused_in_the_order_they_run(order, how):
    """Whatever order they are named in, and as modules too: the deepest is another's to these fusions."""
    model = deep()
    e = explainer_of(model)(X, methods=f"fuse(layercam, {how})", targets=1, layers=list(order))
    expected = explainer_of(model)(X, methods=f"fuse(layercam, {how})", targets=1, layers=LAYERS)
    assert list(e.raw) == [(parse(f"fuse(layercam, {how})").name, "stem, body, last")]
    assert torch.equal(next(iter(e.raw.values())), next(iter(expected.raw.values())))
    modules = [model.get_submodule(name) for name in order]
    again = explainer_of(model)(X, methods=f"fuse(layercam, {how})", targets=1, layers=modules)
    assert torch.equal(next(iter(again.raw.values())), next(iter(expected.raw.values())))


@pytest.mark.parametrize("layers", ["last", ["last"], ["last", "last"]], ids=str)
def test_one_layer_cannot_be_fused(layers):
    """And what could be is named."""
    with pytest.raises(
        LayerError,
        match=r"fuse\(layercam\) needs the maps of several layers, and there is one\. "
        r"Name some: layers=\['stem', 'body",
    ):
        camscope.explain(deep(), X, methods=["gradcam", "fuse(layercam)"], layers=layers)


def test_a_named_fusion_is_refused_likewise():
    with pytest.raises(LayerError, match="needs the maps of several layers"):
        camscope.explain(deep(), X, methods="refinecam", layers="last")


def test_by_default_the_last_layer_of_each_resolution_is_fused():
    e = camscope.explain(deep(), X, methods=["gradcam", "fuse(layercam)", "eigencam"], targets=1)
    stages = e.provenance["layers"]["fused"]
    assert [name.split(".")[0] for name in stages] == LAYERS
    single = e.provenance["layers"]["choice"]
    assert single == stages[-1]
    assert list(e.raw) == [("gradcam", single), ("fuse(layercam)", ", ".join(stages)), ("eigencam", single)]
    assert set(e.provenance["layers"]["layers"]) == set(stages)
    by_name = camscope.explain(deep(), X, methods="fuse(layercam)", targets=1, layers=stages)
    assert torch.equal(e.raw["fuse(layercam)", ", ".join(stages)], next(iter(by_name.raw.values())))


def test_a_resnets_stages():
    from torchvision.models import resnet18

    e = camscope.explain(resnet18(weights=None), batch(1, 3, 64, 64), methods="layercam-fused", targets=1)
    assert e.provenance["layers"]["fused"] == ["layer1", "layer2", "layer3", "layer4"]
    (found,) = e.raw.values()
    assert found.shape == (1, 1, 16, 16)


def test_fused_and_plain_in_one_call():
    """The fused map has a name of its own beside those of its layers."""
    model = deep(linear=True)
    methods = ["layercam", "fuse(layercam)", "smooth(fuse(layercam, mean), n=2)", "rise(n=4)"]
    e = explainer_of(model)(X, methods=methods, targets=1, layers=LAYERS)
    fused_at = "stem, body, last"
    assert list(e.raw) == [
        *(("layercam", layer) for layer in LAYERS),
        ("fuse(layercam)", fused_at),
        ("smooth(fuse(layercam, how=mean), n=2)", fused_at),
        ("rise(n=4)", "model"),
    ]
    maps = [e.raw["layercam", layer].numpy() for layer in LAYERS]
    np.testing.assert_allclose(
        e.raw["fuse(layercam)", fused_at].numpy(), by_hand(maps, "max"), rtol=0, atol=1e-12
    )


def test_what_a_fusion_needs_of_other_layers_is_no_map_of_the_plain_method():
    """One expression at two sets of layers: each is shown where it was asked for."""
    model = deep()
    e = explainer_of(model)(X, methods=["layercam", "fuse(layercam)"], targets=1)
    alone = explainer_of(model)(X, methods="layercam", targets=1)
    assert list(e.raw) == [*alone.raw, ("fuse(layercam)", "stem, body, last")]
    for key, m in alone.raw.items():
        assert torch.equal(e.raw[key], m)


def test_a_wrapper_around_a_fusion_fuses_each_copy():
    model = deep(linear=True)
    call: dict[str, Any] = {"targets": 1, "layers": LAYERS}
    found = explainer_of(model)(X, methods="augment(fuse(layercam), [flip, identity])", **call)
    each = [
        next(iter(explainer_of(model)(x, methods="fuse(layercam)", **call).raw.values()))
        for x in (X, X.flip(-1))
    ]
    expected = (each[0] + each[1].flip(-1)) / 2
    torch.testing.assert_close(next(iter(found.raw.values())), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("how", HOW)
def test_an_images_fused_map_does_not_depend_on_the_rest_of_the_batch(how):
    model = deep()
    call: dict[str, Any] = {"methods": f"fuse(gradcam++, {how})", "targets": 1, "layers": LAYERS}
    (together,) = explainer_of(model)(X, **call).raw.values()
    alone = [next(iter(explainer_of(model)(X[i : i + 1], **call).raw.values())) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-12)


def test_a_fused_map_has_no_negative_values_and_says_so():
    model = deep()
    e = explainer_of(model)(X, methods=["gradcam", "fuse(gradcam)"], targets=1, layers=LAYERS)
    assert e.facts["gradcam"].rectified
    assert not e.facts["fuse(gradcam)"].rectified
    assert any((m < 0).any() for (method, _), m in e.raw.items() if method == "gradcam")
    heat = e.heatmaps("fuse(gradcam)")
    assert heat.min() == 0
    assert heat.max() == 1


def test_blank_fused_maps_have_a_status():
    """No evidence at the deepest layer blanks a product."""
    model = deep(linear=True)
    with torch.no_grad():
        model.head[-1].weight.copy_(-model.head[-1].weight.abs())
    e = camscope.explain(
        model, X, methods=["layercam", "refinecam", "fuse(layercam, mean)"], targets=1, layers=LAYERS
    )
    assert {str(s) for (s,) in e.status["refinecam", "stem, body, last"]} == {"flat"}
    assert e.heatmaps("refinecam").isfinite().all()
    assert {str(s) for (s,) in e.status["layercam", "last"]} != {"ok"}
