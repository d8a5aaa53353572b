"""The spatial grid in a layer's output: from any layout to `batch channel *space` and back.

Which layouts an output could have follows from its shape, and is listed here. Which one it has is tried in numbers, by
`camscope.models.place`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
from array_api_compat import array_namespace
from einops import rearrange
from jaxtyping import Shaped

from camscope.arrays import Array

Layout = Literal["channels-first", "channels-last", "tokens", "tokens-last"]

MOST_PREFIX_TOKENS = 32
"""More tokens than that in front of a grid are another grid that was not met before."""

_USUAL_PREFIX_TOKENS = (0, 1, 2, 5)
"""As many tokens are in front of a grid that was not met before: none, CLS, distillation too, or four registers."""

FEW = 16
"""On fewer positions than that a correlation says little: a network sees all of a small input from each of them."""


@dataclass(frozen=True)
class Grid:
    """How a layer's output holds its grid.

    Attributes:
        layout: `channels-first` (b c *s), `channels-last` (b *s c), `tokens` (b n c), `tokens-last` (b c n).
        space: size of the grid along each axis.
        channels: number of channels.
        prefix: tokens in front of the grid that are no position: CLS, distillation, registers.
        order: the axes of space as tokens count them, the slowest first: (1, 0) is column after column, (1, 2, 0) place
            after place of a video, each with its frames. None is the usual order, row after row.
        suffix: tokens behind the grid that are no position: those of detections (YOLOS), registers, a class token.
        inside: numbers of the tokens between positions that are none, in ascending order: a class token in the middle
            (Vim), one at the end of each row.
        batch_second: whether the batch stands behind the tokens, (n b c), as PyTorch's transformers have it by default.
    """

    layout: Layout
    space: tuple[int, ...]
    channels: int
    prefix: int = 0
    order: tuple[int, ...] | None = None
    suffix: int = 0
    inside: tuple[int, ...] = ()
    batch_second: bool = False

    def canonical(self, output: Shaped[Array, " ..."]) -> Shaped[Array, "batch channel *space"]:
        """The layer's output, or a gradient of the same shape, as `batch channel *space`: a view where possible.

        Tokens that are no position are left out.
        """
        if self.batch_second:
            output = array_namespace(output).permute_dims(output, (1, 0, 2))
        if self.layout == "channels-first":
            return output
        if self.layout == "channels-last":
            return rearrange(output, "b ... c -> b c ...")
        if self.layout == "tokens":
            tokens = rearrange(output[:, self._positions(output.shape[1])], "b n c -> b c n")
        else:
            tokens = output[..., self._positions(output.shape[2])]
        return self._unrolled(tokens)

    def embed(
        self, activations: Shaped[Array, "batch channel *space"], like: Shaped[Array, " ..."]
    ) -> Shaped[Array, " ..."]:
        """The inverse of `canonical`: the layer's output with these activations.

        Args:
            activations: in canonical shape.
            like: an output of the layer, whose tokens that are no position are taken over.
        """
        xp = array_namespace(activations)
        if self.batch_second:
            swapped = (1, 0, 2)
            first = replace(self, batch_second=False)
            return xp.permute_dims(first.embed(activations, xp.permute_dims(like, swapped)), swapped)
        if self.layout == "channels-first":
            return activations
        if self.layout == "channels-last":
            return rearrange(activations, "b c ... -> b ... c")
        if self.order is not None:
            activations = xp.permute_dims(activations, (0, 1, *(2 + axis for axis in self.order)))
        tokens = rearrange(activations, "b c ... -> b c (...)")
        axis = 2
        if self.layout == "tokens":
            tokens, axis = rearrange(tokens, "b c n -> b n c"), 1
        count = like.shape[axis]
        if self.inside:
            return _put(like, tokens, self._positions(count), axis)
        along: tuple[slice, ...] = (slice(None),) * axis
        in_front, behind = like[*along, : self.prefix], like[*along, count - self.suffix :]
        return xp.concat([in_front, tokens, behind], axis=axis)

    def moved(self, axes: Sequence[int]) -> Grid | None:
        """The grid of the same output with its axes in another order; None where that is none of the four layouts.

        Args:
            axes: where each axis of the other is in this output; (0, 2, 3, 1) puts channels last.
        """
        last = len(axes) - 1
        channel = 1 if self.layout in ("channels-first", "tokens-last") else last
        space = [axis for axis in axes if axis not in (0, channel)]
        if axes[0] != 0 or self.batch_second or space != sorted(space):
            return None
        in_front, behind = _LAYOUTS[self.layout.startswith("tokens")]
        layout = {last: behind, 1: in_front}.get(axes.index(channel))
        return None if layout is None else replace(self, layout=layout)

    def summed(
        self, over_first: Shaped[np.ndarray, "*behind"], over_last: Shaped[np.ndarray, "*before"]
    ) -> Shaped[np.ndarray, "*space"]:
        """What an output without its batch axis has at each position, summed over channels.

        Args:
            over_first: the output summed over its first axis.
            over_last: the same summed over its last axis.
        """
        values = over_first if self.layout in ("channels-first", "tokens-last") else over_last
        if self.layout.startswith("tokens"):
            values = self._unrolled(values[None, None, self._positions(len(values))], channels=1)[0, 0]
        return values

    @property
    def others(self) -> int:
        """How many tokens are no position."""
        return self.prefix + len(self.inside) + self.suffix

    def _positions(self, tokens: int) -> slice | Shaped[np.ndarray, " position"]:
        """Which of so many tokens are positions."""
        if not self.inside:
            return slice(self.prefix, tokens - self.suffix)
        return np.setdiff1d(np.arange(self.prefix, tokens - self.suffix), self.inside)

    def _unrolled(
        self, tokens: Shaped[Array, "batch channel token"], channels: int | None = None
    ) -> Shaped[Array, "batch channel *space"]:
        """Tokens at their positions."""
        leading = (tokens.shape[0], self.channels if channels is None else channels)
        if self.order is None:
            return tokens.reshape(*leading, *self.space)
        ordered = tokens.reshape(*leading, *(self.space[axis] for axis in self.order))
        back = (2 + self.order.index(axis) for axis in range(len(self.space)))
        return array_namespace(ordered).permute_dims(ordered, (0, 1, *back))

    def is_but_for_others(self, grid: Grid) -> bool:
        """Whether a grid is this one, but for where the other tokens stand."""
        return replace(self, prefix=grid.prefix, suffix=grid.suffix, inside=grid.inside) == grid

    def describe(self) -> str:
        """The grid in words, for tables: `14×14 tokens + 1 prefix`."""
        words = "×".join(map(str, self.space))
        if self.layout.startswith("tokens"):
            words += f" tokens + {self.prefix} prefix" if self.prefix else " tokens"
            words += f" + {len(self.inside)} in between" if self.inside else ""
            words += f" + {self.suffix} behind" if self.suffix else ""
            words += _ORDERS.get(self.order, f" (axes in order {self.order})") if self.order else ""
        if self.layout == "channels-last":
            words += " (channels last)"
        return words + (" (batch second)" if self.batch_second else "")


_LAYOUTS: dict[bool, tuple[Layout, Layout]] = {
    False: ("channels-first", "channels-last"),
    True: ("tokens-last", "tokens"),
}
"""Of tokens or not, with channels in front and with channels behind."""

_ORDERS = {(1, 0): " (column by column)", (1, 2, 0): " (place by place)"}
"""In words; a video's place has all its frames behind each other."""


