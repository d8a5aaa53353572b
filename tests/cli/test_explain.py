"""`camscope explain`: what it prints, what it writes, and that it is right on the photo as the person has it."""

from __future__ import annotations

import gc
import json
import shlex
import subprocess
import sys
from collections import defaultdict
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from camscope.cli.app import app
from camscope.cli.map_options import MapOptions
from camscope.cli.model_options import ModelOptions
from tests.cli.brightness import SPEC

MODEL = ("--model", SPEC)
RANDOM = ("--model", "timm:test_efficientnet", "--weights", "random")
UNTRAINED = "untrained weights: the map says nothing of any picture"


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def names_in(folder: str | Path) -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


# ---------------------------------------------------------------- for a person


@pytest.mark.slow
def test_the_demo_model_explains_a_sample_photo(run):
    ran = run("explain", "sample:cat")
    assert ran.status == 0
    assert all(name in ran.out for name in ("tiger cat", "Egyptian cat", "tabby", "39.5%", "layer bn2"))
    assert {"cat-figure.png", "cat-gradcam-bn2-tiger_cat.png"} <= names_in("camscope-out")
    assert max(map(len, ran.out.partition("Try next")[0].splitlines())) <= 80


def test_one_photo_gives_a_table_the_layer_and_every_path_written(run, photo):
    ran = run("explain", photo, *MODEL, "--out", "maps")
    lines = ran.out.splitlines()
    assert (ran.status, ran.err) == (0, "")
    assert lines[0].strip() == str(photo)
    assert lines[1].split() == ["class", "name", "probability", "score"]
    assert [line.split()[1] for line in lines[2:5]] == ["dark,", "bright", "red,"]
    assert "layer seen (ReLU, 4 channels, 16×16), chosen automatically" in ran.out
    written = {line.removeprefix("wrote maps/") for line in lines if line.startswith("wrote")}
    assert written == names_in("maps")
    assert len(written) == 4


def test_untrained_weights_are_marked_in_table_notes_and_json(run, photo):
    ran = run("explain", photo, *RANDOM, "--save", "json")
    assert "name (untrained)" in ran.out
    assert f"note: {UNTRAINED}" in ran.out
    assert json.loads(Path("camscope-out/beach.json").read_text())["untrained"] is True
    (one,) = json.loads(run("explain", photo, *RANDOM, "--json", "--save", "json").out)["explained"]
    assert one["untrained"] is True
    assert UNTRAINED in one["notes"]


def test_a_list_of_many_photos_marks_untrained_weights_on_every_line(run, pixels):
    for i in range(4):
        Image.fromarray(pixels).save(f"{i}.png")
    lines = run("explain", *(f"{i}.png" for i in range(4)), *RANDOM, "--save", "json").out.splitlines()
    listed = [line for line in lines if ".png" in line]
    assert len(listed) == 4
    assert all(line.rstrip().endswith("untrained") for line in listed)


def test_the_suggestions_name_the_model_and_can_be_pasted(run, pixels):
    Image.fromarray(pixels).save("-my [sea] photo.png")
    ran = run("explain", "--out", "maps", *MODEL, "--", "-my [sea] photo.png")
    line = next(line for line in ran.out.splitlines() if "not:" in line)
    words = shlex.split(line, comments=True)
    assert words[:5] == ["camscope", "explain", "./-my [sea] photo.png", *MODEL]
    assert run(*words[1:]).status == 0


def test_the_suggestions_keep_what_was_asked_for(run, photo):
    asked = (
        "--task",
        "multilabel",
        "--layer",
        "cells",
        "--seed",
        "3",
        "--colormap",
        "jet",
        "--format",
        "webp",
    )
    ran = run("explain", photo, *MODEL, *asked, "--method", "Layer-CAM", "--save", "json")
    lines = [
        line.split("#")[0] for line in ran.out.partition("Try next")[2].splitlines() if "explain" in line
    ]
    assert len(lines) == 4
    for line in lines:
        assert all(" ".join(pair) in line for pair in zip(asked[::2], asked[1::2], strict=True)), line
        assert line.count("--save") <= 1
        assert line.count("--method") == 1
    assert sum("--method layercam" in line for line in lines) == 3
    asked_of = f"--model {SPEC} --task multilabel"
    assert f"camscope layers {asked_of}; camscope methods {asked_of}" in ran.out


