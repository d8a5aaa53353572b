"""Methods made of methods: wrappers, fusions and other targets around a method, as immutable data.

An expression is a method or a composition of one. Compositions are written as calls, `Smooth("layercam", n=16)` in
Python and `smooth(layercam, n=16)` as text, and nest. Their arithmetic stands in `wrappers` and `fusion`; who runs
them is the planner.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

from camscope.errors import MethodError
from camscope.evidence import Need
from camscope.methods.parameters import Count, Factor, NonNegative, checked_fields
from camscope.methods.registry import Method
from camscope.targets import Outputs, Targets, Weighting

Expression: TypeAlias = "Method | Composition"


@dataclass(frozen=True)
class Composition:
    """Something around a method. Its own facts are the inner one's unless it says otherwise.

    Attributes:
        inner: what it is around: a method, another composition, or the name of either.
    """

    inner: Expression
    word: ClassVar[str]
    """What it is called in text."""

    def __post_init__(self) -> None:
        if isinstance(self.inner, str):
            from camscope.composition.grammar import parse

            object.__setattr__(self, "inner", parse(self.inner))
        if not isinstance(self.inner, (Method, Composition)):
            raise MethodError(
                f"{type(self).__name__} goes around a method; got {type(self.inner).__name__}. For instance: "
                f"{self.word}(gradcam)."
            )
        for name, value in checked_fields(self.word, self):
            object.__setattr__(self, name, value)

    @property
    def name(self) -> str:
        """The composition as text, with what was given a value of its own."""
        given = [
            f"{f.name}={_text(getattr(self, f.name))}"
            for f in dataclasses.fields(self)
            if f.name != "inner" and getattr(self, f.name) != f.default
        ]
        return f"{self.word}({', '.join([self.inner.name, *given])})"

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        """What can be given besides the inner method, with the defaults."""
        return {f.name: f.default for f in dataclasses.fields(cls) if f.name != "inner"}

    @property
    def method(self) -> Method:
        """The method in the middle."""
        return self.inner if isinstance(self.inner, Method) else self.inner.method

    @property
    def paper(self) -> str:
        """Of the method in the middle."""
        return self.inner.paper

    @property
    def rectified(self) -> bool:
        """Whether negative values mean evidence against, shown as zero in a heatmap."""
        return self.inner.rectified

    @property
    def class_specific(self) -> bool:
        """Whether different targets give different maps."""
        return self.inner.class_specific


class Modifier(Composition):
    """A composition that changes what the inner method explains, or the gradients it sees, and not its maps."""

    def retargeted(self, targets: Targets, outputs: Outputs) -> Targets:
        """The targets the inner method gets.

        Args:
            targets: as they were asked for.
            outputs: of the batch, by which similar classes are chosen.
        """
        return targets


class Wrapper(Composition):
    """A composition that runs altered copies of the input."""


@dataclass(frozen=True)
class Finer(Modifier):
    """The inner method of what tells each target from similar classes: y_c − γ · mean_d y_d.

    Finer-CAM, Zhang et al., CVPR 2025, arXiv:2501.11309.

    Attributes:
        gamma: γ; 0 gives the inner method itself.
        count: how many similar classes, those whose logits are closest; of a model that has fewer, all others.
        weighting: `mean`, or `softmax`: by the similar classes' probabilities, as constants.
    """

    gamma: NonNegative = 0.6
    count: Count = 3
    weighting: Weighting = "mean"
    word: ClassVar[str] = "finer"

    def retargeted(self, targets: Targets, outputs: Outputs) -> Targets:
        """The targets contrasted with similar classes."""
        return targets.contrasted(outputs, gamma=self.gamma, count=self.count, weighting=self.weighting)


@dataclass(frozen=True)
class Rest(Modifier):
    """The inner method of the ReST score, logit + log-probability (Cai 2025, arXiv:2501.06261)."""

    word: ClassVar[str] = "rest"

    def retargeted(self, targets: Targets, outputs: Outputs) -> Targets:
        """The targets scored by ReST."""
        return targets.scored_as("rest")


@dataclass(frozen=True)
class Balanced(Modifier):
    """The inner method on gradients that keep their balance through attention, normalisation and gates.

    LibraGrad, Mehri et al., CVPR 2025, arXiv:2411.16760: attention weights, the scale of a LayerNorm and the gates of
    GELU and SiLU are constants in the backward. The forward is the model's own.
    """

    word: ClassVar[str] = "balanced"


Fusion = Literal["max", "product", "mean", "cascade"]


class Joined(Composition):
    """A composition that makes one map of several layers' maps."""


@dataclass(frozen=True)
class AtLevel(Joined):
    """The inner method at the level of a detector's pyramid that each target comes from.

    What is chosen where no layer is named; see `camscope.composition.fusion.at_level`.
    """

    word: ClassVar[str] = "level"


@dataclass(frozen=True)
class Fuse(Joined):
    """One map of several layers' maps. See `camscope.composition.fusion`.

    Attributes:
        how: `max` (LayerCAM, eq. 9), `product` (RefineCAM), `mean`, or `cascade` (Poly-CAM).
        gamma: of the tanh that scales the shallower layers for `max`.
    """

    how: Fusion = "max"
    gamma: NonNegative = 2.0
    word: ClassVar[str] = "fuse"

    @property
    def rectified(self) -> bool:
        """Fused maps are made of heatmaps, which have no negative values."""
        return False


