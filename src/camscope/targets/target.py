"""What every target is: something that is resolved, in the outputs of a batch, to a scalar for each image."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence, Set
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from jaxtyping import Int

from camscope.outputs import Of, Outputs
from camscope.targets.scores import OutputScore
from camscope.targets.table import Targets


class Target(ABC):
    """A target as a user writes it; a frozen dataclass with a field `sign`. `-target` is the evidence against it."""

    sign: int
    about_classes: ClassVar[bool] = True
    """Whether it speaks of the model's classes; otherwise of what the model puts out besides them."""

    def __neg__(self) -> Self:
        this: Any = self
        negated: Self = dataclasses.replace(this, sign=-self.sign)
        return negated

    @abstractmethod
    def resolved(self, outputs: Outputs, class_names: Sequence[str] | None) -> Targets:
        """One or more columns of the table of targets.

        Args:
            outputs: of the batch.
            class_names: to find classes by name; None where they are not known.

        Raises:
            TargetError: if the model's outputs have no such thing.
        """

    def of_images(self, index: Int[np.ndarray, image]) -> Self:
        """The target for some of the images, where it holds something for each."""
        return self

    @property
    def class_names(self) -> Sequence[str]:
        """The names of classes that it speaks of."""
        return ()

    @classmethod
    def read(cls, text: str, of: Of, sign: int, names: Set[str]) -> Target | None:
        """Read it as the command line writes it, without the words for score and sign; None if it is not that.

        Args:
            text: such as `top3` or `region:cat`.
            of: the score that was written before it.
            sign: −1 for evidence against.
            names: of the classes, as far as they are known: a number that is a class's name is that name.

        Raises:
            TargetError: if it is that, and wrongly written.
        """
        return None


class PredictionTarget(Target):
    """A target that is found in what a model puts out besides class scores."""

    about_classes: ClassVar[bool] = False

    @abstractmethod
    def score(self, outputs: Outputs, class_names: Sequence[str] | None) -> OutputScore:
        """Find it in the outputs of a batch.

        Args:
            outputs: of the batch.
            class_names: to find classes by name, and to name them.

        Raises:
            TargetError: if the model's outputs have no such thing, or it is not there.
        """

    def resolved(self, outputs: Outputs, class_names: Sequence[str] | None) -> Targets:
        """One column."""
        return Targets.of_function(self.score(outputs, class_names), outputs.logits.shape[0], self.sign)


WRITTEN: list[type[Target]] = []
"""The targets that can be written as text, those added last are tried first."""

Kind = TypeVar("Kind", bound=type[Target])


def written(kind: Kind) -> Kind:
    """Let a target be written on the command line, as its `read` says.

    Another package names the module as an entry point of the group `camscope.targets`; see `camscope.plugins`.
    """
    WRITTEN.append(kind)
    return kind
