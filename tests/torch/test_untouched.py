"""The model leaves as it came, whatever happens (oracle 12, LESSONS trap 9), in every state it can be in."""

from __future__ import annotations

import copy
import gc
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

import camscope
from tests.torch.nets import (
    ANYWHERE,
    HAND_MADE,
    METHODS,
    Apply,
    Backwards,
    Net,
    Noisy,
    batch,
    case_name,
    gap_head,
    linear,
    mlp_head,
)

X = batch(2, 3, 16, 16)


def lived_in(model: nn.Module) -> nn.Module:
    """A model in the middle of somebody's work: mixed modes, some weights frozen, some with a gradient."""
    model.train()
    model.body.eval()
    model.stem[1].eval()
    for parameter in model.stem.parameters():
        parameter.requires_grad_(False)
    for parameter in model.body[0].parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    return model


@pytest.fixture(params=["linear head", "other head"])
def model(request) -> nn.Module:
    return lived_in(Net(gap_head() if request.param == "linear head" else mlp_head(16)))


class TroubleError(Exception):
    pass


def trouble(*_: object) -> torch.Tensor:
    raise TroubleError


# ---------------------------------------------------------------------- left as it came


@pytest.mark.parametrize("method", METHODS)
def test_every_method_leaves_the_model_as_it_came(method, untouched):
    model = lived_in(Net())
    with untouched(model):
        camscope.explain(
            model, X, methods=method, targets=[0, -camscope.Class(1), camscope.TopK(2, "probability")]
        )


def test_everything_at_once_leaves_the_model_as_it_came(model, untouched):
    with untouched(model):
        explainer = camscope.Explainer(model)
        explainer(X, methods=ANYWHERE, layers=["stem", "body"], targets=camscope.AllClasses(), channels=3)
        explainer.layers(X)


def test_recording_leaves_the_model_as_it_came(model, untouched):
    with untouched(model.eval()), camscope.record(model, ["stem", "body"]) as seen:
        with torch.no_grad():
            model(X)
        assert seen["body"].activations.shape == (2, 12, 4, 4)


@pytest.mark.parametrize("where", ["stem", "head"])
def test_a_forward_that_raises_midway_leaves_the_model_as_it_came(model, where, untouched):
    explainer = camscope.Explainer(model)
    explainer(X, methods=ANYWHERE)
    if where == "stem":
        model.stem.append(Apply(trouble))
    else:
        model.head.append(Apply(trouble))
    with untouched(model):
        for attempt in (explainer, camscope.Explainer(model)):  # knowing the model already, and not yet
            with pytest.raises(TroubleError):
                attempt(X, methods=ANYWHERE, layers="body")
    with (
        untouched(model.eval()),
        pytest.raises(TroubleError),
        camscope.record(model, ["stem", "body"]),
        torch.no_grad(),
    ):
        model(X)


def test_a_target_that_raises_leaves_the_model_as_it_came(model, untouched):
    with untouched(model), pytest.raises(camscope.TargetError) as caught:
        camscope.explain(model, X, methods=HAND_MADE, targets=[0, trouble])
    assert isinstance(caught.value.__cause__, TroubleError)


def test_a_method_that_raises_leaves_the_model_as_it_came(model, untouched):
    import dataclasses

    from camscope.methods import get_method

    broken = dataclasses.replace(get_method("gradcam"), base="broken", function=trouble)
    with untouched(model), pytest.raises(TroubleError):
        camscope.explain(model, X, methods=["hirescam", broken])


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ({"layers": "bdoy"}, camscope.LayerError),
        ({"layers": "head"}, camscope.LayerError),
        ({"methods": "gradcan"}, camscope.MethodError),
        ({"targets": 99}, camscope.TargetError),
        ({"targets": camscope.PerImage([1])}, camscope.TargetError),
        ({"methods": "cam", "layers": "stem"}, camscope.MethodError),
    ],
    ids=case_name,
)
def test_a_call_that_is_refused_leaves_the_model_as_it_came(model, call, error, untouched):
    with untouched(model), pytest.raises(error):
        camscope.explain(model, X, **call)


def test_a_backward_that_raises_leaves_the_model_as_it_came(untouched):
    class Refuses(torch.autograd.Function):
        @staticmethod
        def forward(_ctx, x):
            return x.clone()

        @staticmethod
        def backward(_ctx, _gradient):
            raise TroubleError

    model = lived_in(Net(nn.Sequential(Apply(Refuses.apply), *mlp_head(16))))
    with untouched(model), pytest.raises(TroubleError):
        camscope.explain(model, X, layers="body")


