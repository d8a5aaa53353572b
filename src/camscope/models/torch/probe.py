"""Getting to know a model from one forward on one image: its layers, their grids, and how its output is made."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from camscope.errors import LayerError
from camscope.models.grid import Grid, find_grid
from camscope.models.layers import Layer
from camscope.models.torch.modules import first_tensor, named_layers
from camscope.models.torch.record import InputOf, Recorder

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
    """

    layers: tuple[Layer, ...]
    shapes: dict[str, tuple[int, ...]]
    classifier: str | None
    final_activation: str | None

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

    def hook(name: str) -> Any:
        def see(module: nn.Module, _inputs: Any, output: Any) -> None:
            tensor = first_tensor(output)
            if tensor is None:
                return
            calls[name] = calls.get(name, 0) + 1
            if isinstance(module, _FINAL_ACTIVATIONS):
                finals.append((name, tensor))
            last = outputs[-1] if outputs else None
            if last is None or last.tensor() is not tensor or last.version != tensor._version:
                outputs.append(_Output(weakref.ref(tensor), tensor._version, tuple(tensor.shape)))
            outputs[-1].names.append(name)
            outputs[-1].modules.append(module)

        return see

    handles = [module.register_forward_hook(hook(name)) for name, module in named_layers(model).items()]
    try:
        with torch.no_grad():
            logits = forward(image)
    finally:
        for handle in handles:
            handle.remove()
    final = first_tensor(logits)
    classes = final.shape[-1] if final is not None and final.ndim == 2 else None
    shapes = {name: output.shape for output in outputs for name in output.names}
    return Anatomy(
        layers=tuple(_layers(model, outputs, calls, tuple(image.shape))),
        shapes=shapes,
        classifier=_classifier(outputs, classes),
        final_activation=next((name for name, tensor in finals if tensor is final), None),
    )


def reaching(
    model: nn.Module, forward: Forward, image: torch.Tensor, anatomy: Anatomy, layers: Sequence[Layer]
) -> list[tuple[bool, bool]]:
    """For each layer: do its grid positions reach the score, and is it already the map of the class scores?

    A structural question, so a random combination of all outputs is sent back: what gets exactly nothing from
    that gets nothing from any class. Call it inside `explaining(model)`.
    """
    with Recorder(model, [layer.name for layer in layers], start_graph=True) as recorder, ExitStack() as stack:
        watch = None
        if anatomy.classifier is not None:
            watch = stack.enter_context(InputOf(named_layers(model)[anatomy.classifier]))
        logits = forward(image)
    tensors = [recorder.seen[layer.name].activations for layer in layers]
    # the classifier's input too: a classifier of zeros, as some are initialised, hides what would reach it
    ends = [end for end in (logits, watch.value if watch else None) if end is not None and end.requires_grad]
    if not ends:
        return [(False, False)] * len(layers)
    generator = torch.Generator().manual_seed(0)
    mixes = [torch.rand(end.shape, generator=generator).add(0.5).to(end) for end in ends]
    gradients = torch.autograd.grad(ends, tensors, mixes, retain_graph=True, allow_unused=True)
    answers = []
    for layer, tensor, gradient in zip(layers, tensors, gradients, strict=True):
        reaches = gradient is not None and bool((layer.grid.canonical(gradient) != 0).any())
        answers.append((reaches, reaches and _is_score_map(logits, tensor, layer.grid)))
    return answers


def _is_score_map(logits: torch.Tensor, tensor: torch.Tensor, grid: Grid) -> bool:
    """Whether channel k feeds class k and nothing else: the classifier's own output before pooling."""
    if logits.ndim != 2 or grid.channels != logits.shape[1] or logits.shape[1] < 2 or not logits.requires_grad:
        return False
    (gradient,) = torch.autograd.grad(logits[:, -1].sum(), tensor, retain_graph=True, allow_unused=True)
    return gradient is not None and not bool((grid.canonical(gradient)[:, :-1] != 0).any())


