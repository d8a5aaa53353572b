"""What `explainer.trust` gives: every map's verdict, with the evidence beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from camscope.results import Explanation
from camscope.trust.probed import Probed
from camscope.trust.verdict import Judged


@dataclass(frozen=True, eq=False, repr=False)
class Judgement:
    """Whether some maps can be trusted.

        judgement = explainer.trust("photo.jpg", methods=["gradcam", "layercam"])
        judgement                    # a sentence, and a table
        judgement.rows               # one for each image, target, method and layer

    Attributes:
        explanation: the maps that were judged.
        rows: what is said of each, image by image, target by target.
        probes: what the model said of each image with cells removed, by image and grid.
        score: what of each target was probed, in words.
        seed: of the probes, the shifts and the bootstrap.
    """

    explanation: Explanation
    rows: tuple[Judged, ...]
    probes: Mapping[tuple[int, tuple[int, ...]], Probed]
    score: str
    seed: int
