"""What a server holds while it runs."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from fastapi import Request

from camscope.app.serving.held_models import HeldModels
from camscope.app.serving.held_photos import HeldPhotos
from camscope.app.serving.held_runs import HeldFolders
from camscope.app.serving.kept_answers import KeptAnswers
from camscope.app.serving.refusals import SupersededError
from camscope.app.serving.worker import Worker

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
        folders: runs and trainings that are looked through.
        kept: answers that were given.
    """

    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    models: HeldModels = field(default_factory=HeldModels)
    photos: HeldPhotos = field(default_factory=HeldPhotos)
    folders: HeldFolders = field(default_factory=HeldFolders)
    kept: KeptAnswers = field(default_factory=KeptAnswers)


async def done(
    request: Request,
    worker: Worker,
    call: Callable[[], Result],
    *,
    page: str | None = None,
    stop: Callable[[], object] = lambda: None,
) -> Result:
    """Have a worker do something for a request; who goes away is not waited for.

    Args:
        request: for which.
        worker: of a model.
        call: what is done.
        page: see `Worker.do`.
        stop: ends what has begun already, where that is possible.

    Raises:
        BusyError, SupersededError: see `Worker.do`.
    """
    work = asyncio.ensure_future(worker.do(call, page=page))
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            stop()
            raise SupersededError("Nobody waits for this any more.")
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
