"""The one place where a result is put together from what was computed."""

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
        model: what was explained.
        batch: what it ran on.
        given: the inputs as they were prepared.
        outputs: of the model.
        raw: see `Explanation`, as are those that are not named here.
        scores: see `Explanation`.
        targets: see `Explanation`.
        class_names: see `Explanation`.
        facts: see `Explanation`.
        layers: which layers, and how they were chosen.
        notes: see `Explanation`.
        seed: of what was drawn at random.
        compositions: what each named composition is made of.
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
