"""The engine of the page: a server on this machine that explains photos and answers questions about runs."""

from camscope.app.serving.app_session import Session
from camscope.app.serving.serving_it import USUAL_PORT, address, listening, server_of

__all__ = ["USUAL_PORT", "Session", "address", "listening", "server_of"]
