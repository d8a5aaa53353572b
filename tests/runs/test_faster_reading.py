"""Long runs read photos the quick way, if the model then says the same of the first of them; and keep to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import camscope
from camscope import Explainer
from camscope.errors import TargetError
from camscope.images import Preprocessing
from camscope.runs import faster_reading, merge, run
from camscope.runs.model_of_run import packed
from camscope.runs.ray_worker import Order, ShardWorker
from camscope.runs.run_plan import Plan
from camscope.runs.run_store import RunStore
from tests.runs.test_faster_copy import long, normed  # noqa: F401

CUT = Preprocessing(input_size=(32, 32), resize=40)
REDUCED, CROPPED = "decoded smaller): on 4 of the first", "keeps was resized): on 4 of the first"


def write(folder: Path, count: int, side: int, *, smooth: bool, suffix: str = ".jpg") -> Path:
    """Photos without detail, of which nothing is lost when they are decoded smaller; or of noise."""
    rng = np.random.default_rng(0)
    for number in range(count):
        place = folder / ("ant", "bee")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (8, 8, 3) if smooth else (side, side, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).resize((side, side + 10 * (number % 3)), Image.Resampling.BICUBIC)
        image.save(place / f"{number}{suffix}")
    return folder


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("large") / "photos", 24, 320, smooth=True)


@pytest.fixture(scope="module")
def model() -> Explainer:
    return Explainer(normed(), preprocessing=CUT)


def begin(folder, out, model, **options):
    return run(folder, model=model, out=out, **{"workers": 1, "progress": False, "shard_size": 8, **options})


def maps_in(out) -> np.ndarray:
    return camscope.runs.open(out).maps()


def test_a_long_run_reads_the_quick_way_says_so_and_goes_on_so(long, large, model, tmp_path):  # noqa: F811
    fast = begin(large, tmp_path / "fast", model)
    plan = Plan.read(fast.path)
    assert plan.reading == "reduced"
    assert REDUCED in fast.said
    assert fast.said.startswith("Explained on an optimised copy")
    rows = camscope.runs.open(fast.path)
    assert rows.explanation(0).provenance["reading"] == faster_reading.DONE["reduced"]
    plain = begin(large, tmp_path / "plain", model, optimised=False)
    assert (plain.said, Plan.read(plain.path).reading) == ("", "")
    exact = model(rows.to_arrow(columns=["source"])["source"].to_pylist()[:2])
    np.testing.assert_allclose(
        maps_in(plain.path)[:2], np.stack([*exact.raw.values()])[0][:, 0], rtol=2e-3, atol=1e-6
    )
    a, b = maps_in(fast.path), maps_in(plain.path)
    off = np.abs(a - b).max(axis=(1, 2)) / np.abs(b).max(axis=(1, 2))
    assert (off > 2e-3).any(), "halves alone would be off by less: nothing was read otherwise"
    assert off.max() < 2 * faster_reading.TOLERANCES["reduced"]
    sizes = rows.to_arrow(columns=["height", "width"])
    assert sizes.equals(camscope.runs.open(plain.path).to_arrow(columns=["height", "width"]))
    # what is made later is made in the same way, whatever would be found then
    (fast.path / "shards" / "shard-0000001.parquet").unlink(missing_ok=True)
    for shard in sorted((fast.path / "shards").iterdir())[1:]:
        shard.unlink()
    again = begin(large, fast.path, model)
    assert (again.progress.now, again.said) == (16, fast.said)
    np.testing.assert_array_equal(maps_in(fast.path), a)


def test_where_detail_would_be_lost_files_are_decoded_whole_and_that_is_said(long, model, tmp_path):  # noqa: F811
    folder = write(tmp_path / "noise", 24, 320, smooth=False)
    done = begin(folder, tmp_path / "run", model)
    assert "JPEG files are decoded whole: with those decoded smaller, on 4 of the first" in done.said
    assert CROPPED in done.said
    assert Plan.read(done.path).reading == "cropped"
    plain = maps_in(begin(folder, tmp_path / "plain", model, optimised=False).path)
    np.testing.assert_allclose(maps_in(done.path), plain, atol=0.02 * abs(plain).max())


def test_what_could_not_be_tried_is_not_taken(long, model, tmp_path):  # noqa: F811
    """Of small files first and large ones later nobody knows what decoding them smaller would do."""
    folder = write(tmp_path / "a", 40, 60, smooth=False)
    write(tmp_path / "a" / "later", 8, 320, smooth=False)
    done = begin(folder, tmp_path / "run", model)
    assert Plan.read(done.path).reading == "cropped"
    assert "decoded whole" not in done.said


def test_nothing_is_taken_that_is_too_far_off(long, large, model, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(faster_reading, "TOLERANCES", {"reduced": 0.0, "cropped": -1.0})
    done = begin(large, tmp_path / "run", model)
    assert Plan.read(done.path).reading == ""
    assert "Photos are resized whole" in done.said
    assert "JPEG files are decoded whole" in done.said
    assert "reading" not in camscope.runs.open(done.path).explanation(0).provenance


@pytest.mark.parametrize(
    ("options", "reading"),
    [
        ({}, ""),
        ({"optimised": True}, "reduced"),
    ],
)
def test_short_runs_and_those_that_say_no_read_the_plain_way(options, reading, large, model, tmp_path):
    assert Plan.read(begin(large, tmp_path / "run", model, **options).path).reading == reading


def test_a_photo_whose_size_is_the_models_has_nothing_to_spare(long, tmp_path):  # noqa: F811
    folder = write(tmp_path / "photos", 24, 32, smooth=False)
    own = Explainer(normed(), preprocessing=Preprocessing(input_size=(32, 32)))
    done = begin(folder, tmp_path / "run", own)
    assert Plan.read(done.path).reading == ""
    assert "read" not in done.said


def test_of_photos_that_the_model_refuses_others_are_tried(long, large, model, tmp_path):  # noqa: F811
    calls = []

    def explained(explainer, inputs, photos):
        calls.append(len(inputs))
        if any(one.source.endswith("/0.jpg") for one in inputs):
            raise TargetError("not this one")
        return explainer(torch.from_numpy(np.stack([one.prepared for one in photos])))

    from camscope.runs.sources.finding_inputs import find_inputs
    from camscope.runs.sources.one_input import DataOptions

    head = list(find_inputs(large, DataOptions(None, None, None, None)))
    found = faster_reading.choose_reading(model, head, explained, wanted=True, images=24)
    assert found.quick == "reduced"
    assert "on 1 of the first images" in found.said
    assert calls[0] == 4


def test_shares_and_workers_elsewhere_read_alike(long, large, model, tmp_path, monkeypatch):  # noqa: F811
    whole = begin(large, tmp_path / "whole", model)
    for share in ("1/2", "2/2"):
        begin(large, tmp_path / "parts" / share[0], model, share=share)
    merge([tmp_path / "parts"], tmp_path / "merged")
    np.testing.assert_array_equal(maps_in(tmp_path / "merged"), maps_in(whole.path))
    for shard in list((whole.path / "shards").iterdir()):
        shard.unlink()
    before, plan, store = maps_in(tmp_path / "merged"), Plan.read(whole.path), RunStore(whole.path)
    monkeypatch.chdir(tmp_path)
    worker = ShardWorker()
    order = Order(
        packed(normed(), {"preprocessing": CUT}), False, store, plan.identity, plan.batch, 1, str(tmp_path)
    )
    assert worker.begin(order, None) is None
    with worker._loop.readers:
        assert [done.number for done in worker.carry_out(range(plan.shards))] == [0, 1, 2]
    np.testing.assert_array_equal(maps_in(whole.path), before)
