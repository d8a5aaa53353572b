"""Maps inside of a training step: the same maps, the true gradients, and nothing of the step changed."""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import camscope
from camscope.errors import InputError, LayerError, MethodError, ModelError, TargetError
from camscope.models.torch.learning_head import check_foldable
from camscope.training import StepMaps, cam, outside_loss, step_maps
from tests.conftest import make_tiny_cnn
from tests.torch.nets import Apply, Net, batch, gap_head, linear, mlp_head

GRADIENT_METHODS = ["gradcam", "hirescam", "layercam", "gradcam++", "gradcam++-official", "xgradcam"]
EVERYWHERE = [*GRADIENT_METHODS, "gradcam-elementwise", "eigencam", "mean-activation"]


def norm_head(channels: int = 12, classes: int = 5) -> nn.Sequential:
    """Pooling, batch norm, dropout, linear: fastai's simple head, with statistics a trained one could have."""
    head = nn.Sequential(
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.BatchNorm1d(channels),
        nn.Dropout(0.5),
        linear(channels, classes, 3),
    )
    with torch.no_grad():
        for tensor, low in ((head[2].running_mean, -1), (head[2].running_var, 0.3), (head[2].weight, 0.5)):
            tensor.uniform_(low, 2, generator=torch.Generator().manual_seed(0))
    return head


class ReluBeforePooling(nn.Module):
    """As torchvision's DenseNet ends: the ReLU that the classifier pools is a function."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.features = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, 1, 1))
        self.classifier = linear(12, 5, 0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = functional.relu(self.features(x), inplace=True)
        return self.classifier(functional.adaptive_avg_pool2d(features, 1).flatten(1))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "plain": make_tiny_cnn,
    "in place": lambda: Net().eval(),
    "batch norm in the head": lambda: Net(norm_head()).eval(),
    "one logit": lambda: Net(gap_head(1)).eval(),
    "a function's ReLU": lambda: ReluBeforePooling().eval(),
    "1D": lambda: Net(gap_head(dims=1), dims=1).eval(),
    "3D": lambda: Net(gap_head(dims=3), dims=3).eval(),
}


def input_of(name: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    dims = int(name[0]) if name in ("1D", "3D") else 2
    return batch(4, 3, *(16,) * dims, dtype=dtype)


def labels_of(name: str) -> torch.Tensor:
    return torch.tensor([0, 1, 1, 0]) if name == "one logit" else torch.tensor([0, 3, 1, 4])


def explained(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, method: str, layer: str | None = None
) -> torch.Tensor:
    e = camscope.explain(model, x, methods=method, targets=camscope.PerImage(y.tolist()), layers=layer)
    (raw,) = e.raw.values()
    return raw


# ------------------------------------------------------------------ the same maps


@pytest.mark.parametrize("method", ["cam", *EVERYWHERE])
@pytest.mark.parametrize("name", MODELS)
def test_in_eval_mode_maps_are_those_of_the_explainer(name, method):
    model, x, y = MODELS[name](), input_of(name), labels_of(name)
    seen = cam(model, x, y, method=method)
    # several modules' weights the explainer finds by running them, to rounding
    close = 1e-6 * max(1.0, float(seen.maps.detach().abs().max()))
    torch.testing.assert_close(seen.maps, explained(model, x, y, method), rtol=0, atol=close)
    assert seen.outputs.equal(model(x))
    assert seen.maps.requires_grad


@pytest.mark.parametrize("method", EVERYWHERE)
@pytest.mark.parametrize("layer", ["stem.0", "stem.1", "stem", "body.1"])
def test_also_at_layers_into_which_the_network_writes_later(layer, method):
    """A convolution before its batch norm, and a batch norm whose ReLU works in place."""
    model, x, y = Net(mlp_head(16)).eval(), input_of("2D"), labels_of("2D")
    seen = cam(model, x, y, method=method, layer=layer)
    assert seen.layer == layer
    torch.testing.assert_close(seen.maps, explained(model, x, y, method, layer), rtol=1e-5, atol=1e-6)


def test_a_vision_transformer_has_maps_of_its_tokens():
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model = timm.create_model(
        "vit_tiny_patch16_224", img_size=64, embed_dim=48, depth=3, num_heads=3, num_classes=5
    ).eval()
    x, y = batch(2, 3, 64, 64), torch.tensor([1, 4])
    for method in ("gradcam", "hirescam"):
        seen = cam(model, x, y, method=method)
        assert seen.maps.shape == (2, 1, 4, 4)
        torch.testing.assert_close(seen.maps, explained(model, x, y, method), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["plain", "in place", "batch norm in the head", "a function's ReLU"])
def test_in_train_mode_maps_sum_to_the_logits_of_the_step(name):
    """S_c = mean M_c + a constant of the class, with a batch norm's statistics of this batch; dropout aside."""
    model, x = MODELS[name]().train(), input_of(name)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    seen = cam(model, x, "all")
    rest = seen.outputs - seen.maps.mean((2, 3))
    torch.testing.assert_close(rest, rest[:1].expand_as(rest), rtol=0, atol=1e-5)
    torch.testing.assert_close(seen.scores, seen.outputs)


