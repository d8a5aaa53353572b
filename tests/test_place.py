"""A grid is found where a layer answers in place, for every layout and order; and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from einops import rearrange
from torch import nn

import camscope
from camscope.arrays import resize
from camscope.models.grid import Grid, Still, candidate_grids
from camscope.models.other_tokens import OtherTokens
from camscope.models.place import Answer, answer, find_grid, with_altered_copies
from camscope.models.torch.anatomy.grids import Grids
from camscope.models.torch.anatomy.trace import Came, Output

PHOTO = (1, 3, 64, 64)
WIDE = (1, 3, 48, 80)
VIDEO = (1, 3, 8, 32, 32)
SIGNAL = (1, 3, 64)


def rows(shape, seed=0):
    """An input without its batch axis, and copies with an altered patch."""
    return list(with_altered_copies(np.random.default_rng(seed).standard_normal(shape)))


def layer(x, grid, seed=1):
    """What a layer with this grid could put out: pooled, its channels mixed, some of the whole in every position."""
    rng = np.random.default_rng(seed)
    pooled = resize(np.abs(x[None]), grid.space)[0]
    mixed = np.tensordot(rng.standard_normal((grid.channels, len(x))), pooled, 1)
    mixed = np.maximum(mixed + 0.3 * mixed.mean(axis=tuple(range(1, mixed.ndim)), keepdims=True), 0)
    if grid.layout == "channels-first":
        return mixed
    if grid.layout == "channels-last":
        return rearrange(mixed, "c ... -> ... c")
    ordered = mixed if grid.order is None else mixed.transpose(0, *(1 + axis for axis in grid.order))
    tokens = rearrange(ordered, "c ... -> c (...)")
    in_front = mixed.mean(axis=tuple(range(1, mixed.ndim)))[:, None] * rng.random((1, grid.prefix))
    tokens = np.concatenate([in_front, tokens], axis=1)
    return tokens if grid.layout == "tokens-last" else tokens.T


def found(outputs, given, seen=()):
    clean, *altered = outputs
    return find_grid(answer(clean, altered), candidate_grids((1, *clean.shape), given, seen))


@pytest.mark.parametrize(
    ("grid", "given", "seen"),
    [
        (Grid("channels-first", (8, 8), 32), PHOTO, []),
        (Grid("channels-last", (8, 8), 32), PHOTO, []),
        (Grid("channels-first", (8, 8), 8), PHOTO, []),  # as many channels as rows and columns
        (Grid("channels-last", (8, 8), 8), PHOTO, []),
        (Grid("channels-last", (16, 16), 16), PHOTO, [(16, 16)]),
        (Grid("channels-first", (6, 10), 12), WIDE, []),
        (Grid("channels-last", (6, 10), 12), WIDE, []),
        (Grid("channels-first", (3, 3), 40), PHOTO, []),
        (Grid("channels-first", (2, 2), 40), PHOTO, []),
        (Grid("channels-first", (32,), 20), SIGNAL, []),
        (Grid("channels-last", (32,), 20), SIGNAL, []),
        (Grid("channels-last", (32,), 32), SIGNAL, []),
        (Grid("channels-first", (4, 8, 8), 8), VIDEO, []),
        (Grid("channels-last", (4, 8, 8), 8), VIDEO, []),
        *[(Grid("tokens", (8, 8), 24, prefix), PHOTO, [(8, 8)]) for prefix in range(6)],
        *[(Grid("tokens", (6, 10), 24, prefix), WIDE, [(6, 10)]) for prefix in (0, 1, 5)],
        (Grid("tokens", (8, 8), 24, 1), PHOTO, []),  # no patch embedding was seen
        (Grid("tokens", (6, 10), 24, 0), WIDE, []),
        (Grid("tokens", (8, 8), 24, 17), PHOTO, [(8, 8)]),  # many registers
        (Grid("tokens-last", (8, 8), 24, 0), PHOTO, [(8, 8)]),
        (Grid("tokens", (8, 8), 24, 0, order=(1, 0)), PHOTO, [(8, 8)]),
        (Grid("tokens", (6, 10), 24, 1, order=(1, 0)), WIDE, [(6, 10)]),
        (Grid("tokens", (4, 8, 8), 24, 1), VIDEO, [(4, 8, 8)]),
        (
            Grid("tokens", (4, 8, 8), 24, 1),
            VIDEO,
            [],
        ),  # frames went through one by one: no patch embedding was seen
        (Grid("tokens", (4, 8, 8), 24, 1, order=(1, 2, 0)), VIDEO, []),
        (Grid("tokens", (2, 8, 8), 24, 0, order=(1, 2, 0)), VIDEO, [(2, 8, 8)]),
        (Grid("tokens", (64,), 32, 1), SIGNAL, [(64,)]),  # a class token before a signal's steps
        (Grid("tokens", (64,), 128, 1), SIGNAL, [(64,)]),
    ],
    ids=str,
)
def test_the_grid_is_the_one_that_answers_in_place(grid, given, seen):
    assert found([layer(x, grid) for x in rows(given)], given, seen) == grid


def shuffled(x):
    return x[np.random.default_rng(5).permutation(len(x))]


NO_GRIDS = {
    "tokens in another order": (lambda x: shuffled(layer(x, Grid("tokens", (8, 8), 24))), PHOTO),
    "latents that read the whole": (
        lambda x: (
            np.random.default_rng(2).standard_normal((64, 1)) * np.abs(x).mean((1, 2))[None].repeat(8, 1)
        ),
        PHOTO,
    ),
    "what does not depend on the input": (
        lambda x: np.random.default_rng(3).standard_normal((64, 24)),
        PHOTO,
    ),
    "windows": (
        lambda x: rearrange(
            layer(x, Grid("channels-last", (8, 8), 24)), "(a h) (b w) c -> (a b) (h w) c", h=2, w=4
        ),
        PHOTO,
    ),
    "one position": (lambda x: layer(x, Grid("channels-first", (1, 1), 8)), PHOTO),
}


@pytest.mark.parametrize("name", NO_GRIDS)
def test_what_does_not_answer_in_place_is_no_grid(name):
    make, given = NO_GRIDS[name]
    assert found([make(x) for x in rows(given)], given, [(8, 8)]) is None


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_an_axis_that_answers_nowhere_is_no_axis_of_space(axis):
    """However well the others answer: of a video whose channels are read as frames, say."""
    grid = Grid("channels-first", (4, 8, 8), 16)
    clean, *altered = [layer(x, grid) for x in rows((1, 3, 8, 16, 16))]
    assert answer(clean, altered).agreement(grid) > 0.7
    alike = [clean + (one - clean).mean(axis, keepdims=True) for one in altered]
    assert answer(clean, alike).agreement(grid) < 0.2


def test_a_grid_met_before_is_taken_of_those_that_answer_as_well():
    grid = Grid("tokens", (8, 8), 24, 1)
    outputs = [layer(x, grid) for x in rows(PHOTO)]
    assert found(outputs, PHOTO, [(13, 5), (8, 8)]) == grid


# ------------------------------------------------------------------ in networks


def gap(a):
    return a.mean((2, 3))


class Steps(nn.Module):
    """A transformer over the steps of a signal, read by a class token in front."""

    def __init__(self, width):
        super().__init__()
        self.patches = nn.Conv1d(3, width, 1)
        self.first = nn.Parameter(torch.randn(1, 1, width))
        self.block = nn.TransformerEncoderLayer(width, 2, width, batch_first=True)
        self.other = nn.TransformerEncoderLayer(width, 2, width, batch_first=True)
        self.head = nn.Linear(width, 4)

    def forward(self, x):
        tokens = self.patches(x).transpose(1, 2)
        tokens = torch.cat([self.first.expand(len(x), -1, -1), tokens], 1)
        return self.head(self.other(self.block(tokens))[:, 0])


@pytest.mark.parametrize("width", [32, 64, 128])
def test_the_steps_of_a_signal_are_told_from_its_features_and_from_the_class_token(width):
    torch.manual_seed(0)
    e = camscope.explain(Steps(width).eval(), torch.randn(1, 3, 64), layers="block", targets=1)
    assert tuple(e.maps().shape) == (1, 1, 64)


class ChannelsLast(nn.Module):
    """A block whose output has as many channels as rows and columns, and keeps channels last."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 4, 4)
        self.block = nn.Sequential(nn.LayerNorm(12), nn.Linear(12, 12), nn.GELU())
        self.head = nn.Linear(12, 3)

    def forward(self, x):
        y = self.block(self.stem(x).permute(0, 2, 3, 1))
        return self.head((y * y).mean((1, 2)))


