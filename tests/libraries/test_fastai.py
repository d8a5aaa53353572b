"""A fastai Learner: its transforms, vocabulary and meaning of outputs, and its layers by position."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import camscope

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fastai.vision import all as fastai

SIZE = 48


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(12):
        blocks = np.kron(rng.integers(0, 256, (5, 7, 3)), np.ones((10, 10, 1)))
        Image.fromarray(blocks.astype(np.uint8)).save(place / f"{'ab'[i % 2]}_{i}.png")
    return place


def learner(dls, **options) -> fastai.Learner:
    """With a network small enough to run often, built as vision_learner builds one: body, then fastai's own head."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()
        )
        classes = dls.c
        model = nn.Sequential(body, fastai.create_head(16, classes, concat_pool=True))
    return fastai.Learner(dls, model.eval(), **options)


@pytest.fixture(scope="module")
def single(folder) -> fastai.Learner:
    dls = fastai.ImageDataLoaders.from_name_func(
        folder,
        fastai.get_image_files(folder),
        label_func=lambda name: {"a": "cat", "b": "dog"}[name[0]],
        item_tfms=fastai.Resize(SIZE),
        batch_tfms=fastai.Normalize.from_stats(*fastai.imagenet_stats),
        bs=4,
        num_workers=0,
    )
    return learner(dls, loss_func=fastai.CrossEntropyLossFlat())


@pytest.fixture(scope="module")
def several(folder) -> fastai.Learner:
    block = fastai.DataBlock(
        blocks=(fastai.ImageBlock, fastai.MultiCategoryBlock),
        get_items=fastai.get_image_files,
        get_y=lambda path: [["nucleus", "cytosol"], ["golgi"]][int(path.stem[0] == "b")],
        item_tfms=fastai.Resize(SIZE),
    )
    return learner(block.dataloaders(folder, bs=4, num_workers=0), loss_func=fastai.BCEWithLogitsLossFlat())


def own(learn: fastai.Learner, paths: list[Path]) -> torch.Tensor:
    """The batch as fastai makes it of files."""
    return next(iter(learn.dls.test_dl(paths)))[0].as_subclass(torch.Tensor)


def test_a_photo_goes_through_the_learners_own_transforms(single, folder):
    paths = sorted(folder.glob("*.png"))[:6]  # more than a batch of its loader
    e = camscope.explain(single, [str(path) for path in paths], targets="dog")
    x = own(single, paths)[:4]
    expected = camscope.explain(single.model, x, targets=1)
    torch.testing.assert_close(e.maps()[:4], expected.maps())
    assert len(e) == 6
    assert e.class_names == ["cat", "dog"]
    assert e.provenance["task"] == "multiclass"


def test_what_is_shown_is_the_picture_as_the_model_sees_it(single, folder):
    path = sorted(folder.glob("*.png"))[0]
    view = camscope.explain(single, str(path)).input_images[0]
    assert view.picture.size == (SIZE, SIZE)
    expected = fastai.Resize(SIZE)(fastai.PILImage.create(path), split_idx=1)
    assert np.abs(np.asarray(view.picture, int) - np.asarray(expected, int)).max() <= 1


def test_a_multi_label_learner_is_one(several, folder):
    path = sorted(folder.glob("*.png"))[0]
    e = camscope.explain(several, str(path), targets=camscope.AllClasses())
    assert e.provenance["task"] == "multilabel"
    assert e.class_names == ["cytosol", "golgi", "nucleus"]
    torch.testing.assert_close(e.probabilities, several.model(own(several, [path])).detach().sigmoid())


@pytest.mark.parametrize("names", [True, False], ids=["by name", "by module"])
def test_layers_are_those_of_its_model(single, names):
    x = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    layer = "0" if names else single.model[0]
    e = camscope.explain(single, x, layers=layer, targets=[0, 1], methods=["gradcam", "hirescam"])
    assert e.layers == ("0",)
    with torch.no_grad():
        A = single.model[0](x)
    A.requires_grad_()
    (g,) = torch.autograd.grad(single.model[1](A)[:, 1].sum(), A)
    expected = (g.mean((2, 3), keepdim=True) * A).sum(1).detach()
    torch.testing.assert_close(e.maps("gradcam")[:, 1], expected, rtol=1e-4, atol=1e-6)


