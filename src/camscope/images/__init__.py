"""Photos: reading them safely, turning them into a model's input, and where a pixel lies before and after."""

from __future__ import annotations

from camscope.images.find import SAMPLE_PREFIX, SAMPLES, find_photos, is_image_name, natural_key, sample_path
from camscope.images.geometry import Geometry
from camscope.images.measured_geometry import Measured, measure
from camscope.images.photo import Photo
from camscope.images.preprocess import IMAGENET, Preprocessing
from camscope.images.quick_reading import Quick, QuickPhoto, read_quickly
from camscope.images.read import MAX_PIXELS, photo_size, read_photo, read_photo_bytes, to_photo

__all__ = [
    "IMAGENET",
    "MAX_PIXELS",
    "SAMPLES",
    "SAMPLE_PREFIX",
    "Geometry",
    "Measured",
    "Photo",
    "Preprocessing",
    "Quick",
    "QuickPhoto",
    "find_photos",
    "is_image_name",
    "measure",
    "natural_key",
    "photo_size",
    "read_photo",
    "read_photo_bytes",
    "read_quickly",
    "sample_path",
    "to_photo",
]
