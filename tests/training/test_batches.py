"""Batches: what is in them, in which order, whoever reads them, and what happens to images that cannot be read."""

from __future__ import annotations

import random
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from camscope.errors import CamscopeWarning, InputError
from camscope.images import Preprocessing, read_photo
from camscope.inputs.prepare import prepare
from camscope.libraries.info import ModelInfo
from camscope.training import Augmentation, Batches, read_labelled
from camscope.training.randomness import draws
from tests.training.made import folder, labelled, picture

ROOT = Path(__file__).parents[2]
MODEL = Preprocessing((8, 8), resize=9)
CHANGING = Augmentation(MODEL, area=0.5, shift=1, flip=True, vertical=True, rotate=20, lighting=0.3)


def training(images, indices=None, **options):
    chosen = range(len(images)) if indices is None else indices
    given = {"transform": CHANGING, "batch_size": 4, "seed": 5, "training": True, **options}
    return Batches(images, chosen, **given)


def epochs(batches, count=2, start=0):
    return [batch for k in range(count) for batch in batches.epoch(k, start)]


def same(one, other):
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_held_out_images_are_what_an_explanation_would_see(tmp_path):
    """Bit for bit, in their order, all of them."""
    images = read_labelled(folder(tmp_path, {"a": 5, "b": 4}))
    batches = Batches(images, [8, 0, 3], transform=MODEL, batch_size=2)
    assert len(batches) == 2
    first, last = batches.epoch(0)
    assert torch.cat([first.indices, last.indices]).tolist() == [8, 0, 3]
    assert torch.cat([first.y, last.y]).tolist() == [1, 0, 0]
    assert first.x.dtype == torch.float32
    x = torch.cat([first.x, last.x]).numpy()
    paths = [images.sources[i] for i in (8, 0, 3)]
    assert np.array_equal(x, np.stack([MODEL(read_photo(path)) for path in paths]))
    explained = prepare(paths, ModelInfo(preprocessing=MODEL), lambda given: False)
    assert np.array_equal(x, explained.batch.given)


def test_a_training_epoch_is_a_function_of_seed_epoch_and_image():
    images = labelled(10)
    batches = training(images, range(2, 10), batch_size=3)
    first, second = (list(batches.epoch(k)) for k in range(2))
    assert len(batches) == len(first) == 2  # two images fill no batch
    orders = [torch.cat([batch.indices for batch in epoch]).tolist() for epoch in (first, second)]
    assert orders[0] != orders[1]
    assert set(orders[0]) < set(range(2, 10))
    assert len(set(orders[0])) == 6
    for k, epoch in enumerate((first, second)):
        for batch in epoch:
            assert torch.equal(batch.y, batch.indices % 3)
            for x, i in zip(batch.x, batch.indices.tolist(), strict=True):
                assert np.array_equal(x.numpy(), CHANGING(images.photo(i), draws(5, k, i)))
    same(list(batches.epoch(0)), first)
    same(list(training(images, range(2, 10), batch_size=3).epoch(1)), second)
    other = next(iter(training(images, range(2, 10), batch_size=3, seed=6).epoch(0)))
    assert not torch.equal(other.x, first[0].x)


def test_a_batch_that_is_the_only_one_is_kept():
    assert [len(batch.x) for batch in training(labelled(3)).epoch(0)] == [3]


def test_workers_change_nothing():
    """Nor does an epoch that was broken off before."""
    images = labelled(22, 2)
    alone, helped = training(images), training(images, workers=2)
    same(epochs(alone), epochs(helped))
    for _ in helped.epoch(3):
        break
    same(list(alone.epoch(4)), list(helped.epoch(4)))
    same(list(alone.epoch(0, start=3)), list(helped.epoch(0, start=3)))


@pytest.mark.parametrize("start", [0, 2, 5])
def test_an_epoch_goes_on_where_it_stopped(start):
    batches = training(labelled(21, 2))
    same(list(batches.epoch(1, start=start)), list(batches.epoch(1))[start:])


