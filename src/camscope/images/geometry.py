"""Where a pixel of the photo lies in the model's input, and where a pixel of the input lies in the photo."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from camscope.errors import InputError

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Geometry:
    """How photo pixels map to model-input pixels: per axis ``input = photo * scale + offset``.

    Coordinates are continuous and pixel k covers [k, k + 1), so its centre is at k + 0.5. Every pair is
    (vertical, horizontal).

    Attributes:
        photo_size: (height, width) of the photo, in pixels.
        input_size: (height, width) of the model's input, in pixels.
        scale: input pixels per photo pixel.
        offset: where the photo's top left corner lies in the input, in input pixels: negative where the photo
            was cropped, positive where it was padded.
    """

    photo_size: tuple[int, int]
    input_size: tuple[int, int]
    scale: tuple[float, float]
    offset: tuple[float, float]

    @classmethod
    def identity(cls, size: tuple[int, int]) -> Geometry:
        """Build the geometry of a photo of (height, width) that goes into the model as it is."""
        return cls(size, size, (1.0, 1.0), (0.0, 0.0))

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Geometry:
        """Build it from what `to_dict` gave, which may have been stored as JSON.

        Raises:
            InputError: a field is missing or is not a pair of numbers.
        """
        try:
            return cls(
                photo_size=_pair(fields["photo_size"], int),
                input_size=_pair(fields["input_size"], int),
                scale=_pair(fields["scale"], float),
                offset=_pair(fields["offset"], float),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                "A geometry needs the pairs photo_size, input_size, scale and offset, "
                f"each (vertical, horizontal); got {dict(fields)}."
            ) from error

    def of_smaller(self, size: tuple[int, int]) -> Geometry:
        """Give the geometry of the same photo at another (height, width)."""
        scale = tuple(s * old / new for s, old, new in zip(self.scale, self.photo_size, size, strict=True))
        return Geometry(size, self.input_size, _pair(scale, float), self.offset)

    def to_dict(self) -> dict[str, Any]:
        """Give the fields by name; each is a pair."""
        return asdict(self)

    def to_input(self, y: float, x: float) -> tuple[float, float]:
        """Map a point (y, x) of the photo to the model's input."""
        return y * self.scale[0] + self.offset[0], x * self.scale[1] + self.offset[1]

    def to_photo(self, y: float, x: float) -> tuple[float, float]:
        """Map a point (y, x) of the model's input to the photo."""
        return (y - self.offset[0]) / self.scale[0], (x - self.offset[1]) / self.scale[1]

    def covered(self) -> tuple[int, int, int, int]:
        """Give the box of photo pixels that the model sees.

        A pixel counts if its centre falls inside the input. The box is empty if one pixel is enlarged so much that
        it is larger than the whole input.

        Returns:
            (x0, y0, x1, y1) in photo pixels, the ends exclusive.
        """
        first = self.to_photo(0, 0)
        last = self.to_photo(*self.input_size)
        y0, x0 = (_from(edge, size) for edge, size in zip(first, self.photo_size, strict=True))
        y1, x1 = (_from(edge, size) for edge, size in zip(last, self.photo_size, strict=True))
        return x0, y0, x1, y1


def _from(edge: float, size: int) -> int:
    """Give the first pixel of an axis with its centre at or after an edge."""
    return min(max(math.ceil(edge - 0.5), 0), size)


def _pair(values: Any, kind: Callable[[Any], Number]) -> tuple[Number, Number]:
    vertical, horizontal = values
    return kind(vertical), kind(horizontal)
