"""Pointing game, energy inside, MaxBoxAcc: by hand, against a plain loop, and what is refused."""

import itertools

import numpy as np
import pytest
import torch

import camscope
from camscope import metrics
from camscope.errors import InputError
from camscope.metrics.box_accuracy import best_overlaps, overlap
from tests.metrics.small_models import classifier

RNG = np.random.default_rng(0)


def spots(*places, size=(20, 30)):
    """A map of each image that is highest at (row, column)."""
    maps = np.zeros((len(places), 1, *size))
    for i, place in enumerate(places):
        maps[(i, 0, *place)] = 1
    return maps


def test_the_pointing_game_counts_what_is_nearer_than_its_tolerance():
    boxes = [(10, 5, 20, 15)] * 4
    maps = spots((5, 10), (5, 7), (5, 6), (14, 20))
    hits = metrics.pointing_game(maps, boxes, size=(20, 30), tolerance=4)["map"][:, 0]
    assert hits.tolist() == [1, 1, 0, 1]  # at 3, 4 and 1 pixel from it
    inside = metrics.pointing_game(maps, boxes, size=(20, 30), tolerance=0)["map"][:, 0]
    assert inside.tolist() == [1, 0, 0, 0]


def test_several_maxima_count_by_their_share_and_coarse_maps_are_resized():
    maps = spots((0, 0), size=(4, 4))
    maps[0, 0, 3, 3] = 1
    mask = np.zeros((1, 16, 16), bool)
    mask[0, :8, :8] = True
    assert metrics.pointing_game(maps, mask, tolerance=0)["map"] == 0.5
    assert metrics.pointing_game(maps, mask)["map"] == 1


def test_energy_is_the_share_of_the_positive_map_in_the_union_of_the_boxes():
    maps = RNG.standard_normal((2, 3, 6, 8))
    boxes = [[(0, 0, 4, 3), (2, 1, 8, 2)], [(7, 5, 8, 6)]]
    found = metrics.energy_inside(maps, boxes, size=(6, 8))["map"]
    positive = np.maximum(maps, 0)
    inside = np.zeros((2, 6, 8), bool)
    inside[0, :3, :4] = inside[0, 1, 2:] = inside[1, 5, 7] = True
    for i, t in itertools.product(range(2), range(3)):
        assert found[i, t] == pytest.approx(positive[i, t][inside[i]].sum() / positive[i, t].sum())
    np.testing.assert_allclose(found, metrics.energy_inside(maps, inside)["map"])
    np.testing.assert_allclose(found, metrics.energy_inside(7 * torch.from_numpy(maps), inside)["map"])
    assert np.isnan(metrics.energy_inside(-positive - 0.1 * RNG.random(maps.shape), inside)["map"]).all()


def test_by_chance_energy_and_pointing_are_the_share_of_the_region():
    mask = np.zeros((400, 10, 10), bool)
    mask[:, 2:7, 1:9] = True  # 40 %
    chance = metrics.baseline_maps(np.zeros((400, 3, 10, 10)), seed=1)["random"]
    assert metrics.energy_inside(chance, mask).means["map"] == pytest.approx(0.4, abs=0.01)
    assert metrics.pointing_game(chance, mask, tolerance=0).means["map"] == pytest.approx(0.4, abs=0.05)


def test_regions_along_a_signal_and_in_a_volume():
    signal = spots((7,), size=(12,))
    assert metrics.energy_inside(signal, [(5, 9)], size=(12,))["map"] == 1
    volume = spots((1, 2, 3), size=(4, 5, 6))
    assert metrics.energy_inside(volume, [(3, 2, 1, 4, 3, 2)], size=(4, 5, 6))["map"] == 1
    assert metrics.energy_inside(volume, [(1, 2, 3, 2, 3, 4)], size=(4, 5, 6))["map"] == 0


# ------------------------------------------------------------------ MaxBoxAcc