def test_no_random_state_is_touched():
    """In a Python of its own: the checks of shapes in this one draw from `random`."""
    code = """
import random, numpy, torch
from tests.training.made import labelled
from tests.training.test_batches import CHANGING
from camscope.training import Batches
for workers in (0, 2):
    before = random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    batches = Batches(labelled(), range(12), transform=CHANGING, batch_size=4, training=True, workers=workers)
    assert len(list(batches.epoch(0))) == 3
    assert before == (random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_random_state_changes_nothing():
    images = labelled()
    torch.manual_seed(1)
    one = epochs(training(images))
    torch.manual_seed(2)
    np.random.seed(3)
    random.seed(4)
    same(one, epochs(training(images)))


def test_several_classes_are_floats():
    images = labelled(6, 3, multilabel=True)
    batch = next(iter(Batches(images, range(6), transform=MODEL, batch_size=6).epoch(0)))
    assert batch.y.dtype == torch.float32
    assert np.array_equal(batch.y.numpy(), images.targets)


# ------------------------------------------------------------------ images that cannot be read


@pytest.fixture
def damaged(tmp_path):
    """Forty images, of which the last of class a is damaged behind its header and the first of class b is gone."""
    images = read_labelled(folder(tmp_path, {"a": 20, "b": 20}))
    whole = (tmp_path / "a" / "19.png").read_bytes()
    (tmp_path / "a" / "19.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b" / "0.png").unlink()
    return images


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_is_left_out_and_named_once(damaged, workers):
    batches = training(damaged, batch_size=10, workers=workers)
    with pytest.warns(CamscopeWarning, match="is left out") as caught:
        first = list(batches.epoch(0))
    ours = [str(warning.message) for warning in caught if issubclass(warning.category, CamscopeWarning)]
    assert sorted(words.split("'")[1] for words in ours) == ["a/19.png", "b/0.png"]
    assert sum(len(batch.x) for batch in first) == 38
    assert sorted(batches.unreadable) == [19, 20]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(batches.epoch(1))


def test_too_many_unreadable_images_stop_it(damaged):
    batches = training(damaged, unreadable=0.04)
    with (
        pytest.warns(CamscopeWarning),
        pytest.raises(InputError, match=r"2 of 40 .* at most 4%(.|\n)*b/0.png: "),
    ):
        list(batches.epoch(0))


@pytest.mark.filterwarnings("ignore::camscope.errors.CamscopeWarning")
def test_a_batch_of_nothing_stops_it(damaged):
    with pytest.raises(InputError, match=r"No image of a batch can be read: .*19\.png"):
        list(Batches(damaged, range(40), transform=MODEL, batch_size=1).epoch(0))


# ------------------------------------------------------------------ what is kept


class Counted(Sequence):
    """Pictures, and how often they were asked for."""

    reads = 0

    def __len__(self):
        return 6

    def __getitem__(self, index):
        self.reads += 1
        return picture(index, (512, 512))


@pytest.mark.parametrize(("megabytes", "reads"), [(0, 12), (2, 10), (256, 6)])
def test_decoded_photos_are_kept_where_there_is_room(megabytes, reads):
    """A photo of 512 × 512 takes 0.75 MB."""
    sources = Counted()
    epochs(Batches(labelled(6, sources=sources), range(6), transform=MODEL, batch_size=4, cache=megabytes))
    assert sources.reads == reads


@pytest.mark.parametrize(
    ("indices", "options", "message"),
    [
        ([], {}, "the split is empty"),
        (range(3), {"batch_size": 0}, "batch_size is at least 1"),
        (range(3), {"workers": -1}, "workers at least 0"),
    ],
)
def test_what_is_refused(indices, options, message):
    with pytest.raises(InputError, match=message):
        training(labelled(), indices, **options)
