"""More of the bugs that `benchmarks.mutants` plants: in measures, verdicts, locks, memories, trainings and runs."""

from __future__ import annotations

from benchmarks.planting import Bug, bugs_in

BUGS: list[Bug] = [
    # ------------------------------------------------------------------ what is put in place of removed pixels
    *bugs_in(
        "arrays/blurring.py",
        ("tests/imputing/test_blurring.py",),
        ("what is blurred gets darker", "    taps /= taps.sum()\n", ""),
        ("the edge is repeated where it is mirrored", "period = 2 * (n - 1)  #", "period = 2 * n - 1  #"),
    ),
    *bugs_in(
        "imputing/balance.py",
        ("tests/imputing/test_imputers.py",),
        (
            "neighbours across a corner weigh as those across a side",
            "0.5 ** (np.count_nonzero(offset) - 1)",
            "1.0",
        ),
    ),
    *bugs_in(
        "imputing/neighbours.py",
        ("tests/imputing/test_imputers.py",),
        (
            "every input is filled by its own mask from the first input",
            "values[number if len(values) > 1 else 0]",
            "values[0]",
        ),
        ("the noise is added to what was kept, too", "out=found[number], where=gone)", "out=found[number])"),
        (
            "the noise is the same whatever the seed",
            "np.random.default_rng(seed).standard_normal(shape)",
            "np.random.default_rng(0).standard_normal(shape)",
        ),
    ),
    *bugs_in(
        "imputing/removed_cells.py",
        ("tests/imputing/test_imputers.py",),
        (
            "cells at the edge of the input are solved for as those inside",
            "before = tuple(int(a > 0) for a in starts)",
            "before = tuple(1 for a in starts)",
        ),
        (
            "a pixel between two cells is the further one's",
            "(2 * np.arange(pixels) + 1) * cells // (2 * pixels)",
            "(2 * np.arange(pixels) + 2) * cells // (2 * pixels + 1)",
        ),
        (
            "cells that touch at a corner are solved for apart",
            "ndimage.label(removed, structure=np.ones((3,) * removed.ndim))",
            "ndimage.label(removed)",
        ),
        (
            "all cells of a shape are solved for as the first, wherever the edge is",
            "    behind = tuple(int(b < n) for b, n in zip(stops, size, strict=True))\n",
            "    behind = before\n",
        ),
    ),
    *bugs_in(
        "imputing/plain_imputers.py",
        ("tests/imputing/test_imputers.py",),
        ("noise has no mean", "mean + spread * from_numpy", "spread * from_numpy"),
        (
            "the mean of all channels is put into each",
            "mean(x, axis=tuple(range(2, x.ndim)), keepdims=True)",
            "mean(x, axis=tuple(range(1, x.ndim)), keepdims=True)",
        ),
        (
            "every image of a batch draws its own noise",
            "standard_normal((1, *x.shape[1:]))",
            "standard_normal(tuple(x.shape))",
        ),
    ),
    # ------------------------------------------------------------------ numbers about maps
    *bugs_in(
        "metrics/removal_order.py",
        ("tests/metrics/test_removal.py",),
        (
            "the reversed order leaves the last place out",
            "self.count - 1 - self.ranks",
            "self.count - self.ranks",
        ),
        ("shares are cut to whole places", "* self.count + 0.5)", "* self.count)"),
        (
            "what is equal is ordered by its place",
            "np.lexsort((drawn, -values.ravel()))",
            'np.argsort(-values.ravel(), kind="stable")',
        ),
    ),
    *bugs_in(
        "metrics/insertion_deletion.py",
        ("tests/metrics/test_removal.py",),
        ("areas are means of their ends too", "(said[1:] + said[:-1]).mean() / 2", "said.mean()"),
    ),
    *bugs_in(
        "metrics/removal_gain.py",
        ("tests/metrics/test_removal.py",),
        (
            "the first of the least relevant is a most relevant one",
            "some >= len(listed)",
            "some > len(listed)",
        ),
        ("ROAD is not halved", "_of_lerf(said) - _of_morf(said)) / 2", "_of_lerf(said) - _of_morf(said))"),
    ),
    *bugs_in(
        "metrics/answers.py",
        ("tests/metrics/test_removal.py",),
        (
            "every target is measured by the first one's probability",
            "reduce(said[:, target], ",
            "reduce(said[:, 0], ",
        ),
        (
            "every image is altered like the first",
            "alter(places.x, places.of_map(wide[same[0]]))",
            "alter(places.x, places.of_map(wide[0]))",
        ),
        (
            "an explanation of other targets is believed",
            "            check_same(maps, seen)\n",
            "            pass\n",
        ),
    ),
    *bugs_in(
        "metrics/confidence.py",
        ("tests/metrics/test_properties_and_confidence.py",),
        ("a gain is not a share of what could be gained", "won / (1 - p) if won", "won if won"),
        (
            "evidence against is shown in part",
            "scaled(resize(one[None, None], x.shape[2:]), rectify=rectify)",
            "scaled(resize(one[None, None], x.shape[2:]), rectify=False)",
        ),
    ),
    *bugs_in(
        "metrics/localisation.py",
        ("tests/metrics/test_localisation_metrics.py",),
        (
            "what is just as far as the tolerance counts",
            "distance_transform_edt(~mask) < tolerance",
            "distance_transform_edt(~mask) <= tolerance",
        ),
        (
            "evidence against counts as energy",
            "at_size(np.maximum(one, 0), masks.shape[1:])",
            "at_size(np.abs(one), masks.shape[1:])",
        ),
        (
            "of several maxima the first is taken",
            "near[image][large == large.max()].mean()",
            "near[image].ravel()[large.argmax()]",
        ),
    ),
    *bugs_in(
        "metrics/box_accuracy.py",
        ("tests/metrics/test_localisation_metrics.py",),
        (
            "each image has the threshold that suits it",
            "(best >= one).mean(0).max()",
            "(best >= one).max(1).mean()",
        ),
        ("the largest component is the two largest", "own[:1] if components", "own[:2] if components"),
    ),
    *bugs_in(
        "metrics/grid_pointing.py",
        ("tests/metrics/test_grid_pointing.py",),
        (
            "every target's photo is in the part of the first",
            "right[..., None], axis=-1)[..., 0]",
            "right[:, :1, None], axis=-1)[..., 0]",
        ),
    ),
    *bugs_in(
        "metrics/infidelity.py",
        ("tests/metrics/test_stability_and_infidelity.py",),
        (
            "no square reaches the end of an axis",
            "random.integers(0, n - length + 1, (copies, 1))",
            "random.integers(0, n - length, (copies, 1))",
        ),
        (
            "all axes of a square are drawn from one seed",
            "        start = random.integers(",
            "        random = np.random.default_rng(seed)\n        start = random.integers(",
        ),
        (
            "the scale of a map is that of its first target",
            "infidelity_of(mass, drops[:, target], normalise)",
            "infidelity_of(mass, drops[:, 0], normalise)",
        ),
    ),
    *bugs_in(
        "metrics/sensitivity.py",
        ("tests/metrics/test_stability_and_infidelity.py",),
        (
            "maps of shifted inputs are moved on, not back",
            "at = np.arange(n) + share * n",
            "at = np.arange(n) - share * n",
        ),
        ("the copy whose top class is another counts too", "np.where(stayed[:, None], one, np.nan)", "one"),
        (
            "the noise of a batch is that of its widest image",
            "np.ptp(x.reshape(len(x), -1), axis=1).reshape(-1, *(1,) * (x.ndim - 1))",
            "np.ptp(x)",
        ),
        (
            "what comes in at the edge is compared",
            'outside: Bool[np.ndarray, " n"] = (at < -0.5) | (at > n - 0.5)',
            'outside: Bool[np.ndarray, " n"] = at < -n',
        ),
        (
            "a copy's box is shifted along the other axis",
            "axis=len(space) - 1 - axis, share=by / n)",
            "axis=axis, share=by / n)",
        ),
        (
            "a mirrored box keeps its sides",
            "lambda b: (1 - b[2], b[1], 1 - b[0], b[3])",
            "lambda b: (1 - b[0], b[1], 1 - b[2], b[3])",
        ),
        (
            "all copies are moved by the same numbers",
            "yield x + random.uniform(-radius, radius, x.shape)",
            "yield x + np.random.default_rng(seed).uniform(-radius, radius, x.shape)",
        ),
    ),
    *bugs_in(
        "metrics/randomisation.py",
        ("tests/metrics/test_other_weights_and_classes.py",),
        (
            "all draws of weights are one",
            "seed=seed + one, head_only=head_only)",
            "seed=seed, head_only=head_only)",
        ),
        ("a cascade begins with the first layer", "layers=layers[-count:])", "layers=layers[:count])"),
        ("the bound is two-sided", "t.ppf(0.95, n - 1)", "t.ppf(0.975, n - 1)"),
        ("the spread of a bound is that of all draws there are", "each.std(0, ddof=1)", "each.std(0)"),
    ),
    *bugs_in(
        "metrics/other_classes.py",
        ("tests/metrics/test_other_weights_and_classes.py",),
        (
            "another class may be the same",
            "random.integers(1, count, len(row))",
            "random.integers(0, count, len(row))",
        ),
        ("the runner-up is the least likely class", 'stable")[:, :2]', 'stable")[:, [0, -1]]'),
    ),
    *bugs_in(
        "metrics/similar_maps.py",
        ("tests/metrics/test_other_weights_and_classes.py",),
        (
            "of fine maps the place alone is looked at",
            "return max(place, _within(one, other, grid))",
            "return place",
        ),
    ),
    *bugs_in(
        "metrics/similar_maps.py",
        ("tests/metrics/test_checks_of_every_kind.py",),
        (
            "where an instance does not reach counts as alike",
            "reached = (a != 0) | (b != 0)",
            "reached = (a == a) | (b != 0)",
        ),
        ("two cells tell how alike maps are", "reached.sum() < 3", "reached.sum() < 1"),
    ),
    *bugs_in(
        "metrics/rank_correlation.py",
        ("tests/trust/test_trust_statistics.py",),
        ("what is equal has the rank of its place", "    if tied.any():\n", "    if False:\n"),
    ),
    *bugs_in(
        "metrics/cells_of_maps.py",
        ("tests/trust/test_trust_statistics.py",),
        (
            "cells are grouped along one axis alone",
            "[by + (n == longest) for by, n in zip(grouped, cells(), strict=True)]",
            "[grouped[0] + 1, *grouped[1:]]",
        ),
    ),
    # ------------------------------------------------------------------ whether a map can be trusted
    *bugs_in(
        "trust/by_chance.py",
        ("tests/trust/test_trust_statistics.py",),
        (
            "a map's own place does not count among the places",
            "(1 + (found >= observed[its] - _SAME).sum(axis=0)) / (1 + len(places))",
            "(found >= observed[its] - _SAME).sum(axis=0) / len(places)",
        ),
        (
            "places that do just as well do not count",
            "found >= observed[its] - _SAME",
            "found > observed[its] + _SAME",
        ),
        (
            "all maps are held against the first one's target",
            "[rows[row][1] for row in its]",
            "[rows[0][1] for row in its]",
        ),
        ("ties of a moved map are broken by their place", "if len(np.unique(one)) < one.size:", "if False:"),
        (
            "the range of chance is that of the first target",
            "np.percentile(found, (50, 2.5, 97.5), axis=0).T",
            "np.percentile(found[:, :1], (50, 2.5, 97.5), axis=0).T",
        ),
    ),
    *bugs_in(
        "trust/other_places.py",
        ("tests/trust/test_trust_statistics.py",),
        (
            "a map is cut where its ends meet, and not mirrored",
            "np.minimum(place, 2 * n - 1 - place)",
            "place % n",
        ),
        (
            "the map's own place is one of the others",
            "    every = every[(every != numbers.ravel()).any(axis=1)]\n",
            "",
        ),
        (
            "maps are not turned",
            "itertools.permutations(range(numbers.ndim))",
            "[tuple(range(numbers.ndim))]",
        ),
    ),
    *bugs_in(
        "trust/probes.py",
        ("tests/trust/test_trust_statistics.py",),
        (
            "probes remove each cell with a chance",
            "(order.argsort(axis=1) < gone)",
            "(np.random.default_rng(seed).random((count, cells)) < share)",
        ),
    ),
    *bugs_in(
        "trust/ceilings.py",
        ("tests/trust/test_trust_statistics.py",),
        (
            "a ceiling is of the probes it was fitted to",
            "known, asked = fold != out, fold == out",
            "known, asked = fold == fold, fold == out",
        ),
        (
            "what one imputer costs wherever it is used counts as place",
            "level[:, half] = drops[:, known].mean(axis=1, keepdims=True)",
            "level[:, half] = drops[:, fold != out].mean(axis=1, keepdims=True)",
        ),
        ("the ceiling is the mean of the ridges'", "np.max([fidelities", "np.mean([fidelities"),
    ),
    *bugs_in(
        "trust/resampling.py",
        ("tests/trust/test_trust_statistics.py",),
        ("the drops of a resample are those of the first target", "key = drop.tobytes()", 'key = b""'),
        (
            "each map is resampled by itself",
            "            put, own = _ranked(mass, weights)\n",
            "            put, own = _ranked(mass, random.permutation(weights))\n",
        ),
        (
            "what is equal in a resample ranks below",
            "np.float32(0.5) * (values[:, None] == values)",
            "np.float32(0.0) * (values[:, None] == values)",
        ),
    ),
    *bugs_in(
        "trust/fidelities.py",
        ("tests/trust/test_trust_statistics.py",),
        (
            "the probes of both imputers are correlated together",
            "rank_correlations(masses[:, half], drops[:, half]) for name, half",
            "rank_correlations(masses, drops) for name, half",
        ),
    ),
    *bugs_in(
        "trust/judged_maps.py",
        ("tests/trust/test_trust_statistics.py",),
        ("a place is sure at twice the p", "_SURE = 0.025", "_SURE = 0.05"),
        ("the lower bound of a lead is a higher one", "_ONE_SIDED = 5.0", "_ONE_SIDED = 10.0"),
        ("intervals are narrower than they say", "_TWO_SIDED = (2.5, 97.5)", "_TWO_SIDED = (5.0, 95.0)"),
        (
            "a map beats what it equals",
            "if not compared[one.name].difference.low > 0)",
            "if not compared[one.name].difference.low >= 0)",
        ),
        (
            "the last baseline that a map does not beat is named",
            "for one in baselines if not compared",
            "for one in reversed(baselines) if not compared",
        ),
        (
            "a score is still by the size of the first target's",
            "_STILL * abs(probed.clean[claim.column])",
            "_STILL * abs(probed.clean[0])",
        ),
        (
            "of one target that tells something all tell",
            "if not tells(probed, ceiling)[claim.column]:",
            "if not tells(probed, ceiling).any():",
        ),
        (
            "the ceiling is that of the first target",
            "ceiling=float(ceiling[claim.column])",
            "ceiling=float(ceiling[0])",
        ),
        (
            "maps of two targets share a row",
            "self._rows.setdefault((self._number(cells), claim.column), len(self._rows))",
            "self._rows.setdefault((self._number(cells), claims[0].column), len(self._rows))",
        ),
        (
            "a baseline is resampled apart from the map",
            "again[row] - again[other]",
            "again[row] - again[other][::-1]",
        ),
    ),
    *bugs_in(
        "engine/probing.py",
        ("tests/trust/test_trusting.py",),
        (
            "every image is asked with the first one's scores",
            "drops = clean[image] - logs",
            "drops = clean[0] - logs",
        ),
        (
            "answers stand in the order of imputers",
            'np.argsort(np.argsort(number, kind="stable"), kind="stable")',
            'np.argsort(number, kind="stable")',
        ),
        (
            "the top class of the first image is every image's",
            "(top != int(to_numpy(seen.responses.top)[image])).mean()",
            "(top != int(to_numpy(seen.responses.top)[0])).mean()",
        ),
        (
            "how much probability is kept is that of the first image",
            "(after / before[image]).mean(axis=0)",
            "(after / before[0]).mean(axis=0)",
        ),
    ),
    *bugs_in(
        "engine/trusting.py",
        ("tests/trust/test_trusting.py",),
        (
            "the mean activation of the first image is every image's baseline",
            "list(means.values())[-1])[image].astype",
            "list(means.values())[-1])[0].astype",
        ),
        (
            "the mean activation of the last layer is every layer's baseline",
            "means.get(layer, list(means.values())[-1])",
            "list(means.values())[-1]",
        ),
        (
            "evidence against has the class's probability",
            "None if info.sign < 0 or info.against else",
            "None if info.against else",
        ),
        (
            "probes are drawn by no seed",
            "e.targets[image], wanted.seed, counter)",
            "e.targets[image], 0, counter)",
        ),
    ),
    *bugs_in(
        "trust/checks/weights_check.py",
        ("tests/metrics/test_checks_of_every_kind.py",),
        (
            "of both draws the milder is told",
            "max(numbers, key=lambda words: numbers[words][1])",
            "min(numbers, key=lambda words: numbers[words][1])",
        ),
        (
            "the head's weights are never drawn alone",
            "for only in (False, True)\n",
            "for only in (False, False)\n",
        ),
        ("every map has the likeness of the first", "place = image, target\n", "place = 0, target\n"),
    ),
    *bugs_in(
        "trust/checks/stability_check.py",
        ("tests/metrics/test_checks_of_every_kind.py",),
        (
            "how many copies keep the class is told of the first image",
            "share = stayed[image, target]",
            "share = stayed[0, target]",
        ),
    ),
    *bugs_in(
        "trust/checks/class_check.py",
        ("tests/trust/test_trusting.py",),
        (
            "every image has the class test of the first",
            "to_numpy(two.raw[method, layer])[image].astype(np.float64)",
            "to_numpy(two.raw[method, layer])[0].astype(np.float64)",
        ),
        (
            "the classes of the first image are named for every image",
            "[info.name for info in two.targets[image]]",
            "[info.name for info in two.targets[0]]",
        ),
    ),
    *bugs_in(
        "trust/bca.py",
        ("tests/trust/test_bca.py",),
        (
            "the bias is corrected once, and not twice",
            "normal.cdf(bias + moved / scale)",
            "normal.cdf(moved / scale)",
        ),
        (
            "what is skewed is corrected the wrong way",
            "away = left_out.mean() - left_out",
            "away = left_out - left_out.mean()",
        ),
        (
            "groups weigh as if each had as many images",
            "(times @ sums) / (times @ sizes)[:, None]",
            "(times @ (sums / sizes[:, None])) / len(sums)",
        ),
        ("few images are as many", "math.sqrt(units / (units - 1)) * float(", "float("),
    ),
    *bugs_in(
        "trust/halves.py",
        ("tests/trust/test_choosing_statistics.py",),
        (
            "photos of a patient are in both halves",
            "first[images] = half == 0",
            "first[images[::2]] = half == 0",
        ),
    ),
    *bugs_in(
        "trust/mosaics.py",
        ("tests/trust/test_choosing_statistics.py",),
        (
            "the least confident photos come first",
            "key=lambda image: confidence[image])",
            "key=lambda image: -confidence[image])",
        ),
        (
            "the fullest class is always in the first part",
            "random.permutation([left[one].pop() for one in fullest])",
            "[left[one].pop() for one in fullest]",
        ),
        ("rows and columns of a mosaic change places", "(0, 3, 1, 4, 2, 5)", "(0, 3, 2, 4, 1, 5)"),
    ),
    # ------------------------------------------------------------------ masks and windows
    *bugs_in(
        "methods/rise.py",
        ("tests/test_masking_methods.py",),
        (
            "the last place of a mask is never drawn",
            "[rng.integers(0, step, n) for step in steps]",
            "[rng.integers(0, max(1, step - 1), n) for step in steps]",
        ),
        (
            "a mask is shifted alike along all axes",
            "shifts = [rng.integers(0, step, n) for step in steps]",
            "shifts = [rng.integers(0, step, n)] * len(steps) if (step := min(steps)) else []",
        ),
        ("masks are enlarged by a cell too little", "(cells / ((cells + 1) * step))", "(1 / step)"),
    ),
    *bugs_in(
        "methods/masks.py",
        ("tests/test_masking_methods.py",),
        (
            "what was run of one image is taken for every image",
            '("masked", masks.__name__, image)',
            '("masked", masks.__name__)',
        ),
        (
            "what was run through other masks is taken",
            '("masked", masks.__name__, image)',
            '("masked", image)',
        ),
        (
            "channels that were run before are those asked for first",
            "swept.channels, channels, sorter=in_order)]",
            "swept.channels, swept.channels[: len(channels)], sorter=in_order)]",
        ),
    ),
    *bugs_in(
        "composition/sliding.py",
        ("tests/composition/test_sess.py",),
        (
            "the last window hangs over the edge's other side",
            "min(number * n, large - n)",
            "min(number * n, large)",
        ),
        (
            "rows and columns of windows change places",
            "zip((self.row, self.column), size",
            "zip((self.column, self.row), size",
        ),
        (
            "windows are weighed by the first image's probability",
            "        most = likely.max(0)\n",
            "        most = likely.max(0)[:1]\n",
        ),
    ),
]
