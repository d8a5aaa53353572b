"""Seeing the attention of any model: fused, explicit, or `nn.MultiheadAttention`, without touching a module."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch.overrides import TorchFunctionMode

from camscope.models.torch.hooks.functions import (
    attention_is_constant,
    contraction,
    first_operand,
    open_multi_head_attention,
    same_shape,
)
from camscope.models.torch.hooks.session import overriding

_MATRIX_PRODUCTS = {"matmul", "__matmul__", "bmm"}


@dataclass(eq=False)
class AttentionCall:
    """One attention as it ran: softmax over keys of query–key products, times the values.

    Attributes:
        weights: the probabilities, `batch head query key`, or without the axis of heads; part of the graph.
        queries, keys: what they were made of (perhaps scaled); None if that could not be followed.
        values, outputs: what they were multiplied with and what came out; outputs are part of the graph.
    """

    weights: Float[torch.Tensor, "*lead query key"]
    queries: Float[torch.Tensor, "*lead query width"] | None = None
    keys: Float[torch.Tensor, "*lead key width"] | None = None
    values: Float[torch.Tensor, "*lead key value_width"] | None = None
    outputs: Float[torch.Tensor, "*lead query value_width"] | None = None


@dataclass(eq=False)
class _Followed:
    """A tensor on its way through operations that keep its shape (scaling, bias, dropout, casting).

    Attributes:
        call: the attention it may belong to.
        forms: the tensor, and what these operations made of it.
    """

    call: AttentionCall
    forms: list[torch.Tensor]

    def is_form(self, tensor: Any) -> bool:
        """Whether this is the tensor that is followed, or was made of it."""
        return any(form is tensor for form in self.forms)


class AttentionCalls(TorchFunctionMode):
    """A context in which every attention is computed step by step and kept, in order, in `calls`.

    Fused attention (`scaled_dot_product_attention`) is replaced by the softmax and products it stands for;
    explicit attention is followed from the query–key product through the softmax to the product with the
    values. Where gradients are enabled, the first attention's probabilities start the graph.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[AttentionCall] = []
        # between a product and its softmax a model computes little else: the last few are all that can be meant
        self._scores: deque[_Followed] = deque(maxlen=4)
        self._weights: deque[_Followed] = deque(maxlen=4)

    def __torch_function__(
        self, func: Callable[..., Any], _types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "scaled_dot_product_attention":
            return self._fused(*args, **kwargs)
        if name == "multi_head_attention_forward":
            return self._multi_head(*args, **kwargs)
        if name in _MATRIX_PRODUCTS or name == "einsum":
            return self._product(func, args, kwargs)
        result = func(*args, **kwargs)
        if name == "softmax":
            return self._softmax(result, args, kwargs)
        if isinstance(result, torch.Tensor) and result.ndim > 2:
            for followed in (*self._scores, *self._weights):
                if any(followed.is_form(arg) and same_shape(arg, result) for arg in args):
                    followed.forms.append(result)
        return result

    # ------------------------------------------------------------------ the three ways to attend

    def _fused(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        """`scaled_dot_product_attention` as its documentation writes it out; dropout is for training only."""
        if enable_gqa:
            key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
            value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
        scores = query @ key.mT * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
        if is_causal:
            attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -math.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        exact = torch.promote_types(scores.dtype, torch.float32)
        weights = _start(scores.softmax(-1, dtype=exact).to(value.dtype))
        outputs = weights @ value
        self.calls.append(AttentionCall(weights, query, key, value, outputs))
        return _given_on(outputs)

    def _multi_head(self, *args: Any, need_weights: bool = True, **kwargs: Any) -> Any:
        """`nn.MultiheadAttention`: run without asking for weights, so that it calls the fused attention, which is seen.

        The weights that it is to return are those that were seen then.
        """
        average = kwargs.get("average_attn_weights", True)
        before = len(self.calls)
        with overriding(self):
            outputs, _ = open_multi_head_attention(*args, need_weights=False, **kwargs)
        if not need_weights or len(self.calls) == before:
            return outputs, None
        weights = self.calls[-1].weights
        return outputs, weights.mean(1) if average else weights

    def _product(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """A product of two tensors: of queries and keys, of probabilities and values, or neither."""
        letters = None
        operands = args
        if func.__name__ == "einsum":
            letters = contraction(args[0]) if args and isinstance(args[0], str) else None
            operands = args[1] if len(args) == 2 and isinstance(args[1], (tuple, list)) else args[1:]
            if letters is None:
                return func(*args, **kwargs)
        if len(operands) != 2 or not all(isinstance(o, torch.Tensor) and o.ndim > 2 for o in operands):
            return func(*args, **kwargs)
        left, right = operands
        for followed in self._weights:
            if followed.is_form(left):
                self._weights.remove(followed)
                return self._attend(followed.call, left, right, letters)
        result = func(*args, **kwargs)
        queries, keys = (left, right.mT) if letters is None else _queries_and_keys(left, right, letters)
        self._scores.append(_Followed(AttentionCall(result, queries, keys), [result]))
        return result

    def _softmax(self, result: torch.Tensor, args: Any, kwargs: Any) -> torch.Tensor:
        scores = first_operand(args, kwargs)
        dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
        if result.ndim < 3 or dim not in (-1, result.ndim - 1):
            return result
        followed = next((f for f in self._scores if f.is_form(scores)), None)
        if followed is not None:
            self._scores.remove(followed)
        elif result.shape[-1] != result.shape[-2]:
            return result
        call = AttentionCall(result)
        if followed is not None:
            call.queries, call.keys = followed.call.queries, followed.call.keys
        self._weights.append(_Followed(call, [result]))
        return result

    def _attend(
        self,
        call: AttentionCall,
        weights: torch.Tensor,
        values: torch.Tensor,
        letters: tuple[str, str, str] | None,
    ) -> torch.Tensor:
        """The product with the values, in the layout `batch head key width` whatever the equation's."""
        started = _start(weights)
        if started is not weights:
            call.weights = weights = started
        self.calls.append(call)
        if letters is None:
            call.values, call.outputs = values, weights @ values
            return _given_on(call.outputs)
        left, right, result = letters
        summed, kept = left[-1], [letter for letter in right if letter not in left]
        fits = len(kept) == 1 and sorted(right) == sorted(left[:-2] + summed + kept[0])
        if not fits or sorted(result) != sorted(left[:-1] + kept[0]):
            return torch.einsum(f"{left},{right}->{result}", weights, values)
        call.values = torch.einsum(f"{right}->{left[:-2]}{summed}{kept[0]}", values)
        call.outputs = weights @ call.values
        return _given_on(torch.einsum(f"{left[:-1]}{kept[0]}->{result}", call.outputs))


def _queries_and_keys(
    left: torch.Tensor, right: torch.Tensor, letters: tuple[str, str, str]
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """The operands of an einsum as `… query width` and `… key width`; None if it is another product."""
    of_left, of_right, result = letters
    summed = [letter for letter in of_left if letter in of_right and letter not in result]
    query, key, lead = result[-2], result[-1], result[:-2]
    fits = len(summed) == 1 and all(
        sorted(of) == sorted(lead + own + summed[0]) for of, own in ((of_left, query), (of_right, key))
    )
    if not fits:
        return None, None
    return (
        torch.einsum(f"{of_left}->{lead}{query}{summed[0]}", left),
        torch.einsum(f"{of_right}->{lead}{key}{summed[0]}", right),
    )


def _start(weights: torch.Tensor) -> torch.Tensor:
    """The probabilities on the graph; where there is none yet, or gradients are balanced, they start a new one."""
    if torch.is_grad_enabled() and (attention_is_constant.get() or not weights.requires_grad):
        return weights.detach().requires_grad_()
    return weights


def _given_on(outputs: torch.Tensor) -> torch.Tensor:
    """A copy for the model to go on with: what it does in place must not change the tensor that gradients are by."""
    return outputs.clone() if outputs.requires_grad else outputs
