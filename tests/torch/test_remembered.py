"""What is known about a model: bounded, however many sizes come, and forgotten when a module is replaced."""

from __future__ import annotations

import types

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import camscope
from camscope.models.batch import Batch
from camscope.models.torch.hooks.copying import copied
from camscope.models.torch.hooks.read_by_forward import changed, settings
from camscope.models.torch.optimise import OptimisedAdapter
from camscope.models.torch.remembered import MOST, Remembered
from camscope.models.torch.zero_shot import CAPTIONS, Towers, ZeroShot
from tests.torch.nets import Net, batch, gap_head, linear, mlp_head

X = batch(2, 3, 16, 16)
METHODS = ["gradcam", "ablationcam", "reciprocam"]


def same(found: camscope.Explanation, fresh: camscope.Explanation) -> bool:
    return (
        found.layers == fresh.layers
        and torch.equal(found.logits, fresh.logits)
        and torch.equal(found.probabilities, fresh.probabilities)
        and all(torch.equal(maps, fresh.raw[key]) for key, maps in found.raw.items())
    )


# ---------------------------------------------------------------------- a module is replaced


@pytest.mark.parametrize(
    "head",
    [
        gap_head(9),
        mlp_head(16),
        nn.Sequential(*gap_head(), nn.Sigmoid()),
        nn.Sequential(*gap_head(), nn.Softmax(1)),
        nn.Sequential(nn.Conv2d(12, 6, 1), nn.GELU(), *gap_head(channels=6)),
    ],
    ids=["other count", "not linear", "sigmoid", "softmax", "a further layer"],
)
@pytest.mark.parametrize("optimised", [False, True])
def test_a_new_head_is_explained_as_it_is(head, optimised):
    model = Net()
    explainer = camscope.Explainer(model, optimised=optimised)
    explainer(X, methods=METHODS, targets=1)
    model.head = head.eval()
    found = explainer(X, methods=METHODS, targets=1)
    assert same(found, camscope.explain(model, X, methods=METHODS, targets=1, optimised=optimised))


def test_a_module_replaced_inside_the_head_is_noticed():
    model = Net()
    explainer = camscope.Explainer(model)
    explainer(X)
    model.head[3] = linear(12, 9, 3)
    assert same(explainer(X, targets=8), camscope.explain(model, X, targets=8))
    model.head.append(nn.Sigmoid())
    assert torch.allclose(explainer(X).probabilities, model.eval()(X))


