"""The result: maps, heatmaps, masks, boxes, every status from a real model, and what it shows of itself."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import camscope
from camscope.errors import InputError
from tests.cli.brightness import bright

SIZE = 64
WANTED = {"methods": ["gradcam", "layercam"], "layers": ["cells", "seen"], "targets": [0, 1, "-1"]}


def image(*squares: tuple[int, int, float], ground: float = 0.25) -> torch.Tensor:
    """A grey picture with 16-pixel squares of their own grey at (top, left)."""
    picture = torch.full((3, SIZE, SIZE), ground)
    for top, left, grey in squares:
        picture[:, top : top + 16, left : left + 16] = grey
    return picture


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return bright()


@pytest.fixture(scope="module")
def explained(model) -> camscope.Explanation:
    """Two images, two methods, two layers, three targets; a bright square at (16, 32) and at (32, 0)."""
    batch = torch.stack([image((16, 32, 1.0)), image((32, 0, 0.75))])
    return camscope.explain(model, batch, **WANTED)


# ---------------------------------------------------------------- maps


def test_the_map_of_brightness_is_the_brightness_of_the_cells(explained):
    maps = explained.maps("gradcam", "seen")
    batch = torch.stack([image((16, 32, 1.0)), image((32, 0, 0.75))])
    cells = nn.functional.avg_pool2d(batch[:, :1], 4)[:, 0]
    assert maps.shape == (2, 3, 16, 16)
    torch.testing.assert_close(maps[:, 0] * 128, cells, rtol=0, atol=1e-6)  # weight of a cell: 2/256
    torch.testing.assert_close(maps[:, 2], -maps[:, 1], rtol=0, atol=0)


def test_names_may_be_left_out_only_where_there_is_one(model):
    e = camscope.explain(model, image()[None])
    assert torch.equal(e.maps(), e.maps("gradcam", "seen"))


@pytest.mark.parametrize(
    ("method", "layer", "words"),
    [
        (None, "seen", "Several methods were explained, so say which: method= one of gradcam, layercam"),
        ("gradcam", None, "Several layers were explained, so say which: layer= one of cells, seen"),
        ("gradcm", "seen", "Did you mean 'gradcam'"),
        ("gradcam", "sen", "Did you mean 'seen'"),
    ],
)
@pytest.mark.parametrize("what", ["maps", "heatmaps", "masks", "boxes", "photo_heatmaps", "overlay"])
def test_picking_what_is_not_there_names_the_nearest(explained, what, method, layer, words):
    with pytest.raises(InputError) as caught:
        getattr(explained, what)(method=method, layer=layer)
    assert words in str(caught.value)


def test_a_composition_is_found_however_it_is_written(model):
    e = camscope.explain(model, image()[None], methods=camscope.Smooth("gradcam", n=2))
    assert e.methods == ("smooth(gradcam, n=2)",)
    assert e.maps("smooth( GradCAM, 2)") is e.maps("smooth(gradcam, n=2)") is e.maps()
    with pytest.raises(InputError, match=r"'smooth\(gradcam, n=3\)' was not explained.*Did you mean"):
        e.maps("smooth(gradcam, 3)")
    with pytest.raises(InputError, match=r"'smooth\(nothing' was not explained"):
        e.maps("smooth(nothing")


# ---------------------------------------------------------------- heatmaps


def test_heatmaps_lie_in_the_unit_interval_at_the_size_of_the_input(explained):
    for key in explained.raw:
        heat = explained.heatmaps(*key)
        assert heat.shape == (2, 3, SIZE, SIZE)
        assert heat.min() >= 0
        assert heat.max() <= 1


def test_map_scale_fills_the_interval_and_batch_scale_compares_images(explained):
    by_map = explained.heatmaps("gradcam", "seen")[:, 0].amax((1, 2))
    assert by_map.tolist() == [1, 1]
    by_batch = explained.heatmaps("gradcam", "seen", scale="batch")[:, 0]
    # the second square is 0.75 bright where the first is 1; the least of all rectified maps is 0
    torch.testing.assert_close(by_batch.amax((1, 2)), torch.tensor([1, 0.75]), rtol=0, atol=1e-6)


def test_image_scale_compares_targets(explained):
    heat = explained.heatmaps("gradcam", "seen", scale="image")
    torch.testing.assert_close(heat[0].amax((1, 2)), torch.tensor([1, 0.75, 0]), rtol=0, atol=1e-6)


def test_a_fixed_scale_is_the_same_everywhere(explained):
    heat = explained.heatmaps("gradcam", "seen", scale=(0.0, 4 / 256))
    torch.testing.assert_close(heat[:, 0].amax((1, 2)), torch.tensor([0.5, 0.375]), rtol=0, atol=1e-6)


def test_signed_scale_shows_evidence_against_below_the_middle(explained):
    heat = explained.heatmaps("gradcam", "seen", scale="signed")
    assert (heat[:, 2] <= 0.5).all()
    assert (heat[:, 1] >= 0.5).all()
    torch.testing.assert_close(heat[:, 2], 1 - heat[:, 1], rtol=0, atol=1e-6)


def test_rectify_false_shows_the_signed_map(explained):
    against = explained.heatmaps("gradcam", "seen")[:, 2]
    assert (against == 0).all()
    shown = explained.heatmaps("gradcam", "seen", rectify=False)[:, 2]
    assert shown.amax((1, 2)).tolist() == [1, 1]
    assert shown[0, 24, 40] == 1  # least darkness: the bright square


def test_an_unknown_scale_names_the_nearest(explained):
    with pytest.raises(InputError, match="Did you mean 'signed'"):
        explained.heatmaps("gradcam", "seen", scale="singed")


# ---------------------------------------------------------------- masks and boxes


def test_the_box_lies_on_the_square(explained):
    boxes = explained.boxes("gradcam", "seen", threshold=0.7)
    for (box,), square in zip(
        [targets[0] for targets in boxes], [(32, 16, 48, 32), (0, 32, 16, 48)], strict=True
    ):
        assert np.abs(np.subtract(box, square)).max() <= 2


def test_all_components_or_the_largest(model):
    picture = image((0, 0, 1.0), (32, 32, 1.0), ground=0.0)
    picture[:, 48:, 32:48] = 1.0  # the second is twice as large
    e = camscope.explain(model, picture[None], targets=0)
    (largest,) = e.boxes(threshold=0.6)[0][0]
    every = e.boxes(threshold=0.6, components="all")[0][0]
    assert len(every) == 2
    assert every[0] == largest
    assert largest[1] >= 30
    assert e.masks(threshold=0.6)[0][0].sum() > e.masks(threshold=0.6, components="largest")[0][0].sum()


def test_masks_are_the_share_of_the_maximum(explained):
    heat = explained.heatmaps("gradcam", "seen").numpy()
    for threshold in (0.2, 0.8):
        masks = explained.masks("gradcam", "seen", threshold=threshold)
        assert np.array_equal(np.array(masks)[:, :2], heat[:, :2] >= threshold)


def test_no_evidence_has_no_mask_and_no_box(explained):
    assert not explained.masks("gradcam", "seen")[0][2].any()
    assert explained.boxes("gradcam", "seen")[0][2] == []


@pytest.mark.parametrize("options", [{"threshold": 0}, {"threshold": 1.5}, {"components": "big"}])
def test_masks_refuse_what_is_no_threshold(explained, options):
    with pytest.raises(InputError, match=next(iter(options))):
        explained.masks("gradcam", "seen", **options)


# ---------------------------------------------------------------- statuses, each from a real model


def of_bright_and_dark_alike() -> nn.Module:
    """Class 0 is brightness and darkness together: one everywhere."""
    model = bright()
    with torch.no_grad():
        model.head.weight[0] = torch.tensor([2.0, 2, 0, 0])
    return model


def without_class_two() -> nn.Module:
    model = bright()
    with torch.no_grad():
        model.head.weight[2] = 0
    return model


class Root(nn.Module):
    """The root of what is pooled: its slope at zero is infinite, and infinity times nothing is NaN."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = bright()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner.head(self.inner.seen(self.inner.cells(x)).mean((2, 3)).sqrt())


