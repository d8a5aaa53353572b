"""A process that reads inputs: it is told on standard input which, and answers on what was standard output.

It is a program of its own, `python -m camscope.runs.reading_worker`, and neither forked nor spawned: so nothing of the
process that explains is in it, scripts need no `if __name__ == "__main__"`, and a photo that crashes a decoder ends
this process and no other.
"""

from __future__ import annotations

import os
import pickle
import sys
from contextlib import suppress
from pathlib import Path

from camscope.runs.kept_memory import keep_some_memory
from camscope.runs.reading_one import Reading, read_input

FIRST_TO_GO = 800
"""How willingly the system ends this process where memory runs out, rather than the one that explains (0 to 1000)."""

GIVES_WAY = 10
"""By so much it gives way to the threads of the model, which wait for each other where one of them has no core."""

KEPT = 256 << 20
"""Bytes of free memory that it keeps: a photo of 16 megapixels is a quarter of it."""


def work() -> None:
    """Read inputs until there are no more."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a decoder prints must not stand between the answers
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(FIRST_TO_GO))
    with suppress(OSError, AttributeError):
        os.nice(GIVES_WAY)
    keep_some_memory(KEPT)
    questions = sys.stdin.buffer
    with suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        reading: Reading = pickle.load(questions)
        while True:
            pickle.dump(read_input(pickle.load(questions), reading), answers, protocol=5)
            answers.flush()


if __name__ == "__main__":
    work()
