"""Every named composition against what its formula says, made by hand of plain calls and of the model's own numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import camscope
from camscope import Preprocessing
from camscope.composition import NAMED
from camscope.models.torch.backwards.full_gradients import full_gradients
from camscope.models.torch.hooks.state import explaining
from camscope.outputs import Outputs
from camscope.targets import resolve
from tests.composition import test_fusion as fusion
from tests.composition.test_wrappers import Sized, close, evidence_at, nearest, net, noisy, up
from tests.torch.nets import batch

pytestmark = pytest.mark.filterwarnings("ignore::camscope.errors.CamscopeWarning")

X = batch(2, 3, 16, 16, dtype=torch.float64)
C = 1
BLACK = Preprocessing((16, 16), 16, mean=(0.5, 1.0, 1.5), std=(0.5, 0.5, 0.5))
BLACK_VALUE = torch.tensor([-1.0, -2.0, -3.0], dtype=torch.float64)[None, :, None, None]

Pair = tuple[torch.Tensor, torch.Tensor]
"""The map of the name, and the map by hand."""


def explained(method: str, x: torch.Tensor = X, target: object = C) -> torch.Tensor:
    """The one map of a small network at its last layer."""
    e = camscope.Explainer(net(), preprocessing=BLACK)(x, methods=method, targets=target, layers="body")
    return e.maps()


def gradient_at(x: torch.Tensor) -> Pair:
    """A of the last layer, and ∂y_c/∂A."""
    model = net()
    with torch.no_grad():
        a = model.body(model.stem(x))
    a.requires_grad_()
    (g,) = torch.autograd.grad(model.head(a)[:, C].sum(), a)
    return a.detach(), g


# ------------------------------------------------------------------ other targets


def finercam() -> Pair:
    """Grad-CAM of y_c − 0.6 · the mean of the three closest logits."""
    with torch.no_grad():
        similar = nearest(net()(X), C, 3)

    def contrast(y: torch.Tensor) -> torch.Tensor:
        return y[:, C] - 0.6 * y.gather(1, similar).mean(1)

    return explained("finercam"), explained("gradcam", target=contrast)


def shapleycam() -> Pair:
    """The weights of ShapleyCAM on logit + log-probability."""
    return explained("shapleycam"), explained("shapley", target=lambda y: y[:, C] + y.log_softmax(1)[:, C])


# ------------------------------------------------------------------ altered inputs


def smoothgradcam() -> Pair:
    """METHODS §1.4, of the means of g, g² and g³ over 16 noisy inputs."""
    A, _ = gradient_at(X)
    gradients = torch.stack([gradient_at(one)[1] for one in noisy(X, 16, 0.15)])
    D1, D2, D3 = (gradients**power for power in (1, 2, 3))
    D1, D2, D3 = D1.mean(0), D2.mean(0), D3.mean(0)
    alpha = D2 / (2 * D2 + A.sum((2, 3), keepdim=True) * D3)
    weights = torch.where(D2 > 0, alpha, 0) * D1.relu()
    return explained("smoothgradcam++"), torch.einsum("bkhw,bk->bhw", A, weights.sum((2, 3)))[:, None]


def smooth_fullgrad() -> Pair:
    """METHODS §1.16: absolute values of the signed parts' means over 25 noisy inputs."""
    model = net()
    targets = resolve([C], Outputs(model(X).detach(), "multiclass"))
    parts: list[torch.Tensor] = []
    with explaining(model):
        for one in noisy(X, 25, 0.15):
            full = full_gradients(model, lambda x: Outputs(model(x), "multiclass"), one, targets)
            terms = [full.inputs.sum(2, keepdim=True), *full.biases]
            parts = [a + b / 25 for a, b in zip(parts or [0] * len(terms), terms, strict=True)]
    expected = torch.zeros(2, 1, 16, 16, dtype=torch.float64)
    for part in parts:
        magnitude = part.abs() - part.abs().amin((2, 3, 4), keepdim=True)
        expected += up((magnitude / magnitude.amax((2, 3, 4), keepdim=True)).sum(2), (16, 16))
    e = camscope.explain(model, X, methods="smooth-fullgrad", targets=C)
    return e.maps(), expected


