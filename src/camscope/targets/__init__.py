"""What is being explained: a target is a scalar of the model's output, one per image.

Users write targets (`Class(281)`, `TopK(3)`, `-Class("tabby")`, a callable …); `resolve` turns them into
`Targets`, a table of `batch × target` that every framework can evaluate and differentiate the same way.
"""

from camscope.targets.captions import Caption, asks_for_classes, captions_of
from camscope.targets.class_names import class_index, class_name
from camscope.targets.classes import AllClasses, Class, Contrast, TopK
from camscope.targets.differentiated import slopes_through, target_slopes
from camscope.targets.instances import Instance
from camscope.targets.masked import refuse_masked
from camscope.targets.naming import TargetInfo, short_names, titles
from camscope.targets.per_image import PerImage, TargetLike, TargetsLike
from camscope.targets.regions import Region
from camscope.targets.resolving import resolve
from camscope.targets.scores import OutputScore
from camscope.targets.similarity import Similarity
from camscope.targets.table import Against, ScoreFunction, Targets, Weighting
from camscope.targets.target import PredictionTarget, Target, written
from camscope.targets.words import parse_target

__all__ = [
    "Against",
    "AllClasses",
    "Caption",
    "Class",
    "Contrast",
    "Instance",
    "OutputScore",
    "PerImage",
    "PredictionTarget",
    "Region",
    "ScoreFunction",
    "Similarity",
    "Target",
    "TargetInfo",
    "TargetLike",
    "Targets",
    "TargetsLike",
    "TopK",
    "Weighting",
    "asks_for_classes",
    "captions_of",
    "class_index",
    "class_name",
    "parse_target",
    "refuse_masked",
    "resolve",
    "short_names",
    "slopes_through",
    "target_slopes",
    "titles",
    "written",
]
