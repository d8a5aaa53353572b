"""One shard: a pure unit of work, from a plan and the inputs as they were read to a table of rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from camscope.engine.explainer import Explainer
from camscope.engine.judging import targets_of
from camscope.engine.over_batches import LABELS
from camscope.errors import CamscopeError, CamscopeWarning, InputError, TargetError
from camscope.inputs import ImagesElsewhere, InputImage, PreparedPhotos
from camscope.results import Explanation
from camscope.runs.batch_size import free_what_is_held, is_out_of_memory
from camscope.runs.faster_copy import explainer_on
from camscope.runs.labels_of_run import LabelReader
from camscope.runs.needed_packages import pyarrow_modules
from camscope.runs.reading_one import ReadPhoto, Unread, photo_again
from camscope.runs.row_columns import FAILED, schema
from camscope.runs.rows_of_explanations import Numbered, Row, rows_of
from camscope.runs.run_plan import Plan
from camscope.runs.short_test import add_trust, trust_numbers
from camscope.runs.sources.one_input import Input

Pair = tuple[Input, "ReadPhoto | Unread"]

_MANY = 8
"""From so many inputs on, a shard of which the model takes none says that something is wrong with the run."""


@dataclass(frozen=True)
class Work:
    """What explains shards.

    Attributes:
        explainer: of the model itself.
        plan: of the run; says whether an optimised copy of the model is explained on.
        batch: how many images run at a time.
    """

    explainer: Explainer
    plan: Plan
    batch: int

    @cached_property
    def _explainer(self) -> Explainer:
        return explainer_on(self.explainer, self.plan.optimised)

    @cached_property
    def _fits(self) -> _Fits:
        return _Fits(1 if self.explainer.keeps_sizes else self.batch)

    @cached_property
    def _labels(self) -> LabelReader:
        return LabelReader(self.plan.classes, self.plan.class_names)

    def shard(self, number: int, inputs: Iterable[Pair]) -> Any:
        """The rows of a shard, as an Arrow table.

        Batches begin at fixed places of the shard, so that its rows do not depend on what was done before.

        Args:
            number: of the shard.
            inputs: those of the shard, as they were read, as a stream.

        Raises:
            CamscopeError: if what is asked for does not suit the model.
        """
        with self._explainer.at_rest():
            return self._table(number, inputs)

    def _table(self, number: int, inputs: Iterable[Pair]) -> Any:
        pa, _ = pyarrow_modules()
        rows: list[Row] = []
        first = number * self.plan.asked.shard_size
        unread = refused = 0
        for some in _batches(enumerate(inputs, start=first), self._fits):
            found, photos = {}, {}
            for place, (one, read) in some:
                numbered = Numbered(place, one, self._labels.read(one.label))
                if isinstance(read, Unread):
                    found[place] = [numbered.failed(read.reason)]
                    unread += 1
                else:
                    photos[place] = (numbered, read)
            explained = dict(zip(photos, self._batch(list(photos.values())), strict=True))
            refused += sum(of_image[0]["status"] == FAILED for of_image in explained.values())
            found |= explained
            rows += [row for place, _ in some for row in found[place]]
        count = min(self.plan.asked.shard_size, self.plan.count - first)
        if refused == count - unread and refused >= _MANY:
            raise InputError(
                f"Of the {refused} images of shard {number} that could be read, the model took none. The first: "
                f"{next(row['reason'] for row in rows if row['status'] == FAILED)}"
            )
        return pa.Table.from_pylist(rows, schema=schema(trust=self.plan.asked.trust))

    def _batch(self, images: Sequence[tuple[Numbered, ReadPhoto]]) -> list[list[Row]]:
        """The rows of each image of a batch; if it cannot be explained, of its halves, or of one by one."""
        if not images:
            return []
        size = len(images)
        try:
            return self._rows(images)
        except Exception as error:
            no_memory = is_out_of_memory(error)
            if not no_memory and not isinstance(error, (InputError, TargetError, RuntimeError, ValueError)):
                raise
            if size == 1:
                return [[images[0][0].failed(_words(error))]]
        # outside of the handler, which holds what the failed batch had in memory
        if no_memory:
            free_what_is_held()
            self._fits.halve(size)
        rows: list[list[Row]] = []
        while len(rows) < size:
            some = self._fits.size if no_memory else 1
            rows += self._batch(images[len(rows) : len(rows) + some])
        return rows

    def _rows(self, images: Sequence[tuple[Numbered, ReadPhoto]]) -> list[list[Row]]:
        asked, numbered, photos = self.plan.asked, [one for one, _ in images], [read for _, read in images]
        targets: Any = list(asked.targets) or None
        if asked.targets == (LABELS,):
            targets = targets_of([_labelled(one) for one in numbered])
        given = given_of([one.input for one in numbered], photos)
        e = explained(
            self._explainer, given, asked.methods, self.plan.at or asked.layers, targets, asked.seed
        )
        rows = rows_of(e, numbered, photos, asked.top)
        if asked.trust:
            add_trust(rows, trust_numbers(self._explainer, given, e, targets, asked.seed))
        return rows


def given_of(inputs: Sequence[Input], photos: Sequence[ReadPhoto]) -> Any:
    """What an explainer takes, of a batch of inputs that were read.

    Args:
        inputs: of the batch.
        photos: as they were read.
    """
    if photos[0].prepared is None:
        return [read.photo(one.source) for one, read in zip(inputs, photos, strict=True)]
    geometries = [read.geometry for read in photos if read.geometry is not None]
    makers = [partial(_look_again, one, read) for one, read in zip(inputs, photos, strict=True)]
    array = np.stack([read.prepared for read in photos if read.prepared is not None])
    return PreparedPhotos(array, ImagesElsewhere(makers, geometries))


def explained(
    explainer: Explainer,
    given: Any,
    methods: Sequence[str],
    layers: Sequence[str] | None,
    targets: Any,
    seed: int,
) -> Explanation:
    """Explain a batch of inputs that were read.

    Args:
        explainer: of the model.
        given: see `given_of`.
        methods: as text.
        layers: by name; None for the automatic choice.
        targets: see `Explainer.__call__`.
        seed: of methods that draw at random.

    Raises:
        CamscopeError: see `Explainer.__call__`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CamscopeWarning)  # they are in the notes of each row
        return explainer(
            given,
            methods=list(methods),
            targets=targets,
            layers=None if layers is None else list(layers),
            seed=seed,
        )


