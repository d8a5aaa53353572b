"""Hugging Face models that say where things are, from configurations: detectors of the DETR family, and segmenters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from torch import nn

import camscope
from camscope import Instance, Region
from camscope.models.grid import Grid
from tests.torch.nets import explainer_of

LABELS = {0: "cat", 1: "dog", 2: "cow"}
NAMED: dict[str, Any] = {"id2label": LABELS, "label2id": {name: i for i, name in LABELS.items()}}
RESNET: dict[str, Any] = {
    "embedding_size": 8,
    "hidden_sizes": [8, 16, 16, 32],
    "depths": [1, 1, 1, 1],
    "layer_type": "basic",
}
SMALL: dict[str, Any] = {
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "num_queries": 10,
    **NAMED,
}
TRANSFORMER: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 64,
    "patch_size": 16,
    **NAMED,
}
SWIN: dict[str, Any] = {
    "embed_dim": 8,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 1, 2, 2],
    "window_size": 4,
    "image_size": 128,
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
X = torch.randn(2, 3, 128, 160, generator=torch.Generator().manual_seed(1))


def _backbone(*stages: int) -> dict[str, Any]:
    return {
        "use_timm_backbone": False,
        "backbone": None,
        "use_pretrained_backbone": False,
        "backbone_config": hf.ResNetConfig(**RESNET, out_features=[f"stage{i}" for i in stages]),
    }


def _detr(kind: str, config: str, *stages: int) -> nn.Module:
    width = {"hidden_size" if kind.startswith("Dab") else "d_model": 32}
    return getattr(hf, kind)(getattr(hf, config)(**_backbone(*stages), **SMALL, **width))


def _rt_detr(kind: str = "RTDetr") -> nn.Module:
    return getattr(hf, f"{kind}ForObjectDetection")(
        getattr(hf, f"{kind}Config")(
            backbone_config=hf.RTDetrResNetConfig(**RESNET, out_features=["stage2", "stage3", "stage4"]),
            encoder_in_channels=[16, 16, 32],
            decoder_in_channels=[32, 32, 32],
            encoder_hidden_dim=32,
            encoder_ffn_dim=32,
            encoder_attention_heads=2,
            d_model=32,
            num_queries=10,
            decoder_ffn_dim=32,
            decoder_layers=2,
            decoder_attention_heads=2,
            **NAMED,
        )
    )


def _yolos() -> nn.Module:
    size = {"image_size": [128, 160], "patch_size": 16}
    model = hf.YolosForObjectDetection(hf.YolosConfig(**{**TRANSFORMER, **size}, num_detection_tokens=8))
    nn.init.normal_(model.vit.embeddings.detection_tokens)  # which are zero, and so all alike, at first
    return model


def _rf_detr() -> nn.Module:
    backbone = {
        "model_type": "rf_detr_dinov2",
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "image_size": 128,
        "patch_size": 16,
        "num_windows": 1,
        "out_features": ["stage2", "stage4"],
    }
    size = {"d_model": 32, "decoder_ffn_dim": 32, "decoder_layers": 2, "num_queries": 8, "group_detr": 1}
    heads = {"decoder_self_attention_heads": 2, "decoder_cross_attention_heads": 2}
    return hf.RfDetrForObjectDetection(hf.RfDetrConfig(backbone_config=backbone, **size, **heads, **NAMED))


DETECTORS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "DETR": (lambda: _detr("DetrForObjectDetection", "DetrConfig", 4), "model.encoder"),
    "Table Transformer": (
        lambda: _detr("TableTransformerForObjectDetection", "TableTransformerConfig", 4),
        "model.encoder",
    ),
    "Conditional DETR": (
        lambda: _detr("ConditionalDetrForObjectDetection", "ConditionalDetrConfig", 4),
        "model.encoder",
    ),
    "DAB-DETR": (lambda: _detr("DabDetrForObjectDetection", "DabDetrConfig", 4), "model.encoder"),
    "Deformable DETR": (
        lambda: _detr("DeformableDetrForObjectDetection", "DeformableDetrConfig", 2, 3, 4),
        "model.backbone.model.encoder.stages.3",
    ),
    "RT-DETR": (_rt_detr, "model.encoder.pan_blocks.1"),
    "RT-DETR v2": (lambda: _rt_detr("RTDetrV2"), "model.encoder.pan_blocks.1"),
    "D-FINE": (lambda: _rt_detr("DFine"), "model.encoder.pan_blocks.1"),
    "RF-DETR": (_rf_detr, "model.backbone.projector"),
    "YOLOS": (_yolos, "vit.encoder.layer.3.layernorm_before"),
}
SEGMENTERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int], str]] = {
    "SegFormer": (
        lambda: hf.SegformerForSemanticSegmentation(
            hf.SegformerConfig(
                hidden_sizes=[8, 16, 16, 32],
                depths=[1, 1, 1, 1],
                num_attention_heads=[1, 1, 2, 2],
                decoder_hidden_size=32,
                **NAMED,
            )
        ),
        (128, 160),
        "segformer.stages.3",
    ),
    "UperNet": (
        lambda: hf.UperNetForSemanticSegmentation(
            hf.UperNetConfig(
                backbone_config=hf.ConvNextConfig(
                    hidden_sizes=[8, 16, 16, 32],
                    depths=[1, 1, 1, 1],
                    out_features=["stage1", "stage2", "stage3", "stage4"],
                ),
                hidden_size=32,
                auxiliary_in_channels=16,
                **NAMED,
            )
        ),
        (256, 256),
        "backbone.hidden_states_norms.stage4",
    ),
    "BEiT": (
        lambda: hf.BeitForSemanticSegmentation(hf.BeitConfig(**TRANSFORMER, out_indices=[1, 2, 3, 4])),
        (64, 64),
        "beit.layers.2",
    ),
}


def built(make: Callable[[], nn.Module]) -> nn.Module:
    """With seeded weights, those of the classifier larger, so that candidates differ."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and any(
                word in name for word in ("class", "bbox", "q_proj", "k_proj", "query_pos")
            ):
                parameter.mul_(5)
    return model


