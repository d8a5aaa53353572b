"""What is being explained: a target is a scalar of the model's output, one per image.

Users write targets (`Class(281)`, `TopK(3)`, `-Class("tabby")`, a callable …); `resolve` turns them into
`Targets`, a table of `batch × target` that every framework can evaluate and differentiate the same way.
"""

from camscope.targets.captions import Caption, asks_for_classes, captions_of
from camscope.targets.instances import Detections, Instance
from camscope.targets.outputs import Of, Outputs, Task, detached
from camscope.targets.regions import Dense, Region
from camscope.targets.resolving import resolve
from camscope.targets.similarity import Embedding, Similarity, embeddings
from camscope.targets.structure import OutputScore, Structure, StructuredTarget
from camscope.targets.table import Against, ScoreFunction, TargetInfo, Targets, Weighting, class_name
from camscope.targets.wanted import (
    AllClasses,
    Class,
    Contrast,
    PerImage,
    Target,
    TargetsLike,
    TopK,
    parse_target,
)

__all__ = [
    "Against",
    "AllClasses",
    "Caption",
    "Class",
    "Contrast",
    "Dense",
    "Detections",
    "Embedding",
    "Instance",
    "Of",
    "OutputScore",
    "Outputs",
    "PerImage",
    "Region",
    "ScoreFunction",
    "Similarity",
    "Structure",
    "StructuredTarget",
    "Target",
    "TargetInfo",
    "Targets",
    "TargetsLike",
    "Task",
    "TopK",
    "Weighting",
    "asks_for_classes",
    "captions_of",
    "class_name",
    "detached",
    "embeddings",
    "parse_target",
    "resolve",
]
