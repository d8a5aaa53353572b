"""Resolved targets: a table of `batch × target` that every framework evaluates and differentiates the same way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Float, Int

from camscope.arrays import Array
from camscope.errors import TargetError
from camscope.outputs import Of, Outputs
from camscope.targets.class_names import class_name
from camscope.targets.scores import OutputScore

ScoreFunction: TypeAlias = Callable[[Any], Float[Array, "batch"]]
"""Any scalar of the model's raw output, one value per image."""

Weighting = Literal["mean", "softmax"]
"""How the classes contrasted with are weighed: evenly, or by their probabilities (taken as constants)."""


@dataclass(frozen=True)
class TargetInfo:
    """One resolved target of one image.

    Attributes:
        index: the class, or None for a callable.
        name: the class's name where the model's names are known, else `class 281`; a callable's own name.
        of: which score.
        sign: −1 for evidence against.
        against: names of the classes it is contrasted with.
        box: x0, y0, x1, y1 of an instance, in shares of the input's size; None for what has no box.
    """

    index: int | None
    name: str
    of: Of | None
    sign: int
    against: tuple[str, ...] = ()
    box: tuple[float, ...] | None = None

    @property
    def short(self) -> str:
        """The label with a class's first synonym only: ImageNet's names list up to ten."""
        return self.label if self.index is None else self.label.partition(",")[0]

    @property
    def label(self) -> str:
        """The target in words, for figures: `tabby`, `not tabby`, `probability of tabby`, `tabby vs tiger cat`."""
        score = "ReST" if self.of == "rest" else self.of
        words = self.name if self.of in (None, "logit") else f"{score} of {self.name}"
        if self.against:
            more = f" and {len(self.against) - 1} more" if len(self.against) > 1 else ""
            words += f" vs {self.against[0].partition(',')[0]}{more}"
        return f"not {words}" if self.sign < 0 else words


@dataclass(frozen=True, eq=False)
class Against:
    """The classes one target is contrasted with: score = s_c − Σ_d share_d · s_d.

    Attributes:
        classes: d, image by image.
        shares: constants; they sum to γ.
    """

    classes: Int[np.ndarray, "batch other"]
    shares: Float[np.ndarray, "batch other"]

    def images(self, index: Int[np.ndarray, image]) -> Against:
        """The same for some images."""
        return Against(self.classes[index], self.shares[index])


