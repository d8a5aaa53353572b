"""Who may ask: whoever has the token, from the page of this very server, with so many bytes at most."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException

from camscope.app.serving.refusals import ForeignError, RefusedError, TokenError, TooLargeError

HEADER = "x-camscope-token"

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]
Refuse: TypeAlias = Callable[[RefusedError, str], App]

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}

_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


class Guard:
    """Stands before all routes. A request without the token, of another page or for another host goes no further.

    A page of another site that has its own name point to this machine (DNS rebinding) is told by the host that it asks
    for; a page on another port of this machine, which a browser takes for the same site, by its origin.

    Args:
        app: what answers.
        token: what every request must have.
        host: that the server listens on.
        port: likewise.
        refuse: makes an answer of a refusal and the path that was asked for.
        limits: how many bytes a request may have, by the beginning of its path; the first that fits counts.
    """

    def __init__(
        self, app: App, *, token: str, host: str, port: int, refuse: Refuse, limits: MutableMapping[str, int]
    ) -> None:
        self._app, self._token, self._port = app, token, port
        self._refuse, self._limits = refuse, limits
        self._hosts = {*_LOOPBACK, host, socket.gethostname()} if _is_open(host) else {*_LOOPBACK, host}
        self._any_address = _is_open(host)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }

        answered = False

        async def answer(message: Message) -> None:
            nonlocal answered
            answered = message["type"] == "http.response.body" and not message.get("more_body", False)
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        try:
            self._check(scope, headers)
            bounded = self._bounded(scope["path"], headers, receive)
        except RefusedError as refusal:
            await self._refuse(refusal, scope["path"])(scope, receive, answer)
            return
        try:
            await self._app(scope, bounded, answer)
        except Exception:
            if not answered:  # a fault that was told is no reason to cut the connection, too
                raise

    def _check(self, scope: Message, headers: dict[str, str]) -> None:
        """Refuse what comes from elsewhere, and what has no token.

        Raises:
            ForeignError, TokenError: saying why.
        """
        host = headers.get("host", "")
        if not self._is_own(host):
            raise ForeignError(
                f"This server is not {host[:100]!r}. Open the address that camscope app printed, or start it with "
                "--host."
            )
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            raise ForeignError(f"A page of {origin[:100]} asks, and only this server's own page may.")
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and scope["path"] != "/":
            raise ForeignError("Another page asks, and only this server's own page may.")
        given = headers.get(HEADER) or _cookie(headers.get("cookie", ""), cookie_name(self._port))
        if given is None and scope["path"] == "/":
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [None])[0]
        if given is None or not hmac.compare_digest(given.encode(), self._token.encode()):
            raise TokenError(
                "The token is missing or wrong. Open the address that camscope app printed, with its ?token=…; "
                "programs send it as the header X-Camscope-Token."
            )

    def _is_own(self, host: str) -> bool:
        """Whether a Host header names this server."""
        name, _, port = host.rpartition(":")
        if not name or port != str(self._port):
            return False
        name = name.strip("[]").lower()
        return name in self._hosts or (self._any_address and _is_address(name))

    def _bounded(self, path: str, headers: dict[str, str], receive: Receive) -> Receive:
        """Take no more bytes than the path allows, whatever a request says of itself.

        Raises:
            TooLargeError: if it says that it has more.
        """
        most = next(limit for start, limit in self._limits.items() if path.startswith(start))
        words = f"A request to {path[:60]} takes {most / 2**20:.0f} MB at most."
        told = headers.get("content-length", "0")
        if not told.isdecimal() or int(told) > most:
            raise TooLargeError(words)
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                raise HTTPException(TooLargeError.status, words)  # which those who read a body let pass
            return message

        return counted


def cookie_name(port: int) -> str:
    """The name of the page's cookie; browsers share cookies among the ports of a host.

    Args:
        port: of the server.
    """
    return f"camscope-{port}"


def _cookie(header: str, name: str) -> str | None:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return None
    return None if found is None else found.value


def _is_open(host: str) -> bool:
    """Whether a server listens on all addresses of its machine."""
    return host in ("0.0.0.0", "::")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
