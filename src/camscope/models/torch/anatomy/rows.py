"""The rows of a forward that is watched: an image, and copies of it with an altered patch."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol, TypeAlias, TypeVar

import torch
from jaxtyping import Shaped
from torch import nn

from camscope.arrays import to_numpy
from camscope.models.grid import NONE_STILL, Still
from camscope.models.other_tokens import StillTokens
from camscope.models.place import Answer, answer, with_all_altered, with_altered_copies
from camscope.models.torch.hooks.modules import first_tensor, named_layers
from camscope.models.torch.hooks.session import hook_after, hook_before
from camscope.models.torch.precision import widened

Given = TypeVar("Given")
Kept = TypeVar("Kept")

Spot: TypeAlias = tuple[str, int, str]
"""Where a forward met a tensor: a module by name, which of its calls (from 1), and `input` or `output`."""


class Rows(Protocol):
    """Tells, of a tensor that a forward met, its shape for one image and how it answers to an altered patch."""

    def shape(self, tensor: torch.Tensor) -> tuple[int, ...]:
        """The shape for one image."""
        ...

    def answer(self, tensor: torch.Tensor, spot: Spot) -> Answer | None:
        """How the altered copies differ; None for what has no positions or is no batch of images.

        Args:
            tensor: what was met.
            spot: where.
        """
        ...


class Together:
    """All of them in one batch.

    Args:
        count: how many there are, with the image.
        spare: how many rows come behind them that say nothing.
    """

    def __init__(self, count: int, spare: int = 0) -> None:
        self._count, self._rows = count, count + spare
        self._sizes: set[int] = set()
        self._is_square = False

    @property
    def to_spare(self) -> int:
        """How many rows more it takes until no tensor has as many tokens as there are rows; mostly none.

        Of such a tensor nothing says which of both axes is the batch.
        """
        more = (n for n in itertools.count() if self._rows + n not in self._sizes)
        return next(more) if self._is_square else 0

    def shape(self, tensor: torch.Tensor) -> tuple[int, ...]:
        """The shape for one image."""
        first, *others = tensor.shape or (1,)
        if rows_first(tensor, self._rows) is not tensor:
            return (first, 1, *others[1:])
        return (first // self._rows if first % self._rows == 0 else first, *others)

    def answer(self, tensor: torch.Tensor, spot: Spot) -> Answer | None:
        """How the rows differ."""
        del spot
        if tensor.ndim == 3 and self._rows in tensor.shape[:2]:
            self._sizes.update(tensor.shape[:2])
            self._is_square |= tensor.shape[0] == tensor.shape[1]
        tensor = rows_first(tensor, self._rows)
        if tensor.shape[0] != self._rows or not _could_have_a_grid(tensor):
            return None
        clean, *altered = widened(tensor.detach())[: self._count]
        return answer(clean, altered)


class Apart:
    """Each in a forward of its own, for a model that takes one image at a time; the image comes last.

    Args:
        altered: for each of the altered copies what its forward met at every spot.
    """

    def __init__(self, altered: Sequence[Mapping[Spot, torch.Tensor]]) -> None:
        self._altered = altered

    def shape(self, tensor: torch.Tensor) -> tuple[int, ...]:
        """The shape for one image."""
        return tuple(tensor.shape)

    def answer(self, tensor: torch.Tensor, spot: Spot) -> Answer | None:
        """How the tensors at the same spot differ."""
        altered = [run[spot] for run in self._altered if spot in run and run[spot].shape == tensor.shape]
        own, *others = (rows_first(one, 1) for one in (tensor, *altered))
        if len(altered) < len(self._altered) or own.shape[0] != 1 or not _could_have_a_grid(own):
            return None
        return answer(widened(own.detach())[0], [widened(one)[0] for one in others])


def rows_first(tensor: Shaped[torch.Tensor, " ..."], count: int) -> Shaped[torch.Tensor, " ..."]:
    """A tensor with so many rows behind its positions, as a sequence-first transformer has them, with these in front.

    Args:
        tensor: any; one that has its rows in front already, or none, comes back itself.
        count: how many rows there are.
    """
    second = tensor.ndim == 3 and tensor.shape[0] != count and tensor.shape[1] == count
    return tensor.transpose(0, 1) if second else tensor


def rows_of(image: Shaped[torch.Tensor, "one ..."]) -> Shaped[torch.Tensor, "row ..."]:
    """The image and its altered copies, see `camscope.models.place.with_altered_copies`.

    Args:
        image: a batch of one; of two axes it holds the numbers of tokens.
    """
    rows = with_altered_copies(to_numpy(widened(image)), tokens=image.ndim == 2)
    return torch.from_numpy(rows).to(image)


def met(
    model: nn.Module, forward: Callable[[Given], Any], given: Given, *, as_given: bool = False
) -> dict[Spot, torch.Tensor]:
    """The tensors that one forward met, of those that could have a grid, in the order it met them.

    Args:
        model: an unwrapped module.
        forward: runs it.
        given: what it is run on.
        as_given: see `_noting`.
    """
    with _noting(model, torch.clone, as_given=as_given) as found:
        forward(given)
    return found


def still_in(
    model: nn.Module, forward: Callable[[torch.Tensor], Any], image: torch.Tensor, *, apart: bool
) -> dict[Spot, Still]:
    """Which tokens of each tensor that a forward meets stay the same when the whole image is altered.

    Args:
        model: an unwrapped module.
        forward: runs it.
        image: a batch of one.
        apart: whether it takes one image at a time.
    """
    both = torch.from_numpy(with_all_altered(to_numpy(widened(image)), tokens=image.ndim == 2)).to(image)
    still = StillTokens()
    if not apart:
        last, told = both, NONE_STILL  # what one module puts out goes into the next: it is looked at once

        def kept(tensor: torch.Tensor) -> Still:
            nonlocal last, told
            same = tensor.data_ptr() == last.data_ptr() and tensor._version == last._version
            if not same or (tensor.shape, tensor.stride()) != (last.shape, last.stride()):
                last, told = tensor, still.of(rows_first(tensor, 2))
            return told

        with _noting(model, kept, as_given=True) as found:
            forward(both)
        return found
    own, altered = (met(model, forward, one, as_given=True) for one in (both[:1], both[1:]))
    pairs = {spot: (own[spot], altered[spot]) for spot in own if spot in altered}
    return {
        spot: still.of(torch.cat([rows_first(one, 1)[:1] for one in pair]))
        for spot, pair in pairs.items()
        if pair[0].shape == pair[1].shape
    }


@contextmanager
def _noting(
    model: nn.Module, kept: Callable[[torch.Tensor], Kept], *, as_given: bool = False
) -> Iterator[dict[Spot, Kept]]:
    """Within this context what is kept of each tensor that goes into a module or comes out is noted.

    Args:
        model: an unwrapped module.
        kept: makes it.
        as_given: whether what goes in is noted before the module runs, and not as the module leaves it.
    """
    found: dict[Spot, Kept] = {}
    calls: Counter[str] = Counter()

    def note(values: Any, *spot: Any) -> None:
        tensor = first_tensor(values)
        if tensor is not None and _could_have_a_grid(tensor):
            found[spot] = kept(tensor.detach())

    def begin(name: str) -> Any:
        return lambda _module, given: note(given, name, calls[name] + 1, "input")

    def end(name: str) -> Any:
        def ended(_module: nn.Module, given: Any, output: Any) -> None:
            calls[name] += 1
            if not as_given:
                note(given, name, calls[name], "input")
            note(output, name, calls[name], "output")

        return ended

    with ExitStack() as hooks:
        for name, module in named_layers(model).items():
            if as_given:
                hooks.callback(hook_before(module, begin(name)).remove)
            hooks.callback(hook_after(module, end(name)).remove)
        yield found


def _could_have_a_grid(tensor: torch.Tensor) -> bool:
    return tensor.ndim >= 3 and tensor.is_floating_point()