def sscam() -> Pair:
    return explained("sscam"), sum(explained("scorecam-paper", one) for one in noisy(X, 16, 0.15)) / 16


def iscam() -> Pair:
    """Of the way from zero, the mean colour, in ten steps; heatmaps are summed, so rectified."""
    steps = [explained("scorecam-paper", i / 10 * X).relu() for i in range(1, 11)]
    return explained("iscam"), sum(steps) / 10


def integrated_gradcam() -> Pair:
    steps = [BLACK_VALUE + i / 20 * (X - BLACK_VALUE) for i in range(1, 21)]
    return explained("integrated-gradcam"), sum(explained("gradcam", one).relu() for one in steps) / 20


def augmented_gradcam() -> Pair:
    plain = [explained("gradcam", light * X) for light in (0.9, 1.0, 1.1)]
    flipped = [explained("gradcam", light * X.flip(-1)).flip(-1) for light in (0.9, 1.0, 1.1)]
    return explained("augmented-gradcam"), sum([*plain, *flipped]) / 6


def cameras() -> Pair:
    """Σ_k mean A^k ⊙ mean g^k at the input's size, over the sizes at which the class is on top; or over all."""
    x, c = batch(2, 3, 8, 12, dtype=torch.float64), torch.tensor([C, C])
    factors = [size / 224 for size in range(224, 925, 100)]
    seen = [evidence_at(x if f == 1 else up(x, (round(8 * f), round(12 * f))), c) for f in factors]
    counts = torch.stack([top == c for *_, top in seen]).double()
    counts[:, counts.sum(0) == 0] = 1
    shares = (counts / counts.sum(0))[..., None, None, None]
    A = sum(share * up(a, (8, 12)) for share, (a, _, _) in zip(shares, seen, strict=True))
    g = sum(share * up(g, (8, 12)) for share, (_, g, _) in zip(shares, seen, strict=True))
    e = camscope.explain(Sized(), x, methods="cameras", targets=C, layers="net.body")
    return e.maps(), (A * g).sum(1, keepdim=True)


# ------------------------------------------------------------------ several layers


def fused(name: str, inner: str, how: str) -> Callable[[], Pair]:
    """The fusion's formula on the maps of the layers."""

    def pair() -> Pair:
        x = fusion.X[:2]
        e = camscope.explain(fusion.deep(), x, methods=[name, inner], targets=C, layers=fusion.LAYERS)
        each = [e.raw[inner, layer].numpy() for layer in fusion.LAYERS]
        return e.maps(name), torch.from_numpy(fusion.by_hand(each, how))

    return pair


BY_HAND: dict[str, Callable[[], Pair]] = {
    "finercam": finercam,
    "shapleycam": shapleycam,
    "smoothgradcam++": smoothgradcam,
    "smooth-fullgrad": smooth_fullgrad,
    "sscam": sscam,
    "iscam": iscam,
    "integrated-gradcam": integrated_gradcam,
    "cameras": cameras,
    "augmented-gradcam": augmented_gradcam,
    "layercam-fused": fused("layercam-fused", "layercam", "max"),
    "refinecam": fused("refinecam", "gradcam++", "product"),
    "zoomcam": fused("zoomcam", "hirescam", "max"),
    "polycam+": fused("polycam+", "pcam+", "cascade"),
    "polycam-": fused("polycam-", "pcam-", "cascade"),
    "polycam": fused("polycam", "pcam", "cascade"),
}


@pytest.mark.parametrize("name", NAMED)
def test_a_named_composition_is_what_its_formula_says(name):
    assert name in BY_HAND, (
        f"{name} is proven by nothing: add what {NAMED[name].formula} is, by hand, to BY_HAND."
    )
    found, expected = BY_HAND[name]()
    assert np.ptp(expected.numpy()) > 0
    close(found, expected, 1e-9)


def test_nothing_is_proven_by_hand_that_is_gone():
    assert set(BY_HAND) <= set(NAMED)