def test_overlap_is_of_areas():
    assert overlap((0, 0, 4, 4), (0, 0, 4, 4)) == 1
    assert overlap((0, 0, 4, 4), (2, 2, 6, 6)) == pytest.approx(4 / 28)
    assert overlap((0, 0, 4, 4), (4, 0, 8, 4)) == 0


def boxes_above(heat, level, largest):
    """By flooding, pixel by pixel; None if it is not clear which is the largest."""
    left = set(map(tuple, np.argwhere(heat > level).tolist()))
    found = []
    while left:
        todo, own = [left.pop()], []
        while todo:
            own.append(todo.pop())
            near = {(own[-1][0] + i, own[-1][1] + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            todo += near
        rows, columns = zip(*own, strict=True)
        found.append((len(own), (min(columns), min(rows), max(columns) + 1, max(rows) + 1)))
    found.sort(key=lambda one: -one[0])
    if largest and len(found) > 1 and found[0][0] == found[1][0]:
        return None
    return [box for _, box in (found[:1] if largest else found)]


@pytest.mark.parametrize("components", ["all", "largest"])
def test_boxes_are_tried_at_every_threshold(components):
    maps = RNG.random((5, 9, 11)) ** 3
    boxes = [[(1, 1, 6, 5)], [(0, 0, 11, 9)], [(3, 2, 9, 8), (0, 0, 2, 2)], [(5, 5, 7, 9)], [(2, 0, 8, 9)]]
    best = np.full((5, 255), np.nan)
    for i, level in itertools.product(range(5), range(255)):
        heat = np.floor(255 * ((maps[i] - maps[i].min()) / (maps[i].max() - maps[i].min())))
        own = boxes_above(heat, level, components == "largest")
        if own is not None:
            best[i, level] = max(overlap(a, b) for a in own for b in boxes[i])
    clear = ~np.isnan(best)
    assert clear.mean() > (0.99 if components == "all" else 0.5)
    found = np.stack([best_overlaps(maps[i], boxes[i], (9, 11), components) for i in range(5)])
    np.testing.assert_allclose(found[clear], best[clear])
    accuracy = metrics.max_box_accuracy(maps[:, None], boxes, size=(9, 11), components=components)["map"][0]
    assert accuracy == pytest.approx(np.mean([(found >= d).mean(0).max() for d in (0.3, 0.5, 0.7)]))


def test_a_threshold_is_the_same_for_all_images():
    """One map whose box is right at a low threshold, one at a high one: no threshold serves both."""
    maps = np.full((2, 1, 10, 10), 0.0)
    maps[0, 0, 2:8, 2:8] = 0.3
    maps[0, 0, 4, 4] = 1
    maps[1, 0, 0:10, 1:10] = 0.4
    maps[1, 0, 4:6, 4:6] = 1
    boxes = [(2, 2, 8, 8), (4, 4, 6, 6)]
    each = [
        metrics.max_box_accuracy(maps[i : i + 1], boxes[i : i + 1], size=(10, 10))["map"][0] for i in range(2)
    ]
    assert each == [1, 1]
    assert metrics.max_box_accuracy(maps, boxes, size=(10, 10))["map"][0] == 0.5


def test_several_overlaps_and_maps_that_find_nothing():
    maps = np.zeros((2, 1, 8, 8))
    maps[0, 0, 2:6, 2:6] = 1  # IoU with the box 16 / 32
    boxes = [(2, 2, 6, 10)] * 2
    measure = metrics.max_box_accuracy
    assert measure(maps[:1], [(2, 0, 6, 8)], size=(8, 8))["map"][0] == pytest.approx(2 / 3)
    assert measure(maps, [(2, 2, 6, 6)] * 2, size=(8, 8))["map"][0] == 0.5  # a flat map finds nothing
    assert measure(maps, [(2, 0, 6, 8)] * 2, size=(8, 8), overlaps=(0.5,))["map"][0] == 0.5
    with pytest.raises(camscope.InputError, match="inside an input of 8 × 8"):
        measure(maps, boxes, size=(8, 8))
    with pytest.raises(camscope.InputError, match="expected shares above 0"):
        measure(maps, [(2, 2, 6, 6)] * 2, size=(8, 8), overlaps=(50,))
    with pytest.raises(camscope.InputError, match="expected 'largest' or 'all'"):
        measure(maps, [(2, 2, 6, 6)] * 2, size=(8, 8), components="biggest")


# ------------------------------------------------------------------ baselines, and what is refused


def test_baselines_stand_beside_by_one_argument():
    activations = RNG.random((2, 5, 8, 8))
    maps = {"mine": RNG.random((2, 1, 8, 8))}
    beside = metrics.baseline_maps(activations)
    boxes = [(2, 2, 6, 6)] * 2
    for measured in (
        metrics.pointing_game(maps, boxes, size=(8, 8), baselines=beside),
        metrics.energy_inside(maps, boxes, size=(8, 8), baselines=beside),
        metrics.max_box_accuracy(maps, boxes, size=(8, 8), baselines=beside),
        metrics.gini(maps, baselines=beside),
    ):
        assert list(measured.values) == ["mine", *beside]
        assert measured.baselines == tuple(beside)
        assert repr(measured).count("a baseline") == 3
    np.testing.assert_allclose(beside["mean-activation"][:, 0], activations.mean(1))
    energy = metrics.energy_inside(maps, boxes, size=(8, 8), baselines=beside).means
    assert energy["centre"] > energy["random"]


@pytest.mark.parametrize(
    ("regions", "options", "message"),
    [
        ([(0, 0, 4, 4)] * 2, {}, "say its size, such as"),
        ([(0, 0, 4, 4)], {"size": (8, 8)}, "Boxes for 1 images, and maps of 2"),
        ([(4, 0, 2, 4)] * 2, {"size": (8, 8)}, r"expected \(x0, y0, x1, y1\)"),
        ([(0, 0, 9, 4)] * 2, {"size": (8, 8)}, "inside an input of 8 × 8"),
        ([(0, 0, 0.5, 4)] * 2, {"size": (8, 8)}, "whole pixels"),
        ((0, 0, 4, 4), {"size": (8, 8)}, r"\[\(0, 0, 4, 4\)\] for one image"),
        ([(0, 0, 4, 4)] * 2, {"size": 8}, "expected the input's size along each axis"),
        ([(0, 0, 4)] * 2, {"size": (8, 8)}, "The box"),
        (np.ones((2, 8, 8)), {}, "Masks must hold booleans"),
        (np.ones((3, 8, 8), bool), {}, "Masks for 3 images, and maps of 2"),
        (np.ones((2, 8, 8), int), {}, r"hold booleans, True inside, and these hold int64: masks > 0"),
        (
            np.ones((2, 1, 8, 8), bool),
            {},
            r"shape \(2, 1, 8, 8\).*masks\[:, 0\] without the axis of channels",
        ),
        (np.ones((8, 8), bool), {}, r"shape \(8, 8\).*masks\[None\] of one image"),
        ([np.ones((8, 8), bool), np.ones((8, 9), bool)], {}, r"Masks of several sizes \(8 × 8, 8 × 9\)"),
        ([("0", 0, 4, 4)] * 2, {"size": (8, 8)}, "whole pixels"),
        ([[(0, 0, 4, 4), (0, 0)]] * 2, {"size": (8, 8)}, r"The box \(0, 0\) of image 0"),
        (None, {"size": (8, 8)}, "Regions None: expected masks"),
        (np.zeros((2, 8, 8), bool), {}, "The mask of image 0 is empty"),
        (np.ones((2, 8, 8), bool), {"size": (9, 9)}, "masks have a size of their own"),
        ([[(0, 0, 4, 4)], []], {"size": (8, 8)}, "Image 1 has no box"),
    ],
)
def test_regions_that_do_not_fit_are_refused(regions, options, message):
    maps = RNG.random((2, 1, 8, 8))
    for measure in (metrics.pointing_game, metrics.energy_inside):
        with pytest.raises(camscope.InputError, match=message):
            measure(maps, regions, **options)


@pytest.mark.parametrize(
    ("maps", "options", "message"),
    [
        (np.zeros((4, 4)), {}, r"shape \(4, 4\): expected batch, target and space.*maps\[None, None\]"),
        ({}, {}, "There is no map to measure"),
        (
            {"a": np.ones((2, 1, 3)), "b": np.ones((3, 1, 3))},
            {},
            r"different numbers of images \(a: 2, b: 3\)",
        ),
        (
            {"a": np.ones((2, 1, 3))},
            {"baselines": {"a": np.ones((2, 1, 3))}},
            "a: the name of a map and of a",
        ),
    ],
)
def test_maps_that_are_none_are_refused(maps, options, message):
    with pytest.raises(camscope.InputError, match=message):
        metrics.gini(maps, **options)


def test_baselines_are_of_an_explainer_with_inputs_or_of_activations():
    with pytest.raises(camscope.InputError, match="activations need none"):
        metrics.baseline_maps(np.zeros((1, 2, 3, 3)), np.zeros((1, 3, 8, 8)))


def test_a_mask_of_each_image_may_stand_in_a_list_and_boxes_may_be_of_any_numbers():
    maps = RNG.random((2, 1, 8, 8))
    masks = RNG.random((2, 8, 8)) > 0.5
    expected = metrics.energy_inside(maps, masks)["map"]
    for given in ([*masks], tuple(map(torch.from_numpy, masks)), torch.from_numpy(masks)):
        np.testing.assert_array_equal(metrics.energy_inside(maps, given)["map"], expected)
    boxes = np.array([(1, 2, 5, 6), (0, 0, 4, 8)])
    expected = metrics.energy_inside(maps, boxes.tolist(), size=(8, 8))["map"]
    each = [torch.from_numpy(boxes[i : i + 1]) for i in (0, 1)]
    for given in (boxes, boxes.astype(float), [*map(tuple, boxes)], each):
        np.testing.assert_array_equal(metrics.energy_inside(maps, given, size=(8, 8))["map"], expected)


def test_masks_are_not_taken_for_boxes_and_boxes_not_for_masks():
    maps = RNG.random((1, 1, 8, 8))
    with pytest.raises(camscope.InputError, match="Masks were given: expected for each image a box"):
        metrics.max_box_accuracy(maps, np.ones((1, 8, 8), bool), size=(8, 8))
    with pytest.raises(camscope.InputError, match="size=8: expected the input's size along each axis"):
        metrics.max_box_accuracy(maps, [(0, 0, 4, 4)], size=8)
    with pytest.raises(camscope.InputError, match=r"max_box_accuracy and metrics\.energy_inside take boxes"):
        metrics.pixel_average_precision(maps, [(0, 0, 4, 4)])


def test_regions_of_another_size_than_the_explained_input_are_refused():
    """As masks and boxes of the photo on disk are, which was resized and cropped since."""
    _, explainer = classifier()
    x = torch.from_numpy(RNG.normal(size=(1, 2, 14, 14)))
    e = explainer(x, methods="gradcam", layers="features.3")
    there = np.zeros((1, 14, 14), bool)
    there[:, 2:6, 2:6] = True
    boxed = metrics.energy_inside(e, [(2, 2, 6, 6)], size=(14, 14))["gradcam"]
    assert metrics.energy_inside(e, there)["gradcam"] == pytest.approx(boxed)
    words = "in 28 × 28 pixels, and the model's input has 14 × 14"
    for measure in (metrics.energy_inside, metrics.pointing_game, metrics.pixel_average_precision):
        with pytest.raises(InputError, match=words):
            measure(e, there.repeat(2, 1).repeat(2, 2))
    for measure in (metrics.energy_inside, metrics.max_box_accuracy):
        with pytest.raises(InputError, match=words):
            measure(e, [(2, 2, 6, 6)], size=(28, 28))
