"""Recording what layers put out, and what flows back into them, without leaks and safe from in-place operations."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Shaped
from torch import nn

from camscope.errors import LayerError
from camscope.models.torch.hooks.modules import (
    find_layer,
    first_tensor,
    is_captured,
    replace_first_tensor,
    unwrap,
)
from camscope.models.torch.hooks.session import exclusive, hook_after, hook_before


@dataclass(eq=False)
class Call:
    """One call of a layer.

    Attributes:
        activations: the layer's output, as the next layer got it, safe from later in-place operations.
        gradients: of whatever was sent backward, by `activations`; None before a backward reaches it.
    """

    activations: Shaped[torch.Tensor, ...]
    gradients: Shaped[torch.Tensor, ...] | None = None


@dataclass(eq=False)
class Recording:
    """All calls of one layer. `activations` and `gradients` are those of the last call.

    Attributes:
        layer: its name.
        calls: in order.
    """

    layer: str
    calls: list[Call] = field(default_factory=list)

    @property
    def activations(self) -> Shaped[torch.Tensor, ...]:
        """The last call's output.

        Raises:
            LayerError: if the layer was not called.
        """
        return self._last.activations

    @property
    def gradients(self) -> Shaped[torch.Tensor, ...] | None:
        """What the backward brought to the last call's output; None before a backward.

        Raises:
            LayerError: if the layer was not called.
        """
        return self._last.gradients

    @property
    def _last(self) -> Call:
        if not self.calls:
            raise LayerError(
                f"The layer {self.layer!r} was not called. Run the model inside the `with` block, in the same thread; "
                "if you did, this forward does not use the layer."
            )
        return self.calls[-1]


@contextmanager
def record(model: nn.Module, layers: Iterable[str | nn.Module]) -> Iterator[Mapping[str, Recording]]:
    """Record the activations, and after a backward the gradients, of any layers during your own calls.

        with camscope.record(model, layers=["layer3", "layer4"]) as seen:
            model(x)[:, 281].sum().backward()
        seen["layer4"].activations, seen["layer4"].gradients      # the last call
        [call.activations for call in seen["relu"].calls]          # every call of a shared layer

    Nothing about the model, its mode or its gradients is changed; the hooks are gone when the block ends,
    also by an exception. What the layers put out stays as it was even if the network goes on in place.

    Calls that other threads make of the model are not recorded. Explanations of the model in other threads wait until
    the block ends, so do not wait for one inside.

    Args:
        model: any module; DataParallel, DDP and compiled wrappers are looked through.
        layers: names or submodules. The recordings are found under the names.

    Raises:
        LayerError: for a layer that does not exist (with the nearest name), or one whose output holds no tensor.
    """
    if isinstance(layers, (str, nn.Module)):
        layers = [layers]
    inner = unwrap(model)
    targets = [ModuleOutput(name, name) for name in (find_layer(inner, layer) for layer in layers)]
    with exclusive(inner), Recorder(inner, targets, keep_gradients=True) as recorder:
        yield recorder.seen


@runtime_checkable
class Recordable(Protocol):
    """What to record; a `camscope.models.layer.Layer` is such."""

    @property
    def name(self) -> str:
        """By which the recording is found."""
        ...

    @property
    def module(self) -> str:
        """The name of the module whose output is recorded."""
        ...

    @property
    def after_relu(self) -> bool:
        """Whether the ReLU of that output is meant."""
        ...


@dataclass(frozen=True)
class ModuleOutput:
    """A module's own output."""

    name: str
    module: str
    after_relu: bool = False


class Recorder:
    """Hooks on layers that keep every call's output; a context that always takes its hooks away.

    Args:
        model: an unwrapped module.
        layers: what to record.
        start_graph: make the first of these layers that is reached the start of the autograd graph, so that
            nothing before it is kept for a backward.
        keep_gradients: keep what a later backward brings to each output.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Iterable[Recordable],
        *,
        start_graph: bool = False,
        keep_gradients: bool = False,
    ) -> None:
        self._layers = [(layer, model.get_submodule(layer.module)) for layer in layers]
        self.seen = {layer.name: Recording(layer.name) for layer, _ in self._layers}
        self._start_graph = start_graph
        self._keep_gradients = keep_gradients
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> Recorder:
        for layer, module in self._layers:
            handle = hook_after(module, self._hook(layer), prepend=is_captured(module))
            self._handles.append(handle)
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _hook(self, layer: Recordable) -> Any:
        name = layer.name

        def hook(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
            found = first_tensor(output)
            if found is None:
                raise LayerError(
                    f"The layer {name!r} puts out {type(output).__name__}, which holds no tensor."
                )
            # the model's own ReLU, which follows, leaves this as it is
            tensor = found.clamp(min=0) if layer.after_relu else found
            if _shares_memory(inputs, tensor):
                # an identity, a view or an in-place layer: others may still write to this memory
                tensor = tensor.clone()
            if self._start_graph and not tensor.requires_grad:
                if not tensor.is_floating_point():
                    raise LayerError(f"The layer {name!r} puts out {tensor.dtype}, which has no gradient.")
                torch.set_grad_enabled(True)
                tensor = tensor.detach().requires_grad_()
            call = Call(tensor)
            self.seen[name].calls.append(call)
            if self._keep_gradients and tensor.requires_grad:
                # weak: the graph keeps the hook alive, the hook must not keep the graph alive
                kept = weakref.ref(call)

                def keep(gradient: torch.Tensor) -> None:
                    if (alive := kept()) is not None:
                        alive.gradients = gradient.detach()

                tensor.register_hook(keep)  # type: ignore[no-untyped-call]
            # the network goes on with a copy, so that what follows in place cannot reach the recorded tensor
            return replace_first_tensor(output, tensor.clone())

        return hook


class InputOf:
    """A context that keeps what goes into one module: the logits before a softmax, the classifier's input.

    Args:
        module: itself.

    Attributes:
        module: itself.
        value: the first argument of its last call; None before a call.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.value: Any = None

    def __enter__(self) -> InputOf:
        def keep(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
            self.value = inputs[0]

        self._handle = hook_before(self.module, keep)
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()


def _shares_memory(inputs: tuple[Any, ...], tensor: torch.Tensor) -> bool:
    """Whether a tensor lies in the memory of one of the inputs."""
    storage = tensor.untyped_storage().data_ptr()
    return any(isinstance(x, torch.Tensor) and x.untyped_storage().data_ptr() == storage for x in inputs)
