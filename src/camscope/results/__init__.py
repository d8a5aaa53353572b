"""What one holds afterwards: maps and the questions one asks of them, figures, files, concepts."""

from camscope.results.comparing import compare
from camscope.results.concepts import Concepts
from camscope.results.explanation import Explanation
from camscope.results.fusing import fuse
from camscope.results.loading_saved import load
from camscope.results.map_data import Channels, Key, MethodFacts
from camscope.results.maps import Maps
from camscope.results.overlaying import overlay
from camscope.results.status import Status

__all__ = [
    "Channels",
    "Concepts",
    "Explanation",
    "Key",
    "Maps",
    "MethodFacts",
    "Status",
    "compare",
    "fuse",
    "load",
    "overlay",
]
