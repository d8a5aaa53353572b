"""Maps are over the axes along which the layers answer in place, whatever their order; or as it is said."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import camscope
import camscope.training
from camscope.models.axes import from_usual, to_usual


@pytest.mark.parametrize(
    ("shape", "space", "usual"),
    [
        ((2, 3, 8, 6), (2, 3), (2, 3, 8, 6)),
        ((2, 8, 6, 3), (1, 2), (2, 3, 8, 6)),
        ((2, 50, 40), (1,), (2, 40, 50)),
        ((2, 40, 50), (2,), (2, 40, 50)),
        ((2, 50, 40), (1, 2), (2, 1, 50, 40)),
        ((2, 50, 40), (2, 1), (2, 1, 40, 50)),
        ((2, 8, 3, 6, 5), (1, 3, 4), (2, 3, 8, 6, 5)),
        ((2, 100), (1,), (2, 1, 100)),
    ],
    ids=str,
)
def test_the_usual_order_and_back(shape, space, usual):
    x = torch.arange(torch.Size(shape).numel()).reshape(shape)
    found = to_usual(x, space)
    assert tuple(found.shape) == usual
    assert torch.equal(from_usual(found, space, x.ndim), x)


class Recurrent(nn.Module):
    """Of `batch step feature`: a state for each step, whose mean is read."""

    def __init__(self, features=10, states=12):
        super().__init__()
        self.rnn, self.fc = nn.LSTM(features, states, batch_first=True), nn.Linear(states, 3)

    def forward(self, x):
        return self.fc(self.rnn(x)[0].mean(1))


class Transformer(nn.Module):
    """Of `batch step feature`."""

    def __init__(self):
        super().__init__()
        self.embed, self.fc = nn.Linear(12, 16), nn.Linear(16, 3)
        self.block = nn.TransformerEncoderLayer(16, 2, 16, batch_first=True)

    def forward(self, x):
        return self.fc(self.block(self.embed(x)).mean(1))


class Spectrogram(nn.Module):
    """Of `batch time frequency`: cut into patches of a picture that lies on its side, frequency first."""

    def __init__(self):
        super().__init__()
        self.patches, self.fc = nn.Conv2d(1, 16, 8, 8), nn.Linear(16, 3)
        self.block = nn.TransformerEncoderLayer(16, 2, 16, batch_first=True)

    def forward(self, x):
        return self.fc(self.block(self.patches(x[:, None].mT).flatten(2).mT).mean(1))


class Turned(nn.Module):
    """Of `batch time frequency`: no layer has it in this order."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 8, 3, 2, 1), nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(self.conv(x[:, None].mT).relu().mean((2, 3)))


class SequenceFirst(nn.Module):
    """Of `batch step feature`, whose states are `step batch feature`."""

    def __init__(self):
        super().__init__()
        self.rnn, self.fc = nn.LSTM(10, 12), nn.Linear(12, 3)

    def forward(self, x):
        return self.fc(self.rnn(x.transpose(0, 1))[0].mean(0))


class Frames(nn.Module):
    """Of `batch frame channel height width`."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv3d(3, 8, 3, padding=1), nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(self.conv(x.transpose(1, 2)).relu().mean((2, 3, 4)))


class Tubes(nn.Module):
    """Of `batch frame channel height width`: tokens of tubes of two frames; as many frames as rows of tubes."""

    def __init__(self):
        super().__init__()
        self.patches, self.fc = nn.Conv3d(3, 16, (2, 8, 8), (2, 8, 8)), nn.Linear(16, 3)
        self.block = nn.TransformerEncoderLayer(16, 2, 16, batch_first=True)

    def forward(self, x):
        return self.fc(self.block(self.patches(x.transpose(1, 2)).flatten(2).mT).mean(1))


class ChannelsLast(nn.Module):
    """Of `batch height width channel`."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(self.conv(x.permute(0, 3, 1, 2)).relu().mean((2, 3)))


