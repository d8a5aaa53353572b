"""Splits: every image once, classes in proportion, and what cannot be split."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

from camscope.errors import InputError
from camscope.training import split
from camscope.training.labelled import LabelledImages
from camscope.training.stratifying import deal, draw, stratify
from tests.training.made import labelled


def of_classes(counts: list[int]) -> LabelledImages:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    return labelled(len(labels), len(counts), targets=labels[:, None] == np.arange(len(counts)))


def cells(images: int = 3000, classes: int = 19, seed: int = 0) -> np.ndarray:
    """Several classes an image, the rarest a hundred times rarer than the most frequent; some images have none."""
    rng = np.random.default_rng(seed)
    return rng.random((images, classes)) < np.geomspace(0.4, 0.004, classes)


@settings(max_examples=60, deadline=None, database=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(2, 7), st.integers(0, 5))
def test_dealt_folds_differ_by_one_image_at_most(counts, folds, seed):
    """In their sizes, and in their counts of each class."""
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    fold = deal(labels, folds, seed)
    for chosen in (fold, *(fold[labels == c] for c in range(len(counts)))):
        assert np.ptp(np.bincount(chosen, minlength=folds)) <= 1


@settings(max_examples=60, deadline=None, database=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.floats(0.01, 0.99), st.integers(0, 5))
def test_a_share_is_drawn_from_each_class(counts, share, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    held = draw(labels, share, seed)
    for c, count in enumerate(counts):
        drawn = held[labels == c].sum()
        assert (drawn == 0) if count == 1 else (1 <= drawn <= count - 1)
        assert abs(drawn - share * count) <= 1
    if min(counts) * min(share, 1 - share) >= 1:  # no class was too small for its share
        assert held.sum() == round(share * len(labels))


def test_a_hold_out_is_exact():
    """The largest remainder: 10 % of 15, 15, 15 and 15 are 6, so two classes give two and two give one."""
    parts = split(of_classes([15, 15, 15, 15]), holdout=0.1)
    assert len(parts.val) == 6
    assert np.array_equal(np.sort(np.concatenate([parts.train, parts.val])), np.arange(60))


def test_folds_hold_out_each_image_once():
    images = of_classes([20, 30, 7])
    held = np.concatenate([split(images, folds=4, fold=k).val for k in range(4)])
    assert np.array_equal(np.sort(held), np.arange(57))


def test_several_classes_are_stratified_as_well_as_by_the_reference():
    """Iterative-stratification's folds are the oracle: no class is further from its share in ours."""
    targets = cells()
    want = targets.sum(0) / 5
    ours = stratify(targets, [0.2] * 5, seed=0)
    reference = MultilabelStratifiedKFold(n_splits=5, shuffle=True, random_state=0)
    theirs = np.empty(len(targets), dtype=int)
    for k, (_, held) in enumerate(reference.split(targets, targets)):
        theirs[held] = k
    worst = [
        max(np.abs(targets[fold == k].sum(0) / want - 1).max() for k in range(5)) for fold in (ours, theirs)
    ]
    assert worst[0] <= worst[1]
    assert np.ptp(np.bincount(ours)) <= np.ptp(np.bincount(theirs)) + 1


def test_of_several_classes_a_share_and_folds():
    targets = cells(500, 5)
    images = labelled(500, 5, targets=targets, multilabel=True)
    parts = split(images, holdout=0.3)
    assert abs(len(parts.val) - 150) <= 1
    assert np.abs(targets[parts.val].sum(0) - 0.3 * targets.sum(0)).max() <= 2
    held = np.concatenate([split(images, folds=3, fold=k).val for k in range(3)])
    assert np.array_equal(np.sort(held), np.arange(500))


@pytest.mark.parametrize("multilabel", [False, True])
def test_the_seed_decides(multilabel):
    images = labelled(60, 3, multilabel=multilabel)
    one, again, other = (split(images, seed=seed).val.tolist() for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_the_data_may_say_it_itself():
    images = labelled(6, 2, parts=("train", "val", "train", "train", "val", "train"))
    parts = split(images, seed=3)
    assert parts.val.tolist() == [1, 4]
    assert parts.train.tolist() == [0, 2, 3, 5]
    with pytest.raises(InputError, match="says itself what is held out"):
        split(images, folds=2)
    with pytest.raises(InputError, match="leaves none for val"):
        split(labelled(4, 2, parts=("train",) * 4))


def test_classes_that_are_never_judged_are_noted():
    assert split(of_classes([9, 1])).notes == ("no image to be judged by: b",)
    assert split(of_classes([9, 2])).notes == ()
    assert split(of_classes([9, 2]), folds=3, fold=2).notes  # three folds, two images


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"holdout": 0.0}, "between 0 and 1; got 0.0"),
        ({"holdout": 1.0}, "between 0 and 1; got 1.0"),
        ({"folds": 1}, "from 2 to the number of images, 9; got 1"),
        ({"folds": 10}, "from 2 to the number of images, 9; got 10"),
        ({"folds": 3, "fold": 3}, "fold is from 0 to 2; got 3"),
        ({"folds": 3, "fold": -1}, "fold is from 0 to 2; got -1"),
        ({"folds": 2}, "Of 'b' there is one image"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        split(of_classes([8, 1]), **options)


def test_too_few_images_for_a_share():
    with pytest.raises(InputError, match="leaves none for val"):
        split(of_classes([1, 1]))
