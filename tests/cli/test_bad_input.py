"""Bad input to the command: one clear error that names it and says what next; everything else is still done."""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.brightness import SPEC

MODEL = ("--model", SPEC)


def bomb() -> bytes:
    """A PNG of a few bytes that claims 10 000 megapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def half_a_jpeg() -> bytes:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)).save(
        "whole.jpg"
    )
    whole = Path("whole.jpg").read_bytes()
    Path("whole.jpg").unlink()
    return whole[: len(whole) // 2]


BROKEN = {
    "truncated.jpg": (half_a_jpeg, "incomplete"),
    "empty.jpg": (lambda: b"", "empty (0 bytes)"),
    "text.jpg": (lambda: b"hello, I am no photo", "no image"),
    "bomb.png": (bomb, "too large"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_photo_is_named_and_the_others_are_done(run, photo, name):
    content, words = BROKEN[name]
    Path(name).write_bytes(content())
    ran = run("explain", name, photo, *MODEL, "--save", "json")
    assert ran.status == 1
    (line,) = ran.err.splitlines()
    assert line.startswith("error:")
    assert f"'{name}'" in line
    assert words in line
    assert Path("camscope-out/beach.json").is_file()
    assert "1 of 2 photos explained; the files are in camscope-out." in ran.out


def test_a_missing_photo_is_a_failed_input_not_wrong_usage(run, photo):
    ran = run("explain", "nope.jpg", *MODEL)
    assert ran.status == 1
    assert ran.err == "error: 'nope.jpg' does not exist.\n"
    assert "0 of 1 photos explained." in ran.out


def odd(image: Image.Image) -> dict[str, tuple[Image.Image, dict]]:
    """Photos of every kind that must work."""
    exif = Image.Exif()
    exif[0x0112] = 6
    transparent = image.convert("RGBA")
    transparent.putalpha(100)
    sixteen = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    return {
        "cmyk.jpg": (image.convert("CMYK"), {}),
        "sixteen.png": (sixteen, {}),
        "palette.png": (image.convert("P"), {"transparency": 3}),
        "onebit.png": (image.convert("1"), {}),
        "alpha.png": (transparent, {}),
        "animated.gif": (image, {"save_all": True, "append_images": [image.rotate(180)]}),
        "turned.jpg": (image, {"exif": exif}),
        "wrong.png": (image, {"format": "JPEG"}),
        "dot.png": (image.resize((1, 1)), {}),
        "tiny.png": (image.resize((3, 2)), {}),
        "wide.png": (image.resize((900, 20)), {}),
        "tall.png": (image.resize((20, 900)), {}),
    }


def test_photos_of_every_kind_are_explained_at_their_own_size(run, pixels):
    kinds = odd(Image.fromarray(pixels))
    for name, (image, options) in kinds.items():
        image.save(name, **options)
    ran = run("explain", *kinds, *MODEL, "--save", "npz,overlay", "--top", 1, "--json")
    assert ran.status == 0
    document = json.loads(ran.out)
    for (name, (image, _)), one in zip(kinds.items(), document["explained"], strict=True):
        height, width = one["geometry"]["photo_size"]
        assert (width, height) == (image.size[::-1] if name == "turned.jpg" else image.size)
        with np.load(Path("camscope-out") / f"{Path(name).stem}.npz", allow_pickle=False) as file:
            heatmap = file["heatmaps/gradcam/seen"]
        assert heatmap.shape == (1, 1, height, width)
        assert np.isfinite(heatmap).any()
    notes = {one["source"]: " ".join(one["notes"]) for one in document["explained"]}
    assert "CMYK" in notes["cmyk.jpg"]
    assert "16-bit" in notes["sixteen.png"]
    assert "first of 2 frames" in notes["animated.gif"]


WRONG = {
    "no photo": ([], "Which photo?"),
    "batch": (["p", "--batch", "0"], "--batch and --top must be at least 1"),
    "top": (["p", "--top", "0"], "--batch and --top must be at least 1"),
    "more than all": (["p", "--top", "9"], "only 3 classes"),
    "option": (["p", "--modle", "x"], "Did you mean --model?"),
    "option value": (["p", "--task", "multi"], 'Did you mean "multilabel"?'),
    "number": (["p", "--batch", "x"], "--batch"),
    "method": (["p", "--method", "gradcm"], "Did you mean 'gradcam'"),
    "one of the methods": (["p", "--method", "gradcam,layrcam"], "Did you mean 'layercam'"),
    "a method inside": (["p", "--method", "smooth(layrcam, n=2)"], "Did you mean 'layercam'"),
    "a composition": (["p", "--method", "smoth(gradcam)"], "Did you mean 'smooth'"),
    "a parameter": (["p", "--method", "smooth(gradcam, sgma=1)"], "Did you mean 'sigma'? It has n, sigma"),
    "a method's parameter": (["p", "--method", "scorecam(tpo=3)"], "Did you mean 'top'? It has top."),
    "a value": (["p", "--method", "fuse(layercam, maximum)"], "expected one of max, product, mean, cascade"),
    "a number out of range": (["p", "--method", "smooth(gradcam, n=0)"], "n=0; expected int (at least 1)"),
    "an open bracket": (
        ["p", "--method", "smooth(gradcam, n=2"],
        "it ends where a closing bracket is expected",
    ),
    "a closed bracket": (["p", "--method", "gradcam)"], "')' comes after its end"),
    "no method inside": (["p", "--method", "smooth()"], "there is ')' where a method is expected"),
    "a composition alone": (["p", "--method", "smooth"], "for instance smooth(gradcam)"),
    "no meaning": (["p", "--method", "finer(eigencam)"], "eigencam knows no class"),
    "one layer to fuse": (
        ["p", "--method", "fuse(layercam)", "--layer", "seen"],
        "fuse(layercam) needs the maps of several layers, and there is one",
    ),
    "what it lacks": (["p", "--method", "rollout"], "attention"),
    "other class": (["p", "--target", "bright vs drak"], "Did you mean 'dark'"),
    "other index": (["p", "--target", "0 vs 7"], "There is no class 7: the model has 3, 0 to 2."),
    "target": (["p", "--target", "brihgt"], "Did you mean 'bright'"),
    "target without class": (["p", "--target=-"], "names no class"),
    "class": (["p", "--target", "7"], "There is no class 7: the model has 3, 0 to 2."),
    "layer": (["p", "--layer", "sen"], "Did you mean 'seen'"),
    "layer without grid": (["p", "--layer", "head"], "has no spatial grid"),
    "colormap": (["p", "--colormap", "infeno"], "Did you mean 'inferno'"),
    "opacity": (["p", "--opacity", "2"], "--opacity 2.0: expected 0"),
    "save": (["p", "--save", "figur"], "Did you mean 'figure'?"),
    "device": (["p", "--device", "gpu"], "cannot be moved to 'gpu'"),
    "class file": (
        ["p", "--classes", "no.txt"],
        "--classes no.txt cannot be read: No such file or directory",
    ),
    "class count": (["p", "--classes", "two.txt"], "--classes holds 2 names, the model has 3"),
    "weights file": (["p", "--weights", "no.pt"], "There is no weights file 'no.pt'"),
    "sample": (["sample:catt"], "Did you mean 'cat'"),
    "empty folder": (["nothing"], "hold no file with an image's suffix"),
    "glob": (["*.nothing"], "No image matches '*.nothing'"),
    "a table": (["table.csv"], "camscope run table.csv --out RUN"),
    "a URL": (["s3://bucket/photos"], "camscope run s3://bucket/photos --out RUN"),
    "a run": (["a-run"], "camscope browse a-run looks at it"),
    "labels": (["p", "--target", "labels"], "--target labels is for camscope run"),
    "resume and overwrite": (["p", "--resume", "--overwrite"], "say one of both"),
    "out is a file": (["p", "--out", "two.txt"], "--out two.txt is a file, or lies below one"),
    "out is under a file": (
        ["p", "--out", "two.txt/maps"],
        "--out two.txt/maps is a file, or lies below one",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_teaches_and_writes_nothing(run, photo, case):
    arguments, words = WRONG[case]
    Path("nothing").mkdir()
    Path("two.txt").write_text("one\ntwo\n")
    Path("table.csv").write_text("image\nx.png\n")
    Path("a-run").mkdir()
    Path("a-run/plan.json").touch()
    ran = run("explain", *(photo if a == "p" else a for a in arguments), *MODEL, "--json")
    said = " ".join(ran.err.replace("│", " ").split())
    assert ran.status == 2
    assert ran.out == ""
    assert words in said
    assert "Traceback" not in said
    assert not any(Path("camscope-out").rglob("*"))


EARLY = ("batch", "top", "method", "a method inside", "target without class", "colormap", "opacity", "save")


@pytest.mark.parametrize("case", EARLY)
def test_what_can_be_checked_is_checked_before_any_work(run, photo, case):
    arguments, words = WRONG[case]
    # opening this model would be another error
    ran = run("explain", *(photo if a == "p" else a for a in arguments), "--model", "nowhere.py:model")
    assert ran.status == 2
    assert words in ran.err
    assert not Path("camscope-out").exists()


def test_a_file_that_cannot_be_written_is_an_error_that_says_why(run, photo):
    Path("maps/beach.npz").mkdir(parents=True)
    ran = run("explain", photo, *MODEL, "--save", "npz", "--out", "maps", "--overwrite")
    assert ran.status == 2
    assert ran.err.startswith("error: 'maps/beach.npz' is a folder, and no file.")


def test_a_misspelt_command_names_the_nearest(run):
    ran = run("explan", "x.jpg")
    assert ran.status == 2
    assert 'Did you mean "explain"?' in " ".join(ran.err.replace("│", " ").split())


MODELS = {
    "tinm:resnet18": "Did you mean 'timm'?",
    "resnet50": "Perhaps 'timm:resnet50' or 'torchvision:resnet50'?",
    "timm:resnet81": "Did you mean 'resnet18'",
    "torchvision:resnet19": "Did you mean 'resnet18'",
    "nowhere.py:model": "There is no file nowhere.py.",
    "syntax.py:model": "syntax.py could not be run: SyntaxError",
    "{file}": "say which function of the file builds the model, FILE.py:FACTORY",
    "{file}:": "say which function of the file builds the model, FILE.py:FACTORY",
    "{file}:reddy": "has no 'reddy'. Did you mean 'ready'",
    "{file}:needs_argument": "calling needs_argument() without arguments failed: TypeError",
    "{file}:returns_number": "returns_number gave int; expected a model of Keras, PyTorch, ",
    "{file}:boom": "brightness.py:boom: calling boom() without arguments failed: RuntimeError: I broke",
    "{file}:thing": "calling thing() without arguments failed: TypeError",
}


@pytest.mark.parametrize("spec", MODELS)
@pytest.mark.parametrize("command", ["explain", "layers"])
def test_a_wrong_model_teaches(run, photo, command, spec):
    Path("syntax.py").write_text("this is no Python")
    photos = [photo] if command == "explain" else []
    ran = run(command, *photos, "--model", spec.format(file=SPEC.rpartition(":")[0]))
    assert ran.status == 2
    assert ran.out == ""
    assert MODELS[spec] in ran.err
    assert "Traceback" not in ran.err


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("owned",)


def test_weights_that_would_run_code_are_refused_and_not_run(run, photo):
    import torch

    torch.save({"state_dict": Malicious()}, "evil.pt")
    ran = run("explain", photo, *MODEL, "--weights", "evil.pt")
    assert ran.status == 2
    assert "could run code, so it was refused" in ran.err
    assert "--trust-pickle" in ran.err
    assert not Path("owned").exists()
    run("explain", photo, *MODEL, "--weights", "evil.pt", "--trust-pickle")
    assert Path("owned").is_dir()  # the file is what it seems: the refusal above was needed


@pytest.mark.parametrize("size", ["0", "-3"])
def test_an_input_needs_a_size(run, size):
    ran = run("layers", *MODEL, f"--size={size}")
    assert ran.status == 2
    assert f"--size {size}: expected a number of pixels" in ran.err
