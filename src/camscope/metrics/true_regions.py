"""Where the thing is: boxes or masks, as they are given."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from jaxtyping import Bool

from camscope.arrays import Box, to_numpy
from camscope.errors import InputError
from camscope.metrics.measured_maps import Maps, Named, check_images
from camscope.results import Explanation


def regions_of(
    regions: Any, size: Sequence[int] | None, maps: Maps, named: Named
) -> Bool[np.ndarray, " batch *size"]:
    """Regions of maps; see `region_masks`. Those of an explanation are of its input, whose size is known.

    Args:
        regions: see `region_masks`.
        size: see there.
        maps: as they were given.
        named: the same by name.

    Raises:
        InputError: see there; or if masks have another size than the input.
    """
    masks = region_masks(regions, size, named.batch, next(iter(named.maps.values())).ndim - 2)
    check_size_of_input(masks.shape[1:], maps)
    return masks


def check_size_of_input(size: Sequence[int], maps: Maps) -> None:
    """Refuse regions of another size than the input that is explained, where that is known.

    Args:
        size: of the regions.
        maps: as they were given.

    Raises:
        InputError: saying both sizes.
    """
    if isinstance(maps, Explanation) and tuple(size) != tuple(maps.input_size):
        own, expected = (" × ".join(map(str, one)) for one in (size, maps.input_size))
        raise InputError(
            f"Regions in {own} pixels, and the model's input has {expected} (rows, columns): boxes and masks are of "
            "the input, behind resize and crop, and not of the photo as it lies on disk."
        )


def region_masks(
    regions: Any, size: Sequence[int] | None, images: int, axes: int
) -> Bool[np.ndarray, " batch *size"]:
    """Regions as masks, True inside; several boxes of an image are one region.

    Args:
        regions: masks `batch *size` of booleans, or a list of one for each image; or for each image a box or a list of
            boxes, (x0, y0, x1, y1) in pixels of the model's input, the ends exclusive.
        size: of the model's input, along each axis; needed with boxes, where masks have their own.
        images: how many images the maps are of.
        axes: how many axes of space these have.

    Raises:
        InputError: if they are neither, lie outside, or are not one for each image.
    """
    if size is not None:
        check_size(size)
    if (given := masks_in(regions)) is not None:
        masks = given
        if masks.dtype != bool:
            raise InputError(
                f"Masks must hold booleans, True inside, and these hold {masks.dtype}: masks > 0."
            )
        if masks.ndim != axes + 1:
            hint = {axes: "masks[None] of one image", axes + 2: "masks[:, 0] without the axis of channels"}
            raise InputError(
                f"Masks of the shape {masks.shape}, and maps with {axes} {'axis' if axes == 1 else 'axes'} of space: "
                f"expected one mask for each image, {images} × its size"
                f"{': ' + hint[masks.ndim] if masks.ndim in hint else ''}."
            )
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
        raise InputError("Boxes are in pixels of the model's input: say its size, such as size=(224, 224).")
    boxes = image_boxes(regions, size, images)
    masks = np.zeros((images, *size), dtype=bool)
    for mask, own in zip(masks, boxes, strict=True):
        for box in own:
            mask[tuple(slice(box[axes - 1 - a], box[2 * axes - 1 - a]) for a in range(axes))] = True
    return masks


def masks_in(regions: Any) -> np.ndarray | None:
    """Regions that are masks and no boxes: an array of a pixel each, or a list of such arrays; else None.

    Args:
        regions: see `region_masks`.

    Raises:
        InputError: if the masks of a list have several sizes, or the regions are no array and no list.
    """
    if (
        isinstance(regions, (list, tuple))
        and regions
        and all(len(getattr(r, "shape", ())) > 1 for r in regions)
    ):
        every = [to_numpy(one) for one in regions]
        if all(one.shape[-1] in (4, 6) and one.dtype != bool for one in every):  # the boxes of each image
            return None
        if len({one.shape for one in every}) > 1:
            sizes = ", ".join(" × ".join(map(str, one.shape)) for one in every[:3])
            raise InputError(
                f"Masks of several sizes ({sizes}): all are of the model's input, behind resize and crop."
            )
        return np.stack(every)
    if isinstance(regions, (list, tuple)):
        return None
    if not hasattr(regions, "shape"):
        raise InputError(f"Regions {regions!r}: expected masks, or for each image a box or a list of boxes.")
    given = to_numpy(regions)
    return given if given.dtype == bool or (given.ndim > 1 and given.shape[-1] not in (2, 4, 6)) else None


def check_size(size: Any) -> None:
    """Refuse what is no size.

    Raises:
        InputError: saying what is expected.
    """
    if not isinstance(size, (list, tuple)):
        raise InputError(f"size={size!r}: expected the input's size along each axis, such as (224, 224).")


def image_boxes(regions: Any, size: Sequence[int], images: int) -> list[list[Box]]:
    """The boxes of each image.

    Args:
        regions: for each image a box or a list of boxes.
        size: of the model's input, along each axis.
        images: how many images the maps are of.

    Raises:
        InputError: if one has no extent, does not lie inside, or there are not as many lists as images.
    """
    if masks_in(regions) is not None:
        raise InputError(
            "Masks were given: expected for each image a box or a list of boxes, (x0, y0, x1, y1)."
        )
    listed = [to_numpy(own).tolist() if hasattr(own, "shape") else own for own in regions]
    if none := [image for image, own in enumerate(listed) if isinstance(own, (list, tuple)) and not own]:
        raise InputError(f"Image {none[0]} has no box: there is nothing to be found. Leave it out.")
    if listed and not isinstance(listed[0], (list, tuple)):
        raise InputError(
            f"Boxes {tuple(listed)}: expected one entry for each image, [{tuple(listed)}] for one image."
        )
    check_images("Boxes", len(listed), images)
    found = []
    for image, own in enumerate(listed):
        boxes = own if isinstance(own[0], (list, tuple)) else [own]
        found.append([_checked(box, size, image) for box in boxes])
    return found


def _checked(box: Sequence[float], size: Sequence[int], image: int) -> Box:
    ends = [*size[::-1]]
    axes = len(ends)
    whole = len(box) == 2 * axes and all(isinstance(e, Real) and float(e).is_integer() for e in box)
    if not whole or not all(0 <= box[a] < box[axes + a] <= ends[a] for a in range(axes)):
        order = "(x0, y0, x1, y1)" if axes == 2 else "(starts, then ends, the last axis first)"
        raise InputError(
            f"The box {tuple(box)} of image {image}: expected {order}, whole pixels with each start before its end, "
            f"inside an input of {' × '.join(map(str, ends))} (the last axis first)."
        )
    return tuple(int(edge) for edge in box)
