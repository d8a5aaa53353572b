"""A sound as a picture: how loud it is over time, and at each frequency; and where a map of it lies on that picture.

The page shows, compares and brushes pictures. Time runs to the right, so that a map along time covers whole columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from camscope.signals import Signal, SignalGeometry, Sound, Spectrogram, spectrogram_of

SIZE = (256, 1024)
"""Of the picture: (height, width)."""

_WAVE = 72
_GROUND = 18
_INK = 208


@dataclass(frozen=True, eq=False)
class SoundPicture:
    """A picture of a sound.

    Attributes:
        picture: how it looks.
        geometry: where its pixels lie in the model's input, as the page takes it: (vertical, horizontal).
        axes: what its axes are: where time begins and ends, and its unit; likewise the frequencies, if maps have them.
    """

    picture: Image.Image
    geometry: dict[str, Any]
    axes: dict[str, Any]


def picture_of_sound(sound: Sound) -> Image.Image:
    """A sound as anybody sees it, whatever model hears it.

    Args:
        sound: the sound.
    """
    whole = SignalGeometry.identity(sound.samples.shape)
    return pictured(Signal(sound.samples[None], whole, sound.rate, sound=True)).picture


def pictured(signal: Signal) -> SoundPicture:
    """A signal as a picture.

    Args:
        signal: with the geometry of its maps.
    """
    g = signal.geometry
    height, width = SIZE
    rate, steps = signal.rate, g.photo_size[0]
    scale, offset, reach = [g.scale[0] * steps / width], [g.offset[0]], [g.reach[0]]
    inputs = [g.input_size[0]]
    unit = "steps" if rate is None else "s"
    axes: dict[str, Any] = {
        "time": [signal.start, signal.start + steps / rate] if rate else [0, steps],
        "unit": unit,
    }
    if len(g.photo_size) == 1:  # maps along time: every place above and below is the same
        scale, offset, reach, inputs = [1 / height, *scale], [0.0, *offset], [0.0, *reach], [1, *inputs]
        picture = _wave_and_spectrogram(signal)
    else:
        shown = signal.spectrogram
        levels = np.zeros((2, 2), np.float32) if shown is None else shown.levels
        picture = _grey(levels, height)
        bins, f = g.photo_size[1], g.scale[1]  # frequency upwards, and rows downwards
        scale = [bins * f / height, *scale]
        offset = [g.input_size[1] - bins * f - g.offset[1], *offset]
        reach, inputs = [g.reach[1], *reach], [g.input_size[1], *inputs]
        axes |= _frequencies(shown)
    geometry = {
        "photo_size": [height, width],
        "input_size": inputs,
        "scale": scale,
        "offset": offset,
        "reach": reach,
    }
    return SoundPicture(picture, geometry, axes)


def as_rows(one: Float[np.ndarray, "*space"]) -> Float[np.ndarray, "rows columns"]:
    """A map of a signal as it lies on its picture.

    Args:
        one: over time, or over time and frequency.
    """
    return one[None] if one.ndim == 1 else one.T[::-1]


def _frequencies(shown: Spectrogram | None) -> dict[str, Any]:
    if shown is None:
        return {}
    return {"frequency": [shown.low, shown.high], "frequency_unit": shown.unit}


def _wave_and_spectrogram(signal: Signal) -> Image.Image:
    """The wave above, the spectrogram below; the wave alone of what is no sound, or too short."""
    height, width = SIZE
    shown = spectrogram_of(signal.values[0], signal.rate, signal.highest) if signal.sound else None
    if shown is None:
        return Image.fromarray(_waves(signal.values, height, width)).convert("RGB")
    whole = Image.new("RGB", (width, height))
    whole.paste(Image.fromarray(_waves(signal.values, _WAVE, width)).convert("RGB"), (0, 0))
    whole.paste(_grey(shown.levels, height - _WAVE), (0, _WAVE))
    return whole


def _grey(levels: Float[np.ndarray, "frequency time"], height: int) -> Image.Image:
    """Loud is light; the lowest frequency lies at the bottom."""
    grey = (_GROUND + np.clip(levels[::-1], 0, 1) * (_INK - _GROUND)).astype(np.uint8)
    return Image.fromarray(grey).resize((SIZE[1], height), Image.Resampling.BILINEAR).convert("RGB")


def _waves(
    values: Float[np.ndarray, "channel time"], height: int, width: int
) -> UInt8[np.ndarray, "height width"]:
    """The lowest and the highest value of each column, channel below channel."""
    pixels = np.full((height, width), _GROUND, np.uint8)
    each = height // len(values)
    steps = values.shape[1]
    starts = np.minimum((np.arange(width) * steps) // width, steps - 1)
    rows = np.arange(each)[:, None]
    for number, channel in enumerate(values):
        low, high = np.minimum.reduceat(channel, starts), np.maximum.reduceat(channel, starts)
        most = float(np.abs(channel).max()) or 1.0
        top, bottom = (np.round((1 - ends / most) / 2 * (each - 1)) for ends in (high, low))
        pixels[number * each : (number + 1) * each][(rows >= top) & (rows <= bottom)] = _INK
    return pixels
