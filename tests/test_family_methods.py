"""The simple methods of activations and gradients against their formulas as loops, and against scikit-learn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.decomposition import NMF, KernelPCA

from camscope.errors import MethodError
from camscope.evidence import Evidence, FullGradients, ModelEvidence, Responses
from camscope.methods import get_method
from camscope.methods.nmf import factorise

BATCH, TARGETS, CHANNELS = 2, 3, 6
SPACES = [(7,), (4, 5), (3, 2, 4)]


def draw(space, seed=0, signed=False, channels=CHANNELS, grid=None) -> dict[str, np.ndarray]:
    """Seeded activations, gradients and curvature, float64."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((BATCH, channels, *space))
    return {
        "activations": A if signed else np.maximum(A, 0),
        "gradients": rng.standard_normal((BATCH, TARGETS, channels, *(grid or space))),
        "curvature": rng.standard_normal((BATCH, TARGETS, channels, *space)),
    }


def run(name: str, seen: dict[str, np.ndarray], convert=np.asarray, **parameters) -> np.ndarray:
    method = get_method(name).with_parameters(**parameters)
    return np.asarray(method(Evidence(**{what: convert(values) for what, values in seen.items()})))


def close(a, b, tolerance=1e-12) -> None:
    """Equal to `tolerance` of the largest value."""
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())


def loop(seen: dict[str, np.ndarray], weight) -> np.ndarray:
    """Σ_k of a number computed for each image, target, channel and position."""
    A = seen["activations"]
    out = np.zeros((BATCH, TARGETS, *A.shape[2:]))
    for b, t, k in itertools.product(range(BATCH), range(TARGETS), range(A.shape[1])):
        for ij in np.ndindex(*A.shape[2:]):
            out[(b, t, *ij)] += weight(A[b, k], seen["gradients"][b, t, k], seen["curvature"][b, t, k], ij)
    return out


# ------------------------------------------------------------------ gradients


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("signed", [False, True])
def test_gradcam_elementwise(space, signed):
    seen = draw(space, signed=signed)
    close(run("gradcam-elementwise", seen), loop(seen, lambda a, g, h, ij: max(g[ij] * a[ij], 0)))
    assert np.allclose(run("gradcam-elementwise", seen), run("layercam", seen)) is not signed


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_shapley(space):
    seen = draw(space, signed=True)
    close(run("shapley", seen), loop(seen, lambda a, g, h, ij: (g.mean() - h.mean() / 2) * a[ij]))


def test_shapley_without_curvature_is_grad_cam():
    seen = draw((4, 5), grid=(1, 1))
    seen["curvature"] = np.zeros((BATCH, TARGETS, CHANNELS, 1, 1))
    close(run("shapley", seen), run("gradcam", seen))


def test_shapleys_weights_are_the_second_order_expansion():
    """Of a quadratic score the expansion is exact: Σ A ⊙ (g − ½ H·A) is the score at A less the score at 0."""
    rng = np.random.default_rng(0)
    H, v, A = rng.standard_normal((3, 3)), rng.standard_normal(3), rng.standard_normal(3)
    H = H + H.T
    score = A @ H @ A / 2 + v @ A
    seen = {
        "activations": A.reshape(1, 3, 1),
        "gradients": (H @ A + v).reshape(1, 1, 3, 1),
        "curvature": (H @ A).reshape(1, 1, 3, 1),
    }
    np.testing.assert_allclose(run("shapley", seen), [[[score]]])


# ------------------------------------------------------------------ components


def first_component(x: np.ndarray) -> np.ndarray:
    """X v₁ of positions × channels by a full decomposition; correlated with the mean over channels."""
    projection = x @ np.linalg.svd(x)[2][0]
    return projection if np.corrcoef(projection, x.mean(1))[0, 1] > 0 else -projection


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("channels", [3, 40])
def test_eigengradcam_is_the_first_singular_vector_of_gradient_times_activation(space, channels):
    seen = draw(space, channels=channels, signed=True)
    found = run("eigengradcam", seen)
    for b, t in itertools.product(range(BATCH), range(TARGETS)):
        product = (seen["gradients"][b, t] * seen["activations"][b]).reshape(channels, -1).T
        close(found[b, t].ravel(), first_component(product), 1e-10)


