"""What the user sets around a call (autocast, a default device or precision) is for the model, not for our numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn

import camscope
from tests.torch.nets import Apply, Net, batch, gap_head, mlp_head

X = batch(2, 3, 16, 16)
OF_EVERY_KIND = [
    "gradcam",
    "ablationcam",
    "scorecam",
    "eigencam",
    "fullgrad",
    "shapley",
    "smooth(gradcam, n=2)",
]


def noting(head: nn.Module, seen: list[object]) -> Net:
    """A network that notes in what precision it runs, and where new tensors go."""

    def note(z: torch.Tensor) -> torch.Tensor:
        seen.append((z.dtype, torch.zeros(1).device.type))
        return z

    return Net(nn.Sequential(head, Apply(note))).eval()


@contextmanager
def default_device(name: str) -> Iterator[None]:
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_the_model_runs_in_half_precision_and_the_map_is_made_in_single(dtype):
    seen: list[object] = []
    model = noting(mlp_head(16), seen)
    with torch.autocast("cpu", dtype=dtype):
        found = camscope.explain(model, X, targets=1, layers="body")
        assert {precision for precision, _ in seen} == {dtype}
        assert torch.is_autocast_enabled("cpu")
        with camscope.record(model, ["body"]) as recorded:
            score = model(X)[:, 1].sum()
            (gradient,) = torch.autograd.grad(score, recorded["body"].activations)
    activations, gradient = recorded["body"].activations.float(), gradient.float()
    expected = (gradient.mean((2, 3), keepdim=True) * activations).sum(1, keepdim=True).detach()
    assert found.maps().dtype == torch.float32
    torch.testing.assert_close(found.maps(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("method", [*OF_EVERY_KIND, "rise(n=20)", "guided-gradcam", "fuse(layercam, max)"])
def test_every_kind_of_method_runs_under_autocast_and_its_map_can_be_kept_and_drawn_there(method, tmp_path):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = camscope.explain(Net(), X, methods=method)
        saved = camscope.load(found.save(tmp_path / "e.npz"))
        assert found.figure()
    (key,) = found.raw
    assert np.array_equal(saved.raw[key], found.raw[key].numpy())
    assert saved.status == found.status


def test_heatmaps_are_the_same_under_autocast():
    found = camscope.explain(Net(), X)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = found.heatmaps()
    assert torch.equal(under, found.heatmaps())


def test_autocast_is_off_for_a_whole_call_and_not_only_after_the_first_forward():
    adapter = camscope.Explainer(Net())._model.adapter
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with adapter.exclusive():
            assert not torch.is_autocast_enabled("cpu")
        assert torch.is_autocast_enabled("cpu")


def test_an_optimised_copy_is_made_and_checked_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = camscope.explain(Net(), X, optimised=True)
        plain = camscope.explain(Net(), X)
    torch.testing.assert_close(
        found.maps(), plain.maps(), rtol=0.05, atol=0.05 * float(plain.maps().abs().max())
    )


def test_autocast_is_on_again_after_an_error():
    def fail(_: torch.Tensor) -> torch.Tensor:
        raise ArithmeticError

    with torch.autocast("cpu", dtype=torch.bfloat16):
        with pytest.raises(ArithmeticError):
            camscope.explain(Net(nn.Sequential(gap_head(), Apply(fail))), X)
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("method", OF_EVERY_KIND)
def test_a_default_device_changes_no_map(method):
    model = Net()
    # a device without memory: what is made there by mistake cannot be used
    with default_device("meta"):
        found = camscope.explain(model, X, methods=method, targets=1)
        assert torch.zeros(1).device.type == "meta"
    assert torch.equal(found.maps(), camscope.explain(model, X, methods=method, targets=1).maps())


def test_the_model_makes_its_tensors_on_the_default_device():
    seen: list[object] = []
    model = noting(gap_head(), seen)
    with default_device("meta"):
        camscope.explain(model, X)
    assert {device for _, device in seen} == {"meta"}


@pytest.mark.parametrize("method", OF_EVERY_KIND)
def test_a_default_precision_changes_no_map(method):
    expected = camscope.explain(Net(), X, methods=method, targets=1).maps()
    model = Net()
    torch.set_default_dtype(torch.float64)
    try:
        found = camscope.explain(model, X, methods=method, targets=1).maps()
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
