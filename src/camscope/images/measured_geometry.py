"""Where a photo's pixels land in a model's input, measured: by what some preparation makes of pictures of numbers.

Whatever resizes, crops and pads, maps photo to input by a scale and an offset along each axis. A picture that is
darkest at one edge and brightest at the opposite one, evenly in between, says of each pixel of the input where in the
photo it comes from. Nothing of the preparation is believed: what it does in another way than this is refused, and each
photo is looked for where the measured geometry says that it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer
from PIL import Image

from camscope.errors import InputError
from camscope.images.geometry import Geometry

_LEVELS = 255
"""Steps of brightness that a picture of 8 bits has."""

_OFF = 1.5
"""How far a pixel may come from another place than the line says, in steps of brightness."""

_EDGE = 0.06
"""The share of an axis at both ends where resizing mixes a pixel with what lies beyond the edge."""

_REACH = 2.0
"""How many pixels of the photo beside a place are mixed where it is enlarged (bicubic)."""

_PARTS = 6
"""Parts along each axis that a photo is compared in."""

_UNLIKE = 0.12
"""How far the brightness of a part may be off, as a share of the brightest."""

Preparation = Callable[[Image.Image], Float[np.ndarray, "channel height width"]]


@dataclass(frozen=True)
class Measured:
    """What a preparation does to photos of one size.

    Attributes:
        geometry: where their pixels land in the input.
        dark: what it makes of black, in each channel.
        light: what it makes of white.
    """

    geometry: Geometry
    dark: Float[np.ndarray, " channel"]
    light: Float[np.ndarray, " channel"]

    def check(self, picture: Image.Image, made: Float[np.ndarray, "channel height width"]) -> None:
        """Refuse a preparation that does something else to a photo than to the pictures that it was measured on.

        Some cut off what is blank, say. The mean brightness of parts is compared, which no resampling changes much.

        Args:
            picture: the photo.
            made: what was made of it.

        Raises:
            InputError: if it is not where the geometry says.
        """
        share = (made - self.dark[:, None, None]) / (self.light - self.dark)[:, None, None]
        brightness = Image.fromarray(share.mean(axis=0).astype(np.float32))
        first, last = self.geometry.to_photo(0, 0), self.geometry.to_photo(*self.geometry.input_size)
        ends = [
            (max(a, 0.0), min(b, float(n)))
            for a, b, n in zip(first, last, self.geometry.photo_size, strict=True)
        ]
        (top, bottom), (left, right) = ends
        corners = (self.geometry.to_input(top, left), self.geometry.to_input(bottom, right))
        theirs = _parts(brightness, *corners)
        ours = _parts(
            Image.fromarray(np.asarray(picture, np.float32).mean(axis=2)), (top, left), (bottom, right)
        )
        off = np.abs(theirs - ours / _LEVELS).max()
        if off > _UNLIKE:
            raise InputError(
                f"it does to this photo what it does not do to others of its size: a part is off by {off:.2f} of the "
                "brightest where it should be"
            )


def measure(prepare: Preparation, photo_size: tuple[int, int]) -> Measured:
    """Measure where the pixels of photos of a size land in the input.

    Args:
        prepare: what makes the model's input of a photo.
        photo_size: (height, width), in pixels.

    Raises:
        InputError: if it does something else than resize, crop and pad; the message says what was seen.
    """
    height, width = photo_size
    dark, light = (prepare(_picture(np.full((height, width, 3), value))) for value in (0, _LEVELS))
    if dark.shape != light.shape or dark.ndim != 3:
        raise InputError(f"it makes arrays of shape {dark.shape} and {light.shape} of photos of one size")
    contrast = light - dark
    seen = np.abs(contrast).min(axis=0)
    if not seen.max() > 0:
        raise InputError("it makes the same of a black photo and of a white one")
    rows, columns = _rectangle(seen > seen.max() / 2)
    lines = []
    for axis, inside in enumerate((rows, columns)):
        ramp = _ramp(photo_size[axis])
        along = ramp[:, None] if axis == 0 else ramp[None, :]
        made = prepare(_picture(np.broadcast_to(along, (height, width, 3))))
        if made.shape != dark.shape:
            raise InputError(f"it makes arrays of shape {dark.shape} and {made.shape} of photos of one size")
        share = ((made - dark)[:, rows, columns] / contrast[:, rows, columns]).mean(axis=0)
        lines.append(_line(share if axis == 0 else share.T, inside, photo_size[axis]))
    (down, top), (across, left) = lines
    geometry = Geometry(photo_size, (int(dark.shape[1]), int(dark.shape[2])), (down, across), (top, left))
    ends = (np.median(one[:, rows, columns], axis=(1, 2)) for one in (dark, light))
    return Measured(geometry, *ends)


def _parts(
    picture: Image.Image, first: tuple[float, float], last: tuple[float, float]
) -> Float[np.ndarray, "_PARTS _PARTS"]:
    """The mean brightness of the parts of a picture between two corners, each (vertical, horizontal)."""
    box = (first[1], first[0], min(last[1], picture.width), min(last[0], picture.height))
    box = (max(box[0], 0.0), max(box[1], 0.0), *box[2:])
    return np.asarray(picture.resize((_PARTS, _PARTS), Image.Resampling.BOX, box=box), dtype=np.float64)


def _picture(values: Integer[np.ndarray, "height width 3"]) -> Image.Image:
    return Image.fromarray(values.astype(np.uint8))


def _ramp(size: int) -> Integer[np.ndarray, "size 3"]:
    """Brightnesses that rise evenly along an axis.

    Where there are more pixels than steps of brightness, the three channels take each step at another pixel, so that
    their mean has steps a third as high.
    """
    if size <= _LEVELS:
        return np.repeat((np.arange(size) * (_LEVELS // size))[:, None], 3, axis=1)
    return np.floor(np.arange(size)[:, None] * _LEVELS / size + np.arange(3) / 3).astype(int)


def _places(share: Float[np.ndarray, "along across"], size: int) -> Float[np.ndarray, "along across"]:
    """The places along an axis, in pixels, whose brightnesses on the ramp are shares of white."""
    if size <= _LEVELS:
        return share * _LEVELS / (_LEVELS // size) + 0.5
    return (share * _LEVELS + 1 / 6) * size / _LEVELS + 0.5


def _rectangle(seen: Bool[np.ndarray, "height width"]) -> tuple[slice, slice]:
    """The rows and columns of the input that depend on the photo.

    Raises:
        InputError: if they are no rectangle.
    """
    sides = []
    for axis in (1, 0):
        places = np.flatnonzero(seen.any(axis=axis))
        sides.append(slice(int(places[0]), int(places[-1]) + 1))
    rows, columns = sides
    if not seen[rows, columns].all():
        raise InputError("what it takes of a photo is no rectangle of the input")
    return rows, columns


def _line(share: Float[np.ndarray, "along across"], inside: slice, size: int) -> tuple[float, float]:
    """The scale and the offset of an axis, in pixels of the input.

    Args:
        share: the brightness of each pixel of the input, as a share of white.
        inside: the pixels of the input along the axis that depend on the photo.
        size: of the photo along the axis, in pixels.

    Raises:
        InputError: if they come from no places in order and at even distances.
    """
    margin = max(2, round(len(share) * _EDGE))
    along = np.arange(inside.start, inside.stop)[margin:-margin] + 0.5
    across = slice(margin, -margin) if share.shape[1] > 2 * margin else slice(None)
    places = _places(share[margin:-margin, across], size)
    means = places.mean(axis=1)
    apart = (means >= _REACH) & (
        means <= size - _REACH
    )  # of a photo that is enlarged these are more than the margin
    along, places = along[apart], places[apart]
    too_few = InputError(
        f"it makes {len(share)} pixels of a photo's {size} along an axis, too few to be measured"
    )
    if len(along) < 2:
        raise too_few
    slope, start = np.polyfit(along, places.mean(axis=1), 1)
    off = np.abs(places - (slope * along + start)[:, None]).max()
    if not slope > 0 or not off <= max(_OFF * size / _LEVELS, 1.0):
        raise InputError(
            f"it does not only resize, crop and pad: along an axis of {size} pixels a pixel comes from a place that is "
            f"off by {off:.1f} pixels"
        )
    if slope * np.ptp(along) < _REACH:
        raise too_few
    return float(1 / slope), float(-start / slope)
