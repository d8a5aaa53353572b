"""Explaining on a copy of the model made for inference: batch norm folded, channels last, optionally bfloat16."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from camscope.errors import LayerError, ModelError
from camscope.models.adapter import LayerNeeds
from camscope.models.batch import Batch
from camscope.models.decoding import OutputDecoder
from camscope.models.torch.adapter import TorchAdapter
from camscope.models.torch.forwards import Forwards
from camscope.models.torch.hooks.copying import copied
from camscope.models.torch.hooks.modules import Versions, first_tensor, named_layers, versions
from camscope.models.torch.hooks.read_by_forward import Settings, changed, settings
from camscope.models.torch.hooks.state import explaining
from camscope.models.torch.observation import TorchObservation
from camscope.models.torch.remembered import Modules
from camscope.outputs import Task


@dataclass(frozen=True)
class _Copy:
    """A copy of the model made for inference.

    Attributes:
        adapter: of the copy.
        folded: the name of each convolution, by it the name of the batch norm that was folded into it.
        versions: the weights it was made from, see `hooks.modules.versions`.
        modules: those it was made from.
        settings: theirs, see `hooks.read_by_forward`.
        written: settings that the forward itself writes, as a model does that keeps what it has computed.
    """

    adapter: TorchAdapter
    folded: Mapping[str, str]
    versions: Versions
    modules: Modules
    settings: Settings
    written: AbstractSet[tuple[nn.Module, str]]

    def is_of(self, model: nn.Module, now: Versions) -> bool:
        """Whether it is a copy of the model as it is, whose weights are these."""
        if self.versions != now or not self.modules.are_still_there():
            return False
        return changed(self.settings, settings(model)) <= self.written


class OptimisedAdapter(TorchAdapter):
    """Finds layers on the user's model and runs the passes on a faster copy of it.

    The copy is made at the first call, checked against the model's own output on one image, and made anew when
    the model's weights have changed, a module was replaced, or a setting is another (a stride, an adapter that is on).

    Args:
        model: see `TorchAdapter`.
        decoder: see `TorchAdapter`.
        task: see `TorchAdapter`.
        half: run the copy in bfloat16. Faster where the processor has it; maps agree to about two digits.
    """

    def __init__(
        self,
        model: nn.Module,
        decoder: OutputDecoder | None = None,
        *,
        task: Task | None = None,
        half: bool = False,
    ) -> None:
        super().__init__(model, decoder, task=task)
        self._half = half
        self._copied: _Copy | None = None

    @contextmanager
    def observe(
        self,
        batch: Batch,
        needs: LayerNeeds,
        *,
        libragrad: bool = False,
    ) -> Iterator[TorchObservation]:
        """Run the copy once on the batch.

        Args:
            batch: see `TorchAdapter.observe`.
            needs: see `TorchAdapter.observe`.
            libragrad: see `TorchAdapter.observe`.

        Raises:
            LayerError: for a convolution that is folded in the copy, so that its own output does not exist.
            ModelError: if the copy does not reproduce the model's output.
        """
        made = self._copy(batch)
        for layer in needs:
            if layer.module in made.folded:
                raise LayerError(
                    f"The optimised copy has no output of {layer.name!r} of its own: the batch norm after it is folded "
                    f"in. Use {made.folded[layer.module]!r}, or explain without optimised."
                )
        with made.adapter.observe(self._formatted(batch), needs, libragrad=libragrad) as observation:
            yield observation

    def describe(self) -> Mapping[str, Any]:
        """Of the user's model, and how the copy differs."""
        folded = len(self._copied.folded) if self._copied else 0
        precision = "bfloat16" if self._half else "unchanged precision"
        return {
            **super().describe(),
            "optimised": f"batch norm folded into {folded} convolutions, channels last, {precision}",
        }

    def _copy(self, batch: Batch) -> _Copy:
        """The copy, made anew if there is none of the weights as they are now; tried on the batch's first image."""
        now, known = versions(self.model), self._copied
        if known is None or not known.is_of(self.model, now):
            first, before = batch.images(slice(1)), settings(self.model)
            with explaining(self.model), torch.no_grad():
                twin = copied(self.model, "explain without optimised.")
                of_twin = Forwards(twin, self.decoder, self.rules)
                folded = fold_batch_norm(twin, lambda: of_twin.call(first))
                twin.to(memory_format=torch.channels_last)
                if self._half:
                    twin.to(torch.bfloat16)
                own = self._forwards.logits(self._forwards.call(first))
                self._check_same(own, of_twin.logits(of_twin.call(self._formatted(first))))
            adapter = TorchAdapter(twin, self.decoder, task=self.rules.task)
            after = settings(self.model)
            known = self._copied = _Copy(
                adapter, folded, now, Modules(self.model), after, changed(before, after)
            )
        return known

    def _formatted(self, batch: Batch) -> Batch:
        """The batch with pictures channels last, and in half precision if the copy is."""

        def formatted(value: Any) -> Any:
            if not isinstance(value, torch.Tensor) or not value.is_floating_point():
                return value
            if value.ndim == 4:
                value = value.contiguous(memory_format=torch.channels_last)
            return value.to(torch.bfloat16) if self._half else value

        return batch.others(formatted).with_x(formatted(batch.x))

    def _check_same(self, expected: Float[torch.Tensor, " ..."], got: Float[torch.Tensor, " ..."]) -> None:
        off = float((expected - got.to(expected.dtype)).abs().max() / expected.abs().max().clamp(min=1e-30))
        # rounded to half precision, by the copy or by the model itself (under autocast, say), two digits agree
        rounded = self._half or expected.dtype in (torch.float16, torch.bfloat16)
        if not off <= (0.1 if rounded else 1e-3):
            raise ModelError(
                f"The optimised copy does not reproduce the model's output (off by {off:.1%} of its largest value). "
                "Explain without optimised."
            )


