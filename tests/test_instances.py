"""Instances among a detector's candidates, by hand and in NumPy: which one is meant, its score, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import camscope
from camscope.composition.fusion import at_fpn_level, sum_of_densities
from camscope.images import Geometry
from camscope.outputs import Detections, Outputs
from camscope.results.figures.photos import _box_of
from camscope.targets import Instance, TargetInfo, parse_target, resolve, titles

NAMES = ["cat", "dog", "cow"]
BOXES = np.array(
    [[10, 10, 30, 30], [12, 10, 30, 32], [50, 40, 90, 70], [52, 42, 88, 70], [0, 60, 20, 80]], dtype=float
)
LOGITS = np.array([[2.0, -1, -3], [1.5, 0.5, -3], [-2, 3.0, -3], [-2, -1, 1.0], [-4, -4, -4]])
"""A cat, much the same cat a little less sure (or a dog), a dog, a cow where the dog is, and nothing much."""


def found(**changes: object) -> Detections:
    """Two images, the second one's candidates in the opposite order."""
    both = Detections(
        logits=np.stack([LOGITS, LOGITS[::-1]]),
        boxes=np.stack([BOXES, BOXES[::-1]])[:, :, None],
        size=(80, 100),
        task="multilabel",
        overlap=0.5,
        fpn_levels=np.array([[0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]),
    )
    return replace(both, **changes)


def outputs(detections: Detections) -> Outputs:
    return Outputs(detections.scores, detections.task, predictions=detections)


def scores(target: object, of: Detections) -> np.ndarray:
    return resolve(target, outputs(of), NAMES).scores(outputs(of))[:, 0]


def label(target: object, of: Detections) -> str:
    return resolve(target, outputs(of), NAMES).infos(NAMES)[0][0].label


# ---------------------------------------------------------------------- which one


def test_detections_are_numbered_by_score_and_what_overlaps_is_left_out():
    assert label(None, found()) == "dog at (50, 40, 90, 70)"
    names = [label(Instance(i), found()) for i in range(4)]
    assert names == [
        "dog at (50, 40, 90, 70)",
        "cat at (10, 10, 30, 30)",
        "cow at (52, 42, 88, 70)",
        "dog at (12, 10, 30, 32)",  # another class than the cat, so it stays
    ]
    np.testing.assert_allclose(scores(Instance(1), found()), [2, 2])


def test_without_leaving_out_every_candidate_counts():
    assert label(Instance(2), found(overlap=1.0)) == "cat at (12, 10, 30, 32)"


def test_numbers_within_a_class():
    assert label(Instance(0, "cat"), found()) == "cat at (10, 10, 30, 30)"
    assert label(Instance(1, "dog"), found()) == "dog at (12, 10, 30, 32)"


def test_a_detections_own_box_is_that_detection():
    for box, logits in zip(BOXES, LOGITS, strict=True):
        np.testing.assert_allclose(scores(Instance(tuple(box)), found()), [logits.max()] * 2)


def test_a_box_drawn_by_hand_is_the_best_of_overlap_and_score():
    """It is closest to the fourth candidate, whose cow is not as likely as the dog that overlaps almost as much."""
    drawn = (53, 43, 88, 70)
    assert label(Instance(drawn), found()) == "dog at (50, 40, 90, 70)"
    assert label(Instance(drawn, "cow"), found()) == "cow at (52, 42, 88, 70)"


def test_each_image_has_its_own():
    two = camscope.PerImage([Instance((10, 10, 30, 30)), Instance((50, 40, 90, 70))])
    np.testing.assert_allclose(scores(two, found()), [2, 3])


def test_of_a_box_for_each_image_the_one_that_matches_nothing_is_named():
    wrong = camscope.PerImage([Instance((10, 10, 30, 30)), Instance((0, 0, 5, 5))])
    with pytest.raises(camscope.TargetError, match="in image 1"):
        scores(wrong, found())


def test_what_stands_for_nothing_is_no_instance():
    with_nothing = np.concatenate([LOGITS, np.full((5, 1), 9.0)], axis=1)[None]
    last = found(
        logits=with_nothing, boxes=BOXES[None, :, None], task="multiclass", background=-1, fpn_levels=None
    )
    assert last.scores.shape == (1, 3)
    np.testing.assert_allclose(last.scores, LOGITS.max(axis=0)[None])
    assert label(None, last).startswith("dog")
    first = replace(last, logits=with_nothing[..., [3, 0, 1, 2]], background=0)
    names = ["background", *NAMES]
    np.testing.assert_allclose(first.scores[:, 1:], LOGITS.max(axis=0)[None])
    assert first.scores[0, 0] < -1000
    assert first.probabilities[0, 0] == 0
    assert resolve(None, outputs(first), names).infos(names)[0][0].label.startswith("dog")
    # the softmax is over all outputs, nothing included
    p = np.exp(with_nothing) / np.exp(with_nothing).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(last.probabilities, p[..., :3].max(axis=1), rtol=1e-6)
    np.testing.assert_allclose(scores(Instance(0, of="probability"), last), p[:, 2, 1], rtol=1e-6)


def test_candidates_that_are_not_there_are_none():
    present = np.ones((2, 5), dtype=bool)
    present[0, 2] = False
    assert label(None, found(present=present)) == "cat at (10, 10, 30, 30)"
    np.testing.assert_allclose(found(present=present).scores[0], [2, 0.5, 1])


def test_quality_weighs_the_ranking_and_not_the_score():
    quality = np.full((2, 5), 1.0)
    quality[0, 2] = 0.01
    assert label(None, found(centerness=quality)) == "cat at (10, 10, 30, 30)"
    np.testing.assert_allclose(scores(Instance((50, 40, 90, 70)), found(centerness=quality)), [3, 3])


def test_boxes_of_their_own_for_each_class():
    boxes = np.repeat(BOXES[None, :, None], 3, axis=2)
    boxes[:, 0, 1] = [60, 0, 90, 20]  # as a dog, the first candidate is elsewhere
    own = found(logits=LOGITS[None], boxes=boxes, fpn_levels=None)
    np.testing.assert_allclose(scores(Instance((60, 0, 90, 20)), own), [-1])


# ---------------------------------------------------------------------- the same one again


def test_a_fixed_candidate_is_found_by_its_number(rng):
    target = resolve(Instance((50, 40, 90, 70)), outputs(found()))
    altered = found(logits=rng.normal(size=(2, 5, 3)), boxes=rng.normal(size=(2, 5, 1, 4)))
    np.testing.assert_allclose(
        target.scores(outputs(altered))[:, 0], [altered.logits[0, 2, 1], altered.logits[1, 2, 1]]
    )


def test_one_that_is_not_is_found_by_its_box():
    target = resolve(Instance((50, 40, 90, 70)), outputs(found(fixed=False)))
    moved = found(fixed=False, logits=found().logits[:, ::-1], boxes=found().boxes[:, ::-1] + 1)
    np.testing.assert_allclose(target.scores(outputs(moved))[:, 0], [3, 3])


def test_at_another_size_of_the_input_the_box_is_too():
    target = resolve(Instance((50, 40, 90, 70)), outputs(found(fixed=False)))
    twice = found(fixed=False, boxes=found().boxes * 2, size=(160, 200))
    np.testing.assert_allclose(target.scores(outputs(twice))[:, 0], [3, 3])


def test_a_proposal_is_looked_for_again_only_where_it_has_moved(rng):
    proposals = rng.random((2, 5, 4))
    asked = []

    def again(boxes: np.ndarray, images: np.ndarray) -> np.ndarray:
        asked.append((boxes, images))
        return np.array([[10.0, 20, 30], [40, 50, 60]])

    clean = found(fixed=False, proposals=proposals, again=again)
    target = resolve(Instance((50, 40, 90, 70)), outputs(clean))
    np.testing.assert_allclose(target.scores(outputs(clean))[:, 0], [3, 3])
    assert not asked
    moved = replace(clean, proposals=rng.random((2, 5, 4)))
    np.testing.assert_allclose(target.scores(outputs(moved))[:, 0], [20, 50])
    np.testing.assert_array_equal(asked[0][0], proposals[:, 2])
    np.testing.assert_array_equal(asked[0][1], [0, 1])
    # of some of the images, each is looked for in its own
    some = moved.images(np.array([1]))
    some.again(proposals[1:, 2], np.array([0]))
    np.testing.assert_array_equal(asked[1][1], [1])


# ---------------------------------------------------------------------- levels


def test_each_target_knows_its_level():
    targets = resolve([Instance((10, 10, 30, 30)), Instance((50, 40, 90, 70)), 2], outputs(found()), NAMES)
    np.testing.assert_array_equal(targets.fpn_levels(outputs(found())), [[0, 1, 1], [0, 1, 1]])
    assert targets.fpn_levels(Outputs(np.zeros((2, 3)), "multiclass")) is None
    no_pyramid = outputs(found(fpn_levels=None))
    assert resolve(Instance(0), no_pyramid).fpn_levels(no_pyramid) is None


def test_the_map_is_that_of_the_targets_level(rng):
    fine, coarse = rng.normal(size=(2, 2, 4, 4)), rng.normal(size=(2, 2, 2, 2))
    levels = np.array([[0, 1], [1, -1]])
    joined = at_fpn_level([fine, coarse], levels)
    up = at_fpn_level([np.zeros_like(fine), coarse], np.ones((2, 2), dtype=int))
    np.testing.assert_allclose(joined[0, 0], fine[0, 0])
    np.testing.assert_allclose(joined[0, 1], up[0, 1])
    np.testing.assert_allclose(joined[1, 0], up[1, 0])
    np.testing.assert_allclose(joined[1, 1], fine[1, 1] + up[1, 1])
    # one layer may stand for two levels, and is then there once
    np.testing.assert_allclose(at_fpn_level([fine, fine], np.array([[1, 0], [-1, -1]])), fine)


def test_what_several_layers_hold_counts_the_same_whatever_the_size_of_their_cells(rng):
    fine, coarse = rng.normal(size=(2, 1, 4, 6)), np.broadcast_to(rng.normal(size=(2, 1, 1, 1)), (2, 1, 2, 3))
    total = sum_of_densities([fine, coarse])
    np.testing.assert_allclose(total.sum((2, 3)), fine.sum((2, 3)) + coarse.sum((2, 3)))
    np.testing.assert_allclose(total - fine, np.broadcast_to(coarse[..., :1, :1] / 4, fine.shape))


# ---------------------------------------------------------------------- words and errors


def test_the_command_line_has_words_for_it():
    assert parse_target("instance").box == 0
    assert parse_target("instance:2").box == 2
    box = parse_target("not:instance:10, 20, 60.5, 80")
    assert (box.box, box.sign) == ((10, 20, 60.5, 80), -1)
    of_class = parse_target("probability:instance:cat")
    assert (of_class.box, of_class.which, of_class.of) == (0, "cat", "probability")
    assert (parse_target("instance:cat:1").box, parse_target("instance:cat:1").which) == (1, "cat")
    drawn = parse_target("instance:traffic light:10,20,60,80")
    assert (drawn.box, drawn.which) == ((10, 20, 60, 80), "traffic light")
    for wrong in ("instance:1,2,3", "instance:0.5", "instance:cat:1,2"):
        with pytest.raises(
            camscope.TargetError, match=r"names no instance. Write instance:1 .* instance:dog"
        ):
            parse_target(wrong)


def test_a_box_that_matches_nothing_names_the_nearest_detections():
    with pytest.raises(camscope.TargetError) as caught:
        resolve(Instance((60, 5, 80, 20)), outputs(found()), NAMES)
    message = str(caught.value)
    assert "matches no detection in image 0" in message
    assert "100 wide and 80 high" in message
    near = message.partition("nearest detections are ")[2]
    assert near.startswith(
        "dog at (50, 40, 90, 70) (95.3%), cat at (50, 40, 90, 70) (11.9%), cow at (52, 42, 88, 70)"
    )


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((10, 10, 20, 20), "x, y, width, height it would be cat at (10, 10, 30, 30)"),
        ((40, 50, 70, 90), "y0, x0, y1, x1 it would be dog at (50, 40, 90, 70)"),
        ((0.5, 0.5, 0.9, 0.875), "shares of the width and height it would be dog at (50, 40, 90, 70)"),
        ((60, 5, 80, 20), ""),
    ],
)
def test_a_box_in_another_order_or_unit_is_told(box, words):
    with pytest.raises(camscope.TargetError) as caught:
        resolve(Instance(box), outputs(found()), NAMES)
    assert ("Read as" in str(caught.value)) == bool(words)
    assert words in str(caught.value)


