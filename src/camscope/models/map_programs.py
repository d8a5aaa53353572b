"""What an adapter can offer besides maps: programs that give them, and need neither camscope nor the model any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from camscope.arrays import Array
from camscope.evidence import Evidence, Need
from camscope.models.batch import Batch
from camscope.models.layer import Layer

MapsOf: TypeAlias = Callable[[Evidence], Float[Array, "batch target *space"]]
"""From evidence to raw signed maps, as a method is."""

IN_A_PROGRAM = frozenset({Need.ACTIVATIONS, Need.GRADIENTS, Need.LINEAR_HEAD})
"""The needs that a program can meet: all others run the model several times, or look into it further."""

INPUT = "input"
"""The name of a program's input: a preprocessed batch."""

OUTPUTS = ("logits", "classes", "maps")
"""The names of its outputs."""


class ProgramOutputs(NamedTuple):
    """What a program puts out for a batch.

    Attributes:
        logits: one score per class, before a final softmax or sigmoid; two of a one-logit head.
        classes: those with the highest logits, the highest first.
        maps: of these classes, raw and signed, at the layer's resolution.
    """

    logits: Float[np.ndarray, "batch class"]
    classes: Int[np.ndarray, "batch top"]
    maps: Float[np.ndarray, "batch top *space"]


@dataclass(frozen=True)
class Recipe:
    """Which maps a program gives.

    Attributes:
        layer: the target layer.
        maps: makes them.
        needs: what that needs, of `IN_A_PROGRAM`.
        top: of how many classes.
        pooled: what a verified linear head pools of the layer; None if it has none.
    """

    layer: Layer
    maps: MapsOf
    needs: frozenset[Need]
    top: int
    pooled: Literal["activations", "their ReLU"] | None

    @property
    def backward(self) -> bool:
        """Whether gradients take a backward. Behind a linear head on the activations they are its weights."""
        return Need.GRADIENTS in self.needs and self.pooled != "activations"


@dataclass(frozen=True)
class Written:
    """A program in its file.

    Attributes:
        run: runs the file on a preprocessed batch.
        runtime: what runs it, in words.
        note: what a user must know of that; empty if there is nothing.
    """

    run: Callable[[Float[np.ndarray, "batch ..."]], ProgramOutputs]
    runtime: str
    note: str = ""


@runtime_checkable
class MapPrograms(Protocol):
    """Writes programs of one model."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The kinds of files there are, such as `.onnx`."""
        ...

    def check(self, suffix: str) -> None:
        """Refuse what cannot be written, before any work.

        Raises:
            MissingExtraError: if a package is not installed that such a file takes.
        """
        ...

    def can_hold(self, maps: MapsOf) -> bool:
        """Whether a method's arithmetic can be written down once for all inputs: no step may depend on a value."""
        ...

    def write(self, batch: Batch, recipe: Recipe, path: Path, facts: Mapping[str, str]) -> Written:
        """Write a program.

        Args:
            batch: two inputs, for their shapes. The program takes any number of such.
            recipe: which maps it gives.
            path: where to; its suffix is one of `suffixes`.
            facts: what the file says of itself, by key.

        Raises:
            ModelError: if the model cannot be written down.
        """
        ...


@runtime_checkable
class HasPrograms(Protocol):
    """An adapter whose models can be written down."""

    def programs(self) -> Any:
        """What writes them: `MapPrograms`."""
        ...
