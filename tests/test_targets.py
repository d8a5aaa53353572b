"""What is being explained: from what a user writes to a table of scores, and what the scores mean."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import special

import camscope
from camscope.errors import TargetError
from camscope.outputs import Outputs
from camscope.targets import (
    AllClasses,
    Class,
    Contrast,
    PerImage,
    PredictionTarget,
    TargetInfo,
    Targets,
    TopK,
    class_name,
    parse_target,
    resolve,
    short_names,
    titles,
)

NAMES = ["tabby, tabby cat", "tiger cat", "Egyptian cat", "lynx, catamount", "all"]
LOGITS = np.array([[0.5, -1.0, 3.0, 2.0, -4.0], [1.0, 5.0, -2.0, 0.0, 4.0], [-1.0, -2.0, -3.0, -4.0, -0.5]])
MULTICLASS = Outputs(LOGITS, "multiclass")


def table(targets, outputs=MULTICLASS, names=NAMES):
    return resolve(targets, outputs, names).classes.tolist()


def as_jax(values):
    import jax.numpy as jnp

    return jnp.asarray(values)


# ------------------------------------------------------------------ probabilities

MODERATE = arrays(np.float64, (3, 5), elements=st.floats(-30, 30))


@given(MODERATE)
@settings(deadline=None)
def test_multiclass_is_a_softmax(logits):
    outputs = Outputs(logits, "multiclass")
    np.testing.assert_allclose(outputs.probabilities, special.softmax(logits, axis=1), rtol=1e-12)
    np.testing.assert_allclose(outputs.log_probabilities, special.log_softmax(logits, axis=1), atol=1e-12)


@pytest.mark.parametrize("task", ["multilabel", "binary"])
@given(logits=MODERATE)
@settings(deadline=None)
def test_multilabel_and_binary_are_a_sigmoid_each(task, logits):
    outputs = Outputs(logits, task)
    np.testing.assert_allclose(outputs.probabilities, special.expit(logits), rtol=0, atol=1e-15)
    np.testing.assert_allclose(outputs.log_probabilities, special.log_expit(logits), rtol=1e-12)


EXTREME = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, -1e4], [30.0, -30.0, 88.0]])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("task", "probability", "log"),
    [
        ("multiclass", lambda z: torch.softmax(z, 1), lambda z: torch.log_softmax(z, 1)),
        ("multilabel", torch.sigmoid, torch.nn.functional.logsigmoid),
        ("binary", torch.sigmoid, torch.nn.functional.logsigmoid),
    ],
)
def test_extreme_logits_neither_overflow_nor_lose_their_logarithm(task, probability, log, dtype):
    logits = EXTREME.astype(dtype)
    exact = torch.from_numpy(EXTREME)
    for convert in (np.asarray, torch.from_numpy, as_jax):
        outputs = Outputs(convert(logits), task)
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            p, lp = np.asarray(outputs.probabilities), np.asarray(outputs.log_probabilities)
        np.testing.assert_allclose(p, probability(exact), rtol=0, atol=1e-6)
        np.testing.assert_allclose(lp, log(exact), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("task", ["multiclass", "multilabel", "binary"])
@pytest.mark.parametrize("of", ["probability", "log-probability"])
def test_extreme_logits_have_finite_gradients(task, of):
    logits = torch.tensor(EXTREME, dtype=torch.float32, requires_grad=True)
    Outputs(logits, task).of(of).sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_of_gives_what_it_names():
    assert MULTICLASS.of("logit") is MULTICLASS.logits
    assert MULTICLASS.of("probability") is MULTICLASS.probabilities
    assert MULTICLASS.of("log-probability") is MULTICLASS.log_probabilities


def test_a_regression_has_numbers_but_no_probabilities():
    outputs = Outputs(LOGITS, "regression")
    assert outputs.probabilities is None
    assert outputs.log_probabilities is None
    assert outputs.of("logit") is outputs.logits
    for of in ("probability", "log-probability", "rest"):
        with pytest.raises(TargetError, match=f"no {of}"):
            resolve(Class(1, of), outputs).scores(outputs)


def test_a_binary_logit_has_two_classes_and_class_zero_is_its_negative():
    z = np.array([[0.3], [-2.0]])
    outputs = Outputs(np.concatenate([-z, z], axis=1), "binary")
    np.testing.assert_array_equal(resolve([0, 1], outputs).scores(outputs), np.concatenate([-z, z], axis=1))
    np.testing.assert_array_equal(resolve(-Class(1), outputs).scores(outputs), -z)
    np.testing.assert_allclose(outputs.probabilities.sum(1), 1, atol=1e-15)
    np.testing.assert_allclose(outputs.probabilities[:, 1:], special.expit(z), atol=1e-15)
    assert table(None, outputs, None) == [[1], [0]]


# ------------------------------------------------------------------ resolve: every form


@pytest.mark.parametrize(
    ("targets", "classes"),
    [
        (3, [[3]] * 3),
        (np.int64(3), [[3]] * 3),
        ("3", [[3]] * 3),
        ("Egyptian cat", [[2]] * 3),
        ("egyptian CAT ", [[2]] * 3),
        ("tabby, tabby cat", [[0]] * 3),
        ("tabby", [[0]] * 3),
        ("tabby cat", [[0]] * 3),
        ("Catamount", [[3]] * 3),
        (Class(3), [[3]] * 3),
        (Class("lynx"), [[3]] * 3),
        ([1, 2], [[1, 2]] * 3),
        ((1, 2), [[1, 2]] * 3),
        (range(1, 3), [[1, 2]] * 3),
        ([2, 2], [[2, 2]] * 3),
        (None, [[2], [1], [4]]),
        (TopK(1), [[2], [1], [4]]),
        (TopK(3), [[2, 3, 0], [1, 4, 0], [4, 0, 1]]),
        ("top2", [[2, 3], [1, 4], [4, 0]]),
        (AllClasses(), [[0, 1, 2, 3, 4]] * 3),
        ([Class(4), TopK(2), "lynx"], [[4, 2, 3, 3], [4, 1, 4, 3], [4, 4, 0, 3]]),
        (PerImage([0, "lynx", 4]), [[0], [3], [4]]),
        (PerImage([[0, 1], [2, 3], [4, 0]]), [[0, 1], [2, 3], [4, 0]]),
        (PerImage([[0, 1], TopK(2), ("lynx", 2)]), [[0, 1], [1, 4], [3, 2]]),
        (PerImage([None, None, None]), [[2], [1], [4]]),
    ],
)
def test_what_users_write_becomes_a_table_of_classes(targets, classes):
    resolved = resolve(targets, MULTICLASS, NAMES)
    assert resolved.classes.tolist() == classes
    assert (resolved.signs == 1).all()
    assert len(resolved) == len(classes[0])
    assert {*resolved.of} == {"logit"}
    assert resolved.all_logits


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy, as_jax])
def test_top_k_is_image_by_image_and_highest_first_on_any_array_library(convert):
    outputs = Outputs(convert(LOGITS), "multiclass")
    resolved = resolve(TopK(5), outputs)
    assert resolved.classes.tolist() == np.argsort(-LOGITS, axis=1).tolist()
    scores = np.asarray(resolved.scores(outputs))
    assert (np.diff(scores, axis=1) < 0).all()


def test_a_name_is_a_name_before_it_is_a_word_of_the_command_line():
    assert table("all") == [[4]] * 3
    assert table("all", names=None) == [[0, 1, 2, 3, 4]] * 3
    assert table("3", names=["a", "3", "b", "c", "d"]) == [[1]] * 3


def test_an_exact_name_is_taken_before_a_synonym():
    assert table("cat", names=["lion, cat", "cat", "x", "y", "z"]) == [[1]] * 3


def test_whether_all_images_have_the_same_targets():
    assert resolve([1, 2], MULTICLASS).same_for_all_images
    assert not resolve(TopK(2), MULTICLASS).same_for_all_images
    assert not resolve(PerImage([Class(1), -Class(1), Class(1)]), MULTICLASS).same_for_all_images


# ------------------------------------------------------------------ scores


def test_scores_are_the_classes_columns_with_their_sign():
    targets = [Class(1), -Class(1), Class(2, "probability"), -Class(0, "log-probability"), Class(4)]
    for convert in (np.asarray, torch.from_numpy, as_jax):
        outputs = Outputs(convert(LOGITS), "multiclass")
        scores = np.asarray(resolve(targets, outputs).scores(outputs))
        p = special.softmax(LOGITS, axis=1)
        expected = np.stack([LOGITS[:, 1], -LOGITS[:, 1], p[:, 2], -np.log(p[:, 0]), LOGITS[:, 4]], axis=1)
        np.testing.assert_allclose(scores, expected, rtol=1e-5)


def norm(raw):
    return (raw["z"] ** 2).sum(1)


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy, as_jax])
def test_a_mixed_list_keeps_its_order(convert):
    logits = convert(LOGITS)
    outputs = Outputs(logits, "multiclass", raw={"z": logits})
    targets = [norm, TopK(2, "probability"), Class(0), lambda raw: raw["z"][:, 3], -Class(1, "probability")]
    resolved = resolve(targets, outputs)
    p = special.softmax(LOGITS, axis=1)
    expected = np.column_stack(
        [(LOGITS**2).sum(1), -np.sort(-p, axis=1)[:, :2], LOGITS[:, 0], LOGITS[:, 3], -p[:, 1]]
    )
    np.testing.assert_allclose(np.asarray(resolved.scores(outputs)), expected, rtol=1e-5)
    assert not resolved.all_logits
    # any part of the list is the same part of the scores
    for part in (slice(0, 2), slice(1, 4), slice(3, None), slice(5, 6)):
        np.testing.assert_allclose(np.asarray(resolved[part].scores(outputs)), expected[:, part], rtol=1e-5)


def test_scores_have_the_gradient_of_what_they_are():
    logits = torch.tensor(LOGITS, requires_grad=True)
    outputs = Outputs(logits, "multiclass", raw=logits)
    scores = resolve([Class(1, "probability"), -Class(2), lambda raw: raw[:, 0] ** 2], outputs).scores(
        outputs
    )
    p = special.softmax(LOGITS, axis=1)
    unit = np.eye(5)
    expected = [p[:, 1:2] * (unit[1] - p), -np.tile(unit[2], (3, 1)), 2 * LOGITS[:, :1] * unit[0]]
    for t, gradient in enumerate(expected):
        (found,) = torch.autograd.grad(scores[:, t].sum(), logits, retain_graph=True)
        np.testing.assert_allclose(found, gradient, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "target", [Class(2), TopK(2), AllClasses(), Class(2, "probability"), Contrast(2), Contrast(2, of="rest")]
)
def test_negation_is_evidence_against_and_twice_is_none(target):
    negated = -target
    assert -negated == target
    for_it, against = resolve(target, MULTICLASS), resolve(negated, MULTICLASS)
    np.testing.assert_array_equal(against.scores(MULTICLASS), -for_it.scores(MULTICLASS))
    np.testing.assert_array_equal(against.classes, for_it.classes)


def test_per_image_may_differ_in_sign_but_not_in_the_kind_of_score():
    resolved = resolve(PerImage([Class(1), -Class(2), "not:3"]), MULTICLASS, NAMES)
    np.testing.assert_array_equal(resolved.scores(MULTICLASS).ravel(), [-1.0, 2.0, 4.0])
    with pytest.raises(TargetError, match="same kind of score"):
        resolve(PerImage([Class(1), Class(1, "probability"), Class(1)]), MULTICLASS)


def test_per_image_takes_a_callable_if_it_is_every_images():
    outputs = Outputs(LOGITS, "multiclass", raw={"z": LOGITS})
    resolved = resolve(PerImage([[0, norm], [1, norm], [2, norm]]), outputs)
    expected = np.column_stack([LOGITS[np.arange(3), np.arange(3)], (LOGITS**2).sum(1)])
    np.testing.assert_allclose(resolved.scores(outputs), expected)
    with pytest.raises(TargetError, match="same kind"):
        resolve(PerImage([norm, 1, 2]), outputs)


# ------------------------------------------------------------------ ReST


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
@given(logits=MODERATE)
@settings(deadline=None)
def test_rest_is_the_logit_plus_the_log_probability(task, logits):
    """Cai 2025; of a logit that is sure of itself, the logit."""
    outputs = Outputs(logits, task)
    log = special.log_softmax(logits, axis=1) if task == "multiclass" else special.log_expit(logits)
    np.testing.assert_allclose(outputs.of("rest"), logits + log, rtol=0, atol=1e-11)
    scores = resolve([Class(2, "rest"), -Class(0, "rest")], outputs).scores(outputs)
    np.testing.assert_array_equal(
        scores, np.stack([outputs.of("rest")[:, 2], -outputs.of("rest")[:, 0]], axis=1)
    )


def test_targets_by_another_score_are_the_same_classes():
    resolved = resolve([1, -Class(2), norm], MULTICLASS).scored_as("rest")
    assert resolved.of == ("rest",) * 3
    outputs = Outputs(LOGITS, "multiclass", raw={"z": LOGITS})
    rest = LOGITS + special.log_softmax(LOGITS, axis=1)
    expected = np.stack([rest[:, 1], -rest[:, 2], (LOGITS**2).sum(1)], axis=1)
    np.testing.assert_allclose(resolved.scores(outputs), expected, rtol=1e-12)


# ------------------------------------------------------------------ contrast


def contrasted(logits, c, d, gamma, weighting):
    """s_c − γ · Σ_d share_d s_d of one row, by hand."""
    shares = special.softmax(logits[d]) if weighting == "softmax" else np.full(len(d), 1 / len(d))
    return logits[c] - gamma * sum(share * logits[i] for share, i in zip(shares, d, strict=True))


@given(
    logits=MODERATE,
    c=st.integers(0, 4),
    count=st.integers(1, 4),
    gamma=st.floats(0, 3),
    weighting=st.sampled_from(["mean", "softmax"]),
)
@settings(deadline=None)
def test_a_contrast_is_the_class_less_a_share_of_the_closest(logits, c, count, gamma, weighting):
    outputs = Outputs(logits, "multiclass")
    resolved = resolve(Contrast(c, gamma=gamma, count=count, weighting=weighting), outputs)
    (against,) = resolved.against
    np.testing.assert_allclose(against.shares.sum(1), gamma, rtol=1e-12, atol=1e-300)
    for b, row in enumerate(logits):
        d = against.classes[b]
        assert c not in d
        assert len(set(d.tolist())) == count
        left = [i for i in range(5) if i != c and i not in d]
        distance = np.abs(row - row[c])
        assert not left or distance[d].max() <= distance[left].min()
        score = resolved.scores(outputs)[b, 0]
        assert score == pytest.approx(contrasted(row, c, d, gamma, weighting), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy, as_jax])
@pytest.mark.parametrize("weighting", ["mean", "softmax"])
@pytest.mark.parametrize("of", ["logit", "probability", "rest"])
def test_a_contrast_with_named_classes(convert, weighting, of):
    """Of any score; the classes are weighed by their probabilities all the same."""
    outputs = Outputs(convert(LOGITS), "multiclass")
    targets = [
        Contrast("tabby", ["lynx", 4], 0.5, weighting=weighting, of=of),
        -Contrast(1, "tabby", 2.0, of=of),
    ]
    scores = np.asarray(resolve(targets, outputs, NAMES).scores(outputs))
    values = np.asarray(Outputs(LOGITS, "multiclass").of(of))
    shares = special.softmax(LOGITS[:, [3, 4]], axis=1) if weighting == "softmax" else np.full((3, 2), 0.5)
    first = values[:, 0] - 0.5 * (shares * values[:, [3, 4]]).sum(1)
    second = -(values[:, 1] - 2.0 * values[:, 0])
    np.testing.assert_allclose(scores, np.stack([first, second], axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    "against",
    [2, "Egyptian cat", [2], (2,), ["Egyptian cat"], np.int64(2), np.array([2]), range(2, 3)],
)
def test_every_way_to_say_against_what(against):
    resolved = resolve(Contrast(1, against), MULTICLASS, NAMES)
    assert resolved.against[0].classes.tolist() == [[2]] * 3
    np.testing.assert_allclose(resolved.scores(MULTICLASS)[:, 0], LOGITS[:, 1] - 0.6 * LOGITS[:, 2])


def test_a_class_is_not_contrasted_with_itself():
    assert resolve(Contrast(1, [1, 2, 3]), MULTICLASS).against[0].classes.tolist() == [[2, 3]] * 3


def test_without_gamma_a_contrast_is_the_class():
    np.testing.assert_array_equal(
        resolve(Contrast(3, gamma=0), MULTICLASS).scores(MULTICLASS),
        resolve(3, MULTICLASS).scores(MULTICLASS),
    )


def test_a_contrasts_gradient_takes_the_others_weights_as_constants():
    logits = torch.tensor(LOGITS, requires_grad=True)
    outputs = Outputs(logits, "multiclass", raw=logits)
    scores = resolve(Contrast(0, [3, 4], 0.5, weighting="softmax"), outputs).scores(outputs)
    (found,) = torch.autograd.grad(scores.sum(), logits)
    shares = special.softmax(LOGITS[:, [3, 4]], axis=1)
    expected = np.zeros((3, 5))
    expected[:, 0] = 1
    expected[:, [3, 4]] = -0.5 * shares
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_a_contrast_among_other_targets_keeps_its_place():
    outputs = Outputs(LOGITS, "multiclass", raw={"z": LOGITS})
    targets = [norm, Contrast(1, 2), Class(0, "probability"), Contrast(0, [1, 2], 1.0), 3]
    resolved = resolve(targets, outputs)
    p = special.softmax(LOGITS, axis=1)
    expected = np.stack(
        [
            (LOGITS**2).sum(1),
            LOGITS[:, 1] - 0.6 * LOGITS[:, 2],
            p[:, 0],
            LOGITS[:, 0] - LOGITS[:, [1, 2]].mean(1),
            LOGITS[:, 3],
        ],
        axis=1,
    )
    np.testing.assert_allclose(resolved.scores(outputs), expected, rtol=1e-12)
    for part in (slice(0, 2), slice(1, 4), slice(3, None)):
        np.testing.assert_allclose(resolved[part].scores(outputs), expected[:, part], rtol=1e-12)
    assert not resolved.linear
    assert resolve([Contrast(1, 2), 3], outputs).linear
    assert not resolve([Contrast(1, 2), 3], outputs).all_logits
    assert not resolve(Contrast(1, 2, of="rest"), outputs).linear


def test_each_image_may_have_a_contrast_of_its_own():
    targets = PerImage(
        [Contrast(0, [1, 2], 0.5), Contrast(1, [4, 3], 0.25), -Contrast(2, count=2, gamma=1.0)]
    )
    resolved = resolve(targets, MULTICLASS)
    d = np.argsort(np.abs(LOGITS[2] - LOGITS[2, 2]), kind="stable")[1:3]
    expected = [
        contrasted(LOGITS[0], 0, [1, 2], 0.5, "mean"),
        contrasted(LOGITS[1], 1, [4, 3], 0.25, "mean"),
        -contrasted(LOGITS[2], 2, d, 1.0, "mean"),
    ]
    np.testing.assert_allclose(resolved.scores(MULTICLASS)[:, 0], expected, rtol=1e-12)
    # any copies of any of the images have their image's own
    index = np.array([2, 0, 0, 1])
    some = Outputs(LOGITS[index], "multiclass")
    np.testing.assert_allclose(
        resolved.images(index).scores(some)[:, 0], np.asarray(expected)[index], rtol=1e-12
    )


def test_contrasts_down_a_column_have_as_many_others():
    for other in (Contrast(1, [2, 3]), 1):
        with pytest.raises(TargetError, match="same kind of score"):
            resolve(PerImage([Contrast(1, 2), other, Contrast(1, 2)]), MULTICLASS)
    with pytest.raises(TargetError, match="same kind of score"):
        resolve(PerImage([Contrast(1, 2), Contrast(1, 2, of="rest"), Contrast(1, 2)]), MULTICLASS)


def test_similar_classes_differ_from_image_to_image():
    resolved = resolve(Contrast(0, count=1), MULTICLASS)
    nearest = [int(np.argsort(np.abs(row - row[0]), kind="stable")[1]) for row in LOGITS]
    assert resolved.against[0].classes[:, 0].tolist() == nearest
    assert len(set(nearest)) > 1
    assert not resolved.same_for_all_images
    assert resolve(Contrast(0, 2), MULTICLASS).same_for_all_images
    assert [row[0].against for row in resolved.infos(NAMES)] == [(NAMES[d],) for d in nearest]


def test_of_classes_just_as_close_the_first_are_taken():
    outputs = Outputs(np.array([[1.0, 2.0, 0.0, 2.0, 0.0]]), "multiclass")
    assert resolve(Contrast(0, count=2), outputs).against[0].classes.tolist() == [[1, 2]]


# ------------------------------------------------------------------ what does not fit is refused


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (5, r"no class 5: the model has 5, 0 to 4"),
        (-6, r"no class -6"),
        ("5", r"no class 5"),
        ("tabbi", r"no class 'tabbi'\. Did you mean 'tabby'"),
        ("Egiptian cat", r"Did you mean .*'Egyptian cat'"),
        (Class("catamont"), r"Did you mean 'catamount'"),
        ("zzzzzz", r"no class 'zzzzzz'\.$"),
        ([], r"list of targets is empty"),
        ((), r"list of targets is empty"),
        (TopK(6), r"only 5 classes"),
        (PerImage([0, 1]), r"PerImage holds 2 targets, the batch 3 images"),
        (PerImage([0, 1, 2, 3]), r"PerImage holds 4 targets, the batch 3 images"),
        (PerImage([]), r"PerImage holds 0 targets"),
        (PerImage([[0, 1], [2], [3, 4]]), r"counts differ: \[2, 1, 2\]"),
        (PerImage([[0], [], [1]]), r"list of targets is empty"),
        (np.array([1, 2, 3]), r"array of shape \(3,\).*PerImage\(list\)"),
        (torch.tensor([1, 2, 3]), r"array of shape \(3,\).*PerImage\(list\)"),
        (1.5, r"1\.5 is no target"),
        (True, r"True is no target"),
        ([1, None], r"None is no target"),
        ({"a": 1}, r"is no target"),
        (PerImage([0, 1.5, 2]), r"1\.5 is no target"),
        ("", r"names no class"),
        ("-", r"names no class"),
        (Contrast(7), r"no class 7"),
        (Contrast(1, 7), r"no class 7"),
        (Contrast("tabbi"), r"Did you mean 'tabby'"),
        (Contrast(1, "catamont"), r"Did you mean 'catamount'"),
        ("tabby vs tigr cat", r"no class 'tigr cat'\. Did you mean 'tiger cat'"),
        (Contrast(1, []), r"Class 1 cannot be contrasted: there is no other class"),
        (Contrast(1, 1), r"Class 1 cannot be contrasted: there is no other class"),
    ],
)
def test_a_target_that_does_not_fit_says_what_would(targets, message):
    with pytest.raises(TargetError, match=message):
        resolve(targets, MULTICLASS, NAMES)


def test_a_name_needs_names():
    with pytest.raises(TargetError, match=r"class names are not known.*class_names="):
        resolve("tabby", MULTICLASS, None)


def test_a_name_of_several_classes_asks_for_the_index():
    with pytest.raises(TargetError, match=r"stands for the classes \[0, 2\]"):
        resolve("crane", MULTICLASS, ["crane", "b", "Crane", "d", "e"])
    with pytest.raises(TargetError, match=r"stands for the classes \[0, 1\]"):
        resolve("crane", MULTICLASS, ["crane, bird", "machine, crane", "c", "d", "e"])


@pytest.mark.parametrize("make", [Class, TopK, AllClasses])
def test_an_unknown_score_names_the_nearest(make):
    with pytest.raises(TargetError, match=r"Did you mean .*'probability'"):
        make(1, of="probabilty") if make is not AllClasses else make(of="probabilty")


def test_a_binary_model_has_one_other_class():
    outputs = Outputs(np.array([[-1.0, 1.0]]), "binary")
    np.testing.assert_allclose(resolve(Contrast(1, count=1, gamma=0.5), outputs).scores(outputs), [[1.5]])
    np.testing.assert_allclose(resolve(Contrast(1, gamma=0.5), outputs).scores(outputs), [[1.5]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"of": "rst"}, r"Did you mean 'rest'"),
        ({"weighting": "sofmax"}, r"expected one of mean, softmax\. Did you mean 'softmax'"),
        ({"count": 0}, r"Contrast\(count=0\): at least one other class"),
        ({"count": 1.5}, r"Contrast\(count=1\.5\)"),
        ({"gamma": -1}, r"Contrast\(gamma=-1\): expected a number, at least 0"),
        ({"gamma": "much"}, r"Contrast\(gamma='much'\)"),
        ({"gamma": float("nan")}, r"Contrast\(gamma=nan\)"),
        ({"gamma": float("inf")}, r"Contrast\(gamma=inf\)"),
        ({"gamma": True}, r"Contrast\(gamma=True\)"),
    ],
)
def test_a_contrast_that_makes_no_sense(options, message):
    with pytest.raises(TargetError, match=message):
        Contrast(1, **options)


def test_what_cannot_be_contrasted():
    """A callable is no class; and what is contrasted is so already."""
    for target, words in (
        (norm, "no similar classes"),
        (Contrast(1, 2), "contrasted with other classes already"),
    ):
        with pytest.raises(TargetError, match=words):
            resolve([0, target], MULTICLASS).contrasted(MULTICLASS)


@pytest.mark.parametrize("k", [0, -1])
def test_top_k_starts_at_one(k):
    with pytest.raises(TargetError, match="at least 1"):
        TopK(k)


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda raw: raw, r"shape \(3, 5\)"),
        (lambda raw: raw[:2, 0], r"shape \(2,\)"),
        (lambda raw: raw[:, :1], r"shape \(3, 1\)"),
        (lambda raw: 3.0, "float"),
        (lambda raw: None, "NoneType"),
        (lambda raw: [1.0, 2.0, 3.0], "list"),
    ],
)
@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy])
def test_a_callable_must_return_one_number_per_image(function, got, convert):
    outputs = Outputs(convert(LOGITS), "multiclass", raw=convert(LOGITS))
    with pytest.raises(TargetError, match=rf"shape \(3,\); it returned {got}"):
        resolve([0, function], outputs).scores(outputs)


def test_a_column_of_a_callable_has_its_sign():
    for sign in (1, -1):
        column = Targets.of_function(lambda raw: raw[:, 2], 3, sign)
        np.testing.assert_array_equal(
            column.scores(replace(MULTICLASS, raw=LOGITS))[:, 0], sign * LOGITS[:, 2]
        )


def test_a_prediction_target_must_give_a_score_of_outputs():
    @dataclass(frozen=True)
    class Blank(PredictionTarget):
        sign: int = 1

        def score(self, outputs, class_names):
            return None

    with pytest.raises(TargetError, match=r"Blank\.score gave NoneType: expected an OutputScore"):
        resolve(Blank(), MULTICLASS, NAMES)


def test_an_error_inside_a_callable_comes_through_with_what_it_was_given():
    outputs = Outputs(LOGITS, "multiclass", raw={"x": LOGITS})
    with pytest.raises(TargetError, match=r"a dictionary of 'x': KeyError: 'z'") as caught:
        resolve(norm, outputs).scores(outputs)
    assert isinstance(caught.value.__cause__, KeyError)


# ------------------------------------------------------------------ the words of the command line


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("281", Class(281)),
        (" 281 ", Class(281)),
        ("tabby", Class("tabby")),
        ("tiger cat", Class("tiger cat")),
        ("top3", TopK(3)),
        ("Top-3", TopK(3)),
        ("top_3", TopK(3)),
        ("top 3", TopK(3)),
        ("all", AllClasses()),
        ("ALL", AllClasses()),
        ("-281", -Class(281)),
        ("-tabby", -Class("tabby")),
        ("- tabby", -Class("tabby")),
        ("--281", Class(281)),
        ("not:281", -Class(281)),
        ("not: tiger cat", -Class("tiger cat")),
        ("not:top3", -TopK(3)),
        ("-all", -AllClasses()),
        ("probability:tabby", Class("tabby", "probability")),
        ("log-probability:281", Class(281, "log-probability")),
        ("logit:281", Class(281)),
        ("probability:-281", -Class(281, "probability")),
        ("-probability:281", -Class(281, "probability")),
        ("not:probability:top2", -TopK(2, "probability")),
        ("probability:not:all", -AllClasses("probability")),
        ("top", Class("top")),
        ("stop3", Class("stop3")),
        ("black-and-tan", Class("black-and-tan")),
        ("ratio 3:4", Class("ratio 3:4")),
        ("rest:281", Class(281, "rest")),
        ("rest:top2", TopK(2, "rest")),
        ("281 vs 282", Contrast(281, [282])),
        (" 281  vs  282 ", Contrast(281, [282])),
        ("281 vs. 282", Contrast(281, [282])),
        ("281 VS 282", Contrast(281, [282])),
        ("281 vs 282 vs 283", Contrast(281, [282, 283])),
        ("281 vs similar", Contrast(281)),
        ("tabby vs tiger cat", Contrast("tabby", ["tiger cat"])),
        ("tiger cat vs 282", Contrast("tiger cat", [282])),
        ("-281 vs 282", -Contrast(281, [282])),
        ("not:tabby vs similar", -Contrast("tabby")),
        ("probability:281 vs 282", Contrast(281, [282], of="probability")),
        ("rest:not:281 vs similar", -Contrast(281, of="rest")),
        ("281vs282", Class("281vs282")),
        ("vs 282", Class("vs 282")),
        ("jack-o'-lantern", Class("jack-o'-lantern")),
    ],
)
def test_the_grammar(text, target):
    assert parse_target(text) == target


@given(
    index=st.integers(0, 10_000),
    of=st.sampled_from(["logit", "probability", "log-probability", "rest"]),
    word=st.sampled_from(["{}", "top{}", "all", "{} vs similar"]),
    signs=st.lists(st.sampled_from(["-", "not:", "not: "]), max_size=3),
    of_first=st.booleans(),
    blank=st.sampled_from(["", " "]),
)
def test_signs_and_scores_may_stand_in_any_order(index, of, word, signs, of_first, blank):
    index += 1  # top0 is refused
    before = [f"{of}:", *signs] if of_first else [*signs, f"{of}:"]
    found = parse_target(blank + "".join(before) + blank + word.format(index))
    expected = {
        "{}": Class(index, of),
        "top{}": TopK(index, of),
        "all": AllClasses(of),
        "{} vs similar": Contrast(index, of=of),
    }[word]
    assert found == (-expected if len(signs) % 2 else expected)


@pytest.mark.parametrize("text", ["", "  ", "-", "not:", "probability:", "probability:-", "not:not: "])
def test_no_class_at_all_gives_examples(text):
    with pytest.raises(TargetError, match=re.escape("281, tabby, top3, all or -281")):
        parse_target(text)


@pytest.mark.parametrize(
    "target",
    [
        -2,
        np.int64(-2),
        Class(-2),
        -Class(-2),
        [0, -2],
        PerImage([0, -2, 1]),
        Contrast(-2, 0),
        Contrast(0, -2),
    ],
)
def test_a_negative_index_could_mean_two_things_and_both_are_named(target):
    """As a text, "-2" is the evidence against class 2; counted from the end it would be class 3."""
    with pytest.raises(TargetError) as caught:
        resolve(target, MULTICLASS, NAMES)
    assert all(words in str(caught.value) for words in ("'-2'", "-camscope.Class(2)", "from the end, 3."))
    assert resolve("-2", MULTICLASS, NAMES).signs.tolist() == [[-1]] * 3


def test_a_negative_index_beyond_the_classes_is_none():
    for index in (-5, -6):
        with pytest.raises(TargetError, match=f"There is no class {index}: the model has 5, 0 to 4"):
            resolve(index, MULTICLASS)


# ------------------------------------------------------------------ names for people


def test_infos_say_which_class_how_and_for_or_against():
    targets = [-Class(1), Class(0, "probability"), norm, TopK(1)]
    infos = resolve(targets, MULTICLASS).infos(NAMES)
    assert infos[1] == (
        TargetInfo(1, "tiger cat", "logit", -1),
        TargetInfo(0, "tabby, tabby cat", "probability", 1),
        TargetInfo(None, "norm", None, 1),
        TargetInfo(1, "tiger cat", "logit", 1),
    )
    assert [info.label for info in infos[0]] == [
        "not tiger cat",
        "probability of tabby, tabby cat",
        "norm",
        "Egyptian cat",
    ]
    assert (-AllClasses("log-probability")).sign == -1


class WithoutLength:
    """A callable that is false as a truth value."""

    def __len__(self):
        return 0

    def __call__(self, output):
        return output[:, 0] ** 2


def test_a_callable_that_is_false_as_a_truth_value_is_no_class():
    found = Targets.of_function(WithoutLength(), 3, 1)
    assert found.of_functions
    assert not found.linear
    assert not found.all_logits
    with pytest.raises(TargetError, match="no class"):
        found.contrasted(MULTICLASS)


def test_a_callable_object_is_named_by_its_class():
    class Distance:
        def __call__(self, raw):
            return raw[:, 0]

    assert resolve(Distance(), MULTICLASS).infos(None)[0][0].name == "Distance"


def test_without_names_a_class_is_its_number():
    assert class_name(281, None) == "class 281"
    assert resolve(4, MULTICLASS).infos(None)[0][0].label == "class 4"


def test_a_contrast_says_against_what():
    targets = [
        Contrast("tiger cat", "tabby"),
        -Contrast("tiger cat", "lynx"),
        Contrast("tiger cat", [0, 2, 3]),
        Contrast(1, 0, of="probability"),
        Class(1, "rest"),
        -Contrast(1, 0, of="rest"),
    ]
    infos = resolve(targets, MULTICLASS, NAMES).infos(NAMES)
    assert infos[0][0] == TargetInfo(
        1, "tiger cat", "logit", 1, ("tabby, tabby cat",), gamma=0.6, weighting="mean"
    )
    assert infos[0][2].against == ("tabby, tabby cat", "Egyptian cat", "lynx, catamount")
    assert [info.label for info in infos[0]] == [
        "tiger cat vs tabby, tabby cat",
        "not tiger cat vs lynx, catamount",
        "tiger cat vs tabby, tabby cat and 2 more",
        "probability of tiger cat vs tabby, tabby cat",
        "ReST of tiger cat",
        "not ReST of tiger cat vs tabby, tabby cat",
    ]
    assert resolve(Contrast(1, 0), MULTICLASS).infos(None)[0][0].label == "class 1 vs class 0"


def titled(targets, names) -> list[str]:
    (row, *_) = resolve(targets, MULTICLASS, names).infos(names)
    return list(titles(row, short_names(names)))


def test_a_title_has_the_first_synonym_of_each_class_and_loses_nothing_else():
    targets = [
        0,
        "tabby vs tiger cat",
        "lynx vs tabby",
        "-0",
        "probability:0",
        "-lynx vs tabby",
        "rest:tabby",
    ]
    assert titled(targets, NAMES) == [
        "tabby",
        "tabby vs tiger cat",
        "lynx vs tabby",
        "not tabby",
        "probability of tabby",
        "not lynx vs tabby",
        "ReST of tabby",
    ]
    assert titled(["0 vs similar"], NAMES) == ["tabby vs tiger cat and 2 more"]


@pytest.mark.parametrize(
    ("names", "targets", "expected"),
    [
        # not synonyms: both would be "cat"
        (["cat, black", "cat, white", "dog, wet", "cow", "hen"], [0, 2], ["cat, black", "dog"]),
        (["Cat, black", "cat, white", "dog", "cow", "hen"], ["2 vs 1"], ["dog vs cat, white"]),
        # ImageNet's cranes: no name tells one from the other
        (["crane", "crane", "a", "b", "c"], [0, 1, 2], ["crane (class 0)", "crane (class 1)", "a"]),
        (["crane", "crane", "a", "b", "c"], [0, "-0"], ["crane", "not crane"]),
        # the same others at first sight
        (None, [Contrast(0, [1, 2]), Contrast(0, [1, 3])],
         ["class 0 vs class 1 and class 2 (class 0, γ 0.6)", "class 0 vs class 1 and class 3 (class 0, γ 0.6)"]),
        (None, [Contrast(0, 1, gamma=0.5), Contrast(0, 1, gamma=1)],
         ["class 0 vs class 1 (class 0, γ 0.5)", "class 0 vs class 1 (class 0, γ 1)"]),
        # one target twice is one target
        (None, [2, 2], ["class 2", "class 2"]),
        ([", odd", "a", "b", "c", "d"], [0], [", odd"]),
    ],
)  # fmt: skip
def test_two_different_targets_never_share_a_title(names, targets, expected):
    assert titled(targets, names) == expected


def test_contrasts_are_kept_and_read_back(shared_tiny_cnn, tiny_batch, tmp_path):
    """Whatever is known of a target is known again from the file."""
    one = [Contrast("a", "b"), Contrast("c", count=2), Class("d", "rest")]
    other = [Contrast("b", "c"), Contrast("a", count=2), Class("c", "rest")]
    targets = PerImage([[*one, -Contrast("e", ["a", "b"])], [*other, Contrast("d", ["a", "b"])]])
    explainer = camscope.Explainer(shared_tiny_cnn, class_names=list("abcde"))
    e = explainer(tiny_batch, targets=targets)
    again = camscope.load(e.save(tmp_path / "contrasts.npz"))
    assert again.targets == e.targets
    assert [[t.label for t in row] for row in again.targets] == [[t.label for t in row] for row in e.targets]
    assert again.targets[0][0].against == ("b",)
    assert len(again.targets[1][1].against) == 2
    np.testing.assert_array_equal(again.scores, e.scores.numpy())
    assert e.summary(0)["targets"][0]["against"] == ["b"]


def test_a_number_that_is_a_classs_name_is_that_name_however_it_is_written():
    """Folders of digits, sorted as text."""
    names = ["0", "1", "10", "2", "3"]
    for text, index in [
        ("2", 3),
        ("-2", 3),
        ("not:2", 3),
        ("probability:2", 3),
        (" 2", 3),
        ("10", 2),
        ("4", 4),
    ]:
        assert resolve(text, MULTICLASS, names).classes[0, 0] == index, text
    contrast = resolve("2 vs 10", MULTICLASS, names)
    assert (contrast.classes[0, 0], contrast.against[0].classes[0, 0]) == (3, 2)
    assert resolve(2, MULTICLASS, names).classes[0, 0] == 2


def test_the_targets_of_some_images_are_theirs_with_their_signs():
    signs = np.array([[1], [-1]])
    table = replace(Targets.of_classes(np.array([[1], [2]]), "logit", 1), signs=signs)
    taken = table.images(np.array([1, 0, 1]))
    assert taken.classes.tolist() == [[2], [1], [2]]
    assert taken.signs.tolist() == [[-1], [1], [-1]]
