"""The rows of a forward that is watched: an image, and copies of it with an altered patch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol, TypeAlias, TypeVar

import torch
from jaxtyping import Shaped
from torch import nn

from camscope.arrays import to_numpy
from camscope.models.grid import NONE_STILL, Still
from camscope.models.other_tokens import standing_still
from camscope.models.place import Answer, answer, with_all_altered, with_altered_copies
from camscope.models.torch.hooks.modules import first_tensor, named_layers
from camscope.models.torch.hooks.session import hook_after
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
    """

    def __init__(self, count: int) -> None:
        self._count = count

    def shape(self, tensor: torch.Tensor) -> tuple[int, ...]:
        """The shape for one image."""
        first, *others = tensor.shape or (1,)
        if rows_first(tensor, self._count) is not tensor:
            return (first, 1, *others[1:])
        return (first // self._count if first % self._count == 0 else first, *others)

    def answer(self, tensor: torch.Tensor, spot: Spot) -> Answer | None:
        """How the rows differ."""
        del spot
        tensor = rows_first(tensor, self._count)
        if tensor.shape[0] != self._count or not _could_have_a_grid(tensor):
            return None
        clean, *altered = widened(tensor.detach())
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


def met(model: nn.Module, forward: Callable[[Given], Any], given: Given) -> dict[Spot, torch.Tensor]:
    """The tensors that one forward met, of those that could have a grid.

    Args:
        model: an unwrapped module.
        forward: runs it.
        given: what it is run on.
    """
    with _noting(model, torch.clone) as found:
        forward(given)
    return found


def still_in(
    model: nn.Module, forward: Callable[[torch.Tensor], Any], image: torch.Tensor, *, apart: bool
) -> dict[Spot, Still]:
    """Which tokens of each output stay the same when the whole image is altered.

    The first output that has such tells it for all of as many tokens; the later ones are not looked at.

    Args:
        model: an unwrapped module.
        forward: runs it.
        image: a batch of one.
        apart: whether it takes one image at a time.
    """
    both = torch.from_numpy(with_all_altered(to_numpy(widened(image)), tokens=image.ndim == 2)).to(image)
    if apart:
        own, altered = met(model, forward, both[:1]), met(model, forward, both[1:])
        alike = [spot for spot in own if spot in altered and own[spot].shape == altered[spot].shape]
        pairs = {spot: [rows_first(run[spot], 1)[0] for run in (own, altered)] for spot in alike}
        return {spot: standing_still(torch.stack(pair)) for spot, pair in pairs.items()}

    told: set[int] = set()

    def still(tensor: torch.Tensor) -> Still:
        rows = rows_first(tensor, 2)
        if len(rows) != 2 or rows.shape[1] in told:
            return NONE_STILL
        found = standing_still(rows)
        if found.behind_batch:
            told.add(rows.shape[1])
        return found

    with _noting(model, still, inputs=False) as found:
        forward(both)
    return found


@contextmanager
def _noting(
    model: nn.Module, kept: Callable[[torch.Tensor], Kept], *, inputs: bool = True
) -> Iterator[dict[Spot, Kept]]:
    """Within this context what is kept of each tensor that a forward meets is noted: of outputs, and of inputs."""
    found: dict[Spot, Kept] = {}
    calls: Counter[str] = Counter()

    def end(name: str) -> Any:
        def note(_module: nn.Module, given: Any, output: Any) -> None:
            calls[name] += 1
            for side, values in (("input", given), ("output", output))[0 if inputs else 1 :]:
                tensor = first_tensor(values)
                if tensor is not None and _could_have_a_grid(tensor):
                    found[name, calls[name], side] = kept(tensor.detach())

        return note

    with ExitStack() as hooks:
        for name, module in named_layers(model).items():
            hooks.callback(hook_after(module, end(name)).remove)
        yield found


def _could_have_a_grid(tensor: torch.Tensor) -> bool:
    return tensor.ndim >= 3 and tensor.is_floating_point()
