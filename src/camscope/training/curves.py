"""Figures of a training: its curves, its confusions, and what the learning-rate finder saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from camscope.render.page import PLAIN, Page
from camscope.render.surface import INK, SOFT
from camscope.training.progress import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAIN, HELD_OUT = "#c44e22", "#1f5fa8"
_MOST_NAMED = 40
_MOST_WRITTEN = 20
_MOST_UPRIGHT = 3  # letters of a class that stand side by side under their columns


def curves_figure(history: Sequence[Row], score: str, title: str = "") -> Figure:
    """The losses and a score, epoch by epoch; the best epoch is marked.

    Args:
        history: a row for each epoch, at least one.
        score: which score of it.
        title: above the curves.
    """
    page = Page(8.0, 3.3)
    left, right = page.figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    best = max(history, key=lambda row: (row[score], -row["val_loss"]))
    marker = "o" if len(history) < 40 else None
    for name, colour, label in (("train_loss", TRAIN, "training"), ("val_loss", HELD_OUT, "held out")):
        left.plot(epochs, [row[name] for row in history], color=colour, label=label, marker=marker, ms=3)
    left.set_ylabel("loss")
    left.legend(frameon=False, fontsize=9)
    right.plot(epochs, [row[score] for row in history], color=HELD_OUT, marker=marker, ms=3)
    right.plot(best["epoch"], best[score], "o", mfc="none", mec=INK, ms=9)
    right.set_ylabel(f"{score.replace('_', ' ')} (held out)")
    right.annotate(
        f"{best[score]:.4g} in epoch {int(best['epoch'])}",
        (best["epoch"], best[score]),
        xytext=(0.97, 0.06),
        textcoords="axes fraction",
        ha="right",
        fontsize=9,
        color=INK,
    )
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        _quiet(axes)
    _title(page, title)
    return page.figure


def confusion_figure(
    confusion: Int[np.ndarray, "truth predicted"], classes: Sequence[str], title: str = ""
) -> Figure:
    """How many images of each class were taken for which; the colours are shares of the class.

    Args:
        confusion: the counts.
        classes: their names.
        title: above it.
    """
    count = len(classes)
    side = float(np.clip(0.42 * count, 2.4, 9.0))
    page = Page(side + 2.2, side + 1.7)
    axes = page.figure.add_subplot()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if count <= _MOST_NAMED:
        turned = 90 if max(map(len, classes)) > _MOST_UPRIGHT else 0
        axes.set_xticks(
            range(count), [_short(name) for name in classes], rotation=turned, fontsize=8, **PLAIN
        )
        axes.set_yticks(range(count), [_short(name) for name in classes], fontsize=8, **PLAIN)
    if count <= _MOST_WRITTEN:
        for (truth, said), number in np.ndenumerate(confusion):
            if number:
                colour = "white" if shares[truth, said] > 0.55 else INK
                axes.text(said, truth, str(number), ha="center", va="center", color=colour, fontsize=8)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.tick_params(length=0, colors=INK)
    for spine in axes.spines.values():
        spine.set(color=SOFT, linewidth=0.4)
    _title(page, title)
    return page.figure


def rate_figure(
    rates: Float[np.ndarray, " step"], losses: Float[np.ndarray, " step"], suggestion: float
) -> Figure:
    """The loss against the learning rate.

    Args:
        rates: of each step.
        losses: likewise.
        suggestion: the learning rate that is marked.
    """
    page = Page(5.5, 3.6)
    axes = page.figure.add_subplot()
    axes.plot(rates[:-5], losses[:-5], color=HELD_OUT)
    axes.axvline(suggestion, color=TRAIN, lw=1, ls="--")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss (smoothed)")
    low = float(np.median(np.log10(rates[:-5]))) > np.log10(suggestion)
    axes.annotate(
        f" {suggestion:.1e} ",
        (suggestion, 0.96),
        xycoords=("data", "axes fraction"),
        ha="left" if low else "right",
        va="top",
        color=TRAIN,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )
    _quiet(axes)
    _title(page, "")
    return page.figure


def _quiet(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=SOFT, labelsize=9)


def _title(page: Page, title: str) -> None:
    options: dict[str, Any] = PLAIN
    if title:
        page.figure.suptitle(title, fontsize=10, color=INK, **options)
    page.figure.tight_layout()


def _short(name: str, most: int = 18) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
