"""Models that take more than one input: by position or keyword, each row with its image, whatever runs again."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import camscope
from camscope import PerImage
from camscope.models.batch import Batch
from tests.torch.nets import batch, linear, mlp_head

pytestmark = pytest.mark.filterwarnings("ignore::camscope.errors.CamscopeWarning")
X = batch(3, 3, 16, 16, dtype=torch.float64)
AGE = torch.tensor([[0.5], [-2.0], [1.5]], dtype=torch.float64)


class Both(nn.Module):
    """An image, and a number that opens and closes the channels of its features."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU())
            self.body = nn.Sequential(nn.Conv2d(6, 12, 3, 2, 1), nn.ReLU())
        self.gate = linear(1, 12, 3)
        self.head = mlp_head(16)

    def forward(self, image: torch.Tensor, age: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        return self.head(self.body(self.stem(image)) * self.gate(age).sigmoid()[..., None, None]) * scale


def model() -> Both:
    return Both().double().eval()


class For(nn.Module):
    """The same for one age, as a model of one input: what each image must come out as."""

    def __init__(self, both: Both, age: torch.Tensor) -> None:
        super().__init__()
        self.stem, self.body, self.both, self.age = both.stem, both.body, both, age

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.both(image, self.age.expand(len(image), 1))


METHODS = [
    "gradcam",
    "layercam",
    "ablationcam",
    "reciprocam",
    "scorecam(top=3)",
    "groupcam(groups=3)",
    "rise(n=6)",
    "opticam(steps=2)",
    "fullgrad",
    "guided-gradcam",
    "shapley",
    "smooth(gradcam, n=3)",
    "smooth(layercam, n=3, average=gradients)",
    "multiscale(gradcam, [1])",
    "augment(scorecam(top=3))",
    "path(gradcam, zero, 3)",
    "finer(gradcam)",
    "balanced(gradcam)",
]


@pytest.mark.parametrize("method", METHODS)
def test_every_row_goes_with_its_image_in_whatever_runs_again(method):
    both = model()
    e = camscope.explain(both, (X, AGE), methods=method, targets=[1, 4], layers="body", seed=2)
    for i in range(3):
        alone = For(both, AGE[i : i + 1]).eval()
        # a draw goes by the image's place in the batch, so each is explained in its place
        expected = camscope.explain(alone, X, methods=method, targets=[1, 4], layers="body", seed=2)
        torch.testing.assert_close(e.maps()[i], expected.maps()[i], rtol=1e-8, atol=1e-11)
        torch.testing.assert_close(e.scores[i], expected.scores[i])
    wrong = camscope.explain(
        For(both, AGE[1:2]).eval(), X, methods=method, targets=[1, 4], layers="body", seed=2
    )
    assert not torch.allclose(e.maps()[0], wrong.maps()[0], rtol=1e-3)


def test_by_position_and_by_keyword_are_the_same():
    both, call = model(), {"methods": "ablationcam", "targets": 1, "layers": "body"}
    expected = camscope.explain(both, (X, AGE, 2.0), **call)
    found = camscope.explain(both, {"scale": 2.0, "age": AGE, "image": X}, **call)
    assert torch.equal(found.maps(), expected.maps())
    assert not torch.allclose(found.scores, camscope.explain(both, (X, AGE), **call).scores)


def test_a_batch_is_its_images_one_by_one():
    both = model()
    together = camscope.explain(both, (X, AGE), methods="ablationcam", targets=PerImage([0, 1, 2]))
    for i in range(3):
        alone = camscope.explain(both, (X[i : i + 1], AGE[i : i + 1]), methods="ablationcam", targets=i)
        torch.testing.assert_close(alone.maps()[0], together.maps()[i])


class Pair(nn.Module):
    """Two images through the same layers: which of the calls is meant is which input is mapped."""

    def __init__(self) -> None:
        super().__init__()
        both = model()
        self.left, self.right, self.head = both.body, model().body, linear(24, 5, 1)
        self.stems = nn.ModuleList([both.stem, model().stem])

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        features = [self.left(self.stems[0](left)), self.right(self.stems[1](right))]
        return self.head(torch.cat([f.mean((2, 3)) for f in features], dim=1))


def test_the_input_that_maps_are_of_can_be_chosen():
    """The picture that a heatmap is laid on, and what methods mask, is the one that was named."""
    pair = Pair().double().eval()
    wide = batch(3, 3, 16, 24, seed=5, dtype=torch.float64)
    first = camscope.explain(pair, (X, wide), targets=1, layers="left")
    second = camscope.explain(
        pair, {"left": X, "right": wide}, targets=1, layers="right", explained_input="right"
    )
    assert first.heatmaps().shape[2:] == (16, 16)
    assert second.heatmaps().shape[2:] == (16, 24)
    masked = camscope.explain(pair, (X, wide), targets=1, methods="rise(n=4)", explained_input=1)
    assert masked.maps().shape[2:] == (16, 24)


def test_an_input_of_lists_and_plain_values_arrives_as_it_is():
    class Listed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.both = model()

        def forward(self, x: torch.Tensor, extra: dict) -> torch.Tensor:
            assert extra["name"] == "a"
            assert len(extra["ages"]) == 2
            assert all(len(age) == len(x) for age in extra["ages"])
            return self.both(x, sum(extra["ages"]))

    extra = {"name": "a", "ages": [AGE / 4, 3 * AGE / 4]}
    found = camscope.explain(
        Listed().eval(), (X, extra), methods="ablationcam", targets=1, layers="both.body"
    )
    expected = camscope.explain(model(), (X, AGE), methods="ablationcam", targets=1, layers="body")
    torch.testing.assert_close(found.maps(), expected.maps())


def test_inputs_come_to_the_models_precision_and_integers_stay():
    both = model()
    e = camscope.explain(both, (X.float(), AGE.float()), targets=1, layers="body")
    torch.testing.assert_close(
        e.scores, camscope.explain(both, (X, AGE), targets=1).scores, rtol=1e-5, atol=1e-5
    )

    class Looked(Both):
        def forward(self, image: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
            assert which.dtype == torch.int64
            return super().forward(image, AGE[which])

    looked = Looked().double().eval()
    looked.load_state_dict(both.state_dict())
    found = camscope.explain(looked, (X, torch.tensor([2, 0, 1])), targets=1, layers="body")
    expected = camscope.explain(both, (X, AGE[[2, 0, 1]]), targets=1, layers="body")
    torch.testing.assert_close(found.maps(), expected.maps())


def test_another_shape_of_another_input_is_another_way_through_the_model():
    """What was found out about the model for one is not taken for the other."""

    class Counts(Both):
        def forward(self, image: torch.Tensor, ages: torch.Tensor) -> torch.Tensor:
            x = self.body(self.stem(image))
            return self.head(torch.tanh(x) if ages.shape[1] > 1 else x)

    explainer = camscope.Explainer(Counts().double().eval())
    call = {"methods": "ablationcam", "targets": 1, "layers": "body"}
    one, two = explainer((X, AGE), **call), explainer((X, AGE.expand(-1, 2)), **call)
    assert not torch.allclose(one.maps(), two.maps())
    assert torch.equal(explainer((X, AGE), **call).maps(), one.maps())


class Switched(nn.Module):
    """Which part of it runs, switches decide."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = (nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()) for _ in range(2))
        self.heads = nn.ModuleList([linear(8, 4, seed) for seed in (1, 2)])

    def forward(self, x: torch.Tensor, early: bool = False, late: bool = False, **more: bool) -> torch.Tensor:
        features = self.one(x) if early or more.get("early") else self.two(x)
        return self.heads[bool(late)](features.mean((2, 3)))


@pytest.mark.parametrize(
    "calls",
    [
        [{"early": True}, {"late": True}, {"early": False}, {"late": False}],
        [{"early": True, "late": False}, {"late": True, "early": False}],
        [{"early": True}, {"early": 1}, {"early": None}],
    ],
)
def test_a_switch_that_is_on_is_another_way_through_the_model_than_the_switch_beside_it(calls):
    torch.manual_seed(0)
    model, x = Switched().eval(), batch(2, 3, 12, 12)
    explainer, options = camscope.Explainer(model), {"methods": ["gradcam", "cam"], "targets": 1}
    for switches in calls:
        given = {"x": x, **switches}
        found, fresh = explainer(given, **options), camscope.explain(model, given, **options)
        assert found.layers == fresh.layers
        for key, maps in fresh.raw.items():
            torch.testing.assert_close(found.raw[key], maps)


def test_calls_are_told_apart_by_names_types_and_what_is_inside():
    x = torch.zeros(2, 3, 8, 8)
    calls = [
        Batch((x,)),
        Batch((x, True)),
        Batch((x, 1)),
        Batch((x, None)),
        Batch((x,), {"a": True}),
        Batch((x,), {"b": True}),
        Batch((x,), {"a": {"a": True}}),
        Batch((x,), {"a": {"b": True}}),
        Batch((x,), {"a": [True]}),
        Batch((x,), {"a": torch.zeros(2, 5)}),
        Batch((x,), {"a": torch.zeros(2, 5).double()}),
        Batch((x,), {"a": torch.zeros(3, 5)}),
        Batch((torch.zeros(2, 3, 8, 9),)),
    ]
    assert len({call.signature for call in calls}) == len(calls)
    same = Batch((), {"b": 1, "x": torch.ones(5, 3, 8, 8), "a": {"c": [{1}]}}, "x")
    assert same.signature == Batch((), {"x": x, "a": {"c": [{2}]}, "b": 1}, "x").signature


def test_an_image_as_a_tensor_goes_before_what_could_be_a_photo():
    both = model()
    expected = camscope.explain(both, (X, AGE), targets=1)
    assert torch.equal(
        camscope.explain(both, {"image": X, "age": AGE.numpy()}, targets=1).maps(), expected.maps()
    )

    class Named(Both):
        def forward(self, image: torch.Tensor, age: torch.Tensor, mode: str) -> torch.Tensor:
            assert mode == "fast"
            return super().forward(image, age)

    named = Named().double().eval()
    named.load_state_dict(both.state_dict())
    found = camscope.explain(named, {"image": X, "age": AGE, "mode": "fast"}, targets=1)
    assert torch.equal(found.maps(), expected.maps())


@pytest.mark.parametrize(
    ("inputs", "explained_input", "words"),
    [
        ((X, AGE), 2, r"explained_input=2 is none of the inputs: 0, 1"),
        ({"image": X, "age": AGE}, "imag", r"explained_input='imag' is none.*Did you mean 'image'"),
        (X, 0, "explained_input=0 is for a model that takes several inputs; one was given"),
        ({"image": X, "agee": AGE}, None, r"inputs \(image, agee\) do not fit Both.*Did you mean 'age'"),
        ((X,) * 5, None, r"do not fit Both, whose forward takes \(image: .*too many positional"),
        (
            (X, AGE[:2]),
            None,
            r"does not run on these inputs: \(3, 3, 16, 16\) with \(2, 1\)\. Those with 3 rows",
        ),
        ((AGE, AGE), None, r"None of the inputs is one that maps could be of"),
    ],
)
def test_what_does_not_fit_says_what_would(inputs, explained_input, words):
    with pytest.raises(camscope.InputError, match=words):
        camscope.explain(model(), inputs, explained_input=explained_input)
