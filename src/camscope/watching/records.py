"""What a recorder kept, read back: arrays by step, sample and target."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Bool, Float, Int

from camscope.arrays import whole
from camscope.errors import CamscopeWarning, InputError, nearest
from camscope.watching.heat import Shared, heatmaps
from camscope.watching.looks import Look, only_samples
from camscope.watching.shards import BROKEN, SAMPLES, path_of, read_look, steps_in
from camscope.watching.watched_samples import Samples, read_samples


@dataclass(frozen=True, eq=False, repr=False)
class Records:
    """The looks at a model in training. Immutable.

    Attributes:
        folder: where they were read from.
        samples: the samples, and what stays the same: method, layer, class names.
        looks: by their steps.
        missing: the looks that could not be kept: step, epoch and reason.
    """

    folder: Path
    samples: Samples
    looks: tuple[Look, ...]
    missing: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Read what is there, also while the training runs. Files that are not whole are left out, with a warning.

        Args:
            folder: the recorder's; or that of a run, in which it is called `maps`.

        Raises:
            InputError: if there is no history; the message says where one would be.
        """
        folder = _found(Path(folder))
        try:
            samples = read_samples(folder)
        except BROKEN as error:
            raise InputError(f"{folder / SAMPLES} is not what a recorder wrote: {error}.") from error
        looks: list[Look] = []
        missing: list[Mapping[str, Any]] = []
        for step in steps_in(folder):
            try:
                look, lost = read_look(path_of(folder, step), len(samples))
                _check_fits(look, looks)
            except FileNotFoundError:
                continue  # a training that goes on from a checkpoint has just taken it away
            except BROKEN as error:
                missing.append(_broken(path_of(folder, step), step, error))
                continue
            looks.append(look)
            missing += lost
        if not looks:
            raise InputError(
                f"{folder} holds no look yet{' that can be read' if missing else ''}: the first one comes with "
                "recorder.start(model), or after the first step."
            )
        return cls(folder, samples, tuple(looks), tuple(missing))

    def __repr__(self) -> str:
        count, steps = len(self), f"steps {self.steps[0]} to {self.steps[-1]}"
        lost = f", {len(self.missing)} missing" if self.missing else ""
        return (
            f"{type(self).__name__}({count} looks, {steps}, {len(self.samples)} samples, {self.samples.method} at "
            f"{self.samples.layer}{lost})"
        )

    def __len__(self) -> int:
        return len(self.looks)

    def has_grown(self) -> bool:
        """Whether there are other looks in the folder by now."""
        known = {*self.steps.tolist(), *(lost["step"] for lost in self.missing)}
        return not known.issuperset(steps_in(self.folder))

    # ------------------------------------------------------------------ arrays

    @cached_property
    def steps(self) -> Int[np.ndarray, " step"]:
        """How many optimiser steps were done."""
        return np.array([look.moment.step for look in self.looks])

    @cached_property
    def epochs(self) -> Int[np.ndarray, " step"]:
        """How many epochs were finished."""
        return np.array([look.moment.epoch for look in self.looks])

    @cached_property
    def epoch_ends(self) -> Bool[np.ndarray, " step"]:
        """Which looks were taken at the end of an epoch."""
        return np.array([look.moment.epoch_end for look in self.looks])

    @property
    def maps(self) -> Float[np.ndarray, "step sample target *space"]:
        """The raw signed maps at the layer's resolution, as precise as half precision is to each map's maximum."""
        halves = np.stack([look.maps for look in self.looks])
        return whole(halves, np.stack([look.scales for look in self.looks]))

    @property
    def scores(self) -> Float[np.ndarray, "step sample target"]:
        """The explained scores: logits, if nothing else was asked for."""
        return np.stack([look.scores for look in self.looks])

    @property
    def probabilities(self) -> Float[np.ndarray, "step sample target"]:
        """Of the explained classes; NaN where a target has none."""
        return np.stack([look.probabilities for look in self.looks])

    @property
    def classes(self) -> Int[np.ndarray, "step sample target"]:
        """The explained classes; −1 where a target is of none."""
        return np.stack([look.classes for look in self.looks])

    @property
    def top(self) -> Int[np.ndarray, "step sample"]:
        """Each sample's top class."""
        return np.stack([look.top for look in self.looks])

    @property
    def top_probabilities(self) -> Float[np.ndarray, "step sample"]:
        """The probability of each sample's top class."""
        return np.stack([look.top_probabilities for look in self.looks])

    @property
    def weights(self) -> tuple[str, ...]:
        """A digest of the model's weights at each look."""
        return tuple(look.weights for look in self.looks)

    def numbers(self, name: str) -> Float[np.ndarray, " step"]:
        """What was given by a name, such as `loss`, `metric` or `learning_rate`; NaN where it was not.

        Of several learning rates it is the highest.

        Args:
            name: one of `number_names`.

        Raises:
            InputError: if nothing was given by that name.
        """
        if name not in self.number_names:
            known = ", ".join(self.number_names) or "none"
            raise InputError(
                f"No {name!r} was given to the recorder; these were: {known}.{nearest(name, self.number_names)}"
            )
        found = (look.moment.numbers.get(name, np.nan) for look in self.looks)
        return np.array([max(value) if isinstance(value, list) else value for value in found])

    @property
    def number_names(self) -> tuple[str, ...]:
        """The names of the numbers that were given to the recorder."""
        return tuple(dict.fromkeys(name for look in self.looks for name in look.moment.numbers))

    def heatmaps(self, *, scale: Shared = "map") -> Float[np.ndarray, "step sample target *input_size"]:
        """Heatmaps in [0, 1] at the size of the model's input.

        Args:
            scale: `map` (each map fills it), `sample` (all maps of a sample and target share one) or `history`.

        Raises:
            InputError: if it is no scale.
        """
        return heatmaps(self.maps, self.samples, shared=scale)

    # ------------------------------------------------------------------ some of it

    def at_steps(self, steps: Sequence[int]) -> Self:
        """The looks after these steps alone.

        Args:
            steps: of which there are looks; a negative one counts looks from the end, −1 is the last.

        Raises:
            InputError: if there was none; the message names the nearest.
        """
        known = self.steps.tolist()
        wanted = [known[step] if -len(known) <= step < 0 else step for step in steps]
        if not wanted:
            raise InputError("The list of steps is empty. Leave it out to have some chosen.")
        for step in wanted:
            if step not in known:
                near = min(known, key=lambda each: abs(each - step))
                raise InputError(
                    f"There is no look after step {step}{self._why_missing(step)}. The nearest is step {near}; there "
                    f"are {_few(known)}."
                )
        return self._only([known.index(step) for step in wanted])

    def at_epochs(self, epochs: Sequence[int]) -> Self:
        """The looks at the ends of these epochs alone, counted from 1; 0 is the look before the training.

        Raises:
            InputError: if there was none; the message names those there are.
        """
        ends = {int(look.moment.epoch): i for i, look in enumerate(self.looks) if look.moment.epoch_end}
        if self.looks[0].moment.step == 0:
            ends[0] = 0
        if not any(ends):
            raise InputError(
                f"{self.folder} holds no end of an epoch: recorder.epoch(model) was not called. Say steps: there are "
                f"{_few(self.steps.tolist())}."
            )
        for epoch in epochs:
            if epoch not in ends:
                raise InputError(
                    f"There is no look at the end of epoch {epoch}; there are {_few(sorted(ends))}."
                )
        return self._only([ends[epoch] for epoch in epochs])

    def of_samples(self, samples: Sequence[int | str]) -> Self:
        """These samples alone.

        Args:
            samples: their numbers from 0, their names, or labels that only one has.

        Raises:
            InputError: if there is none; the message names the nearest.
        """
        rows = [self._number_of(which) for which in samples]
        if not rows:
            raise InputError("The list of samples is empty. Leave it out to have all.")
        looks = tuple(only_samples(look, rows) for look in self.looks)
        return type(self)(self.folder, self.samples.only(rows), looks, self.missing)

    def chosen_steps(self, count: int = 8) -> list[int]:
        """The steps of a few looks from the first to the last, evenly among those there are.

        Args:
            count: how many at most.
        """
        places = np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(int)
        return [int(step) for step in self.steps[np.unique(places)]]

    def _number_of(self, which: int | str) -> int:
        names, labels = self.samples.names, self.samples.labels
        for words in (names, labels):
            if isinstance(which, str) and words.count(which) == 1:
                return words.index(which)
        if isinstance(which, (int, np.integer)) and 0 <= which < len(names):
            return int(which)
        raise InputError(
            f"There is no sample {which!r}; there are {', '.join(names)}, or numbers from 0 to {len(names) - 1}."
            f"{nearest(str(which), [*names, *filter(None, labels)])}"
        )

    def _only(self, places: Sequence[int]) -> Self:
        return type(self)(self.folder, self.samples, tuple(self.looks[i] for i in places), self.missing)

    def _why_missing(self, step: int) -> str:
        why = next((lost["reason"] for lost in self.missing if lost["step"] == step), None)
        return "" if why is None else f" (it could not be kept: {why})"


