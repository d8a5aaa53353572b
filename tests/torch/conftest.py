"""Real networks with random weights, built once, and the check that a model was left as it came."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch
from torch import nn


@pytest.fixture(scope="session")
def zoo() -> Callable[..., nn.Module]:
    """`zoo("torchvision:resnet18")`: seeded random weights, in eval mode, each built once. Read only."""
    built: dict[tuple[Any, ...], nn.Module] = {}

    def get(spec: str, **options: Any) -> nn.Module:
        key = (spec, *sorted(options.items()))
        if key not in built:
            built[key] = build(spec, **options)
        return built[key]

    return get


def build(spec: str, **options: Any) -> nn.Module:
    """A library's model with seeded random weights."""
    library, name = spec.split(":")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if library == "timm":
            import timm

            return timm.create_model(name, **options).eval()
        import torchvision

        return torchvision.models.get_model(name, weights=None, **options).eval()


@pytest.fixture
def untouched() -> Callable[[nn.Module], AbstractContextManager[None]]:
    """`with untouched(model):` nothing about the model, nor torch's own state, differs after the block."""
    return _untouched


@contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    before = _state(model)
    mode, random = (torch.is_grad_enabled(), torch.is_inference_mode_enabled()), torch.get_rng_state()
    yield
    after = _state(model)
    assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == mode, "the grad mode"
    assert torch.equal(torch.get_rng_state(), random), "the random state"
    for what in before:
        assert before[what] == after[what], what


def _state(model: nn.Module) -> dict[str, Any]:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    everywhere = torch.nn.modules.module
    modules = dict(model.named_modules())
    parameters = dict(model.named_parameters())
    tensors = {**parameters, **dict(model.named_buffers())}
    return {
        "training flags": {name: m.training for name, m in modules.items()},
        "requires_grad": {name: p.requires_grad for name, p in parameters.items()},
        "gradients": {name: None if p.grad is None else _bytes(p.grad) for name, p in parameters.items()},
        "identity of gradients": {name: id(p.grad) for name, p in parameters.items()},
        "values": {name: _bytes(t) for name, t in tensors.items()},
        "identity of tensors": {name: id(t) for name, t in tensors.items()},
        "hooks": {name: [len(getattr(m, kind)) for kind in hooks] for name, m in modules.items()},
        "hooks of tensors": {name: len(t._backward_hooks or ()) for name, t in tensors.items()},
        "global hooks": [len(getattr(everywhere, f"_global{kind}")) for kind in hooks],
        "in-place flags": {name: m.inplace for name, m in modules.items() if hasattr(m, "inplace")},
        "attributes": {name: sorted(vars(m)) for name, m in modules.items()},
        "classes": {name: type(m) for name, m in modules.items()},
    }


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().reshape(-1).view(torch.uint8).numpy().tobytes()
