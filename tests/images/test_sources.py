"""Files, folders, globs and samples become a list: in order, once each, nothing lost silently."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from camscope.errors import ImageError, InputError, MissingExtraError
from camscope.images import SAMPLES, find_photos, read_photo, sample_path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in (
        "b10.png",
        "b2.PNG",
        "a.jpg",
        "notes.txt",
        ".hidden.png",
        "sub/c.webp",
        ".git/d.png",
        "x.dat",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "none").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(photos):
    return [Path(photo).as_posix() for photo in photos]


def test_folder(folder):
    assert names(find_photos(["."])) == ["a.jpg", "b2.PNG", "b10.png", "sub/c.webp"]
    assert find_photos([str(folder / "sub")]) == [str(folder / "sub" / "c.webp")]


def test_files_keep_their_order_and_come_once(folder):
    assert find_photos(["b10.png", "a.jpg", "./b10.png", str(folder / "a.jpg"), "x.dat"]) == [
        "b10.png",
        "a.jpg",
        "x.dat",
    ]
    assert names(find_photos(["b10.png", "."])) == ["b10.png", "a.jpg", "b2.PNG", "sub/c.webp"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*", ["a.jpg", "b2.PNG", "b10.png"]),
        ("b?.PNG", ["b2.PNG"]),
        ("b[0-9]*", ["b2.PNG", "b10.png"]),
        ("**/*", ["a.jpg", "b2.PNG", "b10.png", "sub/c.webp"]),
        ("**", ["a.jpg", "b2.PNG", "b10.png", "sub/c.webp"]),
        ("*.dat", ["x.dat"]),
        ("*.[jd]*", ["a.jpg"]),
    ],
)
def test_glob(folder, pattern, found):
    assert names(find_photos([pattern])) == found


def test_a_file_with_brackets_is_no_glob(folder):
    (folder / "e[1].png").write_bytes(b"x")
    assert find_photos(["e[1].png"]) == ["e[1].png"]


def test_a_missing_file_is_kept_for_its_own_error(folder):
    assert find_photos(["nothere.png", "a.jpg"]) == ["nothere.png", "a.jpg"]


@pytest.mark.parametrize(
    ("pattern", "words"), [("none", "none"), ("*.gif", r"\*\.gif"), ("*.*xt", "1 other file")]
)
def test_nothing_found_is_an_error(folder, pattern, words):
    with pytest.raises(InputError, match=words):
        find_photos(["a.jpg", pattern])


def test_one_string_or_path_is_one_pattern(folder):
    assert find_photos("a.jpg") == ["a.jpg"]
    assert find_photos(folder / "a.jpg") == [str(folder / "a.jpg")]
    assert find_photos([]) == []


def test_an_empty_path_is_not_the_current_folder(folder):
    assert find_photos([""]) == [""]
    with pytest.raises(ImageError, match="path of the photo is empty"):
        read_photo("")


def test_a_folder_that_cannot_be_listed(folder, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(InputError, match="cannot be listed"):
        find_photos(["sub"])


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_photos(name):
    photo = read_photo(f"sample:{name}")
    assert min(photo.size) >= 100
    assert photo.source == f"sample:{name}"


def test_samples_ship_inside_the_wheel():
    """Listed in the wheel's own record, so they were not downloaded later."""
    from importlib.metadata import files

    shipped = {path.as_posix() for path in files("scikit-image") or ()}
    assert {f"skimage/data/{file}" for file in SAMPLES.values()} <= shipped


def test_samples_in_a_list():
    assert find_photos(["sample:cat", "sample:coffee", "sample:cat"]) == ["sample:cat", "sample:coffee"]


def test_unknown_sample():
    for call in (lambda: find_photos(["sample:coffe"]), lambda: read_photo("sample:coffe")):
        with pytest.raises(InputError, match="Did you mean 'coffee'"):
            call()


def test_samples_need_their_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(MissingExtraError, match="demo"):
        sample_path("cat")
    with pytest.raises(MissingExtraError, match="demo"):
        read_photo("sample:cat")


def test_incomplete_scikit_image(monkeypatch):
    monkeypatch.setattr("camscope.images.find.SAMPLES", {"gone": "gone.png"})
    with pytest.raises(InputError, match=r"gone\.png.*Reinstall"):
        sample_path("gone")
