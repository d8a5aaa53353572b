"""Compositions that change what a method explains, or the gradients it sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from camscope.composition.expressions import Modifier, composition
from camscope.errors import MethodError
from camscope.evidence import BACKWARD, Need
from camscope.methods.parameters import Count, NonNegative
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
    """The inner method, explaining the ReST score: logit + log-probability (Cai 2025, arXiv:2501.06261)."""

    word: ClassVar[str] = "rest"

    def retargeted(self, targets: Targets, outputs: Outputs) -> Targets:
        """The targets with the ReST score."""
        return targets.scored_as("rest")


@composition
@dataclass(frozen=True)
class Balanced(Modifier):
    """The inner method on LibraGrad's gradients, by which a score is the sum of its parts.

    LibraGrad (Mehri et al., CVPR 2025, arXiv:2411.16760) treats attention weights, the scale of a LayerNorm and the
    gates of GELU and SiLU as constants in the backward. The forward is the model's own.
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
