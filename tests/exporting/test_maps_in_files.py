"""A file's maps are camscope's, to rounding, for batches of other sizes than it was traced with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.exporting.programs import CASES, SIDE, TOP, apart, explained, written
from tests.torch.nets import batch

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def exported(request, tmp_path_factory):
    return request.param, *written(request.param, tmp_path_factory.mktemp("exported"))


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 5])
def test_every_method_gives_the_maps_that_camscope_gives(exported, rows):
    case, net, layer, run = exported
    x = batch(rows, 3, SIDE, SIDE, seed=rows)
    logits, classes, maps = run(x.numpy())
    with torch.no_grad():
        expected = net(x)
    np.testing.assert_allclose(logits, expected.numpy(), rtol=0, atol=1e-5 * float(expected.abs().max()))
    assert classes.tolist() == expected.topk(TOP).indices.tolist()
    own = explained(net, x, classes, methods=list(case.methods), layers=[layer])
    for method, here in zip(case.methods, np.split(maps, len(case.methods), axis=-1), strict=True):
        assert apart(here, own.raw[method, layer].numpy()) < 1e-5, method
