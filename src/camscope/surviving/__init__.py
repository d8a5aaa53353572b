"""What a kill, a full disk or Ctrl-C leaves whole: files written aside, folders held, ends between two steps."""

from camscope.surviving.aside import written_aside
from camscope.surviving.holding import LOCK, held, sweep
from camscope.surviving.interrupting import Stop, stopped_by_signals

__all__ = ["LOCK", "Stop", "held", "stopped_by_signals", "sweep", "written_aside"]
