"""Targets that are classes: one, the likeliest, all, one against others."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from array_api_compat import array_namespace

from camscope.errors import TargetError, nearest
from camscope.outputs import Of, Outputs, check_of
from camscope.targets.class_names import class_index
from camscope.targets.table import Targets, Weighting
from camscope.targets.target import Target, written


@dataclass(frozen=True)
class Class(Target):
    """The score of one class, by index or name. `-Class(i)`: evidence against it.

    Example:
        >>> e = camscope.explain(model, x, targets=[camscope.Class(281), -camscope.Class(281)])
        >>> torch.allclose(e.maps()[:, 0], -e.maps()[:, 1], atol=1e-6)
        True
    """

    which: int | str
    of: Of = "logit"
    sign: int = 1

    def __post_init__(self) -> None:
        check_of(self.of)

    @property
    def class_names(self) -> Sequence[str]:
        """The class's name, if the class was given by name."""
        return _strings([self.which])

    def resolved(self, outputs: Outputs, class_names: Sequence[str] | None) -> Targets:
        """A table of one column."""
        batch, count = outputs.logits.shape
        classes = np.full((batch, 1), class_index(self.which, count, class_names))
        return Targets.of_classes(classes, self.of, self.sign)


@written
@dataclass(frozen=True)
class TopK(Target):
    """The k classes with the highest scores, image by image, highest first.

    Attributes:
        k: how many.
        of: which score.
        sign: −1 for evidence against.
        or_fewer: take all classes where the model has fewer than k (not counting those that it masks out by a logit
            of −∞), in place of an error.

    Example:
        >>> e = camscope.explain(model, x, targets=camscope.TopK(3))
        >>> e.scores[0].tolist() == sorted(e.scores[0].tolist(), reverse=True)
        True
    """

    k: int = 1
    of: Of = "logit"
    sign: int = 1
    or_fewer: bool = False

    def __post_init__(self) -> None:
        check_of(self.of)
        if not isinstance(self.k, (int, np.integer)) or self.k < 1:
            raise TargetError(f"TopK({self.k!r}): k must be a whole number, at least 1.")

    def resolved(self, outputs: Outputs, class_names: Sequence[str] | None) -> Targets:
        """A table of k columns."""
        count = outputs.logits.shape[1]
        if self.k > count and not self.or_fewer:
            raise TargetError(f"TopK({self.k}): the model has only {count} classes.")
        xp = array_namespace(outputs.logits)
        # with −∞ as logit a class is masked out, so that there are fewer
        k = min(self.k, int(xp.min(xp.sum(xp.isfinite(outputs.logits), axis=1)))) if self.or_fewer else self.k
        order = xp.argsort(outputs.logits, axis=1, descending=True)[:, :k]
        return Targets.of_classes(np.asarray(order.tolist(), dtype=np.int64), self.of, self.sign)

    @classmethod
    def read(cls, text: str, of: Of, sign: int, names: Set[str]) -> Target | None:
        """Read a text such as `top3`."""
        top = re.fullmatch(r"top[-_ ]?(\d+)", text.lower())
        return cls(int(top[1]), of, sign) if top else None


@written
@dataclass(frozen=True)
class AllClasses(Target):
    """Every class, in the model's order.

    Example:
        >>> camscope.explain(model, x, targets=camscope.AllClasses()).maps().shape
        torch.Size([2, 1000, 3, 3])
    """

    of: Of = "logit"
    sign: int = 1

    def __post_init__(self) -> None:
        check_of(self.of)

    def resolved(self, outputs: Outputs, class_names: Sequence[str] | None) -> Targets:
        """A table with a column for every class."""
        batch, count = outputs.logits.shape
        return Targets.of_classes(np.tile(np.arange(count), (batch, 1)), self.of, self.sign)

    @classmethod
    def read(cls, text: str, of: Of, sign: int, names: Set[str]) -> Target | None:
        """Read the word `all`."""
        return cls(of, sign) if text.lower() == "all" else None


@written
@dataclass(frozen=True)
class Contrast(Target):
    """One class against others: s_c − γ · mean_d s_d, what tells it from them.

    Finer-CAM (Zhang et al., CVPR 2025, arXiv:2501.11309) is any method with this target.

    Attributes:
        which: the class, by index or name.
        against: `similar`, the classes whose logits are closest, chosen for each image; or classes by index or name.
        gamma: γ, how much of the others' score is subtracted; 0 gives the class by itself.
        count: how many similar classes; all others, if the model has fewer.
        weighting: how the others are averaged; see `Weighting`.
        of: which score.
        sign: −1 for evidence against.

    Example:
        >>> e = camscope.explain(model, x, targets=camscope.Contrast(281, against=[282, 285]))
        >>> e.maps().shape
        torch.Size([2, 1, 3, 3])
    """

    which: int | str
    against: Literal["similar"] | int | str | Sequence[int | str] = "similar"
    gamma: float = 0.6
    count: int = 3
    weighting: Weighting = "mean"
    of: Of = "logit"
    sign: int = 1

    def __post_init__(self) -> None:
        check_of(self.of)
        if self.weighting not in get_args(Weighting):
            raise TargetError(
                f"weighting={self.weighting!r}: expected one of {', '.join(get_args(Weighting))}."
                f"{nearest(str(self.weighting), get_args(Weighting))}"
            )
        if not isinstance(self.count, int) or self.count < 1:
            raise TargetError(f"Contrast(count={self.count!r}): at least one other class is needed.")
        number = isinstance(self.gamma, (int, float)) and not isinstance(self.gamma, bool)
        if not number or not 0 <= self.gamma < math.inf:
            raise TargetError(f"Contrast(gamma={self.gamma!r}): expected a number, at least 0.")

    @property
    def class_names(self) -> Sequence[str]:
        """The names of the class and of those it is contrasted with, where they were given by name."""
        return _strings([self.which, *(self._others or ())])

    def resolved(self, outputs: Outputs, class_names: Sequence[str] | None) -> Targets:
        """A table of one column."""
        one = Class(self.which, self.of, self.sign).resolved(outputs, class_names)
        among, count = None, self.count if self._others is None else None
        if self._others is not None:
            total = outputs.logits.shape[1]
            among = [class_index(other, total, class_names) for other in self._others]
        return one.contrasted(outputs, gamma=self.gamma, count=count, weighting=self.weighting, among=among)

    @classmethod
    def read(cls, text: str, of: Of, sign: int, names: Set[str]) -> Target | None:
        """Read a text such as `281 vs 282` or `tabby vs similar`."""
        which, *others = (index_or_name(part, names) for part in re.split(r"(?i)\s+vs\.?\s+", text))
        if not others:
            return None
        return cls(which, "similar" if others == ["similar"] else others, of=of, sign=sign)

    @property
    def _others(self) -> list[int | str] | None:
        """The classes it is contrasted with, if they were named."""
        against: Any = self.against
        if isinstance(against, str) and against == "similar":
            return None
        several = not isinstance(against, str) and np.ndim(against) > 0
        return list(against) if several else [against]


def index_or_name(word: str, names: Set[str]) -> int | str:
    """A class as it is written: a number is an index, unless it is the name of a class."""
    return int(word) if re.fullmatch(r"\d+", word) and word not in names else word


def _strings(classes: Sequence[Any]) -> list[str]:
    return [one for one in classes if isinstance(one, str)]
