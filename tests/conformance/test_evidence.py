"""The evidence that an adapter gathers, in numbers, against brute force."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from camscope.evidence import Need
from camscope.models.adapter import Adapter
from camscope.targets import Class, Contrast, PerImage
from tests.conformance import reference
from tests.conformance.cases import WITH_GRADIENTS, Case, close, evidence, model_evidence
from tests.conformance.networks import (
    CHANNELS,
    CLASSES,
    Softmax,
    classifier,
    flattened,
    hidden_head,
    random_batch,
    segmenter,
)

X = random_batch()
WITH_GRID = ["stem", "stem_relu", "halve", "body", "body_relu", "last", "last_relu"]
PAIRS = [(1, 3), (2, 0), (4, 1)]
TARGETS = PerImage([[a, -Class(b)] for a, b in PAIRS])
"""Evidence for one class and against another, for each image others."""

NETWORKS = {"gap": classifier, "hidden": hidden_head, "flattened": flattened}


@functools.cache
def adapter_of(case: Case, kind: str = "gap") -> Adapter:
    """What it found out of a network serves all tests."""
    return case.adapter(NETWORKS[kind]())


def altered(activations: np.ndarray, count: int = 70) -> np.ndarray:
    """Variants of one image's activations or pixels, more than run at a time, each another."""
    rng = np.random.default_rng(3)
    return (activations * rng.uniform(0, 1.5, (count, *activations.shape))).astype(np.float32)


def scores(logits: np.ndarray, image: int) -> np.ndarray:
    """Of variants of one image."""
    a, b = PAIRS[image]
    return np.stack([logits[:, a], -logits[:, b]], axis=1)


def probabilities(logits: np.ndarray, image: int) -> np.ndarray:
    return scores(reference.softmax(logits), image)


def of_batch(logits: np.ndarray) -> np.ndarray:
    return np.concatenate([scores(logits[i : i + 1], i) for i in range(len(logits))])


@pytest.mark.parametrize("layer", WITH_GRID)
def test_activations_are_the_layers_own_output_in_canonical_shape(case: Case, layer: str):
    adapter = adapter_of(case)
    with evidence(adapter, case.given(adapter, X), {layer: {Need.ACTIVATIONS}}) as found:
        close(found[layer].activations, reference.outputs_of(classifier(), X)[layer])


def test_activations_are_kept_from_what_comes_after_them(case: Case):
    """All layers of one forward at once: none has been altered by a later one, nor by a re-run."""
    adapter = adapter_of(case)
    rerun = ["stem", "body_relu", "last"]
    needs = {layer: {Need.ACTIVATIONS, *({Need.SUFFIX} if layer in rerun else set())} for layer in WITH_GRID}
    with evidence(adapter, case.given(adapter, X), needs) as found:
        for layer in rerun:
            nothing = case.tensor(np.zeros((3, *found[layer].activations.shape[1:]), dtype=np.float32))
            found[layer].suffix(0, 3, lambda numbers, nothing=nothing: nothing[numbers])
        for layer, expected in reference.outputs_of(classifier(), X).items():
            if layer in found:
                close(found[layer].activations, expected)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("layer", ["stem_relu", "halve", "body", "last_relu"])
def test_the_part_after_a_layer_runs_by_itself(case: Case, kind: str, layer: str):
    network, adapter = NETWORKS[kind](), adapter_of(case, kind)
    variants = altered(reference.outputs_of(network, X)[layer][1])
    expected = reference.after(network, layer, variants)
    with evidence(adapter, case.given(adapter, X), {layer: {Need.SUFFIX}}, TARGETS) as found:
        answers = found[layer].suffix(1, len(variants), lambda numbers: case.tensor(variants[numbers]))
        close(answers.scores, scores(expected, 1))
        close(answers.probabilities, probabilities(expected, 1))


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("layer", ["body_relu", "last_relu"])
def test_without_a_channel_is_with_its_activations_zero(case: Case, kind: str, layer: str):
    network, adapter = NETWORKS[kind](), adapter_of(case, kind)
    A = reference.outputs_of(network, X)[layer][2]
    channels = np.array([0, 5, -1, 3])
    variants = np.stack([A] * 4)
    for variant, channel in zip(variants, channels, strict=True):
        variant[channel if channel >= 0 else []] = 0
    with evidence(adapter, case.given(adapter, X), {layer: {Need.SUFFIX}}, TARGETS) as found:
        answers = found[layer].suffix.without(2, found[layer].activations[2], channels)
        close(answers.scores, scores(reference.after(network, layer, variants), 2))
        # the model's own answer is known beside the re-runs
        close(found[layer].model.responses.scores, of_batch(reference.forward(network, X)))


