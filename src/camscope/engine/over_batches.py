"""`Explainer.over`: explanations of one batch after another, with a bar that shows how far it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from camscope.arrays import to_numpy
from camscope.engine.judging import are_right, class_indices, targets_of
from camscope.engine.loader_batches import LabelledBatch, labelled_batches
from camscope.engine.progress_bar import Told, bar
from camscope.errors import CamscopeError, InputError, nearest
from camscope.inputs import Inputs
from camscope.outputs import Outputs
from camscope.results import Explanation
from camscope.targets import TargetsLike, class_name

Only: TypeAlias = "Literal['wrong', 'right'] | Callable[[Explanation], Any] | None"
"""Which images are explained: those that the model gets wrong or right, or those for which a function says so."""

LABELS = "labels"
"""The word that stands, in place of targets, for the labels that come with the images."""


@dataclass(frozen=True)
class Over:
    """Explains batches.

    Attributes:
        prepare: reads and prepares inputs.
        explain: explains prepared inputs, given the targets.
        outputs: what the model says of prepared inputs, without a map.
        class_names: the names of so many classes; None if they are not known.
        targets: see `Explainer.over`.
        only: see `Explainer.over`.
    """

    prepare: Callable[[Any], Inputs]
    explain: Callable[[Inputs, TargetsLike], Explanation]
    outputs: Callable[[Inputs], Outputs]
    class_names: Callable[[int], Sequence[str] | None]
    targets: TargetsLike
    only: Only

    def __post_init__(self) -> None:
        if not (self.only is None or self.only in ("wrong", "right") or callable(self.only)):
            hint = nearest(str(self.only), ["wrong", "right"])
            raise InputError(
                f"only={self.only!r}: expected 'wrong', 'right' or a function from an explanation to a truth value for "
                f"each image, such as lambda e: e.scores[:, 0] > 5.{hint}"
            )

    def run(
        self,
        batches: Iterable[Any],
        *,
        size: int,
        apart: Callable[[Any], tuple[Any, Any]] | None,
        progress: bool,
    ) -> Iterator[Explanation]:
        """The explanations, one batch after another; nothing is kept of those before.

        Args:
            batches: see `Explainer.over`.
            size: how many single images make a batch.
            apart: tells inputs and labels apart.
            progress: whether a bar is shown.
        """
        with bar("explaining", shown=progress) as told:
            for number, batch in enumerate(labelled_batches(_counted(batches, told), size, apart)):
                try:
                    found = self._explained(batch)
                except CamscopeError as error:
                    error.add_note(f"This was batch {number} (from 0).{_taken(batch)}")
                    raise
                if found is not None:
                    yield found
                del found, batch  # the next one is made without it

    def _explained(self, batch: LabelledBatch) -> Explanation | None:
        given, labels = self.prepare(batch.inputs), batch.labels
        if labels is not None and len(labels) != len(given.batch):
            raise InputError(
                f"{len(labels)} labels came with {len(given.batch)} images; expected one for each."
            )
        if labels is None and (self.targets == LABELS or self.only in ("wrong", "right")):
            what = f"only={self.only!r}" if self.only in ("wrong", "right") else f"targets={LABELS!r}"
            raise InputError(
                f"{what} needs labels, and none came with these inputs: batches are (inputs, labels), or a dictionary "
                "with 'labels'. Of other forms say which is which: apart=lambda batch: (batch['x'], batch['y'])."
            )
        if self.only in ("wrong", "right"):
            assert labels is not None
            outputs = self.outputs(given)
            logits = to_numpy(outputs.logits)
            if outputs.predictions is not None:
                logits = logits[..., None]  # of no whole image
            names = self.class_names(logits.shape[1])
            right = are_right(logits, class_indices(labels, logits.shape[1], names), outputs.task)
            rows = np.flatnonzero(right if self.only == "right" else ~right)
            if not rows.size:
                return None
            given, labels = _images(given, rows), [labels[row] for row in rows]
        e = self._with_labels(given, labels)
        if not callable(self.only):
            return e
        wanted = np.asarray(to_numpy(self.only(e)))
        if wanted.dtype != bool or wanted.shape != (len(e),):
            raise InputError(
                f"The function only= gave {wanted.dtype} of shape {wanted.shape} for {len(e)} images; expected a truth "
                "value for each."
            )
        return e[wanted] if wanted.any() else None

    def _with_labels(self, given: Inputs, labels: list[Any] | None) -> Explanation:
        """The explanation of a batch, which knows its labels."""
        if labels is None:
            return self.explain(given, self.targets)
        if self.targets != LABELS:
            e = self.explain(given, self.targets)
            count = e.logits.shape[1]
            return _labelled(e, class_indices(labels, count, e.class_names), e.class_names)
        outputs = None
        if any(isinstance(label, (str, list, tuple)) for label in labels):
            outputs = self.outputs(given)
        count = 0 if outputs is None else outputs.logits.shape[1]
        indices = labels if outputs is None else class_indices(labels, count, self.class_names(count))
        e = self.explain(given, targets_of(indices))
        return _labelled(e, indices, e.class_names)


def _taken(batch: LabelledBatch) -> str:
    """What to add to an error where no labels were found among several things."""
    if batch.labels is not None or not isinstance(batch.inputs, (tuple, list, Mapping)):
        return ""
    return (
        " All that it holds was taken for inputs. If some are labels, say which: "
        "apart=lambda batch: (batch[0], batch[1]), or (batch[0], None) for none."
    )


def _labelled(e: Explanation, indices: Sequence[Any], names: Sequence[str] | None) -> Explanation:
    said = [
        [class_name(one, names) for one in label] if isinstance(label, list) else class_name(label, names)
        for label in indices
    ]
    return dataclasses.replace(e, provenance={**e.provenance, "labels": said})


def _images(given: Inputs, rows: np.ndarray) -> Inputs:
    """Some of the images, as inputs of their own."""
    return dataclasses.replace(
        given, batch=given.batch.images(rows), input_images=given.input_images.only(rows.tolist())
    )


def _counted(batches: Iterable[Any], told: Told) -> Iterator[Any]:
    """The batches; how many were done is told whenever the next one is asked for."""
    total = len(batches) if isinstance(batches, Sized) else None
    told(0, total)
    for number, batch in enumerate(batches, 1):
        yield batch
        told(number, total)