def test_eigengradcam_with_gradients_that_are_the_same_everywhere():
    seen = draw((4, 5), grid=(1, 1))
    del seen["curvature"]
    wide = {**seen, "gradients": np.broadcast_to(seen["gradients"], (BATCH, TARGETS, CHANNELS, 4, 5)).copy()}
    close(run("eigengradcam", seen), run("eigengradcam", wide), 1e-10)


def test_eigengradcam_points_the_way_of_hirescam():
    """Its sign is not the decomposition's whim: with the gradients turned round, the map is turned round."""
    seen = draw((4, 5))
    against = {**seen, "gradients": -seen["gradients"]}
    close(run("eigengradcam", against), -run("eigengradcam", seen), 1e-10)
    for found, other in zip(
        run("eigengradcam", seen).reshape(-1, 20), run("hirescam", seen).reshape(-1, 20), strict=True
    ):
        assert np.corrcoef(found, other)[0, 1] > 0


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("kernel", ["sigmoid", "rbf"])
@pytest.mark.parametrize("gamma", [None, 0.02, 1.0])
def test_kpcacam_is_scikit_learns_kernel_pca(space, kernel, gamma):
    seen = draw(space, signed=True)
    found = run("kpcacam", seen, kernel=kernel, gamma=gamma)
    assert found.shape == (BATCH, 1, *space)
    for b in range(BATCH):
        x = seen["activations"][b].reshape(CHANNELS, -1).T
        expected = KernelPCA(1, kernel=kernel, gamma=gamma, eigen_solver="dense").fit_transform(
            x - x.mean(0)
        )[:, 0]
        if np.corrcoef(expected, x.mean(1))[0, 1] < 0:
            expected = -expected
        close(found[b].ravel(), expected, 1e-8)


def test_kpcacam_with_a_kernel_that_has_a_larger_negative_eigenvalue():
    """tanh is no positive kernel: what counts is the largest eigenvalue, not the largest in size."""
    x = 0.3 * np.random.default_rng(3).standard_normal((12, 5))
    centred = x - x.mean(0)
    K = np.tanh(-2.0 * centred @ centred.T + 1)
    middle = np.eye(12) - 1 / 12
    values, vectors = np.linalg.eigh(middle @ K @ middle)
    assert -values[0] > 2 * values[-1] > 0
    expected = np.sqrt(values[-1]) * vectors[:, -1]
    found = run("kpcacam", {"activations": x.T[None]}, gamma=-2.0).ravel()
    close(found * np.sign(found[0]), expected * np.sign(expected[0]), 1e-8)


@pytest.mark.parametrize("wrong", [{"kernel": "sigmod"}, {"gamma": "wide"}, {"degree": 3}])
def test_kpcacam_knows_its_parameters(wrong):
    with pytest.raises(MethodError):
        get_method("kpcacam").with_parameters(**wrong)


@pytest.mark.parametrize(
    "name", ["eigencam", "kpcacam", "eigengradcam", "fem", "gradcam-elementwise", "shapley"]
)
def test_flat_and_empty_activations_give_finite_maps(name):
    for value in (0.0, 0.1, 3.0):
        for space in ((7, 7), (1, 1)):
            A = np.full((1, 5, *space), value, dtype=np.float32)
            g = np.full((1, 2, 5, *space), 0.3, dtype=np.float32)
            found = run(name, {"activations": A, "gradients": g, "curvature": g})
            assert np.isfinite(found).all()
            assert np.ptp(found) <= 1e-5 * max(value, 1)


# ------------------------------------------------------------------ statistics


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("k", [None, 1, 0.5])
def test_fem(space, k):
    seen = draw(space, seed=1)
    seen["activations"][:, :, -1] *= 9
    found = run("fem", seen, **({} if k is None else {"k": k}))
    A, expected = seen["activations"], np.zeros((BATCH, *space))
    for b, channel in itertools.product(range(BATCH), range(CHANNELS)):
        a = A[b, channel]
        expected[b] += a.mean() * (a > a.mean() + (2 if k is None else k) * a.std())
    assert expected.any()
    close(found[:, 0], expected)


