"""Chosen on one half and tested on the other: nothing is claimed where nothing differs; mosaics and halves."""

import numpy as np
import pytest

from camscope.engine.choice_plan import Asked, mosaics_of
from camscope.engine.looking import Looked
from camscope.trust import bca_intervals
from camscope.trust.comparing_candidates import compare_candidates, ranked
from camscope.trust.halves import first_half
from camscope.trust.mosaics import dealt, joined, recognised, usual_scores

RNG = np.random.default_rng(0)


# ------------------------------------------------------------------ claims


def claims(candidates, images, runs, *, split):
    """How often the best of some candidates, none of which differs from the baseline, is claimed to beat it."""
    random = np.random.default_rng(7)
    leads = []
    for _ in range(runs):
        first = random.standard_normal((candidates, images))
        second = random.standard_normal((candidates, images)) if split else first
        order, _ = ranked(first, 0.0)
        leads.append(second[order[0]])
    bounds = bca_intervals(np.transpose(leads), side="below", seed=1)
    return np.mean([one.low > 0 for one in bounds])


@pytest.mark.parametrize(("candidates", "without"), [(5, 0.226), (20, 0.642)])
def test_where_nothing_differs_a_split_claims_so_in_5_percent_of_runs(candidates, without):
    """1 − 0.95⁵ = 22.6 % and 1 − 0.95²⁰ = 64.2 % on the images it was chosen on: the trap of choosing."""
    assert (
        claims(candidates, 50, 2000, split=True) < 0.062
    )  # 5 %, and two deviations of 2,000 runs and of the draws
    assert abs(claims(candidates, 50, 2000, split=False) - without) < 0.04


def test_no_better_than_all_baselines_is_claimed_in_fewer_runs_still():
    """All three leads must be above 0."""
    random = np.random.default_rng(5)
    runs, claimed = 150, 0
    for run in range(runs):
        scores = random.standard_normal((1, 50))
        beside = {name: random.standard_normal(50) for name in "abc"}
        over = compare_candidates(scores, [beside], None, run)[0].over
        claimed += all(one.difference.low > 0 for one in over.values())
    assert claimed / runs < 0.05


def test_a_candidate_that_differs_is_found():
    scores = RNG.standard_normal((1, 50)) + 0.8
    result = compare_candidates(scores, [{"a": np.zeros(50), "b": scores[0] + 0.001}], None, 0)[0]
    assert result.over["a"].difference.low > 0 > result.over["b"].difference.low
    assert result.over["b"].fidelity.value == pytest.approx(scores.mean() + 0.001)
    assert result.score.value == pytest.approx(scores.mean())
    assert result.lead.low == 0  # over itself


def test_the_lead_is_of_the_first_candidate_and_ties_have_none():
    base = RNG.standard_normal(60)
    scores = np.stack([base + 0.5, base, base + 0.5 + 0.01 * RNG.standard_normal(60)])
    leads = [one.lead for one in compare_candidates(scores, [{}] * 3, None, 0)]
    assert leads[1].low == pytest.approx(0.5)
    assert leads[0].low == 0 >= leads[2].low


def test_images_of_one_group_count_once_in_every_interval():
    """Five equal photos of each patient are as much as one."""
    scores, other = RNG.standard_normal((2, 2, 30))
    once = compare_candidates(scores, [{"a": other[0]}, {"a": other[1]}], None, 3)
    often = compare_candidates(
        scores.repeat(5, axis=1),
        [{"a": other[0].repeat(5)}, {"a": other[1].repeat(5)}],
        np.arange(30).repeat(5).tolist(),
        3,
    )
    for one, five in zip(once, often, strict=True):
        for a, b in (
            (one.score, five.score),
            (one.lead, five.lead),
            (one.over["a"].fidelity, five.over["a"].fidelity),
            (one.over["a"].difference, five.over["a"].difference),
        ):
            assert (b.value, b.low, b.high) == pytest.approx((a.value, a.low, a.high), abs=1e-9)


def test_what_cannot_be_judged_counts_as_chance_and_the_first_of_equals_stays_first():
    values = np.array([[0.3, 0.3], [np.nan, 0.9], [0.6, 0.6], [0.6, 0.6], [np.nan, np.nan]])
    order, means = ranked(values, 0.25)
    assert order == [2, 3, 1, 0, 4]
    np.testing.assert_allclose(means, [0.3, 0.575, 0.6, 0.6, 0.25])


# ------------------------------------------------------------------ halves


def test_halves_have_each_class_in_proportion():
    classes = RNG.permutation(np.repeat(np.arange(5), [20, 11, 4, 2, 1]))
    first = first_half(classes, seed=3)
    assert abs(int(first.sum()) - 19) <= 1
    for one in range(5):
        inside = first[classes == one]
        assert abs(2 * int(inside.sum()) - len(inside)) <= 1
    assert (first_half(classes, seed=3) == first).all()
    assert (first_half(classes, seed=4) != first).any()


