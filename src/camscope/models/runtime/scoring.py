"""From one run of a model to its class scores, and from slopes of those back to slopes of what the run put out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from camscope.errors import ModelError
from camscope.models.axes import from_usual, to_usual, usual_space
from camscope.models.batch import Batch
from camscope.models.observing import NARROW, OutputRules
from camscope.models.runtime.runs import Run
from camscope.outputs import Dense, Outputs


@dataclass(frozen=True)
class Scoring:
    """How a model's runs are understood.

    Attributes:
        rules: the same for every framework.
    """

    rules: OutputRules

    def outputs(self, run: Run, batch: Batch) -> Outputs:
        """The class scores of a run."""
        return self.rules.outputs(run.raw, self.logits(run, batch), run.ending, batch)

    def logits(self, run: Run, batch: Batch) -> Float[np.ndarray, "batch output *space"]:
        """As the model puts them out, classes on axis 1; of one position, `batch 1 1 class`, they are the image's."""
        logits = widened(run.logits)
        if self._has_positions(logits, batch):
            logits = to_usual(logits, self._space(batch))
            if all(size == 1 for size in logits.shape[2:]):
                logits = logits.reshape(logits.shape[:2])
        return logits

    def slopes_of_run(
        self, slopes: Float[np.ndarray, "batch class *space"], run: Run, batch: Batch
    ) -> Float[np.ndarray, "batch ..."]:
        """Slopes by what a run put out, in its own layout, of slopes by the class scores made of it.

        Args:
            slopes: of something by the class scores; of dense outputs by those at every position.
            run: the run.
            batch: its inputs.
        """
        own = self.logits(run, batch)
        if own.ndim == 1:
            own = own[:, None]
        if own.shape[1] == 1 and slopes.shape[1] == 2:  # (−z, z)
            slopes = slopes[:, 1:] - slopes[:, :1]
        if self.rules.reads_probabilities(run.ending):  # z = log p less its mean over classes
            p = np.maximum(own.astype(np.float64), np.finfo(np.float32).tiny)
            slopes = (slopes - slopes.mean(axis=1, keepdims=True)) / p
        if slopes.ndim > 2 and self._has_positions(run.logits, batch):
            slopes = from_usual(slopes, self._space(batch), slopes.ndim)
        return slopes.reshape(run.logits.shape).astype(run.logits.dtype)

    def check_finite(self, outputs: Outputs) -> None:
        """Refuse outputs that hold NaN or infinity; −∞ is what a class has that the model masks out.

        Raises:
            ModelError: naming the images.
        """
        logits = logits_everywhere(outputs)
        rows = logits.reshape(len(logits), -1)
        good = (np.isfinite(rows) | np.isneginf(rows)).all(axis=1) & ~np.isneginf(rows).all(axis=1)
        if not good.all():
            bad = ", ".join(map(str, np.flatnonzero(~good)))
            raise ModelError(
                f"The model's output holds NaN or infinity, for image {bad} of the batch: nothing can be explained. "
                "Look at the input's values and at the model's precision."
            )

    def _has_positions(self, logits: np.ndarray, batch: Batch) -> bool:
        return logits.ndim == len(batch.given.shape) > 2

    def _space(self, batch: Batch) -> tuple[int, ...]:
        return batch.space_axes or usual_space(batch.given.shape)


def logits_everywhere(outputs: Outputs) -> Float[np.ndarray, "batch class *space"]:
    """The logits of a model for the batch; of dense outputs those at every position."""
    dense = outputs.predictions
    return np.asarray(dense.logits if isinstance(dense, Dense) else outputs.logits)


def widened(values: np.ndarray) -> np.ndarray:
    """In single precision at least."""
    return values.astype(np.float32) if str(values.dtype) in NARROW else values