def test_as_many_channels_as_rows_and_columns():
    """The layout of another layer of that shape says nothing of this one's."""
    torch.manual_seed(0)
    model, x = ChannelsLast().double().eval(), torch.randn(1, 3, 48, 48, dtype=torch.float64)
    seen = {}
    handle = model.block.register_forward_hook(
        lambda _m, _i, o: seen.setdefault("a", o.detach().requires_grad_())
    )
    score = model(x)[:, 1].sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(score, seen["a"])
    expected = (gradient.mean((1, 2), keepdim=True) * seen["a"]).sum(-1).detach()
    ours = camscope.explain(model, x, layers="block", targets=1).maps()[0]
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("front", "behind"), [(0, 1), (1, 1), (0, 4), (1, 4), (3, 2)])
@pytest.mark.parametrize(("given", "space"), [(WIDE, (6, 10)), (PHOTO, (16, 16))], ids=["wide", "fine"])
def test_how_many_tokens_stand_behind_is_told_by_numbers(front, behind, given, space):
    """On a fine grid one position more or less is nearly as much in place."""
    some = [layer(x, Grid("tokens", space, 24, front)) for x in rows(given)]
    both = [np.concatenate([x, x.mean(0, keepdims=True).repeat(behind, 0)]) for x in some]
    assert found(both, given, [space]) == Grid("tokens", space, 24, front, suffix=behind)


