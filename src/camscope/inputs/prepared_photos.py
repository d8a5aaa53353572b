"""Photos that were read and preprocessed elsewhere, by another process say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from camscope.images import Geometry
from camscope.inputs.input_images import InputImage, InputImages


class ImagesElsewhere(InputImages):
    """Input images of which only the geometry is at hand; each picture is read when it is looked at.

    Args:
        makers: a function for each that reads its picture.
        geometries: how the pixels of each map to the model's input.
    """

    def __init__(self, makers: Sequence[Callable[[], InputImage]], geometries: Sequence[Geometry]) -> None:
        super().__init__(makers)
        self._reading, self._geometries = tuple(makers), tuple(geometries)

    def geometry(self, image: int) -> Geometry:
        """How the pixels of a picture map to the model's input; the picture is not read."""
        return self._geometries[image]

    def only(self, images: Sequence[int]) -> InputImages:
        """The images of some inputs, as those of a batch."""
        return ImagesElsewhere([self._reading[i] for i in images], [self._geometries[i] for i in images])


@dataclass(frozen=True, eq=False)
class PreparedPhotos:
    """A batch of photos as `camscope.Preprocessing` makes it, which an `Explainer` takes in place of the photos.

    Attributes:
        array: the model's input.
        images: what a person looks at.
    """

    array: Float32[np.ndarray, "batch channel height width"]
    images: InputImages
