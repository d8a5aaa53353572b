"""Mosaics of photos, run through a model: of which size, where it still sees every class, and what maps find there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from camscope.arrays import to_numpy
from camscope.engine.candidate_maps import CandidateMaps
from camscope.engine.looking import Chooses, Looked
from camscope.engine.photo_set import PhotoSet
from camscope.errors import InputError
from camscope.inputs import Inputs, images_of_batch
from camscope.methods import list_methods
from camscope.metrics import grid_pointing_game
from camscope.models.batch import Batch
from camscope.trust.mosaics import GRIDS, joined, recognised

_TOGETHER = 4
"""Mosaics that are run at a time."""


@dataclass(frozen=True)
class Mosaics:
    """Which photos stand in which mosaic, of those that were looked at."""

    images: Int[np.ndarray, "mosaic part"]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def parts(self) -> int:
        """How many photos each has."""
        return int(self.images.shape[1])

    def kept(self, which: Bool[np.ndarray, " mosaic"]) -> Mosaics:
        """Some of them."""
        return Mosaics(self.images[which])


@dataclass(frozen=True)
class MosaicTrials:
    """Runs mosaics.

    Attributes:
        explainer: of the model.
        photos: that they are made of.
        looked: what the model says of these.
        candidates: whose maps are made.
        seed: of methods that draw.
        advance: takes a bar so many photos further.
        notes: collects what a reader must know.
    """

    explainer: Chooses
    photos: PhotoSet
    looked: Looked
    candidates: CandidateMaps
    seed: int
    advance: Callable[[int], None]
    notes: list[str] = field(default_factory=list)

    def sized(self, mosaics: Mosaics) -> tuple[bool, Bool[np.ndarray, " mosaic"]]:
        """Whether mosaics are to have the size of one photo, and in which of them the model sees every class then.

        Photos that keep their size show most. A model that takes no larger input, or loses the classes in it, gets
        them smaller.
        """
        try:
            large = self.seen(mosaics, small=False)
        except Exception as error:  # whatever a model's own code raises for a size that it does not take
            self.notes.append(
                "The model takes no larger input, so photos are smaller in mosaics than by themselves "
                f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})."
            )
            large = None
        small = self.seen(mosaics, small=True)
        if large is not None and large.sum() >= small.sum():
            return False, large
        return True, small

    def seen(self, mosaics: Mosaics, *, small: bool) -> Bool[np.ndarray, " mosaic"]:
        """In which mosaics the model still sees every class."""
        cheapest = next(m.name for m in list_methods() if m.baseline)
        found = []
        for some, given in self._made(mosaics, small):
            e = self.explainer(given, methods=cheapest)
            logits = np.asarray(to_numpy(e.logits), np.float64)
            found.append(recognised(logits, self.looked.classes[some], self.looked.usual))
            self.advance(some.size)
        return np.concatenate(found)

    def pointing(self, mosaics: Mosaics, *, small: bool) -> Float[np.ndarray, "key mosaic part"]:
        """The share of each map, of all keys of the candidates, in the part of its class's photo; NaN for none."""
        keys, grid = self.candidates.keys, GRIDS[mosaics.parts]
        found = []
        for number, (some, given) in enumerate(self._made(mosaics, small)):
            maps = self.candidates.of_inputs(given, self.looked.classes[some].tolist(), self.seed + number)
            named = {str(i): maps[key] for i, key in enumerate(keys)}
            right = np.broadcast_to(np.arange(mosaics.parts), some.shape)
            measured = grid_pointing_game(named, right, grid=grid)
            found.append(np.stack([measured[name] for name in named]))
            self.advance(some.size)
        return np.concatenate(found, axis=1)

    def _made(self, mosaics: Mosaics, small: bool) -> Iterator[tuple[Int[np.ndarray, "mosaic part"], Inputs]]:
        """Some mosaics at a time, as inputs of the model: which photos they are of, and the inputs."""
        for start in range(0, len(mosaics), _TOGETHER):
            some = mosaics.images[start : start + _TOGETHER]
            numbers = self.looked.numbers[some.ravel()]
            given = self.explainer.prepare(self.photos.some(numbers.tolist()))
            batch = given.batch
            if len(batch.args) + len(batch.kwargs) > 1 or len(batch.x.shape) != 4:
                raise InputError(
                    "Mosaics are made of photos, (image, channel, height, width), for a model with one input; these "
                    f"are {tuple(batch.x.shape)}, in {len(batch.args) + len(batch.kwargs)} inputs."
                )
            x = joined(batch.x, GRIDS[mosaics.parts], small=small)
            yield (
                some,
                dataclasses.replace(
                    given,
                    batch=Batch.of_usual(x, batch.space_axes),
                    input_images=images_of_batch(x, given.preprocessing),
                    of_photos=False,
                ),
            )
