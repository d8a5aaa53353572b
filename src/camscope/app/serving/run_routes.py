"""Routes: runs, for the page and for programs: rows page by page, photos, mean maps, points."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from camscope.app.followed_run import MOST_ROWS, FollowedRun
from camscope.app.run_pictures import is_there, photo_of, picture, view_of
from camscope.app.run_scatter import MAPS, scatter
from camscope.app.serving.app_session import Session
from camscope.app.serving.refusals import NotFoundError
from camscope.app.view import base64_of
from camscope.errors import ImageError

_MOST_MEAN = 20_000
"""A mean map of more rows is that of a sample of so many."""

_LARGEST = 2**53
"""A number that a browser can say exactly."""

Where = Annotated[str, Query(max_length=4_000, description='a condition in SQL: "label != top1"; "" is all')]
Image = Annotated[int, Path(ge=0, le=_LARGEST, description="its number, as in the column id")]


class Asked(BaseModel):
    """Which rows, in which order, and which page of them."""

    model_config = ConfigDict(extra="forbid")

    where: str = Field("", max_length=4_000, description='a condition in SQL: "label != top1"; "" is all')
    sort: str = Field("", max_length=400, description='a column, "error", or SQL; "" is the order of the run')
    descending: bool = Field(False, description="the largest first")
    offset: int = Field(0, ge=0, le=_LARGEST, description="how many rows are left out before")
    limit: int = Field(60, ge=1, le=MOST_ROWS, description="how many at most")


class AskedAmong(Asked):
    """The same of rows that are named one by one."""

    among: list[tuple[int, int]] | None = Field(
        None, max_length=20_000, description="these rows alone, each as [id, row]; null is all"
    )


router = APIRouter(prefix="/runs")


def _run(request: Request, run: str) -> FollowedRun:
    runs = request.app.state.session.runs
    if run not in runs:
        raise NotFoundError(f"There is no run {run[:40]!r} here; there are: {', '.join(runs) or 'none'}.")
    found: FollowedRun = runs[run]
    return found


@router.get("/{run}")
def run_about(request: Request, run: str) -> dict[str, Any]:
    """A run as a whole: its model, methods and columns, and how far it is."""
    return _run(request, run).about()


@router.get("/{run}/rows")
def run_rows(request: Request, run: str, asked: Annotated[Asked, Query()]) -> dict[str, Any]:
    """A page of rows with their maps."""
    return _run(request, run).page(**asked.model_dump())


@router.post("/{run}/rows")
def run_rows_among(request: Request, run: str, asked: AskedAmong) -> dict[str, Any]:
    """A page of rows with their maps, also of some that are named one by one."""
    return _run(request, run).page(**asked.model_dump())


@router.get("/{run}/rows/{image}")
def run_row(
    request: Request, run: str, image: Image, side: Annotated[int, Query(ge=16, le=2048)] = 1024
) -> dict[str, Any]:
    """All maps of an image and its photo, as the page shows them; by the photo's id it can be explained anew."""
    found = _run(request, run)
    told = view_of(found, image, side).to_dict()
    (photo,) = told["photos"]
    photo["id"] = f"{run}:{image}"
    if is_there(found, image):
        photo["id"] = _held(request.app.state.session, found, image, photo["name"])
    return told


def _held(session: Session, run: FollowedRun, image: int, name: str) -> str:
    """The id of a photo of a run, which is held from now on."""
    if image not in run.held:
        run.held[image] = session.photos.add_again(name, lambda: photo_of(run, image)).id
    return run.held[image]


@router.get("/{run}/photos/{image}", response_class=Response)
def run_photo(
    request: Request, run: str, image: Image, side: Annotated[int, Query(ge=16, le=2048)] = 224
) -> Response:
    """The photo of an image as WebP; 404 where it is gone, or has changed since."""
    try:
        found = picture(_run(request, run), image, side)
    except ImageError as gone:
        raise NotFoundError(str(gone)) from gone
    return Response(found, media_type="image/webp", headers={"Cache-Control": "private, max-age=3600"})


@router.get("/{run}/classes")
def run_classes(request: Request, run: str, where: Where = "") -> dict[str, Any]:
    """How many rows each label and each top class has, the most frequent first."""
    return _run(request, run).classes(where)


@router.get("/{run}/means")
def run_means(
    request: Request, run: str, by: Annotated[str, Query(max_length=400)] = "top1", where: Where = ""
) -> dict[str, Any]:
    """The mean map of each class."""
    chosen = _run(request, run).chosen(where)
    count = len(chosen)
    found = (chosen.sample(_MOST_MEAN) if count > _MOST_MEAN else chosen).mean_maps(by=by)
    told = [
        {"value": value, "count": mean.count, "shape": [*mean.map.shape], "values": base64_of(mean.map)}
        for value, mean in sorted(found.items(), key=lambda one: -one[1].count)
    ]
    return {"by": by, "count": count, "sampled": count > _MOST_MEAN, "means": told}


@router.get("/{run}/scatter")
def run_points(
    request: Request,
    run: str,
    x: Annotated[str, Query(max_length=100)] = MAPS[0],
    y: Annotated[str, Query(max_length=100)] = MAPS[1],
    where: Where = "",
    limit: Annotated[int, Query(ge=1, le=20_000)] = 4_000,
) -> dict[str, Any]:
    """Two numbers of each row as points; by default where its map lies among all of them."""
    return scatter(_run(request, run).chosen(where), x, y, most=limit)
