"""Threads and interrupts in numbers too large for a test: are all maps right, and is anything left behind?

    python -m benchmarks.stress                      # 8 threads × 1,000 calls, then 1,000 interrupts
    python -m benchmarks.stress --calls 100 --interrupts 100

The networks are those of `tests/torch/test_threads.py`, which makes the same checks in small numbers. Interrupts come
at random lines of camscope, of PyTorch's modules, and of the machinery around them (`contextlib`, modes, random state).
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import random
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import torch
from tests.torch import test_threads as small
from tests.torch.conftest import _untouched
from tests.torch.nets import batch
from torch import nn, overrides

import camscope
from camscope.models.torch.hooks.functions import attention_is_constant

AROUND = (contextlib.__file__, overrides.__file__, torch.random.__file__)


def threads(calls: int) -> None:
    """Print how many maps of eight threads were wrong, with one shared Explainer and with one each."""
    alone_of = camscope.Explainer(small.net())
    alone = {call: small.explained(alone_of, call) for call in small.CALLS}
    for shared in (True, False):
        model = small.net()
        one = camscope.Explainer(model)

        def work(number: int, model: nn.Module = model, one: camscope.Explainer = one, shared: bool = shared):
            explainer = one if shared else camscope.Explainer(model)
            drawn = random.Random(number).choices(small.CALLS, k=calls)
            right = [torch.equal(small.explained(explainer, call), alone[call]) for call in drawn]
            return right.count(False), time.perf_counter()

        start = time.perf_counter()
        with _untouched(model), ThreadPoolExecutor(small.THREADS) as pool:
            found = list(pool.map(work, range(small.THREADS)))
        ends = [end - start for _, end in found]
        print(
            f"{'one Explainer' if shared else 'one each'}: {small.THREADS} × {calls} calls, "
            f"{sum(wrong for wrong, _ in found)} wrong maps, the model untouched; "
            f"the threads were done after {min(ends):.1f} to {max(ends):.1f} s"
        )


def interrupts(count: int) -> None:
    """Print what was left behind, of how many interrupts."""
    left: collections.Counter[str] = collections.Counter()
    arrived, draw = 0, random.Random(0)
    each = count // len(small.INTERRUPTED) + 1
    for case, (make, shape, method) in small.INTERRUPTED.items():
        model, x = make(), batch(*shape)
        for number in range(each):
            explainer = camscope.Explainer(model)
            if number % 2:
                explainer(x, methods=method, targets=[0, 1])
            with small.interrupted(None, *AROUND) as lines:
                explainer(x, methods=method, targets=[0, 1])
            if not number % 2:
                explainer = camscope.Explainer(model)
            at = draw.randrange(1, lines[0])
            try:
                with _untouched(model):
                    try:
                        with small.interrupted(at, *AROUND):
                            explainer(x, methods=method, targets=[0, 1])
                    except KeyboardInterrupt:
                        arrived += 1
                modes = overrides._get_current_function_mode_stack()
                assert not modes, "function modes"
                assert not attention_is_constant.get(), "constant attention"
                assert small.queue(small.locks_of(model.modules())[0]) == 0, "the lock"
            except AssertionError as error:
                what = str(error).splitlines()[0]
                left[what] += 1
                print(f"{case}, line {at} of {lines[0]}: {what}", flush=True)
                model = make()
                while overrides._get_current_function_mode_stack():
                    overrides._pop_mode()
    print(
        f"{each * len(small.INTERRUPTED)} interrupts, {arrived} of them arrived, left behind: {dict(left) or 'nothing'}"
    )


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=1000, help="of each thread")
    parser.add_argument("--interrupts", type=int, default=1000)
    given = parser.parse_args()
    warnings.simplefilter("ignore", camscope.CamscopeWarning)
    torch.set_num_threads(1)
    if given.interrupts:
        interrupts(given.interrupts)
    if given.calls:
        threads(given.calls)


if __name__ == "__main__":
    main()
