"""How a layer leads to the score: whether its positions reach it, and whether it is what the classifier pools."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import nn

from camscope.models.grid import Grid
from camscope.models.layer import Layer
from camscope.models.torch.anatomy.behind_pooling import is_vector, verified_head
from camscope.models.torch.anatomy.examine import Anatomy
from camscope.models.torch.anatomy.head import Classifier
from camscope.models.torch.anatomy.trace import Forward
from camscope.models.torch.hooks.grafting import Source, Uses, differentiated, refusing_overwriting
from camscope.models.torch.hooks.modules import first_tensor, replace_first_tensor
from camscope.models.torch.hooks.record import InputOf, Recorder, Seen
from camscope.models.torch.hooks.session import hook_after


@dataclass(frozen=True)
class Reach:
    """How a layer leads to the score.

    Attributes:
        positions: whether its grid positions reach the score at all.
        only_zeros: whether the layer put out nothing but zeros, which tell nothing of what becomes of its output.
        is_score_map: whether it is already the map of the class scores, before pooling.
        pooled: whether it is what the classifier pools.
        pooled_after_relu: whether what the classifier pools is its ReLU.
    """

    positions: bool
    only_zeros: bool = False
    is_score_map: bool = False
    pooled: bool = False
    pooled_after_relu: bool = False


@dataclass(frozen=True)
class Probe:
    """Something to run the model on in order to see how its layers lead to the score.

    Attributes:
        forward: runs the model and gives one score per class.
        x: its inputs.
    """

    forward: Forward
    x: Shaped[torch.Tensor, " image *size"]


def reaching(
    model: nn.Module,
    probes: Sequence[Probe],
    anatomy: Anatomy,
    layers: Sequence[Layer],
    *,
    look_within: bool = False,
) -> list[Reach]:
    """How each layer leads to the score.

    A structural question, so a random combination of all outputs is sent back: what gets exactly nothing from
    that gets nothing from any class. One picture alone can hide a way, as a black one does whose activations are all
    zero. So a layer that the first probe leaves in doubt is tried on the next. Call it inside `explaining(model)`.

    Args:
        model: an unwrapped module.
        probes: what it is tried on, in turn.
        anatomy: what one forward showed.
        layers: of the anatomy.
        look_within: whether ways count that begin in a layer, before it has put its output out.
    """
    found = dict.fromkeys(range(len(layers)), Reach(False))
    for probe in probes:
        doubtful = [place for place, reach in found.items() if reach.only_zeros or not reach.positions]
        if not doubtful:
            break
        some = [layers[place] for place in doubtful]
        now = _reaching(model, probe, anatomy, some, look_within=look_within)
        found |= {place: reach for place, reach in zip(doubtful, now, strict=True) if reach.positions}
    return list(found.values())


def _reaching(
    model: nn.Module, probe: Probe, anatomy: Anatomy, layers: Sequence[Layer], *, look_within: bool
) -> list[Reach]:
    """How each layer leads to the score, as far as one probe shows it."""
    uses: dict[str, Uses] = {}
    while True:
        with (
            Recorder(
                model, layers, start_graph=True, uses=uses, look_within=look_within and not uses
            ) as recorder,
            ExitStack() as stack,
        ):
            classifier_input = None
            if anatomy.head:
                classifier_input = stack.enter_context(InputOf(model.get_submodule(anatomy.head[0])))
            logits = probe.forward(probe.x)
        if not (look_within and recorder.found):
            break
        uses |= recorder.found
    classifier = None
    ends = [logits]
    if classifier_input is not None and classifier_input.value is not None:
        modules = [model.get_submodule(name) for name in anatomy.head]
        classifier = verified_head(modules, classifier_input.value, logits)
        if classifier is not None or is_vector(classifier_input.value.shape):
            # the classifier's input too: a classifier of zeros, as some are initialised, hides what would reach it
            ends.append(classifier_input.value)
    called = [layer for layer in layers if recorder.was_called(layer)]
    seen = [recorder.seen(layer) for layer in called]
    gradients = _of_a_mix(ends, [one.source for one in seen])
    found = dict.fromkeys(layers, Reach(False)) | {
        layer: _reach(
            layer,
            one,
            gradient,
            logits,
            classifier,
            could_be_scores=anatomy.dense or layer.name in anatomy.scores,
            of_tokens=probe.x.ndim == 2,
        )
        for layer, one, gradient in zip(called, seen, gradients, strict=True)
    }
    return [found[layer] for layer in layers]


def is_bypassed(model: nn.Module, probe: Probe, anatomy: Anatomy, layer: Layer) -> bool:
    """Whether tokens reach the score beside a layer too, since it is one of several branches.

    Such are convolutions of several widths side by side. The layer is cut out of the graph, and the question is
    whether the embedding of the tokens still gets a gradient. A residual connection around the layer does not count
    where it carries the last token only to the score: then the layer is all that the others have. Token numbers alone
    are asked, whose embedding shows it. Call it inside `explaining(model)`.

    Args:
        model: an unwrapped module.
        probe: what it is tried on.
        anatomy: what one forward showed.
        layer: of the anatomy.
    """
    embedding = next(
        (one for one in anatomy.layers if isinstance(model.get_submodule(one.module), nn.Embedding)), None
    )
    if probe.x.ndim != 2 or embedding is None or embedding.name == layer.name:
        return False

    def cut(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        tensor = first_tensor(output)
        return output if tensor is None else replace_first_tensor(output, tensor.detach())

    with Recorder(model, [embedding], start_graph=True) as recorder, ExitStack() as stack:
        stack.callback(hook_after(model.get_submodule(layer.module), cut).remove)
        logits = probe.forward(probe.x)
    (gradient,) = _of_a_mix([logits], [recorder.seen(embedding).activations])
    return gradient is not None and _positions_reach(embedding.grid.canonical(gradient), of_tokens=True)


def _of_a_mix(ends: Sequence[torch.Tensor], sources: Sequence[Source]) -> Sequence[torch.Tensor | None]:
    """The gradients of a random combination of all numbers in `ends` by the sources; None where there is no way."""
    ends = [end for end in ends if end.requires_grad]
    if not ends:
        return [None] * len(sources)
    generator = torch.Generator().manual_seed(0)
    mixes = [torch.rand(end.shape, generator=generator).add(0.5).to(end) for end in ends]
    with refusing_overwriting():
        return torch.autograd.grad(ends, differentiated(sources), mixes, retain_graph=True, allow_unused=True)


def _reach(
    layer: Layer,
    seen: Seen,
    gradient: Shaped[torch.Tensor, " ..."] | None,
    logits: Float[torch.Tensor, "image class"],
    classifier: Classifier | None,
    *,
    could_be_scores: bool,
    of_tokens: bool,
) -> Reach:
    """How one layer leads to the score.

    Args:
        layer: the layer.
        seen: what it put out.
        gradient: of a mix of the outputs, by that; None if there is no way.
        logits: the scores, on a graph from the layer on.
        classifier: the verified linear head.
        could_be_scores: whether it is what the classifier puts out; or the model puts out scores of every position.
        of_tokens: whether the model was run on token numbers.
    """
    if gradient is None or not _positions_reach(layer.grid.canonical(gradient), of_tokens=of_tokens):
        return Reach(False)
    features = (
        classifier.pooled.features(layer.grid.canonical(seen.activations.detach())) if classifier else None
    )
    return Reach(
        positions=True,
        only_zeros=not bool(seen.activations.any()),
        is_score_map=could_be_scores and _is_score_map(logits, seen.source, layer.grid),
        pooled=features is not None and features.activations_themselves,
        pooled_after_relu=features is not None and not features.activations_themselves,
    )


def _positions_reach(gradient: Shaped[torch.Tensor, "image channel *space"], *, of_tokens: bool) -> bool:
    """Whether the score depends on positions, in any of the images, and not on what stands for all of them.

    Of tokens, the first and the last do: the class token, and the last state of a recurrent network in each direction.
    Of an image they are no positions of the grid.
    """
    reached = (gradient != 0).any(1).any(0)
    if not of_tokens:
        return bool(reached.any())
    count = int(reached.sum())
    ends = int(reached[0]) + int(reached[-1])
    return count > 1 and (count > ends or len(reached) == 2)


def _is_score_map(logits: torch.Tensor, source: Source, grid: Grid) -> bool:
    """Whether channel k feeds class k and nothing else: the classifier's own output before pooling."""
    if (
        logits.ndim != 2
        or grid.channels != logits.shape[1]
        or logits.shape[1] < 2
        or not logits.requires_grad
    ):
        return False
    (gradient,) = torch.autograd.grad(
        logits[:, -1].sum(), differentiated([source]), retain_graph=True, allow_unused=True
    )
    return gradient is not None and not bool((grid.canonical(gradient)[:, :-1] != 0).any())
