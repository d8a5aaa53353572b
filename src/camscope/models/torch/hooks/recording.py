"""`camscope.record`: what layers put out during the user's own calls, and what a backward brings to it."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Shaped
from torch import nn

from camscope.errors import LayerError
from camscope.keywords import keywords
from camscope.models.torch.hooks.grafting import graft
from camscope.models.torch.hooks.modules import (
    change_tensors,
    find_layer,
    first_tensor,
    is_captured,
    tensors_of,
    unwrap,
)
from camscope.models.torch.hooks.record import begin_graph, is_simple
from camscope.models.torch.hooks.session import exclusive, hook_after, hook_before


@dataclass(eq=False)
class Recorded:
    """One tensor that a layer put out.

    Attributes:
        activations: a copy of it as the next layer got it, safe from later in-place operations.
        gradients: of whatever was sent backward, by the tensor; None before a backward reaches it.
    """

    activations: Shaped[torch.Tensor, " ..."]
    gradients: Shaped[torch.Tensor, " ..."] | None = None


@dataclass(eq=False)
class Call:
    """One call of a layer.

    Attributes:
        outputs: all tensors that the layer put out, in their order, also those inside tuples, lists and mappings.
        first: which of them stands for the output where one is meant: the first that is in no further tuple.
    """

    outputs: Sequence[Recorded]
    first: int = 0

    @property
    def activations(self) -> Shaped[torch.Tensor, " ..."]:
        """Of the first tensor."""
        return self.outputs[self.first].activations

    @property
    def gradients(self) -> Shaped[torch.Tensor, " ..."] | None:
        """Of the first tensor."""
        return self.outputs[self.first].gradients


@dataclass(eq=False)
class Recording:
    """All calls of one layer. `activations`, `gradients` and `outputs` are those of the last call.

    Attributes:
        layer: its name.
        calls: in order.
    """

    layer: str
    calls: list[Call] = field(default_factory=list)

    @property
    def activations(self) -> Shaped[torch.Tensor, " ..."]:
        """The last call's output; of several tensors the first.

        Raises:
            LayerError: if the layer was not called.
        """
        return self._last.activations

    @property
    def gradients(self) -> Shaped[torch.Tensor, " ..."] | None:
        """What the backward brought to the last call's output; None before a backward.

        Raises:
            LayerError: if the layer was not called.
        """
        return self._last.gradients

    @property
    def outputs(self) -> Sequence[Recorded]:
        """All tensors of the last call's output: `seen["lstm"].outputs[1].gradients`.

        Raises:
            LayerError: if the layer was not called.
        """
        return self._last.outputs

    @property
    def _last(self) -> Call:
        if not self.calls:
            raise LayerError(
                f"The layer {self.layer!r} was not called. Run the model inside the `with` block, in the same thread; "
                "if you did, this forward does not use the layer."
            )
        return self.calls[-1]


@keywords("camscope.record(model, {})")
@contextmanager
def record(model: Any, layers: Iterable[str | nn.Module]) -> Iterator[Mapping[str, Recording]]:
    """Record the activations, and after a backward the gradients, of any layers during your own calls.

        with camscope.record(model, layers=["layer3", "layer4"]) as seen:
            model(x)[:, 281].sum().backward()
        seen["layer4"].activations, seen["layer4"].gradients      # the last call
        [call.activations for call in seen["relu"].calls]          # every call of a shared layer
        seen["lstm"].outputs[1].activations                        # a layer with several output tensors

    Nothing about the model, its mode, its gradients or what it computes is changed; the hooks are gone when the block
    ends, also by an exception. What the layers put out stays as it was even if the network goes on in place.

    Gradients need no trained parameter: where a layer's inputs require none, as in a frozen model, the graph begins at
    the layer, so that the model's output can be sent backward. Under `torch.no_grad()` there are activations only.
    Gradients are of all uses of the tensor. If it is a view of the layer's input, uses of that input do not count.

    Calls that other threads make of the model are not recorded. Explanations of the model in other threads wait until
    the block ends, so do not wait for one inside.

    Args:
        model: any module, or an object that has it as its `model`, as fastai's Learner. DataParallel, DDP and compiled
            wrappers are looked through.
        layers: names or submodules. The recordings are found under the names.

    Raises:
        LayerError: for a layer that does not exist (with the nearest name), or one whose output holds no tensor.

    Example:
        >>> with camscope.record(model, layers=["layer4"]) as seen:
        ...     model(x)[:, 281].sum().backward()
        >>> seen["layer4"].activations.shape == seen["layer4"].gradients.shape
        True
        >>> model.zero_grad()
    """
    if isinstance(layers, (str, nn.Module)):
        layers = [layers]
    if not isinstance(model, nn.Module) and isinstance(held := getattr(model, "model", None), nn.Module):
        model = held
    inner = unwrap(model)
    names = [find_layer(inner, layer) for layer in layers]
    seen = {name: Recording(name) for name in names}
    with exclusive(inner), ExitStack() as stack:
        given = _Given(inner)
        stack.callback(given.remove)
        for name, recording in seen.items():
            module = inner.get_submodule(name)
            if not is_simple(module):
                stack.callback(hook_before(module, begin_graph, with_keywords=True).remove)
            hook = _hook(recording, given)
            stack.callback(hook_after(module, hook, prepend=is_captured(module)).remove)
        yield seen


class _Given:
    """Knows the user's own tensors, which must not be changed even in what they depend on.

    Args:
        model: whose arguments they are.
    """

    def __init__(self, model: nn.Module) -> None:
        self._tensors: list[torch.Tensor] | None = None
        self._handles = [
            hook_before(model, self._begin, with_keywords=True),
            hook_after(model, self._end, prepend=True),
        ]

    def remove(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()

    def has(self, tensor: torch.Tensor, inputs: Any) -> bool:
        """Whether a tensor is one of them. Where a layer is called by itself, all its inputs are.

        Args:
            tensor: what a layer put out.
            inputs: of the layer.
        """
        users = tensors_of(inputs) if self._tensors is None else self._tensors
        return any(tensor is one for one in users)

    def _begin(self, _module: nn.Module, args: Any, kwargs: Any) -> None:
        self._tensors = list(tensors_of((args, kwargs)))

    def _end(self, *_: Any) -> None:
        self._tensors = None


def _hook(recording: Recording, given: _Given) -> Any:
    """A hook after a layer that notes its call."""

    def hook(_module: nn.Module, inputs: Any, output: Any) -> Any:
        found = list(tensors_of(output))
        if not found:
            raise LayerError(
                f"The layer {recording.layer!r} puts out {type(output).__name__}, which holds no tensor."
            )
        goes_on: dict[int, torch.Tensor] = {}
        outputs: dict[int, Recorded] = {}
        for tensor in found:
            if id(tensor) not in outputs:
                outputs[id(tensor)], goes_on[id(tensor)] = _recorded(tensor, given.has(tensor, inputs))
        first = first_tensor(output)
        place = next((i for i, tensor in enumerate(found) if tensor is first), 0)
        recording.calls.append(Call([outputs[id(tensor)] for tensor in found], place))
        changed = change_tensors(output, lambda tensor: goes_on[id(tensor)])
        return None if changed is output else changed

    return hook


def _recorded(tensor: torch.Tensor, is_the_users: bool) -> tuple[Recorded, torch.Tensor]:
    """A copy of a tensor, through which its gradient goes from now on; and with what the network is to go on.

    Args:
        tensor: what a layer put out.
        is_the_users: whether it is the user's own, so that not even its history may be changed.
    """
    if not torch.is_grad_enabled() or not (tensor.is_floating_point() or tensor.requires_grad):
        return Recorded(tensor.detach().clone()), tensor
    if tensor.requires_grad and not tensor.is_leaf:
        recorded = Recorded(tensor.clone())
        # here arrives what was sent to the tensor before it was put out, too
        _keep_gradient(tensor, recorded)
    else:
        recorded = Recorded(
            tensor.clone() if tensor.requires_grad else tensor.detach().clone().requires_grad_()
        )
        _keep_gradient(recorded.activations, recorded)
    return recorded, graft(tensor, recorded.activations, same_object=not is_the_users)


def _keep_gradient(tensor: torch.Tensor, recorded: Recorded) -> None:
    # weak: the graph keeps the hook alive, the hook must not keep the graph alive
    kept = weakref.ref(recorded)

    def keep(gradient: torch.Tensor) -> None:
        if (alive := kept()) is not None:
            alive.gradients = gradient.detach()

    tensor.register_hook(keep)  # type: ignore[no-untyped-call]
