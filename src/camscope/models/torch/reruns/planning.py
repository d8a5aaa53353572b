"""How the part of a model after a layer can be run: a proposal, found out on one image.

It is tried on each image of a batch before it is used for it, see `on_batch`.

One forward is traced to see which module calls had ended when the layer put out its output: those are replaced. A
second look finds which of them the rest of the network uses at all; of the others only the shape has to be kept.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map

from camscope.models.layer import Layer
from camscope.models.torch.anatomy.trace import Forward
from camscope.models.torch.hooks.modules import named_layers
from camscope.models.torch.hooks.session import hook_after, hook_before
from camscope.models.torch.precision import rounding, same_rows
from camscope.models.torch.reruns.following import Following, following
from camscope.models.torch.reruns.suffix import Kept, Plan, Stub, keeping, replaced
from camscope.models.torch.reruns.values import (
    hollow,
    is_transparent,
    of_image,
    only_tensors,
    shared_by_images,
)


def plan_suffix(model: nn.Module, forward: Forward, image: torch.Tensor, layer: Layer) -> Plan:
    """Find out, on one image, how the part after a layer can be run; it reproduces the model's output for that image.

    Call it inside `explaining(model)` and `no_grad`.

    Args:
        model: an unwrapped module.
        forward: runs the model and selects its logits.
        image: a batch of one.
        layer: the layer whose last call is altered.

    Returns:
        The plan that replaces most; one that runs the whole model where no part of it can be run by itself.
    """
    *replaceable, own = _calls_before(_trace(model, forward, image, layer.module))
    whole = Plan(layer, (), own.number, whole=True)
    if layer.grid.batch_second:  # what is kept of a batch is cut into images along its first axis
        return whole
    stubs = tuple(Stub(call.name, call.number, call.turn) for call in replaceable)
    alone = Kept(batch=1)
    with keeping(model, Plan(layer, stubs, own.turn), alone):
        forward(image)
    # another image beside it: what the model itself keeps of its last forward must not pass for this image's
    kept = Kept(batch=2)
    with keeping(model, Plan(layer, stubs, own.turn), kept):
        expected = forward(torch.cat([image.flip(-1), image]))[1:]
    if not all(is_transparent(output) for output in kept.outputs.values()):
        return whole
    stubs = tuple(_with_shape(stub, kept.outputs[stub], alone.outputs[stub]) for stub in stubs)

    def is_right(plan: Plan) -> bool:
        """Whether three copies of the image come out as the image does."""
        try:
            with replaced(model, plan, kept, 1, 3, layer.grid.canonical):
                got = forward(image.expand(3, *image.shape[1:]))
        except Exception:  # whatever the model's own code says of it: it cannot be done like this
            return False
        if got.shape != (3, *expected.shape[1:]):
            return False
        return bool(same_rows(got, expected.expand_as(got), expected.abs().max(), rounding(got.dtype)).all())

    for copies in (False, True):
        plan = Plan(layer, stubs, own.turn, copies)
        if is_right(plan):
            try:
                without_unused = replace(plan, stubs=_with_unused_marked(model, forward, image, plan, kept))
            except Exception:  # code that cannot be followed (a transform of functions, say): all is kept
                return plan
            return without_unused if is_right(without_unused) else plan
    return whole


def _with_shape(stub: Stub, of_two: Any, of_one: Any) -> Stub:
    """The stub with what is known of its output.

    Args:
        stub: without.
        of_two: what its call returned for two images.
        of_one: what it returned for one.
    """
    shared = shared_by_images(of_two, of_one)
    return replace(stub, shape=tree_map(hollow, of_image(of_two, 2, 1, 1, shared)), shared=shared)


# ------------------------------------------------------------------ which calls had ended


@dataclass(eq=False)
class _Call:
    """One call of a module in the traced forward.

    Attributes:
        name: of the module.
        parent: the call inside of which it was made.
        ended: whether it had ended when the layer put out its output.
        number: how many calls of the same module came before, in the whole forward.
        turn: how many of these are not inside a replaced call: its number when the suffix runs.
    """

    name: str
    parent: _Call | None
    ended: bool = False
    number: int = 0
    turn: int = 0

    @property
    def inside_a_replaced_call(self) -> bool:
        return self.parent is not None and self.parent.ended


def _calls_before(calls: list[_Call]) -> list[_Call]:
    """The outermost calls that had ended when the layer put out its output; the layer's own is the last."""
    return [call for call in calls if call.ended and not call.inside_a_replaced_call]


def _trace(model: nn.Module, forward: Forward, image: torch.Tensor, last: str) -> list[_Call]:
    """Every module call in one forward in the order they begin, but the last call of the layer at the end.

    Args:
        model: an unwrapped module.
        forward: runs the model.
        image: a batch of one.
        last: name of the layer.
    """
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
            stack.callback(hook_before(module, begin(name)).remove)
            stack.callback(hook_after(module, end).remove)
        forward(image)
    final = max(i for i, call in enumerate(ends) if call.name == last)
    for call in ends[: final + 1]:
        call.ended = True
    _count(calls)
    own = ends[final]
    return [call for call in calls if call is not own] + [own]


def _count(calls: list[_Call]) -> None:
    """Give each call its number and turn, once it is known which had ended."""
    numbers: dict[str, int] = {}
    turns: dict[str, int] = {}
    for call in calls:
        call.number = numbers.get(call.name, 0)
        numbers[call.name] = call.number + 1
        if not call.inside_a_replaced_call:
            call.turn = turns.get(call.name, 0)
            turns[call.name] = call.turn + 1


# ------------------------------------------------------------------ which of their outputs are used


def _with_unused_marked(
    model: nn.Module, forward: Forward, image: torch.Tensor, plan: Plan, kept: Kept
) -> tuple[Stub, ...]:
    """The plan's stubs, each marked with whether anything that the model returns is computed from its output.

    Args:
        model: an unwrapped module.
        forward: runs the model.
        image: a batch of one.
        plan: a plan that works.
        kept: of a forward of two images, the second being this one.
    """
    returned: list[Any] = []
    handle = hook_after(model, lambda _module, _inputs, output: returned.append(output))
    try:
        with (
            replaced(model, plan, kept, 1, 1, plan.layer.grid.canonical) as values,
            following(Following(), values) as followed,
        ):
            returned.append(forward(image))
    finally:
        handle.remove()
    # all of them, if what is returned cannot be looked into
    used = followed.of(returned) | followed.read if is_transparent(returned) else frozenset(plan.stubs)
    return tuple(replace(stub, used=stub in used or not only_tensors(values[stub])) for stub in plan.stubs)
