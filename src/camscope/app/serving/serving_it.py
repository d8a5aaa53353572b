"""Listen, say where, and end cleanly."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import uvicorn

from camscope.app.serving.app_session import Session
from camscope.app.serving.web_app import web_app
from camscope.errors import InputError, keyword

USUAL_PORT = 8765
_TRIED = 50
_LAST = 65_535
_OPEN = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


def listening(host: str, port: int | None) -> socket.socket:
    """A socket that listens.

    Args:
        host: on which address.
        port: on which port; None takes the usual one, or the next that is free.

    Raises:
        InputError: if the port is taken, or there is no such address.
    """
    if port is not None and not 0 <= port <= _LAST:
        raise InputError(f"{keyword('port', port)}: expected 1 to {_LAST}, or 0 for any that is free.")
    try:
        family, _, _, _, where = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise InputError(
            f"{keyword('host', host)} is no address of this machine: {error.strerror}."
        ) from error
    reason = ""
    for number in range(USUAL_PORT, USUAL_PORT + _TRIED) if port is None else [port]:
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((where[0], number))
            found.listen(128)
            return found
        except OSError as error:
            found.close()
            reason = error.strerror or str(error)
            if error.errno == errno.EADDRNOTAVAIL:
                raise InputError(
                    f"{keyword('host', host)} is no address of this machine: {reason}."
                ) from error
    if port is not None:
        raise InputError(
            f"{keyword('port', port)} cannot be had: {reason}. Leave it out, and the next that is free is taken."
        )
    raise InputError(
        f"No port from {USUAL_PORT} to {USUAL_PORT + _TRIED - 1} is free: {reason}. Name one: {keyword('port', 0)}."
    )


def address(session: Session, listener: socket.socket) -> str:
    """Where a browser finds the page, with its token.

    Args:
        session: of the server.
        listener: see `listening`.
    """
    host, port = listener.getsockname()[:2]
    shown = _OPEN.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}/?token={session.token}"


def server_of(
    session: Session, listener: socket.socket, host: str, *, ready: Callable[[], None] = lambda: None
) -> uvicorn.Server:
    """A server, which `run(sockets=[listener])` runs until it is ended, and `should_exit = True` ends.

    Args:
        session: what is served.
        listener: see `listening`.
        host: that was asked for.
        ready: is called when it answers.
    """
    config = uvicorn.Config(
        web_app(session, host=host, port=listener.getsockname()[1]),
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
        server_header=False,
        ws="none",
    )
    return _Server(config, ready)


class _Server(uvicorn.Server):
    """Says when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        self._ready()
