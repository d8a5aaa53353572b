"""Every array of a saved file is what the explanation gives; and is there again when the file is read back."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import camscope
from camscope import Explanation
from camscope.arrays import resize
from tests.cli.brightness import bright
from tests.results.made import (
    LAYERS,
    METHODS,
    PROBABILITIES,
    SCORES,
    SPANS,
    heat_of,
    made,
    made_of_texts,
    to_unit,
)

KEYS = list(itertools.product(METHODS, LAYERS))


def arrays_of(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """All arrays of a file, and its JSON."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return arrays, json.loads(str(arrays.pop("json")))


def assert_saved(arrays: dict[str, np.ndarray], e: Explanation, keys: list[tuple[str, str]]) -> None:
    """Maps and numbers, in full; and nothing else but heatmaps and spans."""
    expected = {f"maps/{m}/{at}": e.raw[m, at] for m, at in keys}
    expected |= {"scores": e.scores, "logits": e.logits, "probabilities": e.probabilities}
    expected |= {f"spans/{m}/{at}": e.spans[m, at] for m, at in keys if e.spans}
    for name, values in expected.items():
        assert np.array_equal(arrays[name], np.asarray(values), equal_nan=True), name
    assert set(arrays) == {*expected, *(f"heatmaps/{m}/{at}" for m, at in keys)}


@pytest.mark.parametrize("image", [0, 1])
def test_one_photo_has_its_heatmaps_on_the_photo(tmp_path, image):
    e = made()
    arrays, document = arrays_of(e[image].save(tmp_path / "e.npz"))
    assert_saved(arrays, e[image], KEYS)
    assert document["heatmaps_on"] == "photo"
    for method, layer in KEYS:
        saved = arrays[f"heatmaps/{method}/{layer}"]
        assert (saved.dtype, saved.shape) == (np.float32, (1, 3, *((24, 36), (30, 20))[image]))
        for target in range(3):
            own = heat_of(e, method, layer, image, target)
            assert np.array_equal(saved[0, target], own, equal_nan=True), (method, layer, target)
    np.testing.assert_array_equal(arrays["scores"], SCORES[image : image + 1])
    np.testing.assert_array_equal(arrays["probabilities"], PROBABILITIES[image : image + 1])


def test_a_batch_has_its_heatmaps_at_the_size_of_the_input(tmp_path):
    e = made()
    arrays, document = arrays_of(e.save(tmp_path / "e.npz"))
    assert_saved(arrays, e, KEYS)
    assert document["heatmaps_on"] == "input"
    for image, summary in enumerate(document["images"]):
        assert [target["score"] for target in summary["targets"]] == SCORES[image].tolist()
        assert [target["name"] for target in summary["targets"]] == [t.name for t in e.targets[image]]
        probabilities = [e.probability(image, t) for t in range(3)]
        assert [target["probability"] for target in summary["targets"]] == probabilities
        assert [row["logit"] for row in summary["top"]] == sorted(e.logits[image].tolist(), reverse=True)
    for method, layer in KEYS:
        maps = np.nan_to_num(e.raw[method, layer], nan=0)
        shown = resize(maps if method == "eigencam" else np.maximum(maps, 0), (16, 16))
        for image, target in itertools.product(range(2), range(3)):
            own = to_unit(shown[image, target], shown[image, target], "map")
            saved = arrays[f"heatmaps/{method}/{layer}"][image, target]
            np.testing.assert_allclose(saved, own, rtol=0, atol=1e-6)


def test_texts_have_their_heatmaps_and_spans(tmp_path):
    e = made_of_texts()
    arrays, document = arrays_of(e.save(tmp_path / "e.npz"))
    keys = list(e.raw)
    assert_saved(arrays, e, keys)
    for method, layer in keys:
        assert arrays[f"spans/{method}/{layer}"].tolist() == [list(span) for span in SPANS[layer]]
        heat = e.heatmaps(method, layer)
        assert heat.max() == 1
        np.testing.assert_allclose(arrays[f"heatmaps/{method}/{layer}"], heat, rtol=0, atol=1e-6)
    for text, summary in enumerate(document["images"]):
        for (method, layer), target in itertools.product(keys, range(3)):
            saved = summary["words"][f"{method}/{layer}"][target]
            assert saved == pytest.approx([v for _, v in e.words(text, method, layer, target=target)])


@pytest.mark.parametrize("make", [made, made_of_texts])
def test_it_is_all_there_again_when_it_is_read_back(tmp_path, make):
    e = make()
    again = camscope.load(e.save(tmp_path / "e.npz"))
    assert list(again.raw) == list(e.raw)
    for key, maps in e.raw.items():
        assert np.array_equal(again.raw[key], maps, equal_nan=True), key
        assert np.array_equal(again.heatmaps(*key), e.heatmaps(*key)), key
        if e.spans:
            assert np.array_equal(again.spans[key], e.spans[key])
    for name in ("scores", "logits", "probabilities"):
        assert np.array_equal(getattr(again, name), getattr(e, name)), name
    assert again.status == e.status
    assert again.targets == e.targets
    assert again.facts == dict(e.facts)
    if e.spans:
        assert [again.words(t, *key) for t in range(2) for key in e.raw] == [
            e.words(t, *key) for t in range(2) for key in e.raw
        ]


def test_of_a_real_model_the_file_holds_what_the_model_gave(tmp_path):
    """Scores and probabilities follow from the logits, and every heatmap fills the interval."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    model = bright()
    e = camscope.explain(
        model, pixels, methods=["gradcam", "hirescam"], layers=["cells", "seen"], targets=[0, "-2"]
    )
    arrays, document = arrays_of(e.save(tmp_path / "e.npz"))
    assert_saved(arrays, e, list(e.raw))
    assert document["provenance"]["layers"]["layers"].keys() == {"cells", "seen"}
    logits = arrays["logits"]
    np.testing.assert_allclose(arrays["scores"], [[logits[0, 0], -logits[0, 2]]], rtol=1e-6)
    odds = np.exp(logits - logits.max())
    np.testing.assert_allclose(arrays["probabilities"], odds / odds.sum(), rtol=1e-5)
    for method, layer in e.raw:
        heat = arrays[f"heatmaps/{method}/{layer}"]
        assert heat.shape == (1, 2, 64, 64)
        for target in range(2):
            assert np.nanmax(heat[0, target]) == 1
            assert np.nanmin(heat[0, target]) == 0
