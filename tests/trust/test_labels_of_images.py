"""`explainer.trust(labels=…)`: where the model says another class, the verdict says of what the map is."""

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from PIL import Image

import camscope
from camscope.errors import InputError, TargetError
from camscope.trust import load
from tests.metrics.small_models import Additive, classifier
from tests.trust.coloured_patches import COLOURS, explainer, photos

FEW = {"probes": 32, "progress": False, "layers": "colour+relu"}
NAMES = list(COLOURS)


def test_a_wrong_answer_is_said_in_the_verdict_and_a_right_one_is_not(tmp_path):
    (one,) = photos(1)
    right = explainer().trust(one, labels=["red"], **FEW)
    assert right.rows[0].mistake == ""
    assert "label" not in repr(right)
    wrong = explainer().trust(one, labels=["blue"], **FEW)
    row = wrong.rows[0]
    assert row.mistake.startswith("by its label this is blue, and the model says red (")
    assert wrong.verdict == f"{right.verdict} But {row.mistake}: the map is that of red."
    drawn = wrong.figure().findobj(Text)
    assert any(row.mistake in " ".join(text.get_text().split()) for text in drawn)
    kept = load(wrong.save(tmp_path / "one"))
    assert kept.rows[0].mistake == row.mistake
    assert kept.verdict == wrong.verdict
    assert wrong.to_dict()["rows"][0]["mistake"] == row.mistake


def test_the_map_of_the_label_is_told_from_that_of_the_answer():
    (one,) = photos(1)
    found = explainer().trust(one, targets=["red", "blue"], labels=[NAMES.index("blue")], **FEW)
    assert found.verdict.count("by its label this is blue") == 1
    assert found.verdict.endswith(": the maps are those of red and blue.")
    (alone,) = explainer().trust(one, targets="blue", labels=["blue"], **FEW).rows
    assert alone.mistake == found.rows[0].mistake


def test_of_several_it_is_counted_and_each_is_named():
    found = explainer().trust(photos(3), labels=["red", "red", "red"], **FEW)
    assert [bool(row.mistake) for row in found.rows] == [False, True, True]
    assert "By the labels 2 images are of another class than the model says" in found.verdict
    assert "image 1: by its label this is red, and the model says green" in repr(found)


def test_folders_are_labels_of_files(tmp_path):
    paths = []
    for folder, one in zip(("red", "yellow"), photos(2), strict=True):
        (tmp_path / folder).mkdir()
        one.save(tmp_path / folder / "1.png")
        paths.append(tmp_path / folder / "1.png")
    found = explainer().trust(paths, labels="folders", **FEW)
    assert [row.mistake[:25] for row in found.rows] == ["", "by its label this is yell"]
    Image.open(paths[0]).save(tmp_path / "1.png")
    other = explainer().trust(tmp_path / "1.png", labels="folders", **FEW)
    assert other.rows[0].mistake == ""
    assert (
        "The names of the folders were not taken for labels. There is no class" in other.explanation.notes[-1]
    )
    with pytest.raises(InputError, match="Image 0 was read from no file"):
        explainer().trust(photos(1), labels="folders", **FEW)


def test_of_several_labels_all_are_said():
    net, _ = classifier()
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 2, 14, 14)))
    explains = camscope.Explainer(net, task="multilabel")
    count = int(net(x).shape[1])
    (row,) = explains.trust(x, labels=[[1] * count], targets=0, probes=32).rows
    assert row.mistake.startswith("by its label this is class 0 and class 1")
    said = (net(x)[0] > 0).int().tolist()
    assert explains.trust(x, labels=[said], targets=0, probes=32).rows[0].mistake == ""


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        (["red", "red"], InputError, "2 labels for 1 images"),
        ("red", InputError, "expected one for each image, such as"),
        ("folder", InputError, "Did you mean 'folders'"),
        (7, InputError, "expected one for each image"),
        (["rad"], TargetError, "Did you mean 'red'"),
        ([9], TargetError, "There is no class 9"),
    ],
)
def test_labels_that_are_none_are_refused(labels, error, words):
    with pytest.raises(error, match=words):
        explainer().trust(photos(1), labels=labels, **FEW)


def test_a_model_without_classes_has_no_labels():
    net = Additive(torch.ones(14, 14)).double().eval()
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 1, 14, 14)))
    with pytest.raises(InputError, match="Labels are for models with classes of the whole image"):
        camscope.Explainer(net, task="regression").trust(x, labels=[0], probes=32)
