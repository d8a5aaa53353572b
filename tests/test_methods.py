"""Every method against formulas written out as loops, closed forms, and on three array libraries."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from camscope.errors import MethodError
from camscope.evidence import Evidence, LinearHead, Need
from camscope.methods import get_method, list_methods, method, registry
from camscope.methods.gradient import channel_contributions

BATCH, TARGETS, CHANNELS = 2, 3, 6
SPACES = [(7,), (4, 5), (3, 2, 4)]
GRADIENT_METHODS = ["gradcam", "hirescam", "layercam", "gradcam++", "gradcam++-official", "xgradcam"]
CLASS_FREE = ["eigencam", "mean-activation", "random", "centre"]
NAMES = ["cam", *GRADIENT_METHODS, *CLASS_FREE]
"""What one forward and one short backward give; the others have tests of their own."""


def as_numpy(values, dtype):
    return np.asarray(values, dtype=dtype)


def as_torch(values, dtype):
    import torch

    return torch.from_numpy(np.asarray(values, dtype=dtype))


def as_jax(values, dtype):
    import jax.numpy as jnp

    return jnp.asarray(values, dtype=dtype)


def draw(space, seed=0, signed=False, channels=CHANNELS, grid=None):
    """Seeded activations, gradients and linear head, float64."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((BATCH, channels, *space))
    return {
        "activations": A if signed else np.maximum(A, 0),
        "gradients": rng.standard_normal((BATCH, TARGETS, channels, *(grid or space))),
        "weights": rng.standard_normal((BATCH, TARGETS, channels)),
        "features": rng.random((BATCH, channels, *space)),
    }


def evidence_of(seen, convert=as_numpy, dtype="float64", **options):
    head = LinearHead(
        convert(seen["weights"], dtype), convert(seen["features"], dtype), pools_activations=True
    )
    return Evidence(
        convert(seen["activations"], dtype), convert(seen["gradients"], dtype), head=head, **options
    )


def run(name, seen, convert=as_numpy, dtype="float64", **options):
    return np.asarray(get_method(name)(evidence_of(seen, convert, dtype, **options)))


def close(a, b, tolerance=1e-12):
    """Equal to `tolerance` of the largest value."""
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())


# ------------------------------------------------------------------ the papers' formulas, as loops


def positions(a):
    return list(itertools.product(*(range(n) for n in a.shape[1:])))


def weighted(weights, a):
    """Σ_k w_k A^k at every position, one number at a time."""
    out = np.zeros(a.shape[1:])
    for ij in positions(a):
        out[ij] = sum(weights[k] * a[(k, *ij)] for k in range(len(a)))
    return out


def loop_cam(a, g, w, f):
    return weighted(w, f)


def loop_gradcam(a, g, w, f):
    return weighted([sum(g[(k, *ij)] for ij in positions(a)) / len(positions(a)) for k in range(len(a))], a)


def loop_hirescam(a, g, w, f):
    out = np.zeros(a.shape[1:])
    for ij in positions(a):
        out[ij] = sum(g[(k, *ij)] * a[(k, *ij)] for k in range(len(a)))
    return out


def loop_layercam(a, g, w, f):
    out = np.zeros(a.shape[1:])
    for ij in positions(a):
        out[ij] = sum(max(g[(k, *ij)], 0) * a[(k, *ij)] for k in range(len(a)))
    return out


def loop_gradcam_plus_plus(a, g, w, f):
    """α = g²/(2g² + S_k g³), 0 where g = 0, as the paper prints it."""
    weights = []
    for k in range(len(a)):
        S = sum(a[(k, *ij)] for ij in positions(a))
        total = 0.0
        for ij in positions(a):
            d = g[(k, *ij)]
            alpha = d**2 / (2 * d**2 + S * d**3) if d != 0 else 0.0
            total += alpha * max(d, 0)
        weights.append(total)
    return weighted(weights, a)