def test_the_suggested_methods_need_no_gradients(run, photo):
    onnx = pytest.importorskip("onnx")
    from tests.onnx.graphs import residual

    onnx.save(residual(), "small.onnx")
    ran = run("explain", photo, "--model", "onnx:small.onnx", "--out", "maps")
    line = next(line for line in ran.out.splitlines() if "--method" in line)
    assert run(*shlex.split(line, comments=True)[1:]).status == 0


def test_no_suggestions_for_who_knows_their_target(run, photo):
    assert "Try next" not in run("explain", photo, *MODEL, "--target", "bright").out


def test_many_photos_get_a_line_each(run, pixels):
    for number in range(5):
        Image.fromarray(pixels).save(f"{number}.png")
    ran = run("explain", "*.png", *MODEL, "--save", "json")
    lines = [line.split() for line in ran.out.splitlines()]
    assert [words[0] for words in lines[:5]] == [f"{number}.png" for number in range(5)]
    assert all(words[2:] == ["dark,", "unlit"] for words in lines[:5])
    assert "5 of 5 photos explained; the files are in camscope-out." in ran.out


def test_a_map_without_evidence_is_explained_in_words(run, photo):
    ran = run("explain", photo, *MODEL, "--target", "not:bright")
    assert "gradcam at seen, not bright: all-negative: no evidence for it here" in ran.out


def test_a_file_that_says_no_preprocessing_gets_a_presumed_one_and_a_note(run, photo):
    ran = run("explain", photo, "--model", SPEC.replace(":bright", ":bare"))
    assert ran.status == 0
    assert "ImageNet's standard was presumed" in " ".join(ran.out.split())
    assert "class 1" in ran.out


def test_class_names_from_a_file(run, photo):
    Path("names.txt").write_text("hell\ndunkel\nrot\n")
    ran = run("explain", photo, *MODEL, "--classes", "names.txt", "--target", "dunkel")
    assert ran.status == 0
    assert "dunkel" in ran.out
    assert "unlit" not in ran.out


@pytest.mark.parametrize("names", [["hell", "dunkel", "rot"], {"0": "hell", "1": "dunkel", "2": "rot"}])
def test_class_names_from_json(names, run, photo):
    Path("names.json").write_text(json.dumps(names))
    ran = run("explain", photo, *MODEL, "--classes", "names.json", "--target", "dunkel")
    assert ran.status == 0
    assert "dunkel" in ran.out
    Path("names.json").write_text("3")
    ran = run("explain", photo, *MODEL, "--classes", "names.json")
    assert "holds no class names: expected a list" in " ".join(ran.err.split())
    Path("names.json").write_text("{")
    assert "names.json is no JSON" in run("explain", photo, *MODEL, "--classes", "names.json").err


def test_the_head_follows_the_weights_or_the_number_of_classes(run, photo):
    torch.save({"state_dict": timm.create_model("test_resnet", num_classes=2).state_dict()}, "w.pth")
    model = ("--model", "timm:test_resnet", "--save", "npz")
    ran = run("explain", photo, *model, "--weights", "w.pth", "--target", "all")
    assert ran.status == 0
    assert "class 1" in ran.out
    assert "class 2" not in ran.out
    ran = run("explain", photo, *model, "--weights", "random", "--num-classes", "4", "--target", "all")
    assert "class 3 " in ran.out
    assert "class 4" not in ran.out
    assert run("explain", photo, *model, "--num-classes", "0").status == 2
    assert (
        run("layers", "--model", "timm:test_resnet", "--weights", "random", "--num-classes", "3").status == 0
    )


# ---------------------------------------------------------------- for a program


