"""What is kept by keys is bounded, and the latest."""

from __future__ import annotations

import copy
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from camscope.models.last_used import LastUsed


def never() -> str:
    raise AssertionError("it is there already")


def test_a_value_is_made_once():
    kept: LastUsed[str] = LastUsed(2)
    assert kept.get("a", lambda: "made") == "made"
    assert kept.get("a", never) == "made"
    assert kept.known("b") is None


def test_that_there_is_none_is_a_value_too():
    kept: LastUsed[str | None] = LastUsed(2)
    kept.put("a", None)
    assert kept.get("a", never) is None


def test_what_was_not_used_for_longest_makes_room():
    kept: LastUsed[str] = LastUsed(2)
    for key in "ab":
        kept.put(key, key)
    kept.get("a", never)
    kept.put("c", "c")
    assert (kept.known("a"), kept.known("b"), len(kept)) == ("a", None, 2)
    kept.known("a")
    kept.put("d", "d")
    assert (kept.known("a"), kept.known("c")) == ("a", None)


def test_one_value_may_ask_for_another_while_it_is_made():
    kept: LastUsed[int] = LastUsed(1)
    assert kept.get("sum", lambda: 1 + kept.get("part", lambda: 2)) == 3
    assert kept.get("sum", never) == 3
    kept.clear()
    assert len(kept) == 0


def test_values_may_have_sizes():
    kept: LastUsed[str] = LastUsed(5, len)
    for value in ("aa", "bbb", "c"):
        kept.put(value[0], value)
    assert [kept.known(key) for key in "abc"] == [None, "bbb", "c"]
    kept.put("d", "d" * 9)
    assert [kept.known(key) for key in "bcd"] == [None, None, "d" * 9]


@dataclass(frozen=True)
class Key:
    """A key whose comparing runs code of its own, during which another thread may come on."""

    number: int


def test_threads_may_share_it():
    kept: LastUsed[int] = LastUsed(4)

    def use(seed: int) -> None:
        for number in np.random.default_rng(seed).integers(0, 8, 1000).tolist():
            assert kept.get(Key(number), lambda number=number: number) == number
            assert kept.known(Key(number)) in (number, None)

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(use, range(8)))
    finally:
        sys.setswitchinterval(usual)
    assert len(kept) == 4


def test_a_copy_starts_with_nothing():
    kept: LastUsed[str] = LastUsed(5, len)
    kept.put("a", "aaaa")
    copied = copy.deepcopy(kept)
    assert (copied.known("a"), kept.known("a")) == (None, "aaaa")
    for value in ("bbb", "ccc"):
        copied.put(value[0], value)
    assert [copied.known(key) for key in "bc"] == [None, "ccc"]
