"""`camscope run --trust`: a column that says whether a map's fifth with most evidence says more than the other end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import camscope
from camscope.cli.app import main
from camscope.errors import InputError
from camscope.imputing import Blur
from camscope.runs.run_plan import PLAN, Plan
from tests.app.conftest import colours

pytest.importorskip("duckdb", reason="needs the extra runs")

SIDE = 32


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(3)
    for number in range(5):
        pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    Image.new("RGB", (SIDE, SIDE), "black").save(folder / "black.png")  # its map is flat
    return folder


@pytest.fixture(scope="module")
def trusted(photos, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "trusted"
    camscope.runs.run(
        photos, model=colours(), out=out, methods=["gradcam", "hirescam"], layers="pooled", targets="top2",
        trust=True, batch=4, workers=1, progress=False,
    )  # fmt: skip
    return out


def by_hand(explainer: camscope.Explainer, file: Path, target: int) -> float:
    """What the class's probability is without the lowest fifth of the map's cells, less that without the highest."""
    e = explainer(str(file), methods="gradcam", layers="pooled", targets=target)
    raw = np.asarray(e.raw["gradcam", "pooled"])[0, 0]
    order = np.argsort(-raw.ravel(), kind="stable")
    count = round(raw.size / 5)
    large = []
    for cells in (order[-count:], order[:count]):
        gone = np.zeros(raw.size, bool)
        gone[cells] = True
        grid = gone.reshape(raw.shape)
        large.append(grid.repeat(SIDE // grid.shape[0], 0).repeat(SIDE // grid.shape[1], 1))
    with explainer.altering(str(file), targets=target) as seen:
        x = seen.inputs[:1]
        without = [seen.masked(0, 1, lambda _, gone=gone: Blur()(x, gone[None])) for gone in large]
    without_least, without_most = (float(one.probabilities[0, 0]) for one in without)
    return without_least - without_most


def test_the_column_is_what_blurring_either_end_of_the_map_does(trusted, photos):
    rows = camscope.runs.open(trusted).where("method = 'gradcam'").to_arrow().to_pylist()
    explainer = colours()
    assert len(rows) == 12
    for row in rows:
        if row["status"] != "ok":
            assert row["trust"] is None
            continue
        expected = by_hand(explainer, photos / Path(row["source"]).name, row["target_index"])
        assert row["trust"] == pytest.approx(expected, abs=1e-5)
    assert {row["status"] for row in rows} == {"ok", "flat"}
    assert len({round(row["trust"], 4) for row in rows if row["trust"] is not None}) > 5


def test_doubtful_maps_come_first_and_those_without_a_number_last(trusted, capsys):
    assert main(["browse", str(trusted), "--sort", "trust", "--limit", "50", "--json"]) == 0
    found = [row["trust"] for row in json.loads(capsys.readouterr().out)["shown"]]
    known = [one for one in found if one is not None]
    assert known == sorted(known)
    assert found[len(known) :] == [None] * 4


def test_a_run_without_it_has_no_such_column_and_says_how_to_get_it(photos, tmp_path, capsys):
    words = ["run", str(photos), "--out", str(tmp_path / "run"), "--workers", "1"]
    assert main(words) == 0
    assert "trust" not in camscope.runs.open(tmp_path / "run").columns
    with pytest.raises(InputError, match=r"trust=True measures it, in a run of its own"):
        camscope.runs.open(tmp_path / "run").sort("trust")
    capsys.readouterr()
    assert main([*words, "--trust"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "whether it is measured how much to trust a map: False → True" in said
    assert main([*words, "--trust", "--into", str(tmp_path / "new")]) == 0
    assert "trust" in camscope.runs.open(tmp_path / "new").columns


def test_runs_from_before_go_on(photos, tmp_path):
    first = {"model": colours(), "out": tmp_path / "run", "layers": "pooled", "workers": 1, "progress": False}
    camscope.runs.run(photos, **first)
    file = tmp_path / "run" / PLAN
    document = json.loads(file.read_text())
    assert document["asked"].pop("trust") is False
    identity = Plan.read(tmp_path / "run").identity
    file.write_text(json.dumps(document))
    assert Plan.read(tmp_path / "run").identity == identity
    assert camscope.runs.run(photos, **first).progress.now == 0
