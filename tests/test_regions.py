"""Regions of a dense output, by hand and in NumPy: what is summed, where, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import camscope
from camscope.outputs import Dense, Outputs
from camscope.targets import Region, parse_target, resolve

NAMES = ["background", "cat", "dog"]


def outputs(logits: np.ndarray, size: tuple[int, ...] | None = None, task: str = "multiclass") -> Outputs:
    dense = Dense(logits, size or logits.shape[2:], task)
    return Outputs(dense.scores, task, predictions=dense)


@pytest.fixture
def logits(rng) -> np.ndarray:
    """Two images, three classes, 4×6 positions; background on most of them, cat on a few, dog on fewer."""
    values = rng.normal(size=(2, 3, 4, 6))
    values[:, 0] += 6
    values[:, 1, 1:3, 1:4] += 20
    values[:, 2, 3, 4:] += 20
    return values


def scores(target: object, of: Outputs, names: list[str] | None = NAMES) -> np.ndarray:
    return resolve(target, of, names).scores(of)[:, 0]


def test_a_predicted_region_is_where_the_class_is_the_most_likely(logits):
    np.testing.assert_allclose(
        scores(Region("cat"), outputs(logits)), logits[:, 1, 1:3, 1:4].sum(axis=(1, 2))
    )


def test_the_region_stays_where_it_was_in_the_clean_outputs(logits, rng):
    found = resolve(Region(1), outputs(logits))
    altered = rng.normal(size=logits.shape)
    np.testing.assert_allclose(found.scores(outputs(altered))[:, 0], altered[:, 1, 1:3, 1:4].sum(axis=(1, 2)))


def test_everywhere_is_every_position(logits):
    np.testing.assert_allclose(scores(Region(2, "all"), outputs(logits)), logits[:, 2].sum(axis=(1, 2)))


def test_a_mask_takes_its_positions_and_may_differ_by_image(logits):
    masks = np.zeros((2, 4, 6), dtype=bool)
    masks[0, 0, 0] = masks[1, 2:, 5] = True
    expected = [logits[0, 1, 0, 0], logits[1, 1, 2:, 5].sum()]
    np.testing.assert_allclose(scores(Region(1, masks), outputs(logits)), expected)
    np.testing.assert_allclose(scores(Region(1, masks[0]), outputs(logits))[1], logits[1, 1, 0, 0])


def test_a_mask_finer_than_the_output_counts_by_the_area_it_covers(logits):
    mask = np.zeros((8, 12))
    mask[0, 0] = 1  # a quarter of the first position
    mask[2:4, 2:4] = 1  # all of position (1, 1)
    expected = logits[:, 0, 0, 0] / 4 + logits[:, 0, 1, 1]
    np.testing.assert_allclose(scores(Region(0, mask), outputs(logits, (8, 12))), expected)


@pytest.mark.parametrize("shape", [(7, 11), (13, 5), (4, 6), (2, 3)])
def test_a_mask_keeps_its_share_of_the_area_at_any_resolution(shape, logits, rng):
    """A sum over ones is the number of positions: the area of the mask, in positions of the output."""
    mask = rng.random(shape) < 0.5
    ones = outputs(np.ones_like(logits), shape)
    np.testing.assert_allclose(scores(Region(0, mask), ones), mask.mean() * 24)


def test_a_pixel_is_the_position_it_lies_in(logits):
    np.testing.assert_allclose(scores(Region(1, (7, 0)), outputs(logits, (8, 12))), logits[:, 1, 3, 0])
    np.testing.assert_allclose(scores(Region(1, (5, 11)), outputs(logits, (8, 12))), logits[:, 1, 2, 5])


def test_the_probability_in_a_region_is_that_of_each_position(logits):
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for of, values in {"probability": p, "log-probability": np.log(p), "rest": logits + np.log(p)}.items():
        np.testing.assert_allclose(
            scores(Region(1, "all", of), outputs(logits)), values[:, 1].sum(axis=(1, 2)), rtol=1e-6
        )


def test_evidence_against_is_minus_the_score(logits):
    np.testing.assert_allclose(
        scores(-Region(1), outputs(logits)), -scores(Region(1), outputs(logits)), rtol=1e-12
    )


def test_without_a_class_it_is_the_largest_that_is_no_background(logits):
    named, unnamed = outputs(logits), outputs(logits)
    labels = [t[0].label for t in resolve(None, named, NAMES).infos(NAMES)]
    assert labels == ["cat where predicted", "cat where predicted"]
    # without names nothing says which class is background
    assert resolve(None, unnamed).infos(None)[0][0].label == "class 0 where predicted"


def test_background_is_taken_where_there_is_nothing_else(logits):
    logits[0, 0] += 100
    labels = [t[0].label for t in resolve(None, outputs(logits), NAMES).infos(NAMES)]
    assert labels == ["background where predicted", "cat where predicted"]


def test_each_image_may_have_its_own_region(logits):
    both = scores(camscope.PerImage([Region("cat"), Region("dog", "all")]), outputs(logits))
    np.testing.assert_allclose(both, [logits[0, 1, 1:3, 1:4].sum(), logits[1, 2].sum()])
    with pytest.raises(camscope.TargetError, match="same kind of score"):
        resolve(camscope.PerImage([Region(1), Region(1, of="probability")]), outputs(logits))


def test_one_logit_has_two_classes_and_a_multilabel_region_is_where_it_is_likely(logits):
    z = logits[:, 1:2]
    two = outputs(np.concatenate([-z, z], axis=1), task="binary")
    np.testing.assert_allclose(scores(Region(1), two, None), np.where(z > 0, z, 0).sum(axis=(1, 2, 3)))
    np.testing.assert_allclose(scores(Region(0), two, None), np.where(z < 0, -z, 0).sum(axis=(1, 2, 3)))
    many = outputs(logits, task="multilabel")
    cat = logits[:, 1]
    np.testing.assert_allclose(scores(Region(1), many), np.where(cat > 0, cat, 0).sum(axis=(1, 2)))


def test_a_class_has_its_mean_logit_and_its_share_of_the_area(logits):
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    of = outputs(logits)
    np.testing.assert_allclose(of.logits, logits.mean(axis=(2, 3)))
    np.testing.assert_allclose(of.probabilities, p.mean(axis=(2, 3)), rtol=1e-6)
    np.testing.assert_allclose(of.probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(of.log_probabilities, np.log(p.mean(axis=(2, 3))), rtol=1e-6)
    np.testing.assert_allclose(of.detached().probabilities, of.probabilities)
    assert outputs(logits, task="regression").probabilities is None


def test_signals_and_volumes_have_regions_too(rng):
    signal, volume = rng.normal(size=(2, 3, 8)), rng.normal(size=(2, 3, 2, 4, 4))
    np.testing.assert_allclose(scores(Region(1, (15,)), outputs(signal, (16,))), signal[:, 1, 7])
    np.testing.assert_allclose(
        scores(Region(1, (1, 7, 0)), outputs(volume, (4, 8, 8))), volume[:, 1, 0, 3, 0]
    )


def test_the_command_line_has_words_for_it():
    assert parse_target("region").which is None
    assert parse_target("region:cat").which == "cat"
    assert parse_target("not:probability:region:2").__dict__ == (-Region(2, of="probability")).__dict__


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (Region("cta"), "Did you mean 'cat'"),
        (Region(7), "the model has 3"),
        (Region("cat", (4, 0)), r"outside the model's input of \(4, 6\)"),
        (Region("cat", (-1, 0)), "outside"),
        (Region("cat", (1,)), "1 coordinates"),
        (Region("cat", np.ones((4, 5))), r"shape \(4, 5\); expected \(4, 6\)"),
        (Region("cat", np.ones((3, 4, 6))), r"or \(2, 4, 6\)"),
        (Region("cat", np.zeros((4, 6))), "mask of image 0 is empty"),
        (Region("cat", np.full((4, 6), 2.0)), "share between 0 and 1"),
        (Region("cat", np.full((4, 6), "a")), "truth values"),
    ],
)
def test_what_is_refused(target, says, logits):
    with pytest.raises(camscope.TargetError, match=says):
        resolve(target, outputs(logits), NAMES)


def test_a_class_that_is_predicted_nowhere_is_refused_naming_those_that_are(logits):
    logits[1, 2] -= 100
    with pytest.raises(camscope.TargetError, match=r"dog is predicted nowhere in image 1.*background.*cat"):
        resolve(Region("dog"), outputs(logits), NAMES)


def test_words_that_are_none_and_models_that_score_no_positions_are_refused():
    with pytest.raises(camscope.TargetError, match="Did you mean 'predicted'"):
        Region(1, "predictd")
    with pytest.raises(camscope.TargetError, match="of="):
        Region(1, of="logits")
    with pytest.raises(camscope.TargetError, match="score every position"):
        resolve(Region(1), Outputs(np.zeros((2, 3)), "multiclass"))
