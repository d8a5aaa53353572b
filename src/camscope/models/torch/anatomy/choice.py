"""Which layer explains a model best: the automatic choice among the layers whose positions reach the score."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from camscope.errors import LayerError
from camscope.models.layer import AFTER_RELU, Layer
from camscope.models.torch.anatomy.examine import Anatomy
from camscope.models.torch.anatomy.reach import Probe, is_bypassed, reaching
from camscope.models.torch.hooks.modules import named_layers, quantised_parts, scripted_parts

_AT_A_TIME = 8
"""Layers looked at in one forward and backward: the choice is usually among the first few."""


def choose(model: nn.Module, probes: Sequence[Probe], anatomy: Anatomy, runners_up: int = 2) -> list[Layer]:
    """The deepest eligible layer whose positions reach the score, and the runners-up after it.

    A map of the class scores themselves says nothing that the features before it do not, so it comes last. Where the
    classifier pools the ReLU of a layer, that comes before the layer. Call it inside `explaining(model)`.

    Args:
        model: an unwrapped module.
        probes: what it is tried on; see `reaching`.
        anatomy: what one forward showed.
        runners_up: how many to find at most.

    Raises:
        LayerError: if there is none; the message says what the model has instead.
    """
    found: list[Layer] = []
    score_maps: list[Layer] = []
    # once the layer that the classifier pools is met: a layer before may have the same ReLU, which is that layer itself
    pooled = False
    candidates = [layer for layer in reversed(anatomy.layers) if layer.eligible]
    if anatomy.dense:
        candidates = _bottleneck_first(model, anatomy, candidates)
    for start in range(0, len(candidates), _AT_A_TIME):
        some = candidates[start : start + _AT_A_TIME]
        for layer, reach in zip(some, reaching(model, probes, anatomy, some), strict=True):
            if reach.positions and len(found) <= runners_up and is_bypassed(model, probes[0], anatomy, layer):
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
    raise _none_found(model, anatomy, any_with_grid=bool(candidates))


def _none_found(model: nn.Module, anatomy: Anatomy, *, any_with_grid: bool) -> LayerError:
    """What to say where no layer can be chosen."""
    if any_with_grid and (quantised := quantised_parts(model)):
        deepest = anatomy.layers[-1].name
        return LayerError(
            f"Layers of this model are quantised ({', '.join(quantised[:3])}), and no gradient goes through them. "
            "Explain the model from before it was quantised; or name a layer, and a method that takes no gradients: "
            f"layers={deepest!r}, methods='scorecam' or 'eigencam'."
        )
    if any_with_grid:
        return LayerError(
            "No layer's positions reach the score by a gradient. Either the model cuts its graph (no_grad, detach "
            "or torch.utils.checkpoint with use_reentrant=True in its forward), or its output does not depend on the "
            "image."
        )
    last = list(anatomy.shapes.items())[-3:]
    if anatomy.of_complex:
        return LayerError(
            "Maps are made of real numbers, and this model's layers put out complex ones "
            f"({', '.join(sorted(anatomy.of_complex))}) or have no spatial grid. Put a module into it that makes real "
            "numbers of the complex ones, their size say (abs), where they still have positions."
        )
    return LayerError(
        "This model has no layer with a spatial grid, so there is no place on the input to point at. Its last layers "
        f"put out {', '.join(f'{name}: {shape}' for name, shape in last) or 'nothing'} for one image."
        f"{anatomy.called_again(anatomy.shapes)}{_hidden(model)}{_of_whole_numbers(model)}"
    )


def _hidden(model: nn.Module) -> str:
    """What to say of parts that no layer can be found in; empty if there are none."""
    parts = ", ".join(map(repr, scripted_parts(model)))
    return parts and f" Inside of TorchScript, which takes no hooks, no layer can be found: {parts}."


def _of_whole_numbers(model: nn.Module) -> str:
    """What to say of quantised parts; empty if there are none."""
    parts = ", ".join(quantised_parts(model)[:3])
    return parts and (
        f" It is quantised ({parts}, …): its layers put out whole numbers, of which no map is made. Explain the model "
        "from before it was quantised; or its file in ONNX, 'onnx:FILE.onnx'."
    )


def _bottleneck_first(model: nn.Module, anatomy: Anatomy, candidates: Sequence[Layer]) -> list[Layer]:
    """The deepest layers of a segmenter's encoder before the others.

    What comes last in a segmenter is one step away from the scores of the same position, and its map little but the
    segmentation itself. Seg-Grad-CAM looks at the bottleneck instead, where the model sees the furthest: the coarsest
    resolution, in the part of the model (encoder, backbone) that first gets there. A grid of a fixed size, which an
    adaptive pooling on a side branch makes whatever the size of the input, is not counted among the resolutions; nor is
    that of a gate, which has one channel: no sum of channels says anything of a class there.

    Args:
        model: an unwrapped module.
        anatomy: what one forward showed.
        candidates: deepest first.
    """
    modules = named_layers(model)
    fixed = {
        layer.grid.space
        for layer in anatomy.layers
        if isinstance(modules[layer.name], nn.modules.pooling._AdaptiveAvgPoolNd)
    }
    own = [layer for layer in candidates if layer.grid.space not in fixed and layer.grid.channels > 1]
    if not own:
        return list(candidates)
    coarsest = min(math.prod(layer.grid.space) for layer in own)
    there = [layer for layer in own if math.prod(layer.grid.space) == coarsest]
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
    model: nn.Module, probes: Sequence[Probe], anatomy: Anatomy, choice: Layer, most: int = 4
) -> list[Layer]:
    """The last layer of each resolution up to the automatic choice, in the order they run.

    The deepest ones, if there are many; of a model with one resolution only (a ViT), evenly spread blocks. Call it
    inside `explaining(model)`.

    Args:
        model: an unwrapped module.
        probes: what it is tried on; see `reaching`.
        anatomy: what one forward showed.
        choice: the automatic choice, the last of the stages.
        most: how many at most.
    """
    names = [layer.name for layer in anatomy.layers]
    before = anatomy.layers[: names.index(choice.module)]
    found = [layer for layer in before if layer.eligible and layer.outline]
    last = {layer.grid.space: layer for layer in found if layer.grid.space != choice.grid.space}
    candidates = list(last.values())[-(most - 1) :]
    if not candidates:
        step = max(1, len(found) // most)
        candidates = found[::-1][step - 1 :: step][: most - 1][::-1]
    reach = reaching(model, probes, anatomy, candidates)
    return [*(layer for layer, r in zip(candidates, reach, strict=True) if r.positions), choice]