def loop_gradcam_plus_plus_official(a, g, w, f, score=0.7):
    """The authors' code step by step, with its e^y (a factor of the whole map) taken out at the end."""
    weights = []
    for k in range(len(a)):
        S = sum(a[(k, *ij)] for ij in positions(a))
        alphas, firsts = [], []
        for ij in positions(a):
            first = math.exp(score) * g[(k, *ij)]
            second = math.exp(score) * g[(k, *ij)] ** 2
            third = math.exp(score) * g[(k, *ij)] ** 3
            denominator = 2 * second + S * third
            alphas.append(second / (denominator if denominator != 0 else 1.0))
            firsts.append(max(first, 0.0))
        normaliser = sum(alpha for alpha, first in zip(alphas, firsts, strict=True) if first)
        alphas = [alpha / (normaliser if normaliser != 0 else 1.0) for alpha in alphas]
        weights.append(sum(first * alpha for first, alpha in zip(firsts, alphas, strict=True)))
    return weighted(weights, a) / math.exp(score)


def loop_xgradcam(a, g, w, f):
    weights = []
    for k in range(len(a)):
        S = sum(a[(k, *ij)] for ij in positions(a))
        weights.append(sum(a[(k, *ij)] / S * g[(k, *ij)] for ij in positions(a)) if S else 0.0)
    return weighted(weights, a)


def loop_eigencam(a, g, w, f):
    X = np.stack([[a[(k, *ij)] for k in range(len(a))] for ij in positions(a)])
    U, S, _ = np.linalg.svd(X, full_matrices=False)
    out = (U[:, 0] * S[0]).reshape(a.shape[1:])
    return out if np.corrcoef(out.ravel(), a.mean(0).ravel())[0, 1] >= 0 else -out


def loop_mean(a, g, w, f):
    out = np.zeros(a.shape[1:])
    for ij in positions(a):
        out[ij] = sum(a[(k, *ij)] for k in range(len(a))) / len(a)
    return out


LOOPS = {
    "cam": loop_cam,
    "gradcam": loop_gradcam,
    "hirescam": loop_hirescam,
    "layercam": loop_layercam,
    "gradcam++": loop_gradcam_plus_plus,
    "gradcam++-official": loop_gradcam_plus_plus_official,
    "xgradcam": loop_xgradcam,
    "eigencam": loop_eigencam,
    "mean-activation": loop_mean,
}


def by_loop(name, seen):
    def one(b, t):
        return LOOPS[name](
            seen["activations"][b], seen["gradients"][b, t], seen["weights"][b, t], seen["features"][b]
        )

    targets = TARGETS if get_method(name).class_specific else 1
    return np.stack([[one(b, t) for t in range(targets)] for b in range(BATCH)])


def test_every_method_but_the_baselines_has_its_formula_here():
    assert {*NAMES} - {*LOOPS} == {"random", "centre"}


@pytest.mark.parametrize("convert", [as_numpy, as_torch])
@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("name", LOOPS)
def test_the_map_is_the_papers_formula(name, space, convert):
    seen = draw(space)
    close(run(name, seen, convert), by_loop(name, seen))


@pytest.mark.parametrize("name", ["cam", "gradcam", "hirescam", "layercam", "eigencam", "mean-activation"])
def test_the_formula_holds_for_signed_activations_too(name):
    seen = draw((4, 5), signed=True)
    close(run(name, seen), by_loop(name, seen))


@pytest.mark.parametrize("convert", [as_numpy, as_torch, as_jax])
@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_numpy_torch_and_jax_give_the_same_map_in_their_own_kind(name, space, convert):
    seen = draw(space)
    given = evidence_of(seen, convert, "float32")
    maps = get_method(name)(given)
    assert type(maps) is type(given.activations)
    assert maps.dtype == given.activations.dtype
    assert tuple(maps.shape) == (BATCH, 1 if name in CLASS_FREE else TARGETS, *space)
    # float32 against float64: rounding only
    close(np.asarray(maps), run(name, seen), 5e-6)


def test_a_class_free_map_ignores_the_gradients():
    for name in CLASS_FREE:
        without = Evidence(draw((4, 5))["activations"])
        np.testing.assert_array_equal(get_method(name)(without), run(name, draw((4, 5))))


