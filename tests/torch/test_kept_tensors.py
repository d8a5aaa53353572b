"""All uses of a layer's own tensor count, whoever holds it, and the model computes what it computes without us.

The references know none of our hooks: autograd on a graph from the input on, by the layer's own tensor, where PyTorch
can say that; else the memory of the layer's output altered, one channel after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import nn
from torch.autograd.graph import get_gradient_edge
from torch.nn import functional

import camscope
from camscope.evidence import Need
from camscope.models.batch import Batch
from camscope.models.torch import TorchAdapter
from camscope.models.torch.reruns.suffix import Kept, Plan, replaced
from tests.torch.nets import Noisy, batch

X = batch(2, 3, 6, 6, dtype=torch.float64)


class Layer(nn.Module):
    """A convolution, after which a function does what is to be tried."""

    def __init__(self, function: Callable[[Layer, torch.Tensor], Any]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.function = function
        self.kept: Any = None

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self, self.conv(x))


class Through(nn.Module):
    """What it gets, by a function."""

    def __init__(self, function: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x)


class KeepsItsView(nn.Module):
    """Puts out a view of what it gets, and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: Any = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.kept = x.transpose(2, 3)
        return self.kept


class Net(nn.Module):
    """stem → layer → two tensors of eight channels, of which one goes deeper and one is a skip."""

    def __init__(self, layer: nn.Module, use: Callable[[Net, torch.Tensor], Any]) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.stem = nn.Conv2d(3, 8, 3, padding=1)
            self.layer = layer
            for conv in layer.children():
                conv.reset_parameters()
            self.deep, self.join = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(16, 8, 3, padding=1)
            self.fc = nn.Linear(8, 4)
        self.use = use

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, skip = self.use(self, torch.tanh(self.stem(x)))
        y = torch.tanh(self.join(torch.cat([torch.tanh(self.deep(y)), skip], 1)))
        return self.fc(y.mean((2, 3)))


def keeps(how: Callable[[torch.Tensor], Any] = lambda y: y) -> Layer:
    def function(layer: Layer, y: torch.Tensor) -> torch.Tensor:
        layer.kept = how(y)
        return y

    return Layer(function)


def transposed(layer: Layer, y: torch.Tensor) -> torch.Tensor:
    layer.kept = y.transpose(2, 3)
    return layer.kept


