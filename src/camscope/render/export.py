"""Figures to files: the same figure always gives the same bytes."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from camscope.errors import InputError, check_folder, nearest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Leaves out the dates and the version that matplotlib writes by itself, so that files can be compared.
_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}
# Publishers refuse matplotlib's Type 3 fonts, so type 42 is used. A tight box, should the user have set one, would
# change the figure's size.
_SETTINGS: Any = {"svg.hashsalt": "camscope", "pdf.fonttype": 42, "savefig.bbox": None}


def png(figure: Figure, dpi: float = 150) -> bytes:
    """Give a figure as the bytes of a PNG file.

    Raises:
        InputError: `dpi` is not above 0.
    """
    buffer = BytesIO()
    _write(figure, buffer, "png", dpi)
    return buffer.getvalue()


def as_picture(figure: Figure, dpi: float = 150) -> Image.Image:
    """Give a figure as an RGB picture.

    Raises:
        InputError: `dpi` is not above 0.
    """
    with Image.open(BytesIO(png(figure, dpi))) as drawn:
        return drawn.convert("RGB")


def save(figure: Figure, path: str | Path, dpi: float = 150) -> None:
    """Write a figure to a file; the suffix decides between png, pdf and svg.

    Texts are kept as text in pdf and drawn as outlines in svg.

    Args:
        figure: What to write.
        path: Where to; the suffix is `.png`, `.pdf` or `.svg`.
        dpi: Dots per inch of a png; pdf and svg have none.

    Raises:
        InputError: The suffix is another one, there is no such folder, or `dpi` is not above 0.
        OSError: The file cannot be written.
    """
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in _METADATA:
        valid = ", ".join("." + name for name in _METADATA)
        hint = nearest(suffix, _METADATA)
        raise InputError(f"a figure is saved as one of {valid}; got {str(path)!r}.{hint}")
    check_folder(Path(path))
    # The file is written once the figure is complete, so that a failure leaves no half-written file.
    buffer = BytesIO()
    _write(figure, buffer, suffix, dpi)
    Path(path).write_bytes(buffer.getvalue())


def save_picture(picture: Image.Image, path: str | Path) -> None:
    """Write an RGB picture as PNG, quickly and not as small as can be, as JPEG, or as WebP.

    Args:
        picture: What to write.
        path: Where to; the suffix is `.png`, `.jpg` or `.webp`.

    Raises:
        OSError: The file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".png":
        Path(path).write_bytes(_quick_png(picture))
        return
    exif = Image.Exif()
    exif[_SOFTWARE] = _OURS
    how: dict[str, Any] = {".webp": {"method": 2}, ".jpg": {"subsampling": 0}}[
        suffix
    ]  # letters keep their edges
    picture.save(path, quality=90, exif=exif, **how)


def was_saved_here(path: str | Path) -> bool:
    """Tell whether a file is a picture that `save_picture` wrote, which says so in it."""
    try:
        with Image.open(path) as picture:
            return _OURS in (picture.info.get("Software"), picture.getexif().get(_SOFTWARE))
    except (
        OSError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
    ):  # no picture, or one that is damaged
        return False


_OURS = "camscope"
_SOFTWARE = 0x0131
"""The tag of EXIF that says what a picture was made by."""


def _quick_png(picture: Image.Image) -> bytes:
    """Give an RGB picture as PNG in half of Pillow's time.

    Of every row Pillow tries all five filters. Of photos and colours one is as good: what differs from the row above.
    """
    width, height = picture.size
    pixels = np.asarray(picture).reshape(height, 3 * width)
    rows = np.empty((height, 1 + 3 * width), np.uint8)
    rows[:, 0] = 2  # the filter's number
    rows[:, 1:] = pixels
    rows[1:, 1:] -= pixels[:-1]
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0),  # 8 bits, RGB
        b"tEXt": f"Software\0{_OURS}".encode(),
        b"IDAT": zlib.compress(rows.data, 1),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts.items()
    )


def _write(figure: Figure, target: BinaryIO, suffix: str, dpi: float) -> None:
    if not dpi > 0:
        raise InputError(f"dpi must be above 0; got {dpi}.")
    from matplotlib import rc_context

    with rc_context(_SETTINGS):
        figure.savefig(target, format=suffix, dpi=dpi, facecolor="white", metadata=_METADATA[suffix])
