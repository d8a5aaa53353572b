"""`Explainer.over`: batches of every form, the wrong ones only, mean maps, and memory that stays flat."""

from __future__ import annotations

import collections
import gc
import weakref

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import camscope
from camscope.engine.loader_batches import labelled_batches
from camscope.errors import InputError, KeywordError, TargetError
from tests.conftest import make_tiny_cnn

NAMES = ["ant", "bee", "cat", "dog", "elk"]


def varied_cnn() -> nn.Module:
    """One that gives noise several classes."""
    model = make_tiny_cnn()
    with torch.no_grad():
        x = torch.randn(200, 3, 32, 32, generator=torch.Generator().manual_seed(1))
        model.head.weight *= 40
        model.head.bias -= model(x).mean(0)
    return model


@pytest.fixture(scope="module")
def model():
    return varied_cnn()


@pytest.fixture(scope="module")
def explainer(model):
    return camscope.Explainer(model, class_names=NAMES, preprocessing="0-1@32")


@pytest.fixture(scope="module")
def x():
    return torch.randn(20, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def top(model, x):
    top = model(x).argmax(1)
    assert len(top.unique()) > 2
    return top


def photos(count: int) -> list[Image.Image]:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return [Image.fromarray(one) for one in pixels]


# ------------------------------------------------------------------ every form of batches


def test_each_batch_is_explained_as_by_a_call(explainer, x, top):
    loader = DataLoader(TensorDataset(x, top), batch_size=6)
    found = list(
        explainer.over(loader, methods=["gradcam", "cam"], layers="last_relu", targets=[1, 2], channels=2)
    )
    assert [len(e) for e in found] == [6, 6, 6, 2]
    for e, rows in zip(found, x.split(6), strict=True):
        expected = explainer(rows, methods=["gradcam", "cam"], layers="last_relu", targets=[1, 2], channels=2)
        assert all(maps.equal(expected.raw[key]) for key, maps in e.raw.items())
        assert e.channels.keys() == expected.channels.keys()
    assert [label for e in found for label in e.labels] == [NAMES[i] for i in top]


@pytest.mark.parametrize(
    "form",
    [
        lambda x, y: [x[:3], x[3:5]],
        lambda x, y: ((part,) for part in (x[:3], x[3:5])),
        lambda x, y: [(x[:3], y[:3]), [x[3:5], y[3:5]]],
        lambda x, y: [(x[:3], y[:3].tolist(), ["a", "b", "c"]), (x[3:5], [NAMES[i] for i in y[3:5]])],
        lambda x, y: [{"pixel_values": x[:3], "labels": y[:3]}, {"image": x[3:5], "label": y[3:5].tolist()}],
        lambda x, y: TensorDataset(x[:5], y[:5]),
        lambda x, y: [(one, int(label)) for one, label in zip(x[:5], y[:5], strict=True)],
        lambda x, y: [(x[:3], nn.functional.one_hot(y[:3], 5)), (x[3:5], nn.functional.one_hot(y[3:5], 5))],
    ],
    ids=["tensors", "1-tuples", "pairs", "names and more", "dictionaries", "dataset", "singles", "one-hot"],
)
def test_tensors_come_in_many_forms(explainer, x, top, form):
    found = list(explainer.over(form(x, top), size=3))
    assert [len(e) for e in found] == [3, 2]
    together = torch.cat([e.maps() for e in found])
    assert torch.allclose(together, explainer(x[:5]).maps(), atol=1e-6)
    if found[0].labels is not None:
        said = [label for e in found for label in e.labels]
        assert said in ([NAMES[i] for i in top[:5]], [[NAMES[i]] for i in top[:5]])


@pytest.mark.parametrize("shaped", [False, True], ids=["", "as fastai has them"])
def test_photos_come_one_by_one_or_in_lists_with_labels_or_without(explainer, tmp_path, monkeypatch, shaped):
    five = photos(5)
    if shaped:  # its import gives every picture of Pillow's a shape
        monkeypatch.setattr(Image.Image, "shape", property(lambda self: self.size[::-1]), raising=False)
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for photo, path in zip(five, paths, strict=True):
        photo.save(path)
    expected = explainer(five).maps()
    labels = ["ant", 1, np.int64(2), "dog", torch.tensor(4)]
    for items in (
        five,
        paths,
        map(str, paths),
        [np.asarray(photo) for photo in five],
        [five[:3], five[3:]],
        [(photo, label) for photo, label in zip(five, labels, strict=True)],
        [(str(path), label) for path, label in zip(paths, labels, strict=True)],
        [{"image": photo, "label": i, "id": f"{i}"} for i, photo in enumerate(five)],
        [{"image": five[:3], "label": [0, 1, 2]}, {"image": five[3:], "label": [3, 4]}],
    ):
        found = list(explainer.over(items, size=3))
        assert [len(e) for e in found] == [3, 2]
        assert torch.allclose(torch.cat([e.maps() for e in found]), expected, atol=1e-6)
        assert found[0].labels in (None, NAMES[:3])
    assert explainer.preprocessing is not None


def test_arrays_of_bytes_are_photos_and_those_of_numbers_a_batch():
    """ONNX models take arrays: three axes may be a batch of signals."""
    signals, grey = np.zeros((4, 2, 9), np.float32), np.zeros((9, 9), np.uint8)
    (batch,) = labelled_batches([signals], 3, None)
    assert batch.inputs is signals
    (batch,) = labelled_batches([(signals, np.array([0, 1, 0, 1]))], 3, None)
    assert batch.labels == [0, 1, 0, 1]
    first, second = labelled_batches([grey] * 4, 3, None)
    assert [len(first.inputs), len(second.inputs)] == [3, 1]
    (batch,) = labelled_batches([(photos(1)[0], torch.tensor([0, 1, 1]))], 3, None)
    assert batch.labels == [[0, 1, 1]]


def test_other_forms_are_told_apart_by_a_function(explainer, x, top):
    items = [{"scan": x[:4], "truth": top[:4]}]
    (e,) = explainer.over(items, apart=lambda item: (item["scan"], item["truth"]), targets="labels")
    assert [target.name for (target,) in e.targets] == e.labels == [NAMES[i] for i in top[:4]]


# ------------------------------------------------------------------ some of them


@pytest.mark.parametrize("only", ["wrong", "right"])
def test_only_those_it_gets_wrong_or_right_and_the_others_cost_no_map(explainer, x, top, only):
    y = top.clone()
    y[[2, 3, 13]] = (y[[2, 3, 13]] + 1) % 5
    loader = DataLoader(TensorDataset(x, y), batch_size=4)
    found = list(explainer.over(loader, only=only))
    rows = (
        torch.tensor([2, 3, 13])
        if only == "wrong"
        else torch.tensor([i for i in range(20) if i not in (2, 3, 13)])
    )
    assert [len(e) for e in found] == ([2, 1] if only == "wrong" else [2, 4, 4, 3, 4])
    assert torch.allclose(torch.cat([e.maps() for e in found]), explainer(x[rows]).maps(), atol=1e-6)
    assert [label for e in found for label in e.labels] == [NAMES[i] for i in y[rows]]
    assert len(found[0].input_images) == len(found[0])
    assert [one.labels for one in found[0]] == [[label] for label in found[0].labels]


def test_wrong_of_several_labels_is_another_set_of_classes(model, x):
    several = camscope.Explainer(model, task="multilabel")
    y = (model(x) > 0).int()
    y[4, 0] = 1 - y[4, 0]
    (e,) = several.over([(x[:8], y[:8])], only="wrong")
    assert torch.allclose(e.maps(), several(x[4:5]).maps(), atol=1e-6)
    one_logit = camscope.Explainer(nn.Sequential(model, nn.Linear(5, 1)).eval())
    right = (one_logit(x).logits[:, 1] > 0).int()
    assert list(one_logit.over([(x, right)], only="wrong")) == []
    (e,) = one_logit.over([(x, 1 - right)], only="wrong")
    assert len(e) == 20


def test_a_function_says_which(explainer, x):
    wanted = lambda e: e.logits.max(1).values > 1  # noqa: E731
    found = list(explainer.over(x.split(5), only=wanted))
    assert sum(map(len, found)) == int((explainer(x).logits.max(1).values > 1).sum()) > 0
    with pytest.raises(InputError, match="expected a truth value for each"):
        list(explainer.over([x], only=lambda e: 3))


# ------------------------------------------------------------------ what one does with them


def test_the_mean_map_of_every_class_in_three_lines(explainer, x, top):
    loader = DataLoader(TensorDataset(x, top), batch_size=6)
    sums, counts = collections.defaultdict(float), collections.Counter()
    for e in explainer.over(loader, targets="labels"):
        for label, heatmap in zip(e.labels, e.heatmaps()[:, 0], strict=True):
            sums[label], counts[label] = sums[label] + heatmap, counts[label] + 1
    means = {label: sums[label] / counts[label] for label in sums}
    assert means.keys() == {NAMES[i] for i in top}
    for label, mean in means.items():
        rows = top == NAMES.index(label)
        expected = explainer(x[rows], targets=label).heatmaps()[:, 0].mean(0)
        torch.testing.assert_close(mean, expected, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_nothing_of_the_batches_before_is_kept(explainer, x):
    alive: list[weakref.ref[torch.Tensor]] = []

    def batches():
        for part in x.split(4):
            yield part.clone()

    most = 0
    for e in explainer.over(batches()):
        alive.append(weakref.ref(e.maps()))
        del e
        gc.collect()
        most = max(most, sum(one() is not None for one in alive))
    assert most <= 1
    assert len(alive) == 5


def test_labels_are_in_the_file_too(explainer, x, top, tmp_path):
    (e,) = explainer.over([(x[:3], top[:3])])
    loaded = camscope.load(e.save(tmp_path / "maps.npz"))
    assert loaded.labels == e.labels == [NAMES[i] for i in top[:3]]
    assert loaded[1:].labels == e.labels[1:]
    assert explainer(x[:2]).labels is None


@pytest.mark.parametrize("shown", [True, False])
def test_a_bar_shows_how_far_it_is(explainer, x, capfd, monkeypatch, shown):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    list(explainer.over(x.split(10), progress=shown))
    assert ("2/2" in capfd.readouterr().err) == shown


def test_no_bar_where_nobody_looks(explainer, x, capfd):
    list(explainer.over(x.split(10)))
    out, err = capfd.readouterr()
    assert not out
    assert not err


# ------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("items", "call", "says"),
    [
        (lambda x, y: x, {}, r"one batch after another, not Tensor.*explainer\(x\)"),
        (lambda x, y: "photo.jpg", {}, "not str"),
        (lambda x, y: 5, {}, "not int"),
        (lambda x, y: [x], {"only": "wrong"}, "only='wrong' needs labels"),
        (lambda x, y: [x], {"targets": "labels"}, "targets='labels' needs labels"),
        (lambda x, y: [x], {"only": "worng"}, "Did you mean 'wrong'"),
        (lambda x, y: [(x, y[:3])], {}, "3 labels came with 20 images"),
        (lambda x, y: list(zip(photos(2), [1, None], strict=True)), {}, "Some images come with a label"),
        (lambda x, y: [(x[:2], ["cat", "dgo"])], {"only": "wrong"}, "There is no class 'dgo'.*'dog'"),
        (lambda x, y: [(x[:2], ["cat", "dgo"])], {"targets": "labels"}, "There is no class 'dgo'.*'dog'"),
        (lambda x, y: [(x[:2], torch.tensor([1, 7]))], {"targets": "labels"}, "There is no class 7"),
        (lambda x, y: [(x[:2], torch.eye(7)[:2])], {"targets": "labels"}, "7 numbers of 0 and 1"),
        (lambda x, y: [(x[:2], torch.tensor([[1, 1, 0, 0, 0], [1, 0, 0, 0, 0]]))], {"targets": "labels"}, "1 to 2 lab"),
    ],
)  # fmt: skip
def test_mistakes_are_named(explainer, x, top, items, call, says):
    with pytest.raises((InputError, TargetError), match=says):
        list(explainer.over(items(x, top), **call))


def test_an_error_says_in_which_batch(explainer, x):
    with pytest.raises(InputError, match="NaN") as caught:
        list(explainer.over([x[:2], x[2:4] * float("nan")]))
    assert caught.value.__notes__ == ["This was batch 1 (from 0)."]
    with pytest.raises(KeywordError, match="Did you mean 'only'"):
        explainer.over([x], onyl="wrong")


def test_of_a_segmenter_nothing_is_wrong_as_a_whole(x):
    segmenter = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 5, 1)).eval()
    with pytest.raises(InputError, match="classes of the whole image"):
        list(camscope.Explainer(segmenter).over([(x[:2], torch.tensor([0, 1]))], only="wrong"))


def test_whole_real_numbers_are_labels_and_others_are_said_to_be_inputs(explainer, x):
    for labels in (torch.tensor([0.0, 1, 2, 3]), np.array([0.0, 1, 1, 0])):
        (e,) = explainer.over([(x[:4], labels)])
        assert e.labels == [NAMES[int(label)] for label in labels]
    for inputs in (
        (x[:4], torch.rand(4)),
        (x[:4], torch.zeros(4, 32, 32, dtype=torch.int64)),
        {"a": x[:4], "id": x},
    ):
        with pytest.raises(InputError) as caught:
            list(explainer.over([inputs]))
        assert "apart=lambda batch" in caught.value.__notes__[0]
