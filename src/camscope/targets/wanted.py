"""What users write: the targets by name, and the words of the command line for them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, cast, get_args

from camscope.errors import TargetError, nearest
from camscope.targets.instances import Instance
from camscope.targets.outputs import Of, check_of
from camscope.targets.regions import Region
from camscope.targets.structure import StructuredTarget
from camscope.targets.table import ScoreFunction, Weighting


@dataclass(frozen=True)
class Class:
    """The score of one class, by index (negative counts from the end) or name. `-Class(i)`: evidence against it."""

    which: int | str
    of: Of = "logit"
    sign: int = 1

    def __post_init__(self) -> None:
        check_of(self.of)

    def __neg__(self) -> Class:
        return replace(self, sign=-self.sign)


@dataclass(frozen=True)
class TopK:
    """The k classes with the highest scores, image by image, highest first.

    Attributes:
        k: how many.
        of: which score.
        sign: −1 for evidence against.
        or_fewer: take all classes where the model has fewer than k, in place of an error.
    """

    k: int = 1
    of: Of = "logit"
    sign: int = 1
    or_fewer: bool = False

    def __post_init__(self) -> None:
        check_of(self.of)
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
        check_of(self.of)

    def __neg__(self) -> AllClasses:
        return replace(self, sign=-self.sign)


@dataclass(frozen=True)
class Contrast:
    """One class against others: s_c − γ · mean_d s_d, what tells it from them.

    Finer-CAM (Zhang et al., CVPR 2025, arXiv:2501.11309) is any method with this target.

    Attributes:
        which: the class, by index or name.
        against: `similar`, the classes whose logits are closest image by image; or classes by index or name.
        gamma: γ, how much of the others is taken off; 0 gives the class by itself.
        count: how many similar classes; of a model that has fewer, all others.
        weighting: `mean`, or `softmax`: by their probabilities, as constants.
        of: which score.
        sign: −1 for evidence against.
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

    def __neg__(self) -> Contrast:
        return replace(self, sign=-self.sign)


@dataclass(frozen=True)
class PerImage:
    """One target (or one list of as many targets) for each image of the batch: `PerImage([281, 285, 3])`."""

    targets: Sequence[Target | Sequence[Target]]


Target: TypeAlias = "Class | TopK | AllClasses | Contrast | StructuredTarget | ScoreFunction | int | str"
TargetsLike: TypeAlias = "Target | PerImage | Sequence[Target] | None"


def parse_target(text: str, class_names: Sequence[str] | None = None) -> Target:
    """Read a target as the command line writes it.

    `281`, `tabby`, `top3`, `all`, `281 vs 282`, `tabby vs similar`, each optionally with `-` or `not:` before it
    (evidence against) and with `probability:`, `log-probability:` or `rest:` before that. Of segmenters `region` (the
    largest class) or `region:cat`, where they are predicted; of detectors `instance` (the most likely one),
    `instance:1` (the next) or `instance:10,20,60,80` (a box).

    Args:
        text: the target.
        class_names: if they are known already: a number that is a class's name is that name, not an index.

    Raises:
        TargetError: if it names no class.
    """
    word = text.strip()
    names = frozenset(class_names or ())
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
    kind, _, rest = (part.strip() for part in word.partition(":"))
    if kind.lower() == "region":
        return Region(_index_or_name(rest, names) if rest else None, of=score, sign=sign)
    if kind.lower() == "instance":
        return Instance(_box(rest), of=score, sign=sign)
    if word.lower() == "all":
        return AllClasses(score, sign)
    if top := re.fullmatch(r"top[-_ ]?(\d+)", word.lower()):
        return TopK(int(top[1]), score, sign)
    which, *others = (_index_or_name(part, names) for part in re.split(r"(?i)\s+vs\.?\s+", word))
    if not others:
        return Class(which, score, sign)
    return Contrast(which, "similar" if others == ["similar"] else others, of=score, sign=sign)


def _box(word: str) -> int | tuple[float, ...]:
    """A number, or the four sides of a box."""
    try:
        sides = tuple(float(side) for side in word.split(",")) if word else (0,)
    except ValueError as error:
        raise TargetError(
            f"instance:{word} names no instance. Write instance:1 (a number) or instance:10,20,60,80 (x0, y0, x1, y1)."
        ) from error
    return int(sides[0]) if len(sides) == 1 else sides


def _index_or_name(word: str, names: Set[str]) -> int | str:
    return int(word) if re.fullmatch(r"\d+", word) and word not in names else word
