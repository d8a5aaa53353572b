"""A sound as a person has it, and what makes a model's input of sounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from camscope.errors import InputError
from camscope.signals.signal import Signal


@dataclass(frozen=True, eq=False)
class Sound:
    """A recording of one channel.

    Attributes:
        samples: from −1 to 1.
        rate: samples per second; None if that was not said.
        source: the file it was read from; None if there is none.
        notes: what was changed when it was read.
    """

    samples: Float[np.ndarray, " time"]
    rate: float | None = None
    source: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class PreparedSounds:
    """Sounds as a model takes them.

    Attributes:
        x: the input that maps are of, its axes as the model takes them.
        signals: what a person looks at, sound by sound.
        others: what else the model takes, by keyword.
        notes: what a reader of the maps should know.
    """

    x: np.ndarray
    signals: Sequence[Signal]
    others: Mapping[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class SoundReader(Protocol):
    """Makes a model's input of sounds.

    Attributes:
        rate: the samples per second that the model is for; None if that is not known.
    """

    @property
    def rate(self) -> float | None:
        """Samples per second."""

    def prepared(self, sounds: Sequence[Sound]) -> PreparedSounds:
        """Prepare sounds as one batch.

        Raises:
            InputError: if the model cannot take one of them.
        """

    def looked_at(self, x: Any) -> Sequence[Signal]:
        """What a person looks at where the model's input is given as it takes it.

        Args:
            x: the input, its axes as the model takes them.
        """


@dataclass(frozen=True)
class UnreadSounds:
    """Stands for the reader of a model that takes sounds, where it is not known how they are prepared.

    Attributes:
        reason: what is missing, and what to do.
    """

    reason: str
    rate: float | None = None

    def prepared(self, sounds: Sequence[Sound]) -> PreparedSounds:
        """Refuse them.

        Raises:
            InputError: always, with the reason.
        """
        raise InputError(f"A sound was given, and {self.reason}")

    def looked_at(self, x: Any) -> Sequence[Signal]:
        """None: of such an input nothing is known but its numbers."""
        return ()