@pytest.mark.parametrize(
    ("space", "grid"),
    [((7,), (1,)), ((4, 5), (1, 1)), ((4, 5), (1, 5)), ((4, 5), (4, 1)), ((3, 2, 4), (1,) * 3)],
)
@pytest.mark.parametrize("name", GRADIENT_METHODS)
def test_gradients_of_size_one_along_space_mean_the_same_everywhere(name, space, grid):
    small = draw(space, grid=grid)
    full = np.broadcast_to(small["gradients"], (BATCH, TARGETS, CHANNELS, *space))
    close(run(name, small), run(name, {**small, "gradients": full}))


@pytest.mark.parametrize("grid", [(4, 5), (1, 1)])
def test_channel_contributions_are_the_mean_gradient_and_the_sum_of_gradient_times_activation(grid):
    seen = draw((4, 5), grid=grid)
    weights, contributions = channel_contributions(evidence_of(seen))
    close(weights, seen["gradients"].mean((-2, -1)))
    close(contributions, (seen["gradients"] * seen["activations"][:, None]).sum((-2, -1)))


# ------------------------------------------------------------------ closed forms (METHODS §1.0)


class TestBehindAPooledLinearHead:
    space = (4, 5)
    N = 20

    @pytest.fixture
    def seen(self):
        seen = draw(self.space)
        gradients = seen["weights"][..., None, None] / self.N
        return {**seen, "features": seen["activations"], "gradients": gradients}

    @pytest.mark.parametrize("name", ["gradcam", "hirescam", "xgradcam"])
    def test_these_are_cam_divided_by_the_number_of_positions(self, seen, name):
        close(run(name, seen), run("cam", seen) / self.N)

    @pytest.mark.parametrize("name", ["layercam", "gradcam++-official"])
    def test_these_drop_the_negative_weights(self, seen, name):
        positive = {**seen, "weights": np.maximum(seen["weights"], 0)}
        close(run(name, seen), run("cam", positive) / self.N)

    def test_gradcam_plus_plus_weighs_by_relu_w_over_two_plus_the_contribution(self, seen):
        contribution = seen["weights"] * seen["activations"].mean((-2, -1))[:, None]
        weights = np.maximum(seen["weights"], 0) / (2 + contribution * (seen["weights"] > 0))
        close(run("gradcam++", seen), run("cam", {**seen, "weights": weights}))

    def test_hirescam_sums_to_the_score_without_its_bias(self, seen):
        score = (seen["weights"] * seen["activations"].mean((-2, -1))[:, None]).sum(-1)
        close(run("hirescam", seen).sum((-2, -1)), score)

    def test_cam_maps_what_is_pooled_not_the_layer(self, seen):
        """Behind a DenseNet's last norm the model pools the ReLU of the layer."""
        signed = draw(self.space, signed=True)["activations"]
        pooled = {**seen, "activations": signed, "features": np.maximum(signed, 0)}
        close(run("cam", pooled), np.einsum("btc,bc...->bt...", seen["weights"], np.maximum(signed, 0)))


def test_xgradcam_and_hirescam_have_the_same_total():
    seen = draw((4, 5))
    close(run("xgradcam", seen).sum((-2, -1)), run("hirescam", seen).sum((-2, -1)))


# ------------------------------------------------------------------ the score's scale (oracle 15)


@pytest.mark.parametrize("name", ["gradcam", "hirescam", "xgradcam", "layercam"])
@given(factor=st.floats(1e-3, 1e3))
@settings(max_examples=20, deadline=None)
def test_a_positive_factor_on_the_score_is_a_factor_on_the_map(name, factor):
    seen = draw((4, 5))
    close(run(name, {**seen, "gradients": factor * seen["gradients"]}), factor * run(name, seen))


@pytest.mark.parametrize("name", ["gradcam", "hirescam", "xgradcam"])
def test_the_negated_score_gives_the_negated_map(name):
    seen = draw((4, 5))
    close(run(name, {**seen, "gradients": -seen["gradients"]}), -run(name, seen))


def test_gradcam_plus_plus_depends_on_the_scores_scale_by_its_own_formula():
    seen = draw((4, 5))
    a = run("gradcam++", seen)
    b = run("gradcam++", {**seen, "gradients": 10 * seen["gradients"]})
    assert np.abs(a / a.max() - b / b.max()).max() > 0.01


# ------------------------------------------------------------------ the stable α (oracle 16)


