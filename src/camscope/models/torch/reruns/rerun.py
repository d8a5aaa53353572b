"""Running the model, or the part of it after a layer, on altered variants of one image, a chunk at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from camscope.evidence import Responses, Variants, without_channels
from camscope.models.observing import responses, slices_of
from camscope.models.torch.reruns.on_batch import OnBatch, Run
from camscope.models.torch.reruns.suffix import Kept, Plan
from camscope.outputs import Outputs
from camscope.targets import Targets

_BUDGET = 128 * 2**20
"""Bytes of activations alive at a time on the CPU, where larger chunks are no faster."""
_DEVICE_BUDGET = 2 * 2**30
"""The same on an accelerator, where they are."""


def chunk_size(bytes_each: int, device: torch.device) -> int:
    """How many variants to run at a time.

    Args:
        bytes_each: size of the largest activation of one variant; a few of that size are alive at once.
        device: where they run.
    """
    budget = _BUDGET if device.type == "cpu" else _DEVICE_BUDGET
    return max(1, min(512, budget // max(1, 4 * bytes_each)))


@dataclass(frozen=True)
class MaskedRerun:
    """Runs the whole model on altered inputs. See `camscope.evidence.Rerun`.

    Attributes:
        run_of: from the number of an image to what runs the model on any number of variants of it.
        x: the batch.
        targets: what is scored.
        chunk: how many variants are run at a time.
    """

    run_of: Callable[[int], Run]
    x: Float[torch.Tensor, "batch channel *size"]
    targets: Targets
    chunk: int

    def __call__(self, image: int, count: int, variants: Variants) -> Responses:
        """The responses to `count` altered copies of one image."""
        run = self.run_of(image)

        def answers(numbers: Int[np.ndarray, " chunk"]) -> Outputs:
            return run(variants(numbers).to(self.x))

        return _in_chunks(answers, count, self.chunk, self.targets, image, self.x)


@dataclass(frozen=True)
class SuffixRerun:
    """Runs the part after a layer on altered activations. See `camscope.evidence.SuffixRerun`.

    Attributes:
        way: how that part is run for each image of the batch.
        targets: what is scored.
    """

    way: OnBatch
    targets: Targets

    def __call__(self, image: int, count: int, variants: Variants) -> Responses:
        """The responses to `count` altered activations of one image."""
        return self._after(self.way.plan_for(image), self.way.kept, image, image, count, variants)

    def without(
        self,
        image: int,
        activations: Float[torch.Tensor, " channel *space"],
        channels: Int[np.ndarray, " n"],
    ) -> Responses:
        """The responses without each of these channels, by a shorter way where a linear layer reads them side by side.

        Args:
            image: whose.
            activations: that image's.
            channels: which; −1 takes none away.
        """
        # a callable may read what the model returns besides its logits, past the linear layer
        found = None if self.targets.of_functions else self.way.parts_for(image)
        if found is None:
            return self(image, len(channels), without_channels(activations, channels))
        rest, parts = found
        outputs = parts.without(channels)
        short = self._after(rest, parts.kept, 0, image, len(channels), lambda numbers: outputs[numbers])
        if not bool(short.probabilities.isnan().any()):
            return short
        self.way.refuse_parts(image)  # the model's code took another branch: what is not kept is NaN
        return self.without(image, activations, channels)

    def _after(
        self, plan: Plan, kept: Kept, place: int, image: int, count: int, variants: Variants
    ) -> Responses:
        """The responses to altered outputs of some layer.

        Args:
            plan: how the part after that layer is run.
            kept: what it needs.
            place: which of the images that `kept` is of.
            image: which of the batch's images that is.
            count: how many variants there are.
            variants: makes some of them.
        """

        def answers(numbers: Int[np.ndarray, " chunk"]) -> Outputs:
            return self.way.outputs(plan, kept, place, image, variants(numbers))

        return _in_chunks(answers, count, self.way.chunk_of(plan), self.targets, image, self.way.x)


@dataclass(frozen=True)
class MaskedGradients:
    """Runs the whole model forward and backward on altered inputs. See `camscope.evidence.GradientRerun`.

    Attributes:
        run: runs the model on a batch of altered inputs.
        targets: what is scored.
        like: has the type of numbers and the device that the model takes.
    """

    run: Run
    targets: Targets
    like: torch.Tensor

    def __call__(
        self, inputs: Float[torch.Tensor, "batch channel *size"], target: int
    ) -> tuple[Float[torch.Tensor, " batch"], Float[torch.Tensor, "batch channel *size"]]:
        """Each image's score for one target, and its gradient by the inputs."""
        leaf = inputs.detach().to(self.like).requires_grad_()
        with torch.enable_grad():
            scores = self.targets[target : target + 1].scores(self.run(leaf))[:, 0]
            (gradient,) = torch.autograd.grad(scores.sum(), leaf)
        return scores.detach().to(inputs.dtype), gradient.to(inputs.dtype)


def _in_chunks(
    run: Callable[[Int[np.ndarray, " chunk"]], Outputs],
    count: int,
    chunk: int,
    targets: Targets,
    image: int,
    like: torch.Tensor,
) -> Responses:
    """The responses to variants 0 … count − 1 for one image's targets, without a graph.

    Args:
        run: from the numbers of some variants to the model's outputs for them.
        count: how many variants there are.
        chunk: how many to run at a time.
        targets: of the batch.
        image: whose targets are scored.
        like: a tensor on the device where the responses are to be.
    """
    found = []
    with torch.no_grad():
        for some in slices_of(count, chunk):
            numbers = np.arange(some.start, some.stop)
            found.append(responses(targets.images(np.full(len(numbers), image)), run(numbers)))
    if not found:
        nothing = torch.zeros(0, len(targets), device=like.device)
        return Responses(nothing, nothing, nothing)
    return Responses.concatenated(found)
