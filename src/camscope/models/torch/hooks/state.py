"""The user's model leaves as it came: one context that puts everything back, whatever happens inside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn
from torch.utils.checkpoint import CheckpointError

from camscope.errors import ModelError
from camscope.models.torch.hooks.session import CHECKPOINTING, exclusive


@contextmanager
def explaining(model: nn.Module) -> Iterator[None]:
    """Run the model for an explanation: eval mode, parameters frozen, gradients possible; then put all back.

    No other thread explains the model meanwhile. Each module's own training flag, each parameter's `requires_grad`
    and the random state are restored at the end, also when an exception flies. With parameters frozen no graph is
    built before the first activation that asks for a gradient, and none of the parameters can get one. Works under an
    outer `no_grad` or `inference_mode`.

    Raises:
        ModelError: if the model checkpoints its gradients, other than by a known flag; or, at the end, if another
            thread has run the model meanwhile.
    """
    with exclusive(model) as session, session.frozen(), ExitStack() as stack:
        modules = list(model.modules())
        cuda = sorted({p.device.index for p in model.parameters() if p.is_cuda})
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.random.fork_rng(devices=cuda))
        if any(getattr(module, "_compiled_call_impl", None) is not None for module in modules):
            # compiled in place by module.compile(): hooks and maps need the eager modules
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        if cuda and any(isinstance(module, nn.RNNBase) for module in modules):
            # cuDNN's recurrent layers have no backward outside of training
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        with _saying_what_checkpoints():
            yield


@contextmanager
def _saying_what_checkpoints() -> Iterator[None]:
    """Where a model checkpoints its gradients by a call of its own, which no flag switches off, the error says so."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, CheckpointError) or "torch.utils.checkpoint is incompatible" in str(error):
            raise ModelError(
                "The model checkpoints its gradients (torch.utils.checkpoint in its forward), which runs parts of it "
                "again during the backward, where they cannot be watched. Let it run those parts directly while it is "
                f"explained: by a flag of the model named {' or '.join(map(repr, CHECKPOINTING))} camscope switches "
                "this off by itself."
            ) from error
        raise
