"""What the model said of one image with cells removed: the evidence that all its maps are judged by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True)
class Probed:
    """The probes of one image on one grid.

    Attributes:
        removed: the cells that each probe removes.
        imputers: the name of each probe's imputer.
        drops: what the score of each target loses by each probe.
        top: the top class of each probe; −1 where the model has no classes.
        changed: the share of probes whose top class is another than the image's; NaN where the model has no classes.
        kept_probability: the mean ratio of each target's probability with cells removed and without; NaN where the
            model gives no probabilities.
        share: the share of cells that a probe removes.
        clean: the score of each target with nothing removed.
    """

    removed: Bool[np.ndarray, " probe *grid"]
    imputers: tuple[str, ...]
    drops: Float[np.ndarray, "probe target"]
    top: Int[np.ndarray, " probe"]
    changed: float
    kept_probability: Float[np.ndarray, " target"]
    share: float
    clean: Float[np.ndarray, " target"]
