"""A short test of each map of a run: does the fifth of it with most evidence say more than the fifth with least?"""

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

_FIFTH = (0.2,)
"""Of a map's cells. Of one share this tells most: over the 111 photos of `benchmarks.photos`, with the demo model, its
rank correlation with the fidelity that 128 probes measure is 0.43 (Grad-CAM) and 0.53 (LayerCAM); that of a half is
0.26 and 0.30, and that of five shares, which cost five times as much, 0.42 and 0.49."""


def trust_numbers(
    explainer: Explainer, given: Any, e: Explanation, targets: Any, seed: int
) -> Mapping[tuple[str, str], Float[np.ndarray, "batch target"]]:
    """p(the least relevant fifth blurred) − p(the most relevant fifth blurred): symmetric relevance gain at one share.

    Near 1 if what speaks for the target lies where the map says, 0 where chance would do as well, and below 0 where the
    map points away from it. It costs two forwards for each map (equal maps of an image, once) and one for each image.
    It sorts; whether a single map can be trusted is what `camscope.Explainer.trust` says, from a hundred forwards or
    more.

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
        measured = srg(explainer, given, e, targets=targets, shares=_FIFTH, seed=seed)
    return {key: measured[name] for key, name in explained_names(e).items()}


def add_trust(
    rows: Sequence[Sequence[Row]], measured: Mapping[tuple[str, str], Float[np.ndarray, "batch target"]]
) -> None:
    """Note in the rows of a batch what was measured of their maps.

    Args:
        rows: of each image.
        measured: see `trust_numbers`.
    """
    for image, of_image in enumerate(rows):
        for row in of_image:
            value = float(measured[row["method"], row["layer"]][image, row["target_number"]])
            row[TRUST] = None if math.isnan(value) else value