def test_no_variants_are_no_answers(case: Case):
    adapter = adapter_of(case)
    given = case.given(adapter, X)
    with evidence(adapter, given, {"last_relu": {Need.SUFFIX}}, TARGETS) as found:
        nothing = found["last_relu"].suffix(0, 0, lambda _: case.tensor(X[:0]))
        assert tuple(nothing.scores.shape) == tuple(nothing.probabilities.shape) == (0, 2)


def test_altered_inputs_run_through_the_whole_model(case: Case):
    network, adapter = classifier(), adapter_of(case)
    variants = altered(X[1])
    expected = reference.forward(network, variants)
    with model_evidence(adapter, case.given(adapter, X), {Need.MASKED}, TARGETS) as found:
        close(found.inputs, X)
        close(found.responses.scores, of_batch(reference.forward(network, X)))
        close(found.responses.probabilities, of_batch(reference.softmax(reference.forward(network, X))))
        answers = found.masked(1, len(variants), lambda numbers: case.tensor(variants[numbers]))
        close(answers.scores, scores(expected, 1))
        close(answers.probabilities, probabilities(expected, 1))


# ------------------------------------------------------------------ the linear head


@pytest.mark.parametrize(
    "target",
    [Class(1), -Class(3), Class(2, of="probability"), Class(0, of="rest"), Contrast(1, against=[2, 4])],
    ids=str,
)
@pytest.mark.parametrize(("layer", "themselves"), [("last_relu", True), ("last", False)])
def test_a_linear_heads_weights_are_the_scores_derivative(case: Case, target, layer: str, themselves: bool):
    """w_k = ∂score/∂(mean of F^k), by brute force; what is pooled is the activations, or their ReLU."""
    network, adapter = classifier(), adapter_of(case)
    pooled = reference.outputs_of(network, X)["pool"]

    def score(at: np.ndarray) -> np.ndarray:
        z = reference.after(network, "pool", at).T
        p = reference.softmax(z.T).T
        if isinstance(target, Contrast):
            return z[1] - 0.6 * (z[2] + z[4]) / 2
        return {"logit": target.sign * z, "probability": p, "rest": z + np.log(p)}[target.of][target.which]

    with evidence(adapter, case.given(adapter, X), {layer: {Need.LINEAR_HEAD}}, [target]) as found:
        head = found[layer].head
        assert head.pools_activations is themselves
        assert head.linear is (getattr(target, "of", "logit") == "logit")
        close(head.features, reference.outputs_of(network, X)["last_relu"])
        for image in range(len(X)):
            expected = reference.derivative(score, pooled[image])[:, 0, 0]
            close(head.weights[image, 0], expected, 1e-4)


def test_one_logit_weighs_for_one_class_and_against_the_other(case: Case):
    network = classifier(classes=1)
    adapter = case.adapter(network)
    needs = {"last_relu": {Need.LINEAR_HEAD}}
    with evidence(adapter, case.given(adapter, X), needs, [0, 1, -Class(1)]) as found:
        row = network.layers["head"].weight
        close(found["last_relu"].head.weights[2], np.concatenate([-row, row, -row]))


def test_before_a_softmax_at_the_end_is_a_linear_head(case: Case):
    network = classifier(end=Softmax())
    adapter = case.adapter(network)
    with evidence(adapter, case.given(adapter, X), {"last_relu": {Need.LINEAR_HEAD}}, [2]) as found:
        close(found["last_relu"].head.weights[0], network.layers["head"].weight[2:3])


