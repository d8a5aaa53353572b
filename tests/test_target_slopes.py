"""The closed forms of ∂score/∂logit against PyTorch's autograd, in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from camscope import TargetError
from camscope.outputs import Dense, Embedding, Outputs
from camscope.targets import (
    AllClasses,
    Class,
    Contrast,
    Region,
    Similarity,
    TopK,
    resolve,
    slopes_through,
    target_slopes,
)

KINDS = ["logit", "probability", "log-probability", "rest"]
BATCH, CLASSES = 3, 5


def by_autograd(target: Any, logits: torch.Tensor, outputs: Any) -> np.ndarray:
    leaf = logits.requires_grad_()
    scores = resolve(target, outputs(logits.detach())).scores(outputs(leaf))
    columns = [torch.autograd.grad(column.sum(), leaf, retain_graph=True)[0] for column in scores.unbind(1)]
    return torch.stack(columns, 1).numpy()


def by_slopes(target: Any, logits: torch.Tensor, outputs: Any) -> np.ndarray:
    made = outputs(logits.detach().numpy())
    return target_slopes(resolve(target, made), made)


def check(target: Any, logits: torch.Tensor, outputs: Any, tolerance: float = 1e-12) -> None:
    expected, found = by_autograd(target, logits, outputs), by_slopes(target, logits, outputs)
    assert found.shape == expected.shape
    assert np.abs(expected).max() > 0
    assert np.abs(found - expected).max() <= tolerance


def drawn(*shape: int) -> torch.Tensor:
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("of", KINDS)
@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
@pytest.mark.parametrize("kind", ["class", "all", "against", "top"])
def test_of_classes(of: Any, task: Any, kind: str):
    target = {
        "class": Class(2, of=of),
        "all": AllClasses(of=of),
        "against": -Class(1, of=of),
        "top": TopK(2, of=of),
    }[kind]
    check(target, drawn(BATCH, CLASSES), lambda z: Outputs(z, task, z))


def test_of_a_contrast():
    check(Contrast(2, 4), drawn(BATCH, CLASSES), lambda z: Outputs(z, "multiclass", z))


def test_of_classes_contrasted_with_others():
    z = drawn(BATCH, CLASSES)

    def made(z: Any, of: Any) -> Any:
        outputs = Outputs(z, "multiclass", z)
        return outputs, resolve(Class(1, of=of), outputs).contrasted(outputs, weighting="softmax")

    for of in KINDS:
        leaf = z.clone().requires_grad_()
        targets = made(z, of)[1]
        (expected,) = torch.autograd.grad(targets.scores(Outputs(leaf, "multiclass", leaf)).sum(), leaf)
        outputs, targets = made(z.numpy(), of)
        assert np.abs(target_slopes(targets, outputs)[:, 0] - expected.numpy()).max() <= 1e-12


def test_large_logits_do_not_overflow():
    z = np.array([[800.0, -900.0, 0.0]])
    for task in ("multiclass", "multilabel"):
        for of in KINDS:
            outputs = Outputs(z, task, z)
            assert np.isfinite(target_slopes(resolve(AllClasses(of=of), outputs), outputs)).all()


def dense(z: Any, task: Any = "multiclass") -> Outputs:
    positions = Dense(z, (8, 12), task)
    return Outputs(positions.scores, task, z, positions)


@pytest.mark.parametrize("of", KINDS)
@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_of_the_classes_of_a_segmenter(of: Any, task: Any):
    """By the logits at every position."""
    check(Class(2, of=of), drawn(BATCH, CLASSES, 4, 6), lambda z: dense(z, task))


@pytest.mark.parametrize("of", KINDS)
@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
@pytest.mark.parametrize("where", ["all", "mask"])
def test_of_regions(of: Any, task: Any, where: str):
    mask = np.zeros((8, 12))
    mask[1:6, 3:10] = 1
    region = Region(2, where="all" if where == "all" else mask, of=of)
    check(region, drawn(BATCH, CLASSES, 4, 6), lambda z: dense(z, task))
    check(-region, drawn(BATCH, CLASSES, 4, 6), lambda z: dense(z, task))


def function(out: Any) -> Any:
    return out[:, 1] * out[:, 0] + 3 * out[:, 2] ** 2


def test_of_a_function_of_the_logits():
    check(function, drawn(BATCH, CLASSES), lambda z: Outputs(z, "multiclass", z), 1e-6)


def test_of_a_function_of_the_probabilities():
    """The model returns these, its logits are known."""

    def outputs(z: Any) -> Outputs:
        return Outputs(z, "multiclass", Outputs(z, "multiclass").probabilities)

    check(function, drawn(BATCH, CLASSES), outputs, 1e-6)


def test_of_a_function_of_one_logit():
    """Which is shown as two classes, of which the first is the second's negative: it counts once."""
    z = drawn(BATCH, 1).numpy()
    outputs = Outputs(np.concatenate([-z, z], axis=1), "binary", z)
    found = target_slopes(resolve(lambda out: out[:, 0] ** 2, outputs), outputs)
    assert np.allclose(found[:, 0, 1] - found[:, 0, 0], 2 * z[:, 0], atol=1e-6)