def test_the_wrong_class_for_a_box_is_refused():
    far = found(logits=np.where(LOGITS == 3, -1e9, LOGITS)[None].repeat(2, 0))
    far = replace(far, boxes=found().boxes[:, :, [0, 0, 0]].copy())
    far.boxes[:, :, 2] = 0  # as cows they have no area
    with pytest.raises(camscope.TargetError, match="matches no detection of cow"):
        resolve(Instance((10, 10, 30, 30), "cow"), outputs(far), NAMES)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Instance((30, 10, 10, 30)), r"has no area.*it is \(30, 10, 40, 40\) here"),
        (lambda: Instance((1, 2, 3)), r"expected a box \(x0, y0, x1, y1\)"),
        (lambda: Instance("cat"), "expected a box"),
        (lambda: Instance(BOXES), r"given 5 boxes.*\[Instance\(box\) for box in boxes\]"),
        (lambda: Instance((0, 0, 1, float("nan"))), "expected a box"),
        (lambda: Instance(-1), "numbered from 0"),
        (lambda: Instance(0, of="score"), "of="),
        (lambda: resolve(Instance(99), outputs(found())), "There is no detection 99 in image 0"),
        (lambda: resolve(Instance(0, "cwo"), outputs(found()), NAMES), "Did you mean 'cow'"),
        (lambda: resolve(Instance(0), Outputs(np.zeros((1, 3)), "multiclass")), "is for detectors"),
    ],
)
def test_what_is_refused(make, says):
    with pytest.raises(camscope.TargetError, match=says):
        make()


def test_the_figure_outlines_the_instance_on_the_photo():
    """At the photo's size, cut where the photo ends; a class has no outline."""
    geometry = Geometry(photo_size=(200, 400), input_size=(100, 100), scale=(0.5, 0.5), offset=(0.0, -50.0))
    info = TargetInfo(None, "dog at (50, 40, 90, 70)", None, 1, box=(0.5, 0.4, 0.9, 0.7))
    assert _box_of(info, geometry) == [(200, 80, 280, 140)]
    assert _box_of(replace(info, box=(-0.9, 0.4, 0.2, 1.3)), geometry) == [(0, 80, 140, 200)]
    assert _box_of(replace(info, box=None), geometry) == []
    assert titles([info], {}) == ("dog at (50, 40, 90, 70)",)
