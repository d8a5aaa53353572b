"""Builds an explanation from what was computed; nothing else does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from camscope.arrays import Array
from camscope.engine.model import Model
from camscope.inputs import Inputs
from camscope.models.batch import Batch
from camscope.outputs import Outputs
from camscope.results import Explanation, Key, MethodFacts
from camscope.targets import TargetInfo


def build(
    model: Model,
    batch: Batch,
    given: Inputs,
    outputs: Outputs,
    *,
    raw: Mapping[Key, Array],
    scores: Array,
    targets: tuple[tuple[TargetInfo, ...], ...],
    class_names: Sequence[str] | None,
    facts: Mapping[str, MethodFacts],
    layers: Mapping[str, Any],
    notes: tuple[str, ...],
    seed: int,
    compositions: Mapping[str, str] | None = None,
    **more: Any,
) -> Explanation:
    """An explanation with its provenance.

    Args:
        model: the model that was explained.
        batch: the batch it ran on.
        given: the inputs as they were prepared.
        outputs: the model's outputs for the batch.
        raw: see `Explanation`.
        scores: see `Explanation`.
        targets: see `Explanation`.
        class_names: see `Explanation`.
        facts: see `Explanation`.
        layers: the layers and how they were chosen, for the provenance.
        notes: see `Explanation`.
        seed: the seed of random draws.
        compositions: the text of each named composition, by its name.
        more: further attributes of `Explanation`.
    """
    return Explanation(
        raw=raw,
        scores=scores,
        logits=outputs.logits,
        probabilities=outputs.probabilities,
        targets=targets,
        input_size=batch.space,
        facts=facts,
        class_names=class_names,
        input_images=given.input_images,
        provenance={
            **model.provenance(given, outputs, layers, seed),
            "methods": {name: fact.paper for name, fact in facts.items()},
            "compositions": dict(compositions or {}),
        },
        notes=notes,
        **more,
    )
