"""Resolved targets: a table of `batch × target` that every framework evaluates and differentiates the same way."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Float, Int

from camscope.arrays import Array
from camscope.errors import TargetError
from camscope.outputs import Of, Outputs
from camscope.targets.class_names import class_name
from camscope.targets.naming import TargetInfo, function_name
from camscope.targets.scores import OutputScore

ScoreFunction: TypeAlias = Callable[[Any], Float[Array, " batch"]]
"""A function of the model's raw output that gives one value per image."""

Weighting = Literal["mean", "softmax"]
"""How the classes that a target is contrasted with are averaged: evenly, or weighted by their probabilities, which are
treated as constants."""


@dataclass(frozen=True, eq=False)
class Against:
    """The classes one target is contrasted with: score = s_c − Σ_d share_d · s_d.

    Attributes:
        classes: the classes d of each image.
        shares: their shares, which are constants and sum to γ.
        weighting: how these came about, of each image.
    """

    classes: Int[np.ndarray, "batch other"]
    shares: Float[np.ndarray, "batch other"]
    weighting: tuple[Weighting, ...]

    def images(self, index: Int[np.ndarray, " image"]) -> Against:
        """The rows of these images."""
        weighting = tuple(np.asarray(self.weighting)[index].tolist())
        return Against(self.classes[index], self.shares[index], weighting)


