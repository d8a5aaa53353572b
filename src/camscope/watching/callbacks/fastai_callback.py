"""The callback for fastai's Learner. Importing this imports fastai."""

from __future__ import annotations

from typing import Any

from fastai.callback.core import Callback

from camscope.watching.recorder import Recorder


class WatchCallback(Callback):  # type: ignore[misc]
    """See `camscope.watching.callbacks.fastai`.

    Args:
        recorder: looks.
    """

    order = 60  # after fastai's own Recorder, which is at 50: it has the metrics
    remove_on_fetch = True  # predictions are no training

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.watcher = recorder

    def __reduce__(self) -> tuple[Any, ...]:
        """In a copy of the Learner, or a file of it (`learn.export`), nobody looks."""
        return Callback, ()

    def before_fit(self) -> None:
        """Look at what is not trained yet, unless a learning rate is being sought, which is undone."""
        self.run = not hasattr(self.learn, "lr_finder") and not hasattr(self.learn, "gather_preds")
        if self.run:
            self.watcher.start(self.learn)

    def after_step(self) -> None:
        """Look after the optimiser steps that are due."""
        if self.watcher.advance():
            self.watcher.look(self.learn, loss=self.learn.loss, learning_rate=self._rates())

    def after_epoch(self) -> None:
        """Look at the end of an epoch, with its losses and metrics."""
        recorder = self.learn.recorder
        # the last name may be that of the time, which stands in no record
        numbers: dict[str, Any] = dict(zip(recorder.metric_names[1:], self.learn.final_record, strict=False))
        self.watcher.epoch(self.learn, metrics=numbers, learning_rate=self._rates())

    def _rates(self) -> list[float]:
        return [float(hypers["lr"]) for hypers in self.learn.opt.hypers]