@pytest.fixture(scope="module", params=DETECTORS)
def detector(request) -> tuple[nn.Module, str]:
    make, layer = DETECTORS[request.param]
    return built(make), layer


# ---------------------------------------------------------------------- detectors


def _of_quadrilaterals() -> nn.Module:
    trunk = {
        "stem_channels": [3, 8, 16],
        "stage_in_channels": [16, 16, 32, 32],
        "stage_mid_channels": [8] * 4,
    }
    stages = {
        "stage_out_channels": [16, 32, 32, 32],
        "stage_num_blocks": [1] * 4,
        "stage_numb_of_layers": [1] * 4,
    }
    backbone = hf.HGNetV2Config(
        **trunk, **stages, hidden_sizes=[16, 32, 32, 32], out_features=["stage2", "stage3", "stage4"]
    )
    widths = {"encoder_in_channels": [32] * 3, "decoder_in_channels": [32] * 3, "encoder_hidden_dim": 32}
    sizes = {"encoder_ffn_dim": 32, "encoder_attention_heads": 2, "d_model": 32, "num_queries": 10}
    decoder = {"decoder_ffn_dim": 32, "decoder_layers": 2, "decoder_attention_heads": 2}
    config = hf.PPDocLayoutV4Config(backbone_config=backbone, **widths, **sizes, **decoder, **NAMED)
    return hf.PPDocLayoutV4ForObjectDetection(config)


def test_a_quadrilateral_is_explained_with_the_box_around_it():
    """PP-DocLayoutV4's: the corners are a centre and four ways from it. Its processor wants SciPy."""
    model = built(_of_quadrilaterals)
    with torch.no_grad():
        raw = model(X)
    own = hf.PPDocLayoutV4ImageProcessor().post_process_object_detection(
        raw, threshold=0.0, target_sizes=torch.tensor([[128, 160]] * 2)
    )
    e = camscope.explain(model, X, targets=Instance(0))
    assert e.layers == ("model.encoder.pan_blocks.1",)
    for image, found in enumerate(own):
        best = int(found["scores"].argmax())
        torch.testing.assert_close(e.scores[image, 0].sigmoid(), found["scores"][best])
        box = torch.tensor(e.targets[image][0].box) * torch.tensor([160, 128, 160, 128])
        torch.testing.assert_close(box, found["boxes"][best], rtol=1e-4, atol=1e-3)