STATUSES = {
    "ok": (bright, 0.25, 0, ""),
    "flat": (of_bright_and_dark_alike, 0.25, 0, "flat: the same value everywhere"),
    "all-negative": (bright, 0.25, "-0", "all-negative: no evidence for it here"),
    "no-gradient": (without_class_two, 0.25, 2, "no-gradient: the score does not depend on this layer"),
    "non-finite": (Root, 0.0, 2, "non-finite: the map holds NaN or infinity"),
}


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_is_told_shown_and_never_nan_in_a_heatmap(status):
    build, ground, target, words = STATUSES[status]
    picture = image((16, 16, 0.75 if status != "non-finite" else 0.5), ground=ground)
    layer = "inner.seen" if build is Root else "seen"
    e = camscope.explain(build().eval(), picture[None], targets=[target, 1], layers=layer)
    ((found, _),) = e.status[e.methods[0], e.layers[0]]
    assert str(found) == status
    assert np.isfinite(e.maps().numpy()[0, 0]).all() == (status != "non-finite")
    for scale in ("map", "image", "batch", "signed", (0.0, 1.0)):
        heat = e.heatmaps(scale=scale)
        assert torch.isfinite(heat).all()
        assert heat.min() >= 0
        assert heat.max() <= 1
    if status != "ok":
        assert (e.heatmaps()[0, 0] == 0).all()
    texts = " ".join(" ".join(text.get_text().split()) for axes in e.figure().axes for text in axes.texts)
    assert words in texts
    assert ("ok" in str(found)) == (texts.strip() == "")


