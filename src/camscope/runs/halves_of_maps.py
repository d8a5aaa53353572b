"""A short test of each map of a run: does the half that it points at say more than the other half?"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from camscope.engine.explainer import Explainer
from camscope.errors import CamscopeWarning
from camscope.metrics.measured_maps import explained_names
from camscope.metrics.removal_gain import srg
from camscope.results import Explanation
from camscope.runs.row_columns import TRUST
from camscope.runs.rows_of_explanations import Row

_HALF = (0.5,)
"""Of a map's cells: one share tells nearly as well as five which maps come last."""


def better_half(
    explainer: Explainer, given: Any, e: Explanation, targets: Any, seed: int
) -> Mapping[tuple[str, str], Float[np.ndarray, "batch target"]]:
    """p(the less relevant half blurred) − p(the more relevant half blurred): symmetric relevance gain at one half.

    1 if all that speaks for the target lies where the map says, 0 where chance would do as well, and below 0 where the
    other half says more. It costs two forwards for each map (equal maps of an image, once) and one for each image. It
    sorts; whether a single map can be trusted is what `camscope.Explainer.trust` says, from a hundred forwards or more.

    Args:
        explainer: of the model.
        given: what was explained.
        e: the explanation.
        targets: of it, as they were asked for.
        seed: of the draw that orders what is equal in a map.

    Returns:
        By method and layer; NaN where a map is flat or not finite.

    Raises:
        CamscopeError: if the model cannot be run on altered inputs.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CamscopeWarning)  # they are in the notes of each row
        measured = srg(explainer, given, e, targets=targets, shares=_HALF, seed=seed)
    return {key: measured[name] for key, name in explained_names(e).items()}


def add_trust(
    rows: Sequence[Sequence[Row]], measured: Mapping[tuple[str, str], Float[np.ndarray, "batch target"]]
) -> None:
    """Note in the rows of a batch what was measured of their maps.

    Args:
        rows: of each image.
        measured: see `better_half`.
    """
    for image, of_image in enumerate(rows):
        for row in of_image:
            value = float(measured[row["method"], row["layer"]][image, row["target_number"]])
            row[TRUST] = None if math.isnan(value) else value