def test_all_layers_of_a_forward_tell_how_many_tokens_stand_in_front():
    """One that sees far says little of one position more or less; the first, which sees least far, tells it for all."""
    before, after = Grid("tokens", (14, 14), 24, 1), Grid("tokens", (14, 14), 24, 0, suffix=1)
    in_front = OtherTokens()
    assert in_front.best([(before, 0.9), (after, 0.8)]) == before
    wider = [(replace(before, channels=48), 0.60), (replace(after, channels=48), 0.61)]
    assert in_front.best(wider) == wider[0][0]
    assert OtherTokens().best(wider) == wider[1][0]
    assert in_front.best(wider, [wider[1][0]]) == wider[1][0]  # what stands still tells most


def test_a_position_that_stands_still_is_still_one_where_a_grid_with_all_of_them_was_met():
    """The end of a sound that was filled up with zeros (SEW): as many positions as before."""
    still = Still((48,))
    tokens, padded = (1, 49, 24), candidate_grids((1, 49, 24), (1, 1, 980), [(49,), (48,)], still)
    assert padded.likely[0].space == (49,)
    (first, *_) = candidate_grids(tokens, (1, 1, 980), [(48,)], still).likely
    assert first == Grid("tokens", (48,), 24, suffix=1)


class Columns(nn.Module):
    """Tokens that stand column after column."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 24, 8, 8)
        self.block = nn.TransformerEncoderLayer(24, 2, 24, batch_first=True)
        self.head = nn.Linear(24, 3)

    def forward(self, x):
        tokens = self.patches(x).transpose(2, 3).flatten(2).transpose(1, 2)
        return self.head(self.block(tokens).mean(1))


def test_tokens_that_stand_column_after_column():
    torch.manual_seed(0)
    model, x = Columns().eval(), torch.randn(1, 3, 48, 80)
    layers, _ = camscope.Explainer(model).layers(x)
    grid = next(layer.grid for layer in layers if layer.name == "block")
    assert grid == Grid("tokens", (6, 10), 24, 0, order=(1, 0))
    for method in ("hirescam", "ablationcam"):
        assert tuple(camscope.explain(model, x, layers="block", methods=method).maps().shape) == (1, 1, 6, 10)


def test_a_black_picture_does_not_hide_the_grids():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)
    )
    layers, _ = camscope.Explainer(model.eval()).layers(torch.zeros(1, 3, 16, 16))
    assert [layer.grid.space for layer in layers[:2]] == [(14, 14), (14, 14)]


@pytest.mark.parametrize("value", [0, 0.5])
def test_a_uniform_input_is_looked_at_as_noise(value):
    """On it all positions are alike, and a relative change says little."""
    x = np.full((1, 3, 12, 12), value, np.float32)
    rows = with_altered_copies(x)
    for first, *others in (rows[:9], rows[9:]):
        assert first.std() > 0.5
        assert all((first != other).any() and (first == other).any() for other in others)
    assert np.array_equal(rows[9], rows[0][:, ::-1, ::-1])
    photo = np.random.default_rng(0).standard_normal(x.shape).astype(np.float32)
    assert np.array_equal(with_altered_copies(photo)[0], photo[0])


def test_a_layer_without_a_grid_says_that_it_was_tried():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 8, 8), nn.Flatten(2), nn.Linear(64, 64), nn.Flatten(), nn.Linear(1024, 3)
    )
    with pytest.raises(camscope.LayerError, match=r"no spatial grid.*altered patch"):
        camscope.explain(model.eval(), torch.randn(1, 3, 64, 64), layers="2")


def test_what_a_relu_leaves_is_where_it_was():
    """So few positions are above zero that they tell no place by themselves; what went into the ReLU does."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)
    )
    nn.init.constant_(model[0].bias, -1.0)
    found, chosen = camscope.Explainer(model.eval()).layers(torch.randn(1, 3, 12, 8), every=True)
    assert {layer.name: layer.grid for layer in found} == dict.fromkeys(
        ["0", "1"], Grid("channels-first", (12, 8), 8)
    )
    assert chosen.name == "1"


