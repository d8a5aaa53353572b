"""Where everything in a grid of pictures goes, in inches, before anything is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import fmean

# In panel sizes: no side of a very long photo is longer, and no column is narrower, so that its title fits.
_LONGEST = 2.0
_NARROWEST = 0.62


@dataclass(frozen=True)
class Cell:
    """A rectangle in inches; `left` and `top` are measured from the top left of whatever it lies in."""

    left: float
    top: float
    width: float
    height: float

    @property
    def bottom(self) -> float:
        """The lower edge, from the top."""
        return self.top + self.height

    @property
    def centre(self) -> float:
        """The horizontal middle."""
        return self.left + self.width / 2

    def moved(self, right: float, down: float) -> Cell:
        """Give this rectangle, moved."""
        return Cell(self.left + right, self.top + down, self.width, self.height)


def natural_size(width: int, height: int, inches: float) -> tuple[float, float]:
    """Give the (width, height) in inches at which a photo is shown: every photo gets about the same area.

    Args:
        width: Of the photo, in pixels.
        height: Of the photo, in pixels.
        inches: The side of a square photo, in inches.
    """
    aspect = width / height
    shown_width, shown_height = inches * aspect**0.5, inches / aspect**0.5
    shrink = min(1.0, _LONGEST * inches / max(shown_width, shown_height))
    return shown_width * shrink, shown_height * shrink


@dataclass(frozen=True)
class Grid:
    """Widths of the columns and heights of the rows that hold rows of photos, and the gap between columns."""

    widths: tuple[float, ...]
    heights: tuple[float, ...]
    gap: float

    @classmethod
    def around(
        cls, shapes: Sequence[Sequence[tuple[int, int]]], inches: float, gap: float, lowest: float
    ) -> Grid:
        """Fit a grid around rows of photos.

        Args:
            shapes: The (width, height) in pixels of each photo, row by row.
            inches: The side of a square photo, in inches.
            gap: The gap between columns, in inches.
            lowest: The least height of a row, in inches.
        """
        sizes = [[natural_size(*shape, inches) for shape in row] for row in shapes]
        if len(sizes) == 1:
            sizes = [_levelled(sizes[0], _LONGEST * inches)]
        count = max(map(len, sizes))
        widths = [max(row[column][0] for row in sizes if column < len(row)) for column in range(count)]
        return cls(
            tuple(max(width, _NARROWEST * inches) for width in widths),
            tuple(max(lowest, *(height for _, height in row)) for row in sizes),
            gap,
        )

    @property
    def width(self) -> float:
        """Width of all columns with the gaps between them."""
        return sum(self.widths) + self.gap * (len(self.widths) - 1)

    def left(self, column: int) -> float:
        """The left edge of a column, from the left edge of the grid."""
        return sum(self.widths[:column]) + self.gap * column

    def centre(self, column: int) -> float:
        """The middle of a column, from the left edge of the grid."""
        return self.left(column) + self.widths[column] / 2

    def photo(self, row: int, column: int, shape: tuple[int, int]) -> Cell:
        """Place a photo in its cell: as large as fits, centred, at the top of the row (top = 0).

        Args:
            row: Which row of the grid.
            column: Which column of the grid.
            shape: The photo's (width, height) in pixels.
        """
        scale = min(self.widths[column] / shape[0], self.heights[row] / shape[1])
        width, height = shape[0] * scale, shape[1] * scale
        return Cell(self.left(column) + (self.widths[column] - width) / 2, 0, width, height)


def _levelled(sizes: Sequence[tuple[float, float]], longest: float) -> list[tuple[float, float]]:
    """Give the photos of a grid's only row one height, except where one would get too wide."""
    common = fmean(height for _, height in sizes)
    return [
        (width * scale, height * scale)
        for width, height in sizes
        for scale in [min(common / height, longest / width)]
    ]


def stacked(heights: Sequence[float], start: float) -> list[float]:
    """Give the top of each of some blocks one under the other, and the bottom of the last."""
    return list(accumulate(heights, initial=start))


def column_count(panels: int) -> int:
    """Choose how many columns a flat list of panels gets: nearly square, with few empty places at the end."""
    if panels <= 4:
        return panels
    square = panels**0.5
    candidates = range(int(-(-square // 1)), min(10, int(1.6 * square)) + 1) or range(10, 11)
    return min(candidates, key=lambda columns: (-panels % columns, columns))
