"""Where the spatial grid is in a layer's output: from any layout to `batch channel *space` and back.

Framework-free: it reasons on shapes alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from array_api_compat import array_namespace
from einops import rearrange
from jaxtyping import Shaped

from camscope.arrays import Array

Layout = Literal["channels-first", "channels-last", "tokens", "tokens-last"]

_MOST_PREFIX_TOKENS = 32
"""More tokens than that in front of a grid are another grid that was not met before."""

_FEWEST_CHANNELS = 16
"""Fewer channels than that are more likely a few tokens (class, distillation) without the grid."""


@dataclass(frozen=True)
class Grid:
    """How a layer's output holds its grid.

    Attributes:
        layout: `channels-first` (b c *s), `channels-last` (b *s c), `tokens` (b n c), `tokens-last` (b c n).
        space: size of the grid along each axis.
        channels: number of channels.
        prefix: tokens in front of the grid that are no position: CLS, distillation, registers.
    """

    layout: Layout
    space: tuple[int, ...]
    channels: int
    prefix: int = 0

    def canonical(self, output: Shaped[Array, "batch ..."]) -> Shaped[Array, "batch channel *space"]:
        """The layer's output, or a gradient of the same shape, as `batch channel *space`: a view where possible.

        Tokens in front of the grid are left out.
        """
        if self.layout == "channels-first":
            return output
        if self.layout == "channels-last":
            return rearrange(output, "b ... c -> b c ...")
        if self.layout == "tokens":
            tokens = rearrange(output[:, self.prefix :], "b n c -> b c n")
        else:
            tokens = output[..., self.prefix :]
        return tokens.reshape(tokens.shape[0], self.channels, *self.space)

    def embed(
        self, activations: Shaped[Array, "batch channel *space"], like: Shaped[Array, "batch ..."]
    ) -> Shaped[Array, "batch ..."]:
        """The inverse of `canonical`: the layer's output with these activations.

        Args:
            activations: in canonical shape.
            like: an output of the layer, whose prefix tokens are taken over.
        """
        if self.layout == "channels-first":
            return activations
        if self.layout == "channels-last":
            return rearrange(activations, "b c ... -> b ... c")
        xp = array_namespace(activations)
        tokens = rearrange(activations, "b c ... -> b c (...)")
        if self.layout == "tokens-last":
            return xp.concat([like[..., : self.prefix], tokens], axis=2)
        return xp.concat([like[:, : self.prefix], rearrange(tokens, "b c n -> b n c")], axis=1)

    def describe(self) -> str:
        """The grid in words, for tables: `14×14 tokens + 1 prefix`."""
        words = "×".join(map(str, self.space))
        if self.layout.startswith("tokens"):
            words += f" tokens + {self.prefix} prefix" if self.prefix else " tokens"
        if self.layout == "channels-last":
            words += " (channels last)"
        return words


def find_grid(
    shape: Sequence[int],
    input_shape: Sequence[int],
    seen: Iterable[tuple[int, ...]] = (),
    *,
    prefers_last: bool | None = None,
    certain: bool = False,
) -> Grid | None:
    """The grid in a layer's output, or None if there is none.

    Args:
        shape: of the layer's output, batch first.
        input_shape: of the model's input, `batch channel *space`.
        seen: grids met earlier in the same forward (the patch embedding's, say), in order of execution.
        prefers_last: whether layers of this kind keep channels last (LayerNorm, Linear), first (convolution),
            or None if the kind does not tell. Decides only what the sizes leave open.
        certain: whether a layer of this kind can do nothing else (a convolution), whatever the sizes look like.

    The sizes decide first: the axes of a grid shrink together, each by the stride, so height/H ≈ width/W. A token
    axis is a grid met before, plus a few prefix tokens; or, if none fits, the input's own aspect. A grid met before
    that was cut into windows, `batch window token channel`, is none: the order of its positions is not known.
    """
    seen = tuple(seen)
    if len(shape) < 3 or shape[0] != input_shape[0]:
        return None
    size = tuple(input_shape[2:])
    grid = None
    if len(shape) == len(input_shape):
        grid = _axes_grid(shape, size, seen, prefers_last=prefers_last, certain=certain)
    elif len(shape) == 3:
        grid = _token_grid(shape, size, seen)
    return grid if grid is not None and math.prod(grid.space) > 1 else None


def _axes_grid(
    shape: Sequence[int],
    size: tuple[int, ...],
    seen: tuple[tuple[int, ...], ...],
    *,
    prefers_last: bool | None,
    certain: bool,
) -> Grid | None:
    """The grid in an output with as many axes as the input, channels first or last. See `find_grid`."""
    first = Grid("channels-first", tuple(shape[2:]), shape[1])
    last = Grid("channels-last", tuple(shape[1:-1]), shape[-1])
    if prefers_last is None:
        grid = max(first, last, key=lambda grid: _shrinks(grid.space, size))
        return grid if _shrinks(grid.space, size) else None
    grid, other = (last, first) if prefers_last else (first, last)
    # a permuted output of such a layer: its sizes say the opposite beyond doubt
    if not certain and not _shrinks(grid.space, size) and _shrinks(other.space, size):
        return other
    small_enough = all(n <= 4 * s for n, s in zip(grid.space, size, strict=True))
    return grid if small_enough and not _windows(grid.space, size, seen) else None


def _shrinks(space: Sequence[int], size: Sequence[int]) -> int:
    """How well `space` is `size` divided by one stride: 2 up to rounding, 1 to within two positions, 0 not at all."""
    if any(n < 1 or n > s for n, s in zip(space, size, strict=True)):
        return 0
    ratio = max(n / s for n, s in zip(space, size, strict=True))
    off = max(abs(n - ratio * s) for n, s in zip(space, size, strict=True))
    return 2 if off < 1 else 1 if off <= 2 and min(space) > 4 else 0


def _windows(space: tuple[int, ...], size: Sequence[int], seen: tuple[tuple[int, ...], ...]) -> bool:
    """Whether these axes are a grid met before, cut into windows.

    They do not shrink together, and hold as many positions as that grid, in another order.

    Args:
        space: size of the axes.
        size: of the model's input along each axis.
        seen: grids met before.
    """
    return not _shrinks(space, size) and any(
        grid != space and math.prod(grid) == math.prod(space) and _shrinks(grid, size) for grid in seen
    )


def _token_grid(
    shape: Sequence[int], size: tuple[int, ...], seen: tuple[tuple[int, ...], ...]
) -> Grid | None:
    """The grid in a sequence of tokens: one met before, or one of the input's aspect, and a few tokens in front.

    Args:
        shape: `batch token channel`, or `batch channel token`.
        size: of the model's input along each axis.
        seen: grids met before. Of several that leave equally few tokens over, the one met last is taken.
    """
    for layout, count, channels in (("tokens", shape[1], shape[2]), ("tokens-last", shape[2], shape[1])):
        if layout == "tokens-last" and channels < _FEWEST_CHANNELS:
            continue
        options = [grid for grid in seen if 0 <= count - math.prod(grid) <= _MOST_PREFIX_TOKENS]
        # a video's tokens may be patches of frames or tubes through them, which their number does not tell
        if not options and len(size) < 3:
            options = _same_aspect(count, size)
        options = [grid for grid in options if math.prod(grid) > 1]
        if options:
            space = min(reversed(options), key=lambda grid: count - math.prod(grid))
            prefix = count - math.prod(space)
            if prefix <= max(8, math.prod(space)):
                return Grid("tokens" if layout == "tokens" else "tokens-last", space, channels, prefix)
    return None


def _same_aspect(count: int, size: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Grids the input could have been cut into by square patches, with few tokens left over."""
    grids = {tuple(s // patch for s in size) for patch in range(1, max(size) + 1)}
    return [grid for grid in sorted(grids) if 0 <= count - math.prod(grid) <= 8]
