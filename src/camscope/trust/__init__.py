"""Whether a map can be trusted: from what the model says of altered inputs to a verdict in words, and its evidence."""

from camscope.trust.checks import Asked, check, list_checks
from camscope.trust.judgement import Judgement, load
from camscope.trust.probed import Probed
from camscope.trust.verdict import Check, Compared, Interval, Judged, Verdict

__all__ = [
    "Asked",
    "Check",
    "Compared",
    "Interval",
    "Judged",
    "Judgement",
    "Probed",
    "Verdict",
    "check",
    "list_checks",
    "load",
]