@given(
    g=arrays(np.float64, (3, 3), elements=st.just(0.0) | st.floats(1e-3, 1e3) | st.floats(-1e3, -1e-3)),
    activations=arrays(np.float64, (3, 3), elements=st.floats(0, 1e3)),
)
@settings(deadline=None)
def test_the_stable_alpha_is_the_printed_one(g, activations):
    S = activations.sum()
    denominator = 2 * g**2 + S * g**3
    alpha = np.divide(g**2, denominator, out=np.zeros_like(g), where=g > 0)
    expected = (alpha * np.maximum(g, 0)).sum() * activations
    maps = get_method("gradcam++")(Evidence(activations[None, None], g[None, None, None]))
    np.testing.assert_allclose(maps[0, 0], expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize("convert", [as_numpy, as_torch, as_jax])
@pytest.mark.parametrize("size", [1e-12, 1e-20])
@pytest.mark.parametrize("name", ["gradcam++", "gradcam++-official"])
def test_tiny_gradients_do_not_underflow_in_float32(name, size, convert):
    """Their squares and cubes would: 1e-20 cubed is no float32."""
    seen = draw((4, 5))
    seen["gradients"] = np.abs(seen["gradients"]) * size
    tiny = run(name, seen, convert, "float32")
    # S·g vanishes beside 2, so every α is one half: half the sum of relu(g), or its mean
    total = np.maximum(seen["gradients"], 0).sum((-2, -1))
    weights = total / 2 if name == "gradcam++" else total / 20
    close(tiny, np.einsum("btc,bc...->bt...", weights, seen["activations"]), 1e-5)


# ------------------------------------------------------------------ what is ill-defined stays finite


@pytest.fixture
def strict():
    """NumPy raises at a division by zero or an invalid value."""
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        yield


def dead_channels():
    seen = draw((4, 5))
    seen["activations"][:, :3] = 0
    return seen


def cancelling_channels():
    """Channels whose activations sum to zero, and others where 2 + S·g crosses zero."""
    seen = draw((4, 5), signed=True)
    A = seen["activations"]
    A[:, 0, :2] = -A[:, 0, 2:]
    A[:, 1] = -1 / 20  # S = −1
    seen["gradients"][:, :, 1] = 2.0
    return seen


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("convert", [as_numpy, as_torch, as_jax])
@pytest.mark.parametrize(
    "seen",
    [
        dead_channels(),
        cancelling_channels(),
        {**draw((4, 5)), "activations": np.zeros((BATCH, CHANNELS, 4, 5))},
        {**draw((4, 5)), "gradients": np.zeros((BATCH, TARGETS, CHANNELS, 4, 5))},
        {**draw((4, 5)), "gradients": np.zeros((BATCH, TARGETS, CHANNELS, 1, 1))},
    ],
    ids=["dead channels", "cancelling channels", "zero activations", "zero gradients", "one zero gradient"],
)
@pytest.mark.parametrize("name", NAMES)
def test_every_map_is_finite(name, seen, convert):
    assert np.isfinite(run(name, seen, convert, "float32")).all()


def test_a_dead_channel_adds_nothing_to_xgradcam():
    seen = dead_channels()
    live = {key: value[..., 3:, :, :] for key, value in seen.items() if key != "weights"}
    close(run("xgradcam", seen), run("xgradcam", {**live, "weights": seen["weights"][..., 3:]}))


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("cam", "random", "centre")])
def test_zero_activations_give_a_zero_map(name):
    seen = {**draw((4, 5)), "activations": np.zeros((BATCH, CHANNELS, 4, 5))}
    assert (run(name, seen) == 0).all()


# ------------------------------------------------------------------ Eigen-CAM


def spectrum(singular, n, channels, seed):
    """Activations of one image, n positions, with these singular values and a mean that is not flat."""
    rng = np.random.default_rng(seed)
    U = np.linalg.qr(rng.standard_normal((n, len(singular))))[0]
    V = np.linalg.qr(rng.standard_normal((channels, len(singular))))[0]
    return (V * singular) @ U.T


