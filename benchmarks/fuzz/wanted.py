"""The targets that are asked for, as camscope takes them and as the truth computes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

import camscope
from benchmarks.fuzz.heads import FUNCTIONS, Head, Reading
from benchmarks.fuzz.truth import Goal

_RETURNED = FUNCTIONS | {
    "Sigmoid": torch.sigmoid,
    "Softmax": lambda z: z.softmax(1),
    "LogSoftmax": lambda z: z.log_softmax(1),
}


@dataclass(frozen=True)
class Wanted:
    """A class, one class against another, or (without a class) a function of what the model returns.

    Attributes:
        which: the class.
        of: which score of it.
        sign: −1 for evidence against.
        against: another class, of whose score 0.6 parts are subtracted.
    """

    which: int | None
    of: Any = "logit"
    sign: int = 1
    against: int | None = None

    def target(self, pick: Callable[[Any], torch.Tensor]) -> Any:
        """As camscope takes it.

        Args:
            pick: finds the head's outputs in what the model returns.
        """
        if self.which is None:
            return lambda raw: _function(pick(raw))
        if self.against is not None:
            return camscope.Contrast(self.which, [self.against], of=self.of, sign=self.sign)
        return camscope.Class(self.which, self.of, self.sign)

    def goal(self, head: Head, reading: Reading) -> Goal | None:
        """As the truth computes it; None if that reading has no such score."""
        if self.which is None:
            returned = _RETURNED[head.end]
            return Goal(lambda z: _function(returned(z)), lambda z: _function(returned(z)))
        score = reading.of(self.of)
        if score is None:
            return None
        probability = reading.of("probability") or score

        def of(kind: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
            def value(z: torch.Tensor) -> torch.Tensor:
                all_classes = kind(z)
                own = all_classes[:, self.which]
                return self.sign * (own if self.against is None else own - 0.6 * all_classes[:, self.against])

            return value

        return Goal(of(score), of(probability))


@dataclass(frozen=True)
class EachImage:
    """A class for each image.

    Attributes:
        of: one for each.
    """

    of: tuple[Wanted, ...]

    def goal(self, head: Head, reading: Reading) -> Goal | None:
        """As the truth computes it."""
        goals = [goal for wanted in self.of if (goal := wanted.goal(head, reading)) is not None]

        def rows(kind: Callable[[Goal], Callable[[torch.Tensor], torch.Tensor]]) -> Any:
            return lambda z: torch.stack([kind(goal)(z)[image] for image, goal in enumerate(goals)])

        return Goal(rows(lambda goal: goal.score), rows(lambda goal: goal.probability))


Asked = Wanted | EachImage


def as_targets(asked: Sequence[Asked], pick: Callable[[Any], torch.Tensor], images: int) -> Any:
    """Targets as camscope takes them.

    Args:
        asked: all of one kind.
        pick: finds the head's outputs in what the model returns.
        images: how many there are.
    """
    own = [one.of for one in asked if isinstance(one, EachImage)]
    if own:
        return camscope.PerImage([[of[image].target(pick) for of in own] for image in range(images)])
    return [one.target(pick) for one in asked if isinstance(one, Wanted)]


def _function(outputs: torch.Tensor) -> torch.Tensor:
    """A score of a user's own."""
    outputs = outputs.reshape(len(outputs), -1)
    return outputs[:, 0] * 2 - outputs[:, -1] ** 2
