"""The gradients a score is made of: by the input and by every bias (FullGrad, Srinivas & Fleuret 2019).

Biases are found where they are added, by watching the calls of torch's functions, not at modules: so a layer
called twice counts twice, a bias in a functional call counts, and a batch norm that fuses its activation (timm's
BatchNormAct2d) is still seen before that activation. The gradient is taken at the node of the graph that added
the bias, which no later in-place operation moves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from camscope.errors import TargetError
from camscope.evidence import FullGradients
from camscope.models.torch.hooks.functions import all_forms, first_operand
from camscope.models.torch.hooks.session import overriding
from camscope.models.torch.precision import widened
from camscope.outputs import Outputs
from camscope.targets import Targets

_WEIGHTED: dict[Any, tuple[int, Literal[1, -1]]] = {
    functional.linear: (2, -1),
    **{
        convolution: (2, 1)
        for dims in (1, 2, 3)
        for convolution in (getattr(torch, f"conv{dims}d"), getattr(torch, f"conv_transpose{dims}d"))
    },
    functional.layer_norm: (3, -1),
    functional.group_norm: (3, 1),
    functional.instance_norm: (4, 1),
}
"""Functions with a `bias`: its place among the arguments, and the axis of channels in their output."""

_ADDING = all_forms("add")
_SUBTRACTING = all_forms("sub", "subtract")
_SUBTRACTED_FROM = {torch.rsub, torch.Tensor.__rsub__}

_CURVED = (
    all_forms("relu6", "hardtanh", "clamp", "clamp_min", "clamp_max", "clip")
    | all_forms("elu", "selu", "celu", "gelu", "silu", "mish", "hardswish")
    | all_forms("hardsigmoid", "sigmoid", "tanh", "softplus", "logsigmoid")
)
"""Activations with an implicit bias. ReLU, leaky ReLU and PReLU have none: their tangents go through the origin."""


def full_gradients(
    model: nn.Module,
    run: Callable[[torch.Tensor], Outputs],
    x: Float[torch.Tensor, "batch channel *size"],
    targets: Targets,
) -> FullGradients:
    """One forward that notes every bias, and one full backward per target.

    A bias is whatever is added and does not depend on the input: of convolutions, linear layers and norms, the
    implicit bias β − γμ/√(σ² + ε) of a batch norm, constants added by the model itself; and the implicit bias
    σ(z) − σ'(z)z of an activation whose tangent misses the origin (a saturated ReLU6, GELU …), by which the
    paper extends the method beyond ReLU. Layers that the score does not use (auxiliary heads) are left out.

    Args:
        model: to be called inside `explaining(model)`: in eval mode, its parameters frozen.
        run: the forward, batch → outputs.
        x: the batch.
        targets: whose scores are taken apart.

    Raises:
        TargetError: if the scores do not depend on the input by anything that can be differentiated.
    """
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        with overriding(_AddedBiases()) as added:
            scores = targets.scores(run(leaf.clone()))  # a copy: the first layer may work in place
    if not scores.requires_grad:
        raise TargetError(
            f"The scores of {type(model).__name__} do not depend on its input by anything that can be "
            "differentiated (a detach, an argmax or a no_grad lies between), so there are no input gradients."
        )
    columns = []
    by: list[Any] = [leaf, *(bias.edge for bias in added.found)]
    for t in range(scores.shape[1]):
        gradients = torch.autograd.grad(
            scores[:, t].sum(),
            by,
            retain_graph=t + 1 < scores.shape[1],
            allow_unused=True,
        )
        columns.append(_column(leaf, added.found, gradients))
    inputs = torch.stack([column.inputs for column in columns], dim=1) * widened(x.detach())[:, None]
    rest = torch.stack([column.rest for column in columns], dim=1)
    biases = tuple(_stacked([column.biases.get(i) for column in columns]) for i in sorted(_used(columns)))
    by_layer = [rest, *(term.flatten(2).sum(2) for term in (*biases, inputs))]
    return FullGradients(inputs, biases, rest, completeness_gap(widened(scores.detach()), by_layer))


def completeness_gap(
    scores: Float[torch.Tensor, "batch target"], terms: Sequence[Float[torch.Tensor, "batch target"]]
) -> Float[torch.Tensor, "batch target"]:
    """|score − Σ terms| / (|score| + Σ |terms|): rounding where the parts add up to the score, up to 1 if not."""
    parts = torch.stack(list(terms))
    size = scores.abs() + parts.abs().sum(0)
    return (scores - parts.sum(0)).abs() / size.clamp(min=torch.finfo(size.dtype).tiny)


@dataclass(frozen=True)
class _Bias:
    """A bias as it was added on one call.

    Attributes:
        edge: the output it became part of.
        value: broadcasts against that output.
        channel: the output's axis of channels; None if it is no value per channel, of which a map could be made.
    """

    edge: GradientEdge
    value: torch.Tensor
    channel: Literal[1, -1] | None


@dataclass(frozen=True)
class _Column:
    """What one target yields.

    Attributes:
        inputs: ∂score/∂x.
        biases: each bias times its gradient, where that is a map, by the number of the bias; those that are not in the
            score are missing.
        rest: the sum over all other biases times their gradients.
    """

    inputs: Float[torch.Tensor, "batch channel *size"]
    biases: Mapping[int, torch.Tensor]
    rest: Float[torch.Tensor, " batch"]


class _AddedBiases(TorchFunctionMode):
    """Notes each bias that is added to something the input reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[_Bias] = []
        self._layout: Literal[1, -1] = 1

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        intercept = _intercept(func, args, kwargs) if func in _CURVED else None  # before a call in place
        output = func(*args, **kwargs)
        if isinstance(output, torch.Tensor) and output.requires_grad:
            if func in _WEIGHTED:
                self._layout = _WEIGHTED[func][1]
            added = (intercept, self._layout) if intercept is not None else None
            value, channel = added or _bias_of(func, args, kwargs, output, self._layout)
            if value is not None:
                # now, before an in-place operation gives this tensor another node
                self.found.append(_Bias(get_gradient_edge(output), value, channel))
        return output


