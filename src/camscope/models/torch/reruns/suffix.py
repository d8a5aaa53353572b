"""Running only the part of a model after a layer, on altered outputs of that layer.

The model's own code runs, with every module call that had ended when the layer put out its output replaced by what it
returned then. Whatever the rest of the network takes from the prefix besides the layer itself (a residual stream, a
skip connection, position encodings) is therefore there, for any model whose prefix consists of modules; and what is
not in modules simply runs again. Which calls are replaced is planned beforehand, see `planning`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import nn
from torch.utils._pytree import tree_map

from camscope.errors import ModelError
from camscope.models.layer import Layer
from camscope.models.torch.hooks.grafting import (
    Uses,
    put_in_place,
    shares_memory,
    shares_memory_with_others,
)
from camscope.models.torch.hooks.modules import (
    first_tensor,
    is_captured,
    named_layers,
    replace_first_tensor,
)
from camscope.models.torch.hooks.session import hook_after, replaced_forward
from camscope.models.torch.hooks.within import unwatched
from camscope.models.torch.reruns.values import cloned, of_image


@dataclass(frozen=True)
class Stub:
    """A module call that is not run again.

    Attributes:
        module: its name.
        number: of the call in the whole forward.
        turn: of the call when the suffix runs.
        used: whether the rest of the network uses what it returned. If not, only the shape is kept.
        shape: what it returned for one image, every tensor in it without memory of its own.
        shared: numbers of the tensors it returned that are the same for all images: a table of relative positions.
    """

    module: str
    number: int
    turn: int
    used: bool = True
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
        outputs: of the stubs that are used, as the module's own forward returned them.
        own: the layer's own output, likewise.
        batch: how many images it was.
        calls: how often the layer was called.
        uses: how the uses of the layer's output are found.
        inputs: of the model, into whose memory nothing is to be written.
    """

    outputs: dict[Stub, Any] = field(default_factory=dict)
    own: Any = None
    batch: int = 0
    calls: int = 0
    uses: Uses = Uses.OF_TENSOR
    inputs: torch.Tensor | None = None


@contextmanager
def keeping(model: nn.Module, plan: Plan, kept: Kept) -> Iterator[None]:
    """During one forward of a batch, keep what the suffix will need. The hooks are gone when the block ends.

    Args:
        model: an unwrapped module.
        plan: how the suffix is run.
        kept: takes what it needs.
    """
    modules = named_layers(model)
    wanted: dict[str, dict[int, Stub | None]] = {}
    for stub in plan.stubs:
        if stub.used:
            wanted.setdefault(stub.module, {})[stub.number] = stub
    counts: dict[str, int] = {}

    def hook(name: str) -> Any:
        def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
            number = counts.get(name, 0)
            counts[name] = number + 1
            stub = wanted.get(name, {}).get(number)
            with unwatched():
                if stub is not None:
                    kept.outputs[stub] = tree_map(cloned, output)
                if name == plan.layer.module:
                    kept.own = tree_map(cloned, output)  # the last call's stays
                    kept.calls = number + 1

        return keep

    with ExitStack() as stack:
        for name in {*wanted, plan.layer.module}:
            # before the user's hooks: those run again when the suffix does
            handle = hook_after(modules[name], hook(name), prepend=True)
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

    Args:
        model: an unwrapped module.
        plan: how the suffix is run.
        kept: of the forward of a batch.
        image: which of its images.
        activations: what the layer puts out.
    """
    with replaced(model, plan, kept, image, activations.shape[0], lambda _: activations):
        yield


Alter = Callable[[torch.Tensor], torch.Tensor]
"""From the layer's output to the activations that take its place, `variant channel *space`."""


@contextmanager
def replaced(
    model: nn.Module, plan: Plan, kept: Kept, image: int, count: int, alter: Alter
) -> Iterator[dict[Stub, Any]]:
    """Let the stubs return what was kept of one image, and alter what the layer's last call returns.

    Args:
        model: an unwrapped module.
        plan: how the suffix is run.
        kept: of the forward of a batch.
        image: which of its images.
        count: as how many copies of the image.
        alter: makes what the layer's last call returns from what it would return.

    Yields:
        what the stubs return.

    Raises:
        ModelError: at the end of the block, if the layer's last call is not the one that the plan names.
    """
    modules = named_layers(model)
    values = {}
    for stub in plan.stubs:
        kept_of = (kept.outputs[stub], kept.batch, image) if stub.used else (stub.shape, 1, 0)
        value = of_image(*kept_of, count, stub.shared)
        values[stub] = tree_map(cloned, value) if plan.copies else value
    answers: dict[str, dict[int, Any]] = {}
    for stub, value in values.items():
        answers.setdefault(stub.module, {})[stub.turn] = value
    if not plan.whole:
        own = of_image(kept.own, kept.batch, image, count)
        kept_by_others = plan.copies or bool(modules[plan.layer.module]._forward_hooks)
        answers.setdefault(plan.layer.module, {})[plan.turn] = (
            tree_map(cloned, own) if kept_by_others else own
        )
    with ExitStack() as stack:
        for name, by_turn in answers.items():
            stack.enter_context(_answering(modules[name], by_turn))
        stack.enter_context(_altered(modules[plan.layer.module], plan, kept, alter))
        yield values


@contextmanager
def _altered(module: nn.Module, plan: Plan, kept: Kept, alter: Alter) -> Iterator[None]:
    """Alter what the layer's last call returns: after the user's own hooks, since it was recorded after them too.

    Raises:
        ModelError: at the end of the block, if that was not the layer's last call.
    """
    turn = -1

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        nonlocal turn
        turn += 1
        if turn != plan.turn:
            return None
        own = _tensor(output, plan.layer)
        altered = plan.layer.grid.embed(alter(own).to(own.dtype), own)
        network = _written(own, altered, kept)
        return None if network is own else replace_first_tensor(output, network)

    handle = hook_after(module, hook, prepend=is_captured(module))
    try:
        yield
    finally:
        handle.remove()
    if turn != plan.turn:
        raise ModelError(
            f"{plan.layer.name!r} is called {turn + 1} times on altered activations and {plan.turn + 1} times before, "
            "so which call's output is to be altered cannot be said. Choose another layer, or a method that runs no "
            "part of the model again: gradcam."
        )


def _written(own: torch.Tensor, altered: torch.Tensor, kept: Kept) -> torch.Tensor:
    """The altered output in place of the layer's own, also for what has kept the layer's tensor already.

    Args:
        own: the layer's output.
        altered: what it is to be. It is copied: the network may go on in place, and the caller's array is the caller's.
        kept: says whose memory is whose.

    Returns:
        what the network is to go on with: the layer's own tensor with other values, or if that cannot be, another.
    """
    if not _is_writable(own, kept):
        return altered.clone()
    if kept.uses is Uses.OF_MEMORY or not shares_memory_with_others(own):
        return own.copy_(altered)
    other = altered.clone()
    return own if put_in_place(own, other) else other


def _is_writable(own: torch.Tensor, kept: Kept) -> bool:
    """Whether each number has a place of its own in memory, which is not that of the model's inputs."""
    repeated = any(not step and size > 1 for size, step in zip(own.shape, own.stride(), strict=True))
    return not (repeated or (kept.inputs is not None and shares_memory(kept.inputs, own)))


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


def _tensor(output: Any, layer: Layer) -> torch.Tensor:
    found = first_tensor(output)
    assert found is not None, layer
    return found
