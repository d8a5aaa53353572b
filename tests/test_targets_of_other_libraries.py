"""Targets as people have them: labels of a loader, callables of one image's output."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pytorch_grad_cam.utils.model_targets import (
    BinaryClassifierOutputTarget,
    ClassifierOutputSoftmaxTarget,
    ClassifierOutputTarget,
    SemanticSegmentationTarget,
)
from torch import nn

import camscope
from camscope import PerImage
from camscope.errors import TargetError

LABELS = [3, 0, 2]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 5, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ).eval()


@pytest.fixture(scope="module")
def segmenter() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 3, padding=1)).eval()


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    return torch.randn(3, 3, 12, 12, generator=torch.Generator().manual_seed(2))


def explained(model: nn.Module, x: torch.Tensor, targets: object) -> camscope.Explanation:
    return camscope.explain(model, x, methods="gradcam", layers="1", targets=targets)


def assert_same(a: camscope.Explanation, b: camscope.Explanation) -> None:
    torch.testing.assert_close(a.scores, b.scores)
    torch.testing.assert_close(a.maps(), b.maps())


@pytest.mark.parametrize(
    "labels",
    [np.array(LABELS), torch.tensor(LABELS), torch.tensor(LABELS, dtype=torch.int32), tuple(LABELS)],
    ids=["numpy", "torch", "int32", "tuple"],
)
def test_a_loaders_labels_are_one_target_for_each_image(model, x, labels):
    e = explained(model, x, PerImage(labels))
    torch.testing.assert_close(e.scores[:, 0], model(x)[range(3), LABELS].detach())
    assert_same(e, explained(model, x, PerImage(LABELS)))


def test_an_array_of_several_columns_is_several_targets_for_each_image(model, x):
    table = torch.tensor([[0, 1], [2, 3], [4, 0]])
    torch.testing.assert_close(
        explained(model, x, PerImage(table)).scores, model(x).gather(1, table).detach()
    )


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (torch.eye(3), "type float32; expected class indices"),
        (torch.zeros(2, 2, 2, dtype=torch.int64), r"shape \(2, 2, 2\)"),
        (np.array([True, False]), "type bool"),
    ],
    ids=["one-hot", "three axes", "bool"],
)
def test_what_holds_no_indices_is_refused(labels, words):
    with pytest.raises(TargetError, match=words):
        PerImage(labels)


# ------------------------------------------------------------------ pytorch-grad-cam's


@pytest.mark.parametrize("kind", [ClassifierOutputTarget, ClassifierOutputSoftmaxTarget])
def test_their_classifier_targets_for_each_image_give_what_they_give_there(model, x, kind):
    targets = [kind(label) for label in LABELS]
    e = explained(model, x, PerImage(targets))
    out = model(x)
    theirs = torch.stack([target(row) for target, row in zip(targets, out, strict=True)])
    torch.testing.assert_close(e.scores[:, 0], theirs.detach())
    of = "logit" if kind is ClassifierOutputTarget else "probability"
    ours = explained(model, x, PerImage([camscope.Class(label, of) for label in LABELS]))
    torch.testing.assert_close(e.maps(), ours.maps(), rtol=1e-4, atol=1e-7)


def test_they_are_called_by_their_class_and_category(model, x):
    e = explained(model, x, PerImage([ClassifierOutputTarget(label) for label in LABELS]))
    assert [row[0].name for row in e.targets] == [f"ClassifierOutputTarget({label})" for label in LABELS]


@pytest.mark.parametrize("category", [0, 1, 3])
@pytest.mark.parametrize("images", [1, 3])
def test_their_segmentation_target_is_the_sum_over_its_mask(segmenter, x, category, images):
    mask = np.zeros((12, 12), dtype=np.float32)
    mask[2:5, 3:9] = 1
    x = x[:images]
    expected = segmenter(x)[:, category, 2:5, 3:9].sum((1, 2)).detach()
    for targets in (
        SemanticSegmentationTarget(category, mask),
        PerImage([SemanticSegmentationTarget(category, mask)] * images),
    ):
        e = explained(segmenter, x, targets)
        torch.testing.assert_close(e.scores[:, 0], expected)


def test_their_binary_target_takes_the_row_of_one_image(x):
    torch.manual_seed(3)
    one = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1)
    ).eval()
    e = explained(one, x, PerImage([BinaryClassifierOutputTarget(c) for c in (1, 0, 1)]))
    torch.testing.assert_close(e.scores[:, 0], one(x)[:, 0].detach() * torch.tensor([1.0, -1.0, 1.0]))


def test_a_function_of_one_image_serves_the_batch(model, x):
    def third(output: torch.Tensor) -> torch.Tensor:
        assert output.ndim == 1
        return output[3]

    assert_same(explained(model, x, third), explained(model, x, 3))


def test_a_function_of_one_image_serves_as_many_images_as_there_are_classes(model):
    """There `output[3]` of the whole batch is a number for each image too: the fourth image's scores."""
    x = torch.randn(5, 3, 12, 12, generator=torch.Generator().manual_seed(4))
    assert_same(explained(model, x, lambda out: out[3]), explained(model, x, 3))
    assert_same(explained(model, x, lambda out: out[..., 3]), explained(model, x, 3))
    assert_same(
        explained(model, x, lambda out: (out - out.mean(0))[..., 3] + out.mean(0)[3]), explained(model, x, 3)
    )


