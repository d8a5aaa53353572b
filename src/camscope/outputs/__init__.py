"""What a model said about a batch: class scores, and what else it puts out. Knows no target and no framework."""

from camscope.outputs.boxes import Frames, sides
from camscope.outputs.dense import Dense
from camscope.outputs.detections import MATCHES, Detections
from camscope.outputs.embeddings import Embedding, embeddings
from camscope.outputs.logits import Of, Outputs, Task, check_of
from camscope.outputs.predictions import Predictions

__all__ = [
    "MATCHES",
    "Dense",
    "Detections",
    "Embedding",
    "Frames",
    "Of",
    "Outputs",
    "Predictions",
    "Task",
    "check_of",
    "embeddings",
    "sides",
]
