"""What `explainer.trust` gives: every map's verdict, with the evidence beside it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camscope import render
from camscope.keywords import keywords
from camscope.trust import keeping
from camscope.trust.findings import Findings
from camscope.trust.shown_verdicts import verdict_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class Judgement(Findings):
    """Whether some maps can be trusted (see `camscope.trust.findings.Findings`), with ways to show and to keep it.

    judgement = explainer.trust("photo.jpg", methods=["gradcam", "layercam"])
    judgement                    # a sentence, and a table
    judgement.verdict            # the sentence
    judgement.rows               # one for each image, target, method and layer
    judgement.figure()           # the maps beside the evidence
    """

    @keywords("judgement.figure({})")
    def figure(
        self,
        image: int = 0,
        *,
        target: int | None = None,
        method: str | None = None,
        layer: str | None = None,
        **style: Any,
    ) -> Figure:
        """The maps of one image beside what their verdicts rest on, good enough for a paper.

        Of one map: the map on its photo or signal; the bar of its fidelity, with its ceiling and its 95 % interval,
        above those of its baselines and the range of the same map at other places; and what every probe removed of
        the map against what the score lost. Of several maps a row for each.

        Args:
            image: the number of the image.
            target: show only the target with this number; None shows all.
            method: show only this method; None shows all.
            layer: show only this layer; None shows all.
            style: options of `camscope.render.verdict_figure`: title, caption, colormap, opacity, width.

        Raises:
            InputError: if there is no such target, method, layer or option.
            IndexError: if there is no such image.
        """
        return verdict_figure(self, image, target=target, method=method, layer=layer, **style)

    def to_dict(self, *, probes: bool = True) -> dict[str, Any]:
        """All that was found, as plain values that JSON can store; NaN and infinity are null.

        Args:
            probes: whether what the model said of each altered input is part of it.
        """
        return keeping.to_dict(self, probes=probes)

    def save(self, path: str | Path) -> Path:
        """Write maps, probes and verdicts into one `.npz`, which opens without camscope.

        `camscope.load` reads its maps, `camscope.trust.load` the whole. Besides the arrays of an explanation (see
        `camscope.results.saving`) it holds, for each image and grid, `probes/IMAGE/GRID/removed`, `drops`, `top`,
        `clean` and `kept_probability` (see `camscope.trust.Probed`), and `judgement`: a string of JSON.

        Args:
            path: where to write; `.npz` is added if it has no suffix.

        Raises:
            InputError: if the suffix is another than `.npz`, or there is no such folder.
        """
        return keeping.save(self, path)

    def __repr__(self) -> str:
        return f"{self.verdict}\n\n{self.table().text()}"

    def _repr_html_(self) -> str:
        picture = render.html_summary(render.png(self.figure(), dpi=90), [])
        return f"<div><p>{escape(self.verdict)}</p>{picture}{self.table().html()}</div>"


def load(path: str | Path) -> Judgement:
    """Read a judgement back, with its maps and its probes.

    Args:
        path: a file that `Judgement.save` wrote.

    Raises:
        InputError: if the file is missing or holds no judgement.
    """
    return Judgement(**keeping.fields_of_saved(path))
