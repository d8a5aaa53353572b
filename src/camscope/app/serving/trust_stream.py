"""A verdict as it comes about: how far the probes are, then the verdict; who goes away ends it between two batches."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from camscope.app.serving.explained_photo import encoded
from camscope.app.serving.held_models import HeldModel
from camscope.app.serving.held_photos import Given
from camscope.app.serving.wishes import TrustWish
from camscope.errors import CamscopeError


class _Cancelled(BaseException):
    """Nobody wants the verdict any more. No error, so that nothing on its way takes it for one."""


async def verdict_events(model: HeldModel, given: Given | str, wish: TrustWish) -> AsyncGenerator[bytes]:
    """Server-sent events: `progress` as probes are answered, and at last `verdict` or `error`.

    Args:
        model: that is asked.
        given: the photo, the sound or the text whose map is judged.
        wish: which map, and by what.

    Yields:
        one event after another.

    Raises:
        CamscopeError: if what is asked for does not suit the model.
    """
    loop, cancelled = asyncio.get_running_loop(), threading.Event()
    events: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()

    def send(event: bytes | BaseException | None) -> None:
        loop.call_soon_threadsafe(events.put_nowait, event)

    def told(done: int, total: int) -> None:
        if cancelled.is_set():
            raise _Cancelled
        send(_event("progress", {"done": done, "total": total, "words": _words(done, total)}))

    def judge() -> None:
        try:
            if not cancelled.is_set():
                send(_event("verdict", _judged(model, given, wish, told)))
        except _Cancelled:
            pass
        except Exception as error:
            send(error)
        finally:
            send(None)

    work = model.worker.begin(judge)
    try:
        while (event := await events.get()) is not None:
            if isinstance(event, BaseException):
                raise event
            yield event
    finally:
        cancelled.set()
        work.cancel()


async def with_first(first: bytes, events: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    """All events, of which the first was taken already; what goes wrong from then on is an event too.

    Args:
        first: that was taken.
        events: those that follow.
    """
    async with aclosing(events):
        try:
            yield first
            async for event in events:
                yield event
        except CamscopeError as error:
            yield _event("error", {"error": str(error), "kind": type(error).__name__})


def _judged(model: HeldModel, given: Given | str, wish: TrustWish, told: Any) -> dict[str, Any]:
    if isinstance(given, str):
        model.refuse_all_but_texts()
    else:
        model.takes(given)
    judgement = model.explainer.trust(
        given,
        methods=wish.method,
        layers=wish.layer,
        targets=wish.target,
        checks=wish.checks,
        probes=wish.probes,
        seed=wish.seed,
        progress=told,
    )
    return {**judgement.to_dict(probes=False), "words": judgement.verdict}


def _words(done: int, total: int) -> str:
    if not done:
        return f"The model is asked {total} times what it says without some parts."
    return f"{done} of {total} are answered."


def _event(name: str, data: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + encoded(data) + b"\n\n"