def choose(
    model: nn.Module, forward: Forward, image: torch.Tensor, anatomy: Anatomy, runners_up: int = 2
) -> list[Layer]:
    """The deepest eligible layer whose positions reach the score, and the runners-up after it.

    Raises:
        LayerError: if there is none; the message says what the model has instead.
    """
    found: list[Layer] = []
    candidates = [layer for layer in reversed(anatomy.layers) if layer.eligible]
    for start in range(0, len(candidates), 8):
        some = candidates[start : start + 8]
        for layer, (reaches, score_map) in zip(some, reaching(model, forward, image, anatomy, some), strict=True):
            if reaches and not score_map:
                found.append(replace(layer, reaches=True))
        if len(found) > runners_up:
            break
    if found:
        return found[: runners_up + 1]
    if candidates:
        raise LayerError(
            "No layer's positions reach the score by a gradient. Either the model cuts its graph (no_grad or "
            "detach in its forward), or its output does not depend on the image."
        )
    last = list(anatomy.shapes.items())[-3:]
    raise LayerError(
        "This model has no layer with a spatial grid, so there is no place on the input to point at. Its last layers "
        f"put out {', '.join(f'{name}: {shape}' for name, shape in last) or 'nothing'} for one image."
    )


def _layers(
    model: nn.Module, outputs: Sequence[_Output], calls: dict[str, int], input_shape: tuple[int, ...]
) -> Iterable[Layer]:
    modules = named_layers(model)
    inside_attention = {
        name
        for name in modules
        if any(_ATTENTION.search(type(modules[parent]).__name__) for parent in _parents(name))
    }
    seen: list[tuple[int, ...]] = []
    known: dict[tuple[int, ...], bool] = {}  # shape → channels last, as told by a layer whose kind tells
    layers: dict[str, tuple[Layer, bool]] = {}
    for output in outputs:
        told = _channels_last(output.modules[0])
        if told is not None and len(output.shape) == len(input_shape):
            known[output.shape] = told
        grid = find_grid(
            output.shape, input_shape, seen, prefers_last=known.get(output.shape) if told is None else told
        )
        if grid is None:
            continue
        if not grid.layout.startswith("tokens") and grid.space not in seen:
            seen.append(grid.space)
        # the outermost module this tensor comes out of; an identity that passes it on does not stand for it
        name = next(n for n in [*_parents(output.names[0]), output.names[0]] if n in output.names)
        repeats = _NO_NEW_FEATURES.search(type(output.modules[0]).__name__) is not None
        passes_on = _PASSES_ON.search(type(modules[name]).__name__) is not None
        eligible = not repeats and not passes_on and name not in inside_attention
        for alias in output.names:
            # every name stays findable; only the outermost stands for the tensor
            block = alias == name and any(True for _ in modules[alias].children())
            layer = Layer(
                alias, type(modules[alias]).__name__, output.shape, grid, calls[alias], block, eligible and alias == name
            )
            layers.pop(alias, None)  # a shared layer counts where it is called last
            layers[alias] = (layer, alias == name)
    found = list(layers.values())
    for i, (layer, stands) in enumerate(found):
        following = next((later for later, outermost in found[i + 1 :] if outermost and later.eligible), None)
        ends = layer.eligible and (following is None or following.grid.space != layer.grid.space)
        yield replace(layer, ends_block=stands and (layer.ends_block or ends))


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def _channels_last(module: nn.Module) -> bool | None:
    if "2d" in type(module).__name__.lower() or isinstance(module, _CHANNELS_FIRST):
        return False
    return True if isinstance(module, _CHANNELS_LAST) else None


def _classifier(outputs: Sequence[_Output], classes: int | None) -> str | None:
    for output in reversed(outputs):
        for name, module in zip(output.names, output.modules, strict=True):
            if isinstance(module, nn.Linear) and output.shape == (1, classes):
                return name
            if (
                isinstance(module, nn.modules.conv._ConvNd)
                and module.out_channels == classes
                and all(size == 1 for size in module.kernel_size)
                and module.groups == 1
            ):
                return name
    return None
