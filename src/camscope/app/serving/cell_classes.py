"""What each cell of a photo says for every class, where the head is linear and so this is exact."""

from __future__ import annotations

from typing import Any

import numpy as np

from camscope.app.serving.held_models import HeldModel
from camscope.app.serving.held_photos import Given
from camscope.app.serving.wishes import Cells
from camscope.arrays import to_numpy
from camscope.errors import InputError, LayerError, MethodError
from camscope.methods.cam import cam
from camscope.methods.registry import method_of
from camscope.targets import AllClasses, class_name

_EXACT = method_of(cam).name
"""The method that is the part of each cell in a logit, where the head is linear."""


def cell_classes(model: HeldModel, photo: Given, wish: Cells) -> dict[str, Any]:
    """The classes that cells speak for: w_c · F(cell), whose mean over the cells is the logit but for its bias.

    Args:
        model: that is asked.
        photo: the photo.
        wish: of which layer, and how many classes of each cell.

    Raises:
        InputError: if there is no such cell.
        CamscopeError: if the model does not take the photo.
    """
    explainer = model.takes(photo)
    try:
        e = explainer(photo, methods=_EXACT, layers=wish.layer, targets=AllClasses())
    except (MethodError, LayerError) as error:
        return {
            "exact": False,
            "why": str(error),
            "layer": wish.layer,
            "grid": None,
            "cells": [],
            "classes": {},
        }
    ((_, layer), maps), *_ = e.raw.items()
    every = np.asarray(to_numpy(maps)[0], np.float64)
    rows, columns = every.shape[1:]
    if wish.row is not None and wish.column is not None:
        if wish.row >= rows or wish.column >= columns:
            raise InputError(
                f"There is no cell ({wish.row}, {wish.column}): the layer {layer} has {rows} × {columns}, from 0."
            )
        every = every[:, wish.row : wish.row + 1, wish.column : wish.column + 1]
    best = np.argsort(-every, axis=0, kind="stable")[: wish.top]
    values = np.take_along_axis(every, best, axis=0)
    cells = [
        [
            {"index": int(c), "value": float(v)}
            for c, v in zip(best[:, row, column], values[:, row, column], strict=True)
        ]
        for row in range(every.shape[1])
        for column in range(every.shape[2])
    ]
    names = {int(c): class_name(int(c), e.class_names) for c in np.unique(best)}
    return {
        "exact": True,
        "why": "",
        "layer": layer,
        "grid": [rows, columns],
        "cells": cells,
        "classes": names,
    }
