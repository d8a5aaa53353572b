"""OneFormer, which is told its task in words: the same weights segment by semantics, by instances, or by both."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from camscope.arrays import from_indices
from camscope.errors import InputError
from camscope.libraries.huggingface.queries import Masks
from camscope.models.batch import Batch

_TASK = "the task is semantic"
"""What the model is told, in the words it was trained on: scores of classes at positions are of this task."""


class TaskMasks(Masks):
    """The output decoder of a OneFormer: as of other segmenters of masks, with the task where none is given.

    Args:
        masks: the output decoder that it would have without a task.
        tokens: the token numbers of the task; None if no tokenizer came with the model.
    """

    def __init__(self, masks: Masks, tokens: np.ndarray | None) -> None:
        super().__init__(*masks.within(None))
        self._tokens = tokens

    def call(self, model: Any, batch: Batch) -> Any:
        """Run the model.

        Raises:
            InputError: if no task is given, and there is no tokenizer to say it.
        """
        if "task_inputs" in batch.kwargs or len(batch.args) > 1:
            return super().call(model, batch)
        if self._tokens is None:
            raise InputError(
                "A OneFormer is told its task in token numbers, and no tokenizer came with this one. Save its "
                "processor beside the weights (processor.save_pretrained(folder)), or give what the processor makes: "
                "explainer({'pixel_values': …, 'task_inputs': …})."
            )
        rows = from_indices(np.repeat(self._tokens[None], len(batch), axis=0), like=batch.given)
        return super().call(model, dataclasses.replace(batch, kwargs={**batch.kwargs, "task_inputs": rows}))


def task_tokens(tokenizer: Any, config: Any) -> np.ndarray | None:
    """The token numbers of the semantic task, zero where they are padding, as the model's own processor makes them.

    Args:
        tokenizer: of the model; None if none came with it.
        config: of the model.
    """
    if tokenizer is None:
        return None
    read = tokenizer(_TASK, padding="max_length", max_length=config.task_seq_len, truncation=True)
    return np.array(read["input_ids"], dtype=np.int64) * np.array(read["attention_mask"], dtype=np.int64)
