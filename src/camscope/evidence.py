"""What a method may ask for, and what it gets: of one layer (`Evidence`) or of the whole model (`ModelEvidence`)."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Float, Int, Shaped

from camscope.arrays import Array, from_indices


class Need(enum.Enum):
    """What a method declares it needs, cheapest first. The planner gathers the union in the fewest passes.

    Example:
        >>> [m.name for m in camscope.list_methods() if camscope.Need.ATTENTION in m.needs]
        ['rollout', 'attention']
    """

    ACTIVATIONS = "activations"
    """One forward, no autograd graph."""
    LINEAR_HEAD = "linear head"
    """A verified global average pooling + linear head on the layer. Nothing beyond the forward."""
    GRADIENTS = "gradients"
    """One backward per target, through the part after the layer only. Where the head is linear, one through its pooling
    alone, for all targets."""
    DIRECTIONS = "directional derivatives"
    """Re-runs of the part after the layer on activations a little to both sides, for all targets at once. Less than
    gradients: enough for what sums them over a channel or a position, such as the mean gradient of a channel."""
    CURVATURE = "second derivatives"
    """The Hessian of the score times the activations: a second backward per target, through the same part."""
    SUFFIX = "suffix re-runs"
    """The part after the layer, run on altered activations."""
    MASKED = "altered inputs"
    """The whole model, run on altered inputs."""
    MASKED_GRADIENTS = "gradients of altered inputs"
    """The whole model forward and backward on altered inputs."""
    INPUT_GRADIENTS = "input and bias gradients"
    """One forward and one full backward per target."""
    GUIDED_GRADIENTS = "guided input gradients"
    """One forward and one full backward per target with every ReLU's backward replaced."""
    LIBRAGRAD = "LibraGrad gradients"
    """Backwards by LibraGrad's rules, through which a score is the sum of its parts."""
    ATTENTION = "attention"
    """One forward that keeps every attention layer's probabilities."""
    ATTENTION_GRADIENTS = "attention gradients"
    """One forward, one backward per target to the first attention layer."""
    BLOCK_GRADIENTS = "block-wise attention gradients"
    """As attention gradients, of each block's own score, the residual stream detached between blocks."""


BACKWARD = frozenset(
    {
        Need.GRADIENTS,
        Need.CURVATURE,
        Need.INPUT_GRADIENTS,
        Need.GUIDED_GRADIENTS,
        Need.ATTENTION_GRADIENTS,
        Need.BLOCK_GRADIENTS,
    }
)
"""Needs that take a backward for every target, and whose arrays have a target axis."""

OF_INPUTS = frozenset({Need.MASKED, Need.MASKED_GRADIENTS, Need.INPUT_GRADIENTS, Need.GUIDED_GRADIENTS})
"""Needs that alter the input or differentiate by it: the inputs must be real numbers, not token numbers."""

ATTENDED = frozenset({Need.ATTENTION, Need.ATTENTION_GRADIENTS, Need.BLOCK_GRADIENTS})
"""Needs that only a transformer can meet, a model whose tokens attend to one another."""


def asked(needs: frozenset[Need], instead: frozenset[Need], offers: frozenset[Need]) -> frozenset[Need]:
    """The needs that are asked of a model: `instead` where it can meet only those, else `needs`.

    Args:
        needs: the first way.
        instead: the other way; empty if there is none.
        offers: the needs that the model can meet.
    """
    return instead if instead and not needs <= offers and instead <= offers else needs


def in_words(needs: Iterable[Need], instead: Iterable[Need] = ()) -> str:
    """Needs for people, with the other way there is: `activations, gradients or directional derivatives`."""
    first, second = frozenset(needs), frozenset(instead)
    both = first & second if second else first
    ways = [", ".join(sorted(need.value for need in way - both)) for way in (first, second)]
    common = ", ".join(sorted(need.value for need in both))
    return ", ".join(filter(None, [common, " or ".join(filter(None, ways))]))


