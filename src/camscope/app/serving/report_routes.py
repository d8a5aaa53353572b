"""Route: what the page holds, as a report."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from camscope.app.report_file import report_page
from camscope.results.saving import finite

router = APIRouter()


class Reported(BaseModel):
    """A view, as `frontend/src/view.ts` says it: the page takes what it knows of it."""

    model_config = ConfigDict(extra="allow")

    title: str = Field(max_length=2_000)
    photos: list[dict[str, Any]] = Field(
        max_length=10_000, description="With their pictures as data: addresses."
    )


@router.post("/report", response_class=HTMLResponse)
def report(view: Reported) -> Response:
    """A page that opens offline with this view in it."""
    headers = {"Content-Disposition": "attachment; filename=report.html", "Cache-Control": "no-store"}
    page = report_page(finite(view.model_dump())).encode("utf-8", "replace")  # a lone surrogate is no text
    return Response(page, media_type="text/html", headers=headers)
