"""Keeping a judgement: plain values, and one file that is read back as it was."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

import camscope
from camscope.errors import InputError
from camscope.trust import Check, Interval, Verdict, load
from tests.conftest import make_tiny_cnn
from tests.trust.made_judgements import CLASS, judgement, row


@pytest.fixture(scope="module")
def real():
    """Of a network, with everything that is found, and a map that cannot be judged."""
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    explainer = camscope.Explainer(make_tiny_cnn())
    return explainer.trust(
        x,
        methods=["gradcam", "eigencam"],
        layers=["body_relu", "last_relu"],
        targets=[0, 3],
        checks=["fidelity", "class"],
    )


def same(a, b) -> bool:
    """Equal, where NaN is NaN."""
    if isinstance(a, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(
            same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a)
        )
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_what_was_saved_is_loaded_to_the_last_bit(real, tmp_path):
    path = real.save(tmp_path / "kept")
    assert path == tmp_path / "kept.npz"
    back = load(path)
    assert same(back.rows, real.rows)
    assert same(dict(back.probes), dict(real.probes))
    assert (back.score, back.seed, back.verdict) == (real.score, real.seed, real.verdict)
    assert back.table() == real.table()
    for key, maps in real.explanation.raw.items():
        assert np.array_equal(back.explanation.raw[key], maps.numpy())


def test_verdicts_of_every_kind_are_kept(tmp_path):
    failed = Check("weights", Interval(0.7, 0.6, 0.8), False, "follows no weights")
    j = judgement(
        *(row(verdict, checks=(CLASS, failed), notes=("a note",)) for verdict in Verdict),
    )
    assert same(load(j.save(tmp_path / "a.npz")).rows, j.rows)


def test_its_maps_are_an_explanation_and_numpy_reads_its_probes(real, tmp_path):
    path = real.save(tmp_path / "kept.npz")
    assert camscope.load(path).methods == ("gradcam", "eigencam")
    with np.load(path) as file:
        removed = file["probes/0/8x8/removed"]
        assert removed.shape[1:] == (8, 8)
        assert removed.dtype == bool
        assert file["probes/1/8x8/drops"].shape == (len(removed), 2)
        assert json.loads(str(file["judgement"]))["format"] == 1


def test_plain_values_hold_all_of_it_and_are_json(real):
    document = json.loads(json.dumps(real.to_dict(), allow_nan=False))
    assert document["format"] == 1
    assert document["verdict"] == real.verdict
    assert len(document["rows"]) == len(real.rows) == 16
    for plain, judged in zip(document["rows"], real.rows, strict=True):
        assert plain["fidelity"]["value"] == judged.fidelity.value
        assert plain["p"] == judged.p
        assert plain["chance"]["high"] == judged.chance.high
        assert plain["baselines"].keys() == judged.baselines.keys()
        assert plain["verdict"] == judged.verdict
        assert plain["says"].startswith("This map")
        assert [one["name"] for one in plain["checks"]] == ["class"]
    one, probed = document["probes"][0], real.probes[0, (8, 8)]
    assert [len(cells) for cells in one["removed"]] == probed.removed.reshape(len(probed.removed), -1).sum(
        1
    ).tolist()
    assert np.array_equal(one["drops"], probed.drops)
    assert "drops" not in real.to_dict(probes=False)["probes"][0]


def test_what_cannot_be_judged_is_null_and_not_nan():
    (plain,) = judgement(row(Verdict.UNJUDGED)).to_dict()["rows"]
    assert plain["p"] is None
    assert plain["fidelity"]["value"] is None
    assert plain["why"].startswith("The map is flat")


def altered(path, change) -> None:
    """Write a file again with its JSON changed."""
    with np.load(path) as file:
        arrays = dict(file)
    document = json.loads(str(arrays["judgement"]))
    change(document, arrays)
    arrays["judgement"] = np.array(json.dumps(document))
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d, _: d.update(format=2), "its format is 2"),
        (lambda d, _: d["rows"][0].update(verdict="true"), "'true' is not a valid Verdict"),
        (lambda d, _: d["rows"][0].update(method="scorecam"), "it judges scorecam at early"),
        (lambda d, _: d["rows"][0].update(image=7), "it judges image 7 of 2"),
        (lambda d, _: d["rows"][0].update(target="lion"), "it judges a map of 'lion'"),
        (lambda d, _: d["rows"][0].update(p="small"), "'small' is no number"),
        (lambda d, _: d.pop("probes"), "probes"),
        (lambda d, _: d["probes"][0].update(grid=[3, 3]), "probes/0/3x3/removed"),
        (lambda d, a: a.update({"probes/0/4x6/drops": np.zeros((5, 3))}), "some of its probes are missing"),
    ],
)  # fmt: skip
def test_a_file_that_says_something_else_is_refused(tmp_path, change, words):
    path = judgement(row()).save(tmp_path / "kept.npz")
    altered(path, change)
    with pytest.raises(InputError, match="is not a judgement that camscope saved") as raised:
        load(path)
    assert words in str(raised.value)


def test_other_files_are_refused_in_words(real, tmp_path):
    maps = real.explanation.save(tmp_path / "maps.npz")
    with pytest.raises(InputError, match="it holds maps, but nothing that was found about them"):
        load(maps)
    with pytest.raises(InputError, match="There is no file"):
        load(tmp_path / "nothing.npz")
    with pytest.raises(InputError, match=r"a judgement is saved as \.npz, not \.json"):
        real.save(tmp_path / "kept.json")
