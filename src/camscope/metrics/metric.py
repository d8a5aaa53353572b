"""What a metric is: a function that measures maps, and what must be known to read its numbers."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ParamSpec

import numpy as np
from jaxtyping import Float

from camscope.errors import InputError, nearest
from camscope.keywords import keywords

P = ParamSpec("P")

Values = Mapping[str, Float[np.ndarray, " ..."]]
"""What was measured of each map, by its name."""


@dataclass(frozen=True)
class Metric:
    """What must be known to read a metric's numbers.

    Attributes:
        name: of its function in `camscope.metrics`.
        higher_is_better: None where it describes a map, and neither end is better.
        low: the least value there can be.
        high: the largest.
        cost: in forwards of the model, for each image, target and map.
        paper: where it is defined.
        formula: the first line of the function's docstring.
    """

    name: str
    higher_is_better: bool | None
    low: float
    high: float
    cost: str
    paper: str
    formula: str

    @property
    def direction(self) -> str:
        """Which end is better, in words."""
        words = {True: "higher is better", False: "lower is better", None: "neither end is better"}
        return words[self.higher_is_better]


@dataclass(frozen=True, eq=False, repr=False)
class Measured:
    """What a metric says of some maps. NaN where it cannot be judged: the map is flat there, or not finite.

        measured = camscope.metrics.deletion(explainer, x, e, baselines=camscope.metrics.baseline_maps(explainer, x))
        measured                     # a table: the means, with the direction, and the baselines below
        measured["gradcam"]          # by image and target

    Attributes:
        metric: what must be known to read it.
        values: by the map's name, the maps first and the baselines after them. Mostly one number for each image and
            target; each metric says it.
        baselines: the names of those that are baselines.
        beside: what else was measured, by what it is, and of each map: the share of copies, a bound, single steps.
    """

    metric: Metric
    values: Values
    baselines: tuple[str, ...] = ()
    beside: Mapping[str, Values] = field(default_factory=dict)

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def __getitem__(self, name: str) -> Float[np.ndarray, " ..."]:
        if name not in self.values:
            raise InputError(
                f"There is no map {name!r}.{nearest(str(name), self.values)} Measured are {', '.join(self.values)}."
            )
        return self.values[name]

    @property
    def means(self) -> dict[str, float]:
        """The mean of each map's numbers that can be judged; NaN if none can."""
        return {name: _mean(values) for name, values in self.values.items()}

    @property
    def unjudged(self) -> dict[str, int]:
        """How many of each map's numbers cannot be judged."""
        return {name: int(np.isnan(values).sum()) for name, values in self.values.items()}

    def __repr__(self) -> str:
        beside = "".join(
            f"\n  {what}: " + ", ".join(f"{name} {_mean(one):.3f}" for name, one in values.items())
            for what, values in self.beside.items()
        )
        return self._table + beside

    @property
    def _table(self) -> str:
        m, width = self.metric, max(map(len, self.values), default=0)
        lines = [f"{m.name}: {m.direction}, from {m.low:g} to {m.high:g}"]
        for name, mean in self.means.items():
            size, lost = self.values[name].size, self.unjudged[name]
            lines.append(
                f"  {name:{width}}  {mean:7.3f}  mean of {size - lost}"
                + (f", {lost} cannot be judged" if lost else "")
                + (", a baseline" if name in self.baselines else "")
            )
        return "\n".join(lines)


def _mean(values: Float[np.ndarray, " ..."]) -> float:
    judged = values[~np.isnan(values)]
    return float(judged.mean()) if judged.size else math.nan


Found = tuple[Values, tuple[str, ...]] | tuple[Values, tuple[str, ...], Mapping[str, Values]]
"""What a metric's function gives: what it measured, the names of the baselines, and what else it measured, if so."""

_METRICS: dict[str, Metric] = {}


def metric(
    *, higher_is_better: bool | None, low: float = 0.0, high: float = 1.0, paper: str, cost: str = "none"
) -> Callable[[Callable[P, Found]], Callable[P, Measured]]:
    """Register a metric: a function that gives what it measured, and the names of the baselines among it.

    Args:
        higher_is_better: see `Metric`; so are the others.
        low: see `Metric`.
        high: see `Metric`.
        paper: see `Metric`.
        cost: see `Metric`.
    """

    def registered(function: Callable[P, Found]) -> Callable[P, Measured]:
        formula = (function.__doc__ or "").split("\n")[0]
        facts = Metric(function.__name__, higher_is_better, low, high, cost, paper, formula)
        _METRICS[facts.name] = facts

        understanding = keywords(f"metrics.{facts.name}(…, {{}})")(function)

        @functools.wraps(function)
        def measuring(*args: P.args, **kwargs: P.kwargs) -> Measured:
            return Measured(facts, *understanding(*args, **kwargs))

        shown = inspect.signature(function).replace(return_annotation=Measured)
        vars(measuring)["__signature__"] = shown  # what help() tells
        return measuring

    return registered


def list_metrics() -> tuple[Metric, ...]:
    """All metrics, with what must be known to read their numbers."""
    return tuple(_METRICS.values())
