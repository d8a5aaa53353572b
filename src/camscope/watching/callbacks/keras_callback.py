"""The callback for Keras 3, on each of its backends. Importing this imports Keras."""

from __future__ import annotations

from typing import Any

import keras

from camscope.watching.recorder import Recorder


class WatchFit(keras.callbacks.Callback):  # type: ignore[misc]
    """See `camscope.watching.callbacks.keras`.

    On JAX the weights are not in the model while an epoch runs; reading `self.model` puts them there. That costs as
    much as a copy of all of them, so it is read only where a look is due.

    Args:
        recorder: looks.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder
        self._batch = -1

    def on_train_begin(self, logs: Any = None) -> None:
        """Look at what is not trained yet."""
        self._recorder.start(self.model)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Batches are counted anew in each epoch."""
        self._batch = -1

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Look where it is due; several batches may have been one execution."""
        steps, self._batch = batch - self._batch, batch
        if self._recorder.advance(steps):
            self._recorder.look(self.model, logs=dict(logs or {}), learning_rate=self._rate())

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Look at the end of an epoch, with its losses and metrics."""
        self._recorder.epoch(self.model, logs=dict(logs or {}), learning_rate=self._rate())

    def _rate(self) -> float:
        return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
