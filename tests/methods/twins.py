"""Every method's twin: its formula as its docstring says it, one number after the other, sign included.

A twin gets the network that the evidence is of and the evidence, all of it NumPy, and gives the whole map. A new
method gets a line in `TWINS` and, if its formula is not here yet, its loops.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from camscope.evidence import Attention, AttentionLayer, Evidence, FullGradients
from tests import test_attention_methods as attention
from tests.reruns import CLASSES, Net, seen
from tests.test_family_methods import first_component
from tests.test_masking_methods import climbed, grouped, poly, rise_masks, scored, up
from tests.test_masking_methods import responses as answers
from tests.test_methods import LOOPS, loop_gradcam
from tests.test_suffix_methods import ablated, reciprocal

BATCH, TARGETS = CLASSES.shape
TwinFunction = Callable[[Net, Evidence], np.ndarray]


@dataclass(frozen=True)
class Twin:
    """How a method is checked.

    Attributes:
        maps: its formula.
        parameters: that the method is given.
    """

    maps: TwinFunction
    parameters: dict[str, Any] = field(default_factory=dict)


# ------------------------------------------------------------------ what the methods see


def evidence_of(net: Net, *, head: bool, seed: int = 4) -> Evidence:
    """All that a method can ask for, in NumPy. What no twin runs the network for is drawn."""
    rng = np.random.default_rng(seed)
    e = seen(net, head=head, seed=seed)
    x, A = e.model.inputs, e.activations
    full = FullGradients(
        rng.standard_normal((BATCH, TARGETS, *x.shape[1:])),
        tuple(
            rng.standard_normal((BATCH, TARGETS, k, *s)) for k, s in ((5, (4, 3)), (2, (12, 15)), (3, (4, 3)))
        ),
        np.zeros((BATCH, TARGETS)),
        np.zeros((BATCH, TARGETS)),
    )
    layers, blocks = attention.drawn()
    attended = Attention(
        tuple(AttentionLayer(**layer) for layer in layers),
        attention.SPACE,
        attention.PREFIX,
        attention.BOTH,
        tuple(blocks),
    )
    model = replace(
        e.model,
        full_gradients=full,
        guided_gradients=rng.standard_normal((BATCH, TARGETS, *x.shape[1:])),
        attention=attended,
    )
    curvature = rng.standard_normal((BATCH, TARGETS, *A.shape[1:]))
    return replace(e, curvature=curvature, model=model, shared={})


# ------------------------------------------------------------------ twins


def of_arrays(loop: Callable[..., np.ndarray], targets: int = TARGETS) -> TwinFunction:
    """A loop over one image's activations, gradients, head weights and pooled features."""

    def maps(net: Net, e: Evidence) -> np.ndarray:
        def one(b: int, t: int) -> np.ndarray:
            weights = None if e.head is None else e.head.weights[b, t]
            features = None if e.head is None else e.head.features[b]
            return loop(e.activations[b], e.gradients[b, t], weights, features)

        return np.stack([[one(b, t) for t in range(targets)] for b in range(BATCH)])

    return maps


def of_positions(value: Callable[..., float]) -> TwinFunction:
    """Σ_k of a number for each channel and position: of its activations, gradients and curvature."""

    def maps(net: Net, e: Evidence) -> np.ndarray:
        A = e.activations
        out = np.zeros((BATCH, TARGETS, *A.shape[2:]))
        for b, t, k in itertools.product(range(BATCH), range(TARGETS), range(A.shape[1])):
            for ij in np.ndindex(*A.shape[2:]):
                out[(b, t, *ij)] += value(A[b, k], e.gradients[b, t, k], e.curvature[b, t, k], ij)
        return out

    return maps


def of_runs(one: Callable[..., torch.Tensor]) -> TwinFunction:
    """A loop that runs the network for one image: of its activations, input and classes."""

    def maps(net: Net, e: Evidence) -> np.ndarray:
        A = torch.from_numpy(e.activations)
        return np.stack([one(net, A[b], net.x[b], CLASSES[b]).numpy() for b in range(BATCH)])

    return maps


def of_attention(function: Callable[..., np.ndarray]) -> TwinFunction:
    return lambda net, e: function(*attention.drawn(), attention.BOTH)