@dataclass(frozen=True)
class LinearHead:
    """A head that is, verified on this very batch, logit = Σ_k w_k · mean_ij(F_ij^k) + b.

    That makes the gradients at this batch exact. Whether the formula is also true of what is far from it, such as the
    activations without a channel, has to be asked: behind relu(W · mean + b) it is not, where the ReLU goes to sleep.

    Attributes:
        weights: w, the derivative of each target's score by each pooled channel.
        features: F, what is pooled: the layer's activations, or their ReLU where the model applies one
            between the layer and the pooling (torchvision's DenseNet).
        pools_activations: whether what is pooled is the layer's activations themselves, and not their ReLU.
        linear: whether that formula is true of the targets' scores, as it is of logits and their differences. For
            any other score (a probability) the weights are its derivative and nothing more.
        holds_when_altered: says whether it is known to be true without some channels of this batch too, by a few runs
            of the model when it is first asked. By default it is.
        correlation: None where the formula is exact. A quantised model rounds what goes into its head: then it is the
            measured correlation of what the formula says of all logits with these logits, and nothing is exact.
    """

    weights: Float[Array, "batch target channel"]
    features: Float[Array, "batch channel *space"]
    pools_activations: bool
    linear: bool = True
    holds_when_altered: Callable[[], bool] = lambda: True
    correlation: float | None = None


@dataclass(frozen=True)
class Responses:
    """What the model answered to some inputs or activations.

    Attributes:
        scores: the targets' scores of the kind that was asked for (logits by default).
        probabilities: the same targets' probabilities; their scores where there are none (a regression, a callable).
        log_probabilities: the logarithms of these, from the logits themselves, so that nothing underflows; the scores
            where there are no probabilities.
        top: the class with the highest score; None where the model has no classes.
    """

    scores: Float[Array, "variant target"]
    probabilities: Float[Array, "variant target"]
    log_probabilities: Float[Array, "variant target"]
    top: Int[Array, " variant"] | None = None

    def changed(self, change: Callable[[Array], Array]) -> Responses:
        """The same with all that is said of each target changed: some of the columns, another type."""
        return Responses(
            change(self.scores), change(self.probabilities), change(self.log_probabilities), self.top
        )

    def rows(self, index: Int[np.ndarray, " n"]) -> Responses:
        """The responses to some of the variants, in this order."""

        def picked(values: Array) -> Array:
            return array_namespace(values).take(values, from_indices(index, like=values), axis=0)

        top = None if self.top is None else picked(self.top)
        return Responses(picked(self.scores), picked(self.probabilities), picked(self.log_probabilities), top)

    @staticmethod
    def concatenated(parts: Sequence[Responses]) -> Responses:
        """The responses to all variants of several parts, in this order."""
        xp = array_namespace(parts[0].scores)
        tops = [part.top for part in parts if part.top is not None]
        return Responses(
            xp.concat([part.scores for part in parts]),
            xp.concat([part.probabilities for part in parts]),
            xp.concat([part.log_probabilities for part in parts]),
            xp.concat(tops) if len(tops) == len(parts) else None,
        )


@dataclass(frozen=True)
class Measured:
    """How some derivatives were measured that are not exact.

    Attributes:
        what: which derivatives these are, in words.
        reruns: how often the part after the layer ran, for each image.
        errors: of each image and target the derivatives' error as a share of their size, √(Σ error² / Σ derivative²),
            as the measuring itself tells it; NaN where the score did not change at all.
        kinks: how many derivatives, or parts of them, are at a kink of the score, of a ReLU that rests at zero or a
            clamp that rests at its limit: the slope to its flat side is given.
    """

    what: str
    reruns: int
    errors: Float[np.ndarray, "batch target"]
    kinks: int = 0


class Directions(Protocol):
    """Derivatives of the scores along directions in the layer's activations A, where gradients g cannot be had.

    These are sums of the gradient over a channel or a position. What single elements of it are is not known.
    """

    def means(self) -> Float[Array, "batch target channel"]:
        """The mean of g^k over space: the derivative along channel k, all positions alike, over their number."""
        ...

    def along_activations(self) -> Float[Array, "batch target channel"]:
        """Σ_ij A_ij^k g_ij^k: the derivative along the activations of channel k."""
        ...

    def at_positions(self) -> Float[Array, "batch target *space"]:
        """Σ_k A_ij^k g_ij^k: the derivative along the activations at position ij."""
        ...

    @property
    def measured(self) -> Sequence[Measured]:
        """How the derivatives that were asked for so far were measured; none of those that are exact."""
        ...


