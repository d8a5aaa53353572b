"""What is compared: the models, the arithmetic limit, and each library doing the same work as its README says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import captum.attr
import pytorch_grad_cam
import torch
import torchcam.methods
import torchvision
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

import camscope

TEN_METHODS = [
    "gradcam",
    "hirescam",
    "layercam",
    "gradcam++",
    "gradcam++-official",
    "xgradcam",
    "eigencam",
    "mean-activation",
    "random",
    "centre",
]
"""What one forward and one short backward give at any layer."""

_LAYERS = {
    "resnet50": ["layer2", "layer3", "layer4"],
    "densenet121": ["features.denseblock2", "features.denseblock3", "features.denseblock4"],
    "vit_b_16": [f"encoder.layers.encoder_layer_{i}" for i in (3, 7, 10)],
}


@dataclass(frozen=True, eq=False)
class Subject:
    """A model with its input, its three layers and the one that camscope chooses by itself."""

    name: str
    model: nn.Module
    x: torch.Tensor
    layers: Sequence[str]
    chosen: str
    gap_head: bool

    def forward(self) -> torch.Tensor:
        with torch.no_grad():
            return self.model(self.x)

    def forward_in_inference_mode(self) -> torch.Tensor:
        with torch.inference_mode():
            return self.model(self.x)

    @property
    def weights(self) -> int:
        """Bytes of parameters and buffers."""
        return sum(t.nbytes for t in (*self.model.parameters(), *self.model.buffers()))


def subject(name: str, batch: int, device: torch.device) -> Subject:
    """The model with random weights (speed does not depend on them), its classifier not zero."""
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None).eval().to(device)
    if name.startswith("vit"):  # torchvision starts its head at zero
        nn.init.normal_(model.heads.head.weight, std=0.02)
    x = torch.randn(batch, 3, 224, 224, device=device)
    chosen = camscope.explain(model, x[:1]).layers[0]
    return Subject(name, model, x, _LAYERS[name], chosen, gap_head=not name.startswith("vit"))


# ---------------------------------------------------------------------- the limit


def limit(subject: Subject, classes: Sequence[int]) -> Callable[[], object]:
    """One forward, and per class one backward through the part after the shallowest layer: less gives no gradients.

    Plain hooks: no graph before the shallowest layer, parameters frozen, the three layers' gradients taken at once.
    """
    modules = [subject.model.get_submodule(layer) for layer in subject.layers]

    def run() -> object:
        outputs: list[torch.Tensor] = []

        def start(_module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
            torch.set_grad_enabled(True)
            outputs.append(output.detach().requires_grad_())
            return outputs[-1]

        def keep(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            outputs.append(output)

        frozen = [p for p in subject.model.parameters() if p.requires_grad]
        handles = [modules[0].register_forward_hook(start)]
        handles += [module.register_forward_hook(keep) for module in modules[1:]]
        try:
            for p in frozen:
                p.requires_grad_(False)
            with torch.no_grad():
                logits = subject.model(subject.x)
            with torch.enable_grad():
                scores = [logits[:, c].sum() for c in classes]
                return [
                    torch.autograd.grad(score, outputs, retain_graph=i + 1 < len(scores))
                    for i, score in enumerate(scores)
                ]
        finally:
            for handle in handles:
                handle.remove()
            for p in frozen:
                p.requires_grad_(True)

    return run


# ---------------------------------------------------------------------- the peers


def to_grid(tokens: torch.Tensor) -> torch.Tensor:
    """What the peers need to be told about a ViT: drop the class token, make 14×14 of the rest."""
    return tokens[:, 1:].unflatten(1, (14, 14)).permute(0, 3, 1, 2)


def _module(subject: Subject, layer: str) -> nn.Module:
    """The layer as peers can hook it: camscope also offers `features+relu`, a module's output after a bare ReLU."""
    return subject.model.get_submodule(layer.partition("+")[0])


def _reshape(subject: Subject) -> Callable[[torch.Tensor], torch.Tensor] | None:
    return None if subject.gap_head else to_grid


def pytorch_grad_cam_top(subject: Subject, layers: Sequence[str]) -> Callable[[], object]:
    """Grad-CAM of each image's top class; several layers come out as their mean."""
    modules = [_module(subject, layer) for layer in layers]

    def run() -> object:
        with pytorch_grad_cam.GradCAM(
            model=subject.model, target_layers=modules, reshape_transform=_reshape(subject)
        ) as cam:
            return cam(input_tensor=subject.x, targets=None)

    return _then_clean(subject, run)


def pytorch_grad_cam_class(subject: Subject, layers: Sequence[str], index: int) -> Callable[[], object]:
    """Grad-CAM of a given class."""
    modules = [_module(subject, layer) for layer in layers]
    targets = [ClassifierOutputTarget(index)] * len(subject.x)

    def run() -> object:
        with pytorch_grad_cam.GradCAM(
            model=subject.model, target_layers=modules, reshape_transform=_reshape(subject)
        ) as cam:
            return cam(input_tensor=subject.x, targets=targets)

    return _then_clean(subject, run)


def torchcam_top(subject: Subject, layers: Sequence[str]) -> Callable[[], object]:
    """Grad-CAM of each image's top class."""

    def run() -> object:
        with torchcam.methods.GradCAM(
            subject.model, [_module(subject, layer) for layer in layers], reshape_transform=_reshape(subject)
        ) as extractor:
            scores = subject.model(subject.x)
            return extractor(scores.argmax(1).tolist(), scores)

    return run


def torchcam_class(subject: Subject, layers: Sequence[str], index: int) -> Callable[[], object]:
    """Grad-CAM of a given class."""

    def run() -> object:
        with torchcam.methods.GradCAM(
            subject.model, [_module(subject, layer) for layer in layers], reshape_transform=_reshape(subject)
        ) as extractor:
            return extractor(index, subject.model(subject.x))

    return run


def captum_top(subject: Subject, layer: str) -> Callable[[], object]:
    """Grad-CAM of each image's top class, which must be known beforehand: a forward finds it.

    Of tokens its maps are wrong (it averages over the channels); their cost is the same.
    """
    method = captum.attr.LayerGradCam(subject.model, _module(subject, layer))

    def run() -> object:
        top = subject.forward().argmax(1)
        return method.attribute(subject.x, target=top, relu_attributions=True)

    return run


def captum_class(subject: Subject, layer: str, index: int) -> Callable[[], object]:
    """Grad-CAM of a given class."""
    method = captum.attr.LayerGradCam(subject.model, _module(subject, layer))
    return lambda: method.attribute(subject.x, target=index, relu_attributions=True)


def _then_clean(subject: Subject, run: Callable[[], object]) -> Callable[[], object]:
    """Drop the gradients it leaves in the model's parameters, or they would count as everyone's memory."""

    def clean() -> object:
        try:
            return run()
        finally:
            subject.model.zero_grad(set_to_none=True)

    return clean
