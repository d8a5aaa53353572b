"""Folders as labelled images: which classes there are, what is trained on, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from camscope.errors import InputError
from camscope.training import read_labelled
from tests.training.made import folder, picture


def test_a_folder_for_each_class(tmp_path):
    found = read_labelled(folder(tmp_path, {"class 10": 2, "class 9": 3}))
    assert found.classes == ("class 9", "class 10")
    assert found.counts == {"class 9": 3, "class 10": 2}
    assert found.names == tuple(f"class {c}/{i}.png" for c, n in ((9, 3), (10, 2)) for i in range(n))
    assert not found.multilabel
    assert found.parts is None
    # the files were made class 10 first, each with another picture
    assert np.array_equal(np.asarray(found.photo(0).pixels), picture(2))


def test_train_and_val(tmp_path):
    found = read_labelled(folder(tmp_path, {"train/a": 3, "train/b": 2, "Validation/a": 1, "test/a": 4}))
    assert found.counts == {"a": 4, "b": 2}
    assert found.parts == ("train",) * 5 + ("val",)
    assert any("test" in note for note in found.notes)


def test_only_train_is_split_later(tmp_path):
    assert read_labelled(folder(tmp_path, {"train/a": 3, "train/b": 2})).parts is None


def test_photos_are_read_as_elsewhere(tmp_path):
    """Upright, and CMYK as RGB."""
    home = folder(tmp_path, {"a": 1, "b": 1})
    lying = Image.fromarray(picture(7, (6, 9)))
    tags = lying.getexif()
    tags[0x0112] = 6
    lying.save(home / "a" / "1.png", exif=tags)
    Image.new("CMYK", (4, 4), (255, 0, 0, 0)).save(home / "b" / "1.tif")
    found = read_labelled(home)
    assert np.array_equal(np.asarray(found.photo(1).pixels), np.rot90(picture(7, (6, 9)), -1))
    assert found.photo(3).pixels.getpixel((0, 0)) == (0, 255, 255)


def test_files_beside_the_classes_and_empty_classes_are_noted(tmp_path):
    home = folder(tmp_path, {"a": 1, "b": 1, "nothing": 0})
    (home / "readme.txt").write_text("about")
    (home / ".hidden").mkdir()
    found = read_labelled(home)
    assert found.classes == ("a", "b")
    assert [note.split(" ")[0] for note in found.notes] == ["the", "1"]
    assert "nothing" in found.notes[0]


def test_classes_that_look_alike_are_noted(tmp_path):
    found = read_labelled(folder(tmp_path, {"Cat": 1, "cat": 1, "dog": 1}))
    assert found.classes == ("Cat", "cat", "dog")
    assert found.notes == (
        "'Cat', 'cat' differ only in small and capital letters, and are classes of their own",
    )


def test_the_list_of_classes_gives_their_order(tmp_path):
    home = folder(tmp_path, {"a": 1, "b": 2})
    found = read_labelled(home, classes=["b", "a", "c"])
    assert found.counts == {"b": 2, "a": 1, "c": 0}
    assert "'c'" in found.notes[0]


@pytest.mark.parametrize(
    ("counts", "options", "message"),
    [
        ({"a": 2}, {}, "one class, 'a'"),
        ({}, {}, "no images in folders of classes. Expected"),
        ({"train/a": 1, "train/b": 1, "val/bb": 1}, {}, "'bb' in its validation part .* mean 'b'"),
        ({"train/a": 1, "train/b": 1, "cats": 1}, {}, "beside it, 'cats'"),
        ({"train/a": 1, "train/b": 1, "val/a": 1, "valid/a": 1}, {}, "two mean the same"),
        ({"cat": 1, "dog": 1}, {"classes": ["cat", "dgo"]}, "'dog', which is not in the list .* mean 'dgo'"),
        ({"cat": 1, "dog": 1}, {"classes": ["cat", "dog", "cat"]}, "'cat' more than once"),
        ({"cat": 1, "dog": 1}, {"separator": "|"}, "separator= is for tables"),
    ],
)
def test_what_is_refused(tmp_path, counts, options, message):
    with pytest.raises(InputError, match=message):
        read_labelled(folder(tmp_path, counts), **options)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("no such folder", "There is no 'no such folder'"),
        (__file__, "is a file, and no table"),
        (3, "A int has no labelled images"),
        (None, "A NoneType has no labelled images"),
    ],
)
def test_what_is_no_data(given, message):
    with pytest.raises(InputError, match=message):
        read_labelled(given)


def test_images_without_folders_of_classes(tmp_path):
    folder(tmp_path, {"photos/cat": 2, "photos/dog": 2})
    with pytest.raises(InputError, match=r"2 file.s. lie directly in it: if they .* to give is '.*photos';"):
        read_labelled(tmp_path / "photos" / "cat")


def test_a_misspelt_folder(tmp_path):
    folder(tmp_path, {"photos/cat": 1, "photos/dog": 1})
    with pytest.raises(InputError, match=r"There is no '.*photo'; .* Did you mean 'photos'"):
        read_labelled(tmp_path / "photo")
