"""Altered inputs: the answers to them are the model's own, for every kind of target; and so are their gradients."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import camscope
from camscope.evidence import ModelEvidence, Need, Responses
from camscope.methods import Method
from camscope.targets import Class, Contrast, PerImage, TopK
from tests.torch.nets import Apply, Net, batch, gap_head, linear, mlp_head

X = batch(3, 3, 16, 16, dtype=torch.float64)


def looked_at(model: nn.Module, x: torch.Tensor, look: Callable[[ModelEvidence], Any], **call: Any) -> Any:
    """What `look` makes of the evidence of the model as a whole, while it is there to be had."""
    seen = []

    def function(evidence: ModelEvidence) -> torch.Tensor:
        seen.append(look(evidence))
        return evidence.inputs[:, :1]

    spy = Method(
        "spy",
        function,
        frozenset({Need.MASKED, Need.MASKED_GRADIENTS}),
        paper="",
        formula="",
        advice="",
        cost="",
        class_specific=True,
        rectified=False,
        nonnegative=False,
        scope="model",
    )
    options = {name: call.pop(name) for name in ("task", "output") if name in call}
    camscope.Explainer(model, **options)(x, methods=spy, **call)
    (only,) = seen
    return only


def unaltered(evidence: ModelEvidence) -> Responses:
    """Each image, twice, through a re-run that alters nothing; the two are the same, to rounding."""
    assert evidence.masked is not None
    rows = []
    for image in range(evidence.inputs.shape[0]):

        def variants(numbers: np.ndarray, image: int = image) -> torch.Tensor:
            return evidence.inputs[image].expand(len(numbers), *evidence.inputs.shape[1:])

        answers = evidence.masked(image, 2, variants)
        torch.testing.assert_close(answers.scores[0], answers.scores[1])
        rows.append(answers)
    return Responses(
        torch.stack([r.scores[0] for r in rows]),
        torch.stack([r.probabilities[0] for r in rows]),
        torch.stack([r.log_probabilities[0] for r in rows]),
    )


def both(evidence: ModelEvidence) -> tuple[Responses, Responses]:
    return unaltered(evidence), evidence.responses


def squared(raw: torch.Tensor) -> torch.Tensor:
    return (raw**2).sum(1)


def first(raw: torch.Tensor) -> torch.Tensor:
    return raw[:, 0]


TARGETS = {
    "classes": [0, 3],
    "each its top": TopK(2),
    "against": [-Class(1), Class(1)],
    "probability": "probability:2",
    "log-probability": "log-probability:2",
    "rest": Class(2, "rest"),
    "contrast": Contrast(1, against=[0, 4], gamma=0.7),
    "contrast with similar": Contrast(1, count=2, weighting="softmax"),
    "contrast of probabilities": Contrast(1, of="probability"),
    "per image": PerImage([[0, 1], [1, 2], [4, 0]]),
    "callable": squared,
    "classes and callables": [2, squared, "-probability:1", first],
}


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("head", [gap_head, lambda: mlp_head(16)], ids=["gap", "mlp"])
def test_an_unaltered_input_gets_the_models_own_answer(head, targets):
    """For each image its own targets."""
    model = Net(head()).double().eval()
    again, clean = looked_at(model, X, both, targets=TARGETS[targets])
    torch.testing.assert_close(again.scores, clean.scores, rtol=0, atol=1e-13)
    torch.testing.assert_close(again.probabilities, clean.probabilities, rtol=0, atol=1e-13)


def test_scores_and_probabilities_are_those_of_the_formulas():
    model = Net(mlp_head(16)).double().eval()
    logits = model(X).detach()
    p = logits.softmax(1)
    near = (logits - logits[:, 1:2]).abs()
    near[:, 1] = torch.inf
    d = near.argmin(1, keepdim=True)
    targets = [
        Class(0),
        -Class(3),
        Class(2, "probability"),
        Class(2, "log-probability"),
        Class(2, "rest"),
        Contrast(1, against=[0, 4], gamma=0.7),
        -Contrast(1, against=[0, 4], gamma=0.7),
        Contrast(1, count=1, gamma=0.5),
        squared,
    ]
    scores = [
        logits[:, 0],
        -logits[:, 3],
        p[:, 2],
        p[:, 2].log(),
        logits[:, 2] + p[:, 2].log(),
        logits[:, 1] - 0.35 * (logits[:, 0] + logits[:, 4]),
        -logits[:, 1] + 0.35 * (logits[:, 0] + logits[:, 4]),
        logits[:, 1] - 0.5 * logits.gather(1, d)[:, 0],
        squared(logits),
    ]
    probabilities = [
        p[:, 0],
        -p[:, 3],
        p[:, 2],
        p[:, 2],
        p[:, 2],
        p[:, 1] - 0.35 * (p[:, 0] + p[:, 4]),
        -p[:, 1] + 0.35 * (p[:, 0] + p[:, 4]),
        p[:, 1] - 0.5 * p.gather(1, d)[:, 0],
        squared(logits),  # a callable has none
    ]
    found = looked_at(model, X, unaltered, targets=targets)
    torch.testing.assert_close(found.scores, torch.stack(scores, 1), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.probabilities, torch.stack(probabilities, 1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["reciprocam", "scorecam", "groupcam(groups=3)", "rise(n=8)"])
def test_a_class_beside_a_callable_has_the_map_it_has_alone(name):
    model = Net(mlp_head(16)).double().eval()
    together = camscope.explain(model, X, methods=name, targets=[2, squared, 0])
    for target, column in ((2, 0), (squared, 1), (0, 2)):
        alone = camscope.explain(model, X, methods=name, targets=target)
        for key, maps in alone.raw.items():
            torch.testing.assert_close(together.raw[key][:, column : column + 1], maps, rtol=0, atol=1e-12)


def test_a_multilabel_model_has_a_sigmoid_each():
    model = Net(mlp_head(16)).double().eval()
    found = looked_at(model, X, unaltered, targets=[0, 3], task="multilabel")
    logits = model(X).detach()[:, [0, 3]]
    torch.testing.assert_close(found.scores, logits, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.probabilities, logits.sigmoid(), rtol=0, atol=1e-12)


def test_a_final_softmax_is_looked_behind_in_re_runs_too():
    bare = Net(mlp_head(16)).double().eval()
    ended = nn.Sequential(bare, nn.Softmax(1)).eval()
    a, b = (looked_at(model, X, unaltered, targets=[0, 3]) for model in (bare, ended))
    torch.testing.assert_close(a.scores, b.scores, rtol=0, atol=1e-12)
    torch.testing.assert_close(a.probabilities, b.probabilities, rtol=0, atol=1e-12)


def test_a_regression_has_scores_only():
    model = Net(mlp_head(16, classes=2)).double().eval()
    found = looked_at(model, X, unaltered, targets=[0, 1], task="regression")
    torch.testing.assert_close(found.scores, model(X).detach(), rtol=0, atol=1e-12)
    assert torch.equal(found.scores, found.probabilities)


@pytest.mark.parametrize("flat", [True, False])
def test_a_one_logit_head_has_two_classes(flat):
    """Also where the logit has lost its axis."""
    head = nn.Sequential(nn.Flatten(), linear(12 * 16, 1, 1))
    if flat:
        head.append(Apply(lambda z: z[:, 0]))
    model = Net(head).double().eval()
    found = looked_at(model, X, unaltered, targets=[0, 1])
    z = model(X).detach().reshape(-1, 1)
    torch.testing.assert_close(found.scores, torch.cat([-z, z], 1), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.probabilities, torch.cat([-z, z], 1).sigmoid(), rtol=0, atol=1e-12)


def test_a_callable_sees_what_the_model_returned():
    class Rich(Net):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            h = self.body(self.stem(x))
            return {"logits": self.head(h), "energy": (h**2).mean((1, 2, 3))}

    model = Rich(mlp_head(16)).double().eval()
    found = looked_at(model, X, unaltered, targets=lambda raw: raw["energy"])
    torch.testing.assert_close(found.scores[:, 0], model(X)["energy"].detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["ablationcam", "reciprocam"])
def test_a_callable_of_what_comes_from_before_the_layer_is_right_in_re_runs(name):
    """`early` does not depend on the layer; `mixed` depends on both."""

    class Rich(Net):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            early = self.stem(x)
            h = self.body(early)
            pooled = early.mean((1, 2, 3))
            return {"logits": self.head(h), "early": pooled, "mixed": pooled * h.mean((1, 2, 3))}

    model = Rich(mlp_head(16)).double().eval()
    call = {"methods": name, "layers": "body"}
    early = camscope.explain(model, X, targets=lambda raw: raw["early"], **call).raw[name, "body"]
    if name == "ablationcam":
        assert torch.equal(early, torch.zeros_like(early))
    else:
        expected = model(X)["early"].detach()[:, None, None, None].expand_as(early)
        torch.testing.assert_close(early, expected, rtol=0, atol=1e-12)
    mixed = camscope.explain(model, X, targets=lambda raw: raw["mixed"], **call).raw[name, "body"]
    with torch.no_grad():
        A = model.body(model.stem(X))
    if name == "reciprocam":
        alone = A.sum(1, keepdim=True) / A[0].numel()
        torch.testing.assert_close(mixed, expected * alone, rtol=0, atol=1e-12)
    else:
        shares = A.mean((2, 3)) / A.mean((2, 3)).sum(1, keepdim=True)
        torch.testing.assert_close(mixed[:, 0], torch.einsum("bk,bkhw->bhw", shares, A), rtol=0, atol=1e-12)


# ------------------------------------------------------------------ how they are run


@pytest.mark.parametrize("count", [0, 1, 4, 5, 9])
def test_variants_are_built_chunk_by_chunk_and_come_back_in_order(count, monkeypatch):
    model = Net(mlp_head(16)).double().eval()
    monkeypatch.setattr("camscope.models.torch.further_passes.chunk_size", lambda *_: 4)
    factors = torch.linspace(0, 1, 9, dtype=torch.float64)
    asked: list[list[int]] = []

    def weakened(evidence: ModelEvidence) -> Responses:
        assert evidence.masked is not None

        def variants(numbers: np.ndarray) -> torch.Tensor:
            asked.append(numbers.tolist())
            return evidence.inputs[1] * factors[numbers][:, None, None, None]

        return evidence.masked(1, count, variants)

    found = looked_at(model, X, weakened, targets=PerImage([0, 3, 1]))
    assert [n for chunk in asked for n in chunk] == list(range(count))
    assert all(len(chunk) <= 4 for chunk in asked)
    assert found.scores.shape == found.probabilities.shape == (count, 1)
    with torch.no_grad():
        logits = model(X[1] * factors[:count, None, None, None])
    torch.testing.assert_close(found.scores, logits[:, 3:4], rtol=0, atol=1e-12, check_dtype=count > 0)
    torch.testing.assert_close(
        found.probabilities, logits.softmax(1)[:, 3:4], rtol=0, atol=1e-12, check_dtype=count > 0
    )


def test_no_graph_is_built_and_nothing_of_the_model_is_touched(untouched):
    model = Net(mlp_head(16)).double().train()

    def answers(evidence: ModelEvidence) -> tuple[Responses, Any]:
        assert evidence.masked_gradients is not None
        return unaltered(evidence), evidence.masked_gradients(evidence.inputs, 0)

    with untouched(model):
        found, (scores, gradient) = looked_at(model, X, answers, targets=[0, 1])
    for tensor in (found.scores, found.probabilities, scores, gradient):
        assert not tensor.requires_grad


def test_an_error_in_a_variant_comes_through_and_nothing_is_left(untouched):
    class TroubleError(Exception):
        pass

    def trouble(evidence: ModelEvidence) -> None:
        def variants(_numbers: np.ndarray) -> torch.Tensor:
            raise TroubleError

        assert evidence.masked is not None
        evidence.masked(0, 3, variants)

    model = Net(mlp_head(16)).double().train()
    with untouched(model), pytest.raises(TroubleError):
        looked_at(model, X, trouble, targets=0)


def test_half_precision_is_answered_in_single():
    """Variants are built in single precision, run in the model's own, and answered in single again."""
    model = Net(mlp_head(16)).bfloat16().eval()
    dtypes = set()
    model.stem.register_forward_pre_hook(lambda _module, inputs: dtypes.add(inputs[0].dtype))
    x = X.bfloat16()

    def answers(evidence: ModelEvidence) -> tuple[ModelEvidence, Responses, Any]:
        assert evidence.masked_gradients is not None
        return evidence, unaltered(evidence), evidence.masked_gradients(evidence.inputs, 0)

    evidence, found, (scores, gradient) = looked_at(model, x, answers, targets=[0, 1])
    assert dtypes == {torch.bfloat16}
    for tensor in (evidence.inputs, found.scores, found.probabilities, scores, gradient):
        assert tensor.dtype == torch.float32
    torch.testing.assert_close(found.scores, evidence.responses.scores, rtol=0, atol=2e-2)


