"""A forward that the user makes, followed by hooks: evidence is taken from it in place of a second one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from camscope.errors import InputError, LayerError, ModelError
from camscope.models.adapter import Forward
from camscope.models.layer import Layer
from camscope.models.torch.hooks.modules import change_tensors, tensors_of
from camscope.models.torch.hooks.session import exclusive, hook_after, replaced_forward
from camscope.models.torch.observation import TorchObservation
from camscope.undoing import surely

_FREED = ("backward through the graph a second time", "Saved intermediate values of the graph are freed")
"""What PyTorch says where a backward has freed the graph."""


@dataclass(frozen=True, eq=False)
class AsItWas:
    """A tensor, and what tells that it has been written to. What `tensor.data` is used for to write is not seen.

    Attributes:
        tensor: it.
        version: how often it had been written to.
        place: where its numbers were.
    """

    tensor: torch.Tensor
    version: int
    place: int

    @classmethod
    def now(cls, tensor: torch.Tensor) -> AsItWas:
        """As it is now."""
        return cls(tensor, tensor._version, tensor.data_ptr())

    def still_is(self, tensor: torch.Tensor | None) -> bool:
        """Whether it is this one, with the same numbers."""
        if tensor is not self.tensor:
            return False
        return tensor._version == self.version and tensor.data_ptr() == self.place


@dataclass(frozen=True, eq=False)
class UsersForward:
    """One forward that the user has made, with its graph. See `camscope.models.adapter.UsersForward`.

    Attributes:
        model: the model, unwrapped.
        in_train_mode: whether some part of it was in train mode.
        observation: makes what it showed.
        weights: the model's parameters by name, as they were.
        outputs: what the user got on the graph, as it was.
    """

    model: nn.Module
    in_train_mode: bool
    observation: Callable[[], TorchObservation]
    weights: Mapping[str, AsItWas]
    outputs: Sequence[AsItWas]

    @contextmanager
    def observed(self) -> Iterator[TorchObservation]:
        """What the forward showed. Its graph stays alive, and no parameter gets a gradient.

        Raises:
            InputError: if weights or outputs have been changed since, or a backward has freed the graph.
        """
        now = dict(self.model.named_parameters())
        changed = [name for name, weight in self.weights.items() if not weight.still_is(now.get(name))]
        if changed:
            raise InputError(
                f"The model's weights have changed since this forward ({changed[0]!r}, say), so it is no forward of "
                "this model any more. Call from_output before optimizer.step()."
            )
        if not all(output.still_is(output.tensor) for output in self.outputs):
            raise InputError(
                "The output of this forward has been written to since, in place (output.div_(2) or output[:, 0] = 0, "
                "say), so it is no longer what the model said. Make another of it (output / 2), or call from_output "
                "before."
            )
        try:
            with torch.inference_mode(False), torch.enable_grad():
                yield self.observation()
        except RuntimeError as error:
            if not any(said in str(error) for said in _FREED):
                raise
            raise InputError(
                "The graph of this forward is gone: loss.backward() frees it. Call from_output before "
                "loss.backward(), or keep it by loss.backward(retain_graph=True)."
            ) from error


@contextmanager
def following(
    model: nn.Module, met: Callable[[Forward, tuple[Any, ...], dict[str, Any]], Any]
) -> Iterator[None]:
    """Within this context each forward that the user makes of a model in this thread goes through `met`.

    Forwards that an explanation makes meanwhile do not. A compiled model runs step by step: compiled code calls no
    hooks that were set later.

    Args:
        model: an unwrapped module.
        met: gets the model's own forward and the user's arguments; what it returns goes to the user.

    Raises:
        InputError: if the model, a part of it or what it is a part of is watched already.
        ModelError: from the user's forward, if a hook on the model changes what it returns.
    """
    with exclusive(model) as session, session.followed(), torch.compiler.set_stance("force_eager"):
        own = model.forward
        returned: Any = None

        def forward(*args: Any, **kwargs: Any) -> Any:
            nonlocal returned
            if session.is_frozen:
                return own(*args, **kwargs)
            returned = met(own, args, kwargs)
            return returned

        def look(_module: nn.Module, _inputs: Any, output: Any) -> None:
            nonlocal returned
            theirs, ours = ([id(tensor) for tensor in tensors_of(one)] for one in (output, returned))
            if not session.is_frozen and theirs != ours:
                raise ModelError(
                    "A forward hook on the model itself makes something else of what its forward returns, and maps "
                    "of this forward would not be of that. Call the Explainer itself, which follows such hooks."
                )
            returned = None

        handle = hook_after(model, look)
        with replaced_forward(model, forward), surely(handle.remove):
            yield


@contextmanager
def refusing_layers_cut_off(model: nn.Module, layers: Mapping[Layer, object]) -> Iterator[None]:
    """Run a forward in this context: a layer that the model itself runs without a graph is refused.

    Args:
        model: an unwrapped module.
        layers: of which gradients are wanted.

    Raises:
        LayerError: from the forward.
    """
    enabled = torch.is_grad_enabled()

    def look(name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            if enabled and not torch.is_grad_enabled():
                raise LayerError(
                    f"The layer {name!r} runs without a graph inside this model (no_grad, or torch.utils.checkpoint "
                    "with use_reentrant=True), so there is no gradient of it in this forward. Checkpoint with "
                    "use_reentrant=False, name a layer outside of that part, or call the Explainer itself."
                )

        return hook

    handles = [hook_after(model.get_submodule(layer.module), look(layer.name)) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def as_without_watching(raw: Any, model: nn.Module, given: Any) -> Any:
    """What the user gets of a forward: on a graph exactly if it would be without a graph that begins at a layer.

    Without a graph it is a copy, which the user may write to.

    Args:
        raw: what the model returned.
        model: an unwrapped module.
        given: the user's arguments.
    """
    learns = any(p.requires_grad for p in model.parameters())
    if torch.is_grad_enabled() and (learns or any(t.requires_grad for t in tensors_of(given))):
        return raw
    return change_tensors(raw, lambda tensor: tensor.detach().clone())