def test_detections_are_those_of_the_models_own_processor(detector):
    """Box, label and score, the most likely first (its processors leave nothing out)."""
    model, _ = detector
    softmax = type(model).__name__.startswith(("Detr", "Table", "Yolos"))
    kind = hf.DetrImageProcessor if softmax else hf.RTDetrImageProcessor
    own = kind().post_process_object_detection(
        model(X), threshold=0.0, target_sizes=torch.tensor([[128, 160]] * 2)
    )
    targets = [Instance(i) for i in range(3)] + [Instance(0, of="probability")]
    e = explainer_of(model)(X, targets=targets)
    for image, found in enumerate(own):
        order = found["scores"].argsort(descending=True)
        torch.testing.assert_close(e.scores[image, 3], found["scores"][order[0]])
        box = [float(side) for side in found["boxes"][order[0]]]
        name = LABELS[int(found["labels"][order[0]])]
        assert e.targets[image][0].label == f"{name} at ({', '.join(f'{side:.0f}' for side in box)})"
        by_box = explainer_of(model)(X[image : image + 1], targets=Instance(box, name))
        torch.testing.assert_close(by_box.scores[0, 0], e.scores[image, 0], rtol=1e-4, atol=1e-5)


def from_layer(model: nn.Module, layer: str, x: torch.Tensor) -> tuple[torch.Tensor, Any]:
    """The layer's output as a leaf, and what the model makes of it."""
    start: list[torch.Tensor] = []

    def restart(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        tensor = output if isinstance(output, torch.Tensor) else output[0]
        start.append(tensor.detach().clone().requires_grad_())
        if isinstance(output, torch.Tensor):
            return start[0]
        output[next(iter(output))] = start[0]
        return output

    model(x)  # transformers puts hooks of its own on a model when it first runs; this one comes before them
    handle = model.get_submodule(layer).register_forward_hook(restart, prepend=True)
    out = model(x)
    handle.remove()
    return start[0], out


def hirescam(score: torch.Tensor, start: torch.Tensor, space: torch.Size, behind: int = 0) -> torch.Tensor:
    (g,) = torch.autograd.grad(score, start, retain_graph=True)
    product = (g * start).detach()
    if product.ndim == 4:
        return product.sum(1)[0]
    return product.sum(2)[0, : product.shape[1] - behind][-space.numel() :].reshape(space)


def test_score_and_map_are_those_by_hand(detector):
    model, layer = detector
    e = explainer_of(model)(X[:1], methods="hirescam", targets=[Instance(0), Instance(1)])
    assert e.provenance["layers"]["choice"] == layer
    start, out = from_layer(model, layer, X[:1])
    maps = e.raw["hirescam", layer][0]
    for t in range(2):
        score = out.logits.flatten()[(out.logits - e.scores[0, t]).abs().argmin()]
        torch.testing.assert_close(score.detach(), e.scores[0, t])
        behind = 8 if type(model).__name__.startswith("Yolos") else 0  # the tokens of its detections
        expected = hirescam(score, start, maps.shape[1:], behind)
        torch.testing.assert_close(maps[t], expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    assert float((maps[0] - maps[1]).abs().max()) > 1e-5 * float(maps.abs().max())


def test_a_batch_is_its_images_one_by_one_and_the_model_left_as_it_came(detector, untouched):
    model, _ = detector
    methods = ["gradcam", "hirescam", "layercam", "scorecam(top=2)"]
    model(X)  # transformers puts hooks of its own on a model when it first runs
    with untouched(model):
        explainer = camscope.Explainer(model)
        whole = explainer(X, methods=methods, targets=[Instance(0), "cat"])
        for image in range(2):
            alone = explainer(X[image : image + 1], methods=methods, targets=[Instance(0), "cat"])
            torch.testing.assert_close(alone.scores[0], whole.scores[image], rtol=1e-4, atol=1e-5)
            if type(model).__name__.startswith("RT"):
                continue  # untrained, it looks at the edges of cells, where its gradients hang on the last digit
            for key, maps in alone.raw.items():
                scale = float(maps.abs().max())
                torch.testing.assert_close(maps[0], whole.raw[key][image], rtol=1e-2, atol=1e-3 * scale)


@pytest.mark.parametrize("name", ["DETR", "RT-DETR"])
def test_on_a_photo_a_box_is_that_of_the_models_own_processor(name):
    """In pixels of the photo, whether the processor keeps its shape (DETR) or not; the box finds the instance again."""
    size = {"DETR": {"shortest_edge": 128, "longest_edge": 256}, "RT-DETR": {"height": 128, "width": 160}}
    processor = (hf.DetrImageProcessor if name == "DETR" else hf.RTDetrImageProcessor)(size=size[name])
    model = built(DETECTORS[name][0])
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (150, 260, 3), dtype=np.uint8))
    with torch.no_grad():
        out = model(processor(photo, return_tensors="pt")["pixel_values"])
    own = processor.post_process_object_detection(out, threshold=0.0, target_sizes=[(150, 260)])[0]
    box = own["boxes"][own["scores"].argmax()].tolist()
    explainer = camscope.Explainer(model, preprocessing=processor)
    first, by_box = explainer(photo, targets=[Instance(0), Instance(box)]).targets[0]
    assert first.label == by_box.label
    written = [float(side) for side in first.label.partition("(")[2].rstrip(")").split(", ")]
    np.testing.assert_allclose(written, box, atol=0.6)
    assert first.probability == pytest.approx(float(own["scores"].max()), rel=1e-3)


