"""What is looked at before a training: files, sizes, duplicates, counts, and the statistics of pixels."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from camscope.errors import InputError
from camscope.images import Preprocessing
from camscope.training import inspect, measured, read_labelled, split, summarise
from camscope.training.statistics import MOST
from tests.training.made import folder, labelled, picture


@pytest.fixture
def home(tmp_path):
    """Twenty images in two classes."""
    return folder(tmp_path, {"a": 12, "b": 8})


def test_unreadable_files_are_left_out(home):
    (home / "a" / "3.png").write_bytes(b"nonsense")
    (home / "b" / "0.png").write_bytes(b"")
    found, seen = inspect(read_labelled(home), unreadable=0.1)
    assert len(found) == len(seen.sizes) == 18
    assert [name for name, _ in found.skipped] == ["a/3.png", "b/0.png"]
    assert "is empty" in found.skipped[1].reason
    assert found.counts == {"a": 11, "b": 7}
    # the others are still theirs
    assert np.array_equal(np.asarray(found.photo(3).pixels), picture(4))
    assert np.array_equal(np.asarray(found.photo(17).pixels), picture(19))
    with pytest.raises(InputError, match="2 of 20 images cannot be used; at most 9%"):
        inspect(read_labelled(home), unreadable=0.09)


def test_a_summary_says_what_is_odd(home):
    """The same picture twice, in other classes, one of them held out; one more inside of the training part."""
    (home / "b" / "7.png").write_bytes((home / "a" / "11.png").read_bytes())
    (home / "a" / "2.png").write_bytes((home / "a" / "1.png").read_bytes())
    (home / "a" / "0.png").write_bytes(b"nonsense")
    Image.fromarray(picture(50, (30, 60))).save(home / "b" / "3.png")
    images, seen = inspect(read_labelled(home))
    parts = split(images, holdout=0.2)
    said = summarise(images, parts, seen)
    assert said.images == 19
    assert said.train == {"a": 9, "b": 6}
    assert said.val == {"a": 2, "b": 2}
    assert said.imbalance == 11 / 8
    assert said.sizes == ((12, 10), (12, 10), (30, 60))
    assert said.duplicates == (("a/1.png", "a/2.png"), ("a/11.png", "b/7.png"))
    assert said.contradictions == (("a/11.png", "b/7.png"),)
    held = {images.names[i] for i in parts.val}
    assert said.leaks == tuple(group for group in said.duplicates if len(held & set(group)) == 1)
    assert [name for name, _ in said.skipped] == ["a/0.png"]
    again = json.loads(json.dumps(said.to_dict()))
    assert again["skipped"][0]["name"] == "a/0.png"
    assert again["train"] == said.train


def test_a_leak_is_a_pair_on_both_sides():
    sources = [picture(i // 2) for i in range(8)]
    images, seen = inspect(
        labelled(8, 2, sources=sources, parts=("train", "val", "val", "val", *["train"] * 4))
    )
    said = summarise(images, split(images), seen)
    assert len(said.duplicates) == 4
    assert said.leaks == (("image 0", "image 1"),)


@pytest.mark.parametrize("kind", ["arrays", "PIL images", "a dataset"])
def test_images_in_memory_are_looked_at_too(kind):
    pictures = [picture(i % 5, (6 + i % 5, 7)) for i in range(10)]
    if kind == "PIL images":
        pictures = [Image.fromarray(one) for one in pictures]
    given = labelled(10, 2, sources=pictures)
    if kind == "a dataset":
        given = read_labelled([(one, i % 2) for i, one in enumerate(pictures)])
    images, seen = inspect(given)
    assert seen.duplicates == tuple((i, i + 5) for i in range(5))
    assert seen.sizes[:, 0].tolist() == [6 + i % 5 for i in range(10)]
    assert len(summarise(images, split(images), seen).contradictions) == 5


def test_of_a_large_dataset_a_part_is_looked_at():
    items = [(np.full((2, 2), i % 256, np.uint8), i % 2) for i in range(MOST + 500)]
    assert len(inspect(read_labelled(items))[1].sizes) == MOST


def test_without_an_inspection():
    images = labelled(8, 2, multilabel=True)
    said = summarise(images, split(images))
    assert said.sizes is None
    assert said.duplicates == ()


# ------------------------------------------------------------------ statistics


@pytest.mark.parametrize("channels", [1, 3])
def test_statistics_are_those_of_the_tensors(channels):
    """Measured, the training images have mean 0 and standard deviation 1; what is held out is not looked at."""
    images = labelled(30)
    before = Preprocessing((10, 8), resize=11, mean=(0.5,) * channels, std=(0.5,) * channels)
    model = measured(before, images, range(20))
    x = np.stack([model(images.photo(i)) for i in range(20)]).astype(float)
    assert np.abs(x.mean((0, 2, 3))).max() < 1e-6
    assert np.abs(x.std((0, 2, 3)) - 1).max() < 1e-6
    assert "20 training images" in model.source
    other = measured(before, images, range(21))
    assert other.mean != model.mean
    assert Preprocessing.from_dict(json.loads(json.dumps(model.to_dict()))) == model


def test_of_many_images_a_part_is_measured():
    reads = []

    class Many(list):
        def __getitem__(self, index):
            reads.append(index)
            return picture(index % 7)

    count = MOST + 1000
    images = labelled(count, sources=Many(range(count)))
    measured(Preprocessing((12, 10)), images, range(count))
    assert len(reads) == MOST
    assert (reads[0], reads[-1]) == (0, count - 1)


def test_unreadable_images_are_passed_over():
    images = labelled(4, sources=["none.png", *(picture(i) for i in range(1, 4))])
    assert "3 training images" in measured(Preprocessing((12, 10)), images, range(4)).source
    with pytest.raises(
        InputError, match=r"None of the 1 images can be read. The first: 'none.png' does not exist"
    ):
        measured(Preprocessing((12, 10)), images, [0])


def test_images_without_any_difference():
    images = labelled(4, sources=[np.full((4, 4), 7, np.uint8)] * 4)
    with pytest.raises(InputError, match=r"All pixels of the 4 images .* are the same"):
        measured(Preprocessing((4, 4)), images, range(4))