def _found(folder: Path) -> Path:
    """The folder that holds a history: the one that was given, or `maps` in it."""
    for place in (folder, folder / "maps"):
        if (place / SAMPLES).is_file():
            return place
    if not folder.exists():
        beside = [path.name for path in folder.parent.iterdir()] if folder.parent.is_dir() else []
        run = "runs" / folder
        hint = f" Did you mean {run}?" if run.is_dir() else nearest(folder.name, beside)
        raise InputError(f"There is no folder {folder}.{hint}")
    if not folder.is_dir():
        raise InputError(f"{folder} is a file. Give the folder that a Recorder wrote to, or that of a run.")
    inside = [path.parent for path in sorted(folder.glob(f"*/{SAMPLES}"))]
    inside += [path.parent.parent for path in sorted(folder.glob(f"*/maps/{SAMPLES}"))]
    hint = f" Did you mean {' or '.join(map(str, inside[:3]))}?" if inside else ""
    raise InputError(
        f"{folder} holds no history: neither it nor its folder maps has a file {SAMPLES}. A history is written by "
        f"camscope.Recorder(folder, samples), or by camscope train.{hint}"
    )


def _check_fits(look: Look, before: Sequence[Look]) -> None:
    if before and look.maps.shape != before[0].maps.shape:
        raise ValueError(f"its maps have shape {look.maps.shape}, those before {before[0].maps.shape}")


def _broken(path: Path, step: int, error: Exception) -> dict[str, Any]:
    """What is missing because a file is not whole; said as a warning too."""
    reason = f"{path.name} is not whole: {error.args[0] if isinstance(error, KeyError) else error}"
    warnings.warn(f"{reason}. It was left out.", CamscopeWarning, stacklevel=4)
    return {"step": step, "epoch": -1, "epoch_end": False, "reason": reason}


def _few(numbers: Sequence[int]) -> str:
    """Numbers in words: all of a few; of many the first and the last."""
    words = [str(number) for number in numbers]
    return ", ".join(words if len(words) <= 12 else [*words[:8], "…", *words[-2:]])
