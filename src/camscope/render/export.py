"""Figures to files: the same figure always gives the same bytes."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

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


def _write(figure: Figure, target: BinaryIO, suffix: str, dpi: float) -> None:
    if not dpi > 0:
        raise InputError(f"dpi must be above 0; got {dpi}.")
    from matplotlib import rc_context

    with rc_context(_SETTINGS):
        figure.savefig(target, format=suffix, dpi=dpi, facecolor="white", metadata=_METADATA[suffix])
