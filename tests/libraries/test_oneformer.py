"""OneFormer, which is told its task in words: run on a photo, and with what its own processor makes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf

import camscope
from camscope.errors import InputError

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A tiny OneFormer with its processor, as `save_pretrained` leaves them."""
    path = tmp_path_factory.mktemp("oneformer")
    stages = ["stage1", "stage2", "stage3", "stage4"]
    backbone = hf.SwinConfig(
        image_size=64,
        embed_dim=16,
        depths=[1] * 4,
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=stages,
    )
    config = hf.OneFormerConfig(
        backbone_config=backbone, hidden_dim=32, mask_dim=32, conv_dim=32, encoder_feedforward_dim=32,
        dim_feedforward=32, encoder_layers=2, decoder_layers=3, num_attention_heads=2, num_queries=10,
        text_encoder_n_ctx=4, text_encoder_width=16, text_encoder_context_length=12, text_encoder_num_layers=1,
        text_encoder_vocab_size=100, task_seq_len=12, num_labels=5, is_training=False,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        hf.OneFormerForUniversalSegmentation(config).eval().save_pretrained(path)
    words = ["<|startoftext|>", "<|endoftext|>", *LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    tokenizer = hf.CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[])
    names = {str(i): {"name": f"thing {i}", "isthing": 1} for i in range(5)}
    (path / "classes.json").write_text(json.dumps(names))
    images = hf.OneFormerImageProcessor(
        repo_path=str(path), class_info_file="classes.json", num_text=6, size={"height": 64, "width": 64}
    )
    hf.OneFormerProcessor(images, tokenizer, max_seq_length=12, task_seq_length=12).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    ramp = np.add.outer(np.arange(80), np.arange(100))[..., None] + np.array([0, 20, 40])
    return ramp.astype(np.uint8)


def test_a_photo_alone_is_told_the_semantic_task(folder, photo):
    explainer = camscope.Explainer(f"hf:{folder}")
    made = hf.AutoProcessor.from_pretrained(folder)(
        images=photo, task_inputs=["semantic"], return_tensors="pt"
    )
    given = {"pixel_values": made["pixel_values"], "task_inputs": made["task_inputs"]}
    targets = [2, camscope.Region(1, (16, 16))]
    e, own = explainer(photo, targets=targets), explainer(given, targets=targets)
    assert e.maps().shape == (1, 2, 4, 4)
    assert str(e.status[e.key()][0][0]) == "ok"
    torch.testing.assert_close(e.maps(), own.maps(), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(e.scores, own.scores, rtol=1e-3, atol=1e-4)


def test_a_class_in_a_region_is_the_models_own_score(folder, photo):
    explainer = camscope.Explainer(f"hf:{folder}")
    e = explainer([photo, photo[:, ::-1]], targets=[camscope.Region(1, "all")])
    model = hf.OneFormerForUniversalSegmentation.from_pretrained(folder).eval()
    given = explainer.prepare([photo, photo[:, ::-1]]).batch.given
    task = hf.AutoProcessor.from_pretrained(folder)(
        images=photo, task_inputs=["semantic"], return_tensors="pt"
    )["task_inputs"]
    with torch.no_grad():
        raw = model(pixel_values=torch.from_numpy(given), task_inputs=task.repeat(2, 1))
    classes = raw.class_queries_logits.softmax(-1)[..., :-1]
    scores = torch.einsum("bqc,bqhw->bchw", classes, raw.masks_queries_logits.sigmoid()).log()
    torch.testing.assert_close(e.scores[:, 0], scores[:, 1].sum((1, 2)), rtol=1e-4, atol=1e-3)


def test_without_a_tokenizer_it_says_what_to_do(folder, photo, tmp_path):
    model = hf.OneFormerForUniversalSegmentation.from_pretrained(folder)
    model.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"processor\.save_pretrained\(folder\)"):
        camscope.explain(f"hf:{tmp_path}", torch.zeros(1, 3, 64, 64))
