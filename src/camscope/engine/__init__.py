"""Who runs what: from a model and inputs to an explanation."""

from camscope.engine.explainer import Explainer, explain

__all__ = ["Explainer", "explain"]
