"""Re-runs of the whole model on altered inputs, and of the part after a layer on altered activations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Shaped

from camscope.evidence import Responses, SuffixRerun, Variants
from camscope.models.batch import Batch
from camscope.models.layer import Layer
from camscope.models.observing import responses, slices_of
from camscope.models.runtime.runs import INPUT, Run, RunAfter, Runtime
from camscope.models.runtime.scoring import Scoring, widened
from camscope.targets import Targets, target_slopes

_MOST = 64
"""Variants that are run at a time, at most."""

_NUMBERS = 2**23
"""Numbers of altered arrays that are run at a time."""


@dataclass(frozen=True)
class AlteredInputs:
    """Runs the whole model on altered inputs. See `camscope.evidence.Rerun`."""

    runtime: Runtime
    scoring: Scoring
    batch: Batch
    targets: Targets

    def __call__(self, image: int, count: int, variants: Variants) -> Responses:
        """The responses to variants of one image."""
        own = self.batch.images(slice(image, image + 1))

        def run(some: np.ndarray) -> tuple[Run, Batch]:
            altered = own.altered(variants(some).astype(own.x.dtype))
            return self.runtime.run(altered), altered

        return _in_chunks(run, count, own.x[0].size, self.scoring, self.targets, image)


@dataclass(frozen=True)
class AlteredActivations(SuffixRerun):
    """Runs the part after a layer. See `camscope.evidence.SuffixRerun`."""

    runtime: Runtime
    scoring: Scoring
    batch: Batch
    targets: Targets
    layer: Layer
    own: Shaped[np.ndarray, " ..."]
    """What the layer put out for the batch, in its own layout."""
    _after: dict[int, RunAfter] = field(default_factory=dict)

    def __call__(self, image: int, count: int, variants: Variants) -> Responses:
        """The responses to variants of one image's activations."""
        one = self.batch.images(slice(image, image + 1))
        if image not in self._after:
            self._after.clear()  # what is kept beside the layer is large: of one image at a time
            self._after[image] = self.runtime.after(one, self.layer.name, self.layer.batch_axis)
        after, axis = self._after[image], self.layer.batch_axis
        own = np.take(self.own, [image], axis=axis)

        def run(some: np.ndarray) -> tuple[Run, Batch]:
            like = np.repeat(own, len(some), axis=axis)
            given = self.layer.grid.embed(variants(some).astype(like.dtype), like)
            return after(given), one.images(np.zeros(len(some), dtype=np.int64))

        return _in_chunks(run, count, own.size, self.scoring, self.targets, image)


@dataclass(frozen=True)
class AlteredInputGradients:
    """Runs the model forward and backward on altered inputs. See `camscope.evidence.GradientRerun`."""

    runtime: Runtime
    scoring: Scoring
    batch: Batch
    targets: Targets

    def __call__(
        self, inputs: Float[np.ndarray, "batch channel *size"], target: int
    ) -> tuple[Float[np.ndarray, " batch"], Float[np.ndarray, "batch channel *size"]]:
        """Each image's score for one target, and the score's gradient by the inputs."""
        batch = self.batch.altered(inputs.astype(self.batch.x.dtype))
        targets = self.targets[target : target + 1]
        with self.runtime.differentiated(batch, [INPUT]) as (run, pull_back):
            outputs = self.scoring.outputs(run, batch)
            slopes = target_slopes(targets, outputs)[:, 0]
            gradient = pull_back(self.scoring.slopes_of_run(slopes, run, batch))[INPUT]
        return targets.scores(outputs)[:, 0], widened(batch.with_given(gradient).x)


def _in_chunks(
    run: Callable[[np.ndarray], tuple[Run, Batch]],
    count: int,
    numbers_each: int,
    scoring: Scoring,
    targets: Targets,
    image: int,
) -> Responses:
    """The responses to all variants of one image, some at a time."""
    none = np.zeros((0, len(targets)), np.float32)
    found = []
    for some in slices_of(count, max(1, min(_MOST, _NUMBERS // max(1, numbers_each)))):
        numbers = np.arange(some.start, some.stop)
        outputs = scoring.outputs(*run(numbers))
        found.append(responses(targets.images(np.full(len(numbers), image)), outputs))
    return Responses.concatenated(found) if found else Responses(none, none, none)