def test_a_function_of_something_else_is_refused():
    z = drawn(BATCH, CLASSES).numpy()
    outputs = Outputs(z, "multiclass", {"logits": z, "features": z**2})
    for function in (lambda out: out["features"][:, 0], lambda out: (out["logits"] * out["features"])[:, 0]):
        with pytest.raises(TargetError, match="Name a class instead"):
            target_slopes(resolve(function, outputs), outputs)


def test_a_function_of_the_logits_among_other_arrays():
    z = drawn(BATCH, CLASSES).numpy()
    outputs = Outputs(z, "multiclass", {"logits": z, "features": z**2, "best": z.argmax(1)})

    def best(out: Any) -> np.ndarray:
        return 3 * out["logits"][np.arange(len(out["best"])), out["best"]]

    found = target_slopes(resolve(best, outputs), outputs)[:, 0]
    np.testing.assert_allclose(found, 3 * np.eye(CLASSES)[z.argmax(1)], atol=1e-9)


def test_a_score_without_a_closed_form_is_refused():
    z = drawn(BATCH, CLASSES).numpy()
    outputs = Outputs(z, "multiclass", z, Embedding(z))  # CLIP's, of which the logits are made
    with pytest.raises(TargetError, match="known on PyTorch only"):
        target_slopes(resolve(Similarity(z[0]), outputs), outputs)


def test_of_a_similarity():
    check(Similarity(drawn(CLASSES).numpy()), drawn(BATCH, CLASSES), lambda z: Outputs(z, "regression", z))


@pytest.mark.parametrize("of", KINDS)
@pytest.mark.parametrize("kind", ["class", "all", "against", "contrast", "function"])
def test_through_what_the_logits_are_linear_in(of: Any, kind: str):
    """Of logits of single classes without the product of matrices: the same."""
    target: Any = {
        "class": Class(2, of=of),
        "all": AllClasses(of=of),
        "against": -Class(1, of=of),
        "contrast": Contrast(2, 4),
        "function": lambda raw: raw[:, 1] * 2,
    }[kind]
    z = drawn(BATCH, CLASSES).numpy()
    outputs = Outputs(z, "multiclass", z)
    targets, weight = resolve(target, outputs), drawn(CLASSES, 7).numpy()
    slopes = target_slopes(targets, outputs)
    found = slopes_through(targets, outputs, weight, lambda: slopes)
    assert np.abs(found - slopes @ weight).max() < 1e-9
    assert np.abs(found).max() > 0


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_log_probabilities_are_exact_where_a_class_is_all_but_certain(convert):
    logits = np.array([[60, 0, 1, -5], [1, 2, 2, -300]], np.float32)
    found = np.asarray(Outputs(convert(logits), "multiclass").log_probabilities)
    wide = logits.astype(np.float64)
    expected = (
        wide
        - np.log(np.exp(wide - wide.max(1, keepdims=True)).sum(1, keepdims=True))
        - wide.max(1, keepdims=True)
    )
    expected[0, 0] = -np.log1p(np.exp([-60.0, -59.0, -65.0]).sum())
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert -1e-25 < found[0, 0] < 0