def guided(net: Net, e: Evidence) -> np.ndarray:
    """Σ_c guided_c ⊙ up(ReLU(Grad-CAM))."""
    out = np.zeros((BATCH, TARGETS, *e.model.inputs.shape[2:]))
    for b, t in itertools.product(range(BATCH), range(TARGETS)):
        area = np.maximum(loop_gradcam(e.activations[b], e.gradients[b, t], None, None), 0)
        large = up(torch.from_numpy(area), out.shape[2:]).numpy()
        for c in range(e.model.inputs.shape[1]):
            out[b, t] += e.model.guided_gradients[b, t, c] * large
    return out


def shapley_values(net: Net, e: Evidence) -> np.ndarray:
    """Σ_k φ_k A^k, φ_k the channel's Shapley value in the network's own score: every coalition is run."""
    A = torch.from_numpy(e.activations)
    channels = A.shape[1]
    out = np.zeros((BATCH, TARGETS, *A.shape[2:]))
    for b, k in itertools.product(range(BATCH), range(channels)):
        others = [i for i in range(channels) if i != k]
        value = np.zeros(TARGETS)
        for size in range(channels):
            share = math.factorial(size) * math.factorial(channels - size - 1) / math.factorial(channels)
            for group in itertools.combinations(others, size):
                for sign, members in ((1, [*group, k]), (-1, list(group))):
                    kept = torch.zeros_like(A[b])
                    kept[members] = A[b, members]
                    value += sign * share * net.suffix(kept[None])[0, CLASSES[b]].numpy()
        out[b] += value[:, None, None] * e.activations[b, k]
    return out


def steepest(net: Net, e: Evidence, top: int = 2) -> np.ndarray:
    """Each target's own channels of largest mean gradient, weighted by the softmax of their masked scores."""
    A = torch.from_numpy(e.activations)
    out = np.zeros((BATCH, TARGETS, *A.shape[2:]))
    for b, t in itertools.product(range(BATCH), range(TARGETS)):
        chosen = sorted(range(A.shape[1]), key=lambda k: -e.gradients[b, t, k].mean())[:top]
        scores = []
        for k in chosen:
            large = up(A[b, k], net.x.shape[2:])
            mask = (large - large.min()) / (large.max() - large.min())
            scores.append(float(answers(net, net.x[b] * mask, CLASSES[b])[0][t]))
        powers = [math.exp(score - max(scores)) for score in scores]
        for k, power in zip(chosen, powers, strict=True):
            out[b, t] += power / sum(powers) * e.activations[b, k]
    return out


def grouped_channels(net: Net, e: Evidence) -> np.ndarray:
    A, g = torch.from_numpy(e.activations), torch.from_numpy(e.gradients)
    return np.stack([grouped(net, A[b], net.x[b], CLASSES[b], g[b], 3, 0.0).numpy() for b in range(BATCH)])


def random_masks_summed(net: Net, e: Evidence) -> np.ndarray:
    """1/(N p) Σ_i p_c(x ⊙ M_i) M_i."""
    masks = rise_masks(tuple(net.x.shape[2:]), 12, 4, 0.3, seed=e.seed)
    out = np.zeros((BATCH, TARGETS, *net.x.shape[2:]))
    for b, mask in itertools.product(range(BATCH), masks):
        p = answers(net, net.x[b] * mask, CLASSES[b])[1]
        for t in range(TARGETS):
            out[b, t] += float(p[t]) * mask.numpy() / (12 * 0.3)
    return out


def by_adam(net: Net, e: Evidence) -> np.ndarray:
    return np.stack([climbed(net, t, 12)[0] for t in range(TARGETS)], axis=1)


def parts_in_their_size(net: Net, e: Evidence) -> np.ndarray:
    """Σ of ψ over the input's and every layer's parts: |·|, to [0, 1] over channels and positions, resized, summed."""
    size = net.x.shape[2:]
    out = np.zeros((BATCH, TARGETS, *size))
    full = e.model.full_gradients
    for term, b, t in itertools.product((full.inputs, *full.biases), range(BATCH), range(TARGETS)):
        magnitude = np.abs(term[b, t])
        unit = (magnitude - magnitude.min()) / (magnitude.max() - magnitude.min())
        for channel in unit:
            out[b, t] += up(torch.from_numpy(channel), size).numpy()
    return out


def eigen_of_products(net: Net, e: Evidence) -> np.ndarray:
    out = np.zeros((BATCH, TARGETS, *e.activations.shape[2:]))
    for b, t in itertools.product(range(BATCH), range(TARGETS)):
        product = (e.gradients[b, t] * e.activations[b]).reshape(len(e.activations[b]), -1).T
        out[b, t] = first_component(product).reshape(out.shape[2:])
    return out


