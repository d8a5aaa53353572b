"""Long runs are explained on an optimised copy of the model, if it gives the same; batches are as large as fits."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
import torch
from torch import nn

import camscope
from camscope import Explainer
from camscope.arrays import to_numpy
from camscope.errors import CamscopeWarning, InputError, ModelError
from camscope.images import Preprocessing
from camscope.models.torch.hooks.modules import at_rest, versions
from camscope.models.torch.optimise import OptimisedAdapter
from camscope.runs import batch_size, faster_copy, run
from camscope.runs.run_plan import Plan
from tests.runs.conftest import write_photos

SQUASHED = Preprocessing(input_size=(32, 32), resize=(32, 32), crop="squash")


def normed() -> nn.Sequential:
    """A network whose batch norm a copy folds."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.uniform_(0.2, 2)
            module.running_mean.normal_(0, 0.1)
    return network.eval()


class Fickle(nn.Module):
    """Gives something else in channels last: no copy of it gives the same."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.inner, self.scale = normed(), scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        other = x.is_contiguous(memory_format=torch.channels_last)
        out = self.inner(x)
        return out + self.scale * out.abs().max() * torch.arange(5) if other else out


def begin(folder, out, model, **options):
    explainer = model if isinstance(model, Explainer) else Explainer(model, preprocessing=SQUASHED)
    return run(folder, model=explainer, out=out, workers=1, progress=False, **options)


def maps_in(out) -> np.ndarray:
    return camscope.runs.open(out).maps()


@pytest.fixture
def long(monkeypatch):
    monkeypatch.setattr(faster_copy, "LONG", 20)


def test_a_long_run_takes_the_copy_and_says_how_near_it_is(long, folder, tmp_path):
    fast = begin(folder, tmp_path / "fast", normed())
    plain = begin(folder, tmp_path / "plain", normed(), optimised=False)
    plan = Plan.read(tmp_path / "fast")
    assert plan.optimised == "float32"
    assert "folded into 2 convolutions" in plan.provenance["optimised"]
    assert "on the first 4 images maps and scores differ by" in fast.said
    assert (plain.said, Plan.read(tmp_path / "plain").optimised) == ("", "")
    a, b = maps_in(tmp_path / "fast"), maps_in(tmp_path / "plain")
    np.testing.assert_allclose(a, b, atol=2e-3 * abs(b).max())
    assert plan.identity != Plan.read(tmp_path / "plain").identity
    again = begin(folder, tmp_path / "fast", normed())
    assert (again.said, again.progress.now) == (fast.said, 0)


def test_a_short_run_does_not(folder, tmp_path):
    assert begin(folder, tmp_path / "run", normed()).said == ""
    assert Plan.read(tmp_path / "run").optimised == ""


@pytest.mark.parametrize(
    ("tolerance", "scale", "said"),
    [
        (1e-12, 0.0, "of its optimised copy on the first 4 images"),
        (1e-3, 0.5, "copy fails: The optimised copy does"),
    ],
)
def test_a_copy_that_gives_something_else_is_not_taken(
    tolerance, scale, said, long, folder, tmp_path, monkeypatch
):
    """And that is said; it is an error if the copy was asked for."""
    monkeypatch.setattr(faster_copy, "TOLERANCE", tolerance)
    done = begin(folder, tmp_path / "run", Fickle(scale))
    assert done.said.startswith("The model is explained as it is")
    assert said in done.said
    assert Plan.read(done.path).optimised == ""
    with pytest.raises(ModelError, match="does not"):
        begin(folder, tmp_path / "asked", Fickle(scale), optimised=True)


class Blurred(nn.ReLU):
    """Moves a hundredth of each value to the next cell, around the edges: what is pooled stays."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        own = super().forward(x)
        return own + 0.01 * (own.roll(1, dims=-1) - own)


def off_by_a_hundredth(network: nn.Sequential, where: str) -> None:
    """Plant a fault: into the maps alone, or into the scores."""
    if where == "maps":
        network[5] = Blurred()
    else:
        with torch.no_grad():
            network[8].weight.mul_(1.01)


@pytest.mark.parametrize("where", ["maps", "scores"])
def test_a_copy_that_is_a_hundredth_off_is_refused(where, long, folder, tmp_path, monkeypatch):
    """By the first batch of the run, since the fault comes after the copy was tried on its own."""
    own, spoilt = OptimisedAdapter._copy, []

    def faulty(self, batch):
        made = own(self, batch)
        if made.adapter.model not in spoilt:
            spoilt.append(made.adapter.model)
            off_by_a_hundredth(made.adapter.model, where)
        return made

    monkeypatch.setattr(OptimisedAdapter, "_copy", faulty)
    done = begin(folder, tmp_path / "run", normed())
    assert spoilt
    assert done.said.startswith("The model is explained as it is")
    off = float(re.search(r"differ by (\S+) of the largest", done.said)[1])
    assert 1e-3 < off < 3e-2
    assert Plan.read(done.path).optimised == ""
    begin(folder, tmp_path / "plain", normed(), optimised=False)
    np.testing.assert_array_equal(maps_in(done.path), maps_in(tmp_path / "plain"))
    with pytest.raises(ModelError, match="does not give what the model gives"):
        begin(folder, tmp_path / "asked", normed(), optimised=True)


