"""`Explainer.randomised`: the same model with weights drawn anew, as a copy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from camscope.engine.model import Model
from camscope.engine.space import Space
from camscope.errors import InputError, nearest


def weighted_layers(model: Model, inputs: Any) -> tuple[str, ...]:
    """The layers that have weights. See `camscope.engine.Explainer.weighted_layers`.

    Args:
        model: the model.
        inputs: as the user gave them.
    """
    with model.adapter.exclusive():
        _, batch = model.prepared(inputs)
        return tuple(model.adapter.weighted_layers(model.of_any_captions(batch)))


def with_other_weights(
    model: Model, inputs: Any, seed: int, head_only: bool, layers: Sequence[str] | None
) -> Model:
    """The model with weights drawn anew. See `camscope.engine.Explainer.randomised`.

    Args:
        model: the model.
        inputs: as the user gave them.
        seed: of the draws.
        head_only: whether only the last of the weighted layers is drawn.
        layers: those that are drawn; None for all.

    Raises:
        InputError: if a layer is named that has no weights, or both are said.
        ModelError: if no copy of the model can be made.
    """
    if isinstance(layers, str):
        layers = [layers]
    if head_only and layers is not None:
        raise InputError("Name the layers whose weights are drawn, or have the head alone drawn; not both.")
    with model.adapter.exclusive():
        _, batch = model.prepared(inputs)
        batch = model.of_any_captions(batch)
        if head_only or layers is not None:
            there = tuple(model.adapter.weighted_layers(batch))
            layers = there[-1:] if head_only else layers
            if unknown := [name for name in layers or () if name not in there]:
                raise InputError(
                    f"There is no layer {unknown[0]!r} with weights.{nearest(unknown[0], there)} "
                    "explainer.weighted_layers(inputs) lists them."
                )
        adapter = model.adapter.redrawn(batch, seed, layers)
    note = f"weights drawn anew (seed {seed}{', the head alone' if head_only else ''}): a test of the map"
    info = dataclasses.replace(model.info, of_weights=(*model.info.of_weights, note))
    return dataclasses.replace(model, adapter=adapter, info=info, space=Space(adapter))
