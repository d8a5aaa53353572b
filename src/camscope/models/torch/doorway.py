"""The doorway to PyTorch's adapter: which objects are its own. See `camscope.models.registry.Doorway`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn
from torch.export import ExportedProgram

from camscope.errors import ModelError, first_line
from camscope.models.decoding import OutputDecoder
from camscope.models.file_kinds import why_no_program
from camscope.models.torch.hooks import modules
from camscope.outputs import Task

if TYPE_CHECKING:
    from camscope.models.torch.adapter import TorchAdapter


def owns(given: Any) -> bool:
    """Whether it is a module, or a program that was made of one."""
    return isinstance(given, (nn.Module, ExportedProgram))


def unwrap(model: Any) -> nn.Module:
    """The user's own module inside of what wraps it for training or speed.

    Raises:
        ModelError: if it is no module any more.
    """
    if isinstance(model, ExportedProgram):
        raise ModelError(why_no_program("This"))
    return modules.unwrap(model)


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
        raise ModelError(f"The model cannot be moved to {device!r}: {first_line(error)}") from error