Average = Literal["maps", "gradients"]


@dataclass(frozen=True)
class Smooth(Wrapper):
    """The inner method averaged over noisy copies of the input (SmoothGrad, Smilkov et al. 2017, arXiv:1706.03825).

    Attributes:
        n: how many copies.
        sigma: standard deviation of the noise, as a share of each image's own range of values.
        average: `maps`, or `gradients`: one map of the clean activations and the averaged gradients and their
            averaged powers, as Smooth Grad-CAM++ (Omeiza et al. 2019, arXiv:1908.01224) has it; of FullGrad, one map
            of its averaged parts.
    """

    n: Count = 16
    sigma: NonNegative = 0.15
    average: Average = "maps"
    word: ClassVar[str] = "smooth"


@dataclass(frozen=True)
class Augment(Wrapper):
    """The inner method averaged over transformed copies of the input, each map transformed back.

    Attributes:
        transforms: of `identity`, `flip` (left–right), `flipud`, `rot90`, and factors of brightness such as `0.9`;
            joined by `*` for both: `flip*0.9`.
    """

    transforms: tuple[str, ...] = ("0.9", "1.0", "1.1", "flip*0.9", "flip", "flip*1.1")
    word: ClassVar[str] = "augment"


At = Literal["layer", "input"]


@dataclass(frozen=True)
class MultiScale(Wrapper):
    """The inner method on activations and gradients averaged over sizes of the input.

    Of CAMERAS (Jalwana et al., CVPR 2021, arXiv:2106.10649): only the sizes at which the model's top class is the
    explained one count, if there are any.

    Attributes:
        sizes: factors of the input's own size.
        at: where activations and gradients meet: the largest size's `layer` grid, or the `input`'s own size, as the
            paper has it, which takes channels × height × width of memory.
    """

    sizes: tuple[Factor, ...] = (1.0, 1.5, 2.0)
    at: At = "layer"
    word: ClassVar[str] = "multiscale"


Baseline = Literal["black", "zero", "blur"]


@dataclass(frozen=True)
class PathIntegral(Wrapper):
    """The inner method's heatmaps summed along the straight path of images from a baseline.

    Integrated Grad-CAM (Sattarzadeh et al., ICASSP 2021, arXiv:2102.07805) is this of Grad-CAM from black.

    Attributes:
        baseline: `black`, `zero` (of the preprocessed input, the mean colour), or `blur`.
        n: images on the path; the last is the input itself.
    """

    baseline: Baseline = "black"
    n: Count = 20
    word: ClassVar[str] = "path"

    @property
    def rectified(self) -> bool:
        """The formula rectifies inside the sum."""
        return False


@dataclass(frozen=True)
class Named(Composition):
    """A composition the literature has a name for.

    Attributes:
        label: the name.
        reference: the paper.
        advice: one honest line.
        cost: in passes through the model.
    """

    label: str
    reference: str
    advice: str
    cost: str
    word: ClassVar[str] = "named"

    @property
    def name(self) -> str:
        """The name of the literature."""
        return self.label

    @property
    def paper(self) -> str:
        """Where it is defined."""
        return self.reference

    @property
    def formula(self) -> str:
        """What it is made of."""
        return self.inner.name

    @property
    def needs(self) -> frozenset[Need]:
        """What the method in the middle asks of the model."""
        return self.method.needs


COMPOSITIONS: dict[str, type[Composition]] = {
    kind.word: kind for kind in (Smooth, Augment, MultiScale, PathIntegral, Fuse, Finer, Rest, Balanced)
}


def simplified(expression: Expression) -> Expression:
    """The same with names resolved, and changed targets and gradients directly around the method.

    What a wrapper or a fusion does to the maps does not touch what the inner method explains, so
    finer(smooth(gradcam)) is smooth(finer(gradcam)).
    """
    if isinstance(expression, Method):
        return expression
    inner = simplified(expression.inner)
    if isinstance(expression, Named):
        return inner
    if isinstance(expression, Modifier) and not isinstance(inner, (Method, Modifier)):
        innermost = simplified(dataclasses.replace(expression, inner=inner.inner))
        return dataclasses.replace(inner, inner=innermost)
    return dataclasses.replace(expression, inner=inner)


def fuses(expression: Expression) -> bool:
    """Whether it makes one map of several layers."""
    return isinstance(expression, Composition) and (isinstance(expression, Fuse) or fuses(expression.inner))


def alters_input(expression: Expression) -> bool:
    """Whether it runs the model on altered copies of the input."""
    return isinstance(expression, Composition) and (
        isinstance(expression, Wrapper) or alters_input(expression.inner)
    )


def by_level(expression: Expression) -> Expression:
    """The expression at the level each target comes from, where that is a question: for gradients of classes."""
    m = expression.method
    asks = m.scope == "layer" and m.class_specific and Need.GRADIENTS in m.needs
    return AtLevel(expression) if asks and not fuses(expression) else expression


def modifiers(expression: Expression) -> tuple[Modifier, ...]:
    """The changed targets and gradients around a method, innermost first."""
    if isinstance(expression, Modifier):
        return (*modifiers(expression.inner), expression)
    return ()


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)