def _bias_of(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: torch.Tensor, layout: Literal[1, -1]
) -> tuple[torch.Tensor | None, Literal[1, -1] | None]:
    """What a call adds to its input.

    Args:
        func: the function that was called.
        args: by position.
        kwargs: by keyword.
        output: what it returned.
        layout: the axis of channels in what the last layer with weights put out.

    Returns:
        value: shaped to broadcast against the output; None if nothing is added.
        channel: the output's axis of channels; None if the value is not one number for each channel.
    """
    if func in _WEIGHTED:
        place, channel = _WEIGHTED[func]
        bias: torch.Tensor | None = args[place] if len(args) > place else kwargs.get("bias")
        return _along(bias, channel, output), channel
    if func is functional.batch_norm:
        return _along(_of_batch_norm(*args, **kwargs), 1, output), 1
    if func is torch.batch_norm:
        x, weight, bias, mean, var, training, momentum, eps, *_ = args
        return _along(_of_batch_norm(x, mean, var, weight, bias, training, momentum, eps), 1, output), 1
    constant = _constant_of(func, args, kwargs)
    if constant is None:
        return None, None
    value = torch.as_tensor(constant, dtype=output.dtype, device=output.device).detach()
    # an infinite constant is a mask, and no part of the score
    return torch.where(value.isfinite(), value, 0), _axis_of_channels(value, output, layout)


