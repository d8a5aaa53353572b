"""Photos of a run, small, read again when they are asked for; and the whole view of one of its images."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

from PIL import Image

from camscope.app.followed_run import FollowedRun, name_of
from camscope.app.view import View
from camscope.errors import ImageError, InputError
from camscope.images import Photo

SIDES = (16, 2048)
"""The least and the most pixels along the longer side of a picture."""

_QUALITY = 80


def picture(run: FollowedRun, id: int, side: int) -> bytes:
    """The photo of an image, WebP.

    Args:
        run: of the image.
        id: of the image.
        side: pixels along the longer side, at most.

    Raises:
        ImageError: if the photo is gone, or has changed since.
        InputError: if there is no such image, or the side is none of `SIDES`.
    """
    if not SIDES[0] <= side <= SIDES[1]:
        raise InputError(f"side={side}: a picture has {SIDES[0]} to {SIDES[1]} pixels along its longer side.")
    return _picture(run, id, side)


def view_of(run: FollowedRun, id: int, side: int = 1024) -> View:
    """All maps of an image, on its photo; where that is gone on a plain ground, and a note says so.

    Args:
        run: of the image.
        id: of the image.
        side: of the photo, in pixels along the longer side, at most.

    Raises:
        InputError: if there is no such image, or it could not be explained.
    """
    rows = run.rows
    view = View("", rows.opened.plan.asked.model, side)
    e = rows.explanation(id)
    sources = rows.where(f"id = {int(id)}").limit(1).to_arrow(columns=["source"])["source"].to_pylist()
    view.add(e, names=[name_of(sources[0])])
    return view


def photo_of(run: FollowedRun, id: int) -> Photo:
    """The photo of an image, as it is.

    Args:
        run: of the image.
        id: of the image.

    Raises:
        ImageError: if it is gone, or has changed since.
        InputError: if there is no such image, or it could not be explained.
    """
    found = run.rows.explanation(id).input_image(0)
    return Photo(found.picture, found.source, found.notes)


def is_there(run: FollowedRun, id: int) -> bool:
    """Whether the photo of an image can be read, and is the one that was explained.

    Args:
        run: of the image.
        id: of the image.

    Raises:
        InputError: if there is no such image, or it could not be explained.
    """
    try:
        photo_of(run, id)
    except ImageError:
        return False
    return True


@lru_cache(maxsize=2_000)
def _picture(run: FollowedRun, id: int, side: int) -> bytes:
    stored = BytesIO()
    shown: Image.Image = run.rows.explanation(id).input_image(0).shrunk(side).picture
    shown.save(stored, "WEBP", quality=_QUALITY, method=2)
    return stored.getvalue()
