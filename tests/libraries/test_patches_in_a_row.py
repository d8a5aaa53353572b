"""SigLIP 2 of any shape (NaFlex) takes pictures as patches in a row: pictures go in, and maps lie on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from torch import nn

import camscope
from camscope.libraries.huggingface.naflex import in_patches

SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
X = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
CAPTIONS = ["cat", "dog"]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """The model reads 4×6 patches as well as the 4×4 whose places it has learned."""
    seen = {**SMALL, "num_patches": 16, "patch_size": 16}
    text = {**SMALL, "vocab_size": 60, "max_position_embeddings": 8, "projection_size": 32}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = hf.Siglip2Model(hf.Siglip2Config(vision_config=seen, text_config=text)).eval()
        for parameter in made.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.15)
    return made


class Tokenizer:
    """A token for each word."""

    def __call__(self, texts: Any, **_: Any) -> dict[str, torch.Tensor]:
        rows = [[sum(map(ord, text)) % 50 + 2, 1, 0, 0, 0, 0, 0, 0] for text in texts]
        return {"input_ids": torch.tensor(rows)}


def processor(patches: int) -> hf.Siglip2ImageProcessor:
    return hf.Siglip2ImageProcessor(max_num_patches=patches, patch_size=16)


def test_patches_are_those_of_the_models_own_processor():
    """Which resizes 64×96 pixels to what holds 24 patches: to themselves."""
    picture = torch.randint(
        0, 256, (3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    own = processor(24)(picture, return_tensors="pt")
    found = in_patches((picture[None] / 255 - 0.5) / 0.5, 16)
    torch.testing.assert_close(found["pixel_values"], own["pixel_values"], atol=1e-6, rtol=1e-6)
    for name in ("pixel_attention_mask", "spatial_shapes"):
        assert found[name].tolist() == own[name].tolist()


def test_scores_are_the_models_and_maps_autograds_on_the_pictures_grid(model):
    explainer = camscope.Explainer(model, tokenizer=Tokenizer())
    e = explainer(X, methods=["gradcam", "hirescam"], targets=CAPTIONS)
    ((_, layer), _) = e.raw
    assert e.maps("gradcam").shape == (2, 2, 4, 6)
    seen: list[torch.Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(lambda _m, _i, out: seen.append(out))
    ids = Tokenizer()(CAPTIONS)["input_ids"]
    logits = model(input_ids=ids, **in_patches(X, 16)).logits_per_image
    handle.remove()
    torch.testing.assert_close(e.logits, logits.detach(), rtol=1e-4, atol=1e-4)
    for t in range(2):
        (g,) = torch.autograd.grad(logits[:, t].sum(), seen[0], retain_graph=True)
        expected = (g * seen[0]).sum(2).reshape(2, 4, 6).detach()
        found = e.maps("hirescam")[:, t]
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_a_photo_is_prepared_in_a_square(model):
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 90, 3), dtype=np.uint8))
    explainer = camscope.Explainer(model, tokenizer=Tokenizer(), preprocessing=processor(16))
    e = explainer(photo, targets=CAPTIONS)
    assert e.maps().shape == (1, 2, 4, 4)
    assert e.overlay().size == (90, 50)
    assert any("a square of patches" in note for note in e.notes)


def test_patches_themselves_are_refused_and_so_are_parts_of_them(model):
    explainer = camscope.Explainer(model, tokenizer=Tokenizer())
    with pytest.raises(camscope.InputError, match=r"patches of 16×16 here; got shape \(1, 24, 768\)"):
        explainer(in_patches(X, 16)["pixel_values"], targets=CAPTIONS)
    with pytest.raises(camscope.InputError, match=r"64×90 pixels is no whole number of patches.*64×80"):
        explainer(X[..., :90], targets=CAPTIONS)
