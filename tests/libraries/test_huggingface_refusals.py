"""Models of Hugging Face's that give no map say so and what to do; a head that was never trained is marked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

import camscope
from camscope.errors import CamscopeWarning

X = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
IDS = torch.tensor([[2, 4, 7, 3]])
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
SEES = {**SMALL, "image_size": 64, "patch_size": 16}
READS = {**SMALL, "vocab_size": 60, "max_position_embeddings": 16}
BLIP2 = {
    "vision_config": SEES,
    "qformer_config": {**READS, "encoder_hidden_size": 32},
    "text_config": {**READS, "model_type": "opt", "ffn_dim": 32, "word_embed_proj_dim": 32},
    "num_query_tokens": 4,
    "image_token_index": 50,
}


def test_blip2_has_no_space_for_captions_and_says_what_can_be_explained():
    model = hf.Blip2Model(hf.Blip2Config(**BLIP2)).eval()
    inputs = {
        "pixel_values": X,
        "input_ids": torch.tensor([[50, 50, 50, 50, 4, 7]]),
        "attention_mask": torch.ones(1, 6, dtype=torch.int64),
    }
    with pytest.raises(camscope.ModelError, match=r"no embedding is in the Blip2.*out.logits\[:, -1\]"):
        camscope.explain(model, inputs)
    with torch.no_grad():
        logits = model(**inputs).logits[:, -1]
    found = camscope.explain(model, inputs, output=lambda out: out.logits[:, -1], methods="rise(n=4)")
    assert torch.equal(found.logits, logits)


def test_an_input_that_is_missing_is_named():
    model = hf.Blip2ForConditionalGeneration(hf.Blip2Config(**BLIP2)).eval()
    with pytest.raises(camscope.InputError, match=r"missing a required argument: 'input_ids'.*by keyword"):
        camscope.explain(model, X)


def test_a_segmenter_of_videos_that_goes_frame_by_frame_is_refused_naming_that_of_images():
    with pytest.raises(camscope.ModelError, match=r"frame by frame.*EomtForUniversalSegmentation"):
        camscope.Explainer(hf.VideomtForUniversalSegmentation(hf.VideomtConfig(**SEES, num_queries=3)))


# ------------------------------------------------------------------ heads that were never trained


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("saved") / "vit"
    hf.ViTForImageClassification(hf.ViTConfig(**SEES, num_labels=3)).save_pretrained(place)
    return place


def without(folder: Path, place: Path, part: str) -> Path:
    """The folder without the weights whose names begin with the part."""
    place.mkdir()
    (place / "config.json").write_bytes((folder / "config.json").read_bytes())
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith(part)}
    assert len(kept) < len(weights)
    save_file(kept, place / "model.safetensors", metadata={"format": "pt"})
    return place


def test_a_head_that_is_missing_in_the_folder_is_untrained(folder, tmp_path):
    place = without(folder, tmp_path / "headless", "classifier")
    with pytest.warns(CamscopeWarning, match="untrained weights"):
        assert camscope.explain(f"hf:{place}", X).untrained


def test_a_model_with_all_its_weights_is_not(folder):
    assert not camscope.explain(f"hf:{folder}", X).untrained
