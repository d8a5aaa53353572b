"""The peers' calls, answered by camscope: so that what their own suites ask can be asked of it.

Each class takes the arguments of the peer's and gives results of its shapes, by what the peers' documentation says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

import camscope
from camscope.arrays import resize


class LayerGradCam:
    """captum's: signed, with a channel axis of size 1, or of all channels before they are summed."""

    def __init__(self, model: nn.Module, layer: nn.Module) -> None:
        self.model, self.layer = model, layer

    def attribute(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        target: Any = None,
        *,
        attribute_to_layer_input: bool = False,
        relu_attributions: bool = False,
        attr_dim_summation: bool = True,
    ) -> Tensor:
        kept = 0 if attr_dim_summation else 10_000
        layer = name_of(self.model, self.layer, of_its_input=attribute_to_layer_input)
        e = camscope.explain(self.model, inputs, targets=target, layers=layer, channels=kept)
        maps = e.maps() if attr_dim_summation else in_order(*e.channels.values())
        return maps.clamp(min=0) if relu_attributions else maps


def name_of(model: nn.Module, layer: nn.Module, *, of_its_input: bool = False) -> str:
    name = next(name for name, module in model.named_modules() if module is layer)
    return f"{name}:input" if of_its_input else name


def in_order(kept: Any) -> Tensor:
    """What each channel adds, in the order of the channels: `batch channel *space`."""
    adds = kept.activations[:, 0] * rearrange(kept.weights[:, 0], "b c -> b c 1 1")
    return torch.stack([one[order.argsort()] for one, order in zip(adds, kept.index[:, 0], strict=True)])


class LayerGradientXActivation:
    """captum's: activations times gradients of a layer's every output tensor, of any shape."""

    def __init__(self, model: nn.Module, layers: nn.Module | Sequence[nn.Module]) -> None:
        self.model, self.several = model, not isinstance(layers, nn.Module)
        modules = list(layers) if self.several else [layers]
        self.names = [name_of(model, one) for one in modules]

    def attribute(self, inputs: Any, target: int, additional_forward_args: tuple[Any, ...] = ()) -> Any:
        given = inputs if isinstance(inputs, tuple) else (inputs,)
        with torch.enable_grad(), camscope.record(self.model, layers=self.names) as seen:
            self.model(*given, *additional_forward_args)[:, target].sum().backward()
        found = [_times_gradients(seen[name]) for name in self.names]
        return found if self.several else found[0]


def _times_gradients(one: Any) -> Any:
    every = tuple(each.activations * each.gradients for each in one.outputs)
    return every if len(every) > 1 else every[0]


class GuidedGradCam:
    """captum's: Grad-CAM resized to the input, times guided backpropagation."""

    def __init__(self, model: nn.Module, layer: nn.Module) -> None:
        self.model, self.layer = model, layer

    def attribute(
        self, inputs: Tensor | tuple[Tensor, ...], target: int, *, attribute_to_layer_input: bool = False
    ) -> Tensor:
        """With nearest neighbours, as captum has it by default: ours is smooth, so that factor is exchanged."""
        layer = name_of(self.model, self.layer, of_its_input=attribute_to_layer_input)
        e = camscope.explain(
            self.model, inputs, methods=["gradcam", "guided-gradcam"], targets=target, layers=layer
        )
        cam, product = e.maps("gradcam"), e.maps("guided-gradcam")
        smooth = resize(cam, product.shape[2:])
        guided = torch.where(smooth == 0, 0.0, product / smooth)
        return nn.functional.interpolate(cam, product.shape[2:], mode="nearest") * guided


class TorchCam:
    """torch-cam's extractors: in a context the user's own forward is watched, then asked for maps, scaled to [0, 1].

    Args:
        method: of camscope's.
        options: of its `Explainer`.
    """

    def __init__(self, method: str, model: nn.Module, target_layer: Any, **options: Any) -> None:
        layers = target_layer if isinstance(target_layer, list) else [target_layer]
        self.explainer = camscope.Explainer(model, **options)
        self.watching = self.explainer.watching(methods=method, layers=layers)

    def __enter__(self) -> TorchCam:
        self.seen = self.watching.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.watching.__exit__(*error)

    def __call__(
        self,
        class_idx: int | list[int] | None = None,
        scores: Tensor | None = None,
        *,
        targets: Callable[[Any], Tensor] | list[Callable[[Any], Tensor]] | None = None,
        normalized: bool = True,
    ) -> list[Tensor]:
        asked = targets if class_idx is None else class_idx
        each = isinstance(asked, list)
        e = self.explainer.from_output(self.seen, targets=camscope.PerImage(asked) if each else asked)
        self.explanation = e
        maps = [e.maps(*key)[:, 0].clamp(min=0) for key in e.raw]
        return [_scaled(one) if normalized else one for one in maps]


def _scaled(maps: Tensor) -> Tensor:
    flat = maps.flatten(1)
    low, high = flat.min(1).values, flat.max(1).values
    shape = (-1, *(1,) * (maps.ndim - 1))
    return (maps - low.view(shape)) / (high - low).clamp_min(1e-12).view(shape)


class PytorchGradCam:
    """pytorch-grad-cam's classes: heatmaps of the input's size in [0, 1], of several layers their mean.

    Args:
        method: of camscope's.
    """

    def __init__(self, method: str, model: nn.Module, target_layers: Sequence[nn.Module] = ()) -> None:
        self.method, self.explainer = method, camscope.Explainer(model)
        self.layers = list(target_layers) or None

    def __enter__(self) -> PytorchGradCam:
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def __call__(
        self,
        input_tensor: Tensor,
        targets: Sequence[Callable[[Any], Tensor]] | None = None,
        *,
        aug_smooth: bool = False,
        eigen_smooth: bool = False,
    ) -> np.ndarray:
        method = f"pca({self.method})" if eigen_smooth else self.method
        method = f"augment({method})" if aug_smooth else method
        e = self.explainer(
            input_tensor,
            methods=method,
            targets=None if targets is None else camscope.PerImage(list(targets)),
            layers=self.layers,
        )
        heat = [e.heatmaps(*key)[:, 0] for key in e.raw]
        return torch.stack(heat).mean(0).detach().numpy()
