"""Running only the part of a model after a layer, on altered outputs of that layer.

The model's own code runs, with every module call that had ended when the layer put out its output replaced by what it
returned then. Whatever the rest of the network takes from the prefix besides the layer itself (a residual stream, a
skip connection, position encodings) is therefore there, for any model whose prefix consists of modules; and what is
not in modules simply runs again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from camscope.models.layer import Layer
from camscope.models.torch.hooks.modules import (
    first_tensor,
    is_captured,
    named_layers,
    replace_first_tensor,
    replaced_forward,
)
from camscope.models.torch.precision import close

Forward = Callable[[torch.Tensor], torch.Tensor]
"""The model from input to logits, `batch class`."""


@dataclass(eq=False)
class _Call:
    """One call of a module in the traced forward."""

    name: str
    parent: _Call | None
    ended: bool = False
    number: int = 0
    """How many calls of the same module came before, in the whole forward."""
    turn: int = 0
    """How many came before it that are not inside a replaced call: its number when the suffix runs."""


@dataclass(frozen=True)
class Stub:
    """A module call that is not run again.

    Attributes:
        module: its name.
        number: of the call in the whole forward.
        turn: of the call when the suffix runs.
        alive: whether the rest of the network uses what it returned. Of what it does not, only the shape is kept.
        shape: what it returned for one image, every tensor in it without memory of its own.
        shared: which of the tensors it returned are the same for all images: a table of relative positions.
    """

    module: str
    number: int
    turn: int
    alive: bool = True
    shape: Any = field(default=None, compare=False, repr=False)
    shared: frozenset[int] = field(default=frozenset(), compare=False)


@dataclass(frozen=True)
class Plan:
    """How the part after a layer is run.

    Attributes:
        layer: the layer.
        stubs: the calls before it that are replaced.
        turn: of the layer's own (last) call when the suffix runs.
        copies: whether replaced outputs must be real copies, since the model writes into them.
        whole: whether the suffix cannot be run by itself, so that the whole model runs with the layer's output
            replaced.
    """

    layer: Layer
    stubs: tuple[Stub, ...]
    turn: int
    copies: bool = False
    whole: bool = False


@dataclass(eq=False)
class Kept:
    """What a forward of a batch keeps for the suffix of one layer: the replaced calls' outputs, by stub.

    Attributes:
        outputs: of the live stubs, as the module's own forward returned them.
        own: the layer's own output, likewise.
        batch: how many images it was.
    """

    outputs: dict[Stub, Any] = field(default_factory=dict)
    own: Any = None
    batch: int = 0


def plan_suffix(model: nn.Module, forward: Forward, image: torch.Tensor, layer: Layer) -> Plan:
    """Find out, on one image, how the part after a layer can be run; verified against the model's own output.

    Call it inside `explaining(model)` and `no_grad`.

    Args:
        model: an unwrapped module.
        forward: runs the model and selects its logits.
        image: a batch of one.
        layer: the layer whose last call is altered.
    """
    calls = _trace(model, forward, image, layer.module)
    replaced = [call for call in calls if call.ended and not (call.parent and call.parent.ended)]
    own = replaced.pop()
    stubs = tuple(Stub(call.name, call.number, call.turn) for call in replaced)
    alone = Kept(batch=1)
    with keeping(model, Plan(layer, stubs, own.turn), alone):
        forward(image)
    # another image beside it: what the model itself keeps of its last forward must not pass for this image's
    kept = Kept(batch=2)
    with keeping(model, Plan(layer, stubs, own.turn), kept):
        expected = forward(torch.cat([image.flip(-1), image]))[1:]
    if not all(_replaceable(output) for output in kept.outputs.values()):
        return Plan(layer, (), own.number, whole=True)
    stubs = tuple(
        replace(
            stub,
            shape=tree_map(_hollow, _of_image(kept.outputs[stub], 2, 1, 1, shared)),
            shared=shared,
        )
        for stub in stubs
        for shared in [_shared(kept.outputs[stub], alone.outputs[stub])]
    )

    def right(plan: Plan) -> bool:
        """Whether three copies of the image come out as the image does."""
        try:
            with _replaced(model, plan, kept, 1, 3, layer.grid.canonical):
                got = forward(image.expand(3, *image.shape[1:]))
        except Exception:  # whatever the model's own code says of it: it cannot be done like this
            return False
        return got.shape[0] == 3 and close(got, expected.expand_as(got))

    for copies in (False, True):
        plan = Plan(layer, stubs, own.turn, copies)
        if right(plan):
            try:
                without_dead = replace(plan, stubs=_told_apart(model, forward, image, plan, kept))
            except Exception:  # code that cannot be followed (a transform of functions, say): all is kept
                return plan
            return without_dead if right(without_dead) else plan
    return Plan(layer, (), own.number, whole=True)


@contextmanager
def keeping(model: nn.Module, plan: Plan, kept: Kept) -> Iterator[None]:
    """During one forward of a batch, keep what the suffix will need. The hooks are gone when the block ends."""
    modules = named_layers(model)
    wanted: dict[str, dict[int, Stub | None]] = {}
    for stub in plan.stubs:
        if stub.alive:
            wanted.setdefault(stub.module, {})[stub.number] = stub
    counts: dict[str, int] = {}

    def hook(name: str) -> Any:
        def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
            number = counts.get(name, 0)
            counts[name] = number + 1
            stub = wanted.get(name, {}).get(number)
            if stub is not None:
                kept.outputs[stub] = tree_map(_cloned, output)
            if name == plan.layer.module:
                kept.own = tree_map(_cloned, output)  # the last call's stays

        return keep

    with ExitStack() as stack:
        for name in {*wanted, plan.layer.module}:
            # before the user's hooks: those run again when the suffix does
            handle = modules[name].register_forward_hook(hook(name), prepend=True)
            stack.callback(handle.remove)
        yield


@contextmanager
def replaying(
    model: nn.Module,
    plan: Plan,
    kept: Kept,
    image: int,
    activations: Float[torch.Tensor, "variant channel *space"],
) -> Iterator[None]:
    """Inside the block, a forward of the model is the part after the layer, on these activations of one image.

    The forward must be given a batch of as many images as there are variants; what is in them does not matter.
    Instance attributes named `forward` are set, and a hook; all is put back as it was.
    """
    with _replaced(model, plan, kept, image, activations.shape[0], lambda _: activations):
        yield


Alter = Callable[[torch.Tensor], torch.Tensor]
"""From the layer's output to the activations that take its place, `variant channel *space`."""


