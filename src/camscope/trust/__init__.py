"""Whether a map can be trusted: from what the model says of altered inputs to a verdict in words, and its evidence."""

from camscope.trust.bca import bca_intervals
from camscope.trust.checks import Asked, check, list_checks
from camscope.trust.chosen import Choice
from camscope.trust.judgement import Judgement, load
from camscope.trust.method_candidates import Candidate
from camscope.trust.probed import Probed
from camscope.trust.run_cost import Cost, RunCost
from camscope.trust.saved_choice import SavedChoice, read_choice
from camscope.trust.verdict import Check, Compared, Interval, Judged, Verdict

__all__ = [
    "Asked",
    "Candidate",
    "Check",
    "Choice",
    "Compared",
    "Cost",
    "Interval",
    "Judged",
    "Judgement",
    "Probed",
    "RunCost",
    "SavedChoice",
    "Verdict",
    "bca_intervals",
    "check",
    "list_checks",
    "load",
    "read_choice",
]
