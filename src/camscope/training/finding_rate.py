"""The learning-rate finder: a mock training in which the rate grows, and what the loss says to it (Smith 2015)."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from camscope.errors import InputError
from camscope.training.batching import Batch
from camscope.training.parts_of_a_run import accelerated, put_together
from camscope.training.run_options import RunOptions
from camscope.training.training_plan import Plan, plan_training

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SMOOTH = 0.98
_WORSE = 4.0
_FEWEST = 20


@dataclass(frozen=True)
class FoundRate:
    """What the finder saw.

    Attributes:
        rates: the learning rate of each step.
        losses: the loss of each step, smoothed.
        suggestion: a learning rate in the longest descent of the loss, as fastai's `valley`.
    """

    rates: Float[np.ndarray, " step"]
    losses: Float[np.ndarray, " step"]
    suggestion: float

    def figure(self) -> Figure:
        """The loss against the learning rate, the suggestion marked."""
        from camscope.training.curves import rate_figure

        return rate_figure(self.rates, self.losses, self.suggestion)


def find_learning_rate(data: Any, *, steps: int = 100, **options: Any) -> FoundRate:
    """Find a learning rate for some data and a model; nothing is written.

        found = camscope.training.find_learning_rate("photos/", model="timm:resnet18")
        found.suggestion, found.figure()

    Of a pretrained model the body is frozen, as where its training begins.

    Args:
        data: see `camscope.training.fit`.
        steps: how many steps are tried at most.
        options: likewise, as far as they say what is trained and how.

    Raises:
        InputError: if something makes no sense, or nothing can be said.
        ModelError: if the model is unknown or cannot be trained.
        MissingExtraError: if something is not installed.
    """
    return rate_of(plan_training(data, RunOptions(**options)), steps=steps, device=options.get("device"))


def rate_of(plan: Plan, *, steps: int = 100, device: str | None = None) -> FoundRate:
    """Find a learning rate for a plan; its model is left as it was.

    Args:
        plan: what was chosen.
        steps: how many steps are tried at most.
        device: `cpu`, `cuda` …; None takes the best there is.

    Raises:
        InputError: if nothing can be said.
    """
    import torch

    with torch.random.fork_rng(), accelerated(plan.settings.precision, device) as accelerator:
        torch.manual_seed(plan.settings.seed)
        parts = put_together(plan, accelerator, workers=0)
        for group in parts.groups[:-1]:
            group.freeze(True)

        def endless() -> Iterator[Batch]:
            for epoch in itertools.count():
                yield from parts.train.epoch(epoch)

        def step(batch: Batch, rate: float) -> float:
            parts.model.train()
            for members in parts.optimiser.param_groups:
                members["lr"] = rate
            x, y = (part.to(accelerator.device) for part in (batch.x, batch.y))
            with accelerator.autocast():
                loss = parts.loss(parts.model(x), y)
            accelerator.backward(loss)
            parts.optimiser.step()
            parts.optimiser.zero_grad()
            return float(loss.detach())

        try:
            return try_rates(parts.model, endless, step, steps=steps)
        finally:
            for group in parts.groups:
                group.freeze(False)


def try_rates(
    model: Any,
    batches: Callable[[], Iterator[Any]],
    step: Callable[[Any, float], float],
    *,
    start: float = 1e-7,
    end: float = 10.0,
    steps: int = 100,
) -> FoundRate:
    """Train for some steps while the learning rate grows exponentially, and stop at four times the best loss.

    As fastai's `lr_find`: its smoothing (0.98, debiased), its stop, its suggestion. The model is left as it was.

    Args:
        model: a `torch.nn.Module`, in training.
        batches: an endless stream.
        step: one step of training with a batch at a learning rate; gives its loss.
        start: the first learning rate.
        end: the last.
        steps: how many steps at most.

    Raises:
        InputError: if the loss ran away so soon that nothing can be said.
    """
    kept = copy.deepcopy(model.state_dict())
    rates, losses, mean, best = [], [], 0.0, np.inf
    try:
        for number, batch in enumerate(itertools.islice(batches(), steps)):
            rate = start * (end / start) ** (number / steps)
            mean = _SMOOTH * mean + (1 - _SMOOTH) * step(batch, rate)
            smooth = mean / (1 - _SMOOTH ** (number + 1))
            rates.append(rate)
            losses.append(smooth)
            best = min(best, smooth)
            if not smooth <= _WORSE * best:
                break
    finally:
        model.load_state_dict(kept)
    return FoundRate(np.array(rates), np.array(losses), _suggest(rates, losses, steps))


def _suggest(rates: Sequence[float], losses: Sequence[float], steps: int) -> float:
    """The rate in the longest descent, without the first tenth and the last five steps.

    Raises:
        InputError: if too few steps are left.
    """
    known = np.asarray(losses)
    known = known[: int(np.argmin(np.isfinite(known)))] if not np.isfinite(known).all() else known
    inside = known[steps // 10 : -5]
    if len(inside) < _FEWEST:
        raise InputError(
            f"The loss ran away after {len(losses)} steps, too soon to say which learning rate is good. Is the "
            "model's input normalised?"
        )
    return float(rates[steps // 10 + _valley(inside)])


def _valley(losses: Float[np.ndarray, " step"]) -> int:
    """The place in the longest chain of ever lower losses at about half of its length, counted as fastai counts it."""
    length = np.ones(len(losses), int)
    for i in range(1, len(losses)):
        lower = losses[:i] > losses[i]
        length[i] = max(1, 1 + (length[:i][lower].max() if lower.any() else 0))
    end = int(length.argmax())
    start = end - int(length[end]) if end else 0
    third = (end - start) / 3
    return start + int(third) + int(third / 2)