class TestEigenCam:
    @pytest.mark.parametrize("channels", [3, 20, 50])  # fewer, as many, and more than the 20 positions
    @pytest.mark.parametrize("signed", [False, True])
    def test_is_the_first_singular_direction_with_the_sign_of_the_mean_activation(self, channels, signed):
        seen = draw((4, 5), channels=channels, signed=signed)
        maps = run("eigencam", seen)
        for b in range(BATCH):
            X = seen["activations"][b].reshape(channels, 20).T
            first = X @ np.linalg.svd(X)[2][0]
            close(np.abs(maps[b].ravel()), np.abs(first), 1e-9)
            assert np.corrcoef(maps[b].ravel(), X.mean(1))[0, 1] >= 0

    def test_the_sign_follows_the_activations(self):
        seen = draw((4, 5), signed=True)
        close(run("eigencam", {**seen, "activations": -seen["activations"]}), -run("eigencam", seen), 1e-9)

    def test_the_sign_of_a_constant_map_is_not_left_to_rounding(self):
        """A black photo: every position is the same, but for the last bits."""
        seen, rng = draw((4, 5), signed=True), np.random.default_rng(0)
        shape = seen["activations"].shape
        for _ in range(20):
            flat = rng.standard_normal((*shape[:2], 1, 1)) * (
                1 + np.finfo(float).eps * rng.integers(-1, 2, shape)
            )
            assert (run("eigencam", {**seen, "activations": flat}) > 0).all()

    def test_the_sign_behind_a_layer_norm_is_not_left_to_rounding(self):
        """The mean over channels is zero but for the last bits; then the mean of the map is made positive."""
        seen, rng = draw((4, 5), signed=True), np.random.default_rng(0)
        for _ in range(20):
            A = rng.standard_normal(seen["activations"].shape)
            A -= A.mean(1, keepdims=True)
            assert (run("eigencam", {**seen, "activations": A}).mean((1, 2, 3)) > 0).all()

    @pytest.mark.parametrize("channels", [12, 50])
    def test_two_nearly_equal_directions_are_still_told_apart(self, channels):
        """Power iteration cannot do it in any reasonable number of steps; the full decomposition does."""
        hard = spectrum([1.0, 1 - 1e-5, 0.1], 20, channels, seed=1)
        easy = spectrum([1.0, 0.3, 0.1], 20, channels, seed=2)
        maps = get_method("eigencam")(Evidence(np.stack([hard, easy]).reshape(2, channels, 4, 5)))
        for found, A in zip(maps, (hard, easy), strict=True):
            close(np.abs(found.ravel()), np.abs(A.T @ np.linalg.svd(A.T)[2][0]), 1e-8)

    def test_two_equal_directions_give_some_map_of_their_plane(self):
        A = spectrum([1.0, 1.0], 20, 12, seed=3)
        found = get_method("eigencam")(Evidence(A.reshape(1, 12, 4, 5))).ravel()
        assert np.linalg.norm(found) == pytest.approx(1)
        basis = np.linalg.svd(A.T)[0][:, :2]
        close(basis @ (basis.T @ found), found, 1e-9)

    def test_a_black_image_in_the_batch_is_zero_and_leaves_the_others_alone(self):
        seen = draw((4, 5))
        alone = run("eigencam", seen)
        seen["activations"][0] = 0
        maps = run("eigencam", seen)
        assert (maps[0] == 0).all()
        close(maps[1], alone[1], 1e-9)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "random"])
def test_each_image_of_a_batch_gets_the_map_it_has_alone(name):
    seen = draw((4, 5))
    second = {key: value[1:] for key, value in seen.items()}
    close(run(name, second), run(name, seen)[1:], 1e-9)


# ------------------------------------------------------------------ baselines


