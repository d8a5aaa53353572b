"""Reads sounds as people have them: .wav files, arrays, what `datasets` and other libraries give."""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from camscope.arrays import to_numpy
from camscope.errors import InputError
from camscope.signals.finding_sounds import OTHER_SOUNDS, SOUNDS
from camscope.signals.sound import Sound

_MOST_CHANNELS = 8
"""An array with no more columns than this is a sound of several channels, as scipy and soundfile read them."""

_BROKEN = (
    ValueError, OSError, EOFError, IndexError, KeyError, TypeError, ZeroDivisionError, OverflowError, MemoryError,
    UnboundLocalError, struct.error,
)  # fmt: skip
"""What reading a broken .wav file raises."""

WAYS = "a .wav file, an array of one axis (time), (array, rate), {'array': …, 'sampling_rate': …}, or a list of these"
"""The ways to hand over a sound, for messages."""


def is_sound(given: Any) -> bool:
    """Whether this is one sound as people have it: not a list, and not a tensor that a model takes as it is."""
    if isinstance(given, (str, os.PathLike, np.ndarray, Sound)):
        return True
    if isinstance(given, tuple):
        return len(given) == 2 and sum(_is_rate(one) for one in given) == 1 and any(map(_is_array, given))
    return _is_decoded(given)


def to_sound(given: Any) -> Sound:
    """Read one sound.

    Args:
        given: a .wav file; an array `time`, or `time channel` as files are read; a pair of array and rate in either
            order, where the array may be torchaudio's `channel time`; what `datasets` gives, with `array` and
            `sampling_rate`.

    Raises:
        InputError: if it is none of these, cannot be read, is empty, or has values that are no numbers.
    """
    if isinstance(given, Sound):
        return given
    if isinstance(given, str) and not given:
        raise InputError(f"The name of the sound is empty; expected {WAYS}.")
    if isinstance(given, (str, os.PathLike)):
        return _read(Path(given))
    if isinstance(given, tuple):
        rate, array = sorted(given, key=_is_array)
        return _of_array(array, _checked(rate), channel_first=not isinstance(array, np.ndarray))
    if _is_decoded(given):
        return _of_array(given["array"], _checked(given["sampling_rate"]))
    if isinstance(given, np.ndarray):
        return _of_array(given, None)
    raise InputError(f"Expected a sound: {WAYS}; got {type(given).__name__}.")


def resampled(sound: Sound, rate: float) -> Sound:
    """A sound at another rate. Its first sample stays where it is.

    Args:
        sound: the sound; if it does not say its rate, it is taken to have this one.
        rate: samples per second.
    """
    if sound.rate is None or sound.rate == rate:
        return sound
    from fractions import Fraction

    from scipy.signal import resample_poly

    ratio = Fraction(rate).limit_denominator(10**6) / Fraction(sound.rate).limit_denominator(10**6)
    samples = resample_poly(sound.samples.astype(np.float64), ratio.numerator, ratio.denominator)
    return Sound(samples.astype(np.float32), rate, sound.source, sound.notes)


def _read(path: Path) -> Sound:
    if path.is_dir():
        raise InputError(
            f"{path} is a folder. Its sounds are camscope.signals.find_sounds([{str(path)!r}]), a list."
        )
    if not path.is_file():
        raise InputError(f"There is no file {path}. This model takes sounds: .wav files, or arrays.")
    return _of_wav(path, path)


def read_sound_bytes(content: bytes, name: str) -> Sound:
    """Read a sound from the content of its file.

    Args:
        content: of a .wav file.
        name: what it is called, for messages.

    Raises:
        InputError: if it is none, cannot be read, is empty, or has values that are no numbers.
    """
    return _of_wav(BytesIO(content), Path(name))


def _of_wav(given: Path | BytesIO, path: Path) -> Sound:
    suffix = path.suffix.lower()
    if suffix in OTHER_SOUNDS:
        raise InputError(
            f"{path}: of sounds only .wav files are read. Convert it (ffmpeg -i {path.name} {path.stem}.wav), or read "
            "it yourself and give (array, rate), as soundfile.read returns it."
        )
    if suffix not in SOUNDS:
        raise InputError(f"{path} is no .wav file, and this model takes sounds: {WAYS}.")
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # of chunks with titles and the like
            rate, array = wavfile.read(given)
    except _BROKEN as error:
        raise InputError(
            f"{path} cannot be read as a .wav file of plain samples ({error}). Write it anew: ffmpeg -i {path.name} "
            f"{path.stem}-pcm.wav."
        ) from error
    return _of_array(array, _checked(rate), source=str(path))


def _of_array(
    given: Any, rate: float | None, *, channel_first: bool = False, source: str | None = None
) -> Sound:
    where = source or "The sound"
    array = np.asarray(to_numpy(given) if hasattr(given, "shape") else given)
    if array.dtype.kind not in "fiu" or array.ndim not in (1, 2):
        raise InputError(
            f"{where} is an array of {array.dtype} with shape {array.shape}; expected numbers over time."
        )
    notes = []
    if array.ndim == 2:
        array = array.T if channel_first or array.shape[0] == 1 else array
        if array.shape[1] > _MOST_CHANNELS or array.shape[1] > array.shape[0]:
            raise InputError(
                f"{where} is an array of shape {array.shape}: one sound is an array of one axis (time), or time × "
                "channel as files are read. Several sounds are a list of arrays; channels in front are x.T."
            )
    samples = _scaled(array)
    if samples.size == 0:
        raise InputError(f"{where} is empty: it has no samples.")
    if samples.ndim == 2:
        if samples.shape[1] > 1:
            notes.append(f"its {samples.shape[1]} channels were averaged")
        samples = samples.mean(1)
    if not np.isfinite(samples).all():
        raise InputError(f"{where} has values that are no finite numbers (NaN or infinity).")
    loudest = float(np.abs(samples).max())
    if loudest > 1.5 and array.dtype.kind == "f":
        notes.append(f"its values reach {loudest:.4g}; those of a recording lie between −1 and 1")
    return Sound(np.array(samples, dtype=np.float32), rate, source, tuple(notes))


def _scaled(array: np.ndarray) -> Float[np.ndarray, "time ..."]:
    """Samples from −1 to 1: whole numbers by the range of their type, unsigned ones around its middle."""
    if array.dtype.kind == "f":
        return np.asarray(array, dtype=np.float64)
    half = 2.0 ** (8 * array.dtype.itemsize - 1)
    return (np.asarray(array, dtype=np.float64) - (half if array.dtype.kind == "u" else 0)) / half


def _checked(rate: Any) -> float:
    if not _is_rate(rate) or not 0 < float(rate) < 1e9:
        raise InputError(f"A sound's rate is {rate!r}; expected samples per second, such as 16000.")
    return float(rate)


def _is_rate(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype") and bool(len(value.shape))


def _is_decoded(given: Any) -> bool:
    """Whether this is a sound of `datasets`: a dictionary, or a decoder that takes the same two keys."""
    if isinstance(given, Mapping):
        return {"array", "sampling_rate"} <= set(given)
    return hasattr(given, "get_all_samples") and hasattr(given, "__getitem__")