def test_json_is_alone_on_stdout(run, pixels):
    for number in range(4):  # enough for a progress bar
        Image.fromarray(pixels).save(f"{number}.png")
    ran = run("explain", ".", *MODEL, "--json", "--save", "overlay")
    document = json.loads(ran.out)
    assert ran.status == 0
    assert document["failed"] == []
    for number, one in enumerate(document["explained"]):
        assert one["source"].endswith(f"{number}.png")
        assert [target["name"] for target in one["targets"]] == ["dark, unlit", "bright", "red, ruddy"]
        assert one["status"] == {"gradcam/seen": ["ok", "ok", "ok"]}
        assert all(Path(file).is_file() for file in one["files"])
        assert len(one["files"]) == 3
        assert sum(entry["probability"] for entry in one["top"]) == pytest.approx(1, abs=1e-6)


def test_json_names_failures_and_the_rest_is_done(run, photo):
    Path("broken.jpg").write_bytes(b"no photo")
    ran = run("explain", "broken.jpg", photo, "missing.png", *MODEL, "--json")
    document = json.loads(ran.out)
    assert ran.status == 1
    assert [one["source"] for one in document["explained"]] == [str(photo)]
    assert [one["source"] for one in document["failed"]] == ["broken.jpg", "missing.png"]
    assert "broken.jpg" in ran.err
    assert "missing.png" in ran.err


# ---------------------------------------------------------------- what is written


@pytest.mark.parametrize(
    ("save", "files"),
    [
        ("figure", {"beach-figure.png"}),
        ("overlay", {"beach-gradcam-seen-dark.png", "beach-gradcam-seen-bright.png"}),
        ("channels", {"beach-channels-seen-dark.png", "beach-channels-seen-bright.png"}),
        ("npz", {"beach.npz"}),
        ("json", {"beach.json"}),
        ("json, npz", {"beach.json", "beach.npz"}),
        ("", set()),
    ],
)
def test_save_writes_exactly_what_was_asked_for(run, photo, save, files):
    ran = run("explain", photo, *MODEL, "--top", 2, "--save", save)
    assert ran.status == 0
    assert Path("camscope-out").is_dir() == bool(files)
    assert not files or names_in("camscope-out") == files


def test_several_methods_layers_and_targets(run, photo):
    ran = run(
        "explain", photo, *MODEL, "--method", "gradcam,layercam", "--method", "eigencam",
        "--layer", "seen", "--layer", "cells", "--target", "bright", "--target=-1",
        "--save", "overlay,npz,figure",
    )  # fmt: skip
    assert ran.status == 0
    overlays = {name for name in names_in("camscope-out") if "figure" not in name and name.endswith("png")}
    assert overlays == {
        f"beach-{method}-{layer}-{target}.png"
        for method in ("gradcam", "layercam", "eigencam")
        for layer in ("seen", "cells")
        for target in ("bright", "not_dark")
    }
    with np.load("camscope-out/beach.npz", allow_pickle=False) as file:
        assert {name for name in file.files if name.startswith("maps/")} == {
            f"maps/{m}/{layer}" for m in ("gradcam", "layercam", "eigencam") for layer in ("seen", "cells")
        }
        assert file["maps/gradcam/seen"].shape == (1, 2, 16, 16)
        assert file["heatmaps/gradcam/seen"].shape == (1, 2, 60, 90)


def test_files_are_named_after_all_that_is_explained(run, photo):
    targets = ("dark vs red", "dark vs bright", "not:dark", "probability:dark", "dark vs similar")
    asked = [word for target in targets for word in ("--target", target)]
    ran = run("explain", photo, *MODEL, *asked, "--save", "overlay,json")
    assert ran.status == 0
    ends = ("dark_vs_red", "dark_vs_bright", "not_dark", "probability_of_dark", "dark_vs_bright_and_1_more")
    names = {f"beach-gradcam-seen-{end}.png" for end in ends}
    assert names_in("camscope-out") == {"beach.json", *names}
    known = json.loads(Path("camscope-out/beach.json").read_text())["targets"]
    assert [target["title"].replace(" ", "_") for target in known] == list(ends)
    assert known[4]["against"] == ["bright", "red, ruddy"]