def test_dropout_counts_by_its_mean():
    model, x, y = Net(norm_head()).train(), input_of("2D"), labels_of("2D")
    without = copy.deepcopy(model)
    without.head[3].p = 0.0
    torch.testing.assert_close(cam(model, x, y).maps, cam(without, x, y).maps)


# ------------------------------------------------------------------ the true gradients


def directional(
    value: Callable[[], torch.Tensor], parameters: list[nn.Parameter], step: float = 1e-7
) -> float:
    """The change of a value along a random direction of all parameters, by central differences that meet no kink."""
    ends = []
    for sign in (1, -1):
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for p in parameters:
                p += sign * step * torch.randn(p.shape, generator=generator, dtype=p.dtype)
        ends.append(float(value().detach()))
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for p in parameters:
                p -= sign * step * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    return (ends[0] - ends[1]) / (2 * step)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("method", ["cam", "gradcam", "hirescam", "layercam", "xgradcam", "gradcam++"])
@pytest.mark.parametrize("name", ["plain", "batch norm in the head", "a function's ReLU"])
def test_gradients_by_the_weights_are_those_of_finite_differences(name, method, training):
    model, x, y = MODELS[name]().double().train(training), input_of(name, torch.float64), labels_of(name)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    parameters = list(model.parameters())

    def value() -> torch.Tensor:
        maps = cam(model, x, y, method=method).maps
        return (maps**2).sum() + (maps * batch(*maps.shape, seed=3, dtype=maps.dtype)).sum()

    gradients = torch.autograd.grad(value(), parameters, allow_unused=True)
    generator = torch.Generator().manual_seed(5)
    directions = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    along = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True) if g is not None)
    assert along == pytest.approx(directional(value, parameters), rel=1e-5)
    assert along != 0


def test_the_gradient_reaches_the_head_and_what_is_before_the_layer():
    model, x, y = make_tiny_cnn().train(), input_of("2D"), labels_of("2D")
    outside_loss(cam(model, x, y).maps, torch.zeros(4, 16, 16)).backward()
    for name in ("stem.weight", "body_norm.weight", "last.weight", "head.weight"):
        assert model.get_parameter(name).grad.abs().sum() > 0
    assert model.head.bias.grad is None  # it only shifts


@pytest.mark.parametrize("method", ["cam", "gradcam"])
def test_with_a_frozen_body_the_head_learns_from_maps(method):
    model, x, y = make_tiny_cnn().train(), input_of("2D"), labels_of("2D")
    model.requires_grad_(False)
    model.head.requires_grad_()
    cam(model, x, y, method=method).maps.square().sum().backward()
    assert model.head.weight.grad.abs().sum() > 0
    assert all(p.grad is None for name, p in model.named_parameters() if name != "head.weight")


