"""One model, several threads: every map is right, nothing of the model changes, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import copy
import pickle
import random
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.overrides import _get_current_function_mode_stack

import camscope
from camscope.fair_lock import FairLock, Turn
from camscope.models.torch.hooks.functions import attention_is_constant
from camscope.models.torch.hooks.session import exclusive
from camscope.models.turns import locks_of
from tests.interrupts import interrupted
from tests.torch.nets import Net, batch, mlp_head
from tests.torch.test_attention import HandViT

THREADS = 8
METHODS = ["gradcam", "ablationcam", "guided-gradcam", "scorecam(top=4)"]
CALLS = [(method, target, seed) for method in METHODS for target in (0, 3) for seed in range(5)]


def net() -> nn.Module:
    """A model in training whose batch norms would learn, with a head that is not linear."""
    return Net(mlp_head(4)).train()


def photo(seed: int) -> torch.Tensor:
    return batch(1, 3, 8, 8, seed=seed)


def explained(explainer: camscope.Explainer, call: tuple[str, int, int]) -> torch.Tensor:
    method, target, seed = call
    (maps,) = explainer(photo(seed), methods=method, targets=target, layers="body").raw.values()
    return maps


@pytest.fixture(scope="module")
def alone() -> dict[tuple[str, int, int], torch.Tensor]:
    """The map of each call, made by one thread."""
    explainer = camscope.Explainer(net())
    return {call: explained(explainer, call) for call in CALLS}


@pytest.mark.parametrize(
    ("shared", "each"), [(True, len(CALLS)), (False, 10)], ids=["one Explainer", "one for each thread"]
)
def test_every_map_of_eight_threads_is_the_one_of_a_single_thread(shared, each, alone, untouched):
    model = net()
    one = camscope.Explainer(model)

    def work(number: int) -> list[tuple[tuple[str, int, int], torch.Tensor]]:
        explainer = one if shared else camscope.Explainer(model)
        return [(call, explained(explainer, call)) for call in random.Random(number).sample(CALLS, each)]

    with untouched(model), ThreadPoolExecutor(THREADS) as pool:
        found = [pair for pairs in pool.map(work, range(THREADS)) for pair in pairs]
    assert len(found) == THREADS * each
    assert [call for call, maps in found if not torch.equal(maps, alone[call])] == []


def test_asyncio_may_use_threads(alone, untouched):
    model = net()
    explainer = camscope.Explainer(model)

    async def serve() -> list[torch.Tensor]:
        return await asyncio.gather(*(asyncio.to_thread(explained, explainer, call) for call in CALLS))

    with untouched(model):
        found = asyncio.run(serve())
    assert [call for call, maps in zip(CALLS, found, strict=True) if not torch.equal(maps, alone[call])] == []


def test_layers_embeddings_and_concepts_hold_the_model_too(untouched):
    model = net()
    explainer = camscope.Explainer(model)
    x = batch(2, 3, 8, 8)
    calls: list[Callable[[], Any]] = [
        lambda: [(layer.name, layer.reaches) for layer in explainer.layers(x)[0]],
        lambda: explainer.embed(x).tolist(),
        lambda: explainer.concepts(x, count=2, layer="body", steps=3).vectors.tolist(),
        lambda: camscope.explain(model, x, optimised=True, layers="body.1").maps().tolist(),
    ]
    expected = [call() for call in calls]
    with untouched(model), ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda i: calls[i % len(calls)](), range(4 * len(calls))))
    assert found == expected * 4


# ---------------------------------------------------------------------- who comes first


def queue(lock: FairLock) -> int:
    return len(lock._queue)


def wait_until(ready: Callable[[], bool]) -> None:
    while not ready():
        threading.Event().wait(0.001)


def test_those_who_wait_are_served_in_the_order_they_came():
    model = net()
    explainer = camscope.Explainer(model)
    (lock,) = locks_of(model.modules())
    served: list[int] = []

    def target_of(number: int) -> Callable[..., torch.Tensor]:
        def target(output: torch.Tensor) -> torch.Tensor:
            served.append(number)
            return output[:, 0]

        return target

    def explain(number: int) -> None:
        for _ in range(2):  # who comes again stands behind those who wait
            explainer(photo(number), layers="body", targets=target_of(number), methods="gradcam")

    explain(-1)
    each = len(served) // 2
    served.clear()
    threads = [threading.Thread(target=explain, args=(number,)) for number in range(4)]
    with exclusive(model):
        for place, thread in enumerate(threads):
            thread.start()
            wait_until(lambda place=place: queue(lock) == place + 2)
    for thread in threads:
        thread.join()
    assert served == [number for _ in range(2) for number in range(4) for _ in range(each)]


def test_a_lock_may_be_left_twice_and_by_who_never_came():
    lock, first, second = FairLock(), Turn(), Turn()
    lock.wait(first)
    lock.leave(second)
    assert lock.is_held_here
    came = threading.Event()

    def wait() -> None:
        turn = Turn()
        lock.wait(turn)
        came.set()
        lock.leave(turn)
        lock.leave(turn)

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(lambda: queue(lock) == 2)
    assert not came.is_set()
    lock.leave(first)
    thread.join()
    assert came.is_set()
    assert not lock.is_held_here


def test_a_part_shares_the_lock_of_the_whole_in_whatever_order_they_were_met():
    model = net()
    (whole,) = locks_of(model.modules())
    assert locks_of(model.body.modules()) == [whole]
    other = net()
    (head,), (body,) = locks_of(other.head.modules()), locks_of(other.body.modules())
    assert head is not body
    assert locks_of(other.modules()) == [head, body]
    assert locks_of(copy.deepcopy(other).modules()) not in ([head, body], [head], [body])


def test_a_part_is_explained_inside_a_call_of_the_whole():
    model = net()
    with exclusive(model), exclusive(model.body), exclusive(model):
        assert camscope.explain(model, photo(0)).maps().shape == (1, 1, 2, 2)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(camscope.explain, model.body, batch(1, 8, 4, 4)).result(10)


def test_a_model_that_was_explained_can_be_forgotten():
    import gc
    import weakref

    model = net()
    camscope.explain(model, photo(0))
    kept = [weakref.ref(model), weakref.ref(locks_of(model.modules())[0])]
    del model
    gc.collect()
    assert [one() for one in kept] == [None, None]


# ---------------------------------------------------------------------- the user's own forwards


def elsewhere(work: Callable[[], Any]) -> Any:
    """What some work gives in another thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(10)