Variants: TypeAlias = Callable[[Int[np.ndarray, " chunk"]], Float[Array, "chunk channel *space"]]
"""Builds the altered arrays with these numbers. Called chunk by chunk, so that never all of them exist at once."""


class Rerun(Protocol):
    """Runs the model, or the part of it after a layer, on altered variants of one image of the batch."""

    def __call__(self, image: int, count: int, variants: Variants) -> Responses:
        """The responses to variants 0 … count − 1 for the targets of that image, without a graph.

        Args:
            image: the number of the image in the batch. Its targets are scored, and where one layer's activations are
                altered, all others are this image's own.
            count: how many variants there are; the adapter runs them in chunks that fit into memory.
            variants: builds some of them: inputs `chunk channel *size`, or activations `chunk channel *space`.
        """
        ...


class SuffixRerun(Rerun, Protocol):
    """Runs the part of the model after a layer."""

    def without(
        self,
        image: int,
        activations: Float[Array, " channel *space"],
        channels: Int[np.ndarray, " n"],
    ) -> Responses:
        """The responses without each of these channels: their activations set to zero.

        Args:
            image: the number of the image in the batch.
            activations: that image's activations at the layer.
            channels: the channels to set to zero, each by itself; −1 leaves all as they are.
        """
        return self(image, len(channels), without_channels(activations, channels))


def without_channels(
    activations: Float[Array, " channel *space"], channels: Int[np.ndarray, " n"]
) -> Variants:
    """Variant i: the activations with the i-th of these channels set to zero; the number −1 sets none to zero."""
    xp = array_namespace(activations)

    def variants(numbers: Int[np.ndarray, " chunk"]) -> Float[Array, "chunk channel *space"]:
        gone = channels[numbers][:, None] == np.arange(activations.shape[0])
        gone = gone.reshape(*gone.shape, *[1] * (activations.ndim - 1))
        return xp.where(xp.asarray(gone, device=device(activations)), xp.zeros_like(activations), activations)

    return variants


class GradientRerun(Protocol):
    """Runs the model forward and backward on an altered copy of the whole batch."""

    def __call__(
        self, inputs: Float[Array, "batch channel *size"], target: int
    ) -> tuple[Float[Array, " batch"], Float[Array, "batch channel *size"]]:
        """Each image's score for one target (its number), and the score's gradient by the inputs."""
        ...


@dataclass(frozen=True)
class FullGradients:
    """All the gradients the score is made of in a piecewise linear network (Srinivas & Fleuret 2019, eq. 3).

        score = Σ inputs + Σ_l Σ biases_l + Σ rest.

    Attributes:
        inputs: x ⊙ ∂score/∂x.
        biases: b_l ⊙ ∂score/∂(output of layer l), of every layer with a bias and a grid, in order of execution.
            The bias of a batch norm is β − γμ/√(σ² + ε).
        rest: the same sum over the layers without a grid (fully connected ones), which give no map.
        gap: |score − the sum| / (|score| + Σ |terms|). A piecewise linear network leaves a gap of rounding size. A
            larger one (from GELU, LayerNorm, attention, squeeze-and-excitation) is a part of the score that the map
            does not explain.
    """

    inputs: Float[Array, "batch target _ *size"]
    biases: tuple[Float[Array, "batch target _ ..."], ...]
    rest: Float[Array, "batch target"]
    gap: Float[Array, "batch target"]