def test_batch_norm_that_would_learn_does_not(untouched):
    model = Net().train()
    with untouched(model):
        camscope.explain(model, X, methods=METHODS)
    assert model.body[1].num_batches_tracked == 0


def test_random_numbers_drawn_in_eval_do_not_advance_the_users_random_state(untouched):
    model = Net(nn.Sequential(Noisy(), *gap_head()))
    torch.manual_seed(5)
    with untouched(model):
        camscope.explain(model, X, methods=ANYWHERE, layers="body")


def test_the_users_own_hooks_stay_and_run(untouched):
    model = Net()
    ran = []
    model.body.register_forward_hook(lambda *_: ran.append("forward"))
    model.body.register_forward_pre_hook(lambda *_: ran.append("before"))
    with untouched(model):
        camscope.explain(model, X)
    assert {"forward", "before"} <= set(ran)


def test_training_goes_on_as_if_nothing_had_happened():
    def train(explain: bool) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = Net().train()
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for _ in range(3):
            loss = model(X).square().sum()
            if explain:
                camscope.explain(model, X, methods=METHODS)
            loss.backward()  # the graph of before the explanation still works
            if explain:
                camscope.explain(model, X, methods=HAND_MADE, layers="stem")
            optimiser.step()
            optimiser.zero_grad()
        return model.state_dict()

    with_it, without = train(explain=True), train(explain=False)
    assert all(torch.equal(with_it[key], without[key]) for key in without)


# ---------------------------------------------------------------------- the same map in every state


@pytest.fixture(scope="module")
def plain() -> camscope.Explanation:
    return explained(Net(mlp_head(16)).eval())


def explained(model: nn.Module, x: torch.Tensor = X) -> camscope.Explanation:
    return camscope.explain(model, x, methods=ANYWHERE, layers=["stem", "body"], targets=[1, 3])


def assert_same(e: camscope.Explanation, expected: camscope.Explanation) -> None:
    assert e.raw.keys() == expected.raw.keys()
    for key, maps in e.raw.items():
        torch.testing.assert_close(maps, expected.raw[key], rtol=1e-5, atol=1e-7, msg=str(key))
    torch.testing.assert_close(e.scores, expected.scores)


def frozen(model: nn.Module) -> nn.Module:
    return model.requires_grad_(False)


@pytest.mark.parametrize("state", [nn.Module.train, nn.Module.eval, frozen], ids=["train", "eval", "frozen"])
def test_the_map_is_the_same_in_train_mode_and_frozen(state, plain, untouched):
    model = state(Net(mlp_head(16)))
    with untouched(model):
        assert_same(explained(model), plain)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("inside", [True, False], ids=["input made inside", "input made outside"])
def test_the_map_is_the_same_under_no_grad_and_inference_mode(mode, inside, plain, untouched):
    model = Net(mlp_head(16))
    with mode(), untouched(model):
        e = explained(model, X.clone() if inside else X)
        assert not e.maps("gradcam", "body").requires_grad
    assert_same(e, plain)


def test_a_model_made_under_no_grad_is_explained_and_one_made_under_inference_mode_is_refused(
    plain, untouched
):
    with torch.no_grad():
        assert_same(explained(Net(mlp_head(16))), plain)
    with torch.inference_mode():
        model = Net(mlp_head(16))
    with (
        untouched(model),
        pytest.raises(camscope.ModelError, match=r"under torch.inference_mode\(\).*Build it outside"),
    ):
        explained(model)


def test_an_input_that_asks_for_a_gradient_gets_none(plain):
    x = X.clone().requires_grad_()
    assert_same(explained(Net(mlp_head(16)), x), plain)
    assert x.grad is None


def test_the_users_input_is_not_written_to():
    x = X.clone()
    camscope.explain(Net(), x, methods=METHODS)
    assert torch.equal(x, X)


def test_a_model_that_freezes_its_backbone_with_no_grad_is_explained(plain):
    class Frozen(Net):
        def forward(self, x):
            with torch.no_grad():
                features = self.body(self.stem(x))
            return self.head(features)

    assert_same(explained(Frozen(mlp_head(16))), plain)


# ---------------------------------------------------------------------- wrappers


def test_data_parallel_is_looked_through(plain, untouched):
    model = nn.DataParallel(Net(mlp_head(16)).train())
    with untouched(model):
        assert_same(explained(model), plain)
    e = camscope.explain(model, X, layers="module.body", targets=[1, 3])
    assert torch.equal(e.maps(), plain.maps("gradcam", "body"))