def hooked() -> Layer:
    """As fastai's DynamicUnet: a hook of the model's own keeps what the layer puts out."""
    layer = Layer(lambda _, y: torch.tanh(y))

    def keep(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        layer.kept = output

    layer.register_forward_hook(keep)
    return layer


def derived_in_a_hook() -> Layer:
    layer = Layer(lambda _, y: torch.tanh(y))

    def keep(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        layer.kept = output**2

    layer.register_forward_hook(keep)
    return layer


def both(net: Net, x: torch.Tensor) -> Any:
    return net.layer(x), net.layer.kept


def of_tuple(net: Net, x: torch.Tensor) -> Any:
    return net.layer(x)[:2]


def then(change: Callable[[torch.Tensor], Any]) -> Callable[[Net, torch.Tensor], Any]:
    """The layer's tensor is changed in place, and used with what was kept of it, or with the layer's input."""

    def use(net: Net, x: torch.Tensor) -> Any:
        x = x.clone()
        y = net.layer(x)
        kept = getattr(net.layer, "kept", None)
        change(y)
        return y if y.shape[1] == 8 else x, x if kept is None else kept

    return use


def in_place(y: torch.Tensor) -> None:
    y.add_(0.1).mul_(1.5).relu_()


KEPT: Mapping[str, Callable[[], Net]] = {
    "on itself": lambda: Net(keeps(), both),
    "in a list": lambda: Net(keeps(lambda y: [y]), lambda n, x: (n.layer(x), n.layer.kept[0])),
    "in a dictionary of a dictionary": lambda: Net(
        keeps(lambda y: {"a": {"b": y}}), lambda n, x: (n.layer(x), n.layer.kept["a"]["b"])
    ),
    "in a closure": lambda: Net(keeps(lambda y: lambda: y), lambda n, x: (n.layer(x), n.layer.kept())),
    "by a hook": lambda: Net(hooked(), both),
    "returned twice": lambda: Net(Layer(lambda _, y: (y, y)), of_tuple),
    "then written into": lambda: Net(keeps(), then(in_place)),
    "a view that is put out": lambda: Net(Layer(transposed), both),
    "a view that is put out, then written into": lambda: Net(Layer(transposed), then(in_place)),
    "a view": lambda: Net(keeps(lambda y: y[:, :]), both),
}
"""Kept, or used twice, is the layer's own tensor or a view of it."""

MADE: Mapping[str, Callable[[], Net]] = {
    "kept": lambda: Net(keeps(lambda y: y.abs()), both),
    "by a hook": lambda: Net(derived_in_a_hook(), both),
    "put out": lambda: Net(Layer(lambda _, y: (y, y.abs())), of_tuple),
    "put out, and the rest unused": lambda: Net(
        Layer(lambda _, y: (y, y.abs())), lambda n, x: 2 * (n.layer(x)[1],)
    ),
    "in a nested output": lambda: Net(
        Layer(lambda _, y: {"y": y, "more": [None, {"z": y * 2}]}),
        lambda n, x: (lambda out: (out["y"], out["more"][1]["z"]))(n.layer(x)),
    ),
}
"""Something else is made of the layer's tensor before that is put out."""

SHARED: Mapping[str, Callable[[], Net]] = {
    "an identity, then in place": lambda: Net(nn.Identity(), then(in_place)),
    "an identity, then a function in place": lambda: Net(
        nn.Identity(), then(lambda y: functional.relu_(y.mul_(2)))
    ),
    "dropout, then in place": lambda: Net(nn.Dropout(), then(in_place)),
    "half of the channels, then in place": lambda: Net(Through(lambda x: x[:, :4]), then(in_place)),
}
"""The layer puts out its own input, or a part of that, and the model writes into it and goes on with the input."""

OTHERS: Mapping[str, Callable[[], Net]] = {
    "a permuted copy beside a residual": lambda: Net(
        Through(lambda x: x.transpose(2, 3)), lambda n, x: (n.layer(x), x)
    ),
    "a permuted copy that is kept, beside a residual": lambda: Net(
        KeepsItsView(), lambda n, x: (n.layer(x), n.layer.kept + x)
    ),
    "one of two views": lambda: Net(
        Through(lambda x: torch.cat([x, -x], 1).chunk(2, 1)), lambda n, x: n.layer(x)
    ),
}
"""Others share its memory without having anything to do with it."""


def named(cases: Mapping[str, Callable[[], Net]]) -> Any:
    return pytest.mark.parametrize("make", cases.values(), ids=cases.keys())


def first(output: Any) -> torch.Tensor:
    if isinstance(output, torch.Tensor):
        return output
    return first(next(iter(output.values() if isinstance(output, dict) else output)))


def made(make: Callable[[], Net]) -> Net:
    return make().double().eval()


def by_autograd(model: Net, c: int) -> torch.Tensor:
    """Grad-CAM on a graph from the input on, with nothing replaced."""
    seen: list[Any] = []

    def look(_module: nn.Module, _inputs: Any, output: Any) -> None:
        tensor = first(output)
        seen[:] = [tensor.detach().clone(), get_gradient_edge(tensor)]

    handle = model.layer.register_forward_hook(look)
    score = model(X.clone().requires_grad_())[:, c].sum()
    handle.remove()
    A, edge = seen
    (gradient,) = torch.autograd.grad(score, [edge])
    return (gradient.mean((2, 3), keepdim=True) * A).sum(1)


def altered(
    model: nn.Module,
    alter: Callable[[torch.Tensor], Any],
    name: str = "layer",
    x: torch.Tensor = X,
    *,
    in_memory: bool = True,
) -> torch.Tensor:
    """The model's output with the layer's output altered in its memory, or replaced."""

    def change(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        if not in_memory:
            output = output.clone()
        alter(first(output))
        return output

    handle = model.get_submodule(name).register_forward_hook(change)
    with torch.no_grad():
        found = model(x.clone())
    handle.remove()
    return found


def activations(model: nn.Module, name: str = "layer", x: torch.Tensor = X) -> torch.Tensor:
    kept: list[torch.Tensor] = []
    altered(model, lambda a: kept.append(a.clone()), name, x)
    return kept[-1]


def by_brute_force(model: nn.Module, c: int, name: str = "layer", x: torch.Tensor = X) -> torch.Tensor:
    """Grad-CAM by central differences: a little more of one channel everywhere."""
    A, step = activations(model, name, x), 1e-5
    slopes = [
        altered(model, lambda a, k=k: a[:, k].add_(step), name, x)
        - altered(model, lambda a, k=k: a[:, k].sub_(step), name, x)
        for k in range(A.shape[1])
    ]
    weights = torch.stack(slopes, 2)[:, c] / (2 * step * A[0, 0].numel())
    return (weights[..., None, None] * A).sum(1)


def ablation_cam(model: Net, c: int, *, in_memory: bool = True) -> torch.Tensor:
    A, full = activations(model), model(X)[:, c].detach()
    found = torch.zeros_like(A[:, 0])
    for k in range(A.shape[1]):
        without = altered(model, lambda a, k=k: a[:, k].zero_(), in_memory=in_memory)[:, c]
        found += ((full - without) / full.abs())[:, None, None] * A[:, k]
    return found


def check_grad_cam(model: Net, expected: torch.Tensor, tolerance: float) -> None:
    """Alone and beside an earlier layer, for the first call and the next; and the score is the model's own."""
    with torch.no_grad():
        plain = model(X)
    explainer = camscope.Explainer(model, grid=(6, 6))
    for _ in range(2):
        for layers in ("layer", ["stem", "layer"]):
            e = explainer(X, layers=layers, targets=1)
            torch.testing.assert_close(e.maps(layer="layer")[:, 0], expected, rtol=tolerance, atol=tolerance)
            assert torch.equal(e.logits, plain)
    assert torch.equal(model(X), plain)


@named({**KEPT, **MADE, **OTHERS})
def test_the_map_is_of_all_uses_whether_or_not_an_earlier_layer_is_asked_for(make):
    model = made(make)
    if make is KEPT["a view that is put out, then written into"]:  # of this autograd cannot tell
        check_grad_cam(model, by_brute_force(model, 1), 1e-8)
    else:
        check_grad_cam(model, by_autograd(model, 1), 1e-12)


@named(SHARED)
def test_what_is_written_into_shared_memory_reaches_all_that_see_it(make):
    model = made(make)
    check_grad_cam(model, by_brute_force(model, 1), 1e-8)


@named({**KEPT, **SHARED})
def test_re_runs_reach_all_uses_too(make):
    model = made(make)
    expected = ablation_cam(model, 1)
    explainer = camscope.Explainer(model, grid=(6, 6))
    given = X.clone()
    for _ in range(2):
        found = explainer(given, layers="layer", targets=1, methods="ablationcam").maps()[:, 0]
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert torch.equal(given, X)


def test_re_runs_leave_alone_what_only_lies_in_the_same_memory():
    model = made(OTHERS["a permuted copy beside a residual"])
    found = camscope.explain(model, X, layers="layer", targets=1, methods="ablationcam", grid=(6, 6)).maps()[
        :, 0
    ]
    torch.testing.assert_close(found, ablation_cam(model, 1, in_memory=False), rtol=1e-9, atol=1e-12)


@named(MADE)
def test_re_runs_that_would_miss_what_was_made_already_are_refused(make):
    explainer = camscope.Explainer(made(make), grid=(6, 6))
    for _ in range(2):
        with pytest.raises(
            camscope.LayerError, match=r"'layer' makes something else from its output.*gradcam"
        ):
            explainer(X, layers="layer", targets=1, methods="ablationcam")


def test_a_plan_holds_where_a_hook_of_the_models_own_keeps_the_output():
    e = camscope.explain(made(KEPT["by a hook"]), X, layers="layer", targets=1, methods="ablationcam")
    assert not e.notes


def test_the_users_input_is_not_written_into_where_an_identity_puts_it_out():
    """Where it is not a view of anything: what is given is what the layer puts out."""
    model = nn.Sequential(nn.Identity(), nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).double()
    x = X.clone()
    layer = TorchAdapter(model).layer(Batch((x,)), "0")
    whole = Plan(layer, (), 0, whole=True)
    with torch.no_grad(), replaced(model, whole, Kept(inputs=x), 0, 2, torch.zeros_like):
        found = model(x)
    assert torch.equal(x, X)
    torch.testing.assert_close(found[0], model[1].bias)


def test_the_batch_is_not_even_put_on_a_graph():
    model = nn.Sequential(nn.Identity(), nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    adapter = TorchAdapter(model)
    given = adapter.batch(Batch((batch(1, 3, 8, 8),)))
    layer = adapter.layer(given, "0")
    with adapter.observe(given, {layer: frozenset({Need.GRADIENTS})}) as seen:
        assert seen.sources[layer].requires_grad
    assert not given.x.requires_grad


def test_a_layer_reaches_the_score_also_by_what_it_has_made_of_its_output():
    adapter = TorchAdapter(made(MADE["put out, and the rest unused"]))
    given = Batch((X,))
    assert adapter.reaches(given, [adapter.layer(given, "layer")]) == [True]


class DenseNetLike(nn.Module):
    """Ends as DenseNet, by a ReLU as a function; a second output uses the features without it."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.stem, self.features = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 8, 3)
            self.fc, self.other = nn.Linear(8, 4), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.features(torch.tanh(self.stem(x)))
        pooled = functional.relu(features).mean((2, 3))
        return self.fc(pooled), self.other(features.mean((2, 3)))


def test_a_relu_that_is_recorded_for_the_model_changes_nothing_for_others():
    """The negative features are still there, and what is sent back to them reaches the layers before."""
    model = DenseNetLike().double().eval()

    def of_other(out: Any) -> torch.Tensor:
        return out[1][:, 2]

    explainer = camscope.Explainer(model, output=0)
    alone = explainer(X, layers="stem", targets=of_other)
    beside = explainer(X, layers=["stem", "features+relu"], targets=of_other)
    torch.testing.assert_close(beside.scores[:, 0], model(X)[1][:, 2].detach())
    torch.testing.assert_close(beside.maps(layer="stem"), alone.maps(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", [MADE["kept"], SHARED["half of the channels, then in place"]])
def test_a_model_that_draws_random_numbers_draws_the_same_where_it_is_run_again_to_look(make):
    model = made(make)
    model.stem = nn.Sequential(model.stem, Noisy())
    explainer = camscope.Explainer(model, grid=(6, 6))
    maps = []
    for _ in range(2):
        torch.manual_seed(3)
        maps.append(explainer(X, layers="layer", targets=1).maps())
    assert torch.equal(*maps)


# ---------------------------------------------------------------------- many little networks


STEPS: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu_": lambda x: x.add_(0.05).relu_(),
    "functional, in place": lambda x: functional.leaky_relu_(x.sub_(0.03), 0.2),
    "add_": lambda x: x.add_(0.3),
    "half in place": lambda x: (x[:, :2].mul_(1.5), x)[1],
    "split in place": lambda x: ([part.add_(0.1) for part in x.narrow(1, 0, 2).unbind(1)], x)[1],
    "view": lambda x: x.transpose(2, 3),
    "permuted": lambda x: x.permute(0, 2, 3, 1).tanh().permute(0, 3, 1, 2),
    "residual": lambda x: x + x.flip(1),
    "residual in place": lambda x: x.add_(x.flip(2)),
    "index": lambda x: x[:, [1, 0, 3, 2]],
}


class Step(nn.Module):
    """One of the steps, on what it gets or on something it has made of it; it may keep its output."""

    def __init__(self, name: str, own: bool, kept: list[torch.Tensor]) -> None:
        super().__init__()
        self.name, self.own, self.kept = name, own, kept

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = STEPS[self.name](x * 1.1 if self.own else x)
        self.kept.append(y)
        return y


class Random(nn.Module):
    """A chain of steps and identities; what they keep is used at the end."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def draw(count: int) -> int:
            return int(torch.randint(count, (), generator=generator))

        self.kept: list[torch.Tensor] = []
        self.uses_kept = bool(draw(2))
        names = list(STEPS)
        self.stem = nn.Conv2d(3, 4, 1)
        self.steps = nn.ModuleList(
            nn.Identity() if draw(4) == 0 else Step(names[draw(len(names))], bool(draw(2)), self.kept)
            for _ in range(5)
        )
        self.fc = nn.Linear(4, 3)
        for i, parameter in enumerate(self.parameters()):
            values = torch.randn(
                parameter.shape, generator=torch.Generator().manual_seed(i), dtype=torch.float64
            )
            parameter.data = values

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.kept.clear()
        x = self.stem(x)
        for step in self.steps:
            x = step(x)
        if self.uses_kept:
            x = x + sum(torch.tanh(y).mean((2, 3), keepdim=True) for y in self.kept)
        return self.fc(torch.tanh(x / 10).mean((2, 3)))


def can_be_differentiated(model: nn.Module) -> bool:
    """Whether PyTorch can, without us: not if parts of a split are written into, or what a ReLU needs again."""
    try:
        model(X[:, :, :4, :4].clone().requires_grad_()).sum().backward()
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize("seed", range(40))
def test_the_score_is_that_of_the_model_without_us_and_the_map_that_of_the_memory(seed):
    model = Random(seed).eval()
    given = X[:, :, :4, :4].clone()
    with torch.no_grad():
        expected = model(given.clone())
    layers = ["stem", *(f"steps.{i}" for i in range(5))]
    methods = ["mean-activation", "gradcam"] if can_be_differentiated(model) else ["mean-activation"]
    for name in layers:
        e = camscope.explain(model, given, layers=name, targets=1, methods=methods, grid=(4, 4))
        assert torch.equal(e.logits, expected), name
        views: list[bool] = []
        altered(model, lambda a, views=views: views.append(a._is_view()), name, given)
        if "gradcam" in methods and not views[0]:  # whose gradient is not that of all its memory
            slopes = by_brute_force(model, 1, name, given)
            torch.testing.assert_close(e.maps("gradcam")[:, 0], slopes, rtol=1e-6, atol=1e-8)
    with torch.no_grad(), camscope.record(model, layers):
        assert torch.equal(model(given.clone()), expected)
    assert torch.equal(given, X[:, :, :4, :4])
