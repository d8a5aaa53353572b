"""The doorway to PyTorch's adapter: which objects are its own. See `camscope.models.registry.Doorway`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from camscope.errors import ModelError
from camscope.models.decoding import OutputDecoder
from camscope.models.torch.hooks.modules import unwrap
from camscope.outputs import Task

if TYPE_CHECKING:
    from camscope.models.torch.adapter import TorchAdapter

__all__ = ["adapt", "move", "owns", "unwrap"]


def owns(given: Any) -> bool:
    """Whether it is a module."""
    return isinstance(given, nn.Module)


def adapt(
    model: nn.Module, decoder: OutputDecoder, *, task: Task | None, optimised: bool | str
) -> TorchAdapter:
    """The adapter of a module.

    Args:
        model: an unwrapped module.
        decoder: how it is called and what it puts out means.
        task: what the outputs mean; None asks the decoder, then the model.
        optimised: explain on a copy made for inference; `"bfloat16"` in half precision too.
    """
    if optimised:
        from camscope.models.torch.optimise import OptimisedAdapter

        return OptimisedAdapter(model, decoder, task=task, half=optimised == "bfloat16")
    from camscope.models.torch.adapter import TorchAdapter

    return TorchAdapter(model, decoder, task=task)


def move(model: nn.Module, device: str) -> nn.Module:
    """The module on another device.

    Raises:
        ModelError: if there is no such device.
    """
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"The model cannot be moved to {device!r}: {str(error).splitlines()[0]}") from error
