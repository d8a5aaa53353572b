"""One door for all of them: whatever a file's factory makes is recognised, and each library's file stands alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from torch import nn

import camscope
from camscope.cli import main
from tests.libraries.test_huggingface import TINY, build

LIBRARIES = [
    "timm",
    "torchvision",
    "transformers",
    "fastai",
    "open_clip",
    "keras",
    "segmentation_models_pytorch",
]
MODULES = sorted(
    p.stem for p in (Path(camscope.__file__).parent / "libraries").glob("*.py") if p.stem != "__init__"
)


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_a_librarys_file_is_imported_without_any_of_the_others(module):
    """With every optional library but its own made impossible to import."""
    others = [name for name in LIBRARIES if not module.startswith(name)]
    code = f"import sys; sys.modules |= dict.fromkeys({others!r}); import camscope.libraries.{module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("factory", ["build", "ready"])
def test_a_file_may_make_a_pipeline(factory, tmp_path, photos):
    build("ViT", **TINY).save_pretrained(tmp_path / "vit")
    hf.ViTImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path / "vit")
    make = f'pipeline("image-classification", model={str(tmp_path / "vit")!r})'
    (tmp_path / "mine.py").write_text(
        f"from transformers import pipeline\ndef build():\n    return {make}\nready = {make}\n"
    )
    e = camscope.explain(f"{tmp_path}/mine.py:{factory}", Image.fromarray(photos["cat"]))
    assert e.class_names == ["cat", "dog", "cow"]
    assert e.input_size == (64, 64)


class Adapted(hf.utils.PushToHubMixin, nn.Module):
    """Around a model of any library; it can be pushed to Hugging Face's hub and hands attributes on, as PEFT's."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.inner, name)

    def forward(self, x):
        return self.inner(x)


def test_a_mixin_of_a_library_does_not_make_a_model_the_librarys():
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    plain = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    assert torch.equal(camscope.explain(Adapted(plain), x).maps(), camscope.explain(plain, x).maps())
    vit = build("ViT", **TINY)
    assert camscope.explain(Adapted(vit), x).class_names == camscope.explain(vit, x).class_names
    assert camscope.explain(vit, x).class_names is not None


def test_layers_of_a_model_that_takes_photos_as_they_are_need_no_input():
    explainer = camscope.Explainer("torchvision:ssdlite320_mobilenet_v3_large", weights="random")
    found, chosen = explainer.layers()
    assert chosen in found
    assert all(layer.grid.space for layer in found)


def test_a_segmenter_of_segmentation_models_pytorch_is_one():
    library = pytest.importorskip("segmentation_models_pytorch")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = library.Unet("resnet18", encoder_weights=None, classes=3).eval()
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    mask = np.zeros((64, 64), dtype=bool)
    mask[:32, :32] = True
    e = camscope.explain(model, x, targets=[camscope.Region(1, mask), camscope.Region(1, ~mask)])
    with torch.no_grad():
        logits = model(x)[0, 1]
    torch.testing.assert_close(e.scores[0, 0], logits[:32, :32].sum(), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(e.scores.sum(), logits.sum(), rtol=1e-4, atol=1e-3)
    assert e.layers[0].startswith("encoder.layer4")
    assert not torch.allclose(e.maps()[0, 0], e.maps()[0, 1])


def test_the_command_explains_photos_of_several_sizes_by_a_detector(tmp_path, capsys):
    """Which takes each at its own size, so one by one."""
    model = ["--model", "torchvision:ssdlite320_mobilenet_v3_large", "--weights", "random"]
    found = ["sample:cat", "sample:coffee"]
    code = main(
        ["explain", *found, *model, "--target", "instance:0", "--out", str(tmp_path), "--save", "npz"]
    )
    assert code == 0, capsys.readouterr()
    sizes = [camscope.load(tmp_path / f"{name}.npz").input_size for name in ("cat", "coffee")]
    assert sizes == [(300, 451), (400, 600)]