def test_fem_counts_by_the_channels_mean_not_by_the_share_of_rare_positions():
    """pytorch-grad-cam weighs by that share, and multiplies by the activations."""
    A = np.zeros((1, 2, 10))
    A[0, 0, 3], A[0, 1, 7] = 10.0, 20.0
    expected = np.zeros(10)
    expected[3], expected[7] = 1.0, 2.0
    np.testing.assert_allclose(run("fem", {"activations": A})[0, 0], expected)


def test_a_channel_that_is_the_same_everywhere_is_nowhere_rare():
    """Its mean may come out a rounding below it."""
    values = np.float32(np.random.default_rng(0).random(50))
    A = np.ones((1, 50, 11, 13), dtype=np.float32) * values[:, None, None]
    assert (A.mean((2, 3), keepdims=True) < A).any()
    for k in (0, 0.5, 2):
        assert not run("fem", {"activations": A}, k=k).any()
        assert not run("fem", {"activations": A}, as_torch, k=k).any()


# ------------------------------------------------------------------ array libraries, batches


def as_torch(values):
    import torch

    return torch.from_numpy(np.asarray(values))


def as_jax(values):
    import jax.numpy as jnp

    return jnp.asarray(values)


NAMES = ["gradcam-elementwise", "shapley", "eigengradcam", "kpcacam", "fem"]


@pytest.mark.parametrize("convert", [as_torch, as_jax], ids=["torch", "jax"])
@pytest.mark.parametrize("name", NAMES)
def test_the_same_on_any_array_library(name, convert):
    seen = {what: np.float32(values) for what, values in draw((4, 5)).items()}
    close(run(name, seen, convert), run(name, seen), 1e-4)


@pytest.mark.parametrize("convert", [as_torch, as_jax], ids=["torch", "jax"])
def test_fullgrad_is_the_same_on_any_array_library(convert):
    rng = np.random.default_rng(0)
    x, gradients = rng.standard_normal((2, 3, 8, 6)), rng.standard_normal((2, 4, 3, 8, 6))
    biases = [
        rng.standard_normal((2, 4, channels, *space))
        for channels, space in ((5, (4, 3)), (2, (8, 6)), (7, (4, 3)))
    ]

    def maps(convert) -> np.ndarray:
        nothing, *given = (
            convert(np.float32(values)) for values in (np.zeros((2, 4)), x, gradients, *biases)
        )
        full = FullGradients(given[1], tuple(given[2:]), nothing, nothing)
        evidence = ModelEvidence(given[0], Responses(nothing, nothing, nothing), full_gradients=full)
        return np.asarray(get_method("fullgrad")(evidence))

    assert maps(np.asarray).shape == (2, 4, 8, 6)
    close(maps(convert), maps(np.asarray), 1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_each_image_by_itself(name):
    seen = draw((4, 5))
    alone = {what: values[1:] for what, values in seen.items()}
    close(run(name, seen)[1:], run(name, alone), 1e-9)


# ------------------------------------------------------------------ deep feature factorisation


def planted(seed=0, concepts=4, channels=24, space=(5, 4), images=6) -> tuple[np.ndarray, np.ndarray]:
    """Activations that are made of a few concepts, and these concepts' features."""
    rng = np.random.default_rng(seed)
    heat = np.maximum(rng.standard_normal((images, concepts, *space)), 0)
    vectors = np.maximum(rng.standard_normal((concepts, channels)), 0)
    return np.einsum("bkhw,kc->bchw", heat, vectors), vectors


def relative_error(activations, heatmaps, vectors) -> float:
    positive = np.maximum(activations, 0)
    return np.linalg.norm(positive - np.einsum("bk...,kc->bc...", heatmaps, vectors)) / np.linalg.norm(
        positive
    )


def test_a_planted_factorisation_is_found():
    A, vectors = planted()
    heatmaps, found = factorise(A, 4, steps=4000)
    assert heatmaps.shape == (6, 4, 5, 4)
    assert relative_error(A, heatmaps, found) < 1e-3
    similarity = found @ (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).T
    assert sorted(similarity.argmax(1)) == [0, 1, 2, 3]
    assert similarity.max(1).min() > 0.99


@pytest.mark.parametrize("starts", [1, 2])
@pytest.mark.parametrize("concepts", [1, 3, 6])
@pytest.mark.parametrize("kind", ["planted", "noise", "signed"])
def test_no_worse_than_scikit_learn(kind, concepts, starts):
    rng = np.random.default_rng(2)
    A = {
        "planted": planted()[0] + 0.3 * rng.random((6, 24, 5, 4)),
        "noise": rng.random((3, 30, 4, 4)),
        "signed": rng.standard_normal((3, 30, 4, 4)),
    }[kind]
    heatmaps, vectors = factorise(A, concepts, starts=starts)
    assert (heatmaps >= 0).all()
    assert (vectors >= 0).all()
    x = np.maximum(A, 0).transpose(0, 2, 3, 1).reshape(-1, A.shape[1])
    theirs = NMF(concepts, init="nndsvda", max_iter=1000).fit(x).reconstruction_err_ / np.linalg.norm(x)
    assert relative_error(A, heatmaps, vectors) < 1.02 * theirs


def test_one_concept_is_the_first_singular_vector():
    A = np.random.default_rng(0).random((2, 7, 3, 3))
    heatmaps, vectors = factorise(A, 1, steps=2000)
    x = A.transpose(0, 2, 3, 1).reshape(-1, 7)
    u, s, v = np.linalg.svd(x, full_matrices=False)
    close(vectors[0], abs(v[0]), 1e-4)
    close(heatmaps.ravel(), abs(u[:, 0]) * s[0], 1e-4)


def test_concepts_are_of_length_one_and_in_order_of_their_strength():
    heatmaps, vectors = factorise(planted()[0], 4)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)
    strength = np.linalg.norm(heatmaps.transpose(1, 0, 2, 3).reshape(4, -1), axis=1)
    assert (np.diff(strength) < 0).all()


