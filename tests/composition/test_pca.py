"""`pca(…)`: the first principal component of the terms of a map, against a full decomposition and a peer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import camscope
from camscope.composition import Finer, Fuse, Pca, Smooth, parse
from camscope.errors import MethodError
from camscope.evidence import Evidence
from camscope.methods import get_method
from tests.conftest import make_tiny_cnn
from tests.torch.conftest import build
from tests.torch.nets import Net, batch, evidence_of, mlp_head

RNG = np.random.default_rng(0)


def evidence(space: tuple[int, ...] = (4, 5), channels: int = 7) -> Evidence:
    return Evidence(RNG.standard_normal((2, channels, *space)), RNG.standard_normal((2, 3, channels, *space)))


def terms_of(name: str, e: Evidence) -> np.ndarray:
    """T_k by the formulas, `batch target channel *space`."""
    A, g = e.activations[:, None], e.gradients
    axes = tuple(range(3, g.ndim))
    weights = {
        "gradcam": lambda: g.mean(axes, keepdims=True),
        "hirescam": lambda: g,
        "layercam": lambda: np.maximum(g, 0),
    }[name]()
    return weights * A


def by_svd(terms: np.ndarray) -> np.ndarray:
    """The projection of the centred positions on their first right singular vector, one map at a time."""
    maps = np.empty((*terms.shape[:2], *terms.shape[3:]))
    for b, t in np.ndindex(terms.shape[:2]):
        X = terms[b, t].reshape(terms.shape[2], -1).T
        X = X - X.mean(0)
        projection = X @ np.linalg.svd(X, full_matrices=False)[2][0]
        sign = np.sign(projection @ X.sum(1))
        maps[b, t] = (sign * projection).reshape(terms.shape[3:])
    return maps


@pytest.mark.parametrize("name", ["gradcam", "hirescam", "layercam"])
@pytest.mark.parametrize(("space", "channels"), [((4, 5), 7), ((3, 3), 20), ((9,), 4), ((2, 3, 4), 5)])
def test_it_is_the_first_right_singular_vector_of_the_centred_terms(name, space, channels):
    e = evidence(space, channels)
    method = get_method(name)
    found = Pca(method).made(method, e)
    np.testing.assert_allclose(found, by_svd(terms_of(name, e)), rtol=1e-6, atol=1e-9)


def test_its_sign_agrees_with_the_map():
    """Also where both are negated: a decomposition knows no difference."""
    method = get_method("hirescam")
    for seed in range(20):
        rng = np.random.default_rng(seed)
        e = Evidence(rng.standard_normal((1, 6, 4, 4)), rng.standard_normal((1, 2, 6, 4, 4)))
        against = Evidence(e.activations, -e.gradients)
        for one in (e, against):
            component, maps = Pca(method).made(method, one), method(one)
            for t in range(2):
                assert np.corrcoef(component[0, t].ravel(), maps[0, t].ravel())[0, 1] > 0
        np.testing.assert_allclose(Pca(method).made(method, against), -Pca(method).made(method, e), atol=1e-9)


@pytest.mark.parametrize("name", ["gradcam", "hirescam"])
def test_it_is_the_eigen_smooth_of_pytorch_grad_cam_but_for_the_sign(name):
    projection = pytest.importorskip("pytorch_grad_cam.utils.svd_on_activations").get_2d_projection
    model, x = build("timm:test_resnet"), batch(2, 3, 64, 64)
    seen = evidence_of(model, x, layers="layer3", targets=5)
    wide = torch.broadcast_to(seen.gradients, (2, 1, *seen.activations.shape[1:]))
    seen = Evidence(seen.activations.double().numpy(), wide.double().numpy())
    theirs = projection(terms_of(name, seen)[:, 0].astype(np.float64))
    mine = camscope.explain(model, x, methods=f"pca({name})", layers="layer3", targets=5).maps()[:, 0]
    for own, other in zip(mine.double().numpy(), theirs, strict=True):
        sign = np.sign((own * other).sum())
        np.testing.assert_allclose(own, sign * other, rtol=1e-3, atol=1e-5 * np.abs(other).max())


def test_around_any_method_that_sums_over_channels_in_one_pass_with_it():
    model, x = make_tiny_cnn(), batch(2, 3, 32, 32)
    names = ["cam", "gradcam", "hirescam", "layercam", "gradcam++", "xgradcam", "ablationcam", "finercam"]
    forwards = []
    handle = model.stem.register_forward_hook(lambda *_: forwards.append(1))
    explainer = camscope.Explainer(model)
    explainer(x, methods=[f"pca({name})" for name in names], targets=[1, 2])
    forwards.clear()
    e = explainer(x, methods=[*names, *(f"pca({name})" for name in names)], targets=[1, 2])
    once = len(forwards)
    forwards.clear()
    explainer(x, methods=names, targets=[1, 2])
    handle.remove()
    assert once == len(forwards)  # not one more than without
    # behind a linear head these are one map up to a factor, and so are their components
    for name in ("gradcam", "hirescam"):
        one, other = e.maps("pca(cam)"), e.maps(f"pca({name})")
        torch.testing.assert_close(other * 64, one, rtol=1e-3, atol=1e-5)
    assert not e.maps("pca(layercam)").equal(e.maps("layercam"))
    assert e.facts["pca(gradcam)"].rectified


def test_inside_of_wrappers_and_fusions_and_beside_other_targets():
    model, x = Net(mlp_head(16)).eval(), batch(2, 3, 16, 16)
    explainer = camscope.Explainer(model)
    layers = ["stem", "body"]
    e = explainer(x, methods=["pca(layercam)", "fuse(pca(layercam), max)"], layers=layers, targets=1)
    fused = camscope.fuse([e["pca(layercam)", layer] for layer in layers], how="max")
    assert e.maps("fuse(pca(layercam), max)", "stem, body").equal(fused.maps())
    smooth = explainer(x, methods="smooth(pca(gradcam), n=2, sigma=0)", targets=1)
    torch.testing.assert_close(smooth.maps(), explainer(x, methods="pca(gradcam)", targets=1).maps())
    finer = explainer(x, methods=["finer(pca(gradcam))", "pca(finer(gradcam))"], targets=1)
    assert finer.maps("finer(pca(gradcam))").equal(finer.maps("pca(finer(gradcam))"))
    assert not finer.maps("finer(pca(gradcam))").equal(explainer(x, methods="pca(gradcam)", targets=1).maps())


def test_as_text_and_as_an_object():
    assert parse("pca(gradcam)") == Pca("gradcam") == camscope.Pca(get_method("gradcam"))
    assert Pca("hirescam").name == "pca(hirescam)"
    assert Smooth(Pca("gradcam")).name == "smooth(pca(gradcam))"
    assert Fuse(Finer(Pca("gradcam"))).name == "fuse(finer(pca(gradcam)))"


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("pca(eigencam)", "no sum over channels.*gradcam"),
        ("pca(mean-activation)", "no sum over channels"),
        ("pca(fullgrad)", "a map of the whole model"),
        ("pca(pca(gradcam))", "twice"),
        ("pca(smooth(gradcam, n=3))", r"Write it inside: smooth\(pca\(gradcam\), n=3\)"),
        ("pca(fuse(layercam, max))", r"Write it inside: fuse\(pca\(layercam\)"),
        ("smooth(pca(gradcam), average=gradients)", "not a plain method"),
        ("multiscale(pca(gradcam))", "not a plain method"),
        ("pca()", "where a method is expected"),
        ("pac(gradcam)", "Did you mean 'pca'"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(method, says):
    with pytest.raises(MethodError, match=says):
        camscope.explain(make_tiny_cnn(), batch(1, 3, 32, 32), methods=method)
