"""Whether a map can be trusted: from what the model says of altered inputs to a verdict in words, and its evidence."""

from camscope.trust.judgement import Judgement
from camscope.trust.probed import Probed
from camscope.trust.verdict import Check, Compared, Interval, Judged, Verdict

__all__ = ["Check", "Compared", "Interval", "Judged", "Judgement", "Probed", "Verdict"]
