"""Hugging Face image classifiers of every build, from configurations: layers, labels, processors, folders."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from torch import nn

import camscope
from camscope import Preprocessing
from camscope.libraries.loading import load_model
from camscope.libraries.registry import recognise

LABELS = {0: "cat", 1: "dog", 2: "cow"}
NAMED = {"id2label": LABELS, "label2id": {name: i for i, name in LABELS.items()}}
TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 64,
    "patch_size": 8,
    **NAMED,
}
STAGES = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32], **NAMED}
SWIN = {
    "image_size": 64,
    "embed_dim": 16,
    "depths": [1, 1, 2],
    "num_heads": [1, 2, 2],
    "window_size": 4,
    **NAMED,
}
DINO = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 64, **NAMED}


def build(name: str, **config: object) -> nn.Module:
    """With random weights, drawn wide enough that no output is all but zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        kind = getattr(hf, f"{name}ForImageClassification")
        model = kind(getattr(hf, f"{name}Config")(**config)).eval()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.2)
    return model


MODELS: dict[str, tuple[Callable[[], nn.Module], str, tuple[int, int]]] = {
    "ViT": (lambda: build("ViT", **TINY), "vit.layers.2.layernorm_before", (8, 8)),
    "DeiT": (lambda: build("DeiT", **TINY), "deit.layers.2.layernorm_before", (8, 8)),
    "Swin": (lambda: build("Swin", patch_size=4, **SWIN), "swin.layernorm", (4, 4)),
    "Swinv2": (lambda: build("Swinv2", patch_size=4, **SWIN), "swinv2.layernorm", (4, 4)),
    "Beit": (lambda: build("Beit", **TINY), "beit.layers.2", (8, 8)),
    "Dinov2": (lambda: build("Dinov2", patch_size=8, **DINO), "dinov2.layernorm", (8, 8)),
    "registers": (
        lambda: build("Dinov2WithRegisters", patch_size=8, **DINO),
        "dinov2_with_registers.layernorm",
        (8, 8),
    ),
    "ConvNext": (lambda: build("ConvNext", **STAGES), "convnext.encoder", (2, 2)),
    "ResNet": (
        lambda: build("ResNet", embedding_size=8, layer_type="basic", **STAGES),
        "resnet.encoder",
        (2, 2),
    ),
    "Siglip": (lambda: build("Siglip", vision_config=TINY, **NAMED), "vision_model.post_layernorm", (8, 8)),
    "MobileViT": (
        lambda: build(
            "MobileViT",
            hidden_sizes=[16, 24, 32],
            neck_hidden_sizes=[8, 8, 8, 16, 16, 16, 32],
            num_attention_heads=2,
            image_size=64,
            **NAMED,
        ),
        "mobilevit.conv_1x1_exp",
        (2, 2),
    ),
    "timm": (lambda: build("TimmWrapper", architecture="resnet10t", **NAMED), "timm_model.layer4", (2, 2)),
}
X = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def models() -> Callable[[str], nn.Module]:
    made: dict[str, nn.Module] = {}

    def model(name: str) -> nn.Module:
        if name not in made:
            made[name] = MODELS[name][0]()
        return made[name]

    return model


@pytest.mark.parametrize("name", MODELS)
def test_a_model_needs_nothing_but_itself(models, name):
    model = models(name)
    e = camscope.explain(model, X, methods=["gradcam", "hirescam"], targets=[0, 2])
    _, layer, grid = MODELS[name]
    assert e.layers == (layer,)
    assert e.maps("gradcam").shape == (2, 2, *grid)
    assert {str(s) for rows in e.status.values() for row in rows for s in row} <= {"ok", "all-negative"}
    assert [t.label for t in e.targets[0]] == ["cat", "cow"]
    with torch.no_grad():
        torch.testing.assert_close(e.scores, model(X).logits[:, [0, 2]])
    assert not torch.allclose(e.maps("hirescam")[:, 0], e.maps("hirescam")[:, 1]), "follows the class"


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_is_its_images_one_by_one(models, name):
    explainer = camscope.Explainer(models(name))
    together = explainer(X, methods=["hirescam", "eigencam"], targets=1)
    for i in range(2):
        alone = explainer(X[i : i + 1], methods=["hirescam", "eigencam"], targets=1)
        for method in alone.methods:
            expected = alone.maps(method)[0]
            torch.testing.assert_close(
                together.maps(method)[i], expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max())
            )


@pytest.mark.parametrize("name", ["ViT", "Swin", "MobileViT"])
def test_the_model_is_left_as_it_came(models, name, untouched):
    with untouched(models(name).train()):
        camscope.explain(models(name), X, methods=["gradcam", "ablationcam"], targets=1)
    models(name).eval()


