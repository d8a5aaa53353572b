"""What is being explained: from what a user writes to a table of scores, and what the scores mean."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import special

from camscope.errors import TargetError
from camscope.targets import (
    AllClasses,
    Class,
    Outputs,
    PerImage,
    TargetInfo,
    TopK,
    class_name,
    parse_target,
    resolve,
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
    for of in ("probability", "log-probability"):
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
        (-1, [[4]] * 3),
        (-5, [[0]] * 3),
        ("3", [[3]] * 3),
        ("Egyptian cat", [[2]] * 3),
        ("egyptian CAT ", [[2]] * 3),
        ("tabby, tabby cat", [[0]] * 3),
        ("tabby", [[0]] * 3),
        ("tabby cat", [[0]] * 3),
        ("Catamount", [[3]] * 3),
        (Class(3), [[3]] * 3),
        (Class(-2), [[3]] * 3),
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
        (PerImage([0, "lynx", -1]), [[0], [3], [4]]),
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


@pytest.mark.parametrize("target", [Class(2), TopK(2), AllClasses(), Class(2, "probability")])
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


@pytest.mark.parametrize("k", [0, -1])
def test_top_k_starts_at_one(k):
    with pytest.raises(TargetError, match="at least 1"):
        TopK(k)


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda raw: raw, r"shape \(3, 5\)"),
        (lambda raw: raw.sum(), r"shape \(\)"),
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


def test_an_error_inside_a_callable_comes_through():
    outputs = Outputs(LOGITS, "multiclass", raw={})
    with pytest.raises(KeyError):
        resolve(norm, outputs).scores(outputs)


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
        ("jack-o'-lantern", Class("jack-o'-lantern")),
    ],
)
def test_the_grammar(text, target):
    assert parse_target(text) == target


@given(
    index=st.integers(0, 10_000),
    of=st.sampled_from(["logit", "probability", "log-probability"]),
    word=st.sampled_from(["{}", "top{}", "all"]),
    signs=st.lists(st.sampled_from(["-", "not:", "not: "]), max_size=3),
    of_first=st.booleans(),
    blank=st.sampled_from(["", " "]),
)
def test_signs_and_scores_may_stand_in_any_order(index, of, word, signs, of_first, blank):
    index += 1  # top0 is refused
    before = [f"{of}:", *signs] if of_first else [*signs, f"{of}:"]
    found = parse_target(blank + "".join(before) + blank + word.format(index))
    expected = {"{}": Class(index, of), "top{}": TopK(index, of), "all": AllClasses(of)}[word]
    assert found == (-expected if len(signs) % 2 else expected)


@pytest.mark.parametrize("text", ["", "  ", "-", "not:", "probability:", "probability:-", "not:not: "])
def test_no_class_at_all_gives_examples(text):
    with pytest.raises(TargetError, match=re.escape("281, tabby, top3, all or -281")):
        parse_target(text)


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


def test_a_callable_object_is_named_by_its_class():
    class Distance:
        def __call__(self, raw):
            return raw[:, 0]

    assert resolve(Distance(), MULTICLASS).infos(None)[0][0].name == "Distance"


def test_without_names_a_class_is_its_number():
    assert class_name(281, None) == "class 281"
    assert resolve(-1, MULTICLASS).infos(None)[0][0].label == "class 4"
