"""Routes: maps of photos, and what the model says of parts of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse

from camscope.app.serving.altered_scores import altered_scores, altered_text_scores
from camscope.app.serving.app_session import Session, done
from camscope.app.serving.cell_classes import cell_classes
from camscope.app.serving.explained_photo import encoded, explained_photo
from camscope.app.serving.explained_text import explained_text
from camscope.app.serving.held_models import HeldModel
from camscope.app.serving.held_photos import Given, HeldPhoto
from camscope.app.serving.trust_stream import verdict_events, with_first
from camscope.app.serving.wishes import Cells, Explain, ExplainText, OfPhoto, Scores, TextScores, TrustWish
from camscope.errors import InputError

_Answer: TypeAlias = Callable[[HeldModel, HeldPhoto, Given, Any], dict[str, Any]]

router = APIRouter()


@router.post("/explain", response_class=Response)
async def _explain(request: Request, wish: Explain) -> Response:
    """Explain one photo: all methods, layers and targets from one forward. The answer is a view of the photo."""
    return await _answered(request, wish, explained_photo)


@router.post("/texts", response_class=Response)
async def _explain_text(request: Request, wish: ExplainText) -> Response:
    """Explain a text: its words, and the evidence in each for every target."""
    return await _said_of_text(request, wish, explained_text)


@router.post("/texts/scores", response_class=Response)
async def _text_scores(request: Request, wish: TextScores) -> Response:
    """What the model says if words of a text are left out, or nothing else is left, beside what it says as it is."""
    return await _said_of_text(request, wish, altered_text_scores)


@router.post("/cells", response_class=Response)
async def _cells(request: Request, wish: Cells) -> Response:
    """The classes that each cell of a photo speaks for, where the model's head is linear and so this is exact."""
    return await _answered(request, wish, lambda model, _, photo, wish: cell_classes(model, photo, wish))


@router.post("/scores", response_class=Response)
async def _scores(request: Request, wish: Scores) -> Response:
    """What the model says if a part of the photo is hidden, or nothing else is left, beside what it says as it is."""
    return await _answered(request, wish, lambda model, _, photo, wish: altered_scores(model, photo, wish))


@router.post(
    "/trust",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "progress …, then verdict or error"}
    },
)
async def _trust(request: Request, wish: TrustWish) -> StreamingResponse:
    """Whether a map can be trusted, as server-sent events; whoever closes the connection ends it."""
    session: Session = request.app.state.session
    model = session.models.of(wish.model)
    if wish.photo is not None and wish.text is None:
        given: Given | str = await run_in_threadpool(session.photos.read, session.photos.of(wish.photo))
    elif wish.text is not None and wish.photo is None:
        given = wish.text
    else:
        raise InputError("A verdict is of a photo or of a text: name one of them.")
    events = verdict_events(model, given, wish)
    first = await anext(events)  # what is asked wrongly is refused before anything is streamed
    return StreamingResponse(
        with_first(first, events),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _answered(
    request: Request, wish: OfPhoto, answer: Callable[[HeldModel, HeldPhoto, Given, Any], Any]
) -> Response:
    """The answer of a model to a wish: what it gave before, or else from its own thread."""
    session: Session = request.app.state.session
    model, held = session.models.of(wish.model), session.photos.of(wish.photo)
    key = (type(wish), wish.model_copy(update={"page": None}).model_dump_json())
    found = session.kept.get(key)
    if found is None:
        photo = await run_in_threadpool(session.photos.read, held)
        call = partial(answer, model, held, photo, wish)
        found = await done(request, model.worker, lambda: encoded(call()), page=wish.page)
        session.kept.put(key, found)
    return _json(found)


async def _said_of_text(request: Request, wish: Any, answer: Callable[[HeldModel, Any], Any]) -> Response:
    model = request.app.state.session.models.of(wish.model)
    return _json(await done(request, model.worker, lambda: encoded(answer(model, wish)), page=wish.page))


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json", headers={"Cache-Control": "no-store"})
