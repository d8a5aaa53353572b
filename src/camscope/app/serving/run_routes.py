"""Routes: what is asked of runs and trainings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from camscope.app.serving.app_session import Session, done
from camscope.app.serving.explained_photo import encoded
from camscope.app.serving.held_photos import picture
from camscope.app.serving.held_runs import HeldRun
from camscope.app.serving.map_scatter import AXES
from camscope.app.serving.run_answers import about_of, chosen_rows, facets_of, means_of, page_of, scatter_of
from camscope.app.serving.training_answers import training_of
from camscope.app.serving.wishes import RowsWish
from camscope.app.view import View
from camscope.runs import RunRows

router = APIRouter()

Sql = Annotated[str, Query(max_length=20_000, description="A condition in SQL over the columns of the rows.")]
Words = Annotated[str, Query(max_length=2_000)]
Row = Annotated[int, Query(ge=0, le=2**62)]


@router.get("/runs/{id}", response_class=Response)
async def _run(request: Request, id: str) -> Response:
    """A run as a whole: its model, methods and columns, and how far it is."""
    run = _session(request).folders.run(id)
    return await _answered(request, id, lambda rows: about_of(rows, run.id, run.name))


@router.get("/runs/{id}/rows", response_class=Response)
async def _rows(
    request: Request,
    id: str,
    where: Sql = "",
    sort: Words = "",
    descending: bool = False,
    offset: Row = 0,
    limit: Annotated[int, Query(ge=0, le=1000)] = 100,
    maps: bool = False,
    page: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """A page of rows: chosen by a condition, sorted, with their small maps if they are asked for."""
    wish = RowsWish(
        images=None,
        where=where,
        sort=sort,
        descending=descending,
        offset=offset,
        limit=limit,
        maps=maps,
        columns=None,
        page=page,
    )
    return await _rows_of(request, id, wish)


@router.post("/runs/{id}/rows", response_class=Response)
async def _rows_of(request: Request, id: str, wish: RowsWish) -> Response:
    """The same for long conditions, or for some images by their numbers."""

    def answer(rows: RunRows) -> Any:
        chosen = chosen_rows(rows, wish.where, wish.sort, descending=wish.descending, of=wish.images)
        return page_of(chosen, offset=wish.offset, limit=wish.limit, maps=wish.maps, columns=wish.columns)

    return await _answered(request, id, answer, page=wish.page)


@router.get("/runs/{id}/facets", response_class=Response)
async def _facets(request: Request, id: str, where: Sql = "", numbers: bool = True) -> Response:
    """How many rows each class, label, method and status has, and how the numbers are spread."""

    def answer(rows: RunRows) -> Any:
        return facets_of(chosen_rows(rows, where, "", descending=False, of=None), numbers=numbers)

    return await _answered(request, id, answer)


@router.get("/runs/{id}/means", response_class=Response)
async def _means(request: Request, id: str, by: Words = "top1", where: Sql = "") -> Response:
    """The mean map of each class in a column."""
    run = _session(request).folders.run(id)
    key = (run.id, run.state, "means", by, where)

    def answer(rows: RunRows) -> Any:
        return means_of(chosen_rows(rows, where, "", descending=False, of=None), by)

    return await _kept(request, run, key, answer)


@router.get("/runs/{id}/scatter", response_class=Response)
async def _scatter(
    request: Request,
    id: str,
    x: Words = "centroid_x",
    y: Words = "centroid_y",
    colour: Annotated[str | None, Query(max_length=2_000)] = None,
    where: Sql = "",
    limit: Annotated[int, Query(ge=1, le=200_000)] = 20_000,
) -> Response:
    """Two numbers of each row as points; of more than the limit some by chance, always the same.

    `maps-1` and `maps-2` are the two directions in which the maps of these rows differ most.
    """
    run = _session(request).folders.run(id)

    def answer(rows: RunRows) -> Any:
        return scatter_of(chosen_rows(rows, where, "", descending=False, of=None), x, y, colour, limit=limit)

    if x in AXES or y in AXES:
        return await _kept(request, run, (run.id, run.state, "scatter", x, y, colour, where, limit), answer)
    return await _answered(request, id, answer)


@router.get("/runs/{id}/rows/{image}", response_class=Response)
async def _row(
    request: Request, id: str, image: int, side: Annotated[int, Query(ge=16, le=4096)] = 1024
) -> Response:
    """All maps of one image as a view; its photo is read again."""
    session = _session(request)
    run = session.folders.run(id)

    def answer(rows: RunRows) -> Any:
        e = rows.explanation(image)
        held = run.photo(image, session.photos)
        named = rows.opened.plan.asked.model
        view = View("", named if named == "demo" or ":" in named else None, side)
        place = f"/api/photos/{held.id}/picture?side={side}"
        view.add(e, names=[held.name], address=lambda _: place)
        document = view.to_dict()
        document["photos"][0] |= {"id": held.id}
        return {**document, "engine": True, "run": run.id, "image": image}

    return await _answered(request, id, answer)


@router.get("/runs/{id}/photos/{image}", response_class=Response)
async def _photo(
    request: Request, id: str, image: int, side: Annotated[int, Query(ge=16, le=4096)] = 160
) -> Response:
    """The photo of one image as WebP."""
    run = _session(request).folders.run(id)
    content = await done(request, run.pictures, lambda: picture(run.read_photo(image), side))
    return Response(content, media_type="image/webp", headers={"Cache-Control": "private, max-age=3600"})


@router.get("/trainings/{id}", response_class=Response)
async def _training(
    request: Request,
    id: str,
    target: Annotated[int, Query(ge=0, le=10_000)] = 0,
    samples: Annotated[int, Query(ge=1, le=200)] = 24,
    first: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    maps: bool = True,
) -> Response:
    """The maps of a training's samples, step by step, with what the model said; `first` is where they begin."""
    training = _session(request).folders.training(id)

    def answer() -> bytes:
        return encoded(training_of(training.history(), target=target, first=first, most=samples, maps=maps))

    return _json(await done(request, training.worker, answer))


async def _answered(
    request: Request, id: str, question: Callable[[RunRows], Any], *, page: str | None = None
) -> Response:
    run = _session(request).folders.run(id)
    content = await done(
        request, run.worker, lambda: encoded(run.asked(question)), page=page, stop=lambda: run.stop(question)
    )
    return _json(content)


async def _kept(request: Request, run: HeldRun, key: object, question: Callable[[RunRows], Any]) -> Response:
    """What takes long: from what was answered before, or else in a thread that no page of rows waits for."""
    session = _session(request)
    content = session.kept.get(key)
    if content is None:
        content = await done(request, run.slow, lambda: encoded(question(run.rows_apart())))
        session.kept.put(key, content)
    return _json(content)


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json", headers={"Cache-Control": "no-store"})


def _session(request: Request) -> Session:
    session: Session = request.app.state.session
    return session
