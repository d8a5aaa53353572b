"""A copy of a model with weights drawn anew: what a map must not look like that follows the weights."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Shaped
from torch import nn
from torch.nn.utils.spectral_norm import SpectralNorm

from camscope.errors import ModelError, nearest
from camscope.models.drawn_weights import drawn_like
from camscope.models.torch.hooks.copying import copied
from camscope.models.torch.hooks.modules import first_tensor, quantised_parts, scripted_parts

_POWER_STEPS = 30
"""Steps of the power iteration by which spectral norm finds the largest singular value of new weights."""


def weighted_layers(model: nn.Module, run: Callable[[], object]) -> list[str]:
    """The modules that have weights, in the order they are called at last; `""` is the model itself.

    Weights of a module that is never called (attention's projections, which a function reads) belong to the nearest
    one around it that is.

    Args:
        model: an unwrapped module.
        run: runs it on an image.
    """
    order = _called(model, run)
    owning = set(_owners(model, order).values())
    return [name for name in order if name in owning]


def redrawn(
    model: nn.Module, run_of: Callable[[nn.Module], object], seed: int, layers: Collection[str] | None
) -> nn.Module:
    """A copy of the model with weights drawn anew. Call it inside `explaining(model)`; the model stays as it is.

    Each tensor is drawn by a generator of its own, from a normal distribution with the mean and the deviation of its
    values, so that signals neither die nor explode; one that is the same everywhere, with its size for a deviation
    (what is zero everywhere stays, as nothing was learnt in it).
    Class tokens, positions, shared weights (once) and the frozen scales of detectors' batch norms are among them. The
    statistics of batch norms that are reached by what changed are those of the batch.

    Args:
        model: an unwrapped module.
        run_of: runs a model on the batch.
        seed: of the draws. What is drawn for a tensor does not depend on which others are.
        layers: of `weighted_layers`, those whose weights are drawn; None for all.

    Raises:
        ModelError: if the model cannot be copied, or has weights that are no real numbers.
    """
    _check_drawable(model)
    with torch.no_grad():
        order = _called(model, lambda: run_of(model))
        owners = _owners(model, order)
        wanted = set(owners.values()) if layers is None else set(layers)
        if unknown := sorted(wanted - set(owners.values())):
            raise ModelError(
                f"There is no layer {unknown[0]!r} with weights.{nearest(unknown[0], set(owners.values()))}"
            )
        twin = copied(
            model,
            "its own weights are left as they are, so it is not asked what its maps would be with others.",
        )
        for name, tensor in _weights(twin):
            if owners[name] in wanted:
                tensor.copy_(_drawn(tensor, seed, name))
        if wanted:
            _norm_spectra(twin)
            first = min(map(order.index, wanted)) if layers is not None else 0
            with _estimating([twin.get_submodule(name) for name in order[first:]]):
                run_of(twin)
    return twin


def _weights(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Each weight once, by its first name: parameters, and the scales that a frozen batch norm keeps as buffers."""
    yield from model.named_parameters()
    for name, buffer in model.named_buffers():
        if name.rpartition(".")[2] in ("weight", "bias") and buffer.is_floating_point():
            yield name, buffer


def _called(model: nn.Module, run: Callable[[], object]) -> list[str]:
    """The names of all modules that are called, each where its last call begins."""
    calls: dict[str, int] = {}
    count = 0

    def seeing(name: str) -> Callable[..., None]:
        def see(*_: Any) -> None:
            nonlocal count
            calls[name] = count = count + 1

        return see

    handles = [
        module.register_forward_pre_hook(seeing(name))
        for name, module in model.named_modules()
        if not isinstance(module, torch.jit.ScriptModule)
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return sorted(calls, key=lambda name: calls[name])


def _owners(model: nn.Module, order: Collection[str]) -> dict[str, str]:
    """By the name of each weight: the module that it belongs to, of those that are called."""
    called = {"", *order}
    owners = {}
    for name, _ in _weights(model):
        owner = name.rpartition(".")[0]
        while owner not in called or ".parametrizations" in f".{owner}":
            owner = owner.rpartition(".")[0]
        owners[name] = owner
    return owners


def _check_drawable(model: nn.Module) -> None:
    parts = [*quantised_parts(model), *scripted_parts(model)]
    whole = [name for name, p in model.named_parameters() if not (p.is_floating_point() or p.is_complex())]
    if parts or whole:
        raise ModelError(
            f"{(parts or whole)[0]!r} keeps its weights as whole numbers or in TorchScript, so no others can be drawn "
            "for it: whether a map follows the weights has to be asked of the model it was made from."
        )
    if away := [name for name, p in model.named_parameters() if p.is_meta]:
        raise ModelError(
            f"{away[0]!r} is offloaded, so that it has no values here to draw others like. Load the model "
            "without offloading."
        )


def _drawn(tensor: Shaped[torch.Tensor, " ..."], seed: int, name: str) -> Shaped[torch.Tensor, " ..."]:
    """Numbers like those of the tensor, the same on every device."""
    narrow = torch.finfo(tensor.dtype).bits < 32  # which NumPy may not know
    own = tensor.detach().to("cpu", torch.float32 if narrow else tensor.dtype)
    return torch.from_numpy(drawn_like(own.numpy(), seed, name)).to(tensor)


def _norm_spectra(model: nn.Module) -> None:
    """Find the singular vectors of new weights, which spectral norms keep beside them and improve in training only."""
    for module in model.modules():
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm):
                steps, hook.n_power_iterations = hook.n_power_iterations, _POWER_STEPS
                setattr(module, hook.name, hook.compute_weight(module, do_power_iteration=True))
                hook.n_power_iterations = steps
        if isinstance(module, nn.utils.parametrize.ParametrizationList):
            for one in module:
                if hasattr(one, "_power_method") and hasattr(one, "_u"):
                    _refine(one, module.original)


def _refine(norm: Any, weight: Any) -> None:
    """More steps of the power iteration of a spectral norm, which it makes in training only."""
    norm._power_method(norm._reshape_weight_to_matrix(weight), _POWER_STEPS)


@contextmanager
def _estimating(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Within this context norms that keep statistics take those of what comes in, before they use them."""

    def estimate(module: Any, given: tuple[Any, ...]) -> None:
        x = first_tensor(given)
        if x is None or x.ndim < 2 or x.shape[1] != len(module.running_mean):
            return
        own = x.detach().float().transpose(0, 1).flatten(1)
        # one number of a channel has no deviation: then it is that of all channels
        var = own.var(1, unbiased=False) if own.shape[1] > 1 else own.var(unbiased=False).expand(len(own))
        module.running_mean.copy_(own.mean(1))
        module.running_var.copy_(var)

    handles = [
        module.register_forward_pre_hook(estimate)
        for module in modules
        if getattr(module, "running_mean", None) is not None
        and getattr(module, "running_var", None) is not None
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
