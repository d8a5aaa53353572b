"""Whether what a model computes of a layer's activations is a sum of terms, each of one of them, whatever they are."""

from __future__ import annotations

from enum import Enum
from typing import Any

import torch

from camscope.models.torch.reruns.following import Following, Labels


class Made(Enum):
    """How each number is made of a source."""

    OF_ONE = "of one number of the source"
    BY_SUMS = "as a sum of such numbers, each times a constant"
    OTHERWISE = "in any other way"


class FollowingSums(Following):  # type: ignore[no-untyped-call]
    """Follows how what is computed is made of a source. Its labels are `Made`; the source starts with `Made.OF_ONE`.

    What is made by an operation that is not listed below counts as made in any other way.
    """

    def is_a_sum(self, value: Any) -> bool:
        """Whether a value is made of the source as a sum, and its numbers have decided no branch."""
        labels = self.of(value)
        return bool(labels) and Made.OTHERWISE not in labels and not self.read

    def _labels_of(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], made: list[torch.Tensor]
    ) -> Labels:
        labels = super()._labels_of(func, args, kwargs, made)
        if not labels:
            return labels
        otherwise: Labels = frozenset({Made.OTHERWISE})
        name = func._schema.name.removeprefix("aten::").rstrip("_")
        if Made.OTHERWISE in labels or self.of(kwargs) or not _is_plain(func, name, args, made):
            return otherwise
        if name in _MOVES:
            return labels
        followed = [bool(self.of(value)) for value in args]
        alone = sum(followed) == 1
        if name in _ON_EACH:
            return labels if alone and labels == {Made.OF_ONE} else otherwise
        times_constants = name in _TIMES_CONSTANTS and not any(followed[1:])
        product = name in _PRODUCTS and sum(followed[i] for i in _PRODUCTS[name]) < 2
        if not (times_constants or product or name in _SUMS):
            return otherwise
        return labels if alone and name in _APART else frozenset({Made.BY_SUMS})


def _is_plain(func: Any, name: str, args: tuple[Any, ...], made: list[torch.Tensor]) -> bool:
    """Whether an operation does what its name says: it does not round, nor read bits, nor look at the whole batch."""
    if not all(tensor.is_floating_point() for tensor in made):
        return False
    if func._schema.overload_name in ("dtype", "Tensor_mode", "Scalar_mode"):
        return False
    return not (name in _BATCH_NORMS and args[5])


_MOVES = frozenset(
    """_reshape_alias _to_copy _unsafe_view alias as_strided cat clone constant_pad_nd copy detach diagonal expand flip
    index_select lift_fresh permute repeat roll select slice split split_with_sizes squeeze stack t transpose unbind
    unfold unsqueeze view""".split()  # noqa: SIM905
)
"""They put the same numbers elsewhere."""

_ON_EACH = frozenset({"clamp", "clamp_max", "clamp_min", "hardtanh", "relu"})
"""They make each number of one number."""

_SUMS = frozenset(
    {"_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "avg_pool2d", "avg_pool3d", "mean", "sum"}
) | {"add", "neg", "rsub", "sub"}

_BATCH_NORMS = frozenset({"cudnn_batch_norm", "miopen_batch_norm", "native_batch_norm"})

_NORMS = _BATCH_NORMS | {"_native_batch_norm_legit_no_training"}

_TIMES_CONSTANTS = _NORMS | {"convolution", "div", "masked_fill"}
"""Sums where nothing but the first operand is made of the source."""

_PRODUCTS = {
    "mul": (0, 1),
    "mm": (0, 1),
    "bmm": (0, 1),
    "mv": (0, 1),
    "dot": (0, 1),
    "addmm": (1, 2),
    "baddbmm": (1, 2),
}
"""Sums where at most one of the factors, which are at these places, is made of the source."""

_APART = _NORMS | {"add", "div", "masked_fill", "mul", "neg", "rsub", "sub"}
"""They put no numbers of one operand together."""
