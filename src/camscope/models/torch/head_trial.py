"""Whether a linear head is linear away from the batch that it was verified on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import nullcontext

import torch
from einops import einsum, rearrange, reduce
from jaxtyping import Float

from camscope.models.layer import Layer
from camscope.models.torch.anatomy.head import Classifier
from camscope.models.torch.further_passes import FurtherPasses
from camscope.models.torch.precision import same_rows
from camscope.models.torch.reruns.following import following
from camscope.models.torch.reruns.on_batch import halves
from camscope.models.torch.reruns.suffix import Kept, Plan, replaced
from camscope.models.torch.reruns.sums import FollowingSums, Made


def holds_when_altered(
    classifier: Classifier,
    passes: FurtherPasses,
    expand: Callable[[torch.Tensor], torch.Tensor],
    layer: Layer,
    features: Float[torch.Tensor, "batch channel *space"],
    weights: Float[torch.Tensor, "batch target channel"],
) -> bool:
    """Whether W · mean(F) + b is what the model puts out without some channels, for every image and output.

    It is where the model makes its logits of the activations by sums, which is followed operation by operation, and
    the numbers are right without some channels: those that speak for the targets, which for a single target are its
    lowest and highest logits, those that speak against them, and random halves. Numbers alone say nothing of a branch,
    a ReLU or a clamp behind the head that another channel decides. Call it inside `explaining(model)`.

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
    try:
        found = _answers(passes, layer, left)
    except Exception:  # whatever the model's code says of being followed: then it is run without each channel
        _answers(passes, layer, left, follow=False)  # what it says without being followed is for the user
        return False
    if found is None:
        return False
    for without, logits in zip(left, found, strict=True):
        expected, size = classifier.logits(pooled * without)
        # a one-logit head has two classes, of which one is the other's negative
        expected, size = expand(expected), expand(size).abs()
        # what the model masks out by −∞ it masks out without these channels too
        expected = torch.where(logits.isneginf(), logits.to(expected), expected)
        if not bool(same_rows(logits.to(expected), expected, size, classifier.pooled.tolerance).all()):
            return False
    return True


def _answers(
    passes: FurtherPasses,
    layer: Layer,
    left: Float[torch.Tensor, "variant batch channel"],
    *,
    follow: bool = True,
) -> Float[torch.Tensor, "variant batch class"] | None:
    """What the model puts out without some channels of a layer; None if it does not make that by sums.

    The part after the layer is run alone where there is a plan for it, which is tried against the whole model first.

    Args:
        passes: run the model.
        layer: whose output is altered.
        left: weights of channels.
        follow: whether it is found out how the model makes that; None is given if not.
    """
    sums = FollowingSums()

    def altered(own: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
        canonical: torch.Tensor = layer.grid.canonical(own)
        result = canonical * left[(..., *(None,) * (canonical.ndim - 2))].to(own.dtype)
        sums.start(Made.OF_ONE, result)
        return result

    whole = Plan(layer, (), layer.calls - 1, whole=True)
    found = []
    with torch.no_grad(), following(sums, of=passes.model) if follow else nullcontext():
        if layer in passes.plans:
            way, batch_axis = passes.way(layer), layer.batch_axis
            for image in range(left.shape[1]):
                found.append(way.logits(image, altered(way.own.narrow(batch_axis, image, 1), left[:, image])))
        else:
            for some in left:
                alter = functools.partial(altered, left=some)
                with replaced(passes.model, whole, Kept(inputs=passes.x), 0, len(some), alter):
                    found.append(passes.run(passes.x).logits)
        if not follow or not all(sums.is_a_sum(logits) for logits in found):
            return None
    return torch.stack(found, 1 if layer in passes.plans else 0)


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
    random = rearrange([halves(pooled.shape[1], image)[:2] for image in range(len(pooled))], "b v c -> v b c")
    return torch.cat([torch.stack([speaks_for, ~speaks_for]).to(pooled), random.to(pooled)])
