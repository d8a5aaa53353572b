"""Turns what a user gives into a batch, and into what a person looks at for each of its inputs."""

from camscope.inputs.input_images import (
    InputImage,
    InputImages,
    image_of_saved,
    images_of_batch,
    images_of_texts,
    signal_of_saved,
)
from camscope.inputs.prepare import Inputs, prepare
from camscope.inputs.prepared_photos import ImagesElsewhere, PreparedPhotos
from camscope.inputs.token_numbers import names_file

__all__ = [
    "ImagesElsewhere",
    "InputImage",
    "InputImages",
    "Inputs",
    "PreparedPhotos",
    "image_of_saved",
    "images_of_batch",
    "images_of_texts",
    "names_file",
    "prepare",
    "signal_of_saved",
]