class Between(nn.Module):
    """An identity that runs something once, in another thread, in the midst of a forward."""

    def __init__(self) -> None:
        super().__init__()
        self.work: Callable[[], Any] | None = None
        self.after = 0
        self.found: list[Any] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.after -= 1
        if self.work is not None and self.after < 0:
            work, self.work = self.work, None
            self.found.append(elsewhere(work))
        return x


WAYS: dict[str, Callable[[nn.Module, torch.Tensor], torch.Tensor]] = {
    "the model": lambda model, x: model(x),
    "its parts one by one": lambda model, x: model.head(model.body(model.stem(x))),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("known", [True, False], ids=["a known model", "a new one"])
def test_another_threads_forward_comes_out_right_and_our_map_never_wrong(method, way, known, untouched):
    model = net().eval()
    between = Between()
    model.head.insert(0, between)
    x = photo(7)
    expected = model(x).detach()
    right = explained(camscope.Explainer(model), (method, 0, 0))
    explainer = camscope.Explainer(model)
    if known:
        explained(explainer, (method, 0, 0))
        # in the last forward of all, where most is replaced
        between.after = 10**6
        explained(explainer, (method, 0, 0))
        between.after = 10**6 - between.after - 1
    between.work = lambda: WAYS[way](model, x)
    with untouched(model):
        if way == "the model":
            with pytest.raises(camscope.ModelError, match=r"run by another thread.*deepcopy"):
                explained(explainer, (method, 0, 0))
        else:
            # where the parts meet nothing of ours they disturb nothing
            with suppress(camscope.ModelError):
                assert torch.equal(explained(explainer, (method, 0, 0)), right)
    assert len(between.found) == 1
    assert torch.equal(between.found[0], expected)
    assert not between.found[0].requires_grad  # no graph of ours was started in it
    assert torch.equal(explained(explainer, (method, 0, 0)), right)


def test_an_error_that_another_threads_forward_brings_about_is_told_as_such(untouched):
    class Fragile(nn.Module):
        busy = False

        def forward(self, x):
            assert not self.busy, "runs twice at a time"
            self.busy = True
            between(x)
            self.busy = False
            return x

    model, between, fragile = net().eval(), Between(), Fragile()
    model.body.append(fragile)
    explainer = camscope.Explainer(model)
    explained(explainer, ("gradcam", 0, 0))
    between.work = lambda: model(photo(1))
    with pytest.raises(camscope.ModelError, match="another thread") as raised:
        explained(explainer, ("gradcam", 0, 0))
    assert isinstance(raised.value.__cause__, AssertionError)


def test_recording_is_of_this_threads_calls_and_waits_for_nobody_here(untouched):
    model = net().eval()
    x, other = photo(0), photo(1)
    with untouched(model.requires_grad_(False)), camscope.record(model, ["body"]) as seen:
        camscope.explain(model, x)  # re-entrant
        seen["body"].calls.clear()
        foreign = elsewhere(lambda: model(other))
        with pytest.raises(camscope.LayerError, match="in the same thread"):
            _ = seen["body"].activations
        with camscope.balanced_gradients(model):
            own = model(x)
        assert len(seen["body"].calls) == 1
        assert torch.equal(seen["body"].activations, model.body(model.stem(x)))
    assert torch.equal(foreign, model(other))
    assert torch.equal(own, model(x))


def test_after_an_explanation_inside_a_recording_the_model_learns_again():
    model = net()
    with camscope.record(model, ["body"]) as seen:
        camscope.explain(model, photo(0))
        assert model.training
        model(batch(2, 3, 8, 8)).sum().backward()
        assert seen["body"].gradients is not None
    assert model.stem[0].weight.grad is not None


def test_an_explanation_in_another_thread_waits_for_a_recording():
    model = net()
    (lock,) = locks_of(model.modules())
    with ThreadPoolExecutor(1) as pool:
        with camscope.record(model, ["body"]) as seen:
            waiting = pool.submit(camscope.explain, model, photo(0))
            wait_until(lambda: queue(lock) == 2)
            assert model.training
            model(batch(2, 3, 8, 8))
        assert waiting.result(10).maps().shape == (1, 1, 2, 2)
    assert len(seen["body"].calls) == 1


def test_a_copy_made_in_the_midst_of_a_call_has_no_part_in_it():
    model = net().eval()
    between = Between()
    model.head.insert(0, between)
    explainer = camscope.Explainer(model)
    explained(explainer, ("gradcam", 0, 0))
    expected = model(photo(1))

    def copies() -> list[torch.Tensor]:
        return [twin(photo(1)) for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)))]

    between.work = copies
    explained(explainer, ("gradcam", 0, 0))  # nobody ran the model itself
    assert all(torch.equal(logits, expected) for logits in between.found[0])


