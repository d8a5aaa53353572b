"""History: what a recorder kept, with ways to show it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from camscope import render
from camscope.results.figures.options import naming_unknown_options
from camscope.watching import evolution
from camscope.watching.records import Records
from camscope.watching.settling import Settling, settling

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class History(Records):
    """The maps of a training by step, sample and target (see `camscope.watching.records.Records`), with their figures.

    history = camscope.History.open("runs/cats")
    history.maps.shape            # step × sample × target × height × width
    history.figure()              # samples × steps, each with its probability
    history.at_epochs([5, 50]).figure()
    history.settling(box=(8, 8, 24, 24)).mass

    Example:
        >>> recorder = camscope.Recorder("watched", x, targets=[281])
        >>> for step in range(4):  # of a training
        ...     recorder.step(model)
        >>> camscope.History.open("watched").steps.tolist()
        [1, 2, 4]
    """

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open the folder of a recorder, or of a run that has one in `maps`, also while the training runs.

        Args:
            folder: the folder.

        Raises:
            InputError: if it holds no history; the message says where one is.
        """
        return cls.read(folder)

    def figure(
        self,
        *,
        steps: Sequence[int] | None = None,
        samples: Sequence[int | str] | None = None,
        target: int | None = None,
        **style: Any,
    ) -> Figure:
        """Samples × steps: the input first, then a heatmap for each step with its probability.

        Args:
            steps: of which there are looks; a negative one counts from the end. None chooses up to eight of them,
                evenly among those there are.
            samples: numbers or names; None shows all, or the first ones of many.
            target: show only the target with this number; None shows all.
            style: `scale` (`map`, `sample` or `history`), `box`, and the options of `camscope.render.figure`.

        Raises:
            InputError: if there was no look after a step, the samples are no pictures, or an option is not valid.
        """
        shown = self.at_steps(self.chosen_steps() if steps is None else steps)
        if samples is not None:
            shown, style = shown.of_samples(samples), {"most_rows": None, **style}
        with naming_unknown_options(style, evolution.evolution_figure, render.figure):
            return evolution.evolution_figure(shown, target=target, **style)

    def animation(
        self, path: str | Path, *, samples: Sequence[int | str] | None = None, **options: Any
    ) -> Path:
        """Write an animated WebP with a frame for each look.

        Args:
            path: where to; the suffix is `.webp`.
            samples: numbers or names; None shows all, or the first ones of many.
            options: `target`, `seconds`, and options of `camscope.render.overlay`.

        Raises:
            InputError: if the samples are no pictures, or an option is not valid.
        """
        with naming_unknown_options(options, evolution.animation, render.overlay):
            shown = self
            if samples is not None:
                shown, options = self.of_samples(samples), {"most_tiles": None, **options}
            return evolution.animation(shown, path, **options)

    def settling(
        self,
        *,
        box: Sequence[float] | Sequence[Sequence[float]] | None = None,
        mask: Any = None,
    ) -> Settling:
        """How looking settles: similarity to the last map; mass and peak in a region, if one is given.

        Args:
            box: where the map should be: x0, y0, x1, y1 in pixels of the model's input, or one such for each sample.
            mask: the same as an array `height width`, or one for each sample.

        Raises:
            InputError: if both are given, or one does not fit the input.
        """
        return settling(self, box=box, mask=mask)

    def curve_figure(
        self,
        *,
        box: Sequence[float] | Sequence[Sequence[float]] | None = None,
        mask: Any = None,
        **style: Any,
    ) -> Figure:
        """The curves of `settling` as a figure.

        Args:
            box: see `settling`.
            mask: see `settling`.
            style: options of `camscope.render.curve_figure`.

        Raises:
            InputError: see `settling`; or if an option is not valid.
        """
        with naming_unknown_options(style, render.curve_figure):
            return evolution.settling_figure(self, self.settling(box=box, mask=mask), **style)
