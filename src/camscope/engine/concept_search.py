"""Finding the few concepts that a layer's activations on a batch are made of."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from camscope.engine.building import build
from camscope.engine.layer_choice import choose_layers
from camscope.engine.length_buckets import length_buckets
from camscope.engine.model import Model
from camscope.engine.notes import Notes
from camscope.errors import InputError
from camscope.evidence import Need
from camscope.results import Concepts, MethodFacts
from camscope.results.concepts import found_in, labels
from camscope.targets import AllClasses, resolve

_DFF = "Collins, Achanta & Süsstrunk, ECCV 2018, arXiv:1806.10206"


def find_concepts(
    model: Model, inputs: Any, *, count: int, layer: Any, steps: int, seed: int, notes: Notes
) -> Concepts:
    """Deep feature factorisation of a batch. See `Explainer.concepts`.

    Args:
        model: the model whose activations are factorised.
        inputs: the same as for a call of `Explainer`.
        count: how many concepts.
        layer: a name or module; None takes the automatic choice.
        steps: how many steps the factorisation takes at most.
        seed: the seed of its random start.
        notes: collects what a reader should know.

    Raises:
        MethodError, InputError, LayerError: see `Explainer.concepts`.
    """
    given, batch = model.prepared(inputs)
    batch = model.of_any_captions(batch)
    if given.input_images.texts:
        (_, batch), *others = length_buckets(batch, given.input_images.texts)
        if others:
            raise InputError(
                "Concepts are found in what a layer puts out for all texts together, so the texts must have the same "
                "number of tokens; these do not."
            )
    chosen, how = choose_layers(model.adapter, batch, layer, [], channels=1, said=model.grid)
    head = frozenset({Need.LINEAR_HEAD}) & model.adapter.offers
    needs = {chosen.single[0]: frozenset({Need.ACTIVATIONS}) | head}
    with model.adapter.observe(batch, needs) as seen:
        outputs = seen.outputs
        ((name, _, evidence),) = seen.evidence(resolve(AllClasses(), outputs), needs, seed)
        heatmaps, vectors, class_scores = found_in(evidence, count, steps=steps, seed=seed)
    if class_scores is None:
        notes.add(
            f"The head behind {name!r} is not one linear layer, so the concepts have no class of their own."
        )
    class_names = model.names(outputs.logits.shape[1], notes)
    explanation = build(
        model,
        batch,
        given,
        outputs,
        raw={("dff", name): heatmaps},
        scores=array_namespace(heatmaps).mean(heatmaps, axis=tuple(range(2, heatmaps.ndim))),
        targets=(labels(count, class_scores, class_names),) * len(batch),
        class_names=class_names,
        facts={"dff": MethodFacts(_DFF, rectified=False, class_specific=False)},
        layers=how,
        notes=notes.all,
        seed=seed,
    )
    return Concepts(explanation, vectors, class_scores)
