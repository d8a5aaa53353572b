"""Where the thing is: boxes or masks, as they are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from camscope.arrays import Box, to_numpy
from camscope.errors import InputError
from camscope.metrics.measured_maps import Maps, check_images
from camscope.results import Explanation


def regions_of(
    regions: Any, size: Sequence[int] | None, maps: Maps, images: int
) -> Bool[np.ndarray, " batch *size"]:
    """Regions of maps; see `region_masks`. Those of an explanation are of its input, whose size is known.

    Args:
        regions: see `region_masks`.
        size: see there.
        maps: as they were given.
        images: see there.

    Raises:
        InputError: see there; or if masks have another size than the input.
    """
    masks = region_masks(regions, size, images)
    if isinstance(maps, Explanation) and masks.shape[1:] != tuple(maps.input_size):
        own, expected = (" × ".join(map(str, one)) for one in (masks.shape[1:], maps.input_size))
        raise InputError(
            f"Regions in {own} pixels, and the model's input has {expected} (rows, columns): boxes and masks are of "
            "the input, behind resize and crop, and not of the photo as it lies on disk."
        )
    return masks


def region_masks(regions: Any, size: Sequence[int] | None, images: int) -> Bool[np.ndarray, " batch *size"]:
    """Regions as masks, True inside; several boxes of an image are one region.

    Args:
        regions: masks `batch *size` of booleans; or for each image a box or a list of boxes, (x0, y0, x1, y1) in pixels
            of the model's input, the ends exclusive.
        size: of the model's input, along each axis; needed with boxes, where masks have their own.
        images: how many images the maps are of.

    Raises:
        InputError: if they are neither, lie outside, or are not one for each image.
    """
    if size is not None and not isinstance(size, (list, tuple)):
        raise InputError(f"size={size!r}: expected the input's size along each axis, such as (224, 224).")
    if hasattr(regions, "shape") and "bool" in str(regions.dtype):
        masks = to_numpy(regions)
        check_images("Masks", len(masks), images)
        if size is not None and tuple(size) != masks.shape[1:]:
            raise InputError(
                f"size={tuple(size)}: masks have a size of their own, {masks.shape[1:]}. Leave it out."
            )
        empty = np.flatnonzero(~masks.reshape(len(masks), -1).any(1))
        if empty.size:
            raise InputError(f"The mask of image {empty[0]} is empty: there is nothing to be found.")
        return np.asarray(masks)
    if size is None:
        raise InputError(
            "Boxes are in pixels of the model's input: say its size, such as size=(224, 224). Masks must hold booleans."
        )
    boxes = image_boxes(regions, size, images)
    masks = np.zeros((images, *size), dtype=bool)
    for mask, own in zip(masks, boxes, strict=True):
        for box in own:
            axes = len(size)
            mask[tuple(slice(box[axes - 1 - a], box[2 * axes - 1 - a]) for a in range(axes))] = True
    return masks


def image_boxes(regions: Any, size: Sequence[int], images: int) -> list[list[Box]]:
    """The boxes of each image.

    Args:
        regions: for each image a box or a list of boxes.
        size: of the model's input, along each axis.
        images: how many images the maps are of.

    Raises:
        InputError: if one has no extent, does not lie inside, or there are not as many lists as images.
    """
    listed = [to_numpy(own).tolist() for own in regions]
    if none := [image for image, own in enumerate(listed) if isinstance(own, list) and not own]:
        raise InputError(f"Image {none[0]} has no box: there is nothing to be found. Leave it out.")
    if listed and not isinstance(listed[0], list):
        raise InputError(
            f"Boxes {tuple(listed)}: expected one entry for each image, [{tuple(listed)}] for one image."
        )
    check_images("Boxes", len(listed), images)
    found = []
    for image, own in enumerate(listed):
        boxes = own if own and isinstance(own[0], (list, tuple)) else [own]
        found.append([_checked(box, size, image) for box in boxes])
    return found


def _checked(box: Sequence[float], size: Sequence[int], image: int) -> Box:
    ends = [*size[::-1]]
    axes = len(ends)
    whole = len(box) == 2 * axes and all(float(edge).is_integer() for edge in box)
    if not whole or not all(0 <= box[a] < box[axes + a] <= ends[a] for a in range(axes)):
        order = "(x0, y0, x1, y1)" if axes == 2 else "(starts, then ends, the last axis first)"
        raise InputError(
            f"The box {tuple(box)} of image {image}: expected {order}, whole pixels with each start before its end, "
            f"inside an input of {' × '.join(map(str, ends))} (the last axis first)."
        )
    return tuple(int(edge) for edge in box)