class TestBaselines:
    @pytest.mark.parametrize("space", SPACES, ids=str)
    def test_centre_is_a_gaussian_of_a_quarter_of_each_side(self, space):
        maps = run("centre", draw(space))
        for ij in itertools.product(*(range(n) for n in space)):
            squares = sum((((i + 0.5) / n - 0.5) / 0.25) ** 2 for i, n in zip(ij, space, strict=True))
            assert maps[(0, 0, *ij)] == pytest.approx(math.exp(-squares / 2), rel=1e-12)
        np.testing.assert_array_equal(maps[0], maps[1])

    def test_random_is_uniform_seeded_noise(self):
        maps = run("random", draw((40, 50)), seed=3)
        np.testing.assert_array_equal(maps, run("random", draw((40, 50), seed=1), seed=3))
        assert not np.array_equal(maps, run("random", draw((40, 50)), seed=4))
        assert 0 <= maps.min() < 0.01
        assert 0.99 < maps.max() < 1
        assert maps.mean() == pytest.approx(0.5, abs=0.02)

    def test_random_gives_each_image_its_own_noise_whatever_the_size_of_the_batch(self):
        seen = draw((4, 5))
        maps = run("random", seen)
        assert not np.array_equal(maps[0], maps[1])
        first = {key: value[:1] for key, value in seen.items()}
        np.testing.assert_array_equal(run("random", first), maps[:1])


# ------------------------------------------------------------------ the register


class TestRegister:
    def test_the_order_is_the_family_first_and_the_baselines_last(self):
        names = [m.name for m in list_methods()]
        assert names[:2] == ["cam", "gradcam"]
        assert names[-3:] == ["mean-activation", "random", "centre"]
        assert len({*names}) == len(names) > 30

    @pytest.mark.parametrize("m", list_methods(), ids=lambda m: m.name)
    def test_every_method_says_what_it_is(self, m):
        assert m.formula
        assert m.formula == m.function.__doc__.strip().splitlines()[0]
        assert m.advice.endswith((".", ")"))
        assert "\n" not in m.advice
        assert m.paper or m.name in ("random", "centre")
        assert (Need.ACTIVATIONS in m.needs) == (m.scope == "layer")
        assert "forward" in m.cost
        assert ("backward" in m.cost) == any(
            "gradient" in n.value or "derivative" in n.value for n in m.needs
        )

    def test_what_presumes_activations_after_a_relu(self):
        assert {m.name for m in list_methods() if m.nonnegative} >= {
            "gradcam++",
            "gradcam++-official",
            "xgradcam",
        }

    def test_what_has_evidence_against(self):
        assert {"cam", *GRADIENT_METHODS} <= {m.name for m in list_methods() if m.rectified}
        assert not {*CLASS_FREE} & {m.name for m in list_methods() if m.rectified}

    @pytest.mark.parametrize("name", ["layercam", "gradcam++"])
    def test_the_advice_warns_of_dropped_negative_weights(self, name):
        assert "drops negative weights" in get_method(name).advice

    @pytest.mark.parametrize("name", ["gradcam", "GradCAM", " gradcam "])
    def test_case_and_space_do_not_matter(self, name):
        assert get_method(name).name == "gradcam"

    def test_a_method_is_its_own_name(self):
        assert get_method(get_method("hirescam")) is get_method("hirescam")

    @pytest.mark.parametrize(
        ("wrong", "right"),
        [("gradcamm", "gradcam"), ("grad-kam", "gradcam"), ("EigenKam", "eigencam"), ("center", "centre")],
    )
    def test_a_misspelt_name_names_the_nearest_and_not_all(self, wrong, right):
        with pytest.raises(MethodError, match=f"'{wrong}'.*Did you mean .*'{right}'") as caught:
            get_method(wrong)
        assert sum(f"'{m.name}'" in str(caught.value) for m in list_methods()) <= 3

    @pytest.mark.parametrize("wrong", ["", "zzzz", None, 3])
    def test_what_is_near_nothing_says_where_all_are_listed(self, wrong):
        with pytest.raises(MethodError, match="lists all"):
            get_method(wrong)

    def test_a_new_method_is_a_function_and_a_line(self, monkeypatch):
        monkeypatch.setattr(registry, "_methods", dict(registry._methods))

        @method("largest", needs={Need.ACTIVATIONS}, advice="The largest activation.", class_specific=False)
        def largest(evidence):
            """max_k A^k."""
            return evidence.activations.max(1, keepdims=True)

        assert list_methods()[-1].name == "largest"
        assert get_method("largest").formula == "max_k A^k."
        seen = draw((4, 5))
        np.testing.assert_array_equal(run("largest", seen)[:, 0], seen["activations"].max(1))