LOUD = """
from tests.cli.brightness import Bright, bright

class Loud(Bright):
    def forward(self, x):
        print("running")
        return super().forward(x)

def build():
    print("building")
    model = Loud().eval()
    model.preprocessing = bright().preprocessing
    return model
"""


@pytest.mark.parametrize(
    "command", [("explain", "{photo}"), ("concepts", "{photo}", "--count", 2), ("layers",)]
)
def test_a_model_that_prints_leaves_the_json_alone(run, photo, command):
    Path("loud.py").write_text(LOUD)
    words = [str(word).format(photo=photo) for word in command]
    ran = run(*words, "--model", "loud.py:build", "--json")
    assert ran.status == 0
    json.loads(ran.out)
    assert "building" in ran.err
    assert "running" in ran.err


def test_a_class_list_with_a_byte_order_mark_names_the_first_class(run, photo):
    """As some editors write text: the mark is no part of the name."""
    Path("names.txt").write_text("sun\nmoon\nstar\n", encoding="utf-8-sig")
    ran = run("explain", photo, *MODEL, "--classes", "names.txt", "--target", "sun", "--save", "overlay")
    assert (ran.status, ran.err) == (0, "")
    assert names_in("camscope-out") == {"beach-gradcam-seen-sun.png"}


def test_photos_of_one_stem_and_targets_of_one_name_do_not_overwrite_each_other(run, pixels):
    for folder in ("a", "b"):
        Path(folder).mkdir()
        Image.fromarray(pixels).save(f"{folder}/x.png")
    Path("names.txt").write_text("crane, a bird\ncrane, a machine\nCrane; A bird\n")
    ran = run("explain", "a", "b", *MODEL, "--classes", "names.txt", "--target", "all")
    assert ran.status == 0
    cranes = (
        "crane__a_bird",
        "crane__a_machine",
        "Crane__A_bird-2",
    )  # some file systems tell no capitals apart
    ends = ("figure.png", *(f"gradcam-seen-{crane}.png" for crane in cranes))
    for folder in ("a", "b"):
        assert names_in(f"camscope-out/{folder}") == {f"x-{end}" for end in ends}
    bird, machine, other = (Image.open(f"camscope-out/a/x-{end}").tobytes() for end in ends[1:])
    assert len({bird, machine, other}) == 3


def test_names_of_any_script_keep_their_letters(run, pixels):
    Image.fromarray(pixels).save("Кот 猫.png")
    run("explain", "Кот 猫.png", *MODEL, "--save", "json")
    assert names_in("camscope-out") == {"Кот 猫.json"}
    assert json.loads(Path("camscope-out/Кот 猫.json").read_text(encoding="utf-8"))["source"] == "Кот 猫.png"


def test_an_overlay_without_opacity_is_the_photo_inside_the_crop(run):
    photo = np.random.default_rng(1).integers(0, 256, (72, 144, 3), dtype=np.uint8)
    Image.fromarray(photo).save("p.png")
    run("explain", "p.png", *MODEL, "--top", 1, "--save", "overlay", "--opacity", 0)
    (path,) = Path("camscope-out").iterdir()
    overlay = np.asarray(Image.open(path))
    assert np.array_equal(overlay[4:68, 40:104], photo[4:68, 40:104])
    assert not np.array_equal(overlay[:, :30], photo[:, :30])  # the picture shows what was not seen


def test_another_colormap_gives_another_picture(run, photo):
    pictures = []
    for name in ("inferno", "jet"):
        run("explain", photo, *MODEL, "--top", 1, "--save", "overlay", "--colormap", name, "--out", name)
        pictures.append(np.asarray(Image.open(next(Path(name).iterdir()))))
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() > 50


