"""Products of NumPy's matrices: the same numbers whoever multiplies, and no thread left waiting."""

import os
import subprocess
import sys

import numpy as np
import pytest

from camscope.arrays import channel_sum, multiplying_by, product_on_one_thread

SHAPES = [(1, 1, 1), (1, 1280, 1000), (2, 7, 3), (5, 300, 5), (8, 1280, 1001), (33, 70_000, 6), (1000, 64, 9)]


@pytest.mark.parametrize(("rows", "inner", "columns"), SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_pieces_are_the_product(rows, inner, columns, dtype):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((rows, inner)), rng.standard_normal((columns, inner)).T
    found = product_on_one_thread(a.astype(dtype), b.astype(dtype))
    size = np.abs(a) @ np.abs(b)
    assert found.dtype == dtype
    assert (np.abs(found - a @ b) <= (1e-6 if dtype == np.float32 else 1e-14) * size).all()


def test_nothing_in_a_product_of_nothing():
    assert product_on_one_thread(np.ones((6, 0)), np.ones((0, 7))).tolist() == np.zeros((6, 7)).tolist()
    assert product_on_one_thread(np.ones((0, 4)), np.ones((4, 7))).shape == (0, 7)


@pytest.mark.parametrize("for_all", [True, False])
def test_large_sums_over_channels_are_made_by_who_is_named(for_all):
    rng = np.random.default_rng(0)
    weights, activations = rng.standard_normal((2, 700, 900, 1, 1)), rng.standard_normal((2, 900, 6, 7))
    if for_all:
        weights = np.broadcast_to(weights[:1], weights.shape)
    asked = []

    def product(a, b):
        asked.append((a.shape, b.shape))
        return a @ b

    with multiplying_by(product):
        found = channel_sum(weights, activations)
    expected = np.einsum("btc,bcij->btij", weights[..., 0, 0], activations)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    assert asked == ([((700, 900), (900, 84))] if for_all else [((700, 900), (900, 42))] * 2)
    asked.clear()
    channel_sum(weights, activations)
    channel_sum(weights[:, :1], activations)
    assert not asked


def test_no_thread_is_left_waiting():
    """In a process of its own, NumPy's threads have done nothing while small products were made."""
    script = """
import os, threading, numpy as np
from camscope.arrays import product_on_one_thread

def others():
    me = str(threading.get_native_id())
    tasks = [t for t in os.listdir("/proc/self/task") if t != me]
    stats = [open(f"/proc/self/task/{t}/stat").read().rsplit(")", 1)[1].split() for t in tasks]
    return {t: int(stat[11]) + int(stat[12]) for t, stat in zip(tasks, stats)}

a, b = np.ones((8, 1280)), np.ones((1000, 1280)).T
before = others()
for _ in range(30):
    product_on_one_thread(a, b), product_on_one_thread(a[:1], b)
after = others()
assert after == before, (before, after)
"""
    if not sys.platform.startswith("linux"):
        pytest.skip("what threads did is read from /proc")
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
    )
    assert done.returncode == 0, done.stderr