def test_half_precision_only_where_it_is_asked_for(folder, tmp_path):
    done = begin(folder, tmp_path / "run", normed(), optimised="bfloat16")
    assert "in bfloat16: on the first" in done.said
    assert Plan.read(tmp_path / "run").optimised == "bfloat16"
    with pytest.raises(InputError, match="the model's options: optimised bfloat16 → the default"):
        begin(folder, tmp_path / "run", normed())
    with pytest.raises(InputError, match="expected True or False"):
        begin(folder, tmp_path / "new", normed(), optimised="float16")


def test_an_explainer_on_a_copy_stays_what_it_is(long, folder, tmp_path):
    done = begin(folder, tmp_path / "run", Explainer(normed(), preprocessing=SQUASHED, optimised=True))
    assert (done.said, Plan.read(done.path).optimised) == ("", "")


def test_the_difference_is_the_largest_of_all():
    e = camscope.explain(normed(), torch.rand(3, 3, 16, 16), targets=[1, 2])
    assert faster_copy.difference(e, e) == 0
    (key,) = e.raw
    maps = to_numpy(e.raw[key]).copy()
    maps[1, 0, 2, 2] += 0.25 * abs(maps[1, 0]).max()
    other = dataclasses.replace(e, raw={key: maps})
    assert faster_copy.difference(e, other) == pytest.approx(0.25, rel=1e-5)
    maps[1, 0, 2, 2] = np.nan
    assert faster_copy.difference(e, dataclasses.replace(e, raw={key: maps})) == float("inf")


# ------------------------------------------------------------------ batches


class Greedy(nn.Module):
    """Has memory for so many images."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.inner, self.most, self.seen = normed(), most, []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(x))
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")
        return self.inner(x)


def test_a_batch_that_is_too_large_is_halved_and_nothing_is_lost(folder, tmp_path):
    model = Greedy(5)
    with pytest.warns(CamscopeWarning, match="goes on with 4 at a time"):
        done = begin(folder, tmp_path / "run", model, batch=16)
    assert (done.complete, done.progress.failed) == (True, 0)
    assert max(model.seen[model.seen.index(8) + 1 :]) == 4  # not tried again
    begin(folder, tmp_path / "whole", normed())
    np.testing.assert_allclose(maps_in(tmp_path / "run"), maps_in(tmp_path / "whole"), rtol=1e-3, atol=1e-6)


def test_memory_that_is_enough_for_no_image_stops_the_run(tmp_path):
    photos = write_photos(tmp_path / "photos", 12)
    model = Greedy(4)
    explainer = Explainer(model, preprocessing=SQUASHED)

    def shrinking(progress):
        model.most = 0

    with (
        pytest.warns(CamscopeWarning, match="goes on with 1 at a time"),
        pytest.raises(InputError, match="the model took none"),
    ):
        run(photos, model=explainer, out=tmp_path / "run", progress=shrinking, workers=1)


@pytest.mark.parametrize(
    ("free", "each", "expected"),
    [(1 << 40, 1 << 20, 16), (100, 10, 4), (100, 60, 1), (100, 0, 16), (64, 2, 16)],
)
def test_the_batch_is_what_fits(free, each, expected, monkeypatch):
    peak = iter([1000, 1000 + 4 * each])
    monkeypatch.setattr(batch_size, "_free", lambda: free)
    monkeypatch.setattr(batch_size, "_resident", lambda what: next(peak))
    ran = []
    assert batch_size.fitting(lambda: ran.append(1), 4, "cpu") == expected
    assert ran


def test_what_a_batch_takes_is_measured():
    """Of memory that is really used: sixteen megabytes an image."""
    seen = {}

    def of(each, free, most):
        seen["each"] = each
        return 1

    own, batch_size._of = batch_size._of, of
    try:
        batch_size.fitting(lambda: np.ones(4 << 21).sum(), 4, "cpu")
    finally:
        batch_size._of = own
    assert seen["each"] == pytest.approx(16 << 20, rel=0.2)


def test_the_batch_is_kept_in_the_store_and_is_no_part_of_the_plan(folder, tmp_path):
    begin(folder, tmp_path / "run", normed())
    begin(folder, tmp_path / "other", normed(), batch=3)
    one, other = (Plan.read(tmp_path / name) for name in ("run", "other"))
    assert (one.batch, other.batch) == (16, 3)
    assert one.identity == other.identity


def test_weights_at_rest_are_looked_at_less_closely():
    """What PyTorch writes is seen all the same, and all that was written when the rest ends."""
    model = normed()
    with at_rest(model):
        known = versions(model)
        model[0].weight.detach().numpy()[0] = 5
        assert versions(model) == known
        with torch.no_grad():
            model[0].bias.add_(1)
        assert versions(model) != known
        with torch.no_grad():
            model[0].bias.sub_(1)
    assert versions(model)[1] != known[1]
    with Explainer(model).at_rest(), Explainer(model).at_rest():
        pass
