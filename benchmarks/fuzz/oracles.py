"""What the maps of a layer must be, by the formulas of the methods, without camscope."""

from __future__ import annotations

import torch

from benchmarks.fuzz.heads import Classifier
from benchmarks.fuzz.truth import Goal, Score, Truth, gradients_of

ALTERED = ("ablationcam", "reciprocam", "reciprocam(of=logit)")
"""Methods that set channels or positions of a layer to zero and run the network again."""


GRADIENTS = (
    "gradcam",
    "hirescam",
    "layercam",
    "gradcam++",
    "gradcam++-official",
    "xgradcam",
    "gradcam-elementwise",
)


class UndecidedError(Exception):
    """There is no one right map here: a quotient by nearly zero, two principal components alike."""


def expected(
    method: str, truth: Truth, goal: Goal, *, in_memory: bool = False, at_rest: bool = False
) -> torch.Tensor:
    """The map `batch *space` that a method must give.

    Args:
        method: its name.
        truth: of the layer.
        goal: what is explained.
        in_memory: how activations are altered and differentiated, see `Truth`.
        at_rest: whether no gradient passes where the layer's ReLU puts out 0.

    Raises:
        UndecidedError: if there is no one right map.
    """
    A = truth.activations
    if method in GRADIENTS:
        gradients = truth.gradients(goal, in_memory=in_memory)
        return _by_gradients(method, A, gradients * (A > 0) if at_rest else gradients)
    if method == "ablationcam":
        return _ablation(truth, goal, in_memory)
    if method == "reciprocam":
        return _recipro(truth, goal.probability, in_memory)
    if method == "reciprocam(of=logit)":
        return _recipro(truth, goal.score, in_memory)
    if method == "scorecam":
        return _score_cam(truth, goal)
    if method == "mean-activation":
        return A.mean(1)
    if method == "eigencam":
        return torch.stack([_eigen(a) for a in A])
    raise KeyError(method)


def _over(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """One number per channel, at every position."""
    return values[(..., *(None,) * (like.ndim - values.ndim))]


def _over_channels(terms: torch.Tensor) -> torch.Tensor:
    """The sum over channels, if it is more than what rounding leaves: a layer norm's channels cancel, say.

    Args:
        terms: `batch channel *space`.
    """
    total, size = terms.sum(1), terms.abs().sum(1)
    left, whole = total.flatten(1).abs().amax(1), size.flatten(1).amax(1)
    if bool(((left < 1e-10 * whole) & (whole > 0)).any()):
        raise UndecidedError("the channels cancel each other")
    return total


def _by_gradients(method: str, activations: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    A = activations
    axes = tuple(range(2, A.ndim))
    S = A.sum(axes)
    if method == "gradcam":
        mean, size = g.mean(axes), g.abs().mean(axes)
        if bool(((mean.abs().amax(1) < 1e-10 * size.amax(1)) & (size.amax(1) > 0)).any()):
            raise UndecidedError(
                "the positions cancel each other"
            )  # keys of a softmax: all may rise together
        return _over_channels(_over(mean, A) * A)
    if method == "hirescam":
        return _over_channels(g * A)
    if method == "layercam":
        return _over_channels(g.clamp(min=0) * A)
    if method == "gradcam-elementwise":
        return (g * A).clamp(min=0).sum(1)
    if method == "xgradcam":
        share = S.abs() / A.abs().sum(axes).clamp(min=1e-300)
        if bool(((share < 1e-4) & (S != 0)).any()):
            raise UndecidedError("a channel's activations sum nearly to zero")
        weights = torch.where(S == 0, 0.0, (A * g).sum(axes) / torch.where(S == 0, 1.0, S))
        return _over_channels(_over(weights, A) * A)
    denominator = 2 * g**2 + _over(S, A) * g**3
    usable = g > 1e-50  # below, g³ underflows, and S g is nothing beside 2
    if bool((usable & (denominator.abs() < 1e-2 * g**2)).any()):
        raise UndecidedError("a denominator of Grad-CAM++ is nearly zero")
    alpha = torch.where(usable, g**2 / torch.where(usable, denominator, 1.0), 0.5 * (g > 0))
    weights = (alpha * g.clamp(min=0)).sum(axes)
    if method == "gradcam++-official":
        total = alpha.sum(axes)
        if bool((total.abs() < 1e-2 * alpha.abs().sum(axes)).any()):
            raise UndecidedError("the sum of Grad-CAM++'s alphas is nearly zero")
        weights = weights / torch.where(total == 0, 1.0, total)
    return _over_channels(_over(weights, A) * A)


def _ablation(truth: Truth, goal: Goal, in_memory: bool) -> torch.Tensor:
    y, A = goal.score(truth.z), truth.activations
    drops = torch.stack([y - goal.score(z) for z in truth.without_each_channel(in_memory=in_memory)], 1)
    # zero too: the logarithm of a probability that is all but 1 is rounded to it
    if bool((y.abs() < 1e-6).any()):
        raise UndecidedError("a score of Ablation-CAM is nearly zero")
    return _over_channels(_over(drops / torch.where(y == 0, 1.0, y.abs())[:, None], A) * A)


def _recipro(truth: Truth, answer: Score, in_memory: bool) -> torch.Tensor:
    answers = [answer(z) for z in truth.each_position_alone(in_memory=in_memory)]
    return torch.stack(answers, 1).unflatten(1, truth.activations.shape[2:])


def _score_cam(truth: Truth, goal: Goal) -> torch.Tensor:
    A = truth.activations
    weights = torch.stack([goal.probability(z) for z in truth.through_each_channel], 1)
    constant = A.flatten(2).amax(2) == A.flatten(2).amin(2)
    return _over_channels(_over(torch.where(constant, 0.0, weights), A) * A)


def _eigen(activations: torch.Tensor) -> torch.Tensor:
    X = activations.flatten(1).T
    U, S, _ = torch.linalg.svd(X, full_matrices=False)
    if S[0] == 0:
        return torch.zeros_like(activations[0])
    if len(S) > 1 and S[1] > 0.999 * S[0]:
        raise UndecidedError("the two largest principal components are alike")
    projection, mean = U[:, 0] * S[0], X.mean(1)
    centred, activity = projection - projection.mean(), mean - mean.mean()
    if centred.norm() < 1e-9 * projection.norm() or activity.norm() < 1e-9 * X.abs().mean(1).norm():
        agreement = projection.mean() / projection.abs().mean()  # the mean activation is the same everywhere
    else:
        agreement = (centred @ activity) / (centred.norm() * activity.norm())
    if agreement.abs() < 1e-3:
        raise UndecidedError("the sign of the principal component is open")
    return (projection * agreement.sign()).view(activations.shape[1:])


def linear_map(truth: Truth, goal: Goal, head: Classifier) -> torch.Tensor | None:
    """CAM's map, Σ_k w_k F^k with F = A or ReLU(A), w the slope of the score.

    None if the head is no linear layer on the mean of F.

    Args:
        truth: of the layer.
        goal: what is explained.
        head: the network's classifier.
    """
    A, pooled = truth.activations, truth.into(head.fc)
    pooled = pooled.flatten(2).mean(2) if pooled.ndim > 2 else pooled
    if pooled.shape != A.shape[:2]:
        return None
    z = truth.z.clone().requires_grad_()
    weight = gradients_of(goal.score(z).sum(), z) @ head.fc.weight.detach().flatten(1)
    for features in (A, A.clamp(min=0)):
        if torch.allclose(features.flatten(2).mean(2), pooled, rtol=1e-9, atol=1e-12):
            return (_over(weight, A) * features).sum(1)
    return None