def test_a_function_of_the_batch_is_still_one(model, x):
    chosen = torch.tensor(LABELS)
    e = explained(model, x, lambda out: out[torch.arange(len(out)), chosen])
    assert_same(e, explained(model, x, PerImage(LABELS)))


@pytest.mark.parametrize("method", ["scorecam-paper-logit", "ablationcam", "smooth(gradcam, n=4)"])
def test_the_number_of_each_image_is_its_own_in_altered_copies_too(model, x, method):
    """Methods that run altered copies take rows of images several times."""
    theirs, ours = (
        camscope.explain(model, x, methods=method, layers="1", targets=targets)
        for targets in (PerImage([ClassifierOutputTarget(label) for label in LABELS]), PerImage(LABELS))
    )
    torch.testing.assert_close(theirs.maps(), ours.maps(), rtol=1e-4, atol=1e-6)


def test_what_gives_no_number_says_so_of_both_ways(model, x):
    with pytest.raises(TargetError, match="must give one number for an image; it returned shape"):
        explained(model, x, PerImage([lambda out: out.reshape(-1)[:2]] * 3))
    with pytest.raises(
        TargetError, match=r"fails for the output of one image: IndexError.*As a batch of one"
    ):
        explained(model, x, PerImage([lambda out: out[99]] * 3))


@pytest.mark.parametrize(
    "function",
    [lambda out: out[:, 3].mean(), lambda out: out[0].mean(), lambda out: out[:, :2].sum()],
    ids=["a class of the batch", "the first row", "some classes"],
)
def test_a_function_that_takes_one_axis_for_another_is_refused(segmenter, x, function):
    """Of a batch of one, `out[:, 3]` is a class; without the batch axis it is a row of the picture."""
    says = r"not clear which axis is meant.*output\[\.\.\., 3, :, :\]\.mean\(\)"
    with pytest.raises(TargetError, match=says):
        explained(segmenter, x, PerImage([function] * 3))
    with pytest.raises(TargetError):
        explained(segmenter, x, function)


def test_functions_that_mean_the_same_in_both_ways_and_objects_of_other_libraries(segmenter, model, x):
    expected = segmenter(x)[:, 3].mean((1, 2)).detach()
    for function in (
        lambda out: out[..., 3, :, :].mean(),
        lambda out: out[3].mean(),
        lambda out: out[:, 3].mean((1, 2)),
    ):
        found = explained(segmenter, x, PerImage([function] * 3)).scores[:, 0]
        torch.testing.assert_close(found, expected)
    # called without the batch axis, as its library does, though class 0 is the first row of a batch of one too
    mask = np.ones(x.shape[2:], np.float32)
    theirs = explained(segmenter, x, PerImage([SemanticSegmentationTarget(0, mask)] * 3)).scores[:, 0]
    torch.testing.assert_close(theirs, segmenter(x)[:, 0].sum((1, 2)).detach())
    of_batch = explained(model, x, PerImage([lambda out: out[:, 3].mean()] * 3)).scores[:, 0]
    torch.testing.assert_close(of_batch, model(x)[:, 3].detach())


# ------------------------------------------------------------------ a list that is as long as the batch


@pytest.mark.parametrize(
    "targets", [LABELS, [ClassifierOutputTarget(label) for label in LABELS]], ids=["int", "call"]
)
def test_a_list_as_long_as_the_batch_says_how_it_was_taken(model, x, targets):
    (note,) = [n for n in explained(model, x, targets).notes if "PerImage" in n]
    assert note.startswith("3 targets were given for 3 images: each is explained in every image.")


def test_other_lists_need_no_word(model, x):
    for given, targets in ((x, [1, 2]), (x[:1], [1]), (x, PerImage(LABELS)), (x, ["0", "1", "2"])):
        assert not [n for n in explained(model, given, targets).notes if "PerImage" in n]