@dataclass(frozen=True, eq=False)
class Targets:
    """Resolved targets, a table of `batch × target`.

    Attributes:
        classes: the index of each class; −1 in a column that is no class.
        signs: +1, or −1 for evidence against.
        of: the kind of score of each column.
        functions: each column's callable, or score of the model's predictions; None for a class.
        against: the classes each column is contrasted with; None if it is not contrasted.
    """

    classes: Int[np.ndarray, "batch target"]
    signs: Int[np.ndarray, "batch target"]
    of: tuple[Of, ...]
    functions: tuple[ScoreFunction | OutputScore | None, ...]
    against: tuple[Against | None, ...]

    @staticmethod
    def of_classes(classes: Int[np.ndarray, "batch target"], of: Of, sign: int) -> Targets:
        """A table of classes.

        Args:
            classes: the index of the class for each image and target.
            of: the kind of score, the same for all.
            sign: −1 for evidence against, else 1.
        """
        columns = classes.shape[1]
        return Targets(
            classes, np.full_like(classes, sign), (of,) * columns, (None,) * columns, (None,) * columns
        )

    @staticmethod
    def of_function(function: ScoreFunction | OutputScore, batch: int, sign: int) -> Targets:
        """A table of one column that is no class.

        Args:
            function: a callable on the model's raw output, or a score of its predictions.
            batch: how many images there are.
            sign: −1 for evidence against, else 1.
        """
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
        """One table with the columns of several tables, in this order."""
        if len(parts) == 1:
            return parts[0]
        return Targets(
            np.concatenate([p.classes for p in parts], axis=1),
            np.concatenate([p.signs for p in parts], axis=1),
            tuple(of for p in parts for of in p.of),
            tuple(function for p in parts for function in p.functions),
            tuple(against for p in parts for against in p.against),
        )

    @staticmethod
    def stacked(rows: Sequence[Targets]) -> Targets:
        """One table with the images of several tables, in this order. Their columns must be of the same `kinds`."""
        first = rows[0]

        def against(t: int) -> Against | None:
            column = [a for row in rows if (a := row.against[t]) is not None]
            if not column:
                return None
            return Against(
                np.concatenate([a.classes for a in column]),
                np.concatenate([a.shares for a in column]),
                tuple(one for a in column for one in a.weighting),
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
        """What each column computes: the kind of score, the callable, how many classes it is contrasted with."""
        others = (0 if a is None else a.classes.shape[1] for a in self.against)
        functions = (f.kind if isinstance(f, OutputScore) else f for f in self.functions)
        return tuple(zip(self.of, functions, others, strict=True))

    def images(self, index: Int[np.ndarray, " image"]) -> Targets:
        """The targets of these images, in this order; an image may be named several times."""
        return replace(
            self,
            classes=self.classes[index],
            signs=self.signs[index],
            functions=tuple(f.images(index) if isinstance(f, OutputScore) else f for f in self.functions),
            against=tuple(None if a is None else a.images(index) for a in self.against),
        )

    def scored_as(self, of: Of) -> Targets:
        """The same classes with another kind of score. Callables stay as they are."""
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
            outputs: the model's outputs for the batch, whose logits choose and weigh the other classes.
            gamma: γ, how much of the others' score is subtracted.
            count: how many others at most: those whose logits are closest to the target's own. None: all of `among`.
            weighting: see `Weighting`.
            among: the classes to choose the others from; None: every class but the target itself.

        Raises:
            TargetError: if a target is no class, is contrasted already, or there is no other class.
        """
        if self.of_functions:
            raise TargetError(
                "A target that is no class (a function, a region, an instance) has no similar classes to contrast it "
                "with. Give a class."
            )
        if not _only_none(self.against):
            raise TargetError(
                "The target is contrasted with other classes already; finer(…) would do so again."
            )
        logits = np.asarray(outputs.logits.tolist())
        columns = []
        for t in range(len(self)):
            rows = [
                _others(row, int(c), among, count) for row, c in zip(logits, self.classes[:, t], strict=True)
            ]
            fewest = min(map(len, rows))  # the model may mask out more classes of one image than of another
            classes = np.stack([row[:fewest] for row in rows])
            chosen = np.take_along_axis(logits, classes, axis=1)
            shares = (
                np.exp(chosen - chosen.max(1, keepdims=True))
                if weighting == "softmax"
                else np.ones_like(chosen)
            )
            columns.append(
                Against(classes, gamma * shares / shares.sum(1, keepdims=True), (weighting,) * len(rows))
            )
        return replace(self, against=tuple(columns))

    @property
    def of_functions(self) -> bool:
        """Whether any target is no class: a callable, a region or an instance."""
        return not _only_none(self.functions)

    @property
    def linear(self) -> bool:
        """Whether every target is a weighted sum of logits."""
        return set(self.of) <= {"logit"} and not self.of_functions

    @property
    def all_logits(self) -> bool:
        """Whether every target is plus or minus the logit of one class."""
        return self.linear and _only_none(self.against)

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
        if isinstance(function, OutputScore):
            scores = function(outputs)
        else:
            scores = _call(function, outputs.raw, self.classes.shape[0])
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
        if not _only_none(self.against):
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
        """Whether any target belongs to a place of the input, such as a box."""
        functions = (one for one in self.functions if one is not None)
        return any(one.placed for one in functions if isinstance(one, OutputScore))

    def fpn_levels(self, outputs: Outputs) -> Int[np.ndarray, "batch target"] | None:
        """The FPN level that each target comes from, −1 for none; None if there is no pyramid."""
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
            if function is not None and isinstance(function, OutputScore):
                outlines = function.outlines
                box = None if outlines is None else tuple(float(side) for side in outlines[b])
                sure = None if function.probabilities is None else float(function.probabilities[b])
                return TargetInfo(None, function.labels[b], None, sign, box=box, probability=sure)
            if function is not None:
                return TargetInfo(None, function_name(function), None, sign)
            index = int(self.classes[b, t])
            name = class_name(index, class_names)
            if against is None:
                return _class_info(index, name, self.of[t], sign)
            return TargetInfo(
                index,
                name,
                self.of[t],
                sign,
                tuple(class_name(int(d), class_names) for d in against.classes[b]),
                gamma=round(float(against.shares[b].sum()), 6),
                weighting=against.weighting[b],
            )

        batch: int = self.classes.shape[0]
        own = any(issubclass(kind, OutputScore) for kind in set(map(type, self.functions)))
        named = 1 if self.same_for_all_images and not own and _only_none(self.against) else batch
        rows = tuple(tuple(info(b, t) for t in range(len(self))) for b in range(named))
        return rows if named == batch else rows * batch


_class_info = functools.lru_cache(maxsize=8192)(TargetInfo)
"""A class by itself. Its facts never change, and a thousand of them a call take time to build."""


def _only_none(values: Sequence[Any]) -> bool:
    """Whether nothing is given in any column. A callable may be false or empty as a truth value and is given."""
    return set(map(type, values)) <= {type(None)}


def _others(
    logits: Float[np.ndarray, "class"], target: int, among: Sequence[int] | None, count: int | None
) -> Int[np.ndarray, " other"]:
    # a class that the model masks out, whose logit is −∞, is similar to none
    among = np.flatnonzero(np.isfinite(logits)).tolist() if among is None else among
    candidates = np.asarray([c for c in among if c != target])
    if not len(candidates):
        raise TargetError(
            f"Class {target} cannot be contrasted: there is no other class to contrast it with."
        )
    if count is None:
        return candidates
    distance = np.abs(logits[candidates] - logits[target])
    return candidates[np.argsort(distance, kind="stable")[:count]]


def _call(function: ScoreFunction, raw: Any, batch: int) -> Float[Array, " batch"]:
    try:
        scores = function(raw)
    except Exception as error:
        parts = (
            f"a dictionary of {', '.join(map(repr, raw))}" if isinstance(raw, Mapping) else type(raw).__name__
        )
        raise TargetError(
            f"The target function failed on what the model returns, which is {parts}: {type(error).__name__}: {error}"
        ) from error
    shape = getattr(scores, "shape", None)
    if shape is None or tuple(shape) != (batch,):
        got = f"shape {tuple(shape)}" if shape is not None else type(scores).__name__
        raise TargetError(
            f"The target function must return one number per image, shape ({batch},); it returned {got}. "
            "Sum or select over the other axes, for instance output[:, 3]."
        )
    return scores
