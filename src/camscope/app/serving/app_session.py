"""What a server holds while it runs."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from fastapi import Request

from camscope.app.followed_run import FollowedRun
from camscope.app.followed_training import FollowedTraining
from camscope.app.serving.held_models import HeldModels
from camscope.app.serving.held_photos import HeldPhotos
from camscope.app.serving.kept_answers import KeptAnswers
from camscope.app.serving.worker import Worker
from camscope.runs.run_plan import PLAN
from camscope.watching.shards import SAMPLES

MOST_BYTES = 64 * 2**20
"""Of one photo's file."""

MOST_AT_ONCE = 100
"""Photos that are dropped together."""

MOST_PIXELS = 100_000_000
"""Of one photo."""

Result = TypeVar("Result")


@dataclass
class Session:
    """What a server holds while it runs.

    Attributes:
        token: what every request must have.
        models: that explain.
        photos: that are explained.
        runs: that are looked through, by their ids.
        trainings: likewise.
        kept: answers that were given.
    """

    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    models: HeldModels = field(default_factory=HeldModels)
    photos: HeldPhotos = field(default_factory=HeldPhotos)
    runs: dict[str, FollowedRun] = field(default_factory=dict)
    trainings: dict[str, FollowedTraining] = field(default_factory=dict)
    kept: KeptAnswers = field(default_factory=KeptAnswers)

    def look_through(self, folder: str) -> bool:
        """Have a folder, if it is that of a run or of a training.

        Args:
            folder: its path.
        """
        path = Path(folder)
        if (path / PLAN).is_file():
            run = FollowedRun(path, f"r{len(self.runs) + 1}")
            self.runs[run.id] = run
            return True
        if any((place / SAMPLES).is_file() for place in (path, path / "maps")):
            training = FollowedTraining(path, f"t{len(self.trainings) + 1}")
            self.trainings[training.id] = training
            return True
        return False


async def done(
    request: Request, worker: Worker, call: Callable[[], Result], *, page: str | None = None
) -> Result:
    """Have a worker do something for a request; who goes away is not waited for.

    Args:
        request: for which.
        worker: of a model.
        call: what is done.
        page: see `Worker.do`.

    Raises:
        BusyError, SupersededError: see `Worker.do`.
    """
    work = asyncio.ensure_future(worker.do(call, page=page))
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
        return await work
    finally:
        work.cancel()
        gone.cancel()
        with suppress(asyncio.CancelledError):
            await gone


async def _gone(request: Request) -> None:
    """Come back when the asker has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
