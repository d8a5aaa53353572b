"""Compositions that change what a method explains, or the gradients it sees."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace
from einops import rearrange, reduce
from jaxtyping import Float

from camscope.arrays import Array, channel_sum, noting_channel_sums, over_space
from camscope.composition.expressions import Composition, Modifier, composition
from camscope.errors import MethodError
from camscope.evidence import BACKWARD, Evidence, Need
from camscope.methods import Method
from camscope.methods.parameters import Count, NonNegative
from camscope.methods.pca import first_component
from camscope.outputs import Outputs
from camscope.targets import Targets, Weighting


class _OfClasses(Modifier):
    """A composition that gives the inner method another target."""

    def check(self) -> None:
        """Refuse a method whose maps do not depend on the target."""
        super().check()
        if not self.method.class_specific:
            raise MethodError(
                f"{self.name}: {self.method.name} knows no class, so another target changes nothing."
            )


@composition
@dataclass(frozen=True)
class Finer(_OfClasses):
    """The inner method, explaining what tells each target from similar classes: y_c − γ · mean_d y_d.

    Finer-CAM, Zhang et al., CVPR 2025, arXiv:2501.11309.

    Attributes:
        gamma: γ; 0 gives the inner method itself.
        count: how many similar classes, those whose logits are closest; all others, if the model has fewer.
        weighting: how the similar classes are averaged; see `camscope.targets.Weighting`.

    Example:
        >>> e = camscope.explain(model, x, methods=camscope.Finer("layercam"))
        >>> e.methods
        ('finer(layercam)',)
    """

    gamma: NonNegative = 0.6
    count: Count = 3
    weighting: Weighting = "mean"
    word: ClassVar[str] = "finer"

    def retargeted(self, targets: Targets, outputs: Outputs) -> Targets:
        """The targets, contrasted with similar classes."""
        return targets.contrasted(outputs, gamma=self.gamma, count=self.count, weighting=self.weighting)


@composition
@dataclass(frozen=True)
class Rest(_OfClasses):
    """The inner method, explaining the ReST score: logit + log-probability (Cai 2025, arXiv:2501.06261).

    Example:
        >>> e = camscope.explain(model, x, methods=camscope.Rest("gradcam"))
        >>> e.methods
        ('rest(gradcam)',)
    """

    word: ClassVar[str] = "rest"

    def retargeted(self, targets: Targets, outputs: Outputs) -> Targets:
        """The targets with the ReST score."""
        return targets.scored_as("rest")


@composition
@dataclass(frozen=True)
class Pca(Modifier):
    """The first principal component of the terms that the inner method sums over channels.

    Where a map is Σ_k T_k, as Grad-CAM's is of T_k = α_k A^k, the vectors (T_1, …, T_K) of all positions are centred
    and projected on the direction in which they vary most. That is the `eigen_smooth` of pytorch-grad-cam (there is
    no paper): what few channels do by themselves is left out. Two things differ: the sign, which a decomposition
    leaves open, is the one that agrees with the map itself, and the map stays signed until it is shown. Evidence of
    which the channels share little is lost with the noise, so the sum over the map says nothing of the score.

    Example:
        >>> e = camscope.explain(model, x, methods=camscope.Pca("gradcam"))
        >>> e.methods
        ('pca(gradcam)',)
    """

    word: ClassVar[str] = "pca"
    reads_maps: ClassVar[bool] = True

    def made(
        self, inner: Callable[[Evidence], Float[Array, "batch target *space"]], evidence: Evidence
    ) -> Float[Array, "batch target *space"]:
        """The component, one target at a time: its terms are as large as all activations.

        Raises:
            MethodError: if the inner method's map is no sum over channels.
        """
        with noting_channel_sums() as sums:
            maps = inner(evidence)
        xp = array_namespace(maps)
        whole = [(w, A) for w, A in sums if bool(xp.all(channel_sum(w, A) == maps))]
        if not whole:
            raise MethodError(
                f"{self.name}: the map of {self.method.name} is no sum over channels, so there are no terms whose "
                "principal component could be taken. pca goes around gradcam, hirescam, layercam, cam, ablationcam …"
            )
        weights, activations = whole[-1]
        components = []
        for t in range(maps.shape[1]):
            each = over_space(weights[:, t], activations.ndim - weights.ndim + 1)
            terms = rearrange(each * activations, "b c ... -> b (...) c")
            components.append(first_component(terms - reduce(terms, "b n c -> b 1 c", "mean")))
        return xp.reshape(xp.stack(components, axis=1), maps.shape)

    def check(self) -> None:
        """Refuse a map of the whole model, and a wrapper or a fusion inside."""
        super().check()
        if not isinstance(self.inner, (Method, Modifier)):
            assert isinstance(self.inner, Composition)
            raise MethodError(
                f"{self.word} goes around a method at one layer, which {self.inner.name} is not. Write it inside: "
                f"{dataclasses.replace(self.inner, inner=Pca(self.method)).name}."
            )
        if self.method.scope == "model":
            raise MethodError(
                f"{self.name}: {self.method.name} is a map of the whole model, and no sum over a layer's channels."
            )


@composition
@dataclass(frozen=True)
class Balanced(Modifier):
    """The inner method on LibraGrad's gradients, by which a score is the sum of its parts.

    LibraGrad (Mehri et al., CVPR 2025, arXiv:2411.16760) treats attention weights, the scale of a LayerNorm and the
    gates of GELU and SiLU as constants in the backward. The forward is the model's own.

    Example:
        >>> e = camscope.explain(model, x, methods=camscope.Balanced("gradcam"))
        >>> e.methods
        ('balanced(gradcam)',)
    """

    word: ClassVar[str] = "balanced"
    libragrad: ClassVar[bool] = True

    @property
    def needs(self) -> frozenset[Need]:
        """The inner expression's needs, and a backward by LibraGrad's rules."""
        return self.inner.needs | {Need.LIBRAGRAD}

    @property
    def instead(self) -> frozenset[Need]:
        """None: its rules are about gradients."""
        return frozenset()

    def check(self) -> None:
        """Refuse a method without gradients."""
        super().check()
        if not self.method.needs & BACKWARD:
            raise MethodError(
                f"{self.name}: {self.method.name} uses no gradients, so there is nothing to balance."
            )
