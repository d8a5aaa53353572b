"""`Explainer.altering`: what a model says of altered inputs, of the targets found in the inputs as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from camscope.engine.altered_texts import altered_texts
from camscope.engine.explaining import asking
from camscope.engine.model import Model
from camscope.errors import ModelError
from camscope.evidence import ModelEvidence, Need, in_words
from camscope.targets import TargetsLike


@contextmanager
def altering(
    model: Model, inputs: Any, targets: TargetsLike, explained_input: int | str | None
) -> Iterator[ModelEvidence]:
    """Observe a batch, and run the model on altered copies of it. See `camscope.engine.Explainer.altering`.

    Args:
        model: the model.
        inputs: as the user gave them.
        targets: as the user gave them.
        explained_input: see `Explainer.__call__`.

    Raises:
        InputError: see `camscope.inputs.prepare`.
        ModelError: if the model cannot be run on altered inputs.
    """
    adapter = model.adapter
    needs = frozenset({Need.MASKED})
    with adapter.exclusive():
        notes = model.notes()
        given, batch = model.prepared(inputs, explained_input)
        if batch.of_tokens:
            yield altered_texts(
                model, batch, given, targets, lambda outputs: model.names(outputs.logits.shape[1], notes)
            )
            notes.warn()
            return
        if not needs <= adapter.offers:
            raise ModelError(
                f"This model cannot give {in_words(needs)}, so nothing can be removed from them."
            )
        captions = model.captions(batch, targets, notes)
        if captions:
            batch = adapter.with_captions(batch, captions)
        adapter.check(batch, needs)
        notes.of_targets(targets, len(batch))
        ask = asking(given, targets, lambda outputs: captions or model.names(outputs.logits.shape[1], notes))
        with adapter.observe(batch, {}) as seen:
            # altered inputs are run for all targets at once, so there is one piece of evidence
            ((_, evidence),) = seen.model_evidence(ask(seen.outputs), needs, 0)
            yield evidence
        notes.warn()
