"""The statistics of a verdict: each against brute force, then what must be true of them by chance."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import Ridge

from camscope.imputing import pixels_of_cells
from camscope.metrics.cells_of_maps import grid_of, on_grid
from camscope.metrics.rank_correlation import rank_correlations, ranks
from camscope.trust.by_chance import chances
from camscope.trust.ceilings import ceilings
from camscope.trust.fidelities import by_half, fidelities, halves_of, in_units, masses
from camscope.trust.judged_maps import judged, too_small
from camscope.trust.other_places import moves
from camscope.trust.probes import drawn, probes_on
from camscope.trust.resampling import RESAMPLES, resampled
from camscope.trust.verdict import Verdict
from tests.trust.statistics_twins import (
    CENTRE,
    GRID,
    MEAN,
    additive,
    centre_blob,
    claim,
    probed_by,
    smooth_maps,
)

RANDOM = np.random.default_rng(0)


def test_ranks_and_their_correlations_are_scipys_with_ties_and_without():
    rows = np.stack([RANDOM.normal(size=20), RANDOM.integers(0, 4, 20), np.zeros(20)]).astype(float)
    np.testing.assert_array_equal(ranks(rows), stats.rankdata(rows, axis=1) - 1)
    other = RANDOM.integers(0, 5, (1, 20)).astype(float)
    expected = [stats.spearmanr(row, other[0])[0] for row in rows[:2]] + [0]
    np.testing.assert_allclose(rank_correlations(rows, other), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("space", "size", "grid"),
    [
        ((7, 7), (224, 224), (7, 7)),
        ((14, 14), (224, 224), (14, 14)),
        ((16, 16), (224, 224), (8, 8)),
        ((56, 56), (224, 224), (14, 14)),
        ((224, 224), (224, 224), (14, 14)),
        ((10, 40), (160, 640), (10, 14)),
        ((500,), (16000,), (167,)),
        ((8, 14, 14), (16, 224, 224), (4, 7, 7)),
        ((9, 9), (4, 4), (4, 4)),
        ((1, 9), (32, 288), (1, 9)),
    ],
)
def test_a_grid_is_the_maps_own_cells_grouped_until_they_are_few(space, size, grid):
    assert grid_of(space, size) == grid
    one = RANDOM.normal(size=space)
    assert on_grid(one, grid).shape == grid
    assert np.isclose(on_grid(one, grid).mean(), one.mean())
    assert probes_on(grid) == (128 if np.prod(grid) <= 49 else 256)


def test_probes_remove_as_many_cells_each_and_whole_cells_of_the_input():
    removed = drawn((4, 6), 50, 0.2, seed=3)
    assert removed.shape == (50, 4, 6)
    assert (removed.sum(axis=(1, 2)) == 5).all()
    assert np.array_equal(removed, drawn((4, 6), 50, 0.2, seed=3))
    assert not np.array_equal(removed, drawn((4, 6), 50, 0.2, seed=4))
    assert removed.sum(axis=0).min() > 2
    assert removed.sum(axis=0).max() < 20
    pixels = pixels_of_cells(removed, (8, 12))
    assert np.array_equal(pixels, removed.repeat(2, axis=1).repeat(2, axis=2))
    assert drawn((1, 2), 4, 0.2, seed=0).sum() == 4


@pytest.mark.parametrize("grid", [(3, 3), (2, 4), (5,), (2, 2, 3)])
def test_moves_are_all_windows_of_the_mirrored_map(grid):
    one = RANDOM.normal(size=grid)
    found = {tuple(row) for row in one.ravel()[moves(grid, 0)]}
    expected = set()
    for order in itertools.permutations(range(len(grid))):
        turned = one.transpose(order)
        if turned.shape != grid:
            continue
        tiled = np.pad(turned, [(0, 2 * n) for n in grid], mode="symmetric")
        for corner in itertools.product(*(range(2 * n) for n in grid)):
            expected.add(
                tuple(tiled[tuple(slice(c, c + n) for c, n in zip(corner, grid, strict=True))].ravel())
            )
    assert found == expected - {tuple(one.ravel())}


def test_of_many_moves_some_are_drawn_and_of_few_no_place_can_be_told_from_chance():
    assert moves((14, 14), 0).shape == (999, 196)
    assert not np.array_equal(moves((14, 14), 0), moves((14, 14), 1))
    assert not too_small((7, 7), 0)
    assert not too_small((20,), 0)
    for grid in ((1, 1), (1, 9), (2, 2)):
        assert "Take a layer with a finer grid" in too_small(grid, 0)


def test_a_bootstrap_is_that_of_repeated_probes_ranked_anew():
    mass, drop = RANDOM.normal(size=(2, 12)), RANDOM.normal(size=(2, 12))
    mass[1, :6] = 0
    halves = halves_of(["blur"] * 6 + ["road"] * 6)
    found = resampled(mass, drop, halves, seed=5)
    assert found.shape == (2, RESAMPLES)
    random = np.random.default_rng(5)
    counts = [random.multinomial(6, np.full(6, 1 / 6), RESAMPLES) for _ in halves]
    for resample in (0, 7, 99):
        for row in range(2):
            each = []
            for half, times in zip(halves.values(), counts, strict=True):
                some = np.repeat(half, times[resample])
                constant = np.ptp(mass[row, some]) == 0 or np.ptp(drop[row, some]) == 0
                each.append(0 if constant else stats.spearmanr(mass[row, some], drop[row, some])[0])
            np.testing.assert_allclose(found[row, resample], np.mean(each), atol=1e-5)


def test_chance_is_the_share_of_moves_that_do_as_well():
    probed = probed_by(additive(smooth_maps(RANDOM, 1, 1.0)), noise=1.0)
    removed, halves = probed.removed.astype(float), halves_of(probed.imputers)
    maps = smooth_maps(RANDOM, 3, 1.0).reshape(3, -1)
    maps[2] = np.maximum(maps[2], 0)  # with ties
    drops = np.repeat(probed.drops.T, 3, axis=0)
    own = fidelities(masses(maps, removed.reshape(128, -1)), drops, halves)
    p, ranges = chances(maps, drops[:1], [(0, 0), (1, 0), (2, 0)], own, removed, halves, 0)
    for one, value, chance, ends in zip(maps, own, p, ranges, strict=True):
        moved = np.round(in_units(one[None])[0][moves(GRID, 0)] @ removed.reshape(128, -1).T, 9)
        each = [
            np.mean([stats.spearmanr(row[half], drops[0, half])[0] for half in halves.values()])
            for row in moved
        ]
        expected = (1 + (np.array(each) >= value - 1e-9).sum()) / (1 + len(each))
        exact = len(np.unique(one)) < one.size  # else a tie between mirrored cells may be broken
        assert abs(chance - expected) <= (1e-12 if exact else 1.01 / 392)
        np.testing.assert_allclose(ends, np.percentile(each, (50, 2.5, 97.5)), atol=1e-6 if exact else 1e-3)


def test_each_map_is_held_against_its_own_target_whatever_stands_beside_it():
    probed = probed_by(additive(smooth_maps(RANDOM, 2, 1.0)), noise=1.0)
    removed, halves = probed.removed.astype(float), halves_of(probed.imputers)
    maps, drops = smooth_maps(RANDOM, 2, 1.0).reshape(2, -1), probed.drops.T
    maps[1] = np.maximum(maps[1], 0)  # with ties
    rows = [(0, 1), (1, 0), (0, 0), (1, 1)]
    own = np.array(
        [
            fidelities(masses(maps[m : m + 1], removed.reshape(128, -1)), drops[t : t + 1], halves)[0]
            for m, t in rows
        ]
    )
    together = chances(maps, drops, rows, own, removed, halves, 0)
    for number, row in enumerate(rows):
        alone = chances(maps, drops, [row], own[number : number + 1], removed, halves, 0)
        assert together.p[number] == alone.p[0]
        np.testing.assert_allclose(together.ranges[number], alone.ranges[0], atol=1e-12)
    assert len(set(together.p.tolist())) > 2


def test_intervals_are_the_middle_95_percent_and_bounds_the_lowest_5_of_the_same_resamples():
    random = np.random.default_rng(4)
    truth = smooth_maps(random, 1, 1.0)
    probed = probed_by(additive(truth), noise=0.7)
    mean, one = smooth_maps(random, 1, 2.0)[0], truth[0] + 0.3 * random.normal(size=GRID)
    (row,) = judged(0, [claim(one, mean=mean)], probed, 3)
    maps = np.stack([one, centre_blob(), mean]).reshape(3, -1)
    mass = masses(maps, probed.removed.reshape(128, -1).astype(float))
    again = resampled(mass, np.repeat(probed.drops.T, 3, axis=0), halves_of(probed.imputers), 3)
    of_map, *of_baselines = (np.percentile(own, (2.5, 97.5)) for own in again)
    assert [row.fidelity.low, row.fidelity.high] == pytest.approx(of_map)
    for number, (name, ends) in enumerate(zip((CENTRE, MEAN), of_baselines, strict=True), start=1):
        compared = row.baselines[name]
        assert [compared.fidelity.low, compared.fidelity.high] == pytest.approx(ends)
        assert compared.difference.low == pytest.approx(np.percentile(again[0] - again[number], 5))


def test_a_place_is_told_from_chance_up_to_a_p_of_25_in_1000():
    random = np.random.default_rng(6)
    truth = smooth_maps(random, 1, 1.0)
    maps = [truth[0] + 0.05 * k * smooth_maps(random, 1, 1.0)[0] for k in range(60)]
    rows = judged(0, [claim(one) for one in maps], probed_by(additive(truth), noise=0.7), 0)
    assert [row.verdict == Verdict.CHANCE for row in rows] == [row.p > 0.025 for row in rows]
    assert sum(row.p <= 0.025 for row in rows) > 5
    assert any(0.025 < row.p <= 0.05 for row in rows)


def test_each_target_has_its_own_ceiling_and_its_own_size_of_score():
    random = np.random.default_rng(8)
    maps = smooth_maps(random, 2, 1.0)
    probed = probed_by(additive(maps))
    noisy = np.stack([probed.drops[:, 0], probed.drops[:, 1], random.normal(size=128)], axis=1)
    ones = np.ones(3)
    still = dataclasses.replace(
        probed, drops=noisy, clean=np.array([1e9, 1.0, 1.0]), kept_probability=ones, changed=0.9
    )
    claims = [claim(maps[0], 0), claim(maps[1], 1), claim(maps[1], 2)]
    first, second, third = judged(0, claims, still, 0)
    assert "does not move" in first.why  # by a billionth of itself
    assert second.ceiling > 0.9
    assert second.fidelity.value == pytest.approx(1)
    assert "matters little which parts" in third.why
    turned = judged(0, claims[::-1], still, 0)[::-1]
    assert [row.why for row in turned] == [first.why, "", third.why]
    assert turned[1].fidelity == second.fidelity
    told = judged(0, claims, dataclasses.replace(still, changed=0.1), 0)
    assert told[1].ceiling == second.ceiling
    assert told[2].ceiling < 0.5


def test_of_an_additive_model_the_true_map_has_fidelity_one_its_ceiling_and_beats_all():
    truth = np.zeros(GRID)
    truth[1:3, 4:7] = RANDOM.uniform(1, 2, (2, 3))
    (row,) = judged(0, [claim(truth)], probed_by(additive(truth[None])), 0)
    assert row.fidelity.value == pytest.approx(1, abs=1e-12)
    assert row.by_imputer == pytest.approx({"blur": 1, "road": 1})
    assert 0.99 < row.ceiling <= 1
    assert row.of_ceiling == 1
    assert row.p == 1 / 392
    assert row.verdict == Verdict.BEATS
    assert all(compared.difference.low > 0 for compared in row.baselines.values())


def test_a_place_that_does_just_as_well_counts():
    truth = RANDOM.uniform(1, 2, GRID)
    truth = truth + truth[:, ::-1]  # mirrored from left to right it is the same map
    (row,) = judged(0, [claim(truth)], probed_by(additive(truth[None])), 0)
    assert row.p == 2 / 392


def test_a_ceiling_is_out_of_sample_so_that_noise_has_none():
    random = np.random.default_rng(1)
    removed, halves = (
        drawn(GRID, 128, 0.2, 0).reshape(128, -1).astype(float),
        halves_of(["blur", "road"] * 64),
    )
    found = ceilings(removed, random.normal(size=(200, 128)), halves, 0)
    assert abs(found.mean()) < 0.05
    assert np.quantile(np.abs(found), 0.95) < 0.25
    shifted = (removed @ random.normal(size=(49, 1))).T + 100 * (np.arange(128) % 2)
    assert ceilings(removed, shifted, halves, 0)[0] > 0.97  # what is one imputer's alone is no map's to say


@pytest.mark.parametrize(("noise", "seed", "best"), [(0, 0, 0.1), (1, 0, 3.0), (1, 3, 30.0)])
def test_a_ceiling_is_that_of_the_best_of_three_ridges_on_folds_they_were_not_fitted_to(noise, seed, best):
    truth = smooth_maps(np.random.default_rng(seed), 1, 1)
    probed = probed_by(additive(truth), noise=noise, seed=seed)
    removed, drops = probed.removed.reshape(128, -1).astype(float), probed.drops[:, 0]
    halves = halves_of(probed.imputers)
    random = np.random.default_rng(seed)
    fold = np.empty(128, int)
    for half in halves.values():
        fold[half] = random.permutation(np.arange(64) % 4)

    def reached(ridge):
        predicted = np.empty(128)
        for out in range(4):
            x, level = removed.copy(), np.empty(128)
            for half in halves.values():  # what is the same for all probes of an imputer is taken off
                known = half[fold[half] != out]
                x[half] -= removed[known].mean(0)
                level[half] = drops[known].mean()
            known, asked = fold != out, fold == out
            fitted = Ridge(alpha=ridge, fit_intercept=False).fit(x[known], (drops - level)[known])
            predicted[asked] = fitted.predict(x[asked]) + level[asked]
        return np.mean([stats.spearmanr(predicted[half], drops[half])[0] for half in halves.values()])

    each = {ridge: reached(ridge) for ridge in (0.1, 3.0, 30.0)}
    assert max(each, key=each.get) == best
    assert ceilings(removed, probed.drops.T, halves, seed)[0] == pytest.approx(each[best], abs=1e-9)


def test_probes_that_mostly_change_the_top_class_and_still_tell_something_are_told():
    truth = np.arange(49.0).reshape(GRID) % 11
    probed = probed_by(additive(truth[None]), noise=0.1)
    for changed, said in (
        (0.84, ["84 % of the probes have another top class"]),
        (0.5, []),
        (float("nan"), []),
    ):
        (row,) = judged(0, [claim(truth)], dataclasses.replace(probed, changed=changed), 0)
        assert row.verdict == Verdict.BEATS
        assert [note.partition(":")[0] for note in row.notes] == said


def test_the_adversaries_come_last():
    random = np.random.default_rng(2)
    truth = np.zeros(GRID)
    truth[0:3, 0:3] = 1
    truth = truth + 0.1 * random.normal(size=GRID)
    one_pixel = np.ones(GRID)
    one_pixel[4, 4] = 0
    other = np.zeros(GRID)
    other[4:7, 4:7] = 1
    maps = {
        "truth": truth,
        "1 everywhere but one pixel": one_pixel,
        "inverted": -truth,
        "another image's": other,
        "centre": centre_blob(),
    }
    probed = probed_by(additive(truth[None]), noise=0.5)
    rows = dict(zip(maps, judged(0, [claim(one) for one in maps.values()], probed, 0), strict=True))
    assert max(rows, key=lambda name: rows[name].fidelity.value) == "truth"
    assert rows["truth"].verdict == Verdict.BEATS
    assert {row.verdict for name, row in rows.items() if name != "truth"} == {Verdict.CHANCE}
    assert rows["truth"].fidelity.value > 0.5
    assert all(row.fidelity.value < 0.3 for name, row in rows.items() if name != "truth")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("grid", "smooth", "true"),
    [
        (GRID, 1.0, 1.0),
        (GRID, 2.0, 2.0),
        (GRID, 3.0, 1.0),
        ((4, 4), 1.0, 1.0),
        ((7, 11), 1.0, 1.0),
        ((7, 11), 2.0, 2.0),
        ((14, 14), 1.0, 1.0),
        ((14, 14), 2.0, 2.0),
    ],
)
def test_smooth_maps_that_know_nothing_of_the_model_are_said_to_say_where_in_no_more_than_5_percent(
    grid, smooth, true
):
    random, count, probes = np.random.default_rng(7), 250, probes_on(grid)
    places = false = 0
    for seed in range(4):  # what maps of the same probes are told goes together
        truth, maps, means = (smooth_maps(random, count, sigma, grid) for sigma in (true, smooth, 1.0))
        probed = probed_by(additive(truth), grid=grid, count=probes, noise=0.7, seed=seed)
        removed, halves = probed.removed.astype(float), halves_of(probed.imputers)
        flat, drops = maps.reshape(count, -1), probed.drops.T
        own = fidelities(masses(flat, removed.reshape(probes, -1)), drops, halves)
        p, _ = chances(flat, drops, [(i, i) for i in range(count)], own, removed, halves, 0)
        sure = np.flatnonzero(p <= 0.025)  # the others are told to be chance, whatever the rest says
        rows = judged(0, [claim(maps[i], int(i), np.abs(means[i])) for i in sure], probed, 0)
        assert [row.p for row in rows] == p[sure].tolist()
        places += sure.size
        false += sum(row.verdict == Verdict.BEATS for row in rows)
    assert places > 0
    for found in (false, places):  # the place alone keeps to its level, a little above at most
        highest = stats.beta.ppf(0.95, found + 1, 4 * count - found)  # of the true rate, with 95 % confidence
        assert highest <= 0.05, found


@pytest.mark.parametrize("better", [CENTRE, MEAN])
def test_a_map_that_is_no_better_than_a_baseline_is_told_so_in_its_name(better):
    random = np.random.default_rng(3)
    truth = centre_blob() + 0.05 * random.normal(size=GRID)
    mean = np.indices(GRID).sum(0).astype(float)
    if better == MEAN:
        truth = np.roll(truth, (2, -2), (0, 1))
        mean = truth
    noisy = truth + 0.03 * random.normal(size=GRID)
    (row,) = judged(0, [claim(noisy, mean=mean)], probed_by(additive(truth[None]), noise=0.5), 0)
    assert row.verdict == (Verdict.NO_BETTER_THAN_CENTRE if better == CENTRE else Verdict.NO_BETTER_THAN_MEAN)


def test_a_map_does_not_beat_what_it_equals_and_the_simplest_that_it_does_not_beat_is_named():
    centre = centre_blob()
    probed = probed_by(additive(centre[None]), noise=0.3)
    rows = judged(0, [claim(centre), claim(3 * centre, mean=centre), claim(centre, mean=centre)], probed, 0)
    for row in rows:
        assert row.p <= 0.025
        assert row.baselines[CENTRE].difference.low == 0
        assert row.verdict == Verdict.NO_BETTER_THAN_CENTRE


def test_a_lower_bound_lies_above_a_difference_of_zero_in_about_5_percent_of_cases():
    """A model that is the same to the left and to the right: a map and its mirror image are worth the same."""
    above, count = 0, 10
    for seed in range(40):
        random = np.random.default_rng(seed)
        truth = smooth_maps(random, count, 1.0)
        truth = truth + truth[:, :, ::-1]
        one = truth / truth.std(axis=(1, 2), keepdims=True) + random.normal(size=truth.shape)
        probed = probed_by(additive(truth), noise=0.7, seed=seed)
        maps = np.concatenate([one, one[:, :, ::-1]]).reshape(2 * count, -1)
        mass = masses(maps, probed.removed.reshape(128, -1).astype(float))
        drops = np.concatenate([probed.drops.T] * 2)
        again = resampled(mass, drops, halves_of(probed.imputers), seed)
        above += (np.percentile(again[:count] - again[count:], 5, axis=1) > 0).sum()
    assert 0.025 < above / 400 < 0.085


def test_halves_are_correlated_by_themselves():
    probed = probed_by(additive(smooth_maps(RANDOM, 1, 1.0)))
    halves = halves_of(probed.imputers)
    mass = masses(RANDOM.normal(size=(1, 49)), probed.removed.reshape(128, -1).astype(float))
    drops = probed.drops.T + 50 * (np.arange(128) % 2)  # one imputer costs more, wherever it is used
    found = by_half(mass, drops, halves)
    for name, half in halves.items():
        assert found[name][0] == pytest.approx(stats.spearmanr(mass[0, half], drops[0, half])[0])
    assert fidelities(mass, drops, halves)[0] == pytest.approx(np.mean([one[0] for one in found.values()]))
