"""Detectors of what texts name: OWL-ViT and OWLv2, Grounding DINO, OmDet-Turbo. The texts are the classes."""

from __future__ import annotations

from typing import Any

import pytest
import tokenizers
import torch
import transformers as hf
from torch import nn

import camscope
from camscope import Instance

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
SEES = {**SMALL, "image_size": 64, "patch_size": 8}
READS = {**SMALL, "vocab_size": 60, "max_position_embeddings": 6, "bos_token_id": 1, "eos_token_id": 59}
WORDS = {"[PAD]": 0, "[UNK]": 3, "[BOS]": 1, "[EOS]": 59, "a": 10, "cat": 11, "dog": 12, "cow": 13}
CAT, DOG, COW = ([1, 10, WORDS[name], 59, 0, 0] for name in ("cat", "dog", "cow"))
NAMES = ["OwlViT", "Owlv2", "GroundingDino", "MMGroundingDino", "OmDetTurbo"]
X = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))


def build(name: str) -> nn.Module:
    if name.startswith("Owl"):
        parts: dict[str, Any] = {"vision_config": {**SEES, "image_size": 128}, "text_config": READS}
        config = getattr(hf, f"{name}Config")(**parts, projection_dim=32)
    elif name.startswith("Om"):
        config = hf.OmDetTurboConfig(
            backbone_config=_trunk(),
            text_config=hf.CLIPTextConfig(**READS, projection_dim=32),
            **_OMDET,
            apply_layernorm_after_vision_backbone=False,  # which timm's trunks need, with channels last
        )
    else:
        text, trunk = hf.BertConfig(**SMALL, vocab_size=1100), _trunk()
        counts = {f"{part}_{what}": n for part in ("encoder", "decoder") for what, n in _SIZES.items()}
        parts = {"backbone_config": trunk, "text_config": text, "d_model": 32, "num_queries": 10}
        config = getattr(hf, f"{name}Config")(**parts, **counts)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(hf, f"{name}ForObjectDetection")(config).eval()
    with torch.no_grad():
        for place, parameter in model.named_parameters():
            if "box_head.dense2.bias" in place:
                parameter += 1.0  # boxes with an area
            if "class_head.logit" in place or "class_head.dense0" in place:
                parameter.mul_(0.1)  # logits that a sigmoid tells apart
    return model


def _trunk() -> hf.SwinConfig:
    sees = {"embed_dim": 8, "depths": [1] * 4, "num_heads": [1, 1, 2, 2], "window_size": 4}
    return hf.SwinConfig(**sees, image_size=128, out_features=["stage2", "stage3", "stage4"])


_OMDET: dict[str, Any] = {
    "image_size": 128,
    "encoder_in_channels": [16, 32, 64],
    "vision_features_channels": [48] * 3,
    "encoder_hidden_dim": 48,
    "encoder_dim_feedforward": 32,
    "encoder_attention_heads": 2,
    "decoder_hidden_dim": 48,
    "decoder_dim_feedforward": 32,
    "decoder_num_heads": 2,
    "decoder_num_layers": 2,
    "num_queries": 10,
    "text_projection_in_dim": 32,
    "text_projection_out_dim": 32,
    "class_embed_dim": 32,
    "task_encoder_hidden_dim": 48,
}
_SIZES = {"layers": 2, "attention_heads": 2, "ffn_dim": 32}


@pytest.fixture(scope="module", params=NAMES)
def model(request) -> nn.Module:
    return build(request.param)


def asked(model: nn.Module, images: int, *texts: list[int]) -> dict[str, torch.Tensor]:
    """What the processors make: of OWL's texts a row each, for each image; of Grounding DINO's one row for an image.

    Of OmDet-Turbo's a row each, for each image, and a row that names them all.
    """
    if "Owl" in type(model).__name__:
        ids = torch.tensor(texts).repeat(images, 1)
    elif "OmDet" in type(model).__name__:
        rows = {"classes": torch.tensor(texts).repeat(images, 1), "tasks": torch.tensor(texts[:1] * images)}
        numbers = {f"{part}_input_ids": row for part, row in rows.items()}
        masks = {f"{part}_attention_mask": (row != 0).long() for part, row in rows.items()}
        counts = torch.tensor([len(texts)] * images)
        return {"pixel_values": X[:images], **numbers, **masks, "classes_structure": counts}
    else:
        phrases = [[*(n for n in text if n not in (0, 1, 59)), 1012] for text in texts]
        ids = torch.tensor([[101, *(n for phrase in phrases for n in phrase), 102]]).repeat(images, 1)
    return {"pixel_values": X[:images], "input_ids": ids, "attention_mask": (ids != 0).long()}


