"""The engine of the page: a server on this machine that explains photos and answers questions about runs."""

from camscope.app.serving.app_session import Session
from camscope.app.serving.serving_it import address, listening, serve

__all__ = ["Session", "address", "listening", "serve"]