# ---------------------------------------------------------------- one image of a batch


def test_one_image_of_a_batch_is_the_explanation_of_that_image(model, explained):
    alone = camscope.explain(model, image((32, 0, 0.75))[None], **WANTED)
    for one in (explained[1], explained[-1]):
        assert len(one) == 1
        assert one.targets == alone.targets
        assert one.status == alone.status
        assert one.top() == alone.top()
        for key in one.raw:
            torch.testing.assert_close(one.maps(*key), alone.maps(*key), rtol=0, atol=1e-6)
            torch.testing.assert_close(one.heatmaps(*key), alone.heatmaps(*key), rtol=0, atol=1e-5)
            assert one.boxes(*key) == alone.boxes(*key)
        torch.testing.assert_close(one.scores, alone.scores)
        assert np.array_equal(
            np.asarray(one.input_image(0).picture), np.asarray(explained.input_image(1).picture)
        )


def test_one_image_keeps_its_own_targets(model):
    batch = torch.stack([image((16, 32, 1.0)), image((32, 0, 0.75))])
    e = camscope.explain(model, batch, targets=camscope.PerImage([0, "-1"]))
    assert [one.label for one in (*e[0].targets[0], *e[1].targets[0])] == ["bright", "not dark, unlit"]


@pytest.mark.parametrize("index", [2, -3])
def test_there_is_no_other_image(explained, index):
    with pytest.raises(IndexError, match=f"There is no image {index}: the batch has 2"):
        explained[index]
    for show in (explained.figure, explained.photo_heatmaps, explained.input_image):
        with pytest.raises(IndexError, match=f"There is no image {index}: the batch has 2"):
            show(index)


def test_a_negative_number_counts_from_the_end_wherever_an_image_is_named(explained):
    key = explained.methods[0], explained.layers[0]
    np.testing.assert_array_equal(explained.photo_heatmaps(-1, *key), explained.photo_heatmaps(1, *key))
    np.testing.assert_array_equal(explained.overlay(-1, 0, *key), explained.overlay(1, 0, *key))


def test_it_can_be_pickled(explained):
    again = pickle.loads(pickle.dumps(explained))
    key = explained.methods[0], explained.layers[0]
    np.testing.assert_array_equal(again.maps(*key), explained.maps(*key))
    np.testing.assert_array_equal(again[-1].overlay(0, 0, *key), explained.overlay(-1, 0, *key))


