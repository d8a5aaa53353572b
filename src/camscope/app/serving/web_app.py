"""The server as a web application: its routes, what stands before them, and what an error looks like."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from camscope.app.built_page import built
from camscope.app.serving import (
    explain_routes,
    model_routes,
    page_file,
    photo_routes,
    report_routes,
    run_routes,
)
from camscope.app.serving.app_session import MOST_BYTES, Session
from camscope.app.serving.guard import Guard, cookie_name
from camscope.app.serving.refusals import NotFoundError, RefusedError, TokenError, TooLargeError
from camscope.errors import CamscopeError

_LIMITS = {"/api/photos": 4 * MOST_BYTES, "/api/report": MOST_BYTES, "/": 8 * 2**20}
_ABOUT = "Where a model looks: explain photos, ask about maps, look at runs. Every request needs the token."


def web_app(session: Session, *, host: str, port: int) -> Guard:
    """The application, which uvicorn runs.

    Args:
        session: what it holds.
        host: that it listens on.
        port: likewise.
    """
    app = FastAPI(
        title="camscope",
        description=_ABOUT,
        openapi_url="/api/openapi.json",
        docs_url=None,
        generate_unique_id_function=lambda route: route.name.strip("_"),
        redoc_url=None,
    )
    app.state.session = session
    for routes in (photo_routes, explain_routes, model_routes, report_routes, run_routes):
        app.include_router(routes.router, prefix="/api")
    _serve_page(app, session, port)
    app.add_exception_handler(CamscopeError, _refused)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(Exception, _failed)
    return Guard(app, token=session.token, host=host, port=port, refuse=_refusal, limits=_LIMITS)


def _serve_page(app: FastAPI, session: Session, port: int) -> None:
    headers = {"Content-Security-Policy": page_file.POLICY, "Cache-Control": "no-store"}

    @app.get("/", include_in_schema=False)
    def page() -> Response:
        answer = HTMLResponse(page_file.page(), headers=headers)
        answer.set_cookie(cookie_name(port), session.token, httponly=True, samesite="strict")
        return answer

    @app.get("/page.js", include_in_schema=False)
    def script() -> Response:
        return Response(built("page.js"), media_type="text/javascript", headers={"Cache-Control": "no-cache"})

    @app.get("/page.css", include_in_schema=False)
    def style() -> Response:
        return Response(built("page.css"), media_type="text/css", headers={"Cache-Control": "no-cache"})


def _said(status: int, error: str, kind: str) -> JSONResponse:
    return JSONResponse({"error": error, "kind": kind}, status, headers={"Cache-Control": "no-store"})


def _refusal(refusal: RefusedError, path: str) -> Response:
    if path == "/" and isinstance(refusal, TokenError):  # a person looks at this
        return HTMLResponse(page_file.NO_TOKEN, refusal.status, headers={"Cache-Control": "no-store"})
    return _said(refusal.status, str(refusal), type(refusal).__name__)


def _refused(_: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, RefusedError) else 422
    return _said(status, str(error), type(error).__name__)


def _unreadable(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _said(422, _what_is_wrong(error.errors()), "RequestError")


def _what_is_wrong(errors: Sequence[Mapping[str, Any]]) -> str:
    """What is wrong with a request, in sentences that name its words."""
    found = []
    for one in errors[:3]:
        place = ".".join(str(part) for part in one["loc"] if part not in ("body", "query", "path"))
        found.append(f"{place or 'The request'}: {one['msg']}.")
    return " ".join(found) + " GET /api/openapi.json says what requests look like."


def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = error.detail
    if error.status_code == 404:
        words = f"There is nothing at {request.url.path[:100]}. GET /api/openapi.json lists what there is."
    if error.status_code == 405:
        words = f"{request.url.path[:100]} does not answer to {request.method}."
    kinds = {404: NotFoundError, TooLargeError.status: TooLargeError}
    kind = kinds.get(error.status_code)
    return _said(error.status_code, words, "RequestError" if kind is None else kind.__name__)


def _failed(_: Request, error: Exception) -> Response:
    traceback.print_exception(error)
    words = f"This is a fault of camscope's, and the server goes on: {type(error).__name__}: {error}"
    return _said(500, words, "Fault")
