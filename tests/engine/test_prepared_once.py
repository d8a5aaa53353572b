"""Inputs that are prepared once give the maps of those that are given, each time."""

import numpy as np
import pytest
import torch

import camscope
from tests.conftest import make_tiny_cnn


def test_photos_are_read_once(tmp_path, monkeypatch):
    photo = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    explainer = camscope.Explainer(make_tiny_cnn(), preprocessing=camscope.Preprocessing((32, 32), resize=32))
    expected = explainer([photo], targets=[1])
    prepared = explainer.prepare([photo])
    photo[:] = 0
    for _ in range(2):
        e = explainer(prepared, targets=[1])
        assert torch.equal(e.maps(), expected.maps())
        assert e.input_image(0).geometry == expected.input_image(0).geometry
        assert np.array_equal(
            np.asarray(e.input_image(0).picture), np.asarray(expected.input_image(0).picture)
        )


@pytest.mark.parametrize("space", [None, (1, 2)])
def test_a_tensor_keeps_its_axes(space):
    class ChannelsLast(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = make_tiny_cnn()

        def forward(self, x):
            return self.net(x.permute(0, 3, 1, 2))

    x = torch.randn(2, 32, 32, 3, generator=torch.Generator().manual_seed(0))
    explainer = camscope.Explainer(ChannelsLast(), space=space)
    expected = explainer(x, targets=[1])
    e = explainer(explainer.prepare(x), targets=[1])
    assert e.input_size == expected.input_size == (32, 32)
    assert torch.equal(e.maps(), expected.maps())


def test_several_inputs_stay_several():
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = make_tiny_cnn()

        def forward(self, x, gain):
            return self.net(x * gain)

    x, gain = torch.randn(2, 3, 32, 32), torch.tensor(2.0)
    explainer = camscope.Explainer(Two())
    e = explainer(explainer.prepare((x, gain)), targets=[0])
    assert torch.equal(e.maps(), explainer((x, gain), targets=[0]).maps())


def test_what_cannot_be_prepared_is_said_then():
    with pytest.raises(camscope.InputError, match="does not say how its photos are prepared"):
        camscope.Explainer(make_tiny_cnn()).prepare([np.zeros((8, 8, 3), np.uint8)])