@pytest.mark.slow
def test_hundreds_of_targets_are_numbers_not_pictures(run, photo):
    ran = run("explain", "sample:cat", "--target", "all", "--save", "figure")
    assert ran.status == 2
    assert "1000 targets would be too many pictures" in ran.err
    ran = run("explain", "sample:cat", "--target", "all", "--save", "json")
    assert ran.status == 0
    assert len(json.loads(Path("camscope-out/cat.json").read_text(encoding="utf-8"))["targets"]) == 1000


# ---------------------------------------------------------------- the npz


@pytest.mark.parametrize(
    ("size", "rows", "columns"), [((72, 144), (4, 68), (40, 104)), ((288, 144), (80, 208), (8, 136))]
)
def test_npz_heatmaps_are_nan_exactly_outside_the_crop(run, size, rows, columns):
    Image.fromarray(np.random.default_rng(2).integers(0, 256, (*size, 3), dtype=np.uint8)).save("p.png")
    run("explain", "p.png", *MODEL, "--top", 2, "--save", "npz")
    with np.load("camscope-out/p.npz", allow_pickle=False) as file:
        heatmaps = file["heatmaps/gradcam/seen"]
    inside = np.zeros(size, dtype=bool)
    inside[slice(*rows), slice(*columns)] = True
    assert heatmaps.shape == (1, 2, *size)
    for heatmap in heatmaps[0]:
        assert np.array_equal(~np.isnan(heatmap), inside)
        assert (np.nanmin(heatmap), np.nanmax(heatmap)) == (0, 1)


def test_npz_opens_without_camscope_and_names_its_axes(run, photo):
    run("explain", photo, *MODEL, "--top", 2, "--save", "npz")
    code = (
        "import json, sys, numpy; f = numpy.load('camscope-out/beach.npz', allow_pickle=False); "
        "d = json.loads(str(f['json'])); assert not any('camscope' in m for m in sys.modules); "
        "print(json.dumps([{n: [f[n].shape, a] for n, a in d['axes'].items()}, d['heatmaps_on'], "
        "d['images'][0]['targets'], sorted(d['provenance'])]))"
    )
    done = python("-I", "-c", code)
    assert done.returncode == 0, done.stderr
    axes, where, targets, provenance = json.loads(done.stdout)
    picture = ["image", "target", "height", "width"]
    assert axes == {
        "maps/gradcam/seen": [[1, 2, 16, 16], picture],
        "heatmaps/gradcam/seen": [[1, 2, 60, 90], picture],
        "scores": [[1, 2], ["image", "target"]],
        "logits": [[1, 3], ["image", "class"]],
        "probabilities": [[1, 3], ["image", "class"]],
    }
    assert where == "photo"
    assert [target["name"] for target in targets] == ["dark, unlit", "bright"]
    assert {"camscope", "layers", "methods", "model", "preprocessing", "seed"} <= set(provenance)


@pytest.mark.parametrize("orientation", [None, 3, 6, 8])
@pytest.mark.parametrize(
    ("size", "square"), [((90, 160), (20, 92)), ((160, 90), (92, 20)), ((300, 200), (150, 120))]
)
def test_the_hot_spot_lies_on_the_square_of_the_photo_as_the_person_has_it(run, size, square, orientation):
    """A bright square in a dark photo, for the class whose map is brightness; also where EXIF turns the photo."""
    upright = np.full((*size, 3), 30, dtype=np.uint8)
    top, left = square
    upright[top : top + 24, left : left + 24] = 255
    exif = Image.Exif()
    stored = upright
    if orientation:
        exif[0x0112] = orientation
        stored = np.rot90(upright, {3: 2, 6: 1, 8: 3}[orientation])  # what a viewer undoes
    Image.fromarray(np.ascontiguousarray(stored)).save("p.png", exif=exif)
    run("explain", "p.png", *MODEL, "--target", "bright", "--save", "npz")
    with np.load("camscope-out/p.npz", allow_pickle=False) as file:
        heatmap = file["heatmaps/gradcam/seen"][0, 0]
    assert heatmap.shape == size
    hot = np.argwhere(np.nan_to_num(heatmap) > 0.9)
    assert np.abs(hot.mean(axis=0) - [top + 11.5, left + 11.5]).max() < 2
    assert (hot.min(axis=0) >= [top - 1, left - 1]).all()
    assert (hot.max(axis=0) <= [top + 24, left + 24]).all()


