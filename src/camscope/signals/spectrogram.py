"""How loud a sound is at each frequency and time: what is computed for a figure, or what a model is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_WINDOW = 0.025
"""The length of a window, in seconds: that of most speech models."""
_HOP = 0.01
"""The least distance from one window to the next, in seconds."""
_MOST_WINDOWS = 1500
_RANGE = 70.0
"""What lies so many dB below the loudest is drawn as silence, and so is the quietest fifth of all places."""


@dataclass(frozen=True, eq=False)
class Spectrogram:
    """A picture of a sound: frequency upwards, time to the right.

    Attributes:
        levels: how loud, 0 (silence) to 1 (the loudest), the lowest frequency first.
        low: the frequency at the lower edge.
        high: the frequency at the upper edge.
        unit: of the two: `kHz`, or `mel` for the bins that a model is given.
    """

    levels: Float[np.ndarray, "frequency time"]
    low: float
    high: float
    unit: str


def spectrogram_of(
    samples: Float[np.ndarray, " time"], rate: float | None, highest: float | None = None
) -> Spectrogram | None:
    """The log power spectrogram of a sound, from edge to edge: dB, the loudest 70 of them, above the noise.

    Args:
        samples: of the sound.
        rate: samples per second; None if it is not known: windows are as long as at 16 kHz then, and frequencies are in
            cycles per sample.
        highest: the highest frequency that is shown, in Hz; None shows all.

    Returns:
        None for a sound that is too short for a picture.
    """
    from scipy import signal

    presumed = 16000.0 if rate is None else rate
    window = max(16, round(_WINDOW * presumed))
    hop = max(1, round(_HOP * presumed), -(-len(samples) // _MOST_WINDOWS))
    if len(samples) < 2 * window:
        return None
    # half a window of silence at both ends, so that the picture reaches from the first sample to the last
    padded = np.pad(samples.astype(np.float64), window // 2)
    _, _, power = signal.spectrogram(
        padded, window="hann", nperseg=window, noverlap=max(0, window - hop), nfft=max(window, 256)
    )
    if rate is not None and highest is not None and highest < rate / 2:
        power = power[: 1 + round((len(power) - 1) * 2 * highest / rate)]
        presumed = 2 * highest
    decibels = 10 * np.log10(np.maximum(power, 1e-20))
    loudest = decibels.max()
    quiet = max(loudest - _RANGE, min(np.percentile(decibels, 20), loudest - 30))
    levels = (
        np.clip((decibels - quiet) / (loudest - quiet), 0, 1) if power.max() > 0 else np.zeros_like(power)
    )
    high, unit = (0.5, "1/step") if rate is None else (presumed / 2000, "kHz")
    return Spectrogram(levels.astype(np.float32), 0.0, high, unit)


def spectrogram_of_input(features: Float[np.ndarray, "frequency time"]) -> Spectrogram:
    """A model's own spectrogram, which is a logarithm already: from its 25th to its 99.8th percentile.

    Args:
        features: what the model is given, the lowest frequency first.
    """
    low, high = np.percentile(features, [25, 99.8])
    levels = np.clip((features - low) / max(high - low, 1e-12), 0, 1)
    return Spectrogram(levels.astype(np.float32), 0.0, float(features.shape[0]), "mel")
