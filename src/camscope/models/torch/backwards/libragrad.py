"""Balanced gradients (LibraGrad): backward passes through which a score is the sum of its parts.

Mehri, Soleymani Baghshah, Pilehvar: LibraGrad, CVPR 2025, arXiv:2411.16760.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from camscope.models.torch.hooks.functions import (
    attention_is_constant,
    first_operand,
    open_multi_head_attention,
    thread_state,
)
from camscope.models.torch.hooks.session import overriding
from camscope.undoing import surely


@contextmanager
def balanced_gradients(model: nn.Module) -> Iterator[None]:
    """Forwards run in this context have the same values, but gradients for which input × gradient is complete.

    In a piecewise linear network Σ x·∂y/∂x + Σ b·∂y/∂b over all biases b is y itself. Transformers break that where
    a value is multiplied by something that depends on the input as well. So here, in the backward,

    - attention weights are constants (LibraGrad's pruned form), whether attention is fused or explicit;
    - the scale 1/σ of LayerNorm, RMSNorm, GroupNorm, InstanceNorm and `normalize` is constant;
    - GELU, SiLU, Mish and Hardswish, x·gate(x), have constant gates, and so have ELU, SELU and CELU, gate(x) = f(x)/x;
    - in a product the output of a sigmoid, tanh, erf, softmax or rsqrt is a gate and constant: squeeze-and-excitation,
      gated attention, activations and norms that are written out; so is any divisor;
    - in any other product of two values that depend on the input (SwiGLU, linear attention) each gets half.

    ReLU, pooling, convolutions, and BatchNorm in eval mode are linear piece by piece, and stay. A sigmoid or softmax
    whose output is no factor (the last layer's) has its usual gradient: explain logits.

    Only operations inside the context count; the backward may come later. No module is changed, and other threads
    are not concerned. Call it inside `explaining(model)`: what a model computes from parameters alone (a temperature,
    exp(t)) is known to be constant where they are frozen. Parameters themselves always are.

    Args:
        model: whose parameters are constants.

    Example:
        >>> inputs = x.clone().requires_grad_()
        >>> with camscope.balanced_gradients(model):
        ...     score = model(inputs)[:, 281].sum()
        >>> torch.autograd.grad(score, inputs)[0].shape
        torch.Size([2, 3, 96, 96])
    """
    with surely(thread_state()):
        attention_is_constant.set(True)
        with overriding(_Balanced({id(parameter) for parameter in model.parameters()})):
            yield


_GATES = frozenset(
    {"sigmoid", "sigmoid_", "hardsigmoid", "softmax", "tanh", "tanh_", "erf"}
    | {"rsqrt", "reciprocal", "__rdiv__", "__rtruediv__"}
)
"""Functions whose output is a constant where it is a factor."""

_STILL_GATES = frozenset(
    {"to", "type_as", "float", "double", "half", "bfloat16", "contiguous", "clone", "dropout", "interpolate"}
    | {"view", "view_as", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "expand", "expand_as"}
    | {"transpose", "permute", "movedim", "repeat_interleave", "chunk", "split", "unbind", "__getitem__"}
    | {"__get__", "add", "add_", "sub", "sub_", "__rsub__", "neg", "div", "div_"}
)
"""What may be done to such an output before it is a factor: reshaping, casting, and arithmetic with constants."""

_PRODUCTS = frozenset({"mul", "mul_", "multiply", "matmul", "__matmul__", "bmm", "einsum"})
_QUOTIENTS = frozenset({"div", "div_", "divide", "true_divide", "__truediv__"})

_SLOPE_AT_ZERO = {
    "gelu": 0.5,
    "silu": 0.5,
    "hardswish": 0.5,
    "mish": 0.6,
    "elu": 1.0,
    "celu": 1.0,
    "selu": 1.0507009873554805,
}
"""Activations x·gate(x), and their gate at zero. Elsewhere it is f(x)/x."""


class _Balanced(TorchFunctionMode):
    """Calls torch's functions, with another backward for those that are not linear piece by piece."""

    def __init__(self, constants: set[int]) -> None:
        super().__init__()
        self._constants = constants
        self._gates: dict[int, weakref.ref[torch.Tensor]] = {}

    def __torch_function__(
        self, func: Callable[..., Any], _types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if not torch.is_grad_enabled():
            return func(*args, **kwargs)
        if name == "multi_head_attention_forward":
            with overriding(self):
                return open_multi_head_attention(*args, **kwargs)
        if name == "scaled_dot_product_attention":
            return _attention(func, *args, **kwargs)
        if name in _SLOPE_AT_ZERO:
            return _activation(func, first_operand(args, kwargs), args, kwargs)
        if name in _NORMS:
            return _valued(_NORMS[name](*args, **kwargs), lambda: func(*args, **kwargs))
        if name in _PRODUCTS:
            return self._product(func, args, kwargs)
        if name in _QUOTIENTS and len(args) > 1 and self._depends(args[1]):
            return self._marked(func(args[0], args[1].detach(), *args[2:], **kwargs), self._is_gate(args[0]))
        result = func(*args, **kwargs)
        is_gate = name in _GATES or (name in ("pow", "__pow__") and _is_negative(args[1:]))
        if not is_gate and name in _STILL_GATES:
            operands = args[:1] if name.endswith("_as") else (*args, *kwargs.values())
            inputs = [operand for operand in operands if self._depends(operand)]
            is_gate = bool(inputs) and all(self._is_gate(arg) for arg in inputs)
        return self._marked(result, is_gate)

    def _product(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """A product in which gates are constants. Where two factors are no gates, each gets half the gradient."""
        head = args[:1] if args and isinstance(args[0], str) else ()  # an einsum's equation
        factors = args[len(head) :]
        if len(factors) == 1 and isinstance(factors[0], (tuple, list)):
            factors = tuple(factors[0])
        graded = [factor for factor in factors if self._is_graded(factor)]
        gates = [factor for factor in graded if self._is_gate(factor)]
        if gates and len(gates) < len(graded):
            return func(*head, *(f.detach() if self._is_gate(f) else f for f in factors), **kwargs)
        result = self._marked(func(*args, **kwargs), bool(gates))
        depending = sum(self._depends(factor) for factor in graded)
        return result if gates or depending < 2 else _Valued.apply(result / depending, result.detach())

    def _is_graded(self, value: Any) -> bool:
        """Whether a value has a gradient and is no parameter."""
        return isinstance(value, torch.Tensor) and value.requires_grad and id(value) not in self._constants

    def _depends(self, value: Any) -> bool:
        """Whether a value is made of others that have a gradient.

        A leaf of the graph is not made of others: somebody differentiates by it, by attention weights say.
        """
        return self._is_graded(value) and not value.is_leaf

    def _is_gate(self, value: Any) -> bool:
        gate = self._gates.get(id(value))
        return gate is not None and gate() is value

    def _marked(self, result: Any, is_gate: bool) -> Any:
        if is_gate:
            for tensor in result if isinstance(result, (tuple, list)) else (result,):
                if isinstance(tensor, torch.Tensor):
                    self._gates[id(tensor)] = weakref.ref(tensor)
        return result


# ------------------------------------------------------------------ the rules


def _attention(
    func: Callable[..., torch.Tensor],
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    *args: Any,
    **kwargs: Any,
) -> torch.Tensor:
    """Fused attention whose weights are constants: only the values are part of the graph."""
    mask = None if attn_mask is None else attn_mask.detach()
    return func(query.detach(), key.detach(), value, mask, *args, **kwargs)


def _activation(func: Callable[..., Any], x: torch.Tensor, args: Any, kwargs: Any) -> torch.Tensor:
    """x·gate with a constant gate."""
    in_place = kwargs.get("inplace", False)
    if in_place:
        kwargs = {**kwargs, "inplace": False}
    value = x.detach()
    with torch.no_grad():
        result = func(*args, **kwargs)
        gate = torch.where(value == 0, _SLOPE_AT_ZERO[func.__name__], result / value)
    balanced = cast(torch.Tensor, _Valued.apply(x * gate, result))
    return x.copy_(balanced) if in_place else balanced


def _layer_norm(
    x: torch.Tensor,
    normalized_shape: Any,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    eps: float = 1e-5,
    _cudnn: bool = True,
) -> torch.Tensor:
    axes = tuple(range(-len(tuple(normalized_shape)), 0))
    return _affine(_standardised(x, axes, eps), weight, bias)


def _rms_norm(
    x: torch.Tensor, normalized_shape: Any, weight: torch.Tensor | None = None, eps: float | None = None
) -> torch.Tensor:
    axes = tuple(range(-len(tuple(normalized_shape)), 0))
    square = x.detach().square().mean(axes, keepdim=True)
    scale = (square + (torch.finfo(x.dtype).eps if eps is None else eps)).rsqrt()
    return _affine(x * scale, weight, None)


def _group_norm(
    x: torch.Tensor,
    num_groups: int,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    eps: float = 1e-5,
    _cudnn: bool = True,
) -> torch.Tensor:
    groups = _standardised(x.reshape(x.shape[0], num_groups, -1), (-1,), eps)
    return _affine(groups.reshape(x.shape), _per_channel(weight, x), _per_channel(bias, x))


def _instance_norm(
    x: torch.Tensor,
    running_mean: torch.Tensor | None = None,
    running_var: torch.Tensor | None = None,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    _cudnn: bool = True,
) -> torch.Tensor:
    if use_input_stats:
        return _group_norm(x, x.shape[1], weight, bias, eps)
    # with the statistics of training it is linear as it is
    return functional.instance_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)


def _normalize(
    x: torch.Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: None = None
) -> torch.Tensor:
    length: torch.Tensor = x.detach().norm(p, dim, keepdim=True)
    return x / length.clamp_min(eps)


_NORMS: dict[str, Callable[..., torch.Tensor]] = {
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "normalize": _normalize,
}
"""Each norm as an expression that is linear in x: its scale is a constant."""


def _standardised(x: torch.Tensor, axes: tuple[int, ...], eps: float) -> torch.Tensor:
    variance = x.detach().var(axes, correction=0, keepdim=True)
    return (x - x.mean(axes, keepdim=True)) * (variance + eps).rsqrt()


def _affine(x: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None) -> torch.Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _per_channel(values: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor | None:
    return None if values is None else values.reshape(-1, *(1,) * (x.ndim - 2))


def _valued(linear: torch.Tensor, call: Callable[[], torch.Tensor]) -> torch.Tensor:
    """A linear expression to differentiate, with the value of the call that it stands for, to the last bit.

    Args:
        linear: the expression, which agrees with the call up to rounding.
        call: gives the value.
    """
    with torch.no_grad():
        value = call()
    return cast(torch.Tensor, _Valued.apply(linear.to(value.dtype), value))


class _Valued(torch.autograd.Function):
    """Returns its second argument. In the backward, the first one gets the gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        _linear: Float[torch.Tensor, "*shape"], value: Float[torch.Tensor, "*shape"]
    ) -> Float[torch.Tensor, "*shape"]:
        return value.clone()

    @staticmethod
    def setup_context(_ctx: Any, _inputs: Any, _output: Any) -> None:
        pass

    @staticmethod
    def backward(_ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient, None


def _is_negative(args: tuple[Any, ...]) -> bool:
    return bool(args) and isinstance(args[0], (int, float)) and args[0] < 0
