"""The figure of the leaderboard: the fidelity of each method with its interval, and the baselines that it must beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.real_models import REAL_MODELS
from benchmarks.trust.ranking import Standing, together
from benchmarks.trust.tests_of_maps import BASELINES

_COLOURS = {"centre": "#7a5195", "mean-activation": "#ef5675", "random": "#8a8a8a"}
_METHOD, _CEILING = "#1f4e79", "#2a9d54"


def draw(file: Path, found: Mapping[str, Sequence[Standing]]) -> None:
    """A panel for each model: methods as dots, baselines as bands over the whole panel, the ceiling at the right."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    style = {
        "svg.hashsalt": "leaderboard",
        "font.size": 8,
        "svg.fonttype": "path",
        "axes.spines.right": False,
    }
    with plt.rc_context({**style, "axes.spines.top": False}):
        rows = max(len(together(standings)) - len(BASELINES) for standings in found.values())
        figure, axes = plt.subplots(
            1,
            len(found),
            figsize=(3.3 * len(found) + 0.6, 0.17 * rows + 1.2),
            squeeze=False,
            layout="constrained",
        )
        for ax, (name, standings) in zip(axes[0], found.items(), strict=True):
            _panel(ax, REAL_MODELS[name].what, standings)
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
        figure.savefig(file, metadata={"Date": None})
        plt.close(figure)


def _panel(ax: object, title: str, standings: Sequence[Standing]) -> None:
    from matplotlib.axes import Axes

    assert isinstance(ax, Axes)
    methods = [(names, s) for names, s in together(standings) if s.method not in BASELINES][::-1]
    for s in standings:
        if s.method in BASELINES:
            mean = s.means["fidelity"]
            ax.axvspan(mean.low, mean.high, color=_COLOURS[s.method], alpha=0.15, lw=0)
            ax.axvline(mean.value, color=_COLOURS[s.method], lw=1, label=s.method.replace("-", " "))
    ceiling = standings[0].means["ceiling"]
    ax.axvline(ceiling.value, color=_CEILING, lw=1, ls="--", label="ceiling: the best additive map")
    y = range(len(methods))
    means = [s.means["fidelity"] for _, s in methods]
    ax.hlines(y, [m.low for m in means], [m.high for m in means], color=_METHOD, lw=1.2)
    ax.plot([m.value for m in means], y, "o", color=_METHOD, ms=3.5, label="a method, with its 95 % interval")
    ax.set_yticks(
        y, [names[0] + (f" and {len(names) - 1} alike" if len(names) > 1 else "") for names, _ in methods]
    )
    ax.set_xlabel("fidelity (rank correlation)")
    photos = max(s.photos for s in standings)
    ax.set_title(f"{title}\n{photos} photos", fontsize=8, loc="left")
    ax.margins(y=0.03)
