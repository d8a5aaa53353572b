"""What a model said about a batch, as logits and as probabilities."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, cast, get_args

from array_api_compat import array_namespace, device
from jaxtyping import Float

from camscope.arrays import Array, detached
from camscope.errors import TargetError, nearest
from camscope.outputs.predictions import Predictions

Of = Literal["logit", "probability", "log-probability", "rest"]
"""Which score of a class: the pre-softmax (or pre-sigmoid) logit, its probability, the log of it, or ReST: the logit
plus the log-probability (Cai 2025, arXiv:2501.06261)."""

Task = Literal["multiclass", "multilabel", "binary", "regression"]
"""What the outputs mean: one class of many (softmax), any number of classes (sigmoid each), one logit for two
classes (sigmoid), or plain numbers (no probability)."""


@dataclass(frozen=True)
class Outputs:
    """The outputs of a model for a batch.

    Attributes:
        logits: one score per class. A one-logit binary head z is shown as its two classes, (−z, z).
        task: what the logits mean, and so how they become probabilities.
        raw: what the model returned, for targets that are callables.
        predictions: what the model puts out besides class scores, in which regions and instances are found; None if
            there is nothing besides.
        given: the probabilities, where they do not follow from the logits (a segmenter's shares of the area). By
            default the predictions say.
    """

    logits: Float[Array, "batch class"]
    task: Task
    raw: Any = field(repr=False, default=None)
    predictions: Predictions | None = field(repr=False, default=None)
    given: Float[Array, "batch class"] | None = field(repr=False, default=None)

    @cached_property
    def probabilities(self) -> Float[Array, "batch class"] | None:
        """Softmax or sigmoid of the logits, depending on the task; None for a regression."""
        xp = array_namespace(self.logits)
        if self.task == "regression":
            return None
        if self._own is not None:
            return self._own
        if self.task == "multiclass":
            return xp.exp(self.log_probabilities)
        # as tanh: no overflow for logits of any size
        return (1 + xp.tanh(self.logits / 2)) / 2

    @cached_property
    def log_probabilities(self) -> Float[Array, "batch class"] | None:
        """The logarithm of the probabilities, computed from the logits so that nothing underflows."""
        xp = array_namespace(self.logits)
        if self.task == "regression":
            return None
        if self._own is not None:
            return xp.log(xp.clip(self._own, xp.finfo(self._own.dtype).smallest_normal, None))
        if self.task == "multiclass":
            shifted = self.logits - xp.max(self.logits, axis=1, keepdims=True)
            # without the largest, whose power is 1: of a class that is all but certain, what is left is kept
            largest = xp.argmax(self.logits, axis=1, keepdims=True)
            others = xp.arange(shifted.shape[1], device=device(shifted)) != largest
            powers = xp.where(others, xp.exp(shifted), xp.zeros_like(shifted))
            return shifted - xp.log1p(xp.sum(powers, axis=1, keepdims=True))
        negative = xp.clip(self.logits, None, 0)
        return negative - xp.log1p(xp.exp(negative - xp.clip(self.logits, 0, None)))

    def of(self, score: Of) -> Float[Array, "batch class"]:
        """The classes' scores of one kind.

        Raises:
            TargetError: if the task is a regression, which has no probabilities.
        """
        if score == "logit":
            return self.logits
        if self.task == "regression":
            raise TargetError(f"A regression has no {score}; explain its output itself (of='logit').")
        if score == "probability":
            return cast(Array, self.probabilities)
        logs = cast(Array, self.log_probabilities)
        return self.logits + logs if score == "rest" else logs

    def detached(self) -> Outputs:
        """The classes' scores and probabilities alone, without the autograd graph or the raw output."""
        given = None if self.predictions is None else self.probabilities
        return Outputs(detached(self.logits), self.task, given=None if given is None else detached(given))

    def image(self, number: int) -> Outputs:
        """The outputs of one image alone, without the raw output."""
        here = slice(number, number + 1)
        predictions = None if self.predictions is None else self.predictions.images(here)
        return Outputs(self.logits[here], self.task, predictions=predictions)

    @property
    def _own(self) -> Float[Array, "batch class"] | None:
        """The probabilities that do not follow from the logits; None if they do."""
        if self.given is not None or self.predictions is None:
            return self.given
        return self.predictions.probabilities


def check_of(of: str) -> None:
    """Refuse a word that is not a kind of score.

    Raises:
        TargetError: naming the valid ones, and the nearest.
    """
    if of not in get_args(Of):
        raise TargetError(f"of={of!r}: expected one of {', '.join(get_args(Of))}.{nearest(of, get_args(Of))}")
