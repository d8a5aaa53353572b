"""Token numbers that a model does not take, told in words before its own error comes."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch import nn

from camscope.errors import InputError, first_line
from camscope.models.torch.hooks.session import hook_before


class Embeddings:
    """A context that sees how a model looks token numbers up.

    Args:
        model: an unwrapped module.
        x: the token numbers it is run on; altered copies of them may come after them.

    Attributes:
        vocabulary: how many tokens it knows; None as long as it looked none up in an `nn.Embedding`.

    Raises:
        InputError: where a number is not in the table it is looked up in: an unknown token, or a position.
    """

    def __init__(self, model: nn.Module, x: torch.Tensor) -> None:
        self._model = model
        self._x = x
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self.vocabulary: int | None = None

    def __enter__(self) -> Embeddings:
        for module in self._model.modules():
            if isinstance(module, nn.Embedding) and type(module).forward is nn.Embedding.forward:
                self._handles.append(hook_before(module, self._check_lookup))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _check_lookup(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        size = module.num_embeddings
        if not inputs or not isinstance(inputs[0], torch.Tensor) or not isinstance(size, int):
            return
        numbers = inputs[0]
        if numbers.shape[1:] == self._x.shape[1:] and bool((numbers[: len(self._x)] == self._x).all()):
            self.vocabulary = size
            check_vocabulary(self._x, size)
        elif numbers.numel() and int(numbers.max()) >= size:
            raise too_long(self._x.shape[1], f"its table of positions has {size}")


def check_vocabulary(x: torch.Tensor, size: int) -> None:
    """Refuse numbers that are no tokens.

    Raises:
        InputError: naming the first of them.
    """
    low, high = int(x.min()), int(x.max())
    if low < 0 or high >= size:
        raise InputError(
            f"There is no token {low if low < 0 else high}: this model knows {size}, numbered 0 to {size - 1}. Were "
            "the texts read by another model's tokenizer?"
        )


def too_long(tokens: int, limit: str) -> InputError:
    """What to say of a text that is longer than the model takes."""
    return InputError(
        f"The text has {tokens} tokens, more than the model takes ({limit}). Give a shorter text, or its beginning: "
        "with a Hugging Face tokenizer, tokenizer(text, truncation=True, return_tensors='pt')."
    )


def refused(x: torch.Tensor, error: Exception) -> InputError:
    """What to say where a model does not run on some token numbers."""
    said = first_line(error)
    return InputError(
        f"The model does not run on a text of {x.shape[1]} tokens (token numbers of shape {tuple(x.shape)}): it is too "
        f"long, or too short for a convolution, or something that goes with it is missing. It said: {said}"
    )