@dataclass(frozen=True, eq=False)
class Rearranged(Grid):
    """A grid that a function of the user's own makes of a layer's output.

    Attributes:
        places: where in the output of one image, flattened, each element of `channel *space` is.
    """

    places: Shaped[np.ndarray, " channel *space"] = field(default_factory=lambda: np.zeros((0, 0), np.int64))

    def canonical(self, output: Shaped[Array, " ..."]) -> Shaped[Array, "batch channel *space"]:
        """The layer's output, or a gradient of the same shape, as `batch channel *space`."""
        return output.reshape(output.shape[0], -1)[:, self.places]

    def embed(
        self, activations: Shaped[Array, "batch channel *space"], like: Shaped[Array, " ..."]
    ) -> Shaped[Array, " ..."]:
        """The inverse of `canonical`: the layer's output with these activations.

        Args:
            activations: in canonical shape.
            like: an output of the layer; what is at no place of the grid is taken over.
        """
        flat, values = (array.reshape(array.shape[0], -1) for array in (like, activations))
        return _put(flat, values, self.places.ravel(), 1).reshape(like.shape)

    def describe(self) -> str:
        """The grid in words."""
        return "×".join(map(str, self.space)) + " (rearranged)"


def _put(
    like: Shaped[Array, " ..."],
    values: Shaped[Array, " ..."],
    where: slice | Shaped[np.ndarray, " place"],
    axis: int,
) -> Shaped[Array, " ..."]:
    """An array with other values at some places along an axis: a new one, through which gradients go to both."""
    count = like.shape[axis]
    taken = np.arange(count)
    taken[where] = count + np.arange(values.shape[axis])
    both = array_namespace(like).concat([like, values], axis=axis)
    return both[(*(slice(None),) * axis, taken)]