@dataclass(frozen=True)
class AttentionLayer:
    """One self-attention layer of a transformer.

    Attributes:
        weights: the attention probabilities.
        gradients: ∂score/∂weights; None if no method asked.
        queries, keys, values: per head; None if no method asked for gradients.
        output_gradients: ∂score/∂(heads' outputs, before the output projection); None if no method asked.
    """

    weights: Float[Array, "batch head query key"]
    gradients: Float[Array, "batch target head query key"] | None = None
    queries: Float[Array, "batch head query width"] | None = None
    keys: Float[Array, "batch head key width"] | None = None
    values: Float[Array, "batch head key width"] | None = None
    output_gradients: Float[Array, "batch target head query width"] | None = None


@dataclass(frozen=True)
class Attention:
    """The attention layers of a transformer over one grid of patches.

    Attributes:
        layers: in order of execution.
        space: the grid of the patches.
        prefix: how many tokens stand before the patches and are no position: CLS, distillation, registers.
        readout: the share of each token in what the head reads: 1 on CLS, or even over the tokens it averages.
        blocks: ∂s^l/∂weights^l of each block's own score s^l (LeGrad); empty if no method asked.
    """

    layers: tuple[AttentionLayer, ...]
    space: tuple[int, ...]
    prefix: int
    readout: Float[Array, " token"]
    blocks: tuple[Float[Array, "batch target head query key"], ...] = ()


@dataclass(frozen=True)
class ModelEvidence:
    """What was seen of the model as a whole, for one set of targets.

    Attributes:
        inputs: the batch, `batch channel *size`; for texts the token numbers, `batch token`.
        responses: the model's answers to it: `batch target`.
        masked: runs the model on altered inputs; None if no method asked.
        masked_gradients: runs the model forward and backward on altered inputs; None if no method asked.
        full_gradients: the gradients by the inputs and by all biases; None if no method asked.
        guided_gradients: ∂score/∂x with guided ReLUs (Springenberg et al. 2015); None if no method asked.
        attention: the attention layers of a transformer; None if no method asked.
        seed: seeds whatever a method draws at random.
        stand_in: of texts, what `masked` puts in place of what is left out, in words; None of what is no text.
        shared: intermediate results that several methods use; see `camscope.methods.shared`.
    """

    inputs: Shaped[Array, " batch *input"]
    responses: Responses
    masked: Rerun | None = None
    masked_gradients: GradientRerun | None = None
    full_gradients: FullGradients | None = None
    guided_gradients: Float[Array, "batch target channel *size"] | None = None
    attention: Attention | None = None
    seed: int = 0
    stand_in: str | None = None
    shared: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Evidence:
    """What was seen at one layer, for one set of targets. Arrays are of one library and on one device.

    Attributes:
        activations: A, the output of the target layer in canonical shape, whatever the framework's layout.
        gradients: ∂score/∂A. An axis of space has size 1 where the gradient is the same at every position
            (behind a linear head). None if no method asked.
        directions: derivatives along directions of A, in place of gradients; None if no method asked.
        gradient_powers: means of the squared and cubed gradients over noisy copies of the input, where `gradients`
            is such a mean.
        curvature: H·A, H the Hessian of the score by A; with size 1 along space where it is zero everywhere.
        head: the linear head on this layer, or None if there is none or no method asked.
        suffix: runs the part after the layer on altered activations; None if no method asked.
        model: what was seen of the model as a whole; None if no method asked for anything but the layer.
        seed: seeds whatever a method draws at random.
        shared: intermediate results that several methods use; see `camscope.methods.shared`.

    Example:
        >>> from camscope.methods import get_method
        >>> evidence = camscope.Evidence(activations=torch.ones(1, 8, 4, 4))
        >>> get_method("mean-activation")(evidence).shape
        torch.Size([1, 1, 4, 4])
    """

    activations: Float[Array, "batch channel *space"]
    gradients: Float[Array, "batch target channel *grid"] | None = None
    curvature: Float[Array, "batch target channel *grid"] | None = None
    head: LinearHead | None = None
    suffix: SuffixRerun | None = None
    model: ModelEvidence | None = None
    seed: int = 0
    gradient_powers: (
        tuple[Float[Array, "batch target channel *grid"], Float[Array, "batch target channel *grid"]] | None
    ) = None
    directions: Directions | None = None
    shared: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)