def test_a_box_that_is_not_there(detector):
    model, _ = detector
    with pytest.raises(camscope.TargetError, match=r"nearest detections are (cat|dog|cow) at"):
        explainer_of(model)(X, targets=Instance((0, 0, 1, 1)))


def test_one_class_is_not_read_as_a_question_of_yes_or_no():
    model = hf.ConditionalDetrForObjectDetection(
        hf.ConditionalDetrConfig(
            **_backbone(4), **{**SMALL, "id2label": {0: "cat"}, "label2id": {"cat": 0}}, d_model=32
        )
    ).eval()
    e = camscope.explain(model, X)
    assert e.logits.shape == (2, 1)
    assert e.targets[0][0].label.startswith("cat at")


def test_the_tokens_of_yolos_that_stand_behind_those_of_the_image_are_no_positions():
    """Nor is the class token in front of them: one place beside its own a grid would agree almost as well."""
    size = {"image_size": [64, 96], "patch_size": 8}
    config = hf.YolosConfig(**{**TRANSFORMER, **size}, num_detection_tokens=20)
    model = built(lambda: hf.YolosForObjectDetection(config))
    layers, chosen = camscope.Explainer(model).layers(torch.rand(1, 3, 64, 96))
    assert chosen is not None
    assert chosen.grid == Grid("tokens", (8, 12), 32, prefix=1, suffix=20)
    shown = {layer.name: layer for layer in layers}
    assert not shown["vit"].reaches  # behind the last block only the tokens of detections are read


# ---------------------------------------------------------------------- segmenters


@pytest.mark.parametrize("name", SEGMENTERS)
def test_a_segmenter_by_hand(name):
    """The logits are coarser than the input; the layer may be one whose output the model keeps as a hidden state."""
    make, size, layer = SEGMENTERS[name]
    model = built(make)
    x = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    e = camscope.explain(model, x, methods=["hirescam", "gradcam"], targets=[Region("dog", "all"), Region()])
    assert e.provenance["layers"]["choice"] == layer
    start, out = from_layer(model, layer, x)
    score = out.logits[:, 1].sum()
    torch.testing.assert_close(e.scores[0, 0], score.detach(), rtol=1e-4, atol=1e-4)
    maps = e.raw["hirescam", layer][0, 0]
    expected = hirescam(score, start, maps.shape)
    assert bool((expected != 0).any())
    torch.testing.assert_close(maps, expected, rtol=1e-3, atol=1e-5)