def test_a_function_of_the_output_has_a_linear_head_where_the_output_is_the_logits(case: Case):
    """Its weights are its derivative: of the logits, and of probabilities if the adapter knows how these came about."""
    network, needs = classifier(), {"last_relu": {Need.LINEAR_HEAD}}
    adapter = adapter_of(case)
    weight = network.layers["head"].weight
    with evidence(adapter, case.given(adapter, X), needs, lambda out: out[:, 1] * 2 - out[:, 0]) as found:
        close(found["last_relu"].head.weights[0], (2 * weight[1] - weight[0])[None], 1e-4)
        assert not found["last_relu"].head.linear
    adapter = case.adapter(classifier(end=Softmax()))
    with evidence(adapter, case.given(adapter, X), needs, lambda out: out[:, 1]) as found:
        head = found["last_relu"].head
        p = reference.softmax(reference.forward(network, X))
        slopes = p[:, 1:2] * (np.eye(p.shape[1])[1] - p)
        if head is not None:
            close(head.weights[:, 0], slopes @ weight, 1e-4)
            assert not head.linear


@pytest.mark.parametrize(
    ("kind", "layer"),
    [
        ("gap", "body_relu"),
        ("gap", "stem_relu"),
        ("hidden", "last_relu"),
        ("flattened", "last_relu"),
    ],
)
def test_no_linear_head_is_claimed_where_there_is_none(case: Case, kind: str, layer: str):
    """`body_relu` has as many channels as the classifier reads, and is not what it reads."""
    adapter = adapter_of(case, kind)
    with evidence(adapter, case.given(adapter, X), {layer: {Need.LINEAR_HEAD}}, [0]) as found:
        assert found[layer].head is None


def test_a_segmenter_has_no_linear_head(case: Case):
    adapter = case.adapter(segmenter())
    with evidence(adapter, case.given(adapter, X), {"last_relu": {Need.LINEAR_HEAD}}, [0]) as found:
        assert found["last_relu"].head is None


# ------------------------------------------------------------------ gradients


@pytest.mark.parametrize("case", WITH_GRADIENTS, ids=str, indirect=True)
@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("layer", ["body_relu", "last_relu"])
def test_gradients_are_finite_differences(case: Case, kind: str, layer: str):
    network = NETWORKS[kind]().as_type(np.float64)
    adapter = case.adapter(network)
    x = X.astype(np.float64)
    A = reference.outputs_of(network, x)[layer]
    with evidence(adapter, case.given(adapter, x), {layer: {Need.GRADIENTS}}, TARGETS) as found:
        gradients = np.broadcast_to(found[layer].gradients, (len(X), 2, *A.shape[1:]))
        for t in range(2):
            expected = reference.derivative(
                lambda at, t=t: scores(reference.after(network, layer, at), 1)[:, t], A[1]
            )
            close(gradients[1, t], expected, 1e-6)


# ------------------------------------------------------------------ what is asked for, and by whom


def test_what_is_wanted_at_one_layer_is_not_given_at_another(case: Case):
    adapter = adapter_of(case)
    needs = {"body_relu": {Need.SUFFIX}, "last_relu": {Need.ACTIVATIONS}}
    with evidence(adapter, case.given(adapter, X), needs, [0]) as found:
        assert found["body_relu"].suffix is not None
        assert found["last_relu"].suffix is None
        for here in found.values():
            assert here.gradients is here.curvature is here.head is None
            assert here.model is None or here.model.masked is None


def test_what_is_not_asked_of_the_model_is_not_there(case: Case):
    adapter = adapter_of(case)
    with model_evidence(adapter, case.given(adapter, X), set(), [0]) as found:
        assert found.masked is found.masked_gradients is found.full_gradients is found.attention is None


def test_a_batch_is_its_images_one_by_one(case: Case):
    adapter = adapter_of(case)
    needs = {"last_relu": {Need.ACTIVATIONS, Need.LINEAR_HEAD}}
    with evidence(adapter, case.given(adapter, X), needs, list(range(CLASSES))) as found:
        together = found["last_relu"]
    for image in range(len(X)):
        alone = case.given(adapter, X[image : image + 1])
        with evidence(adapter, alone, needs, list(range(CLASSES))) as found:
            own = found["last_relu"]
            close(own.activations[0], np.asarray(together.activations)[image], 1e-6)
            close(own.head.weights[0], np.asarray(together.head.weights)[image], 1e-6)
            assert tuple(own.head.weights.shape) == (1, CLASSES, CHANNELS)
