"""Every number of an explanation is held against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

import camscope
from benchmarks.fuzz.findings import EQUAL, REFUSED, UNDECIDED, WRONG
from benchmarks.fuzz.heads import ENDING_MODULES, Reading
from benchmarks.fuzz.networks import Network
from benchmarks.fuzz.oracles import ALTERED, GRADIENTS, UndecidedError, expected, linear_map
from benchmarks.fuzz.subject import Subject
from benchmarks.fuzz.truth import Truth
from benchmarks.fuzz.wanted import Asked, as_targets

TOLERANCE = 1e-4
"""How far a map may be off, as a share of its largest value; and a score, of itself."""


class Judge:
    """Asks camscope for maps of one batch, and judges the answers.

    Args:
        subject: the head.
        x: the batch.
        asked: the targets.
        known: the network whose places are right for this batch, if that is not the subject's: the same for another
            size of the input.
    """

    def __init__(
        self, subject: Subject, x: torch.Tensor, asked: Sequence[Asked], known: Network | None = None
    ) -> None:
        self._subject, self._x, self._asked = subject, x, asked
        self._known = known or subject.net
        self._truths: dict[str, Truth] = {}
        self._maps: dict[Any, torch.Tensor | None] = {}

    def truth(self, name: str) -> Truth:
        """Of a layer, which may be the ReLU of another."""
        if name not in self._truths:
            self._truths[name] = Truth(self._known, self._x, name, self._subject.number)
        return self._truths[name]

    def explain(
        self, layers: Sequence[str] | None, methods: Sequence[str], which: slice = slice(None)
    ) -> camscope.Explanation:
        """Ask for all targets, or for some of them."""
        targets = as_targets(self._asked[which], self._subject.pick, len(self._x))
        named = None if layers is None else list(layers)
        return self._subject.explain(self._x, methods=list(methods), layers=named, targets=targets)

    def together(self, layers: Sequence[str], methods: Sequence[str]) -> camscope.Explanation | None:
        """Ask for everything in one call, and judge it; for each layer and method alone, where that is refused."""
        try:
            e = self.explain(layers, methods)
        except Exception:  # which of them it is, and why, is found out one by one
            for layer in layers:
                for method in methods:
                    self.alone(layer, method)
            return None
        for layer in layers:
            self.judge(e, layer)
        return e

    def alone(self, layer: str, method: str) -> None:
        """Ask for one map, and judge it, or the refusal."""
        about = f"{method} at {layer}"
        with self._subject.noting(about, needless=self._there_is(layer, method)):
            try:
                e = self.explain([layer], [method])
            except camscope.TargetError as error:
                self._subject.note(WRONG if self._every_target_exists() else REFUSED, about, str(error))
            else:
                self.judge(e, layer)

    def judge(self, e: camscope.Explanation, layer: str, how: str = "") -> None:
        """Judge every map of an explanation at a layer, and the scores and probabilities."""
        note, truth = self._subject.note, self.truth(layer)
        fitting = [reading for reading in self._subject.readings if self._fits(e, reading)]
        if not fitting:
            why = f"not the model's, which ends in {self._subject.head.end} | {self._scores(e)}"
            note(WRONG, f"{how}score at {layer}", why)
        elif not truth.exists:
            note(WRONG, f"{how}map at {layer}", f"of a layer that has none ({truth.place.layout})")
        else:
            for method, at in e.raw:
                if at == layer:
                    note(*self._compared(e.raw[method, at], method, layer, fitting, how))

    # ------------------------------------------------------------------ what should be

    def _there_is(self, layer: str, method: str) -> bool:
        """Whether a map could be had, so that refusing it is not needed."""
        truth, head = self.truth(layer), self._subject.head
        if not truth.exists or not truth.reaches() or truth.entangled:
            return False
        if method == "cam":
            linear = head.end in (*ENDING_MODULES, "logits", "squeezed")
            return linear and self._map("cam", layer, 0, self._subject.readings[0]) is not None
        return not (method in ALTERED and truth.used_elsewhere)

    def _every_target_exists(self) -> bool:
        head, every = self._subject.head, self._subject.readings
        return all(one.goal(head, reading) is not None for one in self._asked for reading in every)

    def _compared(
        self, maps: torch.Tensor, method: str, layer: str, fitting: Sequence[Reading], how: str
    ) -> tuple[str, str, str]:
        about, truth, recipe = f"{how}{method} at {layer}", self.truth(layer), self._subject.recipe
        space = tuple(truth.activations.shape[2:])
        if tuple(maps.shape[2:]) != space:
            return WRONG, about, f"over {tuple(maps.shape[2:])}; the grid is {space} ({truth.place.layout})"
        if (method == "scorecam" and recipe.one_by_one) or (method in ALTERED and recipe.features_decide):
            return UNDECIDED, about, "altered copies run side by side decide for each other in this model"
        worst = 0.0
        for number in range(maps.shape[1]):
            try:
                options = [self._map(method, layer, number, reading) for reading in fitting]
                if truth.ambiguous or (method in ALTERED and truth.used_elsewhere):
                    # its memory, or what is given on: both are honest
                    options += [
                        self._map(method, layer, number, reading, in_memory=True) for reading in fitting
                    ]
                if self._subject.head.rectify and layer.endswith("+relu") and method in GRADIENTS:
                    # where nothing comes out of two ReLUs in turn, the derivative of the second may be 0 or 1
                    options += [
                        self._map(method, layer, number, reading, at_rest=True) for reading in fitting
                    ]
            except UndecidedError as reason:
                return UNDECIDED, about, str(reason)
            distances = [off(maps[:, number], option) for option in options if option is not None]
            if not distances:
                return WRONG, about, "a map by a linear head, which this is not"
            worst = max(worst, min(distances))
        return (WRONG, about, f"off | {worst:.2g}") if worst > TOLERANCE else (EQUAL, about, "")

    def _map(
        self,
        method: str,
        layer: str,
        number: int,
        reading: Reading,
        *,
        in_memory: bool = False,
        at_rest: bool = False,
    ) -> torch.Tensor | None:
        """What a method must give at a layer for a target; None for CAM behind no linear head."""
        key = method, layer, number, reading, in_memory, at_rest
        if key not in self._maps:
            goal, truth = self._asked[number].goal(self._subject.head, reading), self.truth(layer)
            if goal is None:
                self._maps[key] = None
            elif method == "cam":
                self._maps[key] = linear_map(truth, goal, self._known.classifier(self._subject.number))
            else:
                self._maps[key] = expected(method, truth, goal, in_memory=in_memory, at_rest=at_rest)
        return self._maps[key]

    # ------------------------------------------------------------------ scores and probabilities

    @property
    def _z(self) -> torch.Tensor:
        return self.truth(next(iter(self._known.places))).z

    def _fits(self, e: camscope.Explanation, reading: Reading) -> bool:
        """Whether scores, logits and probabilities are those of a reading."""
        goals = [asked.goal(self._subject.head, reading) for asked in self._asked][: e.scores.shape[1]]
        p = reading.probabilities
        if None in goals or (e.probabilities is None) != (p is None):
            return False
        scores = torch.stack([goal.score(self._z) for goal in goals if goal is not None], 1)
        pairs = [(e.scores, scores), (e.logits, reading.logits(self._z).reshape(len(self._x), -1))]
        if p is not None:
            pairs.append((e.probabilities, p(self._z)))
        return all(a.shape == b.shape and torch.allclose(a, b, rtol=TOLERANCE, atol=1e-8) for a, b in pairs)

    def _scores(self, e: camscope.Explanation) -> str:
        def numbers(values: torch.Tensor | None) -> Any:
            return None if values is None else [round(value, 3) for value in values[0].tolist()]

        model = numbers(self._subject.readings[0].logits(self._z))
        return f"scores {numbers(e.scores)}, logits {numbers(e.logits)} for {model}, p {numbers(e.probabilities)}"


def off(found: torch.Tensor, right: torch.Tensor) -> float:
    """How far maps are off, as a share of the largest value of each; far, if one holds NaN."""
    found, right = found.flatten(1), right.flatten(1)
    scale = right.abs().amax(1).clamp(min=1e-8)
    return float(torch.nan_to_num(((found - right).abs().amax(1) / scale).max(), nan=9.0))
