"""The schedule and the optimiser are fastai's: rates at every step, and the weights after a whole `fine_tune`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from camscope.training.finding_rate import try_rates
from camscope.training.groups import adamw, layer_groups
from camscope.training.schedule import enter_step, fine_tuning, from_scratch

STEPS = 3


class Small(nn.Module):
    """Built like ResNet: layer1 … layer4 and fc, with a norm in every part."""

    def __init__(self, classes: int = 2):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        for number in (1, 2, 3, 4):
            self.add_module(f"layer{number}", nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))
        self.fc = nn.Linear(4, classes)

    def forward(self, x):
        x = self.bn1(self.conv1(x))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return self.fc(x.mean((2, 3)))


def thirds(model):
    """fastai's split of a ResNet."""
    parts = [[model.conv1, model.bn1, model.layer1, model.layer2], [model.layer3, model.layer4], [model.fc]]
    return [[p for module in part for p in module.parameters()] for part in parts]


@pytest.fixture(scope="module")
def batches():
    noise = torch.Generator().manual_seed(0)
    x = torch.randn(STEPS * 8, 1, 10, 10, generator=noise, dtype=torch.float64)
    return list(zip(x.split(8), (x.mean((1, 2, 3)) > 0).long().split(8), strict=True))


def learner(model, batches, folder):
    """A fastai Learner that gets these batches in this order."""
    import fastai.callback.all  # noqa: F401  (adds the methods to Learner)
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.losses import CrossEntropyLossFlat

    class Loader(list):
        device = torch.device("cpu")

        def to(self, device):
            return self

    dls = DataLoaders(Loader(batches), Loader(batches[:1]), device="cpu")
    return Learner(dls, model, CrossEntropyLossFlat(), splitter=thirds, path=folder)


def ours(model, batches, schedule):
    """Train by our groups, optimiser and schedule; gives the rates of each step."""
    groups = layer_groups(model, "fc")
    optimiser = adamw(groups, weight_decay=0.01)
    seen = []
    for step in range(schedule.steps):
        enter_step(step, schedule, groups, optimiser)
        model.train()
        x, y = batches[step % STEPS]
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
        optimiser.zero_grad()
        used = optimiser.param_groups
        seen.append((*(used[i]["lr"] for i in (0, 2, 4)), used[0]["betas"][0]))
    return np.array(seen)


@pytest.fixture
def twins():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Small().double()
    other = Small().double()
    other.load_state_dict(model.state_dict())
    return model, other


def spy(learn):
    """The rates of each step of a Learner."""
    from fastai.callback.core import Callback

    seen = []

    class Rates(Callback):
        order = 90

        def before_step(self):
            hypers = self.learn.opt.hypers
            seen.append((*(group["lr"] for group in hypers), hypers[0]["mom"]))

    learn.add_cb(Rates())
    return seen


@pytest.mark.parametrize(("epochs", "frozen"), [(2, 1), (1, 2)])
def test_fine_tuning_is_fastais_rate_by_rate_and_ends_with_its_weights(
    twins, batches, tmp_path, epochs, frozen
):
    theirs, mine = twins
    learn = learner(theirs, batches, tmp_path)
    seen = spy(learn)
    with learn.no_bar(), learn.no_logging():
        learn.fine_tune(epochs, base_lr=4e-2, freeze_epochs=frozen)
    rates = ours(
        mine, batches, fine_tuning(3, 4e-2, epochs=epochs, frozen_epochs=frozen, steps_per_epoch=STEPS)
    )
    np.testing.assert_allclose(rates, np.array(seen), rtol=1e-6)
    before = Small()
    for (name, a), b in zip(mine.state_dict().items(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8, msg=lambda m, name=name: f"{name}: {m}")
    assert not torch.equal(mine.conv1.weight, before.conv1.weight)


def test_one_cycle_from_scratch_is_fastais(twins, batches, tmp_path):
    theirs, mine = twins
    learn = learner(theirs, batches, tmp_path)
    seen = spy(learn)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(3, 1e-2)
    rates = ours(mine, batches, from_scratch(3, 1e-2, epochs=3, steps_per_epoch=STEPS))
    np.testing.assert_allclose(rates, np.array(seen), rtol=1e-6)
    for (name, a), b in zip(mine.state_dict().items(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8, msg=lambda m, name=name: f"{name}: {m}")


def test_a_frozen_body_learns_by_its_norms_alone(twins, batches):
    model, before = twins
    ours(model, batches, fine_tuning(3, 1e-2, epochs=0, frozen_epochs=1, steps_per_epoch=STEPS))
    changed = {
        name
        for name, parameter in model.named_parameters()
        if not torch.equal(parameter, before.get_parameter(name))
    }
    norms = {"bn1", *(f"layer{n}.1" for n in (1, 2, 3, 4))}
    assert changed == {f"{norm}.{what}" for norm in norms for what in ("weight", "bias")} | {
        "fc.weight",
        "fc.bias",
    }


def test_norms_and_biases_have_no_weight_decay(twins):
    groups = adamw(layer_groups(twins[0], "fc"), weight_decay=0.5).param_groups
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0] * 3
    assert [len(group["params"]) for group in groups] == [3, 8, 2, 6, 1, 1]


def test_parameters_that_came_frozen_stay_so(twins):
    model = twins[0]
    model.conv1.weight.requires_grad_(False)
    groups = layer_groups(model, "fc")
    for group in groups:
        group.freeze(True)
        group.freeze(False)
    assert not model.conv1.weight.requires_grad
    assert model.layer1[0].weight.requires_grad


def test_a_model_without_a_known_head_is_one_group(twins):
    (group,) = layer_groups(twins[0], None)
    assert len(group.decayed) + len(group.plain) == len(list(twins[0].parameters()))


def test_the_rate_finder_is_fastais(twins, batches, tmp_path):
    theirs, mine = twins
    kept = {name: value.clone() for name, value in mine.state_dict().items()}
    learn = learner(theirs, batches, tmp_path)
    with learn.no_bar(), learn.no_logging():
        suggested = learn.lr_find(show_plot=False).valley
    groups = layer_groups(mine, "fc")
    optimiser = adamw(groups, weight_decay=0.01)
    for each in optimiser.param_groups:
        each["betas"] = (0.9, 0.99)

    def endless():
        while True:
            yield from batches

    def step(batch, rate):
        mine.train()
        for each in optimiser.param_groups:
            each["lr"] = rate
        loss = nn.functional.cross_entropy(mine(batch[0]), batch[1])
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        return float(loss.detach())

    found = try_rates(mine, endless, step)
    np.testing.assert_allclose(found.rates, learn.recorder.lrs, rtol=1e-6)
    near = slice(0, 70)  # where the rates are sound; then rounding grows
    np.testing.assert_allclose(found.losses[near], np.array(learn.recorder.losses)[near], rtol=1e-3)
    assert found.suggestion == pytest.approx(suggested, rel=0.3)
    assert all(torch.equal(value, kept[name]) for name, value in mine.state_dict().items())