def eigen_of_kernel(net: Net, e: Evidence) -> np.ndarray:
    """√λ₁ u₁ of the centred matrix of tanh(γ x·y + 1), entry by entry."""
    out = np.zeros((BATCH, 1, *e.activations.shape[2:]))
    for b in range(BATCH):
        X = e.activations[b].reshape(len(e.activations[b]), -1).T
        centred = X - X.mean(0)
        n = len(X)
        K = np.array(
            [[math.tanh(centred[i] @ centred[j] / X.shape[1] + 1) for j in range(n)] for i in range(n)]
        )
        middle = np.eye(n) - 1 / n
        values, vectors = np.linalg.eigh(middle @ K @ middle)
        found = math.sqrt(values[-1]) * vectors[:, -1]
        out[b, 0] = (found if np.corrcoef(found, X.mean(1))[0, 1] > 0 else -found).reshape(out.shape[2:])
    return out


def rare_positions(net: Net, e: Evidence) -> np.ndarray:
    """Σ_k μ_k 1[A^k > μ_k + kσ_k], for k = 1."""
    out = np.zeros((BATCH, 1, *e.activations.shape[2:]))
    for b, channel in itertools.product(range(BATCH), range(e.activations.shape[1])):
        a = e.activations[b, channel]
        for ij in np.ndindex(*a.shape):
            out[(b, 0, *ij)] += a.mean() if a[ij] > a.mean() + a.std() else 0
    return out


def _scored(name: str) -> TwinFunction:
    return of_runs(lambda net, a, x, c: scored(net, name, a, x, c))


def _poly(name: str) -> TwinFunction:
    return of_runs(lambda net, a, x, c: poly(net, name, a, x, c))


def _reciprocal(name: str, of: str) -> TwinFunction:
    return of_runs(lambda net, a, x, c: reciprocal(net, name, of, a, c))


TWINS: dict[str, Twin] = {
    **{name: Twin(of_arrays(LOOPS[name])) for name in LOOPS if name not in ("eigencam", "mean-activation")},
    "gradcam-elementwise": Twin(of_positions(lambda a, g, h, ij: max(g[ij] * a[ij], 0))),
    "shapley": Twin(of_positions(lambda a, g, h, ij: (g.mean() - h.mean() / 2) * a[ij])),
    "guided-gradcam": Twin(guided),
    "ablationcam": Twin(of_runs(lambda net, a, x, c: ablated(net, a, c))),
    "liftcam": Twin(shapley_values),
    "reciprocam": Twin(_reciprocal("reciprocam", "probability")),
    "reciprocam-gaussian": Twin(_reciprocal("reciprocam-gaussian", "probability")),
    "vit-reciprocam": Twin(_reciprocal("vit-reciprocam", "logit")),
    "scorecam": Twin(_scored("scorecam")),
    "scorecam-paper": Twin(_scored("scorecam-paper")),
    "scorecam-paper-logit": Twin(_scored("scorecam-paper-logit")),
    "gscorecam": Twin(steepest, {"top": 2}),
    "groupcam": Twin(grouped_channels, {"groups": 3, "radius": 2, "sigma": 1.5}),
    "pcam+": Twin(_poly("pcam+")),
    "pcam-": Twin(_poly("pcam-")),
    "pcam": Twin(_poly("pcam")),
    "rise": Twin(random_masks_summed, {"n": 12, "cells": 4, "p": 0.3}),
    "opticam": Twin(by_adam, {"steps": 12}),
    "fullgrad": Twin(parts_in_their_size),
    "rollout": Twin(of_attention(attention.rollout_by_matrices)),
    "attention": Twin(of_attention(attention.attention_by_loops)),
    "chefer": Twin(of_attention(attention.chefer_by_matrices)),
    "legrad": Twin(of_attention(attention.legrad_by_loops)),
    "grad-eclip": Twin(of_attention(attention.grad_eclip_by_loops)),
    "eigencam": Twin(of_arrays(LOOPS["eigencam"], targets=1)),
    "eigengradcam": Twin(eigen_of_products),
    "kpcacam": Twin(eigen_of_kernel),
    "fem": Twin(rare_positions, {"k": 1.0}),
    "mean-activation": Twin(of_arrays(LOOPS["mean-activation"], targets=1)),
}
