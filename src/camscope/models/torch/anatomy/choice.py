"""Which layer explains a model best: how each leads to the score, and the automatic choice among those that do."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Shaped
from torch import nn

from camscope.errors import LayerError
from camscope.models.grid import Grid
from camscope.models.layer import AFTER_RELU, Layer
from camscope.models.torch.anatomy.examine import Anatomy
from camscope.models.torch.anatomy.head import verified
from camscope.models.torch.anatomy.trace import Forward
from camscope.models.torch.hooks.modules import first_tensor, named_layers, replace_first_tensor
from camscope.models.torch.hooks.record import InputOf, Recorder


@dataclass(frozen=True)
class Reach:
    """How a layer leads to the score.

    Attributes:
        positions: whether its grid positions reach the score at all.
        is_score_map: whether it is already the map of the class scores, before pooling.
        pooled: whether it is what the classifier pools.
        pooled_after_relu: whether what the classifier pools is its ReLU.
    """

    positions: bool
    is_score_map: bool = False
    pooled: bool = False
    pooled_after_relu: bool = False


def reaching(
    model: nn.Module, forward: Forward, image: torch.Tensor, anatomy: Anatomy, layers: Sequence[Layer]
) -> list[Reach]:
    """How each layer leads to the score.

    A structural question, so a random combination of all outputs is sent back: what gets exactly nothing from
    that gets nothing from any class. Call it inside `explaining(model)`.
    """
    with (
        Recorder(model, layers, start_graph=True) as recorder,
        ExitStack() as stack,
    ):
        watch = None
        if anatomy.classifier is not None:
            watch = stack.enter_context(InputOf(model.get_submodule(anatomy.classifier)))
        logits = forward(image)
    tensors = [recorder.seen[layer.name].activations for layer in layers]
    classifier = verified(watch.module, watch.value, logits) if watch is not None else None
    ends = [logits]
    if watch is not None and watch.value is not None and (classifier is not None or watch.value.ndim == 2):
        # the classifier's input too: a classifier of zeros, as some are initialised, hides what would reach it
        ends.append(watch.value)
    ends = [end for end in ends if end.requires_grad]
    if not ends:
        return [Reach(False)] * len(layers)
    generator = torch.Generator().manual_seed(0)
    mixes = [torch.rand(end.shape, generator=generator).add(0.5).to(end) for end in ends]
    gradients = torch.autograd.grad(ends, tensors, mixes, retain_graph=True, allow_unused=True)
    answers = []
    for layer, tensor, gradient in zip(layers, tensors, gradients, strict=True):
        if gradient is None or not _reached(layer.grid.canonical(gradient), tokens=image.ndim == 2):
            answers.append(Reach(False))
            continue
        features = classifier.pooled.features(layer.grid.canonical(tensor.detach())) if classifier else None
        answers.append(
            Reach(
                positions=True,
                is_score_map=_is_score_map(logits, tensor, layer.grid),
                pooled=features is not None and features.activations_themselves,
                pooled_after_relu=features is not None and not features.activations_themselves,
            )
        )
    return answers


def _reached(gradient: Shaped[torch.Tensor, "one channel *space"], *, tokens: bool) -> bool:
    """Whether the score depends on positions, and not on what stands for all of them.

    Of tokens, the first and the last do: the class token, and the last state of a recurrent network in each direction.
    Of an image they are no positions of the grid.
    """
    reached = (gradient != 0).any(1)[0]
    if not tokens:
        return bool(reached.any())
    count = int(reached.sum())
    ends = int(reached[0]) + int(reached[-1])
    return count > 1 and (count > ends or len(reached) == 2)


def _bypassed(model: nn.Module, forward: Forward, x: torch.Tensor, anatomy: Anatomy, layer: Layer) -> bool:
    """Whether tokens reach the score beside a layer too: it is one of several branches, convolutions of several widths.

    A layer after which nothing but the last token's own residual goes on beside is none. Asked of token numbers only,
    whose embedding shows it; call it inside `explaining(model)`.
    """
    embedding = next(
        (one for one in anatomy.layers if isinstance(model.get_submodule(one.module), nn.Embedding)), None
    )
    if x.ndim != 2 or embedding is None or embedding.name == layer.name:
        return False

    def cut(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        tensor = first_tensor(output)
        return output if tensor is None else replace_first_tensor(output, tensor.detach())

    with Recorder(model, [embedding], start_graph=True) as recorder, ExitStack() as stack:
        stack.callback(model.get_submodule(layer.module).register_forward_hook(cut).remove)
        logits = forward(x)
    if not logits.requires_grad:
        return False
    mix = torch.rand(logits.shape, generator=torch.Generator().manual_seed(0)).add(0.5).to(logits)
    (gradient,) = torch.autograd.grad(
        logits, recorder.seen[embedding.name].activations, mix, allow_unused=True
    )
    return gradient is not None and _reached(embedding.grid.canonical(gradient), tokens=True)


def _is_score_map(logits: torch.Tensor, tensor: torch.Tensor, grid: Grid) -> bool:
    """Whether channel k feeds class k and nothing else: the classifier's own output before pooling."""
    if (
        logits.ndim != 2
        or grid.channels != logits.shape[1]
        or logits.shape[1] < 2
        or not logits.requires_grad
    ):
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
    score_maps: list[Layer] = []
    pooled = False  # met already: what is before it may have the same ReLU, but a module for it
    candidates = [layer for layer in reversed(anatomy.layers) if layer.eligible]
    if anatomy.dense:
        candidates = _bottleneck_first(model, anatomy, candidates)
    for start in range(0, len(candidates), 8):
        some = candidates[start : start + 8]
        for layer, reach in zip(some, reaching(model, forward, image, anatomy, some), strict=True):
            if (
                reach.positions
                and len(found) <= runners_up
                and _bypassed(model, forward, image, anatomy, layer)
            ):
                continue
            if reach.is_score_map:
                score_maps.append(replace(layer, reaches=True))
            elif reach.positions:
                if reach.pooled_after_relu and not pooled:
                    found.append(replace(layer, name=f"{layer.name}{AFTER_RELU}", outline=True, reaches=True))
                found.append(replace(layer, reaches=True))
                pooled |= reach.pooled or reach.pooled_after_relu
        if len(found) > runners_up:
            break
    if found or score_maps:
        return [*found, *score_maps][: runners_up + 1]
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


