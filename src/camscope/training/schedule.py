"""Learning rates and momentum at every step: one cycle, and fine-tuning in two of them, as fastai does it.

Everything is a function of the step and of how many there are, so a resumed run has nothing to restore.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from camscope.training.groups import LayerGroup

MOMENTA = (0.95, 0.85, 0.95)
"""Momentum (Adam's β₁) at the start, at the top and at the end of a cycle."""

FINAL_DIVISION = 1e5
"""A cycle ends at its highest learning rate divided by this."""


@dataclass(frozen=True)
class Rates:
    """What an optimiser works with at one step.

    Attributes:
        learning_rates: of each layer group, the head last.
        momentum: of all.
    """

    learning_rates: tuple[float, ...]
    momentum: float


@dataclass(frozen=True)
class OneCycle:
    """Smith's one-cycle policy (2018, arXiv:1803.09820) with cosines, as in fastai's `fit_one_cycle`.

    Attributes:
        steps: how many steps it has.
        highest: the highest learning rate of each layer group.
        division: it starts at the highest learning rate divided by this.
        rise: the share of the steps in which it rises.
    """

    steps: int
    highest: tuple[float, ...]
    division: float = 25.0
    rise: float = 0.25

    def at(self, step: int) -> Rates:
        """The rates of a step, counted from 0."""
        place = step / self.steps
        if place < self.rise:
            part = place / self.rise
            rates = tuple(_cosine(top / self.division, top, part) for top in self.highest)
            return Rates(rates, _cosine(MOMENTA[0], MOMENTA[1], part))
        part = (place - self.rise) / (1 - self.rise)
        rates = tuple(_cosine(top, top / FINAL_DIVISION, part) for top in self.highest)
        return Rates(rates, _cosine(MOMENTA[1], MOMENTA[2], part))


@dataclass(frozen=True)
class Schedule:
    """One cycle after another.

    Attributes:
        cycles: in their order.
        frozen: for how many steps from the start all groups but the last are frozen.
    """

    cycles: tuple[OneCycle, ...]
    frozen: int = 0

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return sum(cycle.steps for cycle in self.cycles)

    def at(self, step: int) -> Rates:
        """The rates of a step, counted from 0.

        Raises:
            IndexError: if there is no such step.
        """
        for cycle in self.cycles:
            if step < cycle.steps:
                return cycle.at(step)
            step -= cycle.steps
        raise IndexError(f"the schedule has {self.steps} steps")


def from_scratch(groups: int, learning_rate: float, *, epochs: int, steps_per_epoch: int) -> Schedule:
    """One cycle in which everything learns at the same rate.

    Args:
        groups: how many layer groups there are.
        learning_rate: the highest.
        epochs: how many.
        steps_per_epoch: how many optimiser steps an epoch has.
    """
    return Schedule((OneCycle(epochs * steps_per_epoch, (learning_rate,) * groups),))


def fine_tuning(
    groups: int,
    learning_rate: float,
    *,
    epochs: int,
    frozen_epochs: int,
    steps_per_epoch: int,
    spread: float = 100.0,
) -> Schedule:
    """Fastai's `fine_tune`: a cycle for the head alone, then one for all with half the rate and discriminative rates.

    In the first the head rises to `learning_rate` in 99 % of the steps, the norms of the frozen groups to a tenth. In
    the second the groups' rates are geometric, from `learning_rate` / 2 / `spread` to `learning_rate` / 2 (Howard and
    Ruder 2018, arXiv:1801.06146), it starts at a fifth and rises for 30 % of the steps.

    Args:
        groups: how many layer groups there are.
        learning_rate: of the head in the first cycle, at its highest.
        epochs: of the second cycle.
        frozen_epochs: of the first; none leaves it out.
        steps_per_epoch: how many optimiser steps an epoch has.
        spread: of the rates, from the last group to the first.
    """
    warm = (learning_rate / 10,) * (groups - 1) + (learning_rate,)
    top = learning_rate / 2
    cycles = [
        OneCycle(frozen_epochs * steps_per_epoch, warm, rise=0.99),
        OneCycle(epochs * steps_per_epoch, _geometric(top / spread, top, groups), division=5.0, rise=0.3),
    ]
    return Schedule(tuple(cycle for cycle in cycles if cycle.steps), frozen_epochs * steps_per_epoch)


def enter_step(step: int, schedule: Schedule, groups: Sequence[LayerGroup], optimiser: Any) -> None:
    """Make everything ready for a step: what is frozen, the rates, and a fresh optimiser where the second cycle begins.

    Args:
        step: counted from 0.
        schedule: of all steps.
        groups: the model's layer groups.
        optimiser: of `camscope.training.groups.adamw`: two groups of parameters for each layer group.
    """
    for group in groups[:-1]:
        group.freeze(step < schedule.frozen)
    if step == schedule.frozen:
        optimiser.state.clear()
    rates = schedule.at(step)
    for number, members in enumerate(optimiser.param_groups):
        members["lr"] = rates.learning_rates[number // 2]
        members["betas"] = (rates.momentum, members["betas"][1])


def _cosine(start: float, end: float, part: float) -> float:
    return start + (1 + math.cos(math.pi * (1 - part))) * (end - start) / 2


def _geometric(first: float, last: float, count: int) -> tuple[float, ...]:
    """From first to last in equal ratios; a single one is the last."""
    if count == 1:
        return (last,)
    return tuple(first * (last / first) ** (number / (count - 1)) for number in range(count))
