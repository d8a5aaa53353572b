"""What each library says of its models, and loading models by name. Each library has a file or a folder."""

from camscope.libraries.info import ModelInfo, Prepared
from camscope.libraries.loading import load_model
from camscope.libraries.registry import (
    LIBRARIES,
    Library,
    recognise,
    register_library,
    sound_reader,
    text_reader,
)

__all__ = [
    "LIBRARIES",
    "Library",
    "ModelInfo",
    "Prepared",
    "load_model",
    "recognise",
    "register_library",
    "sound_reader",
    "text_reader",
]
