"""A training that is looked at in a browser: its samples, and their maps step by step, also while it goes on."""

from __future__ import annotations

import threading
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from camscope.app.view import about_method, address_of, base64_of
from camscope.errors import CamscopeWarning, InputError
from camscope.images import Geometry
from camscope.results.saving import finite
from camscope.watching import History
from camscope.watching.evolution import moment_title, row_title
from camscope.watching.heat import enlarged

_AGAIN = 1.0
"""Seconds between two looks at whether a training has gone on."""


@dataclass(eq=False)
class FollowedTraining:
    """A training, read again where it has gone on.

    Attributes:
        path: the folder of its recorder, or the run's that has one in `maps`.
        id: by which the page asks for it.
    """

    path: Path
    id: str
    _history: History | None = None
    _looked: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.path.resolve().name

    @property
    def history(self) -> History:
        """What there is by now.

        Raises:
            InputError: if it is no training, or there was no look yet.
        """
        with self._lock:
            now = time.monotonic()
            if self._history is None or now - self._looked > _AGAIN:
                if self._history is None or self._history.has_grown():
                    with warnings.catch_warnings():
                        warnings.simplefilter(
                            "ignore", CamscopeWarning
                        )  # what is missing is told to the page
                        self._history = History.open(self.path)
                self._looked = now
            return self._history

    def about(self) -> dict[str, Any]:
        """What the page is told of the training as a whole; it asks again to follow it.

        Raises:
            InputError: if the samples are no pictures.
        """
        history = self.history
        s = history.samples
        if s.pictures is None or history.looks[0].maps.ndim != 4:
            raise InputError(
                f"The samples of '{self.name}' are no pictures, so the page has nothing to lay their maps on: "
                "camscope evolve shows the curves of how they settle."
            )
        told: dict[str, Any] = finite(
            {
                "id": self.id,
                "name": self.name,
                "model": str(s.about.get("model_name") or s.about.get("model") or ""),
                "method": about_method(s.method, "", rectified=s.rectified),
                "layer": s.layer,
                "class_names": None if s.class_names is None else list(s.class_names),
                "moments": [
                    {
                        "step": look.moment.step,
                        "epoch": look.moment.epoch,
                        "epoch_end": look.moment.epoch_end,
                        "title": moment_title(look.moment),
                    }
                    for look in history.looks
                ],
                "numbers": {name: history.numbers(name).tolist() for name in history.number_names},
                "samples": [self._sample(history, number) for number in range(len(s))],
                "targets": history.looks[0].maps.shape[1],
                "missing": [dict(one) for one in history.missing],
                "notes": [*dict.fromkeys(note for look in history.looks for note in look.notes)],
            }
        )
        return told

    @staticmethod
    def _sample(history: History, number: int) -> dict[str, Any]:
        s = history.samples
        assert s.pictures is not None
        picture = enlarged(s.pictures[number])
        geometry = Geometry(
            (picture.height, picture.width),
            (s.input_size[0], s.input_size[1]),
            (s.input_size[0] / picture.height, s.input_size[1] / picture.width),
            (0.0, 0.0),
        )
        return {
            "name": s.names[number],
            "label": s.labels[number],
            "titles": [row_title(history, number, t) for t in range(history.looks[0].maps.shape[1])],
            "picture": address_of(picture),
            "geometry": geometry.to_dict(),
        }

    def sample(self, number: int) -> dict[str, Any]:
        """The maps of one sample, step by step.

        Args:
            number: of the sample.

        Raises:
            InputError: if there is no such sample.
        """
        history = self.history
        one = history.of_samples([number])
        maps = one.maps[:, 0]
        names = history.samples.class_names
        told: dict[str, Any] = finite(
            {
                "number": number,
                "steps": history.steps.tolist(),
                "shape": list(maps.shape[2:]),
                "maps": [base64_of(maps[:, target]) for target in range(maps.shape[1])],
                "scores": one.scores[:, 0].T.tolist(),
                "probabilities": one.probabilities[:, 0].T.tolist(),
                "titles": [list(look.titles[0]) for look in one.looks],
                "notes": [list(look.statuses[0]) for look in one.looks],
                "top": [names[top] if names else str(top) for top in one.top[:, 0].tolist()],
                "top_probabilities": one.top_probabilities[:, 0].tolist(),
            }
        )
        return told
