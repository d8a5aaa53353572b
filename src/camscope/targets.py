"""What is being explained: a target is a scalar of the model's output, one per image.

Users write targets (`Class(281)`, `TopK(3)`, `-Class("tabby")`, a callable …); `resolve` turns them into
`Targets`, a table of `batch × target` that every framework can evaluate and differentiate the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Float, Int

from camscope.arrays import Array
from camscope.errors import TargetError, nearest

Of = Literal["logit", "probability", "log-probability"]
"""Which score of a class: the pre-softmax (or pre-sigmoid) logit, its probability, or the log of it."""

Task = Literal["multiclass", "multilabel", "binary", "regression"]
"""What the outputs mean: one class of many (softmax), any number of classes (sigmoid each), one logit for two
classes (sigmoid), or plain numbers (no probability)."""


@dataclass(frozen=True)
class Class:
    """The score of one class, by index (negative counts from the end) or name. `-Class(i)`: evidence against it."""

    which: int | str
    of: Of = "logit"
    sign: int = 1

    def __post_init__(self) -> None:
        _check_of(self.of)

    def __neg__(self) -> Class:
        return replace(self, sign=-self.sign)


@dataclass(frozen=True)
class TopK:
    """The k classes with the highest scores, image by image, highest first."""

    k: int = 1
    of: Of = "logit"
    sign: int = 1

    def __post_init__(self) -> None:
        _check_of(self.of)
        if self.k < 1:
            raise TargetError(f"TopK({self.k}): k must be at least 1.")

    def __neg__(self) -> TopK:
        return replace(self, sign=-self.sign)


@dataclass(frozen=True)
class AllClasses:
    """Every class, in the model's order."""

    of: Of = "logit"
    sign: int = 1

    def __post_init__(self) -> None:
        _check_of(self.of)

    def __neg__(self) -> AllClasses:
        return replace(self, sign=-self.sign)


@dataclass(frozen=True)
class PerImage:
    """One target (or one list of as many targets) for each image of the batch: `PerImage([281, 285, 3])`."""

    targets: Sequence[Target | Sequence[Target]]


ScoreFunction: TypeAlias = Callable[[Any], Float[Array, "batch"]]
"""Any scalar of the model's raw output, one value per image."""

Target: TypeAlias = "Class | TopK | AllClasses | ScoreFunction | int | str"
TargetsLike: TypeAlias = "Target | PerImage | Sequence[Target] | None"


@dataclass(frozen=True)
class Outputs:
    """What the model said about a batch.

    Attributes:
        logits: one score per class. A one-logit binary head z is shown as its two classes, (−z, z).
        task: what the logits mean, and so how they become probabilities.
        raw: what the model returned, for targets that are callables.
    """

    logits: Float[Array, "batch class"]
    task: Task
    raw: Any = field(repr=False, default=None)

    @cached_property
    def probabilities(self) -> Float[Array, "batch class"] | None:
        """Softmax or sigmoid of the logits, as the task says; None for a regression."""
        xp = array_namespace(self.logits)
        if self.task == "regression":
            return None
        if self.task == "multiclass":
            return xp.exp(self.log_probabilities)
        # as tanh: no overflow for logits of any size
        return (1 + xp.tanh(self.logits / 2)) / 2

    @cached_property
    def log_probabilities(self) -> Float[Array, "batch class"] | None:
        """The logarithm of the probabilities, computed without leaving the log scale."""
        xp = array_namespace(self.logits)
        if self.task == "regression":
            return None
        if self.task == "multiclass":
            shifted = self.logits - xp.max(self.logits, axis=1, keepdims=True)
            return shifted - xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True))
        negative = xp.clip(self.logits, None, 0)
        return negative - xp.log1p(xp.exp(negative - xp.clip(self.logits, 0, None)))

    def of(self, score: Of) -> Float[Array, "batch class"]:
        """The classes' logits, probabilities or log-probabilities.

        Raises:
            TargetError: if the task is a regression, which has no probabilities.
        """
        if score == "logit":
            return self.logits
        if self.task == "regression":
            raise TargetError(f"A regression has no {score}; explain its output itself (of='logit').")
        return cast(Array, self.probabilities if score == "probability" else self.log_probabilities)


@dataclass(frozen=True)
class TargetInfo:
    """One resolved target of one image.

    Attributes:
        index: the class, or None for a callable.
        name: the class's name where the model's names are known, else `class 281`; a callable's own name.
        of: which score.
        sign: −1 for evidence against.
    """

    index: int | None
    name: str
    of: Of | None
    sign: int

    @property
    def label(self) -> str:
        """The target in words, for figures: `tabby`, `not tabby`, `probability of tabby`."""
        words = self.name if self.of in (None, "logit") else f"{self.of} of {self.name}"
        return f"not {words}" if self.sign < 0 else words


