"""Formulas as drawings in the page, by matplotlib's own TeX: no script, no font, the same in every browser."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
from docutils import nodes
from matplotlib import rc_context
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextToPath

_LETTERS = {
    Path.MOVETO: "M",
    Path.LINETO: "L",
    Path.CURVE3: "Q",
    Path.CURVE4: "C",
    Path.CLOSEPOLY: "Z",
}


def drawn(tex: str, *, scale: float = 1.1) -> str:
    """A formula as SVG in the colour of the text around it, standing on its line.

    Args:
        tex: what stands between the dollar signs.
        scale: how large, in sizes of the text around it.
    """
    draw, text = TextToPath(), f"${' '.join(tex.split())}$"
    with rc_context({"mathtext.fontset": "stix"}):
        font = FontProperties(size=draw.FONT_SCALE)
        width, height, depth = draw.get_text_width_height_descent(
            text, font, ismath=True
        )
        corners, codes = draw.get_text_path(font, text, ismath=True)
    shape = Path(np.array(corners) * (1, -1), codes)  # the page counts from the top
    steps = (
        _LETTERS[code]
        + " ".join(
            f"{value:.1f}" for value in ([] if code == Path.CLOSEPOLY else points)
        )
        for points, code in shape.iter_segments(curves=True, simplify=False)
    )
    em = scale / draw.FONT_SCALE
    style = f"width:{width * em:.3f}em;height:{height * em:.3f}em;vertical-align:{-depth * em:.3f}em"
    box = f"0 {depth - height:.1f} {width:.1f} {height:.1f}"
    return (
        f'<svg class="formula" role="img" aria-label="{escape(tex)}" style="{style}" viewBox="{box}">'
        f'<path fill="currentColor" d="{"".join(steps)}"/></svg>'
    )


def in_line(self: Any, node: nodes.math) -> None:
    """A formula in a line of text."""
    self.body.append(drawn(node.astext()))
    raise nodes.SkipNode


def displayed(self: Any, node: nodes.math_block) -> None:
    """A formula that stands alone; where it is wider than the page it scrolls."""
    tex = node.astext().replace(r"\frac", r"\dfrac")
    self.body.append(f'<div class="formula">{drawn(tex, scale=1.3)}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Make it known to Sphinx."""
    app.add_html_math_renderer("drawn", (in_line, None), (displayed, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
