"""`camscope.fuse`: one map from maps that one already has."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from camscope.arrays import Array
from camscope.composition import fuse_maps
from camscope.errors import InputError, nearest
from camscope.images import Geometry
from camscope.keywords import keywords
from camscope.results.explanation import Explanation
from camscope.results.map_data import MethodFacts

_WAYS = ("max", "product", "mean", "cascade")


@keywords("camscope.fuse(maps, {})")
def fuse(maps: Any, *others: Any, how: str = "mean", gamma: float = 2.0) -> Any:
    """One map from several that are there: of other methods, layers or models, or made by someone else.

        camscope.fuse(e, how="max")                        # all methods and layers of an explanation
        camscope.fuse(e["gradcam"], other["layercam"])     # two explanations of the same images and targets
        camscope.fuse([one, two, three])                   # arrays (batch, target, *space) or (height, width)

    Only what speaks for a target counts: maps are rectified first. The result has the finest resolution of all.
    `fuse(layercam, max)` as a method does the same with the layers of one model, from one forward. Maps of arrays are
    taken to cover the same picture; where one of them is NaN (what a crop has cut off), so is the result.

    Args:
        maps: an explanation, or a list of explanations or of arrays of one library.
        others: more explanations or arrays.
        how: `mean` or `product` of the maps, each scaled to [0, 1]; `max`, the largest at each position, all but the
            last softened by tanh(γ · M / max M) (LayerCAM, eq. 9: give the deepest last); `cascade` (Poly-CAM: from
            the last to the first, which may have an ever finer resolution).
        gamma: γ of the tanh.

    Returns:
        An Explanation with one map for each target, or an array, as the maps were given.

    Raises:
        InputError: if there is nothing to fuse, or what is given is of other images, other parts of them, or other
            targets or shapes.

    Example:
        >>> e = camscope.explain(model, x, methods=["gradcam", "layercam"])
        >>> camscope.fuse(e.maps("gradcam"), e.maps("layercam"), how="mean").shape
        torch.Size([2, 1, 3, 3])
    """
    if how not in _WAYS:
        raise InputError(f"how={how!r}: expected one of {', '.join(_WAYS)}.{nearest(str(how), _WAYS)}")
    if isinstance(gamma, bool) or not isinstance(gamma, (int, float)) or not 0 <= gamma < math.inf:
        raise InputError(f"gamma={gamma!r}: expected a number, at least 0.")
    given = [*(maps if isinstance(maps, (list, tuple)) else [maps]), *others]
    if given and all(isinstance(one, Explanation) for one in given):
        return _of_explanations(given, how, gamma)
    if any(not hasattr(one, "shape") for one in given):
        kinds = ", ".join(sorted({type(one).__name__ for one in given}))
        raise InputError(f"fuse takes explanations, or arrays of maps; got {kinds}.")
    return _of_arrays(given, how, gamma)


def _of_arrays(given: Sequence[Array], how: Any, gamma: float) -> Array:
    if len(given) < 2:
        raise InputError("fuse takes two maps or more: camscope.fuse([one, other]).")
    axes = sorted({len(one.shape) for one in given})
    if len(axes) > 1 or axes[0] < 2:
        raise InputError(
            f"The maps have the shapes {', '.join(str(tuple(one.shape)) for one in given)}; expected all of one kind: "
            "(height, width), or (batch, target, *space)."
        )
    single = axes[0] == 2
    rows = {tuple(one.shape[:2]) for one in given}
    if not single and len(rows) > 1:
        raise InputError(
            f"The maps are of {' and '.join(map(str, sorted(rows)))} images and targets; expected the same."
        )
    try:
        xp = array_namespace(*given)
    except TypeError as error:
        kinds = ", ".join(dict.fromkeys(f"{type(one).__module__}.{type(one).__name__}" for one in given))
        raise InputError(f"The maps are arrays of several libraries ({kinds}); expected one.") from error
    if any(xp.isdtype(one.dtype, "complex floating") or bool(xp.any(xp.isinf(one))) for one in given):
        raise InputError("Maps hold real numbers, no infinity; NaN stands for what was not seen.")
    whole = [
        xp.astype(one, xp.float32) if not xp.isdtype(one.dtype, "real floating") else one for one in given
    ]
    unseen = [xp.isnan(one) for one in whole]
    holes = any(bool(xp.any(one)) for one in unseen)
    if holes and len({tuple(one.shape) for one in given}) > 1:
        raise InputError(
            "Maps that hold NaN, for what was not seen, are fused place by place: give them in one size."
        )
    if holes:
        whole = [xp.where(hole, xp.zeros_like(one), one) for hole, one in zip(unseen, whole, strict=True)]
    fused = fuse_maps([one[None, None] for one in whole] if single else whole, how, gamma)
    fused = fused[0, 0] if single else fused
    if holes:
        anywhere = functools.reduce(xp.logical_or, unseen)
        fused = xp.where(anywhere, xp.full_like(fused, xp.nan), fused)
    return fused


def _of_explanations(every: Sequence[Explanation], how: Any, gamma: float) -> Explanation:
    first = every[0]
    keys = [(e, key) for e in every for key in e.raw]
    if len(keys) < 2:
        raise InputError(
            "There is one map of each target here, and nothing to fuse it with. Explain by several methods or layers, "
            "or give another explanation: camscope.fuse(one, other)."
        )
    for number, e in enumerate(every):
        if len(e) != len(first) or [len(t) for t in e.targets] != [len(t) for t in first.targets]:
            raise InputError(
                f"Explanation {number} has {len(e)} images with {len(e.targets[0])} targets each, the first has "
                f"{len(first)} with {len(first.targets[0])}; expected the same."
            )
        if e.spans:
            raise InputError(
                "Maps of texts of several lengths are fused by the method: methods='fuse(layercam, max)'."
            )
        names = [[target.label for target in targets] for targets in e.targets]
        if names != [[target.label for target in targets] for targets in first.targets]:
            raise InputError(
                f"Explanation {number} is of other targets than the first: {names[0][0]!r}, say. Give both the same "
                "targets=."
            )
        for image in range(len(e)):
            _check_same_place(number, e, first, image)
    maps = [e.raw[key] for e, key in keys]
    methods = list(dict.fromkeys(method for _, (method, _) in keys))
    layers = list(dict.fromkeys(layer for _, (_, layer) in keys))
    name, layer = f"fused({', '.join(methods)}, {how})", ", ".join(layers)
    specific = any(e.facts[method].class_specific for e, (method, _) in keys)
    papers = "; ".join(dict.fromkeys(filter(None, (e.facts[method].paper for e, (method, _) in keys))))
    return dataclasses.replace(
        first,
        raw={(name, layer): fuse_maps(maps, how, gamma)},
        facts={name: MethodFacts(papers, rectified=False, class_specific=specific)},
        notes=tuple(dict.fromkeys(note for e in every for note in e.notes)),
        gradient_free={(name, layer): np.logical_and.reduce([e.gradient_free[key] for e, key in keys])}
        if all(key in e.gradient_free for e, key in keys)
        else {},
        channels={},
        provenance={**first.provenance, "methods": {name: papers}, "fused": [list(key) for _, key in keys]},
    )


_SAME_PLACE = 0.01
"""By so much of an input's side two maps may be apart: sizes are rounded to pixels before a photo is cropped."""