def test_the_batch_size_changes_no_map(run, tmp_path):
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (50 + 9 * number, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"{number}.png")
    found = {}
    for batch in (1, 2, 8):
        run("explain", "*.png", *MODEL, "--batch", batch, "--save", "npz", "--out", f"by{batch}")
        for number in range(3):
            with np.load(f"by{batch}/{number}.npz", allow_pickle=False) as file:
                found[batch, number] = file["maps/gradcam/seen"]
    for number in range(3):
        for batch in (2, 8):
            np.testing.assert_allclose(found[batch, number], found[1, number], rtol=0, atol=1e-6)
    assert not np.allclose(found[1, 0], found[1, 1])


def test_the_seed_decides_the_random_baseline(run, photo):
    maps = []
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("explain", photo, *MODEL, "--method", "random", "--seed", seed, "--save", "npz", "--out", folder)
        with np.load(f"{folder}/beach.npz", allow_pickle=False) as file:
            maps.append(file["maps/random/seen"])
    assert np.array_equal(maps[0], maps[1])
    assert not np.array_equal(maps[0], maps[2])


# ---------------------------------------------------------------- the frame


def test_help_describes_every_command_with_its_own_first_line(run):
    from camscope.cli.explain import explain
    from camscope.cli.list_layers import layers
    from camscope.cli.list_methods import methods

    text = " ".join(run("--help").out.replace("│", " ").split())
    for function in (explain, layers, methods):
        first = function.__doc__.splitlines()[0]
        assert first in text
        assert app[function.__name__].help == first


def test_what_is_asked_for_alike_is_said_alike_in_every_command():
    """The options of the model and of the maps are defined once: no command has words of its own for them."""
    options = [
        f"--{field.name.replace('_', '-')}" for kind in (ModelOptions, MapOptions) for field in fields(kind)
    ]
    options = ["--model" if option == "--name" else option for option in options]
    said = defaultdict(set)
    for name in ("explain", "report", "trust", "run"):
        shown = {word: one for one in app[name].assemble_argument_collection() for word in one.names}
        for option in options:
            said[option].add((shown[option].parameter.help, str(shown[option].hint)))
    assert len(said) == 11
    assert {option: len(words) for option, words in said.items()} == dict.fromkeys(said, 1)


def test_help_and_import_load_no_framework():
    heavy = "{'torch', 'jax', 'tensorflow', 'keras', 'timm', 'torchvision', 'matplotlib', 'skimage'}"
    commands = (
        "['--help']",
        "['--version']",
        "['methods']",
        "['methods', '--json']",
        "['explain', '--help']",
    )
    for code in ("import camscope", *(f"from camscope.cli import main; main({words})" for words in commands)):
        done = python("-c", f"import sys; {code}; print('loaded', sorted({heavy} & set(sys.modules)))")
        assert done.stdout.splitlines()[-1] == "loaded []", done


def test_a_photo_loads_no_library_that_it_does_not_need(photo, tmp_path):
    """Nor matplotlib, which draws no figure of the command's."""
    heavy = (
        "{'timm', 'torchvision', 'transformers', 'matplotlib', 'scipy', 'skimage', 'pandas', 'onnx', 'jax'}"
    )
    words = [
        "explain",
        str(photo),
        *MODEL,
        "--save",
        "figure,overlay,channels,npz,json",
        "--out",
        str(tmp_path),
    ]
    code = f"from camscope.cli import main; assert main({words}) == 0"
    done = python("-c", f"import sys; {code}; print('loaded', sorted({heavy} & set(sys.modules)))")
    assert done.stdout.splitlines()[-1:] == ["loaded []"], done