# ------------------------------------------------------------------ gradients


@pytest.mark.parametrize("targets", [name for name in TARGETS if name != "each its top"])
@pytest.mark.parametrize("outer", [torch.enable_grad, torch.no_grad])
def test_gradients_of_altered_inputs_are_finite_differences(targets, outer):
    """Along random directions, each image by itself, at inputs that are not the batch."""
    model = Net(mlp_head(16)).double().eval()
    altered = 0.5 * X + batch(3, 3, 16, 16, seed=5, dtype=torch.float64)
    direction = batch(3, 3, 16, 16, seed=6, dtype=torch.float64)
    step = 1e-6

    def differences(evidence: ModelEvidence) -> list[tuple[torch.Tensor, ...]]:
        run = evidence.masked_gradients
        assert run is not None
        return [
            (
                *run(altered, t),
                run(altered + step * direction, t)[0],
                run(altered - step * direction, t)[0],
            )
            for t in range(evidence.responses.scores.shape[1])
        ]

    with outer():
        found = looked_at(model, X, differences, targets=TARGETS[targets])
    for score, gradient, ahead, behind in found:
        assert score.shape == (3,)
        along = (gradient * direction).sum((1, 2, 3))
        assert along.abs().min() > 1e-6
        torch.testing.assert_close(along, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-8)