@pytest.mark.parametrize("name", ["ViT", "Swin", "ConvNext", "ResNet"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_says_the_same(models, name, dtype):
    model = copy.deepcopy(models(name))
    expected = camscope.explain(model, X, methods="hirescam", targets=[0, 1]).maps()
    if dtype is torch.bfloat16:
        model = model.to(memory_format=torch.channels_last)
    e = camscope.explain(model.to(dtype), X, methods="hirescam", targets=[0, 1])
    assert e.maps().dtype == torch.float32
    alike = torch.nn.functional.cosine_similarity(e.maps().flatten(2), expected.flatten(2), dim=2)
    assert float(alike.min()) > 0.98


def test_a_number_for_a_name_is_no_name():
    model = build(
        "ResNet", embedding_size=8, layer_type="basic", **{**STAGES, "id2label": None, "label2id": None}
    )
    assert camscope.explain(model, X).targets[0][0].name.startswith("class ")


@pytest.mark.parametrize(
    ("problem", "task"),
    [
        ("multi_label_classification", "multilabel"),
        ("single_label_classification", "multiclass"),
        ("regression", "regression"),
    ],
)
def test_what_the_outputs_mean_is_what_the_config_says(problem, task):
    model = build("ResNet", embedding_size=8, layer_type="basic", problem_type=problem, **STAGES)
    e = camscope.explain(model, X)
    assert e.provenance["task"] == task
    assert (e.probabilities is None) == (task == "regression")


def test_without_return_dict_the_logits_are_the_only_tensor():
    model = build("ResNet", embedding_size=8, layer_type="basic", return_dict=False, **STAGES)
    expected = camscope.explain(model, X, output=0, targets=1)
    assert expected.maps().abs().max() > 0
    assert torch.equal(camscope.explain(model, X, targets=1).maps(), expected.maps())


# ------------------------------------------------------------------ processors

PROCESSORS = [
    "ViT",
    "DeiT",
    "Beit",
    "ConvNext",
    "Bit",
    "CLIP",
    "Siglip",
    "MobileViT",
    "MobileNetV2",
    "PoolFormer",
    "DINOv3ViT",
]


@pytest.mark.parametrize("name", PROCESSORS)
def test_photos_are_prepared_as_its_processor_does(name, photos):
    """Within the one grey level by which torchvision's resize differs from Pillow's."""
    processor = getattr(hf, f"{name}ImageProcessor")()
    preprocessing = Preprocessing.from_huggingface(processor)
    for photo in photos.values():
        image = Image.fromarray(photo)
        theirs = processor(image, return_tensors="np")["pixel_values"][0]
        ours = preprocessing(image)
        assert ours.shape == theirs.shape
        off = np.abs(ours - theirs).max(axis=(1, 2)) * np.asarray(preprocessing.std) * 255
        assert off.max() < 2.1


@pytest.mark.parametrize(
    ("processor", "reason"),
    [
        (lambda: hf.DetrImageProcessor(), "it pads"),
        (lambda: hf.LevitImageProcessor(), "something that is not translated here"),
        (lambda: hf.CLIPImageProcessor(do_center_crop=False), "keeps the photo's aspect ratio"),
        (lambda: hf.ViTImageProcessor(do_resize=False), "resizes nothing"),
    ],
)
def test_what_cannot_be_translated_is_refused_with_the_way_out(processor, reason):
    with pytest.raises(camscope.InputError, match=rf"{reason}.*pixel_values"):
        Preprocessing.from_huggingface(processor())


def test_blue_first_and_back_again(photos):
    preprocessing = Preprocessing.from_huggingface(hf.MobileViTImageProcessor())
    assert preprocessing.bgr
    shown = preprocessing.denormalise(preprocessing(Image.fromarray(photos["cat"])))
    np.testing.assert_array_equal(shown, np.asarray(preprocessing.view(Image.fromarray(photos["cat"]))))


# ------------------------------------------------------------------ folders and pipelines


@pytest.fixture(scope="module")
def folder(tmp_path_factory, models) -> Path:
    place = tmp_path_factory.mktemp("saved") / "vit"
    models("ViT").save_pretrained(place)
    hf.ViTImageProcessor(size={"height": 64, "width": 64}).save_pretrained(place)
    return place


def test_a_folder_is_a_model_with_all_that_belongs_to_it(folder, models, photos):
    e = camscope.explain(f"hf:{folder}", Image.fromarray(photos["cat"]), targets="dog")
    assert e.class_names == list(LABELS.values())
    assert e.input_size == (64, 64)
    x = torch.from_numpy(
        Preprocessing.from_huggingface(hf.ViTImageProcessor(size={"height": 64, "width": 64}))(
            Image.fromarray(photos["cat"])
        )
    )[None]
    expected = camscope.explain(models("ViT"), x, targets="dog")
    torch.testing.assert_close(e.maps(), expected.maps(), rtol=1e-4, atol=1e-7)
    assert e.provenance["model_name"] == f"hf:{folder}"
    assert e.provenance["preprocessing"]["source"] == "ViTImageProcessor"


def test_a_model_loaded_from_a_folder_knows_its_processor(folder, photos):
    model = hf.ViTForImageClassification.from_pretrained(folder).eval()
    assert camscope.explain(model, Image.fromarray(photos["cat"])).maps().shape == (1, 1, 8, 8)


def test_a_pipeline_brings_its_model_and_processor(folder, photos):
    pipe = hf.pipeline("image-classification", model=str(folder))
    image = Image.fromarray(photos["cat"])
    e = camscope.explain(pipe, [image])
    best = pipe(image)[0]
    assert e.targets[0][0].label == best["label"]
    assert float(e.probabilities.max()) == pytest.approx(best["score"], abs=0.02)  # a grey level of resizing


def test_without_weights_the_network_is_there_all_the_same(folder):
    loaded, known = recognise(load_model(f"hf:{folder}", weights="random").model)
    assert isinstance(loaded, hf.ViTForImageClassification)
    assert known.class_names == list(LABELS.values())


def test_a_photo_for_a_model_without_a_processor_says_how_to_give_one(models, photos):
    with pytest.raises(camscope.InputError, match=r"no image processor came with it: .*preprocessing=Auto"):
        camscope.explain(models("ViT"), Image.fromarray(photos["cat"]))
    processor = hf.ViTImageProcessor(size={"height": 64, "width": 64})
    e = camscope.explain(models("ViT"), Image.fromarray(photos["cat"]), preprocessing=processor)
    assert e.maps().shape == (1, 1, 8, 8)


@pytest.mark.parametrize("what", ["nothing", "no config", "no weights", "unknown kind"])
def test_what_is_no_model_says_so(tmp_path, folder, what):
    place = tmp_path / "model"
    if what != "nothing":
        place.mkdir()
    if what == "no weights":
        (place / "config.json").write_text((folder / "config.json").read_text())
    if what == "unknown kind":
        (place / "config.json").write_text(json.dumps({"model_type": "martian"}))
    words = {"no config": "has no config.json", "nothing": "There is no folder"}.get(what, "could not open")
    with pytest.raises(camscope.ModelError, match=words):
        camscope.explain(f"hf:{place}", X)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (X, ()),
        (
            torch.rand(1, 3, 64, 64),
            ("between .* and 1, where .* gives -1 to 1: it seems not to be prepared",),
        ),
        (torch.rand(1, 3, 64, 64) * 255, (r"and 25\d, where .* seems not to be prepared",)),
        (torch.randn(1, 3, 72, 64), ("The tensor is 72×64; the model's own preprocessing makes 64×64",)),
    ],
    ids=["as it should", "fractions", "bytes", "another size"],
)
def test_a_tensor_that_the_processor_would_not_make_is_noted(folder, x, words):
    model = hf.ViTForImageClassification.from_pretrained(folder).eval()
    explainer = camscope.Explainer(model)
    if x.shape[2] != 64:  # a model that takes any size
        processor = hf.ViTImageProcessor(size={"height": 64, "width": 64})
        explainer = camscope.Explainer(MODELS["ResNet"][0](), preprocessing=processor)
    notes = explainer(x).notes
    assert len(notes) == len(words)
    for note, pattern in zip(notes, words, strict=True):
        assert re.search(pattern, note)


