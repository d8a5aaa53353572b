"""What a module returned, whatever it holds tensors in: looked into, copied, and cut to one image's part."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """Every tensor in an output, in the order in which they are reached."""
    return (leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor))


def is_transparent(output: Any) -> bool:
    """Whether all that an output holds can be seen: no tensor is hidden in an object of a class of its own."""
    plain = (torch.Tensor, str, bytes, bool, int, float, complex, torch.Size, torch.dtype, torch.device)
    return all(leaf is None or isinstance(leaf, plain) for leaf in tree_leaves(output))


def only_tensors(output: Any) -> bool:
    """Whether an output holds nothing but tensors. Python may read a number without being noticed, no tensor."""
    return all(leaf is None or isinstance(leaf, torch.Tensor) for leaf in tree_leaves(output))


def shared_by_images(of_two: Any, of_one: Any) -> frozenset[int]:
    """Which tensors in a module's output, by number, are the same for all images: as large for two as for one.

    Args:
        of_two: the output for two images.
        of_one: for one.
    """
    pairs = zip(tensors_in(of_two), tensors_in(of_one), strict=False)
    return frozenset(i for i, (two, one) in enumerate(pairs) if two.shape == one.shape)


def of_image(output: Any, batch: int, image: int, count: int, shared: frozenset[int] = frozenset()) -> Any:
    """One image's part of a module's output, as it would be for `count` copies of the image.

    A view without memory of its own, but where a module folds windows into the batch.

    Args:
        output: of a batch.
        batch: how many images that was.
        image: which of them.
        count: how many copies.
        shared: numbers of the tensors that are the same for all images.
    """
    numbers = itertools.count()

    def part(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and next(numbers) in shared:
            return value
        if not isinstance(value, torch.Tensor) or value.ndim == 0 or value.shape[0] % batch:
            return value
        each = value.shape[0] // batch  # more than one where a module folds windows into the batch
        own = value[image * each : (image + 1) * each]
        if each == 1:
            return own.expand(count, *own.shape[1:])
        return own.repeat(count, *(1,) * (own.ndim - 1))

    return tree_map(part, output)


def hollow(value: Any) -> Any:
    """A tensor of the same shape and kind with one element of memory; anything else as it is.

    The element is NaN where the kind has one, so that a use of what was taken for unused shows in the outputs.
    """
    if not isinstance(value, torch.Tensor):
        return value
    has_nan = value.is_floating_point() or value.is_complex()
    return value.new_full((), torch.nan if has_nan else 0).expand(value.shape)


def cloned(value: Any) -> Any:
    """A copy, where it is a tensor: what follows in place cannot reach the original."""
    return value.detach().clone() if isinstance(value, torch.Tensor) else value
