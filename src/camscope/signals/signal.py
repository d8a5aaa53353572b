"""What a person looks at where the input of a model is a signal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from camscope.errors import InputError
from camscope.signals.spectrogram import Spectrogram


@dataclass(frozen=True)
class SignalGeometry:
    """Where a place of a signal lies in the model's input: per axis ``input = signal * scale + offset``.

    Coordinates are continuous, and sample k covers [k, k + 1). There is one axis, time; or two, time and frequency, if
    maps are over both.

    Attributes:
        photo_size: the size of the signal as the person has it along each axis.
        input_size: the size of the model's input along each axis.
        scale: steps of the input for one step of the signal.
        offset: where the signal begins in the input.
        reach: how far beyond its edges the input still knows of the signal, in its own steps: a step of a spectrogram
            is made of a window that is longer than the step.
    """

    photo_size: tuple[int, ...]
    input_size: tuple[int, ...]
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    reach: tuple[float, ...]

    @classmethod
    def identity(cls, size: tuple[int, ...]) -> SignalGeometry:
        """That of a signal which the model takes as it is."""
        return cls(size, size, (1.0,) * len(size), (0.0,) * len(size), (0.0,) * len(size))

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> SignalGeometry:
        """Build it from what `to_dict` gave, which may have been stored as JSON.

        Raises:
            InputError: if a field is missing, or is no list of numbers.
        """
        try:
            return cls(
                tuple(int(n) for n in fields["photo_size"]),
                tuple(int(n) for n in fields["input_size"]),
                tuple(float(n) for n in fields["scale"]),
                tuple(float(n) for n in fields["offset"]),
                tuple(float(n) for n in fields["reach"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"A signal's geometry needs its five fields; got {dict(fields)}.") from error

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Signal:
    """What a person looks at: a sound, the leads of an ECG, the axes of a sensor.

    Attributes:
        values: the signal as the person has it.
        geometry: where its times lie in the model's input.
        rate: steps per second of the geometry's first axis; None if that is not known.
        start: where that axis begins, in seconds.
        sound: whether it is a sound, which has a spectrogram.
        spectrogram: the spectrogram that the model is given, if maps are over time and frequency.
        highest: the highest frequency that the model hears, in Hz; None if that is not known.
        source: the file it was read from; None if there is none.
        notes: what was changed when it was read (stereo averaged, resampled …).
    """

    values: Float[np.ndarray, "channel time"]
    geometry: SignalGeometry
    rate: float | None = None
    start: float = 0.0
    sound: bool = False
    spectrogram: Spectrogram | None = None
    highest: float | None = None
    source: str | None = None
    notes: tuple[str, ...] = ()
