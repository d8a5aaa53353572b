"""A model with maps as outputs, as one module: its forward gives logits, the top classes and their maps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import nn

from camscope.errors import LayerError
from camscope.evidence import Evidence, LinearHead
from camscope.models.batch import Batch
from camscope.models.map_programs import Recipe
from camscope.models.torch.exporting.logits_in_graph import LogitsInGraph
from camscope.models.torch.hooks.modules import first_tensor, is_captured, replace_first_tensor
from camscope.models.torch.hooks.session import hook_after

Outputs = tuple[
    Float[torch.Tensor, "batch class"],
    Int[torch.Tensor, "batch top"],
    Float[torch.Tensor, "batch top *space"],
]


class WithMaps(nn.Module):
    """The model, its logits, and maps of the classes that have the highest.

    The maths is the method's own: the same function that camscope runs is given the layer's activations and what
    else it needs, and is traced. Use it inside `explaining(model)`.

    Args:
        logits: how these are had.
        recipe: which maps.
        batch: a call of the model, in which the input is replaced.
        head: the name of the linear layer at the end, or the weight of several modules that are one together; None if
            the recipe has no linear head.
    """

    def __init__(
        self, logits: LogitsInGraph, recipe: Recipe, batch: Batch, head: str | torch.Tensor | None
    ) -> None:
        super().__init__()
        self.model = logits.forwards.model
        self._logits = logits
        self._recipe = recipe
        self._batch = batch
        self._classifier = head if isinstance(head, str) else None
        self.register_buffer("_weight", head if isinstance(head, torch.Tensor) else None, persistent=False)

    def forward(self, given: Float[torch.Tensor, "batch ..."]) -> Outputs:
        """Logits, the top classes and their maps.

        Args:
            given: a preprocessed batch, as the model takes it.
        """
        layer = self._recipe.layer
        with self._graph(), self._seeing_the_layer() as seen:
            logits = self._logits.of(self._batch.with_given(given))
            scores, classes = logits.topk(min(self._recipe.top, logits.shape[1]), dim=1)
            gradients = self._gradients(scores, seen[0]) if self._recipe.backward else None
        put_out = seen[0].detach()
        activations = layer.grid.canonical(put_out.clamp(min=0) if layer.after_relu else put_out)
        head = self._head(activations, classes)
        if head is not None and head.pools_activations:
            positions = activations.shape[2:].numel()
            gradients = (head.weights / positions)[(..., *(None,) * (activations.ndim - 2))]
        maps = self._recipe.maps(Evidence(activations, gradients, head=head))
        return logits.detach(), classes, maps

    def _graph(self) -> AbstractContextManager[Any]:
        """Autograd's, if gradients are wanted; else nothing is switched, which a traced graph would hold."""
        return torch.enable_grad() if self._recipe.backward else nullcontext()

    @contextmanager
    def _seeing_the_layer(self) -> Iterator[list[torch.Tensor]]:
        """In this context the last output of the layer is kept; the graph starts there if gradients are wanted."""
        name = self._recipe.layer.module
        module = self.model.get_submodule(name)
        seen: list[torch.Tensor] = []

        def see(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            tensor = first_tensor(output)
            if tensor is None:
                raise LayerError(
                    f"The layer {name!r} puts out {type(output).__name__}, which holds no tensor."
                )
            copy = tensor.detach().clone()
            seen[:] = [copy]
            if not self._recipe.backward:
                return None
            copy.requires_grad_()
            return replace_first_tensor(output, copy.clone())  # the network may write into its own

        handle = hook_after(module, see, prepend=is_captured(module))
        try:
            yield seen
        finally:
            handle.remove()

    def _gradients(
        self, scores: Float[torch.Tensor, "batch top"], put_out: torch.Tensor
    ) -> Float[torch.Tensor, "batch top channel *space"]:
        """Of each class's logit by what the layer puts out, one backward for each."""
        found = []
        for score in scores.unbind(1):
            (gradient,) = torch.autograd.grad(score.sum(), put_out, retain_graph=True, materialize_grads=True)
            found.append(self._recipe.layer.grid.canonical(gradient))
        return torch.stack(found, dim=1)

    def _head(
        self,
        activations: Float[torch.Tensor, "batch channel *space"],
        classes: Int[torch.Tensor, "batch top"],
    ) -> LinearHead | None:
        """The verified linear head, with the weights of the top classes."""
        if self._recipe.pooled is None:
            return None
        weight: Any = (
            self._weight if self._classifier is None else self.model.get_submodule(self._classifier).weight
        )
        both = self._logits.forwards.rules.both_classes(weight.flatten(1).T).T
        themselves = self._recipe.pooled == "activations"
        return LinearHead(both[classes], activations if themselves else activations.clamp(min=0), themselves)