def test_an_optimised_copy_is_made_anew_when_a_module_without_weights_is_replaced():
    model = Net()
    explainer = camscope.Explainer(model, optimised=True)
    explainer(X)
    model.body[2] = nn.Tanh()
    torch.testing.assert_close(explainer(X).logits, model.eval()(X).detach(), rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------------- another setting


class Set(nn.Module):
    """A net whose forward reads settings, and keeps what it has computed last."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.scale, self.parts = Net(), 1.0, {"first": {"weight": 1.0}}
        self.calls, self.kept = 0, None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.kept = self.net(x)
        return self.scale * self.parts["first"]["weight"] * self.kept


def other_forward(model: Set) -> None:
    model.forward = types.MethodType(lambda self, x: -self.net(x), model)


SETTINGS = {
    "a number": lambda model: setattr(model, "scale", -2.0),
    "one in a dictionary": lambda model: model.parts["first"].update(weight=-2.0),
    "a stride": lambda model: setattr(model.net.body[0], "stride", (1, 1)),
    "the forward": other_forward,
    "a hook": lambda model: model.net.head.register_forward_hook(lambda _m, _i, output: -output),
}


@pytest.mark.parametrize("change", SETTINGS.values(), ids=SETTINGS)
def test_an_optimised_copy_is_made_anew_when_a_setting_is_another(change):
    model = Set().eval()
    model(X)  # what it keeps now is on a graph
    explainer = camscope.Explainer(model, optimised=True)
    explainer(X, layers="net.stem.2")
    change(model)
    found = explainer(X, layers="net.stem.2")
    torch.testing.assert_close(found.logits, model(X).detach(), rtol=1e-4, atol=1e-5)
    assert same(found, camscope.explain(model, X, layers="net.stem.2", optimised=True))


def test_what_the_forward_itself_writes_does_not_make_the_copy_anew():
    model = Set().eval()
    adapter = OptimisedAdapter(model)
    given = Batch((X,), {})
    first = adapter._copy(given)
    model(X)
    assert adapter._copy(given) is first
    model.scale = 3.0
    assert adapter._copy(given) is not first


class Factor:
    """What a model may be given in place of a number."""

    def __init__(self, value: float) -> None:
        self.value = value


def test_a_setting_in_place_of_one_that_is_gone_is_another_though_it_lies_where_that_lay():
    model = Set()
    model.factor = Factor(1.0)
    before, place = settings(model), id(model.factor)
    others = []
    while id(model.factor) != place or not others:
        model.factor = None
        others.append(model.factor)
        model.factor = Factor(2.0)
        if len(others) > 1000:
            pytest.skip("nothing was put where it lay")
    assert changed(before, settings(model)) == {(model, "factor")}
    assert not changed(settings(model), settings(model))


def test_numbers_written_into_a_tensor_that_a_module_keeps_are_another_setting():
    model = Set()
    model.table = [torch.ones(3)]
    before = settings(model)
    model.table[0][1] = 2
    assert changed(before, settings(model)) == {(model, "table")}
    before = settings(model)
    model.table.append(1)
    assert changed(before, settings(model)) == {(model, "table")}
    before = settings(model)
    del model.table
    assert changed(before, settings(model)) == {(model, "table")}


def test_what_is_kept_twice_is_kept_twice_in_a_copy_and_shares_nothing():
    model = Set()
    model(X)
    model.again = model.kept
    copy = copied(model, "do not.")
    assert copy.again is copy.kept
    assert copy.kept.data_ptr() != model.kept.data_ptr()
    assert torch.equal(copy.kept, model.kept)
    assert not copy.kept.requires_grad


# ---------------------------------------------------------------------- many sizes


def test_what_is_remembered_is_bounded_and_the_latest():
    remembered: Remembered[int] = Remembered(Net())
    found: list[int] = []

    def find(size: int) -> int:
        found.append(size)
        return size * 10

    for size in range(MOST + 5):
        assert remembered.get(size, lambda size=size: find(size)) == size * 10
        remembered.get(0, lambda: find(0))
    assert found == list(range(MOST + 5))  # 0 was asked for all the time
    remembered.get(MOST + 4, lambda: find(-1))
    remembered.get(1, lambda: find(-2))
    assert found[-1] == -2


@pytest.mark.parametrize("optimised", [False, True])
def test_an_explainer_that_sees_many_sizes_does_not_grow(optimised, monkeypatch):
    monkeypatch.setattr("camscope.models.torch.remembered.MOST", 3)
    explainer = camscope.Explainer(Net(), optimised=optimised)
    adapter = explainer._model.adapter
    for size in range(16, 22):
        explainer(batch(1, 3, 16, size), methods=["gradcam", "ablationcam"])
    caches = [
        value._found
        for home in (adapter, *([adapter._copied.adapter] if isinstance(adapter, OptimisedAdapter) else []))
        for owner in (home, home._layers, home._plans)
        for value in vars(owner).values()
        if isinstance(value, Remembered)
    ]
    assert len(caches) >= 5
    assert max(map(len, caches)) == 3


# ---------------------------------------------------------------------- weights that are made anew


def weight_norm(conv: nn.Module) -> None:
    with pytest.warns(FutureWarning):
        nn.utils.weight_norm(conv)


@pytest.mark.parametrize(
    "reparametrise",
    [
        weight_norm,
        nn.utils.spectral_norm,
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.spectral_norm,
        lambda conv: prune.l1_unstructured(conv, "weight", 0.3),
        lambda conv: prune.l1_unstructured(conv, "bias", 0.3),
    ],
    ids=["weight norm, old", "spectral norm, old", "weight norm", "spectral norm", "pruned", "pruned bias"],
)
def test_an_optimised_copy_of_weights_that_are_made_anew_at_each_call(reparametrise):
    model = Net()
    reparametrise(model.stem[0])
    plain = camscope.explain(model, X, targets=1)
    found = camscope.explain(model, X, targets=1, optimised=True)
    assert "folded into 1 convolutions" in found.provenance["optimised"]
    torch.testing.assert_close(found.maps(), plain.maps(), rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------------- captions


def test_encoded_captions_are_kept_for_later_calls_and_bounded(monkeypatch):
    monkeypatch.setattr("camscope.models.torch.zero_shot._MOST", 3)
    encoded: list[str] = []

    def of_texts(_model: nn.Module, texts: list[str]) -> torch.Tensor:
        encoded.extend(texts)
        return torch.tensor([[float(len(text)), 1.0] for text in texts])

    decoder = ZeroShot(Towers(lambda m, x: m(x)[:, :2], of_texts, lambda _, cosines: cosines, "multiclass"))
    model = Net()
    for texts in (["a", "bb"], ["bb", "ccc"], ["dddd"], ["dddd", "a"]):
        call = decoder.with_captions(model, Batch((X,)), texts)
        lengths = torch.tensor([[float(len(text)), 1.0] for text in texts])
        assert torch.allclose(call.kwargs[CAPTIONS].vectors, nn.functional.normalize(lengths, dim=-1))
        assert len(decoder._encoded) <= 3
    assert encoded == ["a", "bb", "ccc", "dddd", "a"]  # with the fourth there were too many