def test_what_a_convolution_puts_out_has_its_channels_first():
    """Its axis 1 is never one of space: of tokens a convolution over them is no layer with places."""
    torch.manual_seed(0)

    class Mixing(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches, self.mix, self.head = nn.Conv2d(3, 16, 8, 8), nn.Conv1d(64, 64, 1), nn.Linear(16, 3)
            nn.init.eye_(self.mix.weight[:, :, 0].data)

        def forward(self, x):
            return self.head(self.mix(self.patches(x).flatten(2).mT).mean(1))

    found, _ = camscope.Explainer(Mixing().eval()).layers(torch.randn(1, 3, 64, 64), every=True)
    assert {layer.name: layer.grid.layout for layer in found} == {"patches": "channels-first"}


def test_a_convolution_over_tokens_does_not_keep_the_grid_that_went_in():
    """As in an MLP-Mixer: every token goes into every other, and what comes out has the shape of what went in."""
    torch.manual_seed(0)

    class Mixer(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches, self.norm = nn.Conv2d(3, 16, 8, 8), nn.LayerNorm(16)
            self.mix, self.head = nn.Conv1d(64, 64, 1), nn.Linear(16, 3)

        def forward(self, x):
            return self.head(self.mix(self.norm(self.patches(x).flatten(2).mT)).mean(1))

    found, _ = camscope.Explainer(Mixer().eval()).layers(torch.randn(1, 3, 64, 64), every=True)
    assert [layer.name for layer in found] == ["patches", "norm"]


def test_a_layer_that_does_not_depend_on_the_input_says_so():
    torch.manual_seed(0)

    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bias, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3), nn.Linear(8, 2)

        def forward(self, x):
            return self.head(gap(self.conv(x) + self.bias(torch.ones_like(x))))

    with pytest.raises(camscope.LayerError, match=r"no spatial grid.*the same where a patch.*'conv' has one"):
        camscope.explain(Constant().eval(), torch.randn(1, 3, 16, 16), layers="bias")


def test_one_forward_more_and_only_once():
    """Getting to know a model costs four altered copies (one of a large input); a second call of that size nothing."""
    torch.manual_seed(0)
    model, x = ChannelsLast().eval(), torch.randn(1, 3, 48, 48)
    images = []
    model.stem.register_forward_pre_hook(lambda _m, inputs: images.append(len(inputs[0])))
    explainer = camscope.Explainer(model)
    explainer(x, layers="block")
    assert images == [5, 1]
    explainer(x, layers="block")
    assert images == [5, 1, 1]


def test_a_model_that_takes_one_image_at_a_time():
    """Its batch axis was fixed at 1 when it was made; grids are found all the same, and by the same numbers."""
    torch.manual_seed(0)

    class OneAtATime(Columns):
        def forward(self, x):
            tokens = self.patches(x).transpose(2, 3).reshape(1, 24, -1).transpose(1, 2)
            return self.head(self.block(tokens).mean(1))

    model, x = OneAtATime().eval(), torch.randn(1, 3, 48, 80)
    found, _ = camscope.Explainer(model).layers(x)
    assert {layer.name: layer.grid for layer in found}["block"] == Grid(
        "tokens", (6, 10), 24, 0, order=(1, 0)
    )
    assert tuple(camscope.explain(model, x).maps().shape) == (1, 1, 6, 10)
    with pytest.raises(RuntimeError, match="shape"):
        camscope.explain(model, torch.randn(2, 3, 48, 80))


def readers(x):
    """Eight learned tokens, each of which reads the positions whose value is near its own: content, and no place."""
    near = np.exp(-((x - np.linspace(-1, 1, 8)[:, None]) ** 2) / 0.02) + 1e-6
    near = near / near.sum(1, keepdims=True)
    return np.stack([near @ x[0] ** power for power in range(1, 5)], axis=1)


def test_tokens_that_read_by_content_have_no_grid_though_one_input_has_the_content_in_order():
    ramp = np.linspace(-1, 1, 32)[None, None]
    clean, *altered = (readers(x) for x in with_altered_copies(ramp))
    grid = Grid("tokens", (8,), 4)
    both = answer(clean, altered)
    as_given, mirrored = (Answer((look,)).agreement(grid) for look in both.looks)
    assert as_given > 0.5
    assert mirrored < -0.3
    assert both.agreement(grid) < 0.3


SQUARE = torch.zeros(1, 8, 8)


def output(module, grid, follows=None):
    """What a trace notes of a module whose numbers answer on a grid, of eight positions and eight channels."""
    clean, *altered = (layer(x, grid) for x in rows(SIGNAL))
    came = None if follows is None else Came(follows, (0, 1, 2))
    noted = Output(lambda: SQUARE, 0, tuple(SQUARE.shape), None, answer(clean, altered), came)
    noted.modules.append(module)
    return noted


def test_a_relu_has_the_grid_that_went_in_whatever_its_own_numbers_seem_to_say():
    """Where few channels of few are above zero, these may answer like positions by chance."""
    grid, other = Grid("channels-first", (8,), 8), Grid("channels-last", (8,), 8)
    conv, grids = output(nn.Conv1d(3, 8, 1), grid), Grids(torch.zeros(SIGNAL))
    assert grids.of_output(output(nn.ReLU(), other)) == other
    assert grids.of_output(conv) == grid
    assert grids.of_output(output(nn.ReLU(), other, follows=conv)) == grid


def test_a_linear_layer_has_the_tokens_that_went_in_whatever_its_own_numbers_seem_to_say():
    tokens, features = Grid("tokens", (8,), 8), Grid("tokens-last", (8,), 8)
    for module in (nn.Linear(8, 8), nn.LayerNorm(8)):
        before, grids = output(nn.Module(), tokens), Grids(torch.zeros(SIGNAL))
        assert grids.of_output(before).canonical(SQUARE).shape == (1, 8, 8)
        found = grids.of_output(output(module, features, follows=before))
        assert found == grids.of_output(before)
        # of positions that are last it mixes these
        before = output(nn.Module(), features)
        assert grids.of_output(before).layout == "channels-first"
        assert grids.of_output(output(module, tokens, follows=before)).layout == "channels-last"


def test_as_many_tokens_as_a_grid_that_was_met_and_a_few_in_front_are_of_no_other_grid():
    """Attention that mixes seventeen positions may answer as sixteen and one more in front would."""
    shape, given = (1, 18, 8), (1, 3, 33)
    alone = candidate_grids(shape, given).possible
    assert Grid("tokens", (16,), 8, prefix=2) in alone
    met = candidate_grids(shape, given, [(17,)])
    assert Grid("tokens", (17,), 8, prefix=1) in met.likely
    assert not [grid for grid in met.possible if grid.layout == "tokens"]


def test_of_grids_with_as_many_positions_the_one_that_was_met_last_is_the_likeliest():
    likely = candidate_grids((1, 64, 24), PHOTO, [(4, 16), (8, 8)]).likely
    usual = [
        grid.space for grid in likely if grid.layout == "tokens" and not grid.prefix and grid.order is None
    ]
    assert usual == [(8, 8), (4, 16)]


def test_a_grid_of_few_positions_has_few_tokens_behind_it():
    """Two positions among six agree with anything by chance, if each pair of them is tried."""
    tried = candidate_grids((1, 6, 40), (1, 40, 2), [(2,)])
    assert not [grid for grid in (*tried.likely, *tried.possible) if grid.space == (2,) and grid.suffix]
    tried = candidate_grids((1, 12, 40), (1, 40, 8), [(8,)])
    assert [grid for grid in (*tried.likely, *tried.possible) if grid.space == (8,) and grid.suffix]