def test_an_altered_hidden_state_is_what_the_model_goes_on_with():
    """BEiT reads its blocks' outputs from where transformers keeps them: without a channel, another score."""
    make, size, layer = SEGMENTERS["BEiT"]
    model = built(make)
    x = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    e = camscope.explain(model, x, methods="ablationcam", targets=Region("dog", "all"), layers=layer)
    assert bool((e.raw["ablationcam", layer] != 0).any())


@pytest.mark.parametrize("kind", ["MaskFormer", "Mask2Former"])
def test_segmenters_by_queries_segment_as_their_processor_does(kind):
    """The largest score at each position of the output is the class that the model's processor gives it."""
    if kind == "MaskFormer":
        decoder = hf.DetrConfig(
            d_model=32, decoder_layers=2, decoder_attention_heads=2, decoder_ffn_dim=32, num_queries=6
        )
        model = built(
            lambda: hf.MaskFormerForInstanceSegmentation(
                hf.MaskFormerConfig(
                    backbone_config=hf.SwinConfig(**SWIN),
                    decoder_config=decoder,
                    fpn_feature_size=32,
                    mask_feature_size=32,
                    **NAMED,
                )
            )
        )
        processor = hf.MaskFormerImageProcessor()
    else:
        model = built(
            lambda: hf.Mask2FormerForUniversalSegmentation(
                hf.Mask2FormerConfig(
                    backbone_config=hf.SwinConfig(**SWIN),
                    feature_size=32,
                    mask_feature_size=32,
                    hidden_dim=32,
                    encoder_feedforward_dim=32,
                    encoder_layers=1,
                    decoder_layers=2,
                    num_attention_heads=2,
                    dim_feedforward=32,
                    num_queries=6,
                    **NAMED,
                )
            )
        )
        processor = hf.Mask2FormerImageProcessor()
    x = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    e = camscope.explain(model, x, methods="gradcam")
    with torch.no_grad():
        out = model(x)
    p = torch.einsum(
        "bqc,bqhw->bchw", out.class_queries_logits.softmax(-1)[..., :-1], out.masks_queries_logits.sigmoid()
    )
    torch.testing.assert_close(e.probabilities, (p / p.sum(1, keepdim=True)).mean((2, 3)))
    sizes = [tuple(p.shape[2:])] * 2
    maps = processor.post_process_semantic_segmentation(out, target_sizes=sizes)
    agree = (p.argmax(1) == torch.stack(list(maps))).float().mean()
    assert float(agree) > 0.9  # theirs are resized on the way
    assert e.provenance["layers"]["choice"].startswith("model.pixel_level_module.encoder")
    largest = LABELS[int(p.argmax(1)[0].flatten().mode().values)]
    assert e.targets[0][0].label == f"{largest} where predicted"


def test_a_segmenter_whose_queries_are_tokens_of_the_image_encoder():
    """EoMT puts its queries in front of the image's tokens, half way through; the score is Σ_q p_q(c) · σ(m_q)."""
    model = built(
        lambda: hf.EomtForUniversalSegmentation(
            hf.EomtConfig(**TRANSFORMER, num_queries=5, num_blocks=2, num_upscale_blocks=1)
        )
    )
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    e = camscope.explain(model, x, methods="hirescam", targets=Region("dog", "all"))
    choice = e.provenance["layers"]["choice"]
    assert choice.startswith("layers.")
    start, out = from_layer(model, choice, x)
    p = torch.einsum(
        "bqc,bqhw->bchw", out.class_queries_logits.softmax(-1)[..., :-1], out.masks_queries_logits.sigmoid()
    )
    score = p[:, 1].log().sum()
    torch.testing.assert_close(e.scores[0, 0], score.detach(), rtol=1e-4, atol=1e-4)
    maps = e.raw["hirescam", choice][0, 0]
    expected = hirescam(score, start, maps.shape)
    assert bool((expected != 0).any())
    torch.testing.assert_close(maps, expected, rtol=1e-3, atol=1e-5)