def test_gradients_are_of_the_target_with_that_number():
    model = Net(mlp_head(16)).double().eval()
    targets = PerImage([[0, 1], [1, 2], [4, 0]])

    def scores(evidence: ModelEvidence) -> list[torch.Tensor]:
        assert evidence.masked_gradients is not None
        return [evidence.masked_gradients(evidence.inputs, t)[0] for t in (0, 1)]

    found = looked_at(model, X, scores, targets=targets)
    logits = model(X).detach()
    torch.testing.assert_close(found[0], logits[[0, 1, 2], [0, 1, 4]], rtol=0, atol=1e-12)
    torch.testing.assert_close(found[1], logits[[0, 1, 2], [1, 2, 0]], rtol=0, atol=1e-12)


def test_the_batch_and_its_answers_are_what_a_method_of_the_model_sees():
    model = Net(mlp_head(16)).double().eval()
    evidence = looked_at(model, X, lambda e: dataclasses.replace(e), targets=[0, 3])
    assert torch.equal(evidence.inputs, X)
    logits = model(X).detach()
    torch.testing.assert_close(evidence.responses.scores, logits[:, [0, 3]], rtol=0, atol=1e-12)
    assert evidence.full_gradients is None
    assert evidence.guided_gradients is None
    assert evidence.attention is None