class Candidates(NamedTuple):
    """The grids that a layer's output could hold, by its shape; of each kind the likeliest first.

    Attributes:
        likely: along its axes, or met earlier in the same forward.
        possible: those for which nothing speaks but the number of tokens.
        kept: those along its axes whose size was met before, or is the input's by one stride; none where no grid was
            met yet, so that nothing says that what came this far is in place (frequencies, say, are not).
        exact: those whose tokens that are no position are just the ones that stand still.
    """

    likely: list[Grid]
    possible: list[Grid]
    kept: list[Grid]
    exact: frozenset[Grid] = frozenset()

    @property
    def with_channels_in_front(self) -> Candidates:
        """Only those whose channels are axis 1, as a convolution's are."""
        likely, possible, kept = (
            [grid for grid in grids if grid.layout in ("channels-first", "tokens-last")] for grids in self[:3]
        )
        return Candidates(likely, possible, kept, self.exact)


class Still(NamedTuple):
    """Which tokens of an output stay the same, whatever the input is: before a network mixes them, a class token does.

    Attributes:
        behind_batch: numbers of those along axis 1, in ascending order.
        last: of those along the last axis.
    """

    behind_batch: tuple[int, ...] = ()
    last: tuple[int, ...] = ()


NONE_STILL = Still()


def candidate_grids(
    shape: Sequence[int],
    input_shape: Sequence[int],
    seen: Iterable[tuple[int, ...]] = (),
    still: Still = NONE_STILL,
    told: Iterable[Grid] = (),
) -> Candidates:
    """The grids that a layer's output could hold, by its shape.

    Args:
        shape: of the layer's output, batch first.
        input_shape: of the model's input, `batch channel *space`.
        seen: grids met earlier in the same forward (the patch embedding's, say), in order of execution.
        still: which of its tokens stay the same for any input.
        told: grids met earlier in the same forward of which it is known which tokens are no position.
    """
    if len(shape) < 3 or shape[0] != input_shape[0]:
        return Candidates([], [], [])
    size, seen = tuple(input_shape[2:]), list(seen)
    met = list(dict.fromkeys([size, *seen]))
    exact: list[Grid] = []
    likely: list[_Ranked] = []
    possible: list[_Ranked] = []
    kept: list[Grid] = []
    if len(shape) == len(input_shape):
        for unlikely, grid in _axes_grids(shape, size, met):
            if unlikely < _NOT_MET or math.prod(grid.space) >= FEW:  # few may agree by chance
                likely.append((unlikely, grid))
            if seen and unlikely < _NOT_MET and math.prod(grid.space) > 1:
                kept.append(grid)
    if len(shape) == 3:
        found_met, found_cut = _tokens_but_for(still, shape, size, met)
        exact = [grid for _, grid in (*found_met, *found_cut)]
        again = list(_told_tokens(shape, met, told))
        likely += [*(pair for pair in again if pair[1].space in met), *found_met, *_met_tokens(shape, met)]
        possible += [*again, *found_cut, *_cut_tokens(shape, size, met)]
    return Candidates(_likeliest_first(likely), _likeliest_first(possible), kept, frozenset(exact))