def _check_same_place(number: int, e: Explanation, first: Explanation, image: int) -> None:
    """Refuse maps of other photos, or of other parts of the same photo.

    Raises:
        InputError: saying which.
    """
    if e is first or not (e.input_images.has(image) and first.input_images.has(image)):
        return
    one, other = e.input_images[image], first.input_images[image]
    if None not in (one.source, other.source) and one.source != other.source and one.picture != other.picture:
        raise InputError(
            f"Explanation {number} is of other images than the first: {one.source} and {other.source}, say. Their maps "
            "have nothing to do with each other."
        )
    if not np.allclose(_place_of(one.geometry), _place_of(other.geometry), rtol=0, atol=_SAME_PLACE):
        raise InputError(
            f"Explanation {number} is of another part of the photo than the first: its preprocessing crops or pads in "
            "another way. Give both models the same preprocessing=, or fuse the maps as they lie on the photo: "
            "camscope.fuse(one.photo_heatmaps()[0], other.photo_heatmaps()[0])."
        )


def _place_of(geometry: Geometry) -> tuple[float, ...]:
    """Where the photo begins, and how long it is, along each axis in shares of the input."""
    sides = zip(geometry.offset, geometry.photo_size, geometry.scale, geometry.input_size, strict=True)
    return tuple(
        part for offset, photo, scale, whole in sides for part in (offset / whole, photo * scale / whole)
    )
