"""A net that knows digits, and canvases with two of them: the verdict says where for its map of each."""

from collections import Counter

import numpy as np
import pytest
import torch
from benchmarks.shortcut import TRAINED_ON, Loss, digits, right, train

import camscope
from camscope.trust import Verdict

pytestmark = pytest.mark.filterwarnings("ignore::camscope.CamscopeWarning")

CANVASES = 12


@pytest.fixture(scope="module")
def planted():
    """Each of the two digits of a canvas is explained; activations are high at both, so they do not say which."""
    net = train(
        digits(0, slice(0, TRAINED_ON), marks=None),
        Loss("cross-entropy"),
        seed=0,
        epochs=5,
        channels=(12, 24),
    )
    seen = digits(0, slice(TRAINED_ON, None), marks=None)
    known = np.flatnonzero(right(net, seen))
    pairs = [
        (a, b)
        for a, b in zip(known[::2], known[1::2], strict=False)
        if seen.labels[a] != seen.labels[b] and not (seen.digit[a] & seen.digit[b]).any()
    ]
    a, b = (list(one) for one in zip(*pairs[:CANVASES], strict=True))
    canvases = torch.from_numpy(np.maximum(seen.images[a], seen.images[b]))
    targets = camscope.PerImage(list(zip(seen.labels[a].tolist(), seen.labels[b].tolist(), strict=True)))
    return camscope.Explainer(net).trust(
        canvases, methods=["gradcam", "centre", "random"], targets=targets, probes=128, progress=False
    )


@pytest.mark.slow
def test_it_says_where_for_grad_cam_and_not_for_the_centre_or_noise(planted):
    verdicts = {
        method: Counter(row.verdict for row in planted.rows if row.method == method)
        for method in ("gradcam", "centre", "random")
    }
    assert verdicts["gradcam"][Verdict.BEATS] >= 0.6 * 2 * CANVASES
    assert verdicts["centre"][Verdict.BEATS] == 0
    assert verdicts["random"][Verdict.BEATS] <= 1
    assert verdicts["random"][Verdict.CHANCE] >= 2 * CANVASES - 2


def test_its_map_of_one_digit_explains_much_of_what_any_map_could_and_that_of_the_other_nothing(planted):
    rows = [row for row in planted.rows if row.method == "gradcam"]
    assert np.mean([row.of_ceiling for row in rows]) > 0.6
    assert all(row.checks[0].number.value > 0.05 for row in rows)  # it follows the class
    mean = np.mean([row.baselines["mean-activation"].fidelity.value for row in rows])
    assert mean < 0.5 * np.mean([row.fidelity.value for row in rows])
