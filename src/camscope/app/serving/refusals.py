"""What the server refuses by itself, each with the status that says so to a browser."""

from __future__ import annotations

from camscope.errors import CamscopeError


class RefusedError(CamscopeError):
    """The server does not answer this."""

    status = 422


class NotFoundError(RefusedError):
    """There is no such photo, model, run or row here."""

    status = 404


class TokenError(RefusedError):
    """The token is missing or wrong."""

    status = 401


class ForeignError(RefusedError):
    """Another page or another host asks."""

    status = 403


class TooLargeError(RefusedError):
    """More bytes or files were sent than are taken."""

    status = 413


class SupersededError(RefusedError):
    """A newer request of the same page took the place of this one."""

    status = 409


class BusyError(RefusedError):
    """Too much is waiting already."""

    status = 503
