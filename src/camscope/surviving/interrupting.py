"""Ending work at the end of a step when the user or the system asks for it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Stop:
    """Whether the end was asked for.

    Attributes:
        signal: which signal asked; 0 as long as none did.
    """

    signal: int = 0


@contextmanager
def stopped_by_signals() -> Iterator[Stop]:
    """Catch Ctrl-C and SIGTERM (sent before a machine is taken away) once; a second ends the program at once.

    Outside of the main thread, which alone gets signals, nothing is caught.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    owner = os.getpid()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def asked(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a process that reads images: it ends when this one says so
            if number == signal.SIGTERM:
                os._exit(128 + number)
            return
        stop.signal = number
        for caught, handler in before.items():
            signal.signal(caught, handler)

    for number in before:
        signal.signal(number, asked)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
