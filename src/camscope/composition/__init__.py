"""Methods made of methods: as data, as text, under their names, and their arithmetic. The planner runs them."""

from camscope.composition.averaging import NoisyFullGradients, NoisyGradients, Size, over_sizes
from camscope.composition.checks import check
from camscope.composition.expressions import (
    COMPOSITIONS,
    Augment,
    Balanced,
    Composition,
    Expression,
    Finer,
    Fuse,
    Modifier,
    MultiScale,
    Named,
    PathIntegral,
    Rest,
    Smooth,
    Wrapper,
    fuses,
    modifiers,
    simplified,
)
from camscope.composition.fusion import fused
from camscope.composition.grammar import parse, split
from camscope.composition.named import NAMED, list_methods
from camscope.composition.wrappers import Copy, Setting, copies, summand

__all__ = [
    "COMPOSITIONS",
    "NAMED",
    "Augment",
    "Balanced",
    "Composition",
    "Copy",
    "Expression",
    "Finer",
    "Fuse",
    "Modifier",
    "MultiScale",
    "Named",
    "NoisyFullGradients",
    "NoisyGradients",
    "PathIntegral",
    "Rest",
    "Setting",
    "Size",
    "Smooth",
    "Wrapper",
    "check",
    "copies",
    "fused",
    "fuses",
    "list_methods",
    "modifiers",
    "over_sizes",
    "parse",
    "simplified",
    "split",
    "summand",
]
