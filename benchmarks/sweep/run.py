"""One model: built, explained once, its place checked."""

from __future__ import annotations

import importlib
import re
import time
import warnings
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

import camscope
from benchmarks.sweep.place import MANY_DRAWS, UnreadableError, answer, canonical, output_of
from benchmarks.sweep.rows import (
    BLURRED,
    FAILED,
    MAP,
    NO_CLASSIFIER,
    NOT_BUILT,
    REFUSED,
    SEED,
    WRONG_PLACE,
    Candidate,
    Case,
    NotBuiltError,
    Row,
)
from camscope.models.layer import AFTER_RELU

SPREAD = 0.02
"""Standard deviation of what a parameter that starts at zero is drawn from."""


def models_of(library: str) -> ModuleType:
    """The module with the models of a library; it has `candidates(library)` and `build(candidate)`."""
    name = "registered" if library in ("timm", "torchvision") else library
    return importlib.import_module(f"benchmarks.sweep.{name}")


def examine(candidate: Candidate) -> Row:
    """Build the model, explain one input of noise, and say what came of it."""
    row = Row.of(candidate)
    torch.manual_seed(SEED)
    try:
        case: Case = models_of(candidate.library).build(candidate)
    except NotBuiltError as error:
        row.result, row.reason = NOT_BUILT, str(error)
        return row
    wake(case.model)
    row.parameters = sum(p.numel() for p in case.model.parameters())
    row.input, row.head_added = tuple(case.x.shape[1:]), case.head_added
    reason = no_classifier(case.model, case.run()) if candidate.library in ("timm", "torchvision") else ""
    if reason:
        row.result, row.reason = NO_CLASSIFIER, reason
        return row
    start = time.perf_counter()
    try:
        with warnings.catch_warnings(record=True):
            explainer = camscope.Explainer(case.model, **case.options)
            explanation = explainer(case.inputs, **case.call)
    except camscope.CamscopeError as error:
        row.result, row.reason = REFUSED, f"{type(error).__name__}: {error}"
        return row
    row.seconds = round(time.perf_counter() - start, 2)
    row.layer = explanation.layers[0]
    described = explanation.provenance["layers"]
    row.runners_up = list(described["runners_up"])
    row.kind, row.channels, row.grid = facts(described["layers"][row.layer])
    row.status = next(iter(explanation.status.values()))[0][0]
    row.result, row.reason = judge(case, explanation, row)
    return row


def judge(case: Case, explanation: Any, row: Row) -> tuple[str, str]:
    """Whether a map is one, and of the right places; writes `place` into the row."""
    for maps in explanation.raw.values():
        if not bool(maps.isfinite().all()):
            return FAILED, "the map is not finite"
        if row.status not in ("ok", "all-negative") or not bool(maps.max() > maps.min()):
            return FAILED, f"the map is constant: {row.status}"
    described = explanation.provenance["layers"]["layers"]
    size = next(iter(explanation.heatmaps().shape[2:] for _ in "1")) if len(explanation.raw) == 1 else ()
    axes = axes_of_space(case.x, size or tuple(case.x.shape[2:]))
    for layer in explanation.layers:
        _, channels, words = facts(described[layer])

        def activations(
            x: Tensor, layer: str = layer, channels: int = channels, words: str = words
        ) -> Tensor:
            output = output_of(case.model, layer, lambda: case.run(x), AFTER_RELU)
            return canonical(output, words, channels)

        try:
            found = answer(activations, case.x, axes)
        except UnreadableError as error:
            return FAILED, f"the place of {layer} cannot be checked: {error}"
        row.place = min(1.0 if row.place is None else row.place, round(found.correlation, 2))
        if not found.in_place:
            elsewhere = answer(activations, case.x, axes, MANY_DRAWS).elsewhere
            if elsewhere:
                return WRONG_PLACE, f"at {layer}, {words}: {elsewhere}"
            return BLURRED, f"at {layer}, {words}"
    return MAP, ""


def axes_of_space(x: Tensor, size: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of an input that a heatmap of this size is over: those of its sizes, in order, the last if several."""
    axes: list[int] = []
    for n in reversed(size):
        below = axes[0] if axes else x.ndim
        axes.insert(0, next(axis for axis in reversed(range(1, below)) if x.shape[axis] == n))
    return tuple(axes)


def wake(model: nn.Module) -> None:
    """Draw anew every parameter that starts at zero, biases aside: no trained network has these at zero.

    A classifier or a branch's gain of zeros sends back gradients of zero, which says nothing about the layers.
    """
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.endswith("bias") and parameter.is_floating_point() and not bool(parameter.any()):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * SPREAD)


def no_classifier(model: nn.Module, output: Any) -> str:
    """Why this is no classifier of one image, or nothing: it has no classes, by its own word or by its output."""
    if getattr(model, "num_classes", 1) == 0:
        return "registered without classes, and takes none"
    if isinstance(output, Tensor) and output.ndim != 2:
        return f"puts out features of shape {tuple(output.shape)}"
    return ""


def facts(described: str) -> tuple[str, int, str]:
    """Kind, channels and grid of a layer from its line in an explanation's provenance."""
    found = re.match(r"(?P<kind>.*?)[,:] (?P<channels>\d+) channels, (?P<grid>.*)", described)
    return (found["kind"], int(found["channels"]), found["grid"]) if found else (described, 0, "")
