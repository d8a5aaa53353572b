"""Animations: frames of small pictures with a word, a bar and a number under each, as animated WebP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from camscope.errors import InputError, check_folder
from camscope.render.layout import column_count

_INK, _SOFT, _PALE, _BAR = (28, 28, 28), (102, 102, 102), (228, 228, 228), (0, 114, 178)
_SIZE = 15
"""Of texts, in pixels."""


@dataclass(frozen=True)
class Tile:
    """One picture of a frame.

    Attributes:
        picture: RGB; all of one size.
        title: The word under it, shortened where it is too long.
        share: A number in [0, 1], such as a probability, drawn as a bar and written; None leaves it out.
    """

    picture: Image.Image
    title: str
    share: float | None = None


def animation_frame(
    tiles: Sequence[Tile], *, left: str, right: str = "", done: float | None = None
) -> Image.Image:
    """Draw one frame: pictures in a balanced grid, a line of text above, a thin line of progress below.

    Args:
        tiles: The pictures.
        left: The text above, at the left.
        right: The text above, at the right.
        done: How much of the whole is over, in [0, 1]; None draws no line.

    Returns:
        RGB; frames of as many tiles of one size are of one size.

    Raises:
        InputError: There is no tile, or pictures have several sizes.
    """
    sizes = {tile.picture.size for tile in tiles}
    if len(sizes) != 1:
        raise InputError(f"a frame needs pictures of one size; got {sorted(sizes) or 'none'}.")
    (width, height), columns = sizes.pop(), column_count(len(tiles))
    rows = -(-len(tiles) // columns)
    gap, text = 12, _SIZE + 8
    below = text + 10
    whole = (
        gap + columns * (width + gap),
        text + 14 + rows * (height + below + gap) + (14 if done is not None else 0),
    )
    sheet = Image.new("RGB", whole, "white")
    draw = ImageDraw.Draw(sheet)
    _write(draw, left, (gap, 12), whole[0] * 0.6, _INK, bold=True)
    _write(draw, right, (whole[0] - gap, 12), whole[0] * 0.4 - gap, _SOFT, anchor="ra")
    for place, tile in enumerate(tiles):
        x, y = gap + place % columns * (width + gap), text + 18 + place // columns * (height + below + gap)
        sheet.paste(tile.picture, (x, y))
        number = "" if tile.share is None else f"{tile.share:.0%}"
        room = width - _font().getlength(number) - 8
        _write(draw, tile.title, (x, y + height + 4), room, _INK)
        if tile.share is not None:
            _write(draw, number, (x + width, y + height + 4), width, _SOFT, anchor="ra")
            bar = y + height + text + 2
            draw.rectangle((x, bar, x + width - 1, bar + 3), fill=_PALE)
            filled = round(width * min(max(tile.share, 0.0), 1.0))
            if filled:
                draw.rectangle((x, bar, x + filled - 1, bar + 3), fill=_BAR)
    if done is not None:
        draw.rectangle((0, whole[1] - 4, whole[0], whole[1]), fill=_PALE)
        draw.rectangle((0, whole[1] - 4, round(whole[0] * done), whole[1]), fill=_INK)
    return sheet


def save_animation(
    frames: Sequence[Image.Image], path: str | Path, *, seconds: float = 0.6, at_the_end: float = 2.0
) -> None:
    """Write frames as an animated WebP that starts over at its end.

    Args:
        frames: Of one size.
        path: Where to; the suffix is `.webp`.
        seconds: How long each is shown.
        at_the_end: How long the last is shown.

    Raises:
        InputError: There is no frame, the suffix is another one, there is no such folder, or a time is not above 0.
        OSError: The file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".webp":
        raise InputError(f"an animation is saved as .webp; got {str(path)!r}.")
    if not frames or min(seconds, at_the_end) <= 0:
        raise InputError("an animation needs at least one frame, shown for more than 0 seconds.")
    check_folder(path)
    durations = [round(1000 * seconds)] * (len(frames) - 1) + [round(1000 * at_the_end)]
    options: dict[str, Any] = {"duration": durations, "loop": 0, "quality": 85, "method": 4}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)


@lru_cache(maxsize=2)
def _font() -> Any:
    return ImageFont.load_default(_SIZE)


def _write(
    draw: ImageDraw.ImageDraw,
    text: str,
    where: tuple[float, float],
    room: float,
    colour: tuple[int, int, int],
    *,
    anchor: str = "la",
    bold: bool = False,
) -> None:
    """Write one line, shortened to the room it has."""
    text, font = text.replace("−", "-"), _font()  # Pillow's font has no minus sign
    whole = text
    while text and font.getlength(text if text == whole else f"{text}…") > room:
        text = text[:-1].rstrip()
    draw.text(
        where,
        text if text == whole else f"{text}…",
        fill=colour,
        font=font,
        anchor=anchor,
        stroke_width=0.4 if bold else 0,
    )
