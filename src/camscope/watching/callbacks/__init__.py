"""Callbacks that let a recorder look from inside of a framework's own training loop.

    trainer = lightning.Trainer(callbacks=[camscope.watching.callbacks.lightning(recorder)])
    learn.fine_tune(5, cbs=camscope.watching.callbacks.fastai(recorder))
    trainer = transformers.Trainer(..., callbacks=[camscope.watching.callbacks.huggingface(recorder)])
    model.fit(x, y, callbacks=[camscope.watching.callbacks.keras(recorder)])

Each looks before the training, after the optimiser steps that are due, and at the ends of epochs. Its framework is
imported when it is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from camscope.errors import InputError, MissingExtraError
from camscope.watching.recorder import Recorder


def lightning(recorder: Recorder, *, model: Callable[[Any], Any] | None = None) -> Any:
    """A callback for Lightning's Trainer, of `lightning` and of `pytorch_lightning`.

    TensorBoard and W&B loggers of the Trainer get pictures.

    Args:
        recorder: looks.
        model: from the LightningModule to what is explained, such as `lambda module: module.net`; None explains the
            LightningModule itself, by its `forward`.

    Raises:
        InputError: if neither package is installed.
    """
    try:
        from camscope.watching.callbacks.lightning_callback import callback
    except ImportError as error:
        raise InputError("Lightning is not installed: pip install 'lightning!=2.6.2,!=2.6.3'.") from error
    return callback(recorder, model)


def fastai(recorder: Recorder) -> Any:
    """A callback for fastai's Learner: for `Learner(cbs=…)` or one of its `fit` methods.

    Photos among the samples are prepared as the Learner's validation set is, and classes are called as in its
    vocabulary. Several fits, as in `fine_tune`, are one history.

    Args:
        recorder: looks.

    Raises:
        MissingExtraError: if fastai is not installed.
    """
    try:
        from camscope.watching.callbacks.fastai_callback import WatchCallback
    except ImportError as error:
        raise MissingExtraError("A callback for fastai", "fastai") from error
    return WatchCallback(recorder)


def huggingface(recorder: Recorder) -> Any:
    """A callback for Hugging Face's Trainer. A Trainer that goes on from a checkpoint goes on with the history.

    Args:
        recorder: looks.

    Raises:
        MissingExtraError: if transformers is not installed.
    """
    try:
        from camscope.watching.callbacks.trainer_callback import callback
    except ImportError as error:
        raise MissingExtraError("A callback for Hugging Face's Trainer", "transformers") from error
    return callback(recorder)


def keras(recorder: Recorder) -> Any:
    """A callback for `fit` of Keras 3, on PyTorch, TensorFlow or JAX.

    Args:
        recorder: looks.

    Raises:
        MissingExtraError: if Keras is not installed.
    """
    try:
        from camscope.watching.callbacks.keras_callback import WatchFit
    except ImportError as error:
        raise MissingExtraError("A callback for Keras", "keras") from error
    return WatchFit(recorder)