def test_distributed_data_parallel_is_looked_through(plain, untouched, tmp_path: Path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'meet'}", rank=0, world_size=1)
    try:
        model = nn.parallel.DistributedDataParallel(Net(mlp_head(16)).train())
        with untouched(model):
            assert_same(explained(model), plain)
        model(X).sum().backward()  # still trains
        assert model.module.stem[0].weight.grad is not None
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
def test_a_compiled_model_is_looked_through(plain, untouched):
    inner = Net(mlp_head(16)).eval()
    model = torch.compile(inner, backend="eager")
    expected = model(X).detach()
    with untouched(inner):
        assert_same(explained(model), plain)
    torch.testing.assert_close(model(X), expected)  # and goes on, compiled


@pytest.mark.slow
def test_a_model_compiled_in_place_is_explained_eagerly(plain, untouched):
    model = Net(mlp_head(16)).eval()
    model.compile(backend="eager")
    model.body.compile(backend="eager")
    expected = model(X).detach()
    with untouched(model):
        assert_same(explained(model), plain)
    torch.testing.assert_close(model(X), expected)


@pytest.mark.slow
def test_a_compiled_part_of_a_model_is_looked_through(plain):
    model = Net(mlp_head(16)).eval()
    model.body = torch.compile(model.body, backend="eager")
    model(X)
    e = camscope.explain(model, X, layers="body", targets=[1, 3])
    torch.testing.assert_close(e.maps(), plain.maps("gradcam", "body"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "make", [torch.jit.script, lambda m: torch.jit.trace(m, X)], ids=["scripted", "traced"]
)
def test_torchscript_is_refused_with_the_way_out(make):
    model = make(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear(4, 3, 0)).eval()
    )
    for attempt in (camscope.Explainer, lambda m: camscope.record(m, ["0"]).__enter__()):
        with pytest.raises(camscope.ModelError, match=r"TorchScript.*load_state_dict"):
            attempt(model)


# ---------------------------------------------------------------------- memory


A_THOUSAND_CALLS = """
import gc, os
from pathlib import Path

import pytest
import torch

import camscope
from tests.torch.nets import Net, batch, mlp_head

model = Net(mlp_head(256)).eval()
torch.set_num_threads(1)
explainer = camscope.Explainer(model)
x = batch(1, 3, 64, 64)


def trouble(*_):
    raise KeyError


def work(calls):
    for i in range(calls):
        explainer(x, methods=["gradcam", "mean-activation"], layers=["stem", "body"], targets=i % 5)
        if i % 5 == 0:
            with pytest.raises(camscope.TargetError):
                explainer(x, targets=trouble, layers="stem")
            with pytest.raises(camscope.LayerError):
                explainer(x, layers="setm")
            with camscope.record(model, ["stem"]):
                model(x).sum().backward()
            with pytest.raises(KeyError), camscope.record(model, ["stem"]):
                trouble(model(x))
        if i % 100 == 0:
            camscope.Explainer(model)(x)


def held():
    gc.collect()
    tensors = sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())
    statm = Path("/proc/self/statm")
    pages = int(statm.read_text().split()[1]) if statm.exists() else 0
    return tensors, pages * os.sysconf("SC_PAGE_SIZE")


work(101)
before = held()
work(1000)
after = held()
assert after[0] <= before[0], f"{after[0] - before[0]} tensors more"
assert after[1] - before[1] < 8 * 2**20, f"{(after[1] - before[1]) / 2**20} MiB more"
"""


@pytest.mark.slow
def test_memory_is_flat_over_a_thousand_calls_also_with_errors():
    """An activation here is 32 KB: one kept per call would be 32 MB. In a process of its own, so nothing else grows."""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", A_THOUSAND_CALLS], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_maps_hold_neither_graph_nor_model():
    import weakref

    model = Net(mlp_head(16))
    kept = weakref.ref(model)
    e = camscope.explain(model, X, methods=ANYWHERE, layers=["stem", "body"], channels=2)
    assert all(maps.grad_fn is None and not maps.requires_grad for maps in e.raw.values())
    assert not e.scores.requires_grad
    assert not e.logits.requires_grad
    del model
    gc.collect()
    assert kept() is None


def test_a_copy_made_after_an_explanation_is_clean():
    model = Net()
    camscope.explain(model, X)
    torch.testing.assert_close(copy.deepcopy(model).eval()(X), model.eval()(X))


def test_the_backward_counter_of_these_tests_counts():
    counter = Backwards()
    counter(X.clone().requires_grad_()).sum().backward()
    assert (counter.forwards, counter.graphs, counter.backwards) == (1, 1, 1)
