"""Maps of fixed samples, kept while a model trains; nothing of the training is changed."""

from camscope.watching.history import History
from camscope.watching.recorder import Recorder
from camscope.watching.settling import Settling

__all__ = ["History", "Recorder", "Settling"]