_Ranked = tuple[int, Grid]
"""A grid, and how unlikely it is."""

_KNOWN, _BEHIND_PREFIX, _NOT_MET, _UNUSUAL_ORDER, _BEFORE_OTHERS = 1, 1000, 2000, 3000, 7000
"""What makes a grid less likely: that some tokens are no position, though it is known which; else tokens in front of
it; not to have been met; to stand in another order; and tokens behind it."""

_CUT_BUT_FOR_KNOWN = -10
"""Of the grids that an input can be cut into: that those tokens are left out which are known to be no position."""


def _likeliest_first(grids: Iterable[_Ranked]) -> list[Grid]:
    ranked = sorted(grids, key=lambda pair: pair[0])
    return [grid for grid in dict.fromkeys(grid for _, grid in ranked) if math.prod(grid.space) > 1]


def _axes_grids(
    shape: Sequence[int], size: tuple[int, ...], met: Sequence[tuple[int, ...]]
) -> Iterator[_Ranked]:
    """With as many axes as the input: channels first or last. Axes of a grid shrink together, or were met before."""
    first = Grid("channels-first", tuple(shape[2:]), shape[1])
    last = Grid("channels-last", tuple(shape[1:-1]), shape[-1])
    for grid in (first, last):
        yield (0 if grid.space in met else _NOT_MET) - _shrinks(grid.space, size), grid


def _tokens_but_for(
    still: Still, shape: Sequence[int], size: Sequence[int], met: Sequence[tuple[int, ...]]
) -> tuple[list[_Ranked], list[_Ranked]]:
    """Grids of all tokens but those that stand still: those that were met, and those the input can be cut into."""
    found: list[_Ranked] = []
    cut: list[_Ranked] = []
    for (layout, count, channels), others in zip(token_axes(shape), still, strict=True):
        positions = count - len(others)
        if not others:
            continue
        for space in reversed(met):
            if math.prod(space) == positions:
                found += _all_orders(_KNOWN, _but_for(others, Grid(layout, space, channels), count))
        enough = positions >= max(FEW, len(others))  # what nothing else speaks for may agree by chance
        for space in _cuts(positions, size) if enough and not found else ():
            cut += _all_orders(_CUT_BUT_FOR_KNOWN, _but_for(others, Grid(layout, space, channels), count))
    return found, cut


def _but_for(others: Sequence[int], grid: Grid, count: int) -> Grid:
    """A grid of all of so many tokens but some."""
    positions = np.setdiff1d(np.arange(count), others)
    prefix, end = int(positions[0]), int(positions[-1]) + 1
    inside = tuple(number for number in others if prefix < number < end)
    return replace(grid, prefix=prefix, suffix=count - end, inside=inside)


def _told_tokens(
    shape: Sequence[int], met: Sequence[tuple[int, ...]], told: Iterable[Grid]
) -> Iterator[_Ranked]:
    """Tokens of as many as a grid that was met before had, of which the same ones are no position."""
    for layout, count, channels in token_axes(shape):
        for grid in told:
            if math.prod(grid.space) + grid.others == count:
                known = _KNOWN if grid.space in met else _CUT_BUT_FOR_KNOWN
                yield known, replace(grid, layout=layout, channels=channels)


