"""The callback for Hugging Face's Trainer. Importing this imports transformers."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from camscope.watching.recorder import Recorder


def callback(recorder: Recorder) -> TrainerCallback:
    """See `camscope.watching.callbacks.huggingface`."""
    return _Watch(recorder)


class _Watch(TrainerCallback):
    """What the callback does.

    Args:
        recorder: looks.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder
        self._done = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Go on from the checkpoint that the Trainer goes on from; look at what is not trained yet."""
        self._done = int(state.global_step)
        if self._done and self._done != self._recorder.steps:
            self._recorder.from_step(self._done, epoch=int(state.epoch or 0))
        self._recorder.start(kwargs["model"])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look after the optimiser steps that are due."""
        steps, self._done = int(state.global_step) - self._done, int(state.global_step)
        if self._recorder.advance(steps):
            self._recorder.look(kwargs["model"], learning_rate=_rates(kwargs))

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look at the end of an epoch."""
        self._recorder.epoch(kwargs["model"], learning_rate=_rates(kwargs))

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Note the loss and the metrics, which the Trainer tells after a step."""
        numbers = {name: value for name, value in (logs or {}).items() if isinstance(value, (int, float))}
        self._recorder.note(logged={name: v for name, v in numbers.items() if not name.endswith(_LEFT_OUT)})


_LEFT_OUT = ("epoch", "step", "total_flos", "learning_rate", "_runtime", "_per_second")
"""How names in a log end that are kept already, or say nothing of the model."""


def _rates(kwargs: dict[str, Any]) -> list[float]:
    return [group["lr"] for group in kwargs["optimizer"].param_groups]
