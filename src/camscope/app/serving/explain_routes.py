"""Routes: maps of photos."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from camscope.app.serving.explained_photo import explained_photo
from camscope.app.serving.session import Session, done
from camscope.app.serving.wishes import Explain

router = APIRouter()


@router.post("/explain", response_class=Response)
async def explain(request: Request, wish: Explain) -> Response:
    """Explain one photo: all methods, layers and targets from one forward. The answer is a view of the photo."""
    session: Session = request.app.state.session
    model, held = session.models.of(wish.model), session.photos.of(wish.photo)
    key = wish.model_copy(update={"page": None}).model_dump_json()
    answer = session.kept.get(key)
    if answer is None:
        photo = await run_in_threadpool(session.photos.read, held)
        answer = await done(
            request, model.worker, partial(explained_photo, model, held, photo, wish), page=wish.page
        )
        session.kept.put(key, answer)
    return Response(answer, media_type="application/json", headers={"Cache-Control": "no-store"})
