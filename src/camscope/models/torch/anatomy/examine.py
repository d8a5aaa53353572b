"""Getting to know a model from one forward on one image: its layers, their grids, and how its output is made."""

from __future__ import annotations

import math
import re
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from camscope.errors import LayerError
from camscope.models.grid import Grid, find_grid
from camscope.models.layer import Layer
from camscope.models.observing import is_dense
from camscope.models.torch.anatomy.token_order import in_order, reorders
from camscope.models.torch.hooks.modules import count_tensors, first_tensor, named_layers

Forward = Callable[[torch.Tensor], Any]

_CHANNELS_LAST = (nn.LayerNorm, nn.Linear, nn.MultiheadAttention, nn.Embedding)
_CHANNELS_FIRST = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
)
_FINAL_ACTIVATIONS = (nn.Softmax, nn.LogSoftmax, nn.Sigmoid)
_ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)
_NAMED_ATTENTION = re.compile(r"(self_?)?(attn|attention)\d*", re.IGNORECASE)
_NO_NEW_FEATURES = re.compile(r"pool|flatten|permute|upsample", re.IGNORECASE)
_PASSES_ON = re.compile(r"identity|dropout|droppath|stochasticdepth", re.IGNORECASE)


@dataclass(frozen=True)
class Anatomy:
    """What one forward showed.

    Attributes:
        layers: those with a grid, in the order they finish.
        shapes: the output shape of every module that was called, for messages.
        classifier: name of the last linear layer (or 1×1 convolution) with as many outputs as the model.
        final_activation: name of the softmax or sigmoid module that makes the model's output, if one does.
        returns_probabilities: whether the outputs are a softmax all the same, made by a function.
        dense: whether the outputs are scores of every position, `batch class *space`.
    """

    layers: tuple[Layer, ...]
    shapes: dict[str, tuple[int, ...]]
    classifier: str | None
    final_activation: str | None
    returns_probabilities: bool
    dense: bool = False

    def within(self, part: str) -> Anatomy:
        """Only the layers of one part of the model."""
        inside = tuple(layer for layer in self.layers if f"{layer.name}.".startswith(f"{part}."))
        return replace(self, layers=inside)

    def layer(self, name: str) -> Layer:
        """The layer with that name, of those with a grid.

        Raises:
            LayerError: if it was not called, or has no grid; the message says its shape and where a grid is.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        if name not in self.shapes:
            raise LayerError(f"This model's forward does not call the layer {name!r}.")
        good = next((layer for layer in reversed(self.layers) if layer.eligible), None)
        hint = f" {good.name!r} has one: {good.grid.describe()}." if good else ""
        raise LayerError(
            f"The layer {name!r} has no spatial grid: its output has shape {self.shapes[name]} for one image.{hint}"
        )


@dataclass
class _Output:
    """One tensor put out by one or more modules, innermost first.

    A layer in place puts out the same tensor object with other values, which its version tells.
    """

    tensor: weakref.ref[torch.Tensor]
    version: int
    shape: tuple[int, ...]
    names: list[str] = field(default_factory=list)
    modules: list[nn.Module] = field(default_factory=list)
    beside: set[str] = field(default_factory=set)
    """Those of the names that put out other tensors beside it, so that the rest may go on with one of these."""


def examine(model: nn.Module, forward: Forward, image: torch.Tensor) -> Anatomy:
    """Run one image and see what every module puts out. Call it inside `explaining(model)`.

    Args:
        model: an unwrapped module.
        forward: runs the model and selects its logits.
        image: a batch of one.
    """
    outputs: list[_Output] = []
    calls: dict[str, int] = {}
    finals: list[tuple[str, torch.Tensor]] = []
    reordered: list[int] = []  # how many outputs came before, each time the tokens were put in another order

    def hook(name: str) -> Any:
        def see(module: nn.Module, inputs: Any, output: Any) -> None:
            tensor = first_tensor(output)
            if tensor is None:
                return
            if reorders(module, inputs, output):
                reordered.append(len(outputs))
            calls[name] = calls.get(name, 0) + 1
            if isinstance(module, _FINAL_ACTIVATIONS):
                finals.append((name, tensor))
            several = count_tensors(output) > 1
            # a model inside the model that sums up what its parts put out comes after all of them
            candidates = reversed(outputs) if several else outputs[-1:]
            this = next(
                (o for o in candidates if o.tensor() is tensor and o.version == tensor._version), None
            )
            if this is None:
                this = _Output(weakref.ref(tensor), tensor._version, tuple(tensor.shape))
                outputs.append(this)
            this.names.append(name)
            this.modules.append(module)
            if several:
                this.beside.add(name)

        return see

    handles = [module.register_forward_hook(hook(name)) for name, module in named_layers(model).items()]
    try:
        with torch.no_grad():
            logits = forward(image)
    finally:
        for handle in handles:
            handle.remove()
    final = first_tensor(logits)
    classes = (
        None if final is None else 1 if final.ndim == 1 else final.shape[-1] if final.ndim == 2 else None
    )
    shapes = {name: output.shape for output in outputs for name in output.names}
    final_activation = next((name for name, tensor in finals if _is_or_views(final, tensor)), None)
    layers = tuple(_layers(model, outputs, calls, _as_grid(image)))
    if reordered and image.ndim > 2:
        later = {name for output in outputs[reordered[0] :] for name in output.names}
        tokens = [layer for layer in layers if layer.name in later and layer.grid.layout.startswith("tokens")]
        kept = dict(zip(tokens, in_order(model, forward, image, tokens), strict=True))
        layers = tuple(layer for layer in layers if kept.get(layer, True))
    return Anatomy(
        layers=layers,
        shapes=shapes,
        classifier=_classifier(outputs, classes),
        final_activation=final_activation,
        returns_probabilities=final_activation is None
        and _is_softmax(logits)
        and _is_softmax(_of_noise(forward, image)),
        dense=final is not None and is_dense(final, image),
    )


def _as_grid(x: torch.Tensor) -> tuple[int, ...]:
    """The shape of the input with a channel: token numbers have none."""
    return (x.shape[0], 1, x.shape[1]) if x.ndim == 2 else tuple(x.shape)


def _of_noise(forward: Forward, image: torch.Tensor) -> Any:
    """The outputs for noise: what happens to sum to one for one image does not for another.

    Token numbers are not drawn, since not all numbers are tokens; they come in another order.
    """
    if not image.is_floating_point():
        with torch.no_grad():
            return forward(image.flip(-1))
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0)).to(image)
    with torch.no_grad():
        return forward(noise)


def _is_softmax(outputs: torch.Tensor) -> bool:
    """Whether rows are probabilities: non-negative and summing to one."""
    if outputs.ndim < 2 or outputs.shape[1] < 2:
        return False
    rows = outputs.float()
    return not bool((rows < 0).any() or (rows.sum(1) - 1).abs().max() > 1e-3)


def _is_or_views(final: torch.Tensor | None, tensor: torch.Tensor) -> bool:
    """Whether the output is that tensor, or the same numbers in another shape (squeezed, flattened)."""
    return final is tensor or (
        final is not None and final.data_ptr() == tensor.data_ptr() and final.numel() == tensor.numel()
    )


def _layers(
    model: nn.Module, outputs: Sequence[_Output], calls: dict[str, int], input_shape: tuple[int, ...]
) -> Iterable[Layer]:
    modules = named_layers(model)
    outline = set(_outline(model))
    attention = _attention(model)
    grids = _Grids(input_shape)
    layers: dict[str, Layer] = {}
    for output in outputs:
        grid = grids.find(output)
        if grid is None:
            continue
        # the outermost module this tensor comes out of; an identity that passes it on does not stand for it
        alone = set(output.names) - output.beside
        name = next((n for n in _parents(output.names[0]) if n in alone), output.names[0])
        eligible = (
            not _NO_NEW_FEATURES.search(type(output.modules[0]).__name__)
            and not _PASSES_ON.search(type(modules[name]).__name__)
            and attention.isdisjoint(_parents(name))
        )
        for alias in output.names:
            # every name stays findable; only the outermost stands for the tensor
            stands = alias == name
            layers.pop(alias, None)  # a shared layer counts where it is called last
            layers[alias] = Layer(
                name=alias,
                kind=type(modules[alias]).__name__,
                shape=output.shape,
                grid=grid,
                calls=calls[alias],
                outline=stands and not outline.isdisjoint(output.names),
                eligible=stands and eligible,
            )
    return layers.values()


class _Grids:
    """Finds the grid of one output after the other, remembering what earlier ones told."""

    def __init__(self, input_shape: tuple[int, ...]) -> None:
        self._input_shape = input_shape
        self._seen: list[tuple[int, ...]] = []
        self._channels_last: dict[tuple[int, ...], bool] = {}

    def find(self, output: _Output) -> Grid | None:
        told = _channels_last(output.modules[0])
        if told is not None and len(output.shape) == len(self._input_shape):
            self._channels_last[output.shape] = told
        prefers_last = self._channels_last.get(output.shape) if told is None else told
        certain = isinstance(output.modules[0], _CHANNELS_FIRST)
        grid = find_grid(
            output.shape, self._input_shape, self._seen, prefers_last=prefers_last, certain=certain
        )
        if grid is not None and not grid.layout.startswith("tokens") and grid.space not in self._seen:
            self._seen.append(grid.space)
        return grid


def _outline(model: nn.Module, prefix: str = "") -> Iterator[str]:
    """What people mean by "the layers": stages and blocks, but not what is inside a block.

    Plain containers are opened, and a module that holds most of the model (a backbone in a wrapper).
    """
    most = sum(1 for _ in model.modules()) / 2 if not prefix else math.inf
    for child, module in model.named_children():
        name = f"{prefix}{child}"
        yield name
        if type(module) in (nn.Sequential, nn.ModuleList, nn.ModuleDict):
            yield from _outline(module, f"{name}.")
        elif sum(1 for _ in module.modules()) > most:
            yield from (f"{name}.{inner}" for inner in _outline(module))


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def _attention(model: nn.Module) -> set[str]:
    """The modules that are attention, by the name of their class or by what their parent calls them.

    Not what holds most of the model: that is a network with attention in its name.
    """
    most = sum(1 for _ in model.modules()) / 2
    return {
        name
        for name, module in named_layers(model).items()
        if (_ATTENTION.search(type(module).__name__) or _NAMED_ATTENTION.fullmatch(name.rpartition(".")[2]))
        and sum(1 for _ in module.modules()) <= most
    }


def _channels_last(module: nn.Module) -> bool | None:
    if "2d" in type(module).__name__.lower() or isinstance(module, _CHANNELS_FIRST):
        return False
    if isinstance(module, nn.RNNBase):
        return module.batch_first
    return True if isinstance(module, _CHANNELS_LAST) else None


def _classifier(outputs: Sequence[_Output], classes: int | None) -> str | None:
    """The last layer that could be the classifier; whether it is one, numbers decide (`head.verified`)."""
    for output in reversed(outputs):
        for name, module in zip(output.names, output.modules, strict=True):
            if isinstance(module, nn.Linear) and module.out_features == classes:
                return name
            if (
                isinstance(module, nn.modules.conv._ConvNd)
                and module.out_channels == classes
                and all(size == 1 for size in module.kernel_size)
                and module.groups == 1
            ):
                return name
    return None
