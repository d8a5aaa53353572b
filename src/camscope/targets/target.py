"""The base of all targets. A target is resolved, in the outputs of a batch, to one or more scalars for each image."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence, Set
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from jaxtyping import Int

from camscope.errors import TargetError
from camscope.outputs import Of, Outputs
from camscope.targets.scores import OutputScore
from camscope.targets.table import Targets


class Target(ABC):
    """A target as a user writes it; a frozen dataclass with a field `sign`. `-target` is the evidence against it."""

    sign: int
    about_classes: ClassVar[bool] = True
    """Whether it is about the model's classes, and not about what the model puts out besides them."""

    def __neg__(self) -> Self:
        this: Any = self
        negated: Self = dataclasses.replace(this, sign=-self.sign)
        return negated

    @abstractmethod
    def resolved(self, outputs: Outputs, class_names: Sequence[str] | None) -> Targets:
        """The columns of the table of targets that this target stands for.

        Args:
            outputs: the model's outputs for the batch.
            class_names: the names of all classes, to find a class by name; None if they are not known.

        Raises:
            TargetError: if the model's outputs do not have what the target asks for.
        """

    def of_images(self, index: Int[np.ndarray, " image"]) -> Self:
        """The target for these images only; itself, unless it holds a value for each image."""
        return self

    @property
    def class_names(self) -> Sequence[str]:
        """The names of classes that it mentions."""
        return ()

    @classmethod
    def read(cls, text: str, of: Of, sign: int, names: Set[str]) -> Target | None:
        """Read a target of this kind as the command line writes it; None if the text is of another kind.

        Args:
            text: such as `top3` or `region:cat`, without the words for score and sign.
            of: the kind of score that was written before it.
            sign: −1 for evidence against, else 1.
            names: the class names, as far as they are known. A number that is among them means that name.

        Raises:
            TargetError: if the text is of this kind but wrongly written.
        """
        return None


class PredictionTarget(Target):
    """A target that is found in what a model puts out besides class scores: a region, an instance, an embedding."""

    about_classes: ClassVar[bool] = False

    @abstractmethod
    def score(self, outputs: Outputs, class_names: Sequence[str] | None) -> OutputScore:
        """Find it in the outputs of a batch.

        Args:
            outputs: the model's outputs for the batch.
            class_names: the names of all classes, to find and to name them; None if they are not known.

        Raises:
            TargetError: if the model puts out no such predictions, or what is asked for is not among them.
        """

    def resolved(self, outputs: Outputs, class_names: Sequence[str] | None) -> Targets:
        """A table of one column."""
        score: Any = self.score(outputs, class_names)
        if not isinstance(score, OutputScore):
            raise TargetError(
                f"{type(self).__name__}.score gave {type(score).__name__}: expected an OutputScore "
                "(camscope.targets.scores), which scores each image of a batch."
            )
        return Targets.of_function(score, outputs.logits.shape[0], self.sign)


WRITTEN: list[type[Target]] = []
"""The targets that can be written as text. Those added last are tried first."""

Kind = TypeVar("Kind", bound=type[Target])


def written(kind: Kind) -> Kind:
    """Register a target whose `read` understands text, so that it can be written on the command line.

    Another package names the module as an entry point of the group `camscope.targets`; see `camscope.plugins`.
    """
    WRITTEN.append(kind)
    return kind