def fold_batch_norm(model: nn.Module, run: Callable[[], object]) -> dict[str, str]:
    """Fold each batch norm that directly follows a convolution into its weights, in place.

    Which follows which is seen in one forward: the batch norm's input is the very tensor the convolution put out.

    Args:
        model: in eval mode; a copy that is ours, not the user's model.
        run: runs it on an image.

    Returns:
        The folded pairs, convolution → batch norm, by name.
    """
    made_by: list[tuple[weakref.ref[torch.Tensor], str]] = []
    calls: dict[str, int] = {}
    pairs: dict[str, str] = {}

    def hook(name: str) -> Any:
        def see(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            calls[name] = calls.get(name, 0) + 1
            if isinstance(module, nn.modules.conv._ConvNd):
                tensor = first_tensor(output)
                assert tensor is not None
                made_by.append((weakref.ref(tensor), name))
            elif made_by and inputs and made_by[-1][0]() is inputs[0]:
                pairs[made_by[-1][1]] = name

        return see

    layers = named_layers(model)
    handles = [
        module.register_forward_hook(hook(name))
        for name, module in layers.items()
        if isinstance(module, (nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm))
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    folded = {
        conv: norm
        for conv, norm in pairs.items()
        if calls[conv] == calls[norm] == 1 and _is_plain(layers[conv]) and _foldable(layers[norm])
    }
    for conv, norm in folded.items():
        _fold(layers[conv], layers[norm])
        parent, _, child = norm.rpartition(".")
        # what a batch norm of timm's does besides (dropout, activation) stays, under the same names
        rest = OrderedDict((name, part) for name, part in layers[norm].named_children())
        setattr(model.get_submodule(parent), child, nn.Sequential(rest) if rest else nn.Identity())
    return folded


def _is_plain(conv: nn.Module) -> bool:
    """Whether its weight is a parameter, and not made anew at each call (weight norm, spectral norm, pruning)."""
    return "weight" in conv._parameters and "bias" in conv._parameters


def _foldable(norm: nn.Module) -> bool:
    plain = type(norm) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    with_activation = type(norm).__name__ == "BatchNormAct2d"
    return (plain or with_activation) and getattr(norm, "running_mean", None) is not None


def _fold(conv: Any, norm: Any) -> None:
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
        transpose=getattr(conv, "transposed", False),
    )