def test_garbage_is_collected_as_before(run, photo):
    """While a model is loaded it is not; what was there then is looked through again once the command is over."""
    assert run("explain", photo, *MODEL, "--save", "").status == 0
    assert run("layers", "--model", "nowhere.py:model").status == 2
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_python_m_camscope_is_the_same_command(run):
    done = python("-m", "camscope", "--version")
    assert (done.returncode, done.stdout) == (0, run("--version").out)
    assert python("-m", "camscope", "explain").returncode == 2


def test_what_is_registered_for_the_end_is_done(tmp_path):
    """Though the process ends before Python has taken apart what it loaded."""
    (tmp_path / "mine.py").write_text(
        "import atexit\nfrom tests.cli.brightness import bright\natexit.register(print, 'the end')\n"
    )
    done = python("-m", "camscope", "layers", "--model", f"{tmp_path / 'mine.py'}:bright")
    assert (done.returncode, done.stderr) == (0, "")
    assert "seen" in done.stdout
    assert done.stdout.endswith("the end\n")
    assert python("-m", "camscope", "layers", "--model", "nowhere.py:model").returncode == 2


@pytest.mark.parametrize("command", ["methods --json", f"layers --json --model {SPEC}"])
def test_a_reader_that_goes_away_is_no_error(command, monkeypatch):
    """Also where all of it fits the buffer, and the pipe breaks only when that is emptied at the end."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    line = f"{sys.executable} -m camscope {command} | true"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""


# ---------------------------------------------------------------- compositions


def keys_of(run, photo, *arguments: str) -> set[tuple[str, str]]:
    options = ("--save", "npz", "--target", "bright", "--overwrite")
    assert run("explain", photo, *MODEL, *options, *arguments).status == 0
    with np.load("camscope-out/beach.npz", allow_pickle=False) as file:
        return {tuple(key) for key in json.loads(str(file["json"]))["keys"]}


@pytest.mark.parametrize(
    "methods",
    [
        ["--method", "smooth(gradcam, n=2),fuse(layercam, max)"],
        ["--method", "smooth(gradcam, n=2) , fuse(layercam,max)"],
        ["--method", "smooth(gradcam, n=2)", "--method", "fuse(layercam, max)"],
        ["--method", " SMOOTH(GradCAM, 2),layercam-fused"],
    ],
    ids=" ".join,
)
def test_methods_are_separated_by_commas_outside_brackets(run, photo, methods):
    found = keys_of(run, photo, *methods, "--layer", "cells,seen")
    fusion = "layercam-fused" if "layercam-fused" in methods[-1] else "fuse(layercam)"
    assert found == {
        ("smooth(gradcam, n=2)", "cells"),
        ("smooth(gradcam, n=2)", "seen"),
        (fusion, "cells, seen"),
    }


def test_a_composition_on_the_command_line_is_that_of_python(run, photo, pixels):
    import camscope
    from tests.cli.brightness import bright

    text = "path(gradcam, n=3)"
    keys_of(run, photo, "--method", text, "--seed", "4")
    e = camscope.explain(
        bright(), pixels, methods=camscope.PathIntegral("gradcam", n=3), targets="bright", seed=4
    )
    with np.load("camscope-out/beach.npz") as file:
        np.testing.assert_allclose(
            file[f"maps/{text}/seen"], e.raw[text, "seen"].numpy(), rtol=1e-6, atol=1e-7
        )


def test_a_seed_is_of_the_noise(run, photo):
    maps = []
    for seed in (1, 1, 2):
        keys_of(run, photo, "--method", "smooth(gradcam, n=2)", "--seed", str(seed))
        with np.load("camscope-out/beach.npz") as file:
            maps.append(file["maps/smooth(gradcam, n=2)/seen"])
    assert np.array_equal(maps[0], maps[1])
    assert not np.allclose(maps[0], maps[2])


def test_file_names_are_safe_and_no_two_the_same(run, photo):
    """Brackets, commas, stars and blanks are no part of them, and long expressions may begin alike."""
    long = "augment(gradcam, [identity, flip, flipud, 0.5, 0.6, 0.7, 0.8, flip*0.9{}])"
    methods = [
        "smooth(gradcam, n=2)",
        "fuse(layercam, max)",
        "rise(n=4)",
        "gradcam++",
        long.format(""),
        long.format("5"),
    ]
    arguments = [word for method in methods for word in ("--method", method)]
    ran = run(
        "explain", photo, *MODEL, *arguments, "--layer", "cells,seen", "--target", "bright vs red", "--json"
    )
    (one,) = json.loads(ran.out)["explained"]
    files = [Path(file) for file in one["files"]]
    assert all(file.is_file() for file in files)
    assert {file.name for file in files} == names_in("camscope-out")
    assert len({file.name.lower() for file in files}) == len(files) == 1 + 2 * 4 + 2
    for file in files:
        assert set(file.stem) <= set("abcdefghijklmnopqrstuvwxyz0123456789._+-"), file
        assert len(file.name) < 255
    names = names_in("camscope-out")
    assert "beach-smooth_gradcam__n_2_-seen-bright_vs_red.png" in names
    assert "beach-fuse_layercam_-cells__seen-bright_vs_red.png" in names
    assert "beach-rise_n_4_-model-bright_vs_red.png" in names
    assert "beach-gradcam++-cells-bright_vs_red.png" in names


def test_a_figure_of_methods_at_different_layers(run, photo):
    """Some at each layer, one at all of them fused, one of the whole model."""
    methods = "gradcam,smooth(gradcam, n=2),fuse(layercam),rise(n=4)"
    ran = run(
        "explain", photo, *MODEL, "--method", methods, "--layer", "cells,seen", "--save", "figure", "--top", 2
    )
    assert ran.status == 0
    assert names_in("camscope-out") == {"beach-figure-1.png", "beach-figure-2.png"}
    for name in names_in("camscope-out"):
        with Image.open(Path("camscope-out") / name) as figure:
            assert min(figure.size) > 100


def test_the_layers_of_a_fusion_are_said(run, photo):
    out = " ".join(
        run("explain", photo, *MODEL, "--method", "fuse(layercam)", "--layer", "seen,cells").out.split()
    )
    assert "layer cells (Conv2d, 4 channels, 16×16)" in out
    assert "layer seen (ReLU, 4 channels, 16×16)" in out


def test_contrasts_and_rest_on_the_command_line(run, photo):
    targets = ["0 vs 1", "bright vs red", "not:rest:dark vs 0", "rest:red"]
    arguments = [word for target in targets for word in ("--target", target)]
    ran = run("explain", photo, *MODEL, *arguments, "--json", "--save", "overlay")
    (one,) = json.loads(ran.out)["explained"]
    logits = {entry["index"]: entry["logit"] for entry in one["top"]}
    log = {entry["index"]: np.log(entry["probability"]) for entry in one["top"]}
    rest = {i: logits[i] + log[i] for i in range(3)}
    expected = [
        logits[0] - 0.6 * logits[1],
        logits[0] - 0.6 * logits[2],
        -(rest[1] - 0.6 * rest[0]),
        rest[2],
    ]
    assert [t["score"] for t in one["targets"]] == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert [t["label"] for t in one["targets"]] == [
        "bright vs dark, unlit",
        "bright vs red, ruddy",
        "not ReST of dark, unlit vs bright",
        "ReST of red, ruddy",
    ]
    assert [t["against"] for t in one["targets"]] == [["dark, unlit"], ["red, ruddy"], ["bright"], []]


def test_a_named_composition_says_in_its_file_what_it_is(run, photo):
    run(
        "explain",
        photo,
        *MODEL,
        "--method",
        "refinecam,smooth(refinecam, n=2)",
        "--layer",
        "cells,seen",
        "--save",
        "json",
    )
    provenance = json.loads(Path("camscope-out/beach.json").read_text())["provenance"]
    assert provenance["compositions"] == {
        "refinecam": "fuse(gradcam++, how=product)",
        "smooth(refinecam, n=2)": "smooth(fuse(gradcam++, how=product), n=2)",
    }
