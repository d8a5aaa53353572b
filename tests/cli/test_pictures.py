"""The files that `camscope explain` writes hold what their names say, to the pixel."""

from __future__ import annotations

import itertools
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import camscope
from camscope import render
from camscope.results.figures import page, picture
from tests.cli.brightness import SPEC, bright
from tests.cli.test_texts import FACTORY

METHODS, LAYERS = ["gradcam", "layercam", "eigencam"], ["cells", "seen"]
TARGETS = {"red": "red", "not:red": "not_red"}
"""As they are given, and as they stand in the names of files."""
TARGET = [word for target in TARGETS for word in ("--target", target)]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[Path]:
    """Two coloured photos of different shapes; in every cell of theirs something else is to be seen."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(1)
    paths = []
    for name, size in (("wide", (50, 90)), ("tall", (80, 60))):
        coarse = rng.integers(0, 256, (*(n // 10 for n in size), 3), dtype=np.uint8)
        Image.fromarray(coarse.repeat(10, 0).repeat(10, 1)).save(folder / f"{name}.png")
        paths.append(folder / f"{name}.png")
    return paths


def explained(path: Path, methods, layers) -> camscope.Explanation:
    return camscope.explain(bright(), path, methods=methods, layers=layers, targets=[*TARGETS], channels=16)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_every_picture_is_of_the_map_in_its_name(run, pictures):
    arguments = ["--method", ",".join(METHODS), "--layer", ",".join(LAYERS), *TARGET]
    ran = run("explain", *pictures, "--model", SPEC, *arguments, "--save", "figure,overlay,channels,npz")
    assert ran.status == 0, ran.err
    out = Path("camscope-out")
    seen = set()
    for path in pictures:
        e = explained(path, METHODS, LAYERS)
        for method, layer, (t, name) in itertools.product(METHODS, LAYERS, enumerate(TARGETS.values())):
            shown = pixels(out / f"{path.stem}-{method}-{layer}-{name}.png")
            assert np.array_equal(shown, np.asarray(e.overlay(0, t, method, layer)))
            seen.add((method == "eigencam" and name, shown.tobytes()))
        for t, name in enumerate(TARGETS.values()):
            written = pixels(out / f"{path.stem}-figure-{t + 1}.png")
            assert np.array_equal(written, picture(e, target=t))
            for layer in LAYERS:
                written = pixels(out / f"{path.stem}-channels-{layer}-{name}.png")
                assert np.array_equal(written, picture(e, by="channels", target=t, layer=layer))
        with np.load(out / f"{path.stem}.npz", allow_pickle=False) as file:
            for (method, layer), maps in e.raw.items():
                np.testing.assert_allclose(file[f"maps/{method}/{layer}"], maps.numpy(), rtol=0, atol=1e-6)
                heat = e.photo_heatmaps(0, method, layer)[None]
                np.testing.assert_allclose(file[f"heatmaps/{method}/{layer}"], heat, rtol=0, atol=1e-4)
    # Eigen-CAM knows no target; all else looks different, or nothing would be tested
    assert len(seen) == len(pictures) * len(LAYERS) * (2 * len(TARGETS) + 1)


def test_one_map_gives_one_figure_with_its_targets(run, pictures):
    ran = run("explain", pictures[0], "--model", SPEC, "--layer", "cells", *TARGET)
    assert ran.status == 0, ran.err
    e = explained(pictures[0], ["gradcam"], ["cells"])
    assert np.array_equal(pixels(Path("camscope-out/wide-figure.png")), picture(e, by="targets"))


def test_style_reaches_the_files(run, pictures):
    style = ("--colormap", "jet", "--opacity", "0.3")
    ran = run("explain", pictures[0], "--model", SPEC, "--layer", "cells", "--target", "dark", *style)
    assert ran.status == 0, ran.err
    e = camscope.explain(bright(), pictures[0], layers="cells", targets="dark")
    given = {"colormap": "jet", "opacity": 0.3}
    shown = pixels(Path("camscope-out/wide-gradcam-cells-dark.png"))
    assert np.array_equal(shown, np.asarray(e.overlay(0, 0, **given)))
    assert np.array_equal(pixels(Path("camscope-out/wide-figure.png")), picture(e, **given))


def test_of_each_text_its_own_words(run):
    Path("factory.py").write_text(FACTORY)
    texts = ["a good film", "bad film"]
    arguments = ["--method", "gradcam,hirescam", "--target", "positive", "--target", "negative"]
    ran = run("explain", *texts, "--model", "factory.py:model", *arguments)
    assert ran.status == 0, ran.err
    space: dict = {}
    exec(FACTORY, space)
    e = camscope.explain(
        space["model"](), texts, methods=["gradcam", "hirescam"], targets=["positive", "negative"]
    )
    for i, stem in enumerate(("a_good_film", "bad_film")):
        assert Path(f"camscope-out/{stem}-words.html").read_text(encoding="utf-8") == page(e, i)
        for t in range(2):
            written = pixels(Path(f"camscope-out/{stem}-figure-{t + 1}.png"))
            with Image.open(BytesIO(render.png(e.figure(i, target=t)))) as drawn:
                assert np.array_equal(written, drawn.convert("RGB"))
