"""Notes: what a careful reader of an explanation should be told."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from array_api_compat import array_namespace

from camscope.arrays import Array
from camscope.errors import CamscopeWarning
from camscope.evidence import Evidence, Measured, ModelEvidence, Need
from camscope.images import Preprocessing
from camscope.libraries import ModelInfo
from camscope.methods import Method
from camscope.models.layer import Layer
from camscope.targets import TargetsLike

_COMPLETE = 0.01
"""A gap between the score and the sum of its parts up to this size is taken as rounding."""

_COARSE = 0.1
"""Derivatives that are off by more than this share of their size make a map that only roughly is the method's."""

_FAR = 10
"""Values this many times brighter than expected are taken as bytes (0 to 255)."""

_NORMALISED = 0.5
"""If the darkest expected value is below minus this, the preprocessing subtracts means."""


class Notes:
    """Notes in the order they came up, each once; the urgent ones are also warnings."""

    def __init__(self) -> None:
        self._notes: dict[str, bool] = {}
        self._measured: dict[tuple[str, ...], tuple[float, str]] = {}

    def add(self, note: str, *, urgent: bool = False) -> None:
        """Add a note, unless it is empty."""
        if note:
            self._notes.setdefault(note, urgent)

    def of_evidence(self, wanted: Sequence[Method], layer: str, evidence: Evidence) -> None:
        """Add what a reader of the methods' maps should know, given the evidence at a layer.

        Args:
            wanted: the methods at that layer.
            layer: its name.
            evidence: what was seen there.
        """
        for m in wanted:
            self.add(m.warning, urgent=True)
        if evidence.directions is not None:
            names = [m.name for m in wanted if Need.DIRECTIONS in m.instead]
            for measured in evidence.directions.measured:
                self.of_derivatives(names, layer, measured)
        careful = [m.name for m in wanted if m.nonnegative]
        head = evidence.head if evidence.head is not None and evidence.head.pools_activations else None
        if head is not None and head.correlation is not None:
            self.add(
                f"The model is quantised and rounds what goes into its last layer, so behind {layer} the maps of "
                f"{', '.join(m.name for m in wanted if Need.LINEAR_HEAD in m.needs)} are not exact: what they say of "
                f"the logits has a correlation of {math.floor(1e4 * head.correlation) / 1e4} with these."
            )
            head = None
        if not careful and head is None:
            return
        signed = bool(array_namespace(evidence.activations).any(evidence.activations < 0))
        if careful and signed:
            self.add(
                f"{layer} has negative activations, for which {', '.join(careful)} "
                f"{'is' if len(careful) == 1 else 'are'} not defined in a meaningful way. Choose a layer after a "
                "ReLU, or another method.",
                urgent=True,
            )
        for same in [] if head is None else _same_maps(wanted, signed=signed, logits=head.linear):
            self.add(
                f"{layer} is pooled into one linear layer, where {', '.join(same)} are the same map up to a "
                "positive constant: that is mathematics, not a bug."
            )

    def of_derivatives(self, names: Sequence[str], layer: str, measured: Measured) -> None:
        """Say how derivatives were measured, with the largest error of all images, targets and altered copies so far.

        Args:
            names: of the methods that take them.
            layer: where they are taken.
            measured: how they were measured.
        """
        about = (*names, layer, measured.what)
        before, note = self._measured.get(about, (0.0, ""))
        self._notes.pop(note, None)
        error = max(before, float(np.nan_to_num(measured.errors).max()))
        percent = float(f"{100 * error:.1g}")
        note = (
            f"{', '.join(names)} at {layer}: the model gives no gradients, so {measured.what} are central differences "
            f"of {measured.reruns} re-runs for each image. Their error is up to about {percent:g} %."
        )
        if measured.kinks:
            note += (
                f" {measured.kinks} of them are where a ReLU behind the layer rests exactly at zero, or a clamp at its "
                "limit: there the slope to its flat side is given, which counts it as asleep, as gradients do."
            )
        self._measured[about] = error, note
        self.add(note, urgent=error > _COARSE)

    def of_reach(
        self,
        reach: Mapping[str, Sequence[int]],
        levels: Sequence[Layer],
        backbone: Sequence[Layer],
        size: Sequence[int],
    ) -> None:
        """Say how little of a level a detection depends on, and where to see what else of the input it was made from.

        Args:
            reach: how many positions of a level, along each axis, a score depends on at most, by the level's name.
            levels: the levels of the pyramid.
            backbone: the layers that it is made from.
            size: of the input, in pixels along each axis.
        """
        said = []
        for layer in levels:
            cells = reach.get(layer.name, ())
            if any(cells) and any(n < whole for n, whole in zip(cells, layer.grid.space, strict=True)):
                pixels = [n * side / of for n, side, of in zip(cells, size, layer.grid.space, strict=True)]
                said.append(
                    f"{layer.name} {_by(cells)} cells ({_by([round(side) for side in pixels])} pixels)"
                )
        if said:
            also = ", ".join(layer.name for layer in backbone)
            self.add(
                f"Of its own level of the pyramid a detection's score depends on a few cells only: of "
                f"{', '.join(dict.fromkeys(said))}. So the map there shows where it is."
                + (
                    f" What of the whole picture was used shows the map of the backbone, at {also}."
                    if also
                    else ""
                )
            )

    def of_model(self, wanted: Sequence[Method], evidence: ModelEvidence) -> None:
        """Add what a reader of the methods' maps should know, given the evidence of the whole model.

        Args:
            wanted: the methods of the whole model.
            evidence: what was seen of it.
        """
        full = evidence.full_gradients
        if full is None:
            return
        gap = float(array_namespace(full.gap).max(full.gap))
        names = [m.name for m in wanted if Need.INPUT_GRADIENTS in m.needs]
        if gap > _COMPLETE:
            self.add(
                f"{', '.join(names)}: the parts do not add up to the score in this model "
                f"({gap:.0%} is missing), since it is not piecewise linear: LayerNorm, "
                f"attention, smooth activations or gates. The map shows part of the evidence. balanced({names[0]}) "
                "comes closer."
            )

    def of_inputs(self, x: Array, prepared: bool, info: ModelInfo) -> None:
        """Add a note if a batch is not what the model expects.

        Args:
            x: the inputs that maps are of, `batch channel *size`.
            prepared: whether the inputs were photos, which were prepared correctly.
            info: what the library says of the model's inputs.
        """
        if not prepared and info.preprocessing is not None:
            if info.note:
                self.of_bytes(x)
            else:
                self.of_tensor(x, info.preprocessing)
        if info.values is not None:
            self.of_values(x, info.values)

    def of_bytes(self, x: Array) -> None:
        """Add a note if a tensor holds the bytes of photos, for a model whose preprocessing is only presumed."""
        xp = array_namespace(x)
        low, high = float(xp.min(x)), float(xp.max(x))
        if low >= 0 and _FAR < high <= 255 and bool(xp.all(xp.round(x) == x)):
            self.add(
                f"The tensor holds whole numbers from {low:g} to {high:g}, as the bytes of photos are. If the model "
                "takes them divided by 255 and normalised, as most do, give it so, or give the photo itself."
            )

    def of_targets(self, targets: TargetsLike, batch: int) -> None:
        """Add a note if a list of indices or callables could have been meant image by image.

        Args:
            targets: as the user gave them.
            batch: how many images there are.
        """
        if not isinstance(targets, (list, tuple)) or not len(targets) == batch > 1:
            return
        if all(isinstance(one, (int, np.integer)) or callable(one) for one in targets):
            self.add(
                f"{batch} targets were given for {batch} images: each is explained in every image. For one target per "
                "image write PerImage([…])."
            )

    def of_tensor(self, x: Array, preprocessing: Preprocessing) -> None:
        """Add a note if a given tensor has another size or range than the model's own preprocessing gives."""
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
        """Add a note if a tensor's values are not in the range (lowest, highest) that the model expects."""
        darkest, brightest = expected
        xp = array_namespace(x)
        low, high = float(xp.min(x)), float(xp.max(x))
        if low == high:  # a baseline, which is no photo
            return
        bytes_ = high > _FAR * max(1.0, brightest)
        fractions = low >= 0 and high <= 1 and darkest < -_NORMALISED
        if bytes_ or fractions:
            looks = ""
            if low >= 0:
                what = (
                    "the bytes of photos, not divided by 255"
                    if bytes_
                    else "values from 0 to 1, not normalised"
                )
                looks = f" (these look like {what})"
            self.add(
                f"The tensor's values lie between {low:.3g} and {high:.3g}, where the model's own preprocessing gives "
                f"{darkest:.3g} to {brightest:.3g}: it seems not to be prepared{looks}. Give the photo itself, or the "
                "tensor after the preprocessing."
            )

    @property
    def all(self) -> tuple[str, ...]:
        """All notes, in the order they came up."""
        return tuple(self._notes)

    def warn(self) -> None:
        """Issue the urgent notes as Python warnings that point to the line outside of camscope that asked."""
        level = _outside()
        for note, urgent in self._notes.items():
            if urgent:
                warnings.warn(note, CamscopeWarning, stacklevel=level)


def _outside() -> int:
    """How many calls above `Notes.warn` the first line outside of this package is, counted as warnings count."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).split(".")[0] == "camscope":
        frame, level = frame.f_back, level + 1
    return level


def _by(size: Sequence[int]) -> str:
    return "×".join(map(str, size))


def _same_maps(wanted: Sequence[Method], *, signed: bool, logits: bool) -> Iterable[list[str]]:
    """The groups of two or more methods that give the same map behind a linear head."""
    groups: dict[str, list[str]] = {}
    for m in wanted:
        facts = m.behind_linear_head
        if facts is None or (facts.of_nonnegative and signed) or (facts.of_logits and not logits):
            continue
        groups.setdefault(facts.as_method, []).append(m.name)
    return (names for names in groups.values() if len(names) > 1)
