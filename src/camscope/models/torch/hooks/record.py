"""Recording what layers put out, and the start of the graph there, safe from in-place operations.

Whatever is recorded, the network's own numbers, tensors and memory stay as they are without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Shaped
from torch import nn
from torch.autograd.graph import Node, get_gradient_edge

from camscope.errors import LayerError
from camscope.models.torch.hooks.grafting import Source, Uses, begun, graft, shares_memory_with_others
from camscope.models.torch.hooks.modules import (
    change_tensors,
    first_tensor,
    is_captured,
    replace_first_tensor,
    tensors_of,
)
from camscope.models.torch.hooks.relu_edges import relus_of
from camscope.models.torch.hooks.session import hook_after, hook_before
from camscope.models.torch.hooks.within import Within, unwatched


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
class Seen:
    """What a layer put out at its last call.

    Attributes:
        activations: a copy.
        source: by what to differentiate for their gradient: the copy itself, or a place in the model's own graph.
        before_relu: where the graph begins of a layer whose ReLU is meant; None of any other.
    """

    activations: Shaped[torch.Tensor, " ..."]
    source: Source
    before_relu: Node | None = None

    def source_of(self, ends: Any) -> Source:
        """By what to differentiate, once the model has run.

        Where the ReLU of the layer is meant, that is what the model's own ReLUs put out: of their input, nothing comes
        back to positions that are zero.

        Args:
            ends: all that the model put out.
        """
        if self.before_relu is None:
            return self.source
        return relus_of(self.before_relu, tensors_of(ends)) or self.source


class Recorder:
    """Hooks on layers that keep their last output; a context that always takes its hooks away.

    Args:
        model: an unwrapped module.
        layers: what to record.
        start_graph: make the first of these layers that is reached the start of the autograd graph, so that
            nothing before it is kept for a backward.
        uses: which uses of their outputs are found how, by the names of those layers where that is known.
        look_within: find out whether layers use their outputs before they put them out. That takes a little time.

    Attributes:
        found: layers by name whose uses must be found in another way than they were. Run the model again with these.
        looked_at: names of the layers of which that was looked for.
        obstructed: whether a graft could not be put in place for that reason. Run the model again.
        making_others: names of the layers that make something else from their output before they put it out.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Iterable[Recordable],
        *,
        start_graph: bool = False,
        uses: Mapping[str, Uses] | None = None,
        look_within: bool = False,
    ) -> None:
        self.found: dict[str, Uses] = {}
        self.looked_at: set[str] = set()
        self.making_others: set[str] = set()
        self.obstructed = False
        self._layers = [(layer, model.get_submodule(layer.module)) for layer in layers]
        self._seen: dict[str, Seen] = {}
        self.starts_graph = start_graph
        self._uses = uses or {}
        self._look_within = look_within
        self._within: dict[nn.Module, list[Within]] = {}
        self._ended: dict[nn.Module, Within] = {}
        self._unwritten: list[tuple[str, torch.Tensor, int]] = []
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def was_called(self, layer: Recordable) -> bool:
        """Whether a layer was called: a model's own code may decide by the input what runs."""
        return layer.name in self._seen

    def seen(self, layer: Recordable) -> Seen:
        """What a layer put out at its last call.

        Raises:
            LayerError: if it was not called.
        """
        if layer.name not in self._seen:
            raise LayerError(
                f"For this batch the model does not call the layer {layer.name!r}, though for another image it did: "
                "its own code decides by the numbers of the input what runs. Name a layer that is called for every "
                "input, or give images that take the same way to an Explainer of their own: it makes the automatic "
                "choice on the first of them."
            )
        return self._seen[layer.name]

    def __enter__(self) -> Recorder:
        for layer, module in self._layers:
            if self.starts_graph and self._uses.get(layer.name) is Uses.FROM_WITHIN:
                self._handles.append(hook_before(module, begin_graph, with_keywords=True))
            if self._look_within and layer.name not in self._uses:
                self.looked_at.add(layer.name)
                if module not in self._within and not is_simple(module):
                    self._within[module] = []
                    self._handles.append(hook_before(module, self._begin_watch))
        for layer, module in self._layers:
            self._handles.append(hook_after(module, self._hook(layer), prepend=is_captured(module)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        for module in self._within:
            self._end_watch(module)
        for name, tensor, version in self._unwritten:
            if tensor._version != version and name not in self.found:
                self.found[name] = Uses.OF_MEMORY
        self._unwritten.clear()

    def _begin_watch(self, module: nn.Module, _inputs: Any) -> None:
        watch = Within()
        self._within[module].append(watch)
        watch.__enter__()  # type: ignore[no-untyped-call]

    def _end_watch(self, module: nn.Module) -> Within | None:
        """End the watch of a module's call, if it has not ended; None if there was none."""
        running = self._within.get(module)
        if not running:
            return self._ended.get(module)
        watch = running.pop()
        watch.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        self._ended[module] = watch
        return watch

    def _hook(self, layer: Recordable) -> Any:
        name = layer.name
        uses = self._uses.get(name, Uses.OF_TENSOR)

        def hook(module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> Any:
            watch = self._end_watch(module)
            tensor = first_tensor(output)
            if tensor is None:
                raise LayerError(
                    f"The layer {name!r} puts out {type(output).__name__}, which holds no tensor."
                )
            if watch is not None:
                self._note_uses(name, watch, tensor)
            if uses is Uses.OF_TENSOR and shares_memory_with_others(tensor):
                self._unwritten.append((name, tensor.detach(), tensor._version))
            with unwatched():
                network = self._record(layer, uses, tensor)
            if network is tensor:
                return None
            self.obstructed |= bool(self.looked_at)
            return replace_first_tensor(output, network)

        return hook

    def _note_uses(self, name: str, watch: Within, tensor: torch.Tensor) -> None:
        if watch.has_made_another_from(tensor):
            self.making_others.add(name)
        if name in self.making_others or watch.has_kept_a_view_of(tensor):
            self.found[name] = Uses.FROM_WITHIN

    def _record(self, layer: Recordable, uses: Uses, tensor: torch.Tensor) -> torch.Tensor:
        """Keep a copy of a layer's output, from which the graph starts or through which it goes.

        Args:
            layer: the layer.
            uses: how its uses are found.
            tensor: what it put out.

        Returns:
            what the network is to go on with: almost always the same tensor.
        """
        on_graph = tensor.requires_grad
        if self.starts_graph and on_graph and uses is not Uses.FROM_WITHIN and not layer.after_relu:
            copy = tensor.clone()
        else:
            values = tensor.detach()
            copy = values.clamp(min=0) if layer.after_relu else values.clone()
        self._seen[layer.name] = Seen(copy, copy)
        if not self.starts_graph:
            return tensor
        if not tensor.is_floating_point():
            raise LayerError(f"The layer {layer.name!r} puts out {tensor.dtype}, which has no gradient.")
        if on_graph and uses is Uses.FROM_WITHIN:
            self._seen[layer.name] = Seen(copy, get_gradient_edge(tensor))
            return tensor
        torch.set_grad_enabled(True)
        if not copy.requires_grad:
            copy.requires_grad_()
        network = graft(tensor, copy, in_memory=uses is Uses.OF_MEMORY, beside=on_graph and layer.after_relu)
        if layer.after_relu:
            self._seen[layer.name] = Seen(copy, copy, network.grad_fn)
        return network


def begin_graph(_module: nn.Module, args: Any, kwargs: Any) -> Any:
    """A hook before a layer, which gets its arguments as the start of a graph where they are on none.

    Args:
        _module: the layer.
        args: by position.
        kwargs: by keyword.
    """
    if not torch.is_grad_enabled():
        return None

    def started(value: torch.Tensor) -> torch.Tensor:
        return begun(value) if value.is_floating_point() and not value.requires_grad else value

    return change_tensors(args, started), change_tensors(kwargs, started)


def is_simple(module: nn.Module) -> bool:
    """Whether it is one of PyTorch's own layers, which do one thing and keep nothing of it."""
    own = type(module).__module__.startswith("torch.nn.modules.")
    return own and not any(module.children()) and not isinstance(module, nn.RNNBase)


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
