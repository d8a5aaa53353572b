"""Routes: what there is to choose from of a model."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool

from camscope.app.serving.app_session import Session, done
from camscope.app.serving.model_facts import classes_of, instances_of

router = APIRouter()


@router.get("/models/{id}/layers")
async def _layers(request: Request, id: str, every: bool = False) -> dict[str, Any]:
    """The layers with a grid, and the one that is chosen automatically; `every` lists those inside of blocks too."""
    model = _session(request).models.of(id)
    return (await done(request, model.worker, partial(model.layers, every=every))).to_dict()


@router.get("/models/{id}/methods")
async def _methods(request: Request, id: str) -> dict[str, Any]:
    """All methods, each with one honest line and its price; and why the model does not offer one."""
    model = _session(request).models.of(id)
    return {"methods": [offer.to_dict() for offer in await model.methods()]}


@router.get("/models/{id}/classes")
async def _classes(
    request: Request,
    id: str,
    q: Annotated[str, Query(max_length=200, description="A number, or a part of a name.")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> dict[str, Any]:
    """Classes by name or number."""
    model = _session(request).models.of(id)
    explainer = await done(request, model.worker, lambda: model.explainer)
    return classes_of(explainer.class_names, q, limit=limit, offset=offset)


@router.get("/models/{id}/instances")
async def _instances(
    request: Request, id: str, photo: Annotated[str, Query(max_length=64)]
) -> dict[str, Any]:
    """What a detector or a segmenter found in a photo, each with the target that explains it."""
    session = _session(request)
    model, held = session.models.of(id), session.photos.of(photo)
    read = await run_in_threadpool(session.photos.read, held)
    return await done(request, model.worker, lambda: instances_of(model.takes(read), read))


def _session(request: Request) -> Session:
    session: Session = request.app.state.session
    return session
