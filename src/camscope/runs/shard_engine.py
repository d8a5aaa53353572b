"""What an engine of runs is: it carries out shards, here or elsewhere, and says how far it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from camscope.engine.explainer import Explainer
from camscope.runs.input_list import Share
from camscope.runs.run_plan import Plan
from camscope.runs.run_store import RunStore
from camscope.runs.shard_work import Work


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        total: how many images its shards here have.
        done: how many are done, those of before included: in shards that are written.
        now: how many of these were done by this call.
        begun: how many images of the next shard are read.
        failed: how many of these could not be explained.
        seconds: that this call took for them.
        stopped: whether Ctrl-C, or the system, has asked for the end.
        workers: how many workers of a cluster are at work; 0 where there is none.
        lost: why workers of it were lost, and others took their place.
    """

    total: int
    done: int
    now: int = 0
    begun: int = 0
    failed: int = 0
    seconds: float = 0.0
    stopped: bool = False
    workers: int = 0
    lost: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """Images per second."""
        return (self.now + self.begun) / self.seconds if self.seconds > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds until the end; None if that cannot be told yet."""
        return (self.total - self.done - self.begun) / self.rate if self.rate > 0 else None


Told: TypeAlias = Callable[[Progress], None]
"""Is told how far a run is: at the begin, after each batch, and after each shard, when nothing more is begun."""


@dataclass(frozen=True)
class Job:
    """What is to be carried out.

    Attributes:
        explainer: of the model, as it is here.
        model: what it was made of: a name or an object.
        model_options: of `camscope.Explainer`, that made it.
        plan: of the run.
        store: keeps the shards.
        batch: how many images run at a time.
        readers: how many processes read images on a machine; None for one for each core.
        anew: whether shards are made that are there.
    """

    explainer: Explainer
    model: Any
    model_options: Mapping[str, Any] = field(repr=False)
    plan: Plan
    store: RunStore
    batch: int
    readers: int | None
    anew: bool = False

    @property
    def work(self) -> Work:
        """What explains shards here."""
        return Work(self.explainer, self.plan, self.batch)

    def at_the_begin(self, todo: Collection[int]) -> Progress:
        """How far the run is before these shards are carried out."""
        own = Share.read(self.plan.asked.share).shards(self.plan.shards)
        total = sum(map(self.plan.length, own))
        return Progress(total, total - sum(map(self.plan.length, todo)))


class Engine(Protocol):
    """Carries out shards."""

    def check(self, model: Any, model_options: Mapping[str, Any]) -> None:
        """Refuse what cannot be carried out, before anything is made.

        Args:
            model: of the run: a name or an object.
            model_options: of `camscope.Explainer`.

        Raises:
            CamscopeError: saying why, and what can.
        """
        ...

    def carry_out(self, job: Job, todo: Collection[int], told: Told) -> Progress:
        """Explain the shards that are to be done; each is written as it is done.

        Args:
            job: what is carried out.
            todo: the numbers of shards, in order.
            told: is told how far the run is.

        Returns:
            How far it got.

        Raises:
            CamscopeError: if the run cannot go on. What was finished stays.
        """
        ...
