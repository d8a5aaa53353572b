"""Whoever is interrupted while a lock is held, at whatever line, holds nobody up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from camscope import plugins
from camscope.fair_lock import FairLock, held
from camscope.models.last_used import LastUsed
from camscope.models.onnx.onnx_model import OnnxModel
from camscope.models.onnx.sessions import Sessions
from camscope.plugins import load_plugins
from tests.interrupts import interrupted
from tests.onnx.graphs import graph, node


def at_each_line(work: Callable[[], object], again: Callable[[], object] = lambda: None) -> None:
    """Interrupt work at each line of camscope in turn: another thread can do it all the same.

    Args:
        work: takes a lock.
        again: called before each time.
    """
    again()
    with interrupted(None) as lines:
        work()
    assert lines[0] > 10
    for at in range(1, lines[0] + 1):
        again()
        with interrupted(at), suppress(KeyboardInterrupt):
            work()
        other = threading.Thread(target=work, daemon=True)
        other.start()
        other.join(10)
        assert not other.is_alive(), at


def test_while_plugins_are_loaded():
    group = "camscope.no_such_group"
    at_each_line(lambda: load_plugins(group), lambda: plugins._loaded.discard(group))
    assert group in plugins._loaded
    plugins._loaded.discard(group)


def test_while_what_was_used_last_is_looked_up_and_kept():
    kept: LastUsed[int] = LastUsed(2)

    def use() -> None:
        for key in (1, 2, 3):
            assert kept.get(key, lambda key=key: key) == key

    at_each_line(use, kept.clear)
    assert len(kept) == 2


def test_while_a_session_is_made():
    proto = graph([node("Add", "x x", "y")], {}, [2], ["y"])

    def use() -> None:
        session = Sessions.of(sessions[0], "all", lambda: proto)
        (out,) = session.run(None, {"x": np.ones(2, np.float32)})
        assert (out == 2).all()

    sessions = [Sessions(OnnxModel(proto))]
    at_each_line(use, lambda: sessions.__setitem__(0, Sessions(OnnxModel(proto))))


def test_a_lock_may_be_taken_again_inside_and_is_let_go_once():
    lock = FairLock()
    with held(lock):
        with held(lock):
            pass
        assert lock.is_held_here
    assert not lock.is_held_here


def test_who_waits_is_woken_and_in_the_order_they_came():
    lock, served = FairLock(), []

    def work(number: int) -> None:
        with held(lock):
            served.append(number)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(4)]
    with held(lock):
        for number, thread in enumerate(threads, start=2):
            thread.start()
            while len(lock._queue) < number:
                thread.join(0.001)
        assert not served
    for thread in threads:
        thread.join(10)
    assert served == [0, 1, 2, 3]