@dataclass(frozen=True)
class Targets:
    """Resolved targets, a table of `batch × target`.

    Attributes:
        classes: index of the class; −1 in the column of a callable.
        signs: +1, or −1 for evidence against.
        of: each column's score.
        functions: each column's callable, or None.
    """

    classes: Int[np.ndarray, "batch target"]
    signs: Int[np.ndarray, "batch target"]
    of: tuple[Of, ...]
    functions: tuple[ScoreFunction | None, ...]

    def __len__(self) -> int:
        return len(self.of)

    def __getitem__(self, columns: slice) -> Targets:
        return Targets(
            self.classes[:, columns], self.signs[:, columns], self.of[columns], self.functions[columns]
        )

    @property
    def all_logits(self) -> bool:
        """Whether every target is plus or minus the logit of a class: a selection, linear in the outputs."""
        return set(self.of) <= {"logit"} and not any(self.functions)

    @property
    def same_for_all_images(self) -> bool:
        """Whether every image has the same targets."""
        return bool((self.classes == self.classes[:1]).all() and (self.signs == self.signs[:1]).all())

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
                classes = xp.asarray(self.classes[:, columns], device=where)
                signs = xp.asarray(self.signs[:, columns], dtype=outputs.logits.dtype, device=where)
                blocks.append(xp.take_along_axis(outputs.of(score), classes, axis=1) * signs)
                order += columns
        for t, function in enumerate(self.functions):
            if function is not None:
                blocks.append(_call(function, outputs.raw, self.classes.shape[0])[:, None])
                order.append(t)
        scores = blocks[0] if len(blocks) == 1 else xp.concat(blocks, axis=1)
        if order == sorted(order):
            return scores
        return xp.take(scores, xp.asarray(np.argsort(order), device=where), axis=1)

    def infos(self, class_names: Sequence[str] | None) -> tuple[tuple[TargetInfo, ...], ...]:
        """Each image's targets with their names."""

        def info(b: int, t: int) -> TargetInfo:
            function = self.functions[t]
            sign = int(self.signs[b, t])
            if function is not None:
                return TargetInfo(None, getattr(function, "__name__", type(function).__name__), None, sign)
            index = int(self.classes[b, t])
            return TargetInfo(index, class_name(index, class_names), self.of[t], sign)

        batch: int = self.classes.shape[0]
        named = 1 if self.same_for_all_images else batch
        rows = tuple(tuple(info(b, t) for t in range(len(self))) for b in range(named))
        return rows if named == batch else rows * batch


def class_name(index: int, class_names: Sequence[str] | None) -> str:
    """The class's name, or `class 281` where no names are known."""
    return class_names[index] if class_names is not None else f"class {index}"


def resolve(targets: TargetsLike, outputs: Outputs, class_names: Sequence[str] | None = None) -> Targets:
    """Turn what the user asked for into a table of targets for this batch.

    Args:
        targets: None (the top class of each image); one target; a list, which means these targets for every
            image; or `PerImage`. A target is an index, a name, a word of the command line (`top3`, `all`,
            `-281`, `probability:tabby`), an object of this module, or a callable on the model's raw output.
        outputs: of the batch.
        class_names: to find classes by name.

    Raises:
        TargetError: for a class that does not exist (with the nearest name) or a count that does not fit.
    """
    batch = outputs.logits.shape[0]
    if isinstance(targets, PerImage):
        if len(targets.targets) != batch:
            raise TargetError(
                f"PerImage holds {len(targets.targets)} targets, the batch {batch} images: give one for each image."
            )
        rows = [
            _resolve_list(_as_list(entry), _only(outputs, b), class_names)
            for b, entry in enumerate(targets.targets)
        ]
        counts = [len(row) for row in rows]
        if len(set(counts)) > 1:
            raise TargetError(
                f"PerImage needs as many targets for each image; these counts differ: {counts}."
            )
        if any(row.of != rows[0].of or row.functions != rows[0].functions for row in rows):
            raise TargetError(
                "PerImage needs the same kind of score (logit, probability …) down each column."
            )
        return Targets(
            np.concatenate([row.classes for row in rows]),
            np.concatenate([row.signs for row in rows]),
            rows[0].of,
            rows[0].functions,
        )
    return _resolve_list(_as_list(targets), outputs, class_names)


