"""Files of weights as people have them: read without running code, under any wrapping, or refused with what works."""

from camscope.libraries.checkpoints.matching import Fit, fit
from camscope.libraries.checkpoints.names_of_classes import class_names_in, unused_names
from camscope.libraries.checkpoints.reading import Checkpoint, read_checkpoint, read_whole_model

__all__ = [
    "Checkpoint",
    "Fit",
    "class_names_in",
    "fit",
    "read_checkpoint",
    "read_whole_model",
    "unused_names",
]
