"""Routes: what the server holds, and its photos."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, File, Query, Request, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from camscope.app.serving.app_session import MOST_AT_ONCE, MOST_BYTES, MOST_PIXELS, Session
from camscope.app.serving.refusals import TooLargeError
from camscope.errors import InputError

router = APIRouter()


@router.get("/state")
def _state(request: Request) -> dict[str, Any]:
    """What the server holds: models, photos, runs and trainings."""
    session: Session = request.app.state.session
    return {
        "version": version("camscope"),
        "models": [model.facts() for model in session.models],
        "photos": [photo.facts() for photo in session.photos.listed()],
        "runs": [run.facts() for run in session.folders.runs()],
        "trainings": [training.facts() for training in session.folders.trainings()],
        "limits": {"bytes": MOST_BYTES, "pixels": MOST_PIXELS, "photos": MOST_AT_ONCE},
    }


@router.post("/photos")
async def _drop(request: Request, files: Annotated[list[UploadFile], File()]) -> dict[str, Any]:
    """Drop photos. A broken one is named, and the rest goes on."""
    session: Session = request.app.state.session
    if len(files) > MOST_AT_ONCE:
        raise TooLargeError(
            f"{len(files)} photos at once: {MOST_AT_ONCE} are taken. Drop the others after these."
        )
    taken, failed = [], []
    for file in files:
        name = file.filename or "photo"
        try:
            if file.size is not None and file.size > MOST_BYTES:
                raise InputError(
                    f"{name!r} has {file.size / 2**20:.0f} MB, {MOST_BYTES // 2**20} are taken. Shrink it first."
                )
            content = await file.read()
            held = await run_in_threadpool(session.photos.add_bytes, content, name, max_pixels=MOST_PIXELS)
            taken.append(dict(held.facts()))
        except InputError as error:
            failed.append({"name": name, "error": str(error)})
    if not taken:
        raise InputError(failed[0]["error"] if failed else "No photo was sent: files= takes them.")
    return {"photos": taken, "failed": failed}


@router.get("/photos/{id}/picture", response_class=Response)
def _picture(request: Request, id: str, side: Annotated[int, Query(ge=16, le=4096)] = 1024) -> Response:
    """A photo as WebP, upright, at most `side` pixels along its longer side."""
    session: Session = request.app.state.session
    held = session.photos.of(id)
    found = session.photos.picture(held, side)
    return Response(
        found, media_type="image/webp", headers={"Cache-Control": "private, max-age=86400, immutable"}
    )
