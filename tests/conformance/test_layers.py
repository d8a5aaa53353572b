"""The layers: which there are, which is chosen, what they lead to, and what is said of a name that is none."""

from __future__ import annotations

import re

import numpy as np
import pytest

import camscope
from camscope.models.adapter import Adapter, Observation
from camscope.models.batch import Batch
from tests.conformance.cases import Case
from tests.conformance.networks import CHANNELS, classifier, cut_off, random_batch, segmenter

X = random_batch()
GRIDS = {
    "stem": (6, 16, 16),
    "stem_relu": (6, 16, 16),
    "halve": (6, 8, 8),
    "body": (CHANNELS, 8, 8),
    "body_relu": (CHANNELS, 8, 8),
    "last": (CHANNELS, 4, 4),
    "last_relu": (CHANNELS, 4, 4),
}


def names(layers) -> list[str]:
    return [layer.name for layer in layers]


def test_it_is_an_adapter_that_observes(case: Case):
    adapter = case.adapter(classifier())
    assert isinstance(adapter, Adapter)
    assert adapter.offers == case.offers
    with adapter.observe(case.given(adapter, X), {}) as seen:
        assert isinstance(seen, Observation)


def test_layers_with_a_grid_in_the_order_they_run(case: Case):
    adapter = case.adapter(classifier())
    found = adapter.layers(case.given(adapter, X))
    assert {layer.name: (layer.grid.channels, *layer.grid.space) for layer in found} == GRIDS
    assert names(found) == list(GRIDS)
    for layer in found:
        assert layer.shape[0] == 1  # of one image, in the framework's own layout
        assert sorted(layer.shape[1:]) == sorted(GRIDS[layer.name])
        assert layer.calls == 1
        assert layer.kind
        assert layer.module == layer.name
        assert layer.eligible is (layer.name != "halve")  # pooling is named, and never chosen


def test_layers_are_of_the_inputs_size(case: Case):
    adapter = case.adapter(classifier())
    wide = case.given(adapter, X.repeat(2, axis=3))
    assert adapter.layer(wide, "last_relu").grid.space == (4, 8)
    assert adapter.layer(case.given(adapter, X), "last_relu").grid.space == (4, 4)


def test_the_deepest_layer_that_reaches_the_score_is_chosen(case: Case):
    adapter = case.adapter(classifier())
    assert names(adapter.choose(case.given(adapter, X))) == ["last_relu", "last", "body_relu"]


def test_it_does_not_matter_which_image_stands_in_front(case: Case):
    """A faint one shows little; those on which there is more to see decide, wherever they stand, whenever they come."""

    def found(*batches: np.ndarray) -> list[tuple[str, str, float]]:
        adapter = case.adapter(classifier())
        for x in batches:
            layers = adapter.layers(case.given(adapter, x))
        return [(layer.name, layer.grid.describe(), layer.in_place) for layer in layers]

    faint = X[:1] * X.dtype.type(1e-3)
    forwards, backwards = np.concatenate([faint, X]), np.concatenate([X[::-1], faint])
    assert found(forwards) == found(backwards) == found(X)
    assert found(faint) != found(X)
    assert found(faint, X) == found(X)
    assert found(X, faint) == found(X)


def test_the_last_layer_of_each_resolution_is_a_stage(case: Case):
    adapter = case.adapter(classifier())
    assert names(adapter.stages(case.given(adapter, X))) == ["stem_relu", "body_relu", "last_relu"]


def test_a_segmenters_own_scores_are_not_what_explains_it(case: Case):
    adapter = case.adapter(segmenter())
    given = case.given(adapter, X)
    assert "score" in names(adapter.layers(given))
    assert adapter.choose(given)[0].name != "score"


def test_no_detector_has_no_pyramid(case: Case):
    adapter = case.adapter(classifier())
    assert list(adapter.fpn_levels(case.given(adapter, X))) == []


def test_what_cannot_reach_the_score_is_known(case: Case):
    adapter = case.adapter(cut_off())
    given = case.given(adapter, X)
    layers = adapter.layers(given)
    reach = dict(zip(names(layers), adapter.reaches(given, layers), strict=True))
    assert reach == {
        "stem": False,
        "stem_relu": False,
        **dict.fromkeys(["cut", "halve", "body", "body_relu"], True),
    }


def test_a_layer_that_is_misspelt_is_told_the_nearest(case: Case):
    adapter = case.adapter(classifier())
    with pytest.raises(camscope.LayerError, match=r"'last_rely'.*Did you mean 'last_relu'"):
        adapter.layer(case.given(adapter, X), "last_rely")


def test_a_layer_without_a_grid_is_told_those_with_one(case: Case):
    adapter = case.adapter(classifier())
    with pytest.raises(camscope.LayerError, match=r"'head' has no spatial grid.*last_relu"):
        adapter.layer(case.given(adapter, X), "head")


# ------------------------------------------------------------------ through the explainer


def test_layers_are_listed_without_naming_a_framework(case: Case):
    """Of an input, and of noise of the size that the preprocessing says."""
    found, chosen = case.explainer(classifier()).layers(case.tensor(X))
    assert names(found) == list(GRIDS)
    assert all(layer.reaches for layer in found)
    assert chosen.name == "last_relu"
    explainer = case.explainer(classifier(), preprocessing=camscope.Preprocessing(input_size=(32, 16)))
    assert explainer.layers()[1].grid.space == (8, 4)
    assert explainer.layers(size=(16, 16))[1].grid.space == (4, 4)


def test_layers_of_noise_of_unknown_size_are_refused(case: Case):
    with pytest.raises(camscope.InputError, match="input size is not known"):
        case.explainer(classifier()).layers()
    with pytest.raises(camscope.InputError, match=r"size=\(16, 16\): the input has a size of its own"):
        case.explainer(classifier()).layers(case.tensor(X), size=(16, 16))


def test_a_layer_that_never_gives_a_map_is_refused_naming_one_that_does(case: Case):
    with pytest.raises(camscope.LayerError, match=r"'stem_relu' do not reach the score.*Use 'body_relu'"):
        case.explainer(cut_off())(case.tensor(X), layers="stem_relu")


def test_a_batch_knows_its_own_layers_only(case: Case):
    """Two sizes one after the other: what is remembered of one is not taken for the other."""
    adapter = case.adapter(classifier())
    sizes = [
        adapter.choose(adapter.batch(Batch((case.tensor(x),))))[0].grid.space for x in (X, X[..., :8], X)
    ]
    assert sizes == [(4, 4), (4, 2), (4, 4)]


def test_a_description_of_a_layer_says_its_grid(case: Case):
    adapter = case.adapter(classifier())
    described = adapter.layer(case.given(adapter, X), "body").describe()
    assert re.search(rf"{CHANNELS} channels, 8×8( \(channels last\))?$", described)