# ------------------------------------------------------------------ nothing of the step is changed


def trained(
    loss: Callable[[nn.Module, torch.Tensor, torch.Tensor], torch.Tensor], steps: int = 4
) -> list[torch.Tensor]:
    """All weights, statistics and the random state after some steps with dropout, batch norm and momentum."""
    torch.manual_seed(0)
    model = Net(norm_head()).train()
    model.stem.append(nn.Dropout2d(0.3))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for number in range(steps):
        x, y = batch(8, 3, 16, 16, seed=number), torch.arange(8) % 5
        optimiser.zero_grad()
        loss(model, x, y).backward()
        optimiser.step()
    return [*model.state_dict().values(), torch.get_rng_state(), torch.rand(3)]


def plain(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(model(x), y)


@pytest.mark.parametrize("method", ["cam", "gradcam", "layercam", "eigencam"])
@pytest.mark.parametrize("share", [None, 0.0], ids=["left alone", "times zero"])
def test_without_weight_in_the_loss_training_is_bit_for_bit_the_same(method, share):
    def with_maps(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        seen = cam(model, x, y, method=method)
        loss = functional.cross_entropy(seen.outputs, y)
        return loss if share is None else loss + share * outside_loss(seen.maps, torch.zeros(8, 16, 16))

    for with_one, without in zip(trained(with_maps), trained(plain), strict=True):
        assert with_one.equal(without)


def test_with_weight_it_is_not():
    def with_maps(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        seen = cam(model, x, y)
        return functional.cross_entropy(seen.outputs, y) + outside_loss(seen.maps, torch.zeros(8, 16, 16))

    assert not trained(with_maps)[0].equal(trained(plain)[0])


def test_an_explainer_and_a_recording_between_forward_and_backward_change_nothing():
    def with_looks(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        seen = cam(model, x, y)
        camscope.explain(model, x[:2], methods=["cam", "gradcam"])
        with camscope.record(model, ["body"]), torch.no_grad():
            copy.deepcopy(model).eval()(x)
        cam(model.eval(), x[:2], y[:2])
        model.train()
        return functional.cross_entropy(seen.outputs, y) + 0 * seen.maps.sum()

    for with_one, without in zip(trained(with_looks), trained(plain), strict=True):
        assert with_one.equal(without)


def test_a_recorder_beside_it_sees_the_same_training(tmp_path):
    """Both in one loop: the recorder's looks change nothing of the steps, and find the model as the steps left it."""
    samples, labels = batch(2, 3, 16, 16, seed=50), torch.tensor([1, 3])

    def step(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        seen = cam(model, x, y)
        return functional.cross_entropy(seen.outputs, y) + outside_loss(seen.maps, torch.zeros(8, 16, 16))

    recorders: list[camscope.Recorder] = []

    def watched(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if not recorders:
            recorders.append(camscope.Recorder(tmp_path / "maps", samples, labels=labels, boards=()))
        else:
            recorders[0].step(model)
        return step(model, x, y)

    for with_one, without in zip(trained(watched), trained(step), strict=True):
        assert with_one.equal(without)
    assert len(camscope.History.open(tmp_path / "maps")) >= 2


def test_no_hook_stays_and_flags_are_as_they_were():
    model, x, y = Net(norm_head()).train(), input_of("2D"), labels_of("2D")
    model.stem.eval()
    model.body[0].weight.requires_grad_(False)
    flags = [m.training for m in model.modules()], [p.requires_grad for p in model.parameters()]
    for method in ("cam", "gradcam"):
        cam(model, x, y, method=method)
    assert flags == ([m.training for m in model.modules()], [p.requires_grad for p in model.parameters()])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("method", ["cam", "gradcam"])
def test_graphs_and_models_are_freed(method):
    model, x, y = make_tiny_cnn(), input_of("2D"), labels_of("2D")
    cam(model, x, y, method=method)  # finds the layer
    saved: list[weakref.ref[Saved]] = []

    def keep(tensor: torch.Tensor) -> Saved:
        box = Saved(tensor)
        saved.append(weakref.ref(box))
        return box

    with collector_off():
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda box: box.tensor):
            seen = cam(model, x, y, method=method)
        seen.maps.sum().backward()
        maps = weakref.ref(seen.maps)
        del seen
        assert maps() is None
        assert len(saved) > 5
        assert all(box() is None for box in saved)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


class Saved:
    """What a graph keeps for its backward."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


@contextlib.contextmanager
def collector_off() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


# ------------------------------------------------------------------ labels


def test_a_mask_gives_a_map_for_every_class_and_zero_for_those_an_image_has_not():
    model, x = make_tiny_cnn(), input_of("2D")
    mask = torch.tensor([[1, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [1, 1, 1, 0, 1]])
    for method in ("cam", "gradcam", "hirescam"):
        every = cam(model, x, "all", method=method)
        for labels in (mask.bool(), mask.float(), mask * 0.9 + 0.05):
            seen = cam(model, x, labels, method=method)
            torch.testing.assert_close(seen.maps, every.maps * mask[..., None, None])
            torch.testing.assert_close(seen.scores, every.scores * mask)
            assert seen.present.equal(mask.bool())


def test_several_labels_for_each_image_and_none_by_a_negative_number():
    model, x = make_tiny_cnn(), input_of("2D")
    labels = torch.tensor([[0, 2], [1, -1], [-100, -1], [4, 3]])
    every, seen = cam(model, x, "all"), cam(model, x, labels)
    for image, row in enumerate(labels.tolist()):
        for t, c in enumerate(row):
            expected = every.maps[image, c] if c >= 0 else torch.zeros(4, 4)
            torch.testing.assert_close(seen.maps[image, t], expected)
    assert seen.present.tolist() == (labels >= 0).tolist()


def test_targets_are_those_of_the_explainer_too():
    model, x = make_tiny_cnn(), input_of("2D")
    every = cam(model, x, "all").maps
    torch.testing.assert_close(cam(model, x, [3]).maps, every[:, 3:4])
    torch.testing.assert_close(cam(model, x, -camscope.Class(2)).maps, -every[:, 2:3])
    torch.testing.assert_close(
        cam(model, x, camscope.PerImage([0, 1, 2, 4])).maps[:, 0], every[range(4), [0, 1, 2, 4]]
    )
    contrast = cam(model, x, camscope.Contrast(1, against=[2], gamma=0.5)).maps
    torch.testing.assert_close(contrast, every[:, 1:2] - 0.5 * every[:, 2:3])
    top = model(x).argmax(1)
    torch.testing.assert_close(cam(model, x).maps[:, 0], every[range(4), top])
    probability = cam(model, x, camscope.Class(1, of="probability"), method="gradcam").maps
    (expected,) = camscope.explain(
        model, x, methods="gradcam", targets=camscope.Class(1, of="probability")
    ).raw.values()
    torch.testing.assert_close(probability, expected)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (torch.tensor([0, 1, 2]), r"shape \(3,\) for a batch of 4"),
        (torch.tensor([0, 1, 2, 5]), "no class 5: the model has 5"),
        (torch.zeros(4, 5, dtype=torch.long), r"y\.bool\(\)"),
        (torch.zeros(4, 3), r"\(4, 5\), got \(4, 3\)"),
        (torch.zeros(4), r"y\.long\(\)"),
        ([0, 1, 2, 3], "one for each image or all of them"),
        (camscope.Class(1, of="probability"), "take a gradient method"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, says):
    with pytest.raises(TargetError, match=says):
        cam(make_tiny_cnn(), input_of("2D"), labels)


# ------------------------------------------------------------------ what a step can and cannot give


def test_a_head_that_is_not_linear_is_refused_with_the_method_that_works():
    model, x, y = Net(mlp_head(16)).train(), input_of("2D"), labels_of("2D")
    with pytest.raises(MethodError, match=r"Use 'gradcam' or 'hirescam'"):
        cam(model, x, y)
    assert cam(model, x, y, method="gradcam").maps.requires_grad


def test_a_linear_head_is_found_anew_where_a_module_was_replaced():
    model, x = Net().train(), input_of("2D")
    assert cam(model, x, "all").maps.shape[1] == 5
    model.head = gap_head(7)
    assert cam(model, x, "all").maps.shape[1] == 7
    model.head = mlp_head(16)
    with pytest.raises(MethodError):
        cam(model, x, 0)


def test_modules_whose_weights_cannot_be_folded_are_named():
    check_foldable([nn.BatchNorm1d(12), nn.Dropout(), linear(12, 5, 0)])
    with pytest.raises(MethodError, match="PReLU, whose weights are not followed"):
        check_foldable([nn.PReLU(), linear(12, 5, 0)])


def test_a_head_that_is_linear_by_its_weights_alone_is_refused():
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.PReLU(), linear(12, 5, 0))
    nn.init.ones_(head[2].weight)  # linear as it is, but not for long
    with pytest.raises(MethodError, match=r"Use 'gradcam' or 'hirescam'"):
        cam(Net(head), input_of("2D"), 0)


@pytest.mark.parametrize("method", ["scorecam", "rise", "smooth(gradcam)", "shapley", "centre"])
def test_methods_that_a_step_cannot_give_are_refused(method):
    with pytest.raises(MethodError, match=r"These can: cam, gradcam|cannot be differentiated"):
        cam(make_tiny_cnn(), input_of("2D"), 0, method=method)


def test_what_is_no_module_is_refused():
    with pytest.raises(ModelError, match=r"needs the torch\.nn\.Module that is trained, not str"):
        cam("demo", input_of("2D"), 0)


def test_without_gradients_the_closed_form_still_gives_maps():
    model, x, y = make_tiny_cnn(), input_of("2D"), labels_of("2D")
    with torch.no_grad():
        assert cam(model, x, y).maps.equal(cam(model, x, y).maps.detach())
        with pytest.raises(InputError, match="Gradients are switched off"):
            cam(model, x, y, method="gradcam")


class WithoutGraph(Net):
    """In train mode the body runs without a graph: checkpointed in the old way, or as a part that does not learn."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        if not self.training:
            return self.head(self.body(x))
        if self.how == "checkpointed":
            return self.head(checkpoint(self.body, x, use_reentrant=True))
        with torch.no_grad():
            x = self.body(x)
        return self.head(x)


@pytest.mark.parametrize(
    ("how", "method"), [("checkpointed", "cam"), ("checkpointed", "gradcam"), ("no_grad", "gradcam")]
)
def test_a_layer_that_is_cut_off_is_refused(how, method):
    with pytest.raises(LayerError, match="use_reentrant=False"):
        cam(WithoutGraph(how).train(), input_of("2D"), labels_of("2D"), method=method)


def test_behind_a_part_without_a_graph_the_head_learns():
    model = WithoutGraph("no_grad").train()
    cam(model, input_of("2D"), labels_of("2D")).maps.square().sum().backward()
    assert model.head[3].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("method", ["cam", "gradcam", "hirescam"])
def test_checkpointed_parts_learn_from_maps(method):
    """With the kind of checkpoint that PyTorch recommends, gradients of maps are those without."""

    class Checkpointed(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = checkpoint(self.stem, x, use_reentrant=False)
            return self.head(checkpoint(self.body, x, use_reentrant=False))

    x, y = input_of("2D").requires_grad_(), labels_of("2D")
    found = []
    for model in (Checkpointed().eval(), Net().eval()):
        cam(model, x, y, method=method, layer="body").maps.square().sum().backward()
        found.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(*found)


# ------------------------------------------------------------------ what models are wrapped in


def test_under_autocast_the_forward_is_in_half_precision_and_maps_are_not():
    model, x, y = make_tiny_cnn().train(), input_of("2D"), labels_of("2D")
    exact = cam(copy.deepcopy(model), x, y)
    for method in ("cam", "gradcam", "hirescam"):
        with torch.autocast("cpu", torch.bfloat16):
            reference = copy.deepcopy(model)(x)
            seen = cam(copy.deepcopy(model), x, y, method=method)
            assert torch.is_autocast_enabled("cpu")
        assert seen.outputs.dtype == torch.bfloat16
        assert seen.outputs.equal(reference)
        assert seen.maps.dtype == torch.float32
        scale = 1 if method == "cam" else 16  # positions, by which the gradient of a mean is divided
        assert (seen.maps * scale - exact.maps).abs().max() < 0.05 * exact.maps.abs().max()
        (functional.cross_entropy(seen.outputs.float(), y) + seen.maps.square().mean()).backward()


def test_small_gradients_do_not_vanish_in_float16():
    """A mean over many positions divides gradients until half precision has no numbers left for them."""
    model = Net(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear(12, 5, 0))).eval()
    with torch.no_grad():
        model.head[2].weight.mul_(1e-3)
    x, y = batch(1, 3, 128, 128), torch.tensor([1])
    exact = cam(model, x, y, method="hirescam").maps
    with torch.autocast("cpu", torch.float16):
        half = cam(model, x, y, method="hirescam").maps
    assert (half - exact).abs().max() < 0.01 * exact.abs().max()


def test_distributed_training_goes_through_the_wrapper(tmp_path):
    model, x, y = Net(norm_head()).train(), input_of("2D"), labels_of("2D")
    alone = copy.deepcopy(model)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(model)
        for method in ("cam", "gradcam"):
            for one in (wrapped, alone):
                torch.manual_seed(0)
                seen = cam(one, x, y, method=method)
                (functional.cross_entropy(seen.outputs, y) + seen.maps.square().mean()).backward()
            for a, b in zip(model.parameters(), alone.parameters(), strict=True):
                torch.testing.assert_close(a.grad, b.grad)
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("how", ["wrapper", "in place", "a part"])
def test_a_compiled_model_runs_step_by_step(how):
    model, x, y = Net(gap_head()).eval(), input_of("2D"), labels_of("2D")
    expected = cam(model, x, y, method="gradcam").maps
    if how == "in place":
        model.compile(backend="eager")
        compiled: nn.Module = model
    elif how == "wrapper":
        compiled = torch.compile(model, backend="eager")
    else:
        compiled = model
        compiled.body = torch.compile(model.body, backend="eager")
    compiled(x)
    torch.testing.assert_close(cam(compiled, x, y, method="gradcam").maps, expected)


def test_several_inputs_by_position_and_by_name():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.extra = Net(), linear(2, 5, 0)

        def forward(self, x: torch.Tensor, facts: torch.Tensor) -> torch.Tensor:
            return self.net(x) + 0 * self.extra(facts)

    model, x, y, facts = Two().eval(), input_of("2D"), labels_of("2D"), batch(4, 2)
    expected = cam(model.net, x, y, method="gradcam").maps
    for given in ((x, facts), {"x": x, "facts": facts}):
        torch.testing.assert_close(cam(model, given, y, method="gradcam").maps, expected)


def test_a_switch_among_the_inputs_may_be_another_at_each_step():
    class Switched(Net):
        def forward(self, x: torch.Tensor, early: bool = False, share: float = 1.0) -> torch.Tensor:
            stem = self.stem(x)
            return share * (stem.mean((2, 3))[:, :5] if early else self.head(self.body(stem)))

    model, x, y = Switched().eval(), input_of("2D"), labels_of("2D")
    layers = [
        cam(model, {"x": x, "early": early, "share": share}, y, method="gradcam").layer
        for early, share in ((True, 1.0), (False, 0.5), (True, 0.25))
    ]
    assert layers == ["stem", "body", "stem"]


def test_logits_may_be_anywhere_in_what_the_model_returns():
    class Both(Net):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            logits = super().forward(x)
            return logits, logits * 2

    x, y = input_of("2D"), labels_of("2D")
    expected = cam(Net().eval(), x, y).maps
    seen = cam(Both().eval(), x, y, output=lambda out: out[0])
    assert isinstance(seen.outputs, tuple)
    torch.testing.assert_close(seen.maps, expected)


class Branches(Net):
    """Two heads, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({"first": gap_head(seed=1), "second": gap_head(seed=2)})

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.body(self.stem(x))
        return {name: head(features) for name, head in self.heads.items()}


class Named:
    """Looks for logits under a name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def of(self, out: dict[str, torch.Tensor]) -> torch.Tensor:
        return out[self.name]


looked_for = ""


def around(name: str) -> Callable[[dict[str, torch.Tensor]], torch.Tensor]:
    return lambda out: out[name]


def by_global(name: str) -> Callable[[dict[str, torch.Tensor]], torch.Tensor]:
    globals().update(looked_for=name)
    return lambda out: dict(out.items())[looked_for]


WAYS = {
    "a default": lambda name: lambda out, name=name: out[name],
    "a variable around it": around,
    "a global": by_global,
    "a method": lambda name: Named(name).of,
    "a partial": lambda name: functools.partial(lambda name, out: out[name], name),
    "a function around a function": lambda name: (lambda pick: lambda out: pick(out))(around(name)),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_functions_of_the_same_code_that_look_elsewhere_are_told_apart(way):
    """In a loop over the heads of a model each function has the same code."""
    model, x, y = Branches().eval(), input_of("2D"), labels_of("2D")
    for name in ("first", "second", "first"):
        seen = cam(model, x, y, output=way(name))
        torch.testing.assert_close(seen.scores, model(x)[name].gather(1, y[:, None]))
        torch.testing.assert_close(
            seen.maps.mean((2, 3)) + model.heads[name][3].bias[y][:, None], seen.scores
        )


def test_a_function_that_is_written_in_a_loop_is_looked_into_once(monkeypatch):
    found = []
    monkeypatch.setattr(
        "camscope.training.step_maps._find",
        lambda *given, find=step_maps._find: found.append(1) or find(*given),
    )
    model, x, y, place = Branches().eval(), input_of("2D"), labels_of("2D"), "second"
    for _ in range(3):
        cam(model, x, y, output=lambda out: out[place])
    assert len(found) == 1


def test_a_layer_that_is_given_in_a_list_is_the_one_in_the_list():
    """The list may be the same one with another name in it."""
    model, x, y = Net().eval(), input_of("2D"), labels_of("2D")
    given = [""]
    for name in ("stem.0", "body.1", "stem.0"):
        given[0] = name
        assert cam(model, x, y, layer=given, method="gradcam").layer == name


def test_a_probability_is_scored_on_other_inputs():
    model, x, y = make_tiny_cnn(), input_of("2D"), labels_of("2D")
    seen = cam(model, x, y)
    assert isinstance(seen, StepMaps)
    other = batch(4, 3, 16, 16, seed=9)
    torch.testing.assert_close(seen.scored(other), model(other).softmax(1).gather(1, y[:, None]))


def test_layers_that_run_as_functions_only_are_no_hindrance():
    model = nn.Sequential(
        OrderedDict(conv=nn.Conv2d(3, 12, 3, 2, 1), act=Apply(functional.relu), head=gap_head())
    ).eval()
    x, y = input_of("2D"), labels_of("2D")
    torch.testing.assert_close(cam(model, x, y).maps, explained(model, x, y, "cam"))