def test_a_tensor_of_fastais_own_type_is_a_tensor(single):
    x = fastai.TensorImage(torch.randn(2, 3, SIZE, SIZE))
    e = camscope.explain(single, x, targets=1)
    assert type(e.maps()) is torch.Tensor
    torch.testing.assert_close(
        e.maps(), camscope.explain(single, x.as_subclass(torch.Tensor), targets=1).maps()
    )


def test_the_model_is_left_as_it_came(single, folder, untouched):
    single.model.train()
    with untouched(single.model):
        camscope.explain(single, str(sorted(folder.glob("*.png"))[0]), methods=["gradcam", "ablationcam"])
    single.model.eval()


def test_a_preprocessing_of_ones_own_goes_before_the_learners(single, photos):
    preprocessing = camscope.Preprocessing((SIZE, SIZE), (SIZE, SIZE), "squash")
    e = camscope.explain(single, Image.fromarray(photos["cat"]), preprocessing=preprocessing)
    assert e.provenance["preprocessing"]["crop"] == "squash"
    assert e.input_images[0].picture.size == (451, 300)


@pytest.mark.parametrize(
    ("loss", "task"),
    [
        (nn.BCEWithLogitsLoss(), "multilabel"),
        (nn.CrossEntropyLoss(), "multiclass"),
        (nn.MSELoss(), "regression"),
    ],
)
def test_pytorchs_own_losses_say_what_the_outputs_mean(single, loss, task):
    learn = fastai.Learner(single.dls, single.model, loss_func=loss)
    x = torch.randn(1, 3, SIZE, SIZE)
    assert camscope.explain(learn, x).provenance["task"] == task


def test_grey_pictures_stay_grey(folder):
    block = fastai.DataBlock(
        blocks=(fastai.ImageBlock(fastai.PILImageBW), fastai.CategoryBlock),
        get_items=fastai.get_image_files,
        get_y=lambda path: path.stem[0],
        item_tfms=fastai.Resize(SIZE),
    )
    dls = block.dataloaders(folder, bs=4, num_workers=0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    learn = fastai.Learner(dls, model.eval(), loss_func=fastai.CrossEntropyLossFlat())
    path = sorted(folder.glob("*.png"))[0]
    e = camscope.explain(learn, str(path))
    torch.testing.assert_close(e.logits, model(own(learn, [path])).detach())
    assert e.input_images[0].picture.mode == "RGB"


def test_a_segmentations_codes_are_its_classes(folder, tmp_path):
    for path in folder.glob("*.png"):
        Image.fromarray(np.zeros((50, 70), np.uint8)).save(tmp_path / path.name)
    dls = fastai.SegmentationDataLoaders.from_label_func(
        folder,
        fastai.get_image_files(folder),
        lambda path: tmp_path / path.name,
        codes=["ground", "cell"],
        item_tfms=fastai.Resize(SIZE),
        bs=4,
        num_workers=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 3, padding=1)).eval()
    learn = fastai.Learner(dls, model, loss_func=fastai.CrossEntropyLossFlat(axis=1))
    e = camscope.explain(learn, str(sorted(folder.glob("*.png"))[0]), targets=camscope.Region("cell", "all"))
    assert "cell" in e.targets[0][0].label
    assert e.class_names == ["ground", "cell"]


def test_a_network_made_of_fastais_module_is_explained_like_any_other():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = fastai.XResNet(fastai.ResBlock, 1, [1, 1, 1, 1], n_out=3).eval()
        encoder = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU())
        segmenter = fastai.DynamicUnet(encoder, 2, (SIZE, SIZE)).eval()
        x = torch.randn(1, 3, SIZE, SIZE)
    found = camscope.explain(network, x, targets=1)
    assert [str(s) for s in found.status[found.key()][0]] == ["ok"]
    assert torch.equal(found.logits, network(x).detach())
    dense = camscope.explain(segmenter, x, targets=1)
    assert [str(s) for s in dense.status[dense.key()][0]] == ["ok"]


def test_what_is_no_model_is_refused_even_if_it_is_fastais():
    with pytest.raises(camscope.ModelError, match="Cannot explain a Resize"):
        camscope.Explainer(fastai.Resize(8))
