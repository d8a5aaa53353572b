"""Words left out of a text where no token stands for nothing: they are looked up as the mean of all embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import nn

from camscope.errors import InputError
from camscope.models.torch.hooks.session import hook_after
from camscope.undoing import surely


@contextmanager
def mean_embedding(
    model: nn.Module, x: Int[torch.Tensor, "batch token"], gone: Bool[torch.Tensor, "batch token"]
) -> Iterator[None]:
    """Within this context a forward on these token numbers sees the mean embedding in place of some of them.

    It is the mean over the rows of the table that the model looks them up in. Positions and whatever else is added to
    an embedding stay. When the context ends nothing of it is left in the model.

    Args:
        model: an unwrapped module.
        x: the token numbers that it is going to run on.
        gone: True where a token is left out.

    Raises:
        InputError: if the model looked other numbers up in the same table: there a token that is gone may be seen.
    """
    handles: list[torch.utils.hooks.RemovableHandle] = []
    theirs: set[nn.Module] = set()
    others: set[nn.Module] = set()

    def undo() -> None:
        for handle in handles:
            handle.remove()

    def averaged(
        module: nn.Embedding, inputs: tuple[Any, ...], looked_up: torch.Tensor
    ) -> torch.Tensor | None:
        numbers = inputs[0]
        if numbers.shape != x.shape or not bool((numbers == x).all()):
            others.add(module)
            return None
        theirs.add(module)
        return torch.where(gone[..., None], module.weight.detach().mean(0).to(looked_up), looked_up)

    with surely(undo):
        for module in model.modules():
            if isinstance(module, nn.Embedding) and type(module).forward is nn.Embedding.forward:
                handles.append(hook_after(module, averaged))
        yield
    if not theirs or theirs & others:
        raise InputError(
            "A word that is left out must be replaced by something, no token is known that stands for nothing, and the "
            "mean embedding cannot: this model looks other token numbers up in the same table too. Name a token: "
            "tokenizer.mask_token = '…' of a Hugging Face tokenizer, camscope.Vocabulary(numbers, unknown='…')."
        )
