"""Scores against scikit-learn's, and by hand where both could be wrong."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from camscope.errors import InputError
from camscope.training import assess
from camscope.training.performance import average_precision


def made(images: int, classes: int, *, multilabel: bool, seed: int):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    targets = rng.random((images, classes)) < 0.3 if multilabel else labels[:, None] == np.arange(classes)
    logits = rng.normal(size=(images, classes)) + 2 * targets
    return targets, np.round(logits, 1).astype(np.float32)  # rounded, so that there are ties


@pytest.mark.parametrize("seed", range(4))
def test_one_class_each_equals_scikit_learn(seed):
    targets, logits = made(200, 5, multilabel=False, seed=seed)
    ours, truth, said = assess(targets, logits, multilabel=False), targets.argmax(1), logits.argmax(1)
    assert ours.accuracy == metrics.accuracy_score(truth, said)
    assert np.array_equal(ours.confusion, metrics.confusion_matrix(truth, said))
    theirs = metrics.precision_recall_fscore_support(truth, said)
    for mine, other in zip((ours.precision, ours.recall, ours.f1, ours.images), theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12)
    assert ours.macro_f1 == pytest.approx(metrics.f1_score(truth, said, average="macro"), abs=1e-12)
    log_p = logits.astype(float) - np.logaddexp.reduce(logits.astype(float), axis=1, keepdims=True)
    ap = metrics.average_precision_score(targets, log_p, average=None)
    np.testing.assert_allclose(ours.average_precision, ap, rtol=1e-9)
    assert ours.mean_average_precision == pytest.approx(ap.mean())


@pytest.mark.parametrize("seed", range(4))
def test_several_classes_each_equal_scikit_learn(seed):
    targets, logits = made(200, 5, multilabel=True, seed=seed)
    ours = assess(targets, logits, multilabel=True)
    assert ours.confusion is None
    assert ours.accuracy == metrics.accuracy_score(targets, logits > 0)
    assert ours.macro_f1 == pytest.approx(metrics.f1_score(targets, logits > 0, average="macro"), abs=1e-12)
    ap = metrics.average_precision_score(targets, logits, average=None)
    np.testing.assert_allclose(ours.average_precision, ap, rtol=1e-9)


def test_average_precision_by_hand():
    """Right at ranks 1 and 3 of 4: (1/1 + 2/3) / 2. Tied, all four are one step: 2/4."""
    truth = np.array([True, False, True, False])
    assert average_precision(truth, np.array([4.0, 3.0, 2.0, 1.0])) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(truth, np.zeros(4)) == 0.5


def test_classes_that_do_not_occur_are_left_out():
    """Class 2 neither occurs nor is predicted, so it has no precision; class 1 is predicted once but does not occur."""
    targets = np.array([[1, 0, 0], [1, 0, 0]], dtype=bool)
    ours = assess(targets, np.array([[2.0, 1.0, 0.0], [0.0, 1.0, -1.0]]), multilabel=False)
    assert ours.macro_f1 == pytest.approx((2 / 3 + 0) / 2)
    assert np.isnan(ours.average_precision[1:]).all()
    assert ours.mean_average_precision == ours.average_precision[0] == 1
    assert ours.scores["accuracy"] == 0.5
    assert ours.by_class["images"] == [2, 0, 0]
    np.testing.assert_array_equal(ours.precision, [1, 0, np.nan])


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (
            np.array([[0.0, np.nan], [1.0, 2.0]]),
            "The logits of 1 of 2 images are not finite.*lower learning rate",
        ),
        (np.array([[0.0, np.inf], [1.0, 2.0]]), "The logits of 1 of 2"),
        (np.zeros((2, 3)), "Expected logits like targets"),
    ],
)
def test_what_is_refused(logits, message):
    with pytest.raises(InputError, match=message):
        assess(np.eye(2, dtype=bool), logits, multilabel=False)
