"""Listen, say where, and end cleanly."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from camscope.app.serving.app_session import Session
from camscope.app.serving.web_app import web_app
from camscope.errors import InputError

USUAL_PORT = 8765
_TRIED = 50
_OPEN = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


def listening(host: str, port: int | None) -> socket.socket:
    """A socket that listens.

    Args:
        host: on which address.
        port: on which port; None takes the usual one, or the next that is free.

    Raises:
        InputError: if the port is taken, or there is no such address.
    """
    try:
        family, _, _, _, _ = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise InputError(f"host={host!r} is no address of this machine: {error.strerror}.") from error
    ports = [port] if port is not None else range(USUAL_PORT, USUAL_PORT + _TRIED)
    for number in ports:
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, number))
            found.listen(128)
            return found
        except (OSError, OverflowError) as error:
            found.close()
            reason = error
    raise InputError(
        f"port={port} cannot be had on {host}: {reason}. Leave it out, and a free one is taken."
        if port is not None
        else f"No port from {USUAL_PORT} to {USUAL_PORT + _TRIED - 1} is free on {host}: {reason}. Say port=."
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


def serve(
    session: Session, listener: socket.socket, host: str, *, ready: Callable[[], None] | None = None
) -> None:
    """Serve until it is ended.

    Args:
        session: what is served.
        listener: see `listening`.
        host: that was asked for.
        ready: is called when it answers.
    """
    port = listener.getsockname()[1]
    config = uvicorn.Config(
        web_app(session, host=host, port=port),
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
        server_header=False,
        ws="none",
    )
    server = _Server(config, ready)
    server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """Says when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        if self._ready is not None:
            self._ready()