def test_the_channels_go_with_their_image(model):
    batch = torch.stack([image((16, 32, 1.0)), image((32, 0, 0.75))])
    e = camscope.explain(model, batch, targets=[0, 1], channels=2)
    kept, one = e.channels["seen"], e[1].channels["seen"]
    assert torch.equal(one.activations, kept.activations[1:])
    assert one.index[0, 0, 0] == 0  # brightness adds most to bright
    assert one.index[0, 1, 0] == 1
    torch.testing.assert_close(one.contributions[0, 0, 0], e.scores[1, 0], rtol=0, atol=1e-6)


# ---------------------------------------------------------------- scores and words


def test_top_and_probability_are_the_models_own(model, explained):
    batch = torch.stack([image((16, 32, 1.0)), image((32, 0, 0.75))])
    logits = model(batch).detach()
    for i in range(2):
        order = logits[i].argsort(descending=True).tolist()
        assert [index for index, *_ in explained.top(3, image=i)] == order
        for index, name, logit, probability in explained.top(3, image=i):
            assert name == model.class_names[index]
            assert logit == pytest.approx(float(logits[i, index]), abs=1e-6)
            assert probability == pytest.approx(float(logits[i].softmax(0)[index]), abs=1e-6)
        assert explained.probability(i, 1) == pytest.approx(float(logits[i].softmax(0)[1]), abs=1e-6)
        assert float(explained.scores[i, 2]) == pytest.approx(-float(logits[i, 1]), abs=1e-6)


def test_a_callable_and_a_regression_have_no_probability(model):
    e = camscope.explain(model, image((0, 0, 1.0))[None], targets=lambda output: output[:, 0] - output[:, 1])
    assert e.probability(0, 0) is None
    e = camscope.Explainer(model, task="regression")(image((0, 0, 1.0))[None])
    assert e.probability(0, 0) is None
    assert e.top(1)[0][3] is None
    assert e.probabilities is None


def test_ranges_are_the_lowest_and_highest_raw_value(explained):
    for key, found in explained.ranges.items():
        maps = explained.maps(*key).numpy()
        assert np.array_equal(found[..., 0], maps.min((-1, -2)))
        assert np.array_equal(found[..., 1], maps.max((-1, -2)))


def test_it_says_in_one_line_what_it_is(explained):
    assert repr(explained) == (
        "Explanation(2 images, methods ['gradcam', 'layercam'], layers ['cells', 'seen'], "
        "targets bright, dark, unlit, not dark, unlit)"
    )
    assert repr(explained[0]).startswith("Explanation(1 image, ")


def test_a_notebook_shows_a_picture_and_what_was_explained(explained):
    html = explained._repr_html_()
    assert "data:image/png;base64," in html
    assert all(word in html for word in ("Bright", "gradcam, layercam", "cells, seen"))


def test_a_notebook_shows_a_signal_on_its_evidence():
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv1d(2, 6, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    model = nn.Sequential(features, nn.Linear(6, 3))
    e = camscope.explain(model.eval(), torch.randn(1, 2, 40), targets=[0, 1])
    html = e._repr_html_()
    assert "data:image/png;base64," in html
    assert "gradcam" in html


def test_a_notebook_shows_a_volume_in_words():
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv3d(2, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten())
    e = camscope.explain(nn.Sequential(features, nn.Linear(6, 3)).eval(), torch.randn(1, 2, 6, 7, 8))
    html = e._repr_html_()
    assert "<img" not in html
    assert "gradcam" in html
    with pytest.raises(InputError, match="not a picture"):
        e.figure()


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(camscope.Explanation)])
def test_it_cannot_be_changed(explained, field):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(explained, field, None)


def test_showing_it_changes_no_raw_map(explained):
    before = {key: maps.clone() for key, maps in explained.raw.items()}
    for key in explained.raw:
        explained.heatmaps(*key)
        explained.boxes(*key)
        explained.overlay(0, 0, *key)
    assert all(torch.equal(maps, explained.raw[key]) for key, maps in before.items())