def _look_again(one: Input, read: ReadPhoto) -> InputImage:
    photo = photo_again(one, read.digest)
    assert read.geometry is not None
    return InputImage(photo.pixels, read.geometry, photo.source, photo.notes)


def _labelled(one: Numbered) -> int:
    if one.label.index is None:
        why = "it has no label" if one.label.text is None else f"{one.label.text!r} is no class of the model"
        raise TargetError(f"'{one.input.source}' cannot be explained as what it is labelled as: {why}.")
    return one.label.index


@dataclass
class _Fits:
    """How many images fit the memory.

    Attributes:
        size: so many.
    """

    size: int

    def halve(self, failed: int) -> None:
        """Take note that a batch was too large.

        Args:
            failed: how many images it had.
        """
        self.size = max(1, min(self.size, failed // 2))
        warnings.warn(
            CamscopeWarning(
                f"A batch of {failed} images was too large for the memory; the run goes on with {self.size} at a time."
            ),
            stacklevel=2,
        )


def _words(error: Exception) -> str:
    text = str(error).strip()
    return (
        text
        if isinstance(error, CamscopeError)
        else f"{type(error).__name__}: {text.splitlines()[0] if text else ''}"
    )


def _batches(items: Iterable[tuple[int, Pair]], fits: _Fits) -> Iterator[list[tuple[int, Pair]]]:
    some: list[tuple[int, Pair]] = []
    for item in items:
        some.append(item)
        if len(some) >= fits.size:
            yield some
            some = []
    if some:
        yield some