class Waveform(nn.Module):
    """Of `batch time`."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv1d(1, 8, 5, 2), nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(self.conv(x[:, None]).relu().mean(2))


SIGNAL = nn.Sequential(
    nn.Conv1d(12, 8, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 3)
)

MODELS = {
    "LSTM": (Recurrent, (2, 30, 10), (30,), (30,), 1),
    "long LSTM": (lambda: Recurrent(40, 32), (2, 50, 40), (50,), (50,), 1),  # 7 × 7 and one in front
    "transformer": (Transformer, (2, 40, 12), (40,), (40,), 1),
    "spectrogram": (Spectrogram, (2, 96, 48), (12, 6), (96, 48), (1, 2)),
    "turned spectrogram": (Turned, (2, 40, 16), (8, 20), (16, 40), (2, 1)),
    "video": (Frames, (1, 6, 3, 16, 16), (6, 16, 16), (6, 16, 16), (1, 3, 4)),
    "tubes": (Tubes, (1, 8, 3, 32, 32), (4, 4, 4), (8, 32, 32), (1, 3, 4)),
    "channels last": (ChannelsLast, (1, 24, 16, 3), (24, 16), (24, 16), (1, 2)),
    "signal": (lambda: SIGNAL, (2, 12, 40), (40,), (40,), 2),
    "waveform": (Waveform, (2, 99), (48,), (99,), 1),
}


def built(name):
    torch.manual_seed(0)
    build, shape, grid, size, space = MODELS[name]
    return build().eval(), torch.randn(shape), grid, size, space


class BehindPatches(nn.Module):
    """Patches, and a transformer as PyTorch makes it where nothing is said."""

    def __init__(self, batch_first, patch=8):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, patch, patch)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(16, 2, 16, 0.0, batch_first=batch_first) for _ in range(2)
        )
        self.first, self.head = batch_first, nn.Linear(16, 3)
        nn.init.constant_(self.head.bias, -3)  # so that no output could be a probability

    def forward(self, x):
        tokens = self.patches(x).flatten(2).permute((0, 2, 1) if self.first else (2, 0, 1))
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(tokens.mean(1 if self.first else 0))


EVERY_WAY = ["hirescam", "gradcam++", "eigencam", "ablationcam", "reciprocam", "scorecam"]


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize(
    ("size", "patch"),
    [((40, 40), 8), ((64, 64), 8), ((12, 24), 4)],
    ids=["25 tokens", "64 tokens", "18 tokens"],
)
def test_what_has_its_batch_second_has_the_maps_of_the_same_with_its_batch_first(size, patch, images):
    """The number of tokens may be a multiple of the rows that are looked at, or not, or the same."""
    torch.manual_seed(0)
    first, x = BehindPatches(True, patch).double().eval(), torch.randn(images, 3, *size, dtype=torch.float64)
    second = BehindPatches(False, patch).double().eval()
    second.load_state_dict(first.state_dict())
    maps = []
    for model in (first, second):
        chosen = camscope.explain(model, x)
        assert chosen.layers == ("blocks.1",)
        layers = ["patches", "blocks.0", "blocks.0.norm1", "blocks.1"]
        maps.append(camscope.explain(model, x, methods=EVERY_WAY, layers=layers, targets=[0, 2]).raw)
        maps[-1]["chosen"] = chosen.raw["gradcam", "blocks.1"]
    for key, of_first in maps[0].items():
        torch.testing.assert_close(maps[1][key], of_first, rtol=1e-9, atol=1e-12)
    layers, _ = camscope.Explainer(second).layers(x)
    assert [layer.grid.describe().endswith("(batch second)") for layer in layers] == [False, True, True]
    assert [layer.to_dict()["batch_axis"] for layer in layers] == [0, 1, 1]


def test_a_step_of_training_has_these_maps_too():
    """Of the twin with its batch first, with the gradients of a loss made of them; 25 tokens of 3 images."""
    torch.manual_seed(0)
    first, x = BehindPatches(True).double().eval(), torch.randn(3, 3, 40, 40, dtype=torch.float64)
    second = BehindPatches(False).double().eval()
    second.load_state_dict(first.state_dict())
    found = []
    for model in (first, second):
        with sdpa_kernel(SDPBackend.MATH):  # the others have no second derivatives
            seen = camscope.training.cam(model, x, 1, layer="blocks.0", method="hirescam")
            seen.maps.square().sum().backward()
        found.append((seen.maps.detach(), model.patches.weight.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-12)


def test_a_recurrent_network_with_its_batch_second_has_the_maps_of_one_with_its_batch_first():
    torch.manual_seed(0)
    second, x = SequenceFirst().eval(), torch.randn(2, 20, 10)
    first = Recurrent(10, 12).eval()
    first.rnn.load_state_dict(second.rnn.state_dict())
    first.fc.load_state_dict(second.fc.state_dict())
    found, expected = (camscope.explain(model, x, targets=1, methods=EVERY_WAY) for model in (second, first))
    for method in EVERY_WAY:
        torch.testing.assert_close(
            found.raw[method, "rnn"], expected.raw[method, "rnn"], rtol=1e-4, atol=1e-7
        )


@pytest.mark.parametrize("name", MODELS)
def test_maps_are_over_the_axes_along_which_the_layers_answer(name):
    model, x, grid, size, space = built(name)
    e = camscope.explain(model, x, targets=1)
    assert tuple(e.maps().shape[2:]) == grid
    assert tuple(e.heatmaps().shape[2:]) == size
    torch.testing.assert_close(e.scores[:, 0], model(x)[:, 1].detach())
    said = camscope.explain(model, x, targets=1, space=space)
    assert torch.equal(said.maps(), e.maps())
    assert not any("Maps are over the axes" in note for note in said.notes)
    usual = name in ("signal", "waveform")
    assert any("Maps are over the axes" in note for note in e.notes) != usual


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_need_takes_the_input_in_the_models_own_order(name):
    """Altered inputs, suffixes, gradients of the input: all go back into the order that the model takes."""
    model, x, _, size, _ = built(name)
    methods = ["rise(n=8)", "scorecam", "ablationcam", "smooth(gradcam, n=2)"]
    e = camscope.explain(model, x, methods=methods, targets=1)
    for method in e.methods:
        assert torch.isfinite(e.heatmaps(method)).all()
        assert tuple(e.heatmaps(method).shape[2:]) == size


def test_the_step_that_drives_the_score_is_where_the_map_is():
    """Exactly: each step's share of a score that is a mean over the steps."""

    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.fc = nn.Linear(12, 16), nn.Linear(16, 3, bias=False)

        def forward(self, x):
            return self.fc(self.embed(x).relu().mean(1))

    torch.manual_seed(0)
    model, x = Mean().eval(), torch.randn(2, 40, 12)
    e = camscope.explain(model, x, methods="hirescam", layers="embed", targets=1)
    share = (model.embed(x).relu() * model.fc.weight[1]).sum(-1) / 40
    torch.testing.assert_close(e.maps()[:, 0], share.detach(), rtol=1e-5, atol=1e-7)