def test_no_group_is_in_both_halves_and_classes_stay_balanced():
    groups = RNG.permutation(np.arange(12).repeat(5)).tolist()
    classes = np.array([group % 2 for group in groups])  # all photos of a patient are of one class
    for seed in range(5):
        first = first_half(classes, groups, seed=seed)
        of = [{g for g, f in zip(groups, first, strict=True) if f == half} for half in (True, False)]
        assert not of[0] & of[1]
        assert [len(one) for one in of] == [6, 6]
        assert all({group % 2 for group in one} == {0, 1} for one in of)
    alone = first_half(np.zeros(4, int), ["a"] * 4)
    assert alone.all()


# ------------------------------------------------------------------ mosaics


def test_mosaics_hold_different_classes_each_image_once_and_the_most_confident_first():
    classes = RNG.integers(0, 6, 60)
    classes[:5] = -1
    confidence = RNG.random(60)
    for parts in (2, 4):
        images = dealt(classes, confidence, parts)
        assert len(np.unique(images)) == images.size
        assert all(len(set(classes[own])) == parts for own in images)
        assert (classes[images] >= 0).all()
        assert images.size > 55 - 2 * parts - 4  # nearly all find a place
    top = [confidence[classes == one].max() for one in range(6)]
    used = dealt(classes, confidence, 4)
    for one in range(6):
        assert max(confidence[i] for i in used.ravel() if classes[i] == one) == top[one]


def test_as_many_mosaics_as_there_can_be_where_one_class_has_most_images():
    classes = np.repeat([0, 1, 2, 3, 4], [30, 3, 3, 3, 3])
    images = dealt(classes, RNG.random(42), 4)
    assert len(images) == 4  # the four small classes have 12 images, three for each mosaic
    assert dealt(classes[:33], RNG.random(33), 4).shape == (0, 4)
    assert dealt(np.zeros(9, int), RNG.random(9), 2).shape == (0, 2)


def test_each_half_has_64_mosaics_at_most():
    n = 1200
    looked = Looked(
        numbers=np.arange(n),
        classes=np.arange(n) % 4,
        confidence=np.linspace(0.2, 1, n),
        usable=np.ones(n, bool),
        groups=None,
        first=np.arange(n) < n // 2,
        usual=np.zeros(4),
        names=None,
        notes=(),
    )
    asked = Asked(None, None, "mosaics", None, 0, False, lambda told: None, {})
    first, second, notes = mosaics_of(looked, asked)
    assert (len(first), len(second), first.parts, notes) == (64, 64, 4, [])
    assert set(second.images.ravel().tolist()) == set(range(n - 256, n))  # the most confident


def test_the_part_of_a_class_is_drawn():
    classes = np.tile([0, 1, 2, 3], 100)
    images = dealt(classes, RNG.random(400), 4)
    at = [np.bincount(np.argmax(classes[images] == one, axis=1), minlength=4) for one in range(4)]
    assert np.min(at) > 12


def test_photos_are_joined_row_by_row_and_small_mosaics_are_their_means():
    x = RNG.random((8, 3, 6, 4))
    large = joined(x, (2, 2), small=False)
    assert large.shape == (2, 3, 12, 8)
    for mosaic in range(2):
        for part in range(4):
            row, column = divmod(part, 2)
            own = large[mosaic, :, 6 * row : 6 * row + 6, 4 * column : 4 * column + 4]
            np.testing.assert_array_equal(own, x[4 * mosaic + part])
    small = joined(x, (2, 2), small=True)
    assert small.shape == (2, 3, 6, 4)
    means = large.reshape(2, 3, 6, 2, 4, 2).mean((3, 5))
    np.testing.assert_allclose(small, means)
    wide = joined(x, (1, 2), small=False)
    assert wide.shape == (4, 3, 6, 8)
    np.testing.assert_array_equal(wide[1, :, :, 4:], x[3])


def test_a_mosaic_is_recognised_if_each_class_scores_more_than_in_photos_of_others():
    logits = np.array([[5.0, 0.0, 1.0], [0.0, 5.0, 1.0], [1.0, 2.0, 6.0]])
    classes = logits.argmax(1)
    usual = usual_scores(logits, classes)
    np.testing.assert_allclose(usual, [(-2 - 2) / 2, (-2 - 1) / 2, (-1 - 1) / 2])
    mosaics = np.array([[1.0, 1.0, 1.0], [9.0, -9.0, 0.0]])
    assert recognised(mosaics, np.array([[0, 1], [0, 1]]), usual).tolist() == [True, False]
    assert recognised(mosaics + 100, np.array([[0, 1], [0, 2]]), usual).tolist() == [True, True]
    alone = usual_scores(logits[:1], classes[:1])
    assert np.isnan(alone[0])
    assert not recognised(mosaics, np.array([[0, 1], [0, 1]]), alone).any()