def test_scores_that_are_called_the_last_hidden_state():
    """PP-LCNet's head returns nothing else."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = hf.PPLCNetForImageClassification(hf.PPLCNetConfig(scale=0.25, num_labels=4))
        for p in model.parameters():
            if p.ndim > 1:
                torch.nn.init.kaiming_normal_(p)
    e = camscope.explain(model.eval(), X, targets=[0, 3])
    with torch.no_grad():
        torch.testing.assert_close(e.scores, model(X).last_hidden_state[:, [0, 3]])
    assert not torch.allclose(e.maps()[:, 0], e.maps()[:, 1])


def test_scores_of_an_image_and_each_text():
    """BLIP-2's retrieval has a row of scores for each image, one for each text."""
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    reads = {**small, "vocab_size": 60, "max_position_embeddings": 16}
    config = hf.Blip2Config(
        vision_config={**small, "image_size": 64, "patch_size": 16},
        qformer_config={**reads, "encoder_hidden_size": 32, "use_qformer_text_input": True},
        text_config={**reads, "model_type": "opt", "ffn_dim": 32, "word_embed_proj_dim": 32},
        num_query_tokens=4,
        image_text_hidden_size=16,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = hf.Blip2ForImageTextRetrieval(config).eval()
        for p in model.parameters():
            if p.ndim > 1:
                torch.nn.init.normal_(p, std=0.2)
    inputs = {"pixel_values": X[:1], "input_ids": torch.tensor([[5, 6, 7], [5, 9, 8]])}
    e = camscope.explain(model, inputs, targets=[0, 1])
    with torch.no_grad():
        torch.testing.assert_close(e.scores, model(**inputs).logits_per_image)
    assert e.maps().shape == (1, 2, 4, 4)
    assert not torch.allclose(e.maps()[:, 0], e.maps()[:, 1])
