"""The callback for Lightning's Trainer. Importing this imports Lightning."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from camscope.watching.recorder import Recorder

_HOMES = ("lightning.pytorch", "pytorch_lightning")
"""The two packages that Lightning comes in. Each has a Callback of its own."""


def _bases() -> tuple[type, ...]:
    """The Callback of each package that is in use; of the first that is installed, if none is yet."""
    loaded = [name for name in _HOMES if name in sys.modules]
    if not loaded:
        try:
            importlib.import_module(_HOMES[0])
            loaded = [_HOMES[0]]
        except ImportError:
            importlib.import_module(_HOMES[1])
            loaded = [_HOMES[1]]
    return tuple(dict.fromkeys(sys.modules[name].Callback for name in loaded))


def callback(recorder: Recorder, model: Callable[[Any], Any] | None) -> Any:
    """See `camscope.watching.callbacks.lightning`."""
    kind = type("WatchCallback", (_Watch, *_bases()), {})
    return kind(recorder, model)


class _Watch:
    """What the callback does, whichever package its base is of.

    Args:
        recorder: looks.
        model: from the LightningModule to what is explained; None explains the module itself.
    """

    def __init__(self, recorder: Recorder, model: Callable[[Any], Any] | None) -> None:
        super().__init__()
        self._recorder = recorder
        self._model = model or (lambda module: module)
        self._done = 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Go on from the checkpoint that the Trainer goes on from; look at what is not trained yet."""
        self._done = int(trainer.global_step)
        if self._done and self._done != self._recorder.steps:
            self._recorder.from_step(self._done, epoch=int(trainer.current_epoch))
        self._recorder.offer_boards(getattr(logger, "experiment", None) for logger in trainer.loggers)
        self._recorder.start(self._model(pl_module))

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look where it is due; several batches may have been one optimiser step."""
        steps, self._done = int(trainer.global_step) - self._done, int(trainer.global_step)
        if self._recorder.advance(steps):
            loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
            self._recorder.look(self._model(pl_module), loss=loss, learning_rate=_rates(trainer))

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Look at the end of an epoch, with what was logged."""
        numbers = {name: value for name, value in trainer.callback_metrics.items() if value.numel() == 1}
        self._recorder.epoch(self._model(pl_module), logged=numbers, learning_rate=_rates(trainer))


def _rates(trainer: Any) -> list[float]:
    return [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups]