def _intercept(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
    """σ(z) − σ'(z)z: where the tangent of a pointwise activation meets the axis."""
    z: torch.Tensor = first_operand(args, kwargs)
    if not z.requires_grad:
        return None
    options = {name: value for name, value in kwargs.items() if name != "input"}
    with torch.enable_grad():
        at = z.detach().clone().requires_grad_()
        y: torch.Tensor = func(at.clone(), *args[1:], **options)
        (slope,) = torch.autograd.grad(y.sum(), at)
    return (y - slope * at).detach()


def _along(bias: torch.Tensor | None, channel: Literal[1, -1], output: torch.Tensor) -> torch.Tensor | None:
    """One value per channel, to be broadcast along the other axes."""
    if bias is None or channel == -1:
        return bias
    return bias.reshape(-1, *(1,) * (output.ndim - 2))


def _of_batch_norm(
    _x: torch.Tensor,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> torch.Tensor | None:
    """β − γμ/√(σ² + ε); β alone where the statistics are the batch's own."""
    if training or running_mean is None or running_var is None:
        return bias
    shift = -widened(running_mean) * (widened(running_var) + eps).rsqrt()
    if weight is not None:
        shift = shift * widened(weight)
    return shift if bias is None else shift + widened(bias)


def _constant_of(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a sum or a difference adds that does not depend on the input; None if both sides depend on it."""
    if func not in _ADDING | _SUBTRACTING | _SUBTRACTED_FROM:
        return None
    left = first_operand(args, kwargs)
    right = args[1] if len(args) > 1 else kwargs["other"]
    alpha = kwargs.get("alpha", 1)
    if func in _SUBTRACTED_FROM:
        left, right, left_factor, right_factor = right, left, 1, -alpha
    else:
        left_factor, right_factor = 1, -alpha if func in _SUBTRACTING else alpha
    constant = [
        factor * side
        for side, factor in ((left, left_factor), (right, right_factor))
        if not (isinstance(side, torch.Tensor) and side.requires_grad)
    ]
    return constant[0] if constant else None


def _axis_of_channels(
    constant: torch.Tensor, output: torch.Tensor, layout: Literal[1, -1]
) -> Literal[1, -1] | None:
    """The output's axis of channels, where a constant holds one number for each of them; None if it does not.

    Args:
        constant: broadcasts against the output.
        output: what it was added to.
        layout: the axis of channels in what the last layer with weights put out.
    """
    if output.ndim == 0:  # a number that is no part of any image: the size of a box, say
        return None
    differs = [axis - constant.ndim for axis, size in enumerate(constant.shape) if size > 1]
    return layout if [axis % output.ndim for axis in differs] == [layout % output.ndim] else None


def _column(leaf: torch.Tensor, biases: Sequence[_Bias], gradients: Sequence[torch.Tensor | None]) -> _Column:
    """The products of biases and gradients, for one target.

    Args:
        leaf: the batch.
        biases: all that were added.
        gradients: of the score, by the batch and by each of the biases; None by what is not in the score.
    """
    by_input, *by_bias = gradients
    inputs = torch.zeros_like(leaf) if by_input is None else by_input
    batch = leaf.shape[0]
    maps: dict[int, torch.Tensor] = {}
    rest = torch.zeros_like(widened(leaf.detach()).flatten(1)[:, 0])
    for i, (bias, gradient) in enumerate(zip(biases, by_bias, strict=True)):
        if gradient is None:
            continue
        product = widened(bias.value).to(widened(gradient).dtype) * widened(gradient)
        if bias.channel is not None and product.ndim == leaf.ndim and product.shape[0] == batch:
            product = product.movedim(bias.channel, 1)
            if math.prod(product.shape[2:]) > 1:
                maps[i] = product
                continue
        # windows or frames of an image may have joined the batch's axis
        if product.ndim and product.shape[0] % batch == 0:
            rest = rest + product.reshape(batch, -1).sum(1).to(rest.dtype)
    return _Column(widened(inputs), maps, rest)


def _used(columns: Iterable[_Column]) -> set[int]:
    return {number for column in columns for number in column.biases}


def _stacked(parts: Sequence[torch.Tensor | None]) -> Float[torch.Tensor, "batch target channel *space"]:
    """One bias's products, target by target; zero where a target does not use it."""
    some = next(part for part in parts if part is not None)
    if len(parts) == 1:
        return some[:, None]
    return torch.stack([torch.zeros_like(some) if part is None else part for part in parts], dim=1)