@contextmanager
def _replaced(
    model: nn.Module, plan: Plan, kept: Kept, image: int, count: int, alter: Alter
) -> Iterator[dict[Stub, Any]]:
    """Let the stubs return what was kept of one image, and alter what the layer's last call returns.

    Yields:
        what the stubs return.
    """
    values = {}
    for stub in plan.stubs:
        kept_of = (kept.outputs[stub], kept.batch, image) if stub.alive else (stub.shape, 1, 0)
        value = _of_image(*kept_of, count, stub.shared)
        values[stub] = tree_map(_cloned, value) if plan.copies else value
    answers: dict[str, dict[int, Any]] = {}
    for stub, value in values.items():
        answers.setdefault(stub.module, {})[stub.turn] = value
    if not plan.whole:
        own = _of_image(kept.own, kept.batch, image, count)
        answers.setdefault(plan.layer.module, {})[plan.turn] = tree_map(_cloned, own) if plan.copies else own
    modules = named_layers(model)
    with ExitStack() as stack:
        for name, by_turn in answers.items():
            stack.enter_context(_answering(modules[name], by_turn))
        stack.enter_context(_altered(modules[plan.layer.module], plan, alter))
        yield values


@contextmanager
def _altered(module: nn.Module, plan: Plan, alter: Alter) -> Iterator[None]:
    """Alter what the layer's last call returns, after the user's own hooks, as it was recorded."""
    turn = -1

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        nonlocal turn
        turn += 1
        if turn != plan.turn:
            return None
        own = _tensor(output, plan.layer)
        # a copy: the network may go on in place, and the caller's array is the caller's
        altered = plan.layer.grid.embed(alter(own).to(own.dtype), own).clone()
        return replace_first_tensor(output, altered)

    handle = module.register_forward_hook(hook, prepend=is_captured(module))
    try:
        yield
    finally:
        handle.remove()


def _answering(module: nn.Module, answers: Mapping[int, Any]) -> AbstractContextManager[None]:
    """Let a module's n-th call return what is given for it; its other calls run.

    Args:
        module: whose forward is replaced.
        answers: by the number of the call.
    """
    original = module.forward
    turns = itertools.count()

    def forward(*args: Any, **kwargs: Any) -> Any:
        turn = next(turns)
        return answers[turn] if turn in answers else original(*args, **kwargs)

    return replaced_forward(module, forward)