def _bottleneck_first(model: nn.Module, anatomy: Anatomy, candidates: Sequence[Layer]) -> list[Layer]:
    """The deepest layers of a segmenter's encoder before the others.

    What comes last in a segmenter is one step away from the scores of the same position, and its map little but the
    segmentation itself. Seg-Grad-CAM looks at the bottleneck instead, where the model sees the furthest: the coarsest
    resolution, in the part of the model (encoder, backbone) that first gets there. A resolution that is pooled to on a
    side branch, whatever the size of the input, is none of the model's own.

    Args:
        model: an unwrapped module.
        anatomy: what one forward showed.
        candidates: deepest first.
    """
    aside = {layer.grid.space for layer in anatomy.layers if "AdaptiveAvgPool" in layer.kind}
    own = [layer for layer in candidates if layer.grid.space not in aside]
    if not own:
        return list(candidates)
    coarsest = min(math.prod(layer.grid.space) for layer in own)
    there = [layer for layer in own if math.prod(layer.grid.space) == coarsest]
    modules = named_layers(model)
    names = [layer.name.split(".") for layer in own]
    shared = sum(
        1 for _ in itertools.takewhile(lambda parts: len(set(parts)) == 1, zip(*names, strict=False))
    )
    encoder: list[Layer] = []
    part = ""
    for layer in reversed(there):
        its = ".".join(layer.name.split(".")[: shared + 1])
        # a network of single layers side by side has no parts
        if encoder and its != part and any(True for _ in modules[part].children()):
            break
        part = its
        encoder.insert(0, layer)
    return encoder + [layer for layer in candidates if layer not in encoder]


def stages(
    model: nn.Module, forward: Forward, image: torch.Tensor, anatomy: Anatomy, choice: Layer, most: int = 4
) -> list[Layer]:
    """The last layer of each resolution up to the automatic choice, in the order they run.

    At most `most`, the deepest ones; of a model with one resolution only (a ViT), evenly spread blocks. Call it
    inside `explaining(model)`.
    """
    names = [layer.name for layer in anatomy.layers]
    before = anatomy.layers[: names.index(choice.module)]
    found = [layer for layer in before if layer.eligible and layer.outline]
    last = {layer.grid.space: layer for layer in found if layer.grid.space != choice.grid.space}
    candidates = list(last.values())[-(most - 1) :]
    if not candidates:
        step = max(1, len(found) // most)
        candidates = found[::-1][step - 1 :: step][: most - 1][::-1]
    reach = reaching(model, forward, image, anatomy, candidates)
    return [*(layer for layer, r in zip(candidates, reach, strict=True) if r.positions), choice]
