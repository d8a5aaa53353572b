"""What a model's output means: logits, probabilities and task, against brute force, for every way to end a network."""

from __future__ import annotations

import numpy as np
import pytest

from camscope.models.batch import Batch
from camscope.models.decoding import LogitsDecoder
from camscope.models.registry import doorway_of
from tests.conformance import reference
from tests.conformance.cases import Case, close
from tests.conformance.networks import Network, Sigmoid, Softmax, classifier, random_batch, segmenter

X = random_batch()


def before_end(network: Network) -> np.ndarray:
    """What the last linear layer puts out."""
    return reference.outputs_of(network, X)["head"]


def seen(case: Case, network: Network, task=None):
    adapter = case.adapter(network, task)
    with adapter.observe(case.given(adapter, X), {}) as found:
        return found.outputs, tuple(found.notes)


def test_a_classifiers_logits_are_a_choice_of_one(case: Case):
    outputs, notes = seen(case, classifier())
    expected = before_end(classifier())
    assert outputs.task == "multiclass"
    assert notes == ()
    close(outputs.logits, expected)
    close(outputs.probabilities, reference.softmax(expected))


def test_before_a_softmax_at_the_end_are_the_logits(case: Case):
    network = classifier(end=Softmax())
    outputs, notes = seen(case, network)
    assert outputs.task == "multiclass"
    assert notes == ()
    close(outputs.logits, before_end(network))
    close(outputs.probabilities, reference.forward(network, X))
    close(outputs.raw, reference.forward(network, X))


def test_before_a_sigmoid_at_the_end_are_the_logits_of_any_number_of_classes(case: Case):
    network = classifier(end=Sigmoid())
    outputs, notes = seen(case, network)
    assert outputs.task == "multilabel"
    assert notes == ()
    close(outputs.logits, before_end(network))
    close(outputs.probabilities, reference.forward(network, X))


def test_a_multi_label_model_that_returns_logits_can_say_so(case: Case):
    outputs, _ = seen(case, classifier(), "multilabel")
    assert outputs.task == "multilabel"
    close(outputs.probabilities, reference.sigmoid(before_end(classifier())))


@pytest.mark.parametrize("task", [None, "binary"])
def test_one_logit_is_two_classes(case: Case, task):
    network = classifier(classes=1)
    outputs, notes = seen(case, network, task)
    z = before_end(network)
    assert outputs.task == "binary"
    close(outputs.logits, np.concatenate([-z, z], axis=1))
    close(outputs.probabilities, reference.sigmoid(np.concatenate([-z, z], axis=1)))
    # what was presumed is said, and what the user says is not
    assert len(notes) == (task is None)
    assert all("task='regression'" in note for note in notes)


def test_one_logit_before_a_sigmoid_is_two_classes_without_a_doubt(case: Case):
    network = classifier(classes=1, end=Sigmoid())
    outputs, notes = seen(case, network)
    z = before_end(network)
    assert outputs.task == "binary"
    assert notes == ()
    close(outputs.logits, np.concatenate([-z, z], axis=1))


@pytest.mark.parametrize("classes", [1, 3])
def test_numbers_are_no_classes_where_the_user_says_so(case: Case, classes: int):
    network = classifier(classes)
    outputs, notes = seen(case, network, "regression")
    assert outputs.task == "regression"
    assert outputs.probabilities is None
    assert notes == ()
    close(outputs.logits, before_end(network))


def test_scores_of_every_position_are_a_segmentation(case: Case):
    outputs, _ = seen(case, segmenter())
    dense = reference.forward(segmenter(), X)
    shares = reference.softmax(dense.transpose(0, 2, 3, 1).reshape(-1, dense.shape[1])).reshape(
        len(X), 16, -1
    )
    close(outputs.predictions.logits, dense)
    close(outputs.logits, dense.mean((2, 3)))
    close(outputs.probabilities, shares.mean(1))


def test_the_output_may_be_anywhere_in_what_is_returned(case: Case):
    """A decoder that the library or the user brings decides, not the adapter."""

    def second_and_third(raw):
        return raw[:, 1:3]

    model = case.build(classifier())
    adapter = doorway_of(model).adapt(model, LogitsDecoder(second_and_third), task=None, optimised=False)
    with adapter.observe(adapter.batch(Batch((case.tensor(X),))), {}) as found:
        close(found.outputs.logits, before_end(classifier())[:, 1:3])
        close(found.outputs.raw, before_end(classifier()))
