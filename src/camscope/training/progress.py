"""How far a training is: what a checkpoint keeps besides tensors, and what a person is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Protocol

Row = dict[str, float]
"""An epoch in numbers: `epoch` (from 1), `step`, `learning_rate`, `train_loss`, `val_loss`, the scores, `seconds`."""


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        step: optimiser steps that were done.
        epoch: epochs that were done, up to their validation.
        loss: the sum of the losses of all images of the epoch that runs.
        images: how many these are.
        seconds: how long that epoch has run.
        history: a row for each epoch.
    """

    step: int = 0
    epoch: int = 0
    loss: float = 0.0
    images: int = 0
    seconds: float = 0.0
    history: list[Row] = field(default_factory=list)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Progress:
        """What a checkpoint kept."""
        return cls(**facts)

    def facts(self) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON has it."""
        return asdict(self)

    def end_epoch(self, row: Row) -> None:
        """Begin the next epoch.

        Args:
            row: the one that ended, in numbers.
        """
        self.history.append(row)
        self.epoch += 1
        self.loss, self.images, self.seconds = 0.0, 0, 0.0

    def best(self, score: str) -> Row | None:
        """The epoch with the highest score; of equal ones that with the lowest loss in validation.

        Args:
            score: its name.
        """
        return max(self.history, key=lambda row: (row[score], -row["val_loss"]), default=None)


class Now(NamedTuple):
    """A moment of a training.

    Attributes:
        step: optimiser steps that were done.
        steps: of how many.
        epoch: which epoch it is, from 1.
        epochs: of how many.
        loss: the mean over the epoch so far.
        images_per_second: of this session.
        seconds_left: until the end, as it looks.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float
    images_per_second: float
    seconds_left: float


class Reporter(Protocol):
    """Who is told how a training goes."""

    def step(self, now: Now) -> None:
        """Take notice of a step; a few times a second."""

    def epoch(self, row: Row, best: bool) -> None:
        """Take notice of an epoch.

        Args:
            row: in numbers.
            best: whether it is the best so far.
        """


class Silent:
    """A reporter that tells nobody."""

    def step(self, now: Now) -> None:
        """Nothing."""

    def epoch(self, row: Row, best: bool) -> None:
        """Nothing.

        Args:
            row: of no account.
            best: of no account.
        """
