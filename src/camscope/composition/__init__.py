"""Methods made of methods: as data, as text, under their names, and their arithmetic. The engine runs them."""

# Compositions are listed in the order of these lines, and named ones are made of those before them.
# isort: off
from camscope.composition.expressions import (
    COMPOSITIONS,
    NAMED,
    Composition,
    Expression,
    LayerFusion,
    Modifier,
    Named,
    check,
    composition,
    made,
    modifiers_of,
    name_composition,
    parse,
    simplified,
)
from camscope.composition.wrappers import (
    Augment,
    Copy,
    MultiScale,
    PathIntegral,
    Setting,
    Smooth,
    Wrapper,
    alters_input,
)
from camscope.composition.sliding import ABOVE_ZERO, Sess, check_pictures, softened
from camscope.composition.fusion import (
    AtBackbone,
    AtFpnLevel,
    Fuse,
    by_backbone,
    by_fpn_level,
    fuse_maps,
    fuses,
)
from camscope.composition.modifiers import Balanced, Finer, Pca, Rest
from camscope.composition.named import list_methods
# isort: on

from camscope.composition.averaging import NoisyFullGradients, NoisyGradients, Size, over_sizes
from camscope.composition.grammar import split

__all__ = [
    "ABOVE_ZERO",
    "COMPOSITIONS",
    "NAMED",
    "AtBackbone",
    "AtFpnLevel",
    "Augment",
    "Balanced",
    "Composition",
    "Copy",
    "Expression",
    "Finer",
    "Fuse",
    "LayerFusion",
    "Modifier",
    "MultiScale",
    "Named",
    "NoisyFullGradients",
    "NoisyGradients",
    "PathIntegral",
    "Pca",
    "Rest",
    "Sess",
    "Setting",
    "Size",
    "Smooth",
    "Wrapper",
    "alters_input",
    "by_backbone",
    "by_fpn_level",
    "check",
    "check_pictures",
    "composition",
    "fuse_maps",
    "fuses",
    "list_methods",
    "made",
    "modifiers_of",
    "name_composition",
    "over_sizes",
    "parse",
    "simplified",
    "softened",
    "split",
]
