"""What a careful reader of an explanation should be told."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from array_api_compat import array_namespace

from camscope.arrays import Array
from camscope.evidence import Evidence, ModelEvidence, Need
from camscope.images import Preprocessing
from camscope.methods import Method

_COMPLETE = 0.01
"""The largest gap between the score and its parts that is rounding."""

_SAME_BEHIND_LINEAR_HEAD = (
    ("cam", "gradcam", "hirescam", "xgradcam", "shapley"),
    ("layercam", "gradcam++-official", "gradcam-elementwise"),
    ("ablationcam", "liftcam"),
)
"""METHODS §1.0, for logits and activations that are not negative."""


_FAR = 10
"""Values this many times too bright are bytes."""

_NORMALISED = 0.5
"""A darkest value below minus this tells that means are subtracted."""


class CamscopeWarning(UserWarning):
    """Something about an explanation that its reader should know before trusting it."""


class Notes:
    """Notes in the order they came up, each once; the urgent ones are also warnings."""

    def __init__(self) -> None:
        self._notes: dict[str, bool] = {}

    def add(self, note: str, *, urgent: bool = False) -> None:
        """Add a note, unless it is empty."""
        if note:
            self._notes.setdefault(note, urgent)

    def of_evidence(self, wanted: Sequence[Method], layer: str, evidence: Evidence) -> None:
        """Add what the evidence at a layer says about the methods asked for."""
        if any(Need.GUIDED_GRADIENTS in m.needs for m in wanted):
            self.add(
                "guided-gradcam fails randomisation tests (Adebayo et al. 2018): its edges stay when the weights are "
                "random, so they show the picture and not what the model uses.",
                urgent=True,
            )
        careful = [m.name for m in wanted if m.nonnegative]
        pooled = evidence.head is not None and evidence.head.features is evidence.activations
        if not careful and not pooled:
            return
        signed = bool(array_namespace(evidence.activations).any(evidence.activations < 0))
        if careful and signed:
            self.add(
                f"{layer} has negative activations, for which {', '.join(careful)} "
                f"{'is' if len(careful) == 1 else 'are'} not defined in a meaningful way. Choose a layer after a "
                "ReLU, or another method.",
                urgent=True,
            )
        if pooled:
            differs = {"gradcam-elementwise"} if signed else set()
            if evidence.head is not None and not evidence.head.linear:
                differs |= {"shapley", "ablationcam", "liftcam"}
            for group in _SAME_BEHIND_LINEAR_HEAD:
                same = [m.name for m in wanted if m.base in group and m.base not in differs]
                if len(same) > 1:
                    self.add(
                        f"{layer} is pooled into one linear layer, where {', '.join(same)} are the same map up to a "
                        "positive constant: that is mathematics, not a bug."
                    )

    def of_model(self, wanted: Sequence[Method], evidence: ModelEvidence) -> None:
        """Add what the evidence of the model as a whole says about the methods asked for."""
        full = evidence.full_gradients
        if full is not None:
            gap = float(array_namespace(full.gap).max(full.gap))
            if gap > _COMPLETE:
                names = ", ".join(m.name for m in wanted if Need.INPUT_GRADIENTS in m.needs)
                self.add(
                    f"{names}: the parts do not add up to the score in this model "
                    f"({gap:.0%} is missing), since it is not piecewise linear: LayerNorm, "
                    "attention, smooth activations or gates. The map shows part of the evidence. balanced(fullgrad) "
                    "comes closer."
                )

    def of_tensor(self, x: Array, preprocessing: Preprocessing) -> None:
        """Add where a tensor that was given is not what the model's own preprocessing makes of a photo."""
        if x.ndim != 4 or x.shape[1] != len(preprocessing.mean):
            return
        size = tuple(int(n) for n in x.shape[2:])
        if size != preprocessing.input_size:
            self.add(
                f"The tensor is {_by(size)}; the model's own preprocessing makes {_by(preprocessing.input_size)}."
            )
        ends = [
            [(end - m) / s for end in (0, 1)]
            for m, s in zip(preprocessing.mean, preprocessing.std, strict=True)
        ]
        self.of_values(x, (min(low for low, _ in ends), max(high for _, high in ends)))

    def of_values(self, x: Array, expected: tuple[float, float]) -> None:
        """Add where a tensor's values are not between those that the model expects."""
        darkest, brightest = expected
        xp = array_namespace(x)
        low, high = float(xp.min(x)), float(xp.max(x))
        bytes_ = high > _FAR * max(1.0, brightest)
        fractions = low >= 0 and high <= 1 and darkest < -_NORMALISED
        if bytes_ or fractions:
            self.add(
                f"The tensor's values lie between {low:.3g} and {high:.3g}, where the model's own preprocessing gives "
                f"{darkest:.3g} to {brightest:.3g}: it seems not to be prepared. Give the photo itself, or the tensor "
                "after the preprocessing."
            )

    @property
    def all(self) -> tuple[str, ...]:
        """The notes."""
        return tuple(self._notes)

    def warn(self) -> None:
        """Raise the urgent notes as Python warnings, where `explain` was called."""
        for note, urgent in self._notes.items():
            if urgent:
                warnings.warn(note, CamscopeWarning, stacklevel=3)


def _by(size: Sequence[int]) -> str:
    return "×".join(map(str, size))
