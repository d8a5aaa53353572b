"""Which axes of a tensor are space: tried in numbers where its shape leaves it open."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from camscope.models.adapter import Adapter
from camscope.models.axes import usual_space
from camscope.models.batch import Batch

_AS_GOOD = 0.9
"""The usual axes are taken if they do as well as this share of the best."""

_MORE_AXES = 0.8
"""More axes are taken, as of a spectrogram both, if they do as well as this share of the best with fewer."""

_FEWEST = 6
"""On fewer positions answers agree by chance: they are no match for many positions that answer in place."""


@dataclass(frozen=True)
class Space:
    """Which axes of a model's inputs are space.

    A signal may be `batch channel time` or `batch time feature`, a spectrogram `batch time frequency` without a
    channel, a video may have its frames before its channels. For each of these the layers are asked how well they
    answer in place where a patch of it is altered, and the axes along which they do are taken. Images keep the usual
    order, `batch channel height width`, as long as any layer answers in it. A spectrogram that the model turns on its
    side before it looks at it is taken as it is turned, if no layer answers in its own order.

    Attributes:
        adapter: runs the model.
    """

    adapter: Adapter
    _known: dict[Hashable, tuple[int, ...]] = field(default_factory=dict)

    def of(self, batch: Batch, complete: Callable[[Batch], Batch]) -> tuple[int, ...]:
        """The axes of space of the input that maps are of; the batch is axis 0.

        Args:
            batch: with its input's axes as the model takes them.
            complete: adds what the model cannot run without, as captions. Only called where the model is run.
        """
        usual = usual_space(batch.given.shape)
        others = list(_others(batch.given.shape))
        if not others or batch.of_tokens:
            return usual
        key = tuple(batch.given.shape[1:])
        if key not in self._known:
            self._known.clear()  # one size is enough to remember: the next call is mostly of the same
            self._known[key] = self._found(complete(batch), usual, others)
        return self._known[key]

    def _found(
        self, batch: Batch, usual: tuple[int, ...], others: Sequence[tuple[int, ...]]
    ) -> tuple[int, ...]:
        in_place = {usual: self._in_place(batch, usual)}
        if len(batch.given.shape) == 4 and in_place[usual] > 0:
            return usual
        shape = batch.given.shape
        enough = [s for s in others if math.prod(shape[axis] for axis in s) >= _FEWEST]
        in_place |= {
            space: self._in_place(batch, space) for space in (enough if in_place[usual] > 0 else others)
        }
        best = max(in_place.values())
        if best == 0:
            turned = (2, 1) if len(batch.given.shape) == 3 else usual
            return turned if self._in_place(batch, turned) > 0 else usual
        most = max(len(space) for space, found in in_place.items() if found >= _MORE_AXES * best)
        of_most = {space: found for space, found in in_place.items() if len(space) == most}
        best = max(of_most.values())
        return next(
            space for space, found in of_most.items() if found >= (_AS_GOOD if space == usual else 1) * best
        )

    def _in_place(self, batch: Batch, space: tuple[int, ...]) -> float:
        """How well all layers together answer in place."""
        layers = self.adapter.layers(replace(batch, space_axes=space))
        return math.fsum(layer.in_place for layer in layers)


def _others(shape: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """The axes that could be space besides the usual ones: the channel last, none, or behind the frames.

    An axis of one position is none of space.
    """
    ndim = len(shape)
    several: dict[int, list[tuple[int, ...]]] = {
        3: [(1,), (1, 2)],
        4: [(1, 2), (1, 2, 3)],
        5: [(1, 3, 4), (1, 2, 3)],
    }
    for space in several.get(ndim, []):
        if all(shape[axis] > 1 for axis in space):
            yield space
