"""The forward of a training step, with what a layer put out kept on its graph, in whatever mode the model is in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import nn
from torch.autograd.graph import Node

from camscope.arrays import Array
from camscope.errors import InputError, LayerError
from camscope.models.batch import Batch
from camscope.models.decoding import CalledOtherwise, OutputDecoder
from camscope.models.layer import Layer
from camscope.models.observing import OutputRules
from camscope.models.torch.anatomy.examine import Anatomy
from camscope.models.torch.forwards import Forwards
from camscope.models.torch.hooks.grafting import Source, gradients_by
from camscope.models.torch.hooks.modules import (
    first_tensor,
    is_captured,
    replace_first_tensor,
    tensors_of,
    unwrap,
)
from camscope.models.torch.hooks.relu_edges import relus_of
from camscope.models.torch.hooks.session import exclusive, hook_after
from camscope.models.torch.hooks.surroundings import set_aside
from camscope.models.torch.learning_head import LearningHead
from camscope.models.torch.precision import widened
from camscope.outputs import Outputs

_LARGER = 2.0**10
"""What a score in float16 is multiplied with on its way back, and its gradient divided by: small ones underflow."""


@dataclass(frozen=True)
class TrainingSteps:
    """Runs the forwards of training steps in which one layer's maps are wanted.

    It holds for one kind of input, as long as none of the model's modules is replaced, and keeps no module alive.

    Attributes:
        layer: the target layer.
        pools: what the linear head behind the layer pools, its activations or their ReLU; None if its weights are not
            wanted.
        anatomy: what one forward showed of the model.
        decoder: how the model is called and what it puts out means.
        rules: from what the model returns to `Outputs`.
    """

    layer: Layer
    pools: Literal["activations", "relu"] | None
    anatomy: Anatomy
    decoder: OutputDecoder
    rules: OutputRules

    @contextmanager
    def apart(self, given: nn.Module) -> Iterator[None]:
        """Have the model to this thread alone, and a method's arithmetic outside of the autocast that is on.

        Args:
            given: the model as the user trains it.
        """
        model = unwrap(given)
        with exclusive(model), set_aside(model):
            yield

    def run(self, given: nn.Module, batch: Batch, *, by_gradients: bool) -> TrainingStep:
        """Run the model once, as it is: in its own mode, through what wraps it, under the autocast that is on.

        Call it inside `apart`.

        Args:
            given: the model as the user trains it, wrapped or not.
            batch: its inputs, as the user gave them.
            by_gradients: whether gradients of scores by the layer's activations are wanted.

        Raises:
            InputError: if gradients are wanted where they are switched off.
            LayerError: if the layer was not called, put out no row for each image, or is not on the graph.
        """
        if by_gradients and not torch.is_grad_enabled():
            raise InputError(
                "Gradients are switched off (torch.no_grad), and this method's maps are made of them. Call it where "
                "they are on, or outside of training use camscope.Explainer."
            )
        model = unwrap(given)
        with ExitStack() as stack:
            stack.enter_context(_uncompiled(given))
            kept = stack.enter_context(_Kept(model, self.layer, begins=by_gradients))
            head = None
            if self.pools is not None:
                modules = [model.get_submodule(name) for name in self.anatomy.head]
                head = stack.enter_context(LearningHead(modules))
            through = CalledOtherwise(self.decoder, lambda call: self.decoder.call(given, call))
            forwards = Forwards(model, through, self.rules)
            raw, logits, ending = forwards.run(batch, self.anatomy)
            outputs = forwards.outputs(raw, logits, ending, batch)
            put_out = kept.put_out(len(logits))
            if kept.cut_off and (by_gradients or (head is not None and head.learns)):
                raise self._cut_off()
            return TrainingStep(
                raw=raw,
                outputs=outputs,
                layer=self.layer,
                put_out=put_out,
                source=kept.source((raw, logits)),
                pools_relu=self.pools == "relu",
                weights=None if head is None else self.rules.both_classes(head.weights().T).T,
            )

    def _cut_off(self) -> LayerError:
        return LayerError(
            f"The layer {self.layer.name!r} runs without a graph inside this model (no_grad, or torch.utils.checkpoint "
            "with use_reentrant=True), so its map could teach nothing to what comes before. Checkpoint with "
            "use_reentrant=False, or name a layer outside of that part."
        )


@dataclass(frozen=True, eq=False)
class TrainingStep:
    """What one forward showed; all of it is on the graph of that forward.

    Attributes:
        raw: what the model returned.
        outputs: the same as class scores, in single precision at least.
        layer: the target layer.
        put_out: what that layer put out, in its own layout and precision.
        source: by what to differentiate for gradients by the layer's activations.
        pools_relu: whether the linear head pools the activations' ReLU.
        weights: of the linear head, one row per class; None if that is not followed.
    """

    raw: Any
    outputs: Outputs
    layer: Layer
    put_out: torch.Tensor
    source: Source
    pools_relu: bool
    weights: Float[torch.Tensor, "class channel"] | None

    @property
    def activations(self) -> Float[torch.Tensor, "batch channel *space"]:
        """A, in canonical shape and single precision at least; of a layer whose ReLU is meant, after it."""
        canonical: torch.Tensor = self.layer.grid.canonical(widened(self.put_out))
        return canonical.relu() if self.layer.after_relu else canonical

    @property
    def features(self) -> Float[torch.Tensor, "batch channel *space"]:
        """F, what the linear head pools."""
        return self.activations.relu() if self.pools_relu else self.activations

    def gradients(
        self, scores: Float[Array, "batch target"], columns: Sequence[int]
    ) -> Float[torch.Tensor, "batch target channel *space"]:
        """∂score/∂A, which can itself be differentiated: by one backward for each of some targets, zero for others.

        The forward's sum over the batch is differentiated: where a batch norm in train mode stands behind the layer,
        images share it, and a score changes with other images' activations too.

        Args:
            scores: of this forward.
            columns: the targets whose gradients are wanted.
        """
        larger = _LARGER if self.put_out.dtype is torch.float16 else 1.0
        found = [torch.zeros_like(self.put_out)] * scores.shape[1]
        for t in columns:
            end = scores[:, t].sum() * larger
            (found[t],) = gradients_by(end, [self.put_out], [self.source], create_graph=True)
        canonical = [self.layer.grid.canonical(widened(gradient)) for gradient in found]
        gradients: torch.Tensor = rearrange(canonical, "t b c ... -> b t c ...")
        return gradients / larger


class _Kept:
    """A context that keeps what a layer puts out, safe from what the network writes later.

    The network goes on with a copy of the same numbers, so what is kept is what it was when the layer was done. It is
    before the copy on the graph, so all that the network makes of it counts.

    Args:
        model: an unwrapped module.
        layer: whose output is kept.
        begins: start a graph there, if there is none before: the layers up to it may be frozen.

    Attributes:
        cut_off: whether the layer ran where the model itself has switched gradients off.
    """

    def __init__(self, model: nn.Module, layer: Layer, *, begins: bool) -> None:
        self._model, self._layer, self._begins = model, layer, begins
        self._last: torch.Tensor | None = None
        self._copied: Node | None = None
        self._enabled = torch.is_grad_enabled()
        self.cut_off = False

    def __enter__(self) -> _Kept:
        module = self._model.get_submodule(self._layer.module)
        self._handle = hook_after(module, self._keep, prepend=is_captured(module))
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()

    def _keep(self, module: nn.Module, _inputs: Any, output: Any) -> Any:
        tensor = first_tensor(output)
        if tensor is None:
            raise LayerError(
                f"The layer {self._layer.name!r} puts out {type(output).__name__}, which holds no tensor."
            )
        self.cut_off = self._enabled and not torch.is_grad_enabled()
        if self._begins and not tensor.requires_grad:
            tensor = tensor.detach().requires_grad_()
        copy = tensor.clone()
        self._last, self._copied = tensor, copy.grad_fn
        return replace_first_tensor(output, copy)

    def put_out(self, rows: int) -> torch.Tensor:
        """What the layer put out at its last call.

        Args:
            rows: how many images there are.

        Raises:
            LayerError: if it was not called here, or not with all images.
        """
        if self._last is None:
            raise LayerError(
                f"The layer {self._layer.name!r} was not called in this forward, or not in this thread: DataParallel "
                "runs copies of the model in threads of their own. Use DistributedDataParallel, or one device."
            )
        found = self._last.shape[self._layer.batch_axis]
        if found != rows:
            raise LayerError(
                f"The layer {self._layer.name!r} put out {found} rows for {rows} images: the model sends it "
                "some of them only, or cuts them up. Choose a layer that every image goes through."
            )
        return self._last

    def source(self, ends: Any) -> Source:
        """By what to differentiate; where the ReLU of the layer is meant, by what the model's own ReLUs put out."""
        assert self._last is not None
        if not self._layer.after_relu or self._copied is None:
            return self._last
        return relus_of(self._copied, tensors_of(ends)) or self._last


@contextmanager
def _uncompiled(given: nn.Module) -> Iterator[None]:
    """Let a compiled model run step by step in this context: a compiled one calls no hooks that were set later.

    Args:
        given: the model as the user trains it.
    """
    compiled = any(
        "_orig_mod" in module._modules or module.__dict__.get("_compiled_call_impl") is not None
        for module in given.modules()
    )
    if not compiled:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield
