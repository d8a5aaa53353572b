"""Whether a linear head is linear away from the batch that it was verified on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import einsum, rearrange, reduce
from jaxtyping import Float

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
    target are its lowest and highest logits; and without random halves. Call it inside `explaining(model)`.

    Args:
        classifier: verified on the batch as it is.
        passes: run the model on that batch.
        expand: from logits as the model puts them out to one score per class.
        layer: whose output is altered.
        features: F, what the classifier averages: the layer's activations or their ReLU.
        weights: of the targets.
    """
    pooled = reduce(features, "b c ... -> b c", "mean")
    whole = Plan(layer, (), layer.calls - 1, whole=True)
    count = len(features)
    with torch.no_grad():
        for left in _left(weights, pooled):

            def alter(own: torch.Tensor, left: torch.Tensor = left) -> torch.Tensor:
                mask = left[(..., *(None,) * (features.ndim - 2))]
                altered: torch.Tensor = layer.grid.canonical(own) * mask.to(own.dtype)
                return altered

            with replaced(passes.model, whole, Kept(inputs=passes.x), 0, count, alter):
                found = passes.run(passes.x).logits
            expected, size = classifier.logits(pooled * left)
            # a one-logit head has two classes, of which one is the other's negative
            expected, size = expand(expected), expand(size).abs()
            if not bool(same_rows(found.to(expected), expected, size, classifier.pooled.tolerance).all()):
                return False
    return True


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
    speaks_for = einsum(weights, pooled, signs, "b t c, b c, t -> b c") > 0
    random = rearrange([halves(pooled.shape[1], image)[:2] for image in range(len(pooled))], "b v c -> v b c")
    return torch.cat([torch.stack([speaks_for, ~speaks_for]).to(pooled), random.to(pooled)])
