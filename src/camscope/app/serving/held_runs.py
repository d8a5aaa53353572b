"""The runs and trainings of a server. What is still being written is followed: it is opened anew when there is more."""

from __future__ import annotations

import shlex
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, TypeVar

from camscope.app.serving.held_photos import HeldPhoto, HeldPhotos
from camscope.app.serving.refusals import NotFoundError
from camscope.app.serving.worker import Worker
from camscope.errors import CamscopeWarning, InputError
from camscope.images import Photo, is_image_name
from camscope.results import Explanation
from camscope.runs import RunRows
from camscope.runs import open as open_run
from camscope.runs.run_plan import PLAN
from camscope.runs.run_store import SHARDS
from camscope.watching import History
from camscope.watching.shards import SAMPLES, steps_in

_LONGEST = 20.0
"""Seconds that a question may take."""

Result = TypeVar("Result")


class HeldRun:
    """One run. Its questions are asked in a thread of its own, one after another.

    Args:
        id: what requests call it.
        path: its folder.

    Raises:
        InputError: if it is none.
    """

    def __init__(self, id: str, path: Path) -> None:
        self.id, self.path, self.name = id, path, path.resolve().name
        self.worker, self.slow = Worker(f"run {self.name}"), Worker(f"means of {self.name}")
        self.pictures = Worker(f"photos of {self.name}")
        self._photos: dict[int, HeldPhoto] = {}
        self._opened: RunRows | None = None
        self._state: object = None
        self._count = 0
        self._asked: object = None
        self._asking = threading.RLock()  # DuckDB answers one thread at a time
        self.rows()

    @property
    def state(self) -> object:
        """What there is of it: another one as soon as there is more."""
        if self._opened is not None and self._opened.opened.indexed:  # it is complete
            shards: list[Path] = []
        else:
            shards = sorted((self.path / SHARDS).glob("*.parquet"))
        files = [
            self.path / PLAN,
            *shards,
            *self.path.glob("*.parquet"),
        ]
        return tuple((file.name, file.stat().st_mtime_ns) for file in files if file.exists())

    def rows(self) -> RunRows:
        """All rows that there are now.

        Raises:
            InputError: if a file of it is torn or foreign.
        """
        with self._asking:
            state = self.state
            if self._opened is None or state != self._state:
                opened = open_run(self.path)
                self._opened, self._count = opened, opened.opened.count
                self._state = self.state if opened.opened.indexed else state
            return self._opened

    def rows_apart(self) -> RunRows:
        """The same rows, to be asked what takes long while others ask too."""
        return open_run(self.path)

    def asked(self, question: Callable[[RunRows], Result]) -> Result:
        """What the rows answer; a question that takes too long is given up.

        Args:
            question: is asked.

        Raises:
            InputError: if it is none that can be asked of them, or takes too long.
        """
        with self._asking:
            rows = self.rows()
            patience = threading.Timer(_LONGEST, rows.opened.interrupt)
            patience.daemon = True
            patience.start()
            self._asked = question
            try:
                return question(rows)
            finally:
                self._asked = None
                patience.cancel()

    def stop(self, question: object) -> None:
        """Give a question up, if it is the one that is being asked.

        Args:
            question: which.
        """
        if self._asked is question and self._opened is not None:
            self._opened.opened.interrupt()

    def explanation(self, image: int) -> Explanation:
        """All maps of an image.

        Args:
            image: its number.

        Raises:
            InputError: if there is none, or it could not be explained.
        """
        with self._asking:
            return self.rows().explanation(image)

    def name_of(self, image: int) -> str:
        """What the photo of an image is called: its file's name.

        Args:
            image: its number.

        Raises:
            InputError: if there is no such image, or it could not be explained.
        """
        with self._asking:
            self.explanation(image)
            found = self.rows().where(f"id = {int(image)}").limit(1).to_arrow(columns=["source"])
        source = str(found["source"][0])
        return PurePath(source).name or source

    def photo(self, image: int, photos: HeldPhotos) -> HeldPhoto:
        """An image of the run as a photo of the server, which reads it again when it is looked at.

        Args:
            image: its number.
            photos: of the server.

        Raises:
            InputError: if there is no such image, or it could not be explained.
        """
        held = self._photos.get(image)
        if held is None or not photos.holds(held):
            held = self._photos[image] = photos.add_again(self.name_of(image), lambda: self.read_photo(image))
        return held

    def read_photo(self, image: int) -> Photo:
        """The photo of an image, read again.

        Args:
            image: its number.

        Raises:
            InputError: if there is no such image, or it could not be explained.
            ImageError: if it cannot be read any more.
        """
        shown = self.explanation(image).input_image(0)
        return Photo(shown.picture, shown.source, shown.notes)

    def facts(self) -> Mapping[str, Any]:
        """What a page is told of it."""
        rows = self.rows()
        return {"id": self.id, "name": self.name, "rows": self._count, "complete": rows.is_complete}