# ---------------------------------------------------------------------- interrupts

MODULES = str(Path(nn.__file__).parent / "modules")
"""Where an interrupt flies too."""


def vit() -> nn.Module:
    return HandViT(style="multi-head", depth=2).float().train()


INTERRUPTED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str]] = {
    "gradcam": (net, (1, 3, 8, 8), "gradcam"),
    "ablationcam": (net, (1, 3, 8, 8), "ablationcam"),
    "guided": (net, (1, 3, 8, 8), "guided-gradcam"),
    "fullgrad": (net, (1, 3, 8, 8), "fullgrad"),
    "balanced": (net, (1, 3, 8, 8), "balanced(hirescam)"),
    "legrad": (vit, (1, 3, 8, 12), "legrad"),
    "chefer": (vit, (1, 3, 8, 12), "chefer"),
}
POINTS = 24


@pytest.mark.slow
@pytest.mark.parametrize("case", INTERRUPTED)
def test_an_interrupt_anywhere_leaves_nothing_behind(case, untouched):
    make, shape, method = INTERRUPTED[case]
    model, x = make(), batch(*shape)

    def call(known: bool) -> None:
        explainer = known_to if known else camscope.Explainer(model)
        explainer(x, methods=method, targets=[0, 1])

    known_to = camscope.Explainer(model)
    call(known=True)
    draw = random.Random(case)
    for known in (True, False):
        with interrupted(None, MODULES) as lines:
            call(known)
        for at in draw.sample(range(1, lines[0]), POINTS // 2):
            # a SystemError is what Python makes of an interrupt where PyTorch's own code was about to return
            with untouched(model), interrupted(at, MODULES), suppress(KeyboardInterrupt, SystemError):
                call(known)
            assert not _get_current_function_mode_stack(), at
            assert not attention_is_constant.get(), at
            assert queue(locks_of(model.modules())[0]) == 0, at


@pytest.mark.parametrize("what", ["record", "balanced_gradients"])
def test_an_interrupt_in_the_users_own_block_leaves_nothing_behind(what, untouched):
    model, x = net().eval().requires_grad_(False), photo(0)

    def call() -> None:
        block = (
            camscope.record(model, ["stem", "body"])
            if what == "record"
            else camscope.balanced_gradients(model)
        )
        with block:
            model(x)

    with interrupted(None, MODULES) as lines:
        call()
    for at in range(1, lines[0], 3):
        with untouched(model), interrupted(at, MODULES), suppress(KeyboardInterrupt):
            call()
        assert not _get_current_function_mode_stack(), at
        assert not attention_is_constant.get(), at
        assert queue(locks_of(model.modules())[0]) == 0, at


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C interrupts, also where the tests run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_who_is_interrupted_while_waiting_holds_nobody_up(untouched):
    model = net()
    (lock,) = locks_of(model.modules())
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with exclusive(model):
            held.set()
            wait_until(lambda: queue(lock) == 2)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            let_go.wait(10)

    explainer = camscope.Explainer(model)
    with untouched(model), ThreadPoolExecutor(2) as pool:
        holding = pool.submit(hold)
        held.wait(10)
        with pytest.raises(KeyboardInterrupt):
            explained(explainer, ("gradcam", 0, 0))
        assert queue(lock) == 1
        next_one = pool.submit(explained, explainer, ("gradcam", 0, 0))
        wait_until(lambda: queue(lock) == 2)
        let_go.set()
        holding.result(10)
        assert next_one.result(10).shape == (1, 1, 2, 2)


def test_the_same_in_large_numbers_can_be_run(capsys):
    from benchmarks import stress

    stress.interrupts(0)
    stress.threads(1)
    said = capsys.readouterr().out
    assert "left behind: nothing" in said
    assert said.count(" 0 wrong maps") == 2
