"""Tensors without values, or whose values lie in memory in another way: read rightly, or refused with what to do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import camscope
from tests.torch.nets import Net, batch
from tests.torch.test_several_inputs import AGE, Both, X, model

ages = AGE.numpy()


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (lambda x: x.to("meta"), "on the device 'meta', so it has a shape but no values"),
        (lambda x: x.to_sparse(), r"sparse tensor \(torch.sparse_coo\). Give x.to_dense\(\)"),
        (lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.quint8), r"quantised .* Give x.dequantize\(\)"),
        (lambda x: torch.nested.nested_tensor(list(x)), "nested tensor, whose images differ in size"),
        (lambda x: x.to(torch.complex64), "torch.complex64"),
    ],
    ids=["meta", "sparse", "quantised", "nested", "complex"],
)
def test_an_input_without_values_one_by_one_is_refused(x, words):
    with pytest.raises(camscope.InputError, match=words):
        camscope.explain(Net(), x(batch(2, 3, 16, 16)))


def lazy() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3)).eval()


def test_a_lazy_model_is_to_be_run_first():
    model, x = lazy(), batch(1, 3, 8, 8)
    with pytest.raises(
        camscope.ModelError, match=r"3.weight has no shape yet.*LazyLinear.*Run the model once"
    ):
        camscope.Explainer(model)
    model(x)
    assert camscope.explain(model, x).maps().shape == (1, 1, 6, 6)


def test_a_model_on_meta_is_refused_naming_the_weight():
    model = Net()
    model.head[3].to("meta")
    with pytest.raises(camscope.ModelError, match=r"head.3.weight is on the device 'meta'.*load_state_dict"):
        camscope.Explainer(model)


def test_layers_of_a_model_on_meta_can_still_be_recorded():
    model = Net().to("meta")
    with camscope.record(model, ["body"]) as seen:
        model(torch.zeros(1, 3, 16, 16, device="meta"))
    assert seen["body"].activations.shape == (1, 12, 4, 4)


@pytest.mark.parametrize(
    "given",
    [
        ages[::-1][::-1],
        np.repeat(ages, 2, axis=1)[:, ::-2],
        ages.astype(">f8"),
        ages.astype(np.longdouble),
        np.asfortranarray(ages),
    ],
    ids=["turned twice", "turned", "other byte order", "long double", "columns first"],
)
@pytest.mark.parametrize("by", ["position", "keyword"])
def test_a_second_input_may_lie_in_memory_in_any_way(given, by):
    inputs = (X, given) if by == "position" else {"image": X, "age": given}
    found = camscope.explain(model(), inputs, targets=1)
    assert torch.equal(found.maps(), camscope.explain(model(), (X, AGE), targets=1).maps())


def test_a_scalar_input_stays_one():
    class Scaled(Both):
        def forward(self, image: torch.Tensor, age: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
            assert scale.ndim == 0
            return super().forward(image, age, scale)

    scaled = Scaled().double().eval()
    found = camscope.explain(scaled, (X, AGE, np.array(2.0, dtype=">f4")), targets=1)
    assert torch.equal(found.logits, scaled(X, AGE, torch.tensor(2.0, dtype=torch.float64)).detach())


def test_a_sparse_second_input_is_given_on():
    class Graph(Net):
        def forward(self, x: torch.Tensor, neighbours: torch.Tensor) -> torch.Tensor:
            return super().forward(x) @ neighbours.to_dense()

    neighbours = torch.eye(5).roll(1, 0)
    found = camscope.explain(Graph().eval(), (batch(1, 3, 16, 16), neighbours.to_sparse()), targets=1)
    assert torch.equal(found.logits, Net().eval()(batch(1, 3, 16, 16)).detach() @ neighbours)


@pytest.mark.parametrize(
    "given", [ages.astype(object), ages.astype(np.complex64)], ids=["objects", "complex"]
)
def test_a_second_input_that_the_model_does_not_take_is_said_to_be(given):
    with pytest.raises(camscope.InputError, match="does not run on these inputs"):
        camscope.explain(model(), (X, given))