class HeldTraining:
    """One training: maps of fixed samples, step by step.

    Args:
        id: what requests call it.
        path: its folder.

    Raises:
        InputError: if it holds none.
    """

    def __init__(self, id: str, path: Path) -> None:
        self.id, self.path, self.name = id, path, path.resolve().name
        self.worker = Worker(f"training {self.name}")
        self._history: History | None = None
        self.history()

    def history(self) -> History:
        """What there is of it now.

        Raises:
            InputError: if nothing of it can be read.
        """
        if self._history is None or self._history.has_grown():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CamscopeWarning)  # what is missing is told to the page
                self._history = History.open(self.path)
        return self._history

    def facts(self) -> Mapping[str, Any]:
        """What a page is told of it."""
        return {"id": self.id, "name": self.name, "steps": len(steps_in(self.history().folder))}


class HeldFolders:
    """All runs and trainings of a server."""

    def __init__(self) -> None:
        self._runs: dict[str, HeldRun] = {}
        self._trainings: dict[str, HeldTraining] = {}

    def add(self, path: Path) -> bool:
        """Have a folder, if it is one of a run or of a training; says whether it is.

        Args:
            path: the folder.

        Raises:
            InputError: if it is one, and nothing of it can be read; or if it holds some.
        """
        if (path / PLAN).is_file():
            held = HeldRun(f"r{len(self._runs) + 1}", path)
            self._runs[held.id] = held
            return True
        if any((place / SAMPLES).is_file() for place in (path, path / "maps")):
            training = HeldTraining(f"t{len(self._trainings) + 1}", path)
            self._trainings[training.id] = training
            return True
        inside = sorted({file.parent for name in (PLAN, SAMPLES) for file in path.glob(f"*/{name}")})
        inside += sorted(file.parents[1] for file in path.glob(f"*/maps/{SAMPLES}"))
        if inside and not any(is_image_name(str(file)) for file in path.iterdir()):
            raise InputError(
                f"'{path}' is no run and no training, but in it are some. Name them: "
                f"camscope app {' '.join(shlex.quote(str(one)) for one in inside[:4])}{' …' if len(inside) > 4 else ''}"
            )
        return False

    def runs(self) -> Iterator[HeldRun]:
        """The runs, in the order they were named."""
        return iter(self._runs.values())

    def trainings(self) -> Iterator[HeldTraining]:
        """The trainings, in the order they were named."""
        return iter(self._trainings.values())

    def run(self, id: str) -> HeldRun:
        """One run.

        Raises:
            NotFoundError: if there is no such run.
        """
        return _found(self._runs, id, "run")

    def training(self, id: str) -> HeldTraining:
        """One training.

        Raises:
            NotFoundError: if there is no such training.
        """
        return _found(self._trainings, id, "training")


Held = TypeVar("Held", "HeldRun", "HeldTraining")


def _found(held: Mapping[str, Held], id: str, noun: str) -> Held:
    if id not in held:
        there = ", ".join(f"{one.id} ({one.name})" for one in held.values())
        raise NotFoundError(
            f"There is no {noun} {id!r} here. There are: {there or 'none; name its folder at the start'}."
        )
    return held[id]