def _trace(model: nn.Module, forward: Forward, image: torch.Tensor, last: str) -> list[_Call]:
    """Every module call in one forward in the order they begin; `ended` if before the last call of `last` had."""
    calls: list[_Call] = []
    running: list[_Call] = []
    ends: list[_Call] = []

    def begin(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any) -> None:
            call = _Call(name, running[-1] if running else None)
            calls.append(call)
            running.append(call)

        return hook

    def end(_module: nn.Module, _inputs: Any, _output: Any) -> None:
        ends.append(running.pop())

    with ExitStack() as stack:
        for name, module in named_layers(model).items():
            stack.callback(module.register_forward_pre_hook(begin(name)).remove)
            stack.callback(module.register_forward_hook(end).remove)
        forward(image)
    final = max(i for i, call in enumerate(ends) if call.name == last)
    for call in ends[: final + 1]:
        call.ended = True
    numbers: dict[str, int] = {}
    turns: dict[str, int] = {}
    for call in calls:
        call.number = numbers.get(call.name, 0)
        numbers[call.name] = call.number + 1
        inside = call.parent is not None and call.parent.ended
        if not inside:
            call.turn = turns.get(call.name, 0)
            turns[call.name] = call.turn + 1
    # the layer's own call last: what began before it and has ended comes first
    own = ends[final]
    return [call for call in calls if call is not own] + [own]


def _told_apart(
    model: nn.Module, forward: Forward, image: torch.Tensor, plan: Plan, kept: Kept
) -> tuple[Stub, ...]:
    """The stubs, those marked dead whose output nothing that the model returns is computed from."""
    returned: list[Any] = []
    handle = model.register_forward_hook(lambda _module, _inputs, output: returned.append(output))
    try:
        with (
            _replaced(model, plan, kept, 1, 1, plan.layer.grid.canonical) as values,
            _Followed(values) as followed,
        ):
            returned.append(forward(image))
    finally:
        handle.remove()
    used = followed.by(returned)
    return tuple(replace(stub, alive=stub in used or not _foreseen(values[stub])) for stub in plan.stubs)


class _Followed(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows from which stubs' outputs each tensor is computed, storage by storage."""

    def __init__(self, values: Mapping[Stub, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._stubs = frozenset(values)
        self._decisive: frozenset[Stub] = frozenset()
        """What Python has looked into: any line of the model's code may depend on it."""
        self._origins = {
            tensor.untyped_storage().data_ptr(): frozenset({stub})
            for stub, value in values.items()
            for tensor in _tensors(value)
        }

    def by(self, result: Any) -> frozenset[Stub]:
        """The stubs that something the model returned is computed from; all, if it cannot be looked into."""
        return self._origin(result).union(self._decisive) if _replaceable(result) else self._stubs

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        origin = self._origin((args, kwargs))
        written = list(_tensors(result))
        if not written:  # a number for Python, or an operation in place
            self._decisive |= origin
            written = list(_tensors((args, kwargs)))
        for tensor in written:
            self._origins[tensor.untyped_storage().data_ptr()] = origin
        return result

    def _origin(self, values: Any) -> frozenset[Stub]:
        known = (
            self._origins.get(tensor.untyped_storage().data_ptr(), frozenset()) for tensor in _tensors(values)
        )
        return frozenset().union(*known)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    return (leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor))


def _replaceable(output: Any) -> bool:
    """Whether all that an output holds can be seen: no tensor is hidden in an object of a class of its own."""
    plain = (torch.Tensor, str, bytes, bool, int, float, complex, torch.Size, torch.dtype, torch.device)
    return all(leaf is None or isinstance(leaf, plain) for leaf in tree_leaves(output))


def _foreseen(output: Any) -> bool:
    """Whether an output holds tensors only, and so nothing that Python may look at without being noticed."""
    return all(leaf is None or isinstance(leaf, torch.Tensor) for leaf in tree_leaves(output))


def _shared(of_two: Any, of_one: Any) -> frozenset[int]:
    """Which of the tensors in a module's output are as large for two images as for one."""
    pairs = zip(_tensors(of_two), _tensors(of_one), strict=False)
    return frozenset(i for i, (two, one) in enumerate(pairs) if two.shape == one.shape)


def _of_image(output: Any, batch: int, image: int, count: int, shared: frozenset[int] = frozenset()) -> Any:
    """One image's part of a module's output, as it would be for `count` copies of the image (views, no memory)."""
    numbers = itertools.count()

    def part(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and next(numbers) in shared:
            return value
        if not isinstance(value, torch.Tensor) or value.ndim == 0 or value.shape[0] % batch:
            return value
        each = value.shape[0] // batch  # more than one where a module folds windows into the batch
        own = value[image * each : (image + 1) * each]
        if each == 1:
            return own.expand(count, *own.shape[1:])
        return own.repeat(count, *(1,) * (own.ndim - 1))

    return tree_map(part, output)


def _hollow(value: Any) -> Any:
    """A tensor of the same shape and kind with one element of memory."""
    return value.new_zeros(()).expand(value.shape) if isinstance(value, torch.Tensor) else value


def _cloned(value: Any) -> Any:
    """A copy, where it is a tensor: what follows in place cannot reach the original."""
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def _tensor(output: Any, layer: Layer) -> torch.Tensor:
    found = first_tensor(output)
    assert found is not None, layer
    return found