@dataclass(frozen=True, eq=False)
class Targets:
    """Resolved targets, a table of `batch × target`.

    Attributes:
        classes: index of the class; −1 in the column of a callable.
        signs: +1, or −1 for evidence against.
        of: each column's score.
        functions: each column's callable (or score of the model's predictions), or None.
        against: what each column is contrasted with, or None.
    """

    classes: Int[np.ndarray, "batch target"]
    signs: Int[np.ndarray, "batch target"]
    of: tuple[Of, ...]
    functions: tuple[ScoreFunction | OutputScore | None, ...]
    against: tuple[Against | None, ...]

    @staticmethod
    def of_classes(classes: Int[np.ndarray, "batch target"], of: Of, sign: int) -> Targets:
        """One column for each column of classes, all of one kind of score."""
        columns = classes.shape[1]
        return Targets(
            classes, np.full_like(classes, sign), (of,) * columns, (None,) * columns, (None,) * columns
        )

    @staticmethod
    def of_function(function: ScoreFunction | OutputScore, batch: int, sign: int) -> Targets:
        """One column that is no class."""
        ones = np.ones((batch, 1), dtype=np.int64)
        return Targets(-ones, sign * ones, ("logit",), (function,), (None,))

    def __len__(self) -> int:
        return len(self.of)

    def __getitem__(self, columns: slice) -> Targets:
        return Targets(
            self.classes[:, columns],
            self.signs[:, columns],
            self.of[columns],
            self.functions[columns],
            self.against[columns],
        )

    @staticmethod
    def side_by_side(parts: Sequence[Targets]) -> Targets:
        """The columns of all, in this order."""
        return Targets(
            np.concatenate([p.classes for p in parts], axis=1),
            np.concatenate([p.signs for p in parts], axis=1),
            tuple(of for p in parts for of in p.of),
            tuple(function for p in parts for function in p.functions),
            tuple(against for p in parts for against in p.against),
        )

    @staticmethod
    def stacked(rows: Sequence[Targets]) -> Targets:
        """The images of all, in this order. Their columns must be of the same `kinds`."""
        first = rows[0]

        def against(t: int) -> Against | None:
            column = [a for row in rows if (a := row.against[t]) is not None]
            if not column:
                return None
            return Against(
                np.concatenate([a.classes for a in column]), np.concatenate([a.shares for a in column])
            )

        def function(t: int) -> ScoreFunction | OutputScore | None:
            column = [f for row in rows if isinstance(f := row.functions[t], OutputScore)]
            return type(column[0]).stacked(column) if column else first.functions[t]

        return Targets(
            np.concatenate([row.classes for row in rows]),
            np.concatenate([row.signs for row in rows]),
            first.of,
            tuple(function(t) for t in range(len(first))),
            tuple(against(t) for t in range(len(first))),
        )

    @property
    def kinds(self) -> tuple[tuple[Of, Any, int], ...]:
        """What is computed in each column: its score, its callable, how many classes it is contrasted with."""
        others = (0 if a is None else a.classes.shape[1] for a in self.against)
        functions = (f.kind if isinstance(f, OutputScore) else f for f in self.functions)
        return tuple(zip(self.of, functions, others, strict=True))

    def images(self, index: Int[np.ndarray, image]) -> Targets:
        """The targets of these images, in this order, as often as they are named."""
        return replace(
            self,
            classes=self.classes[index],
            signs=self.signs[index],
            functions=tuple(f.images(index) if isinstance(f, OutputScore) else f for f in self.functions),
            against=tuple(None if a is None else a.images(index) for a in self.against),
        )

    def scored_as(self, of: Of) -> Targets:
        """The same classes by another score. Callables stay what they are."""
        return replace(self, of=(of,) * len(self))

    def contrasted(
        self,
        outputs: Outputs,
        *,
        gamma: float = 0.6,
        count: int | None = 3,
        weighting: Weighting = "mean",
        among: Sequence[int] | None = None,
    ) -> Targets:
        """Each target against other classes: s_c − γ · mean_d s_d (Finer-CAM, Zhang et al., CVPR 2025).

        Args:
            outputs: of the batch. The classes contrasted with are chosen, and weighed, by its logits.
            gamma: how much of the others is taken off.
            count: how many at most: those whose logits are closest to the target's own. None: all of `among`.
            weighting: see `Weighting`.
            among: the classes to take them from; all but the target itself if None.

        Raises:
            TargetError: for a callable, which is no class, for a target that is contrasted already, or if there
                is no other class.
        """
        if any(self.functions):
            raise TargetError(
                "A target that is no class (a function, a region, an instance) has no similar classes to contrast it "
                "with. Give a class."
            )
        if any(self.against):
            raise TargetError(
                "The target is contrasted with other classes already; finer(…) would do so again."
            )
        logits = np.asarray(outputs.logits.tolist())
        columns = []
        for t in range(len(self)):
            rows = [
                _others(row, int(c), among, count) for row, c in zip(logits, self.classes[:, t], strict=True)
            ]
            classes = np.stack(rows)
            chosen = np.take_along_axis(logits, classes, axis=1)
            shares = (
                np.exp(chosen - chosen.max(1, keepdims=True))
                if weighting == "softmax"
                else np.ones_like(chosen)
            )
            columns.append(Against(classes, gamma * shares / shares.sum(1, keepdims=True)))
        return replace(self, against=tuple(columns))

    @property
    def linear(self) -> bool:
        """Whether every target is a sum of logits, with whatever factors."""
        return set(self.of) <= {"logit"} and not any(self.functions)

    @property
    def all_logits(self) -> bool:
        """Whether every target is plus or minus the logit of a class: a selection, linear in the outputs."""
        return self.linear and not any(self.against)

    @property
    def same_for_all_images(self) -> bool:
        """Whether every image has the same targets."""
        return all(
            bool((x == x[:1]).all())
            for x in (self.classes, self.signs, *(a.classes for a in self.against if a is not None))
        )

    def scores(self, outputs: Outputs) -> Float[Array, "batch target"]:
        """The targets' values; differentiable wherever the outputs are.

        Raises:
            TargetError: if a callable does not return one number per image.
        """
        xp = array_namespace(outputs.logits)
        where = device(outputs.logits)
        blocks = []
        order: list[int] = []
        for score in dict.fromkeys(self.of):
            columns = [t for t, of in enumerate(self.of) if of == score and self.functions[t] is None]
            if columns:
                blocks.append(self._of_classes(outputs, outputs.of(score), columns))
                order += columns
        for t, function in enumerate(self.functions):
            if function is not None:
                blocks.append(self._of_function(function, outputs, t))
                order.append(t)
        scores = blocks[0] if len(blocks) == 1 else xp.concat(blocks, axis=1)
        if order == sorted(order):
            return scores
        return xp.take(scores, xp.asarray(np.argsort(order), device=where), axis=1)

    def _of_function(
        self, function: ScoreFunction | OutputScore, outputs: Outputs, t: int
    ) -> Float[Array, "batch 1"]:
        if not isinstance(function, OutputScore):
            return _call(function, outputs.raw, self.classes.shape[0])[:, None]
        scores = function(outputs)
        xp = array_namespace(scores)
        return (scores * xp.asarray(self.signs[:, t], dtype=scores.dtype, device=device(scores)))[:, None]

    def _of_classes(
        self, outputs: Outputs, values: Float[Array, "batch class"], columns: Sequence[int]
    ) -> Float[Array, "batch column"]:
        xp = array_namespace(values)
        where = device(values)

        def taken(classes: Int[np.ndarray, "batch n"]) -> Float[Array, "batch n"]:
            return xp.take_along_axis(values, xp.asarray(classes, device=where), axis=1)

        scores = taken(self.classes[:, columns])
        if any(self.against[t] is not None for t in columns):
            others = []
            for t in columns:
                against = self.against[t]
                if against is None:
                    others.append(xp.zeros_like(scores[:, :1]))
                else:
                    shares = xp.asarray(against.shares, dtype=values.dtype, device=where)
                    others.append(xp.sum(taken(against.classes) * shares, axis=1, keepdims=True))
            scores = scores - xp.concat(others, axis=1)
        return scores * xp.asarray(self.signs[:, columns], dtype=values.dtype, device=where)

    @property
    def placed(self) -> bool:
        """Whether any target is at a place of the input."""
        return any(function.placed for function in self.functions if isinstance(function, OutputScore))

    def fpn_levels(self, outputs: Outputs) -> Int[np.ndarray, "batch target"] | None:
        """The level of the feature pyramid that each target comes from, −1 for none; None if there is no pyramid."""
        predictions = outputs.predictions
        if predictions is None:
            return None
        found = [
            function.fpn_levels
            if isinstance(function, OutputScore)
            else predictions.fpn_levels_of(self.classes[:, t])
            if function is None
            else None
            for t, function in enumerate(self.functions)
        ]
        if all(column is None for column in found):
            return None
        none = np.full(self.classes.shape[0], -1)
        return np.stack([none if column is None else column for column in found], axis=1)

    def infos(self, class_names: Sequence[str] | None) -> tuple[tuple[TargetInfo, ...], ...]:
        """Each image's targets with their names."""

        def info(b: int, t: int) -> TargetInfo:
            function, against = self.functions[t], self.against[t]
            sign = int(self.signs[b, t])
            if isinstance(function, OutputScore):
                outlines = function.outlines
                box = None if outlines is None else tuple(float(side) for side in outlines[b])
                return TargetInfo(None, function.labels[b], None, sign, box=box)
            if function is not None:
                return TargetInfo(None, getattr(function, "__name__", type(function).__name__), None, sign)
            index = int(self.classes[b, t])
            others = (
                () if against is None else tuple(class_name(int(d), class_names) for d in against.classes[b])
            )
            return TargetInfo(index, class_name(index, class_names), self.of[t], sign, others)

        batch: int = self.classes.shape[0]
        own = any(isinstance(f, OutputScore) for f in self.functions)
        named = 1 if self.same_for_all_images and not own else batch
        rows = tuple(tuple(info(b, t) for t in range(len(self))) for b in range(named))
        return rows if named == batch else rows * batch


def _others(
    logits: Float[np.ndarray, "class"], target: int, among: Sequence[int] | None, count: int | None
) -> Int[np.ndarray, other]:
    candidates = np.asarray([c for c in (range(len(logits)) if among is None else among) if c != target])
    if not len(candidates):
        raise TargetError(
            f"Class {target} cannot be contrasted: there is no other class to contrast it with."
        )
    if count is None:
        return candidates
    distance = np.abs(logits[candidates] - logits[target])
    return candidates[np.argsort(distance, kind="stable")[:count]]


def _call(function: ScoreFunction, raw: Any, batch: int) -> Float[Array, batch]:
    scores = function(raw)
    shape = getattr(scores, "shape", None)
    if shape is None or tuple(shape) != (batch,):
        got = f"shape {tuple(shape)}" if shape is not None else type(scores).__name__
        raise TargetError(
            f"The target function must return one number per image, shape ({batch},); it returned {got}. "
            "Sum or select over the other axes, for instance output[:, 3]."
        )
    return scores