def parse_target(text: str) -> Target:
    """Read a target as the command line writes it.

    `281`, `tabby`, `top3`, `all`, each optionally with `-` or `not:` before it (evidence against) and with
    `probability:` or `log-probability:` before that.
    """
    word = text.strip()
    sign, of = 1, "logit"
    while True:
        head, colon, rest = word.partition(":")
        if colon and head.strip() == "not":
            sign, word = -sign, rest.strip()
        elif colon and head.strip() in get_args(Of):
            of, word = head.strip(), rest.strip()
        elif word.startswith("-"):
            sign, word = -sign, word[1:].strip()
        else:
            break
    score = cast(Of, of)
    if not word:
        raise TargetError(
            f"The target {text!r} names no class. Write for instance 281, tabby, top3, all or -281."
        )
    if word.lower() == "all":
        return AllClasses(score, sign)
    if top := re.fullmatch(r"top[-_ ]?(\d+)", word.lower()):
        return TopK(int(top[1]), score, sign)
    return Class(int(word) if re.fullmatch(r"\d+", word) else word, score, sign)


def _as_list(targets: TargetsLike) -> list[Target]:
    if targets is None:
        return [TopK(1)]
    if isinstance(targets, (list, tuple, range)):
        if not targets:
            raise TargetError("The list of targets is empty. Leave it out to explain the top class.")
        return list(targets)
    if hasattr(targets, "shape") and not isinstance(targets, np.integer):
        raise TargetError(
            f"Targets came as an array of shape {tuple(targets.shape)}, which could mean these targets for every "
            "image or one target per image. Pass a list for the first, PerImage(list) for the second."
        )
    return [cast(Target, targets)]


def _resolve_list(targets: list[Target], outputs: Outputs, class_names: Sequence[str] | None) -> Targets:
    columns = [_resolve_one(target, outputs, class_names) for target in targets]
    return Targets(
        np.concatenate([c.classes for c in columns], axis=1),
        np.concatenate([c.signs for c in columns], axis=1),
        tuple(of for c in columns for of in c.of),
        tuple(function for c in columns for function in c.functions),
    )


def _resolve_one(target: Target, outputs: Outputs, class_names: Sequence[str] | None) -> Targets:
    batch, count = outputs.logits.shape
    if isinstance(target, str):
        known = class_names is not None and target in class_names
        target = Class(target) if known else parse_target(target)
    elif isinstance(target, (int, np.integer)) and not isinstance(target, bool):
        target = Class(int(target))
    if isinstance(target, AllClasses):
        classes = np.broadcast_to(np.arange(count), (batch, count))
    elif isinstance(target, TopK):
        if target.k > count:
            raise TargetError(f"TopK({target.k}): the model has only {count} classes.")
        xp = array_namespace(outputs.logits)
        order = xp.argsort(outputs.logits, axis=1, descending=True)[:, : target.k]
        classes = np.asarray(order.tolist(), dtype=np.int64)
    elif isinstance(target, Class):
        classes = np.full((batch, 1), _class_index(target.which, count, class_names))
    elif callable(target):
        return Targets(np.full((batch, 1), -1), np.ones((batch, 1), dtype=np.int64), ("logit",), (target,))
    else:
        raise TargetError(
            f"{target!r} is no target. A target is a class index, a class name, Class, TopK, AllClasses, or a "
            "callable on the model's output."
        )
    columns = classes.shape[1]
    return Targets(classes, np.full((batch, columns), target.sign), (target.of,) * columns, (None,) * columns)


def _class_index(which: int | str, count: int, class_names: Sequence[str] | None) -> int:
    if isinstance(which, str):
        return _named(which, class_names)
    if not -count <= which < count:
        raise TargetError(f"There is no class {which}: the model has {count}, 0 to {count - 1}.")
    return which % count


def _named(name: str, class_names: Sequence[str] | None) -> int:
    if class_names is None:
        raise TargetError(
            f"The class {name!r} was asked for by name, but this model's class names are not known. "
            "Pass class_names=[…], or the class's index."
        )
    wanted = name.strip().lower()
    exact = [i for i, known in enumerate(class_names) if known.lower() == wanted]
    synonyms = [
        i for i, known in enumerate(class_names) if wanted in [s.strip() for s in known.lower().split(",")]
    ]
    found = exact or synonyms
    if not found:
        each = [synonym.strip() for known in class_names for synonym in known.split(",")]
        raise TargetError(f"There is no class {name!r}.{nearest(name, each)}")
    if len(found) > 1:
        raise TargetError(f"The name {name!r} stands for the classes {found}; give the index.")
    return found[0]


def _only(outputs: Outputs, b: int) -> Outputs:
    return Outputs(outputs.logits[b : b + 1], outputs.task)


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


def _check_of(of: str) -> None:
    if of not in get_args(Of):
        raise TargetError(f"of={of!r}: expected one of {', '.join(get_args(Of))}.{nearest(of, get_args(Of))}")
