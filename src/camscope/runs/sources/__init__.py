"""Where the images of a run come from: each source is a stream of inputs, and says where the bytes of each lie."""

from camscope.runs.sources.finding_inputs import DataLike, find_inputs
from camscope.runs.sources.one_input import DataOptions, Input

__all__ = ["DataLike", "DataOptions", "Input", "find_inputs"]