def test_the_axes_that_are_said_are_taken():
    model, x, *_ = built("spectrogram")
    e = camscope.explain(model, x, layers="patches", space=(2, 1))
    assert tuple(e.maps().shape[2:]) == (6, 12)
    with pytest.raises(camscope.LayerError, match="no layer with a spatial grid"):
        camscope.explain(built("LSTM")[0], built("LSTM")[1], space=2)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (0, "has 1, 2, 3 besides the batch"),
        (4, "has 1, 2, 3 besides the batch"),
        ((1, 1), "each named once"),
        (3, "leaves 1 and 2, and one at most can be its channels"),
        ((), "has 1, 2, 3 besides the batch"),
    ],
    ids=str,
)
def test_axes_that_cannot_be_space_are_refused(space, message):
    model, x, *_ = built("channels last")
    with pytest.raises(camscope.InputError, match=message):
        camscope.explain(model, x, space=space)


def test_the_axes_are_found_once_for_each_size():
    model, x, *_ = built("transformer")
    runs = []
    model.embed.register_forward_pre_hook(lambda *_: runs.append(1))
    explainer = camscope.Explainer(model)
    explainer(x)
    first = len(runs)
    explainer(x)
    assert len(runs) - first == 1


def test_one_of_several_inputs_may_have_other_axes():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.steps, self.fc = Transformer(), nn.Linear(4, 3)

        def forward(self, other, x):
            return self.steps(x) + self.fc(other)

    torch.manual_seed(0)
    model = Both().eval()
    e = camscope.explain(model, (torch.randn(2, 4), torch.randn(2, 40, 12)))
    assert tuple(e.maps().shape) == (2, 1, 40)


@pytest.mark.parametrize("channels", [2, 3, 5])
@pytest.mark.parametrize("inner", [4, 6, 7])
def test_a_few_channels_are_never_taken_for_time(channels, inner):
    """Two positions among seven agree by chance with a patch that is altered; forty do not."""
    torch.manual_seed(channels * 100 + inner)
    net = nn.Sequential(
        nn.Conv1d(channels, inner, 1), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(inner, 3)
    ).eval()  # fmt: skip
    for seed in range(3):
        x = torch.randn(1, channels, 40, generator=torch.Generator().manual_seed(seed))
        assert camscope.Explainer(net)(x, methods="hirescam", targets=0).maps("hirescam").shape[2:] == (40,)
