"""Whether a linear head is linear away from the batch that it was verified on."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

import torch
from einops import einsum, rearrange, reduce
from jaxtyping import Float
from torch.nn import functional

from camscope.models.layer import Layer
from camscope.models.torch.anatomy.head import Classifier
from camscope.models.torch.further_passes import FurtherPasses
from camscope.models.torch.precision import same_rows
from camscope.models.torch.reruns.on_batch import halves
from camscope.models.torch.reruns.suffix import Kept, Plan, replaced


def holds_when_altered(
    classifier: Classifier,
    passes: FurtherPasses,
    expand: Callable[[torch.Tensor], torch.Tensor],
    layer: Layer,
    features: Float[torch.Tensor, "batch channel *space"],
    weights: Float[torch.Tensor, "batch target channel"],
) -> bool:
    """Whether W · mean(F) + b is what the model puts out without some channels, for every image and output.

    Tried without the channels that speak for the targets and without those that speak against them, which for a single
    target are its lowest and highest logits; without the one that says most, as ablations are; and without random
    halves. Call it inside `explaining(model)`.

    Args:
        classifier: verified on the batch as it is.
        passes: run the model on that batch.
        expand: from logits as the model puts them out to one score per class.
        layer: whose output is altered.
        features: F, what the classifier averages: the layer's activations or their ReLU.
        weights: of the targets.
    """
    pooled = reduce(features, "b c ... -> b c", "mean")
    left = _left(weights, pooled)
    for without, found in zip(left, _answers(passes, layer, left), strict=True):
        expected, size = classifier.logits(pooled * without)
        # a one-logit head has two classes, of which one is the other's negative
        expected, size = expand(expected), expand(size).abs()
        if not bool(same_rows(found.to(expected), expected, size, classifier.pooled.tolerance).all()):
            return False
    return True


def _answers(
    passes: FurtherPasses, layer: Layer, left: Float[torch.Tensor, "variant batch channel"]
) -> Iterable[Float[torch.Tensor, "batch class"]]:
    """What the model puts out without some channels of a layer.

    The part after the layer is run alone where there is a plan for it, which is tried against the whole model first.

    Args:
        passes: run the model.
        layer: whose output is altered.
        left: weights of channels.
    """

    def altered(own: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
        canonical: torch.Tensor = layer.grid.canonical(own)
        return canonical * left[(..., *(None,) * (canonical.ndim - 2))].to(own.dtype)

    if layer in passes.plans:
        way = passes.way(layer)
        images = range(left.shape[1])
        return torch.stack(
            [way.logits(i, altered(way.own[i : i + 1], left[:, i])) for i in images], 1
        ).unbind()
    whole = Plan(layer, (), layer.calls - 1, whole=True)

    def run(left: torch.Tensor) -> torch.Tensor:
        alter = functools.partial(altered, left=left)
        with torch.no_grad(), replaced(passes.model, whole, Kept(inputs=passes.x), 0, len(left), alter):
            logits: torch.Tensor = passes.run(passes.x).logits
        return logits

    return (run(one) for one in left)


def _left(
    weights: Float[torch.Tensor, "batch target channel"], pooled: Float[torch.Tensor, "batch channel"]
) -> Float[torch.Tensor, "variant batch channel"]:
    """Weights of channels, 1 for those that are left and 0 for those that are taken away.

    Args:
        weights: of the targets.
        pooled: the mean of each channel.
    """
    count = weights.shape[1]
    signs = (halves(count, 0)[0] * 2 - 1).to(
        weights
    )  # with one target it counts alone, with several they are mixed
    share = einsum(weights, pooled, signs, "b t c, b c, t -> b c")
    speaks_for = share > 0
    strongest = functional.one_hot(share.abs().argmax(1), pooled.shape[1]) == 1
    random = rearrange([halves(pooled.shape[1], image)[:2] for image in range(len(pooled))], "b v c -> v b c")
    return torch.cat([torch.stack([speaks_for, ~speaks_for, ~strongest]).to(pooled), random.to(pooled)])
