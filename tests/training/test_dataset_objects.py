"""Dataset objects as labelled images: kinds of images, kinds of labels, and what is never believed unseen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Subset, TensorDataset
from torchvision.datasets import FakeData, ImageFolder

from camscope.errors import ImageError, InputError
from camscope.training import read_labelled
from tests.training.made import folder, picture


class Pairs:
    """A dataset of given labels, whose images are seeded, with whatever else a test gives it."""

    def __init__(self, labels, image=picture, **fields):
        self._labels, self._image = labels, image
        self.__dict__ |= fields

    def __len__(self):
        return len(self._labels)

    def __getitem__(self, index):
        return self._image(index), self._labels[index]


@pytest.mark.parametrize(
    "image",
    [
        picture,
        lambda i: Image.fromarray(picture(i)),
        lambda i: torch.from_numpy(picture(i)).movedim(-1, 0),
        lambda i: torch.from_numpy(picture(i)).movedim(-1, 0) / 255,
        lambda i: picture(i) / 255,
    ],
    ids=["array", "PIL", "uint8 tensor", "float tensor", "float array"],
)
def test_kinds_of_images(image):
    found = read_labelled(Pairs([0, 1, 1], image))
    assert found.counts == {"0": 1, "1": 2}
    for i in range(3):
        assert np.array_equal(np.asarray(found.photo(i).pixels), picture(i))


@pytest.mark.parametrize(
    ("labels", "classes", "targets"),
    [
        ([0, 2, 2], ("0", "2"), [[1, 0], [0, 1], [0, 1]]),
        (["b", " a", "b"], ("a", "b"), [[0, 1], [1, 0], [0, 1]]),
        ([np.int64(1), torch.tensor(0), 1.0], ("0", "1"), [[0, 1], [1, 0], [0, 1]]),
        ([[0, 3], [], [3]], ("0", "3"), [[1, 1], [0, 0], [0, 1]]),
        ([{"x"}, ("x", "y"), ["y"]], ("x", "y"), [[1, 0], [1, 1], [0, 1]]),
        (
            [torch.tensor([1.0, 1]), torch.tensor([0.0, 1]), torch.zeros(2)],
            ("0", "1"),
            [[1, 1], [0, 1], [0, 0]],
        ),
    ],
)
def test_kinds_of_labels(labels, classes, targets):
    found = read_labelled(Pairs(labels))
    assert found.classes == classes
    assert found.targets.tolist() == targets
    assert found.multilabel == (np.sum(targets, axis=1) != 1).any()


def test_dictionaries_and_names_of_classes():
    class Dictionaries(Pairs):
        def __getitem__(self, index):
            return {"image": self._image(index), "label": self._labels[index]}

    found = read_labelled(Dictionaries([0, 2], classes=["cat", "dog", "cow"]))
    assert found.counts == {"cat": 1, "dog": 0, "cow": 1}
    assert read_labelled(Dictionaries([0, 2]), classes=["x", "y", "z"]).counts == {"x": 1, "y": 0, "z": 1}


def test_of_torch_and_torchvision(tmp_path):
    images = ImageFolder(str(folder(tmp_path, {"a": 2, "b": 3})))
    assert read_labelled(images).counts == {"a": 2, "b": 3}
    part = read_labelled(Subset(images, [4, 0, 1]))
    assert part.counts == {"a": 2, "b": 1}
    assert np.array_equal(np.asarray(part.photo(0).pixels), picture(4))
    assert len(read_labelled(FakeData(20, (3, 8, 8), 3))) == 20
    greys = TensorDataset(torch.arange(8).reshape(2, 1, 2, 2).byte(), torch.tensor([0, 1]))
    assert np.asarray(read_labelled(greys).photo(1).pixels)[..., 0].tolist() == [[4, 5], [6, 7]]


def test_labels_that_the_dataset_keeps_are_tried():
    """They are read without any image; but not if items say something else."""
    reads = []
    images = lambda i: reads.append(i) or picture(i)  # noqa: E731
    whole = Pairs([0, 1] * 50, images, targets=[0, 1] * 50)
    assert read_labelled(whole).counts == {"0": 50, "1": 50}
    assert read_labelled(Subset(whole, [*range(1, 100, 2), 0])).counts == {"0": 1, "1": 50}
    assert len(reads) < 20
    found = read_labelled(Pairs([0, 1, 1], targets=[1, 1, 1]))
    assert found.counts == {"0": 1, "1": 2}


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (Pairs([]), "has no items"),
        (Pairs([0, 0]), "one class"),
        (
            Pairs([0, 1], lambda i: np.random.default_rng().random((4, 4))),
            "another image each time it is read",
        ),
        (
            Pairs([0, 1], lambda i: torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(i))),
            "normalised",
        ),
        (Pairs([0, -1]), r"Pairs\[1\] has the label -1"),
        (Pairs([0, 0.5]), r"Pairs\[1\] has the label 0.5"),
        (Pairs([0, None]), r"Pairs\[1\] has the label None"),
        (Pairs([0, 2], classes=["a", "b"]), "the label 2, but there are 2 classes"),
        (Pairs(["a", "c"], classes=["a", "b"]), "'c', which is not in the list"),
        (Pairs([0, [1]]), r"one label for Pairs\[0\] and several for Pairs\[1\]"),
        (Pairs([torch.tensor([0, 3])]), r"the label \[0, 3\], expected a zero or a one"),
        (Pairs([torch.ones(3)], classes=["a", "b"]), r"a zero or a one for each class \(2\)"),
        ([picture(0), picture(1)], r"list\[0\] is a ndarray, expected a pair"),
        ([{"picture": 0}], r"a dictionary of 'picture', expected a pair"),
    ],
)
def test_what_is_refused(dataset, message):
    with pytest.raises(InputError, match=message):
        read_labelled(dataset)


@pytest.mark.parametrize("fields", [{}, {"targets": [0, 1] * 20}], ids=["read", "kept"])
def test_an_item_that_cannot_be_read_is_named(fields):
    """It is left out where its label is lost with it; where it is not, the image is missed when it is needed."""

    def image(index):
        if index == 20:
            raise OSError("truncated")
        return picture(index)

    found = read_labelled(Pairs([0, 1] * 20, image, **fields))
    assert len(found) == 39 + len(fields)
    if fields:
        with pytest.raises(ImageError, match=r"Pairs\[20\] cannot be read: OSError: truncated"):
            found.photo(20)
    else:
        assert found.skipped == (("Pairs[20]", "Pairs[20] cannot be read: OSError: truncated"),)
        assert np.array_equal(np.asarray(found.photo(20).pixels), picture(21))
        with pytest.raises(InputError, match="1 of 40 images cannot be used"):
            read_labelled(Pairs([0, 1] * 20, image), unreadable=0.01)
