"""What each library says of its models, a file or a folder each, and models by name."""

from camscope.libraries.info import ModelInfo, Prepared
from camscope.libraries.loading import load_model
from camscope.libraries.registry import LIBRARIES, Library, recognise, register_library, text_reader

__all__ = [
    "LIBRARIES",
    "Library",
    "ModelInfo",
    "Prepared",
    "load_model",
    "recognise",
    "register_library",
    "text_reader",
]