def by_hand(model: nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """The logit of each candidate for a cat and for a dog: of a phrase of two words that of the likelier one."""
    found = model(**inputs)
    if "OmDet" in type(model).__name__:
        return found.decoder_class_logits
    logits = found.logits
    if "Owl" in type(model).__name__:
        return logits
    return torch.stack([logits[..., 1:3].amax(-1), logits[..., 4:6].amax(-1)], -1)


def test_the_score_of_an_instance_is_its_logit_for_the_text(model):
    inputs = asked(model, 2, CAT, DOG)
    with torch.no_grad():
        logits = by_hand(model, inputs)
    targets = [Instance(0, "a cat"), Instance(0, "a dog"), "a cat"]
    e = camscope.explain(model, inputs, targets=targets, class_names=["a cat", "a dog"])
    torch.testing.assert_close(e.logits, logits.amax(1), rtol=1e-4, atol=1e-4)
    for t, column in enumerate((0, 1)):
        for image in range(2):
            assert float((logits[image, :, column] - e.scores[image, t]).abs().min()) < 1e-4
            assert e.targets[image][t].label.startswith(["a cat at", "a dog at"][t])
    for maps in e.raw.values():
        assert bool((maps.flatten(2) != 0).any(2).all())


def test_the_map_is_that_by_hand(model):
    inputs = asked(model, 1, CAT, DOG)
    e = camscope.explain(model, inputs, targets=Instance(0, 0), methods="hirescam")
    ((_, layer),) = e.raw
    seen: list[torch.Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(lambda _m, _i, out: seen.append(out))
    logits = by_hand(model, inputs)[..., 0]
    handle.remove()
    score = logits.flatten()[(logits - e.scores[0, 0]).abs().argmin()]
    (g,) = torch.autograd.grad(score, seen[-1])  # OWL's last norm is of the class token first, then of all
    product = (g * seen[-1]).detach()
    maps = e.maps()[0, 0]
    tokens = product.ndim == 3  # behind that of the class, if there is one
    expected = product.sum(2)[0, -maps.numel() :].reshape(maps.shape) if tokens else product.sum(1)[0]
    torch.testing.assert_close(maps, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.slow
def test_a_batch_is_its_images_one_by_one_and_methods_that_alter_them_run(model):
    methods = ["gradcam", "rise(n=4)"]
    whole = camscope.explain(model, asked(model, 2, CAT, DOG), targets=Instance(0, 1), methods=methods)
    for image in range(2):
        one = {**asked(model, 1, CAT, DOG), "pixel_values": X[image : image + 1]}
        alone = camscope.explain(model, one, targets=Instance(0, 1), methods=methods)
        torch.testing.assert_close(alone.scores[0], whole.scores[image], rtol=1e-3, atol=1e-4)


def words(first: int = 1, last: int = 59) -> hf.PreTrainedTokenizerFast:
    own = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({**WORDS, "[BOS]": first, "[EOS]": last, ".": 1012}, unk_token="[UNK]")
    )
    own.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    ends = {"special_tokens": [("[BOS]", first), ("[EOS]", last)]}
    own.post_processor = tokenizers.processors.TemplateProcessing(single="[BOS] $A [EOS]", **ends)
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=own, pad_token="[PAD]", eos_token="[EOS]", model_max_length=6
    )


def test_texts_are_captions_where_there_is_a_tokenizer():
    """As classes that are always there, or named by the targets of a call; the same as by the processor's numbers."""
    model = build("OwlViT")
    numbers = camscope.explain(
        model, asked(model, 2, CAT, COW), targets=Instance(0), class_names=["a cat", "a cow"]
    )
    always = camscope.Explainer(model, tokenizer=words(), class_names=["a cat", "a cow"])(X)
    torch.testing.assert_close(always.logits, numbers.logits)
    assert always.targets == numbers.targets
    explainer = camscope.Explainer(model, tokenizer=words())
    named = explainer(X, targets=[Instance(which="a cow"), "instance:a cat"])
    torch.testing.assert_close(named.logits, numbers.logits.flip(1))
    assert [target.label.partition(" at")[0] for target in named.targets[0]] == ["a cow", "a cat"]


def test_grounding_dino_reads_captions_as_phrases_between_full_stops():
    model = build("GroundingDino")
    tokenizer = words(101, 102)
    tokenizer.model_max_length = 32
    e = camscope.Explainer(model, tokenizer=tokenizer, class_names=["a cat", "a dog"])(
        X, targets=Instance(which=1)
    )
    assert e.logits.shape == (2, 2)
    assert e.targets[0][0].label.startswith("a dog at")


def test_without_texts_it_says_how_to_give_them():
    model = build("OwlViT")
    with pytest.raises(camscope.TargetError, match=r"class_names=\['a cat', 'a dog'\].*instance:a cat"):
        camscope.Explainer(model, tokenizer=words())(X)
    with pytest.raises(
        camscope.ModelError, match=r"no tokenizer came with it.*processor\(text=\[\['a cat'\]\]"
    ):
        camscope.Explainer(model)(X, targets=Instance(which="a cat"))
    with pytest.raises(camscope.InputError, match="caption is empty"):
        camscope.Explainer(model, tokenizer=words())(X, targets=Instance(which=" "))


def test_omdet_reads_captions_as_names_and_a_task():
    model = build("OmDetTurbo")
    tokenizer = words()
    e = camscope.Explainer(model, tokenizer=tokenizer, class_names=["a cat", "a dog"])(
        X, targets=Instance(which=1)
    )
    said = {"classes": ["a cat", "a dog"], "tasks": ["Detect a cat, a dog."]}
    inputs = {"pixel_values": X, "classes_structure": torch.tensor([2, 2])}
    for part, texts in said.items():
        rows = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
        inputs |= {f"{part}_{name}": rows[name].repeat(2, 1) for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        torch.testing.assert_close(e.logits, by_hand(model, inputs).amax(1), rtol=1e-4, atol=1e-4)
    assert e.targets[0][0].label.startswith("a dog at")


def test_omdet_is_asked_for_the_same_names_in_all_images():
    model = build("OmDetTurbo")
    inputs = asked(model, 2, CAT, DOG)
    inputs["classes_input_ids"][3] = torch.tensor(COW)
    with pytest.raises(camscope.InputError, match="asked for the same text"):
        camscope.explain(model, inputs, targets=Instance(0, 1))