@pytest.mark.parametrize("scale", [1e-20, 1e15])
def test_the_scale_of_the_activations_does_not_matter(scale):
    A = np.float32(planted()[0])
    heatmaps, vectors = factorise(A, 3)
    scaled, same = factorise(A * np.float32(scale), 3)
    close(same, vectors, 1e-3)
    close(scaled / np.float32(scale), heatmaps, 1e-3)


@pytest.mark.parametrize(
    ("space", "convert"),
    [((9,), np.asarray), ((3, 2, 4), np.asarray), ((9,), as_torch), ((9,), as_jax)],
    ids=["1D", "3D", "torch", "jax"],
)
def test_any_space_and_any_array_library(space, convert):
    A = np.float32(np.random.default_rng(0).random((2, 8, *space)))
    heatmaps, vectors = factorise(convert(A), 3, steps=20)
    assert heatmaps.shape == (2, 3, *space)
    assert type(heatmaps) is type(vectors) is type(convert(A))
    close(np.asarray(vectors), factorise(A, 3, steps=20)[1], 1e-3)


def test_the_seed_decides():
    A = np.random.default_rng(0).random((2, 20, 6, 6))
    first, again, other = (factorise(A, 6, steps=20, starts=4, seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_more_starts_are_never_worse():
    A = np.random.default_rng(0).random((2, 20, 6, 6))
    errors = [relative_error(A, *factorise(A, 6, starts=starts)) for starts in (1, 2, 5)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0]


@pytest.mark.parametrize("fill", [0.0, -1.0])
def test_nothing_positive_is_refused(fill):
    with pytest.raises(MethodError, match="no positive activation"):
        factorise(np.full((1, 4, 3, 3), fill), 2)


@pytest.mark.parametrize("fill", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(fill):
    with pytest.raises(MethodError, match="NaN or infinity"):
        factorise(np.full((1, 4, 3, 3), fill), 2)


@pytest.mark.parametrize("concepts", [0, -1, 5])
def test_more_concepts_than_channels_are_refused(concepts):
    with pytest.raises(MethodError, match="expected 1 to 4"):
        factorise(np.ones((1, 4, 3, 3)), concepts)
