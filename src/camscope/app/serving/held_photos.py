"""The photos and sounds of a server: those it was started with, and those that a page dropped."""

from __future__ import annotations

import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, TypeAlias

from PIL import Image

from camscope.app.serving.refusals import NotFoundError
from camscope.app.sound_picture import SIZE, picture_of_sound
from camscope.images import Photo, read_photo, read_photo_bytes
from camscope.signals import Sound, names_sound, read_sound_bytes, to_sound

_BYTES_HELD = 512 * 2**20
"""Of dropped photos, as files; the oldest are let go of beyond."""

_MOST_HELD = 10_000
"""Photos that the server was not started with; the oldest are let go of beyond."""

_PIXELS_HELD = 100_000_000
"""Of photos that were looked at last, which are kept as pixels."""

Given: TypeAlias = Photo | Sound
"""What a model is asked about."""

_LONGEST_NAME = 200
_QUALITY = 85


@dataclass(eq=False)
class HeldPhoto:
    """One photo, or a sound, which is looked at as its picture.

    Attributes:
        id: what requests call it; by chance, so that nobody guesses it.
        name: what people call it.
        given: whether the server was started with it.
        listed: whether it is among the photos of the page: it was given or dropped, and is no row of a run.
        bytes: how large its file is, where the server holds it.
        size: (height, width) in pixels, once it was read.
    """

    id: str
    name: str
    given: bool
    listed: bool
    bytes: int
    size: tuple[int, int] | None = field(default=None, init=False)
    _read: Callable[[], Given]

    def facts(self) -> Mapping[str, Any]:
        """What a page is told of it."""
        size = None if self.size is None else [*self.size]
        return {"id": self.id, "name": self.name, "size": size, "given": self.given}


class HeldPhotos:
    """All photos of a server. Threads may ask it at the same time."""

    def __init__(self) -> None:
        self._held: dict[str, HeldPhoto] = {}
        self._pixels: OrderedDict[str, Given] = OrderedDict()
        self._lock = threading.Lock()

    def listed(self) -> Iterator[HeldPhoto]:
        """Those that the server was started with, and those that were dropped."""
        with self._lock:
            held = list(self._held.values())
        return (photo for photo in held if photo.listed)

    def add_file(self, path: str) -> HeldPhoto:
        """Have a photo that the server was started with; it is read when it is first looked at.

        Args:
            path: a file, or `sample:NAME`.
        """
        read = to_sound if names_sound(path) else read_photo
        return self._add(path, lambda: read(path), given=True, listed=True, bytes=0)

    def add_again(self, name: str, read: Callable[[], Photo]) -> HeldPhoto:
        """Have a photo that can be read again, such as that of a run's row.

        Args:
            name: what people call it.
            read: reads it.
        """
        return self._add(name, read, given=False, listed=False, bytes=0)

    def add_bytes(self, content: bytes, name: str, *, max_pixels: int) -> HeldPhoto:
        """Have a photo or a sound that a page sent. It is read at once.

        Args:
            content: of its file.
            name: of its file, which is nothing but what it is called.
            max_pixels: a photo with more is refused.

        Raises:
            ImageError, InputError: if it is none, damaged or too large.
        """
        called = plain_name(name)

        def read() -> Given:
            if names_sound(called):
                return read_sound_bytes(content, called)
            return read_photo_bytes(content, called, max_pixels=max_pixels)

        photo = read()
        held = self._add(
            called,
            read,
            given=False,
            listed=True,
            bytes=len(content),
        )
        self._keep(held, photo)
        return held

    def holds(self, held: HeldPhoto) -> bool:
        """Whether a photo is still there.

        Args:
            held: which.
        """
        with self._lock:
            return held.id in self._held

    def of(self, id: str) -> HeldPhoto:
        """One of them.

        Raises:
            NotFoundError: if there is no such photo.
        """
        with self._lock:
            held = self._held.get(id)
        if held is None:
            raise NotFoundError("There is no such photo here (any more). Drop it again, or start with it.")
        return held

    def read(self, held: HeldPhoto) -> Given:
        """The photo or the sound itself.

        Raises:
            ImageError: if it cannot be read.
        """
        with self._lock:
            photo = self._pixels.get(held.id)
            if photo is not None:
                self._pixels.move_to_end(held.id)
                return photo
        photo = held._read()
        self._keep(held, photo)
        return photo

    def picture(self, held: HeldPhoto, side: int) -> bytes:
        """The photo as WebP.

        Args:
            held: which.
            side: its longer one in pixels, at most.

        Raises:
            ImageError: if it cannot be read.
        """
        return picture(self.read(held), side)

    def _add(
        self, name: str, read: Callable[[], Given], *, given: bool, listed: bool, bytes: int
    ) -> HeldPhoto:
        held = HeldPhoto(secrets.token_urlsafe(12), name, given, listed, bytes, read)
        with self._lock:
            self._held[held.id] = held
            dropped = [photo for photo in self._held.values() if not photo.given]
            total = sum(photo.bytes for photo in dropped)
            while (total > _BYTES_HELD or len(dropped) > _MOST_HELD) and len(dropped) > 1:
                oldest = dropped.pop(0)
                total -= oldest.bytes
                del self._held[oldest.id]
                self._pixels.pop(oldest.id, None)
        return held

    def _keep(self, held: HeldPhoto, photo: Given) -> None:
        with self._lock:
            held.size = SIZE if isinstance(photo, Sound) else photo.size
            self._pixels[held.id] = photo
            total = sum(map(_numbers, self._pixels.values()))
            while total > _PIXELS_HELD and len(self._pixels) > 1:
                _, oldest = self._pixels.popitem(last=False)
                total -= _numbers(oldest)


def _numbers(given: Given) -> int:
    """How much is kept of it: its pixels, or samples."""
    return given.samples.size if isinstance(given, Sound) else given.size[0] * given.size[1]


def picture(given: Given, side: int) -> bytes:
    """A photo, or the picture of a sound, as WebP.

    Args:
        given: the photo or the sound.
        side: its longer one in pixels, at most.
    """
    pixels = picture_of_sound(given) if isinstance(given, Sound) else given.pixels
    factor = side / max(pixels.size)
    if factor < 1:
        small = (max(1, round(pixels.width * factor)), max(1, round(pixels.height * factor)))
        pixels = pixels.resize(small, Image.Resampling.LANCZOS, reducing_gap=2.0)
    stored = BytesIO()
    pixels.save(stored, "WEBP", quality=_QUALITY, method=2)
    return stored.getvalue()


def plain_name(name: str) -> str:
    """A file's name without folders and signs that are not to be seen, as one line of text.

    Args:
        name: as a browser sent it.
    """
    last = PureWindowsPath(PurePosixPath(name).name).name
    shown = re.sub(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+", " ", last).strip()
    return shown[:_LONGEST_NAME] or "photo"