def _met_tokens(shape: Sequence[int], met: Sequence[tuple[int, ...]]) -> Iterator[_Ranked]:
    """Tokens of a grid that was met before; those that leave fewer over first, and of equals the one met last.

    Those left over may stand in front of the grid or behind it, a few of them here and the others there, if they are no
    more than half as many as its positions: of two positions among six, say, one of the five pairs would agree by
    chance. Where they are more than are usual in front, all but so many may stand behind.
    """
    for layout, count, channels in token_axes(shape):
        for space in reversed(met):
            prefix = count - math.prod(space)
            if layout == "tokens" and max(_USUAL_PREFIX_TOKENS) < prefix <= math.prod(space):
                for usual in _USUAL_PREFIX_TOKENS:
                    yield _BEFORE_OTHERS + usual, Grid(layout, space, channels, usual, suffix=prefix - usual)
            if 0 <= prefix <= min(MOST_PREFIX_TOKENS, max(5, math.prod(space))):
                unlikely = _BEHIND_PREFIX + prefix if prefix else 0
                yield from _all_orders(unlikely, Grid(layout, space, channels, prefix))
            few = 2 * prefix <= math.prod(space) and prefix <= max(_USUAL_PREFIX_TOKENS)
            for behind in range(1, prefix + 1) if few else ():
                grid = Grid(layout, space, channels, prefix - behind, suffix=behind)
                yield from _all_orders(_BEFORE_OTHERS + behind, grid)


def _cut_tokens(
    shape: Sequence[int], size: Sequence[int], met: Sequence[tuple[int, ...]]
) -> Iterator[_Ranked]:
    """Tokens of a grid that the input can be cut into, with as many in front as is usual.

    As many tokens as a grid that was met has positions, and as many in front as is usual, are of no other grid.
    """
    positions = {math.prod(space) for space in met}
    for layout, count, channels in token_axes(shape):
        if any(count - prefix in positions for prefix in _USUAL_PREFIX_TOKENS):
            continue
        for prefix in _USUAL_PREFIX_TOKENS:
            for space in _cuts(count - prefix, size) if count - prefix >= FEW else ():
                yield from _all_orders(prefix, Grid(layout, space, channels, prefix))


def token_axes(shape: Sequence[int]) -> tuple[tuple[Layout, int, int], ...]:
    """The layouts of tokens, with how many tokens and channels each would have.

    Args:
        shape: of three axes, batch first.
    """
    return ("tokens", shape[1], shape[2]), ("tokens-last", shape[2], shape[1])


def _all_orders(unlikely: int, grid: Grid) -> Iterator[_Ranked]:
    """In the usual order, and in each other that the axes leave."""
    yield unlikely, grid
    usual, *others = itertools.permutations(range(len(grid.space)))
    del usual
    for order in others:
        yield unlikely + _UNUSUAL_ORDER, replace(grid, order=order)


def _cuts(count: int, size: Sequence[int]) -> list[tuple[int, ...]]:
    """The grids of so many positions that an input can be cut into, by patches up to twice as long as wide.

    Of an input with three axes the first may be time, which is cut in equal parts whatever the patches' length and
    width.
    """
    if count < 2 or len(size) > 3:
        return []
    if len(size) == 1:
        return [(count,)]
    if len(size) == 3:
        depths = (n for n in range(2, size[0] + 1) if size[0] % n == 0 and count % n == 0)
        return [(n, *cut) for n in depths for cut in _cuts(count // n, size[1:])]
    cuts = ((rows, count // rows) for rows in range(2, count // 2 + 1) if count % rows == 0)
    return [(h, w) for h, w in cuts if 0.5 <= (h / size[0]) / (w / size[1]) <= 2]


def _shrinks(space: Sequence[int], size: Sequence[int]) -> int:
    """How well `space` is `size` divided by one stride: 2 up to rounding, 1 to within two positions, 0 not at all."""
    if any(n < 1 or n > s for n, s in zip(space, size, strict=True)):
        return 0
    ratio = max(n / s for n, s in zip(space, size, strict=True))
    off = max(abs(n - ratio * s) for n, s in zip(space, size, strict=True))
    return 2 if off < 1 else 1 if off <= 2 and min(space) > 4 else 0
